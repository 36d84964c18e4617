"""Make the package with openapi-python-client and ruff, judge it, and put it in place."""

import contextlib
import hashlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import Any

from openapi_python_client import Project
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.errors import ErrorLevel, GeneratorError
from openapi_python_client.parser.properties import LiteralEnumProperty, ModelProperty
from openapi_python_client.parser.properties.list_property import ListProperty
from openapi_python_client.parser.properties.union import UnionProperty
from openapi_python_client.strings import in_double_quote_literal

from pipeline.exits import ROOT, Exit, RunError, one_line, shown

GENERATOR = "openapi-python-client"
OUTPUT = ROOT / "generated" / "stoq_public_api_client"
HEADER = f"""\
# Generated, do not edit: made by {GENERATOR}.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

"""
# Names that the generator gives to things of its own in a model, and in a call.
TAKEN_IN_MODELS = {
    *("additional_keys", "additional_properties", "cls", "d", "field_dict", "from_dict"),
    *("to_dict", "to_multipart"),
}
TAKEN_IN_CALLS = {"cookies", "headers", "params", "quote"}
# No setting of the machine or of a surrounding project has a say.
RUFF = ["-P", "-m", "ruff", "--isolated", "--quiet", "--config", "exclude = []"]
ALONE = ["--no-cache", "--no-respect-gitignore", "."]
# What each file of a package holds, by its path below the package, with forward slashes.
Tree = dict[str, bytes]


def build(document: dict[str, Any], spec_bytes: bytes, *, partial: bool) -> tuple[Tree, list[str]]:
    """Return the package of `document`, and a line for each piece that the generator left out.

    Unless `partial`, a piece that is left out stops the run. So does a module that cannot be
    imported, or that uses one name for two things.
    """
    _check_pins()
    with tempfile.TemporaryDirectory(prefix="regenerate-") as folder:
        package = Path(folder) / "made_package"
        data, left_out = _generate(document, package)
        if left_out and not partial:
            raise RunError(
                Exit.SPEC,
                f"{GENERATOR} would leave out {len(left_out)} of the spec's pieces:"
                f" {'; '.join(left_out)}. Correct the spec, or go on without them: --partial",
            )
        if clashes := ", ".join(dict.fromkeys(_clashes(data))):
            reason = "these have the name of something generated; rename them by a correction"
            raise RunError(Exit.SPEC, f"{reason}: {clashes}")
        (package / "typed_dicts.py").write_text(
            '"""The request bodies as plain dicts, and what the package was made from."""\n\n'
            f"{_typed_dicts(data)}\n\n"
            f'GENERATOR = "{GENERATOR} {importlib.metadata.version(GENERATOR)}"\n'
            f'SPEC_SHA256 = "{hashlib.sha256(spec_bytes).hexdigest()}"\n',
            "utf-8",
        )
        _run([*RUFF, "check", "--fix-only", "--extend-select=I", *ALONE], package)
        _run([*RUFF, "format", *ALONE], package)
        files = {each.relative_to(package): each for each in package.rglob("*") if each.is_file()}
        modules = [".".join(("made_package", *path.with_suffix("").parts)) for path in files]
        _run(["-B", "-c", f"import {', '.join(sorted(modules))}"], Path(folder))
        tree = {
            path.as_posix(): HEADER.encode() + each.read_bytes() for path, each in files.items()
        }
    return tree | {"py.typed": b""}, left_out


def _check_pins() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    for tool, _, pin in (line.partition("==") for line in groups["regenerate"]):
        if pin and pin != (installed := importlib.metadata.version(tool)):
            reason = f"{tool} is pinned to {pin}, and {installed} is installed"
            raise RunError(Exit.TOOL, f"{reason}; run scripts/setup")


def _generate(document: dict[str, Any], package: Path) -> tuple[GeneratorData, list[str]]:
    settings = ConfigFile.load_from_path(ROOT / "scripts" / "generator.yml")
    config = Config.from_sources(settings, MetaType.NONE, package, "utf-8", False, package)
    errors: Sequence[GeneratorError]
    try:
        data = GeneratorData.from_dict(document, config=config)
        if isinstance(data, GeneratorError):
            errors = [data]
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                errors = Project(openapi=data, config=config).build()
    except Exception as error:
        reason = f"{GENERATOR} crashed: {type(error).__name__}: {error}"
        raise RunError(Exit.TOOL, reason) from error
    lines = [
        re.sub(r"<\S+ object at 0x[0-9a-f]+>", "…", one_line(f"{each.header} {each.detail or ''}"))
        for each in errors
    ]
    if isinstance(data, GeneratorError) or any(e.level is ErrorLevel.ERROR for e in errors):
        raise RunError(Exit.SPEC, f"{GENERATOR}: {'; '.join(lines)}")
    return data, lines


def _clashes(data: GeneratorData) -> Iterator[str]:
    for model in data.models:
        for prop in _fields_of(model):
            if prop.python_name in TAKEN_IN_MODELS:
                yield f"the property {prop.name.get_untrusted_value()!r}"
    for endpoint in _endpoints(data):
        # The body is among them.
        names = [each.python_name for each in endpoint.list_all_parameters()]
        for name in names:
            if name in TAKEN_IN_CALLS or names.count(name) > 1:
                yield f"the parameter {name!r} of {endpoint.name}"


def _run(words: list[str], folder: Path) -> None:
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = one_line((done.stderr or done.stdout).strip().rpartition("\n")[2])
        raise RunError(Exit.SPEC, f"the spec yields no package that can be imported: {reason}")


def differences(tree: Tree, output: Path) -> list[str]:
    """Return the path of each file in which what lies at `output` is not `tree`."""
    lying = {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(name for name in tree.keys() | lying.keys() if tree.get(name) != lying.get(name))


def replace(output: Path, tree: Tree) -> None:
    """Put `tree` in the place of `output`, which must be of this script's making.

    A kill between the two renames leaves the old package beside its place; the next run makes it.
    """
    if output.exists() and not (output / "typed_dicts.py").is_file():
        reason = f"{shown(output)} is not of regenerate.py's making; name a new folder"
        raise RunError(Exit.OUTPUT, reason)
    new, old = (output.with_name(f".{output.name}.{age}") for age in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    for name, content in tree.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(content)
    if output.exists():
        shutil.rmtree(old, ignore_errors=True)
        output.rename(old)
    new.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _typed_dicts(data: GeneratorData) -> str:
    """Return a module with a TypedDict for each model that a JSON request holds.

    It is called as the model, with ``Dict`` at the end.
    """
    classes: dict[str, str] = {}
    # What refers to a model may be a copy of it that has no fields yet.
    models = {model.class_info.name: model for model in data.models}

    def type_of(prop: Any) -> str:
        if isinstance(prop, UnionProperty):
            return " | ".join(dict.fromkeys(map(type_of, prop.inner_properties)))
        if isinstance(prop, ListProperty):
            return f"list[{type_of(prop.inner_property)}]"
        if isinstance(prop, LiteralEnumProperty):
            return f"Literal[{', '.join(sorted(map(repr, prop.values)))}]"
        model = models.get(prop.class_info.name) if isinstance(prop, ModelProperty) else None
        if model is None or not (fields := _fields_of(model)):
            return str(prop.get_type_string(no_optional=True, json=True).as_unembedded_code())
        name = f"{model.class_info.name}Dict"
        if name not in classes:
            # A model may hold itself.
            classes[name] = ""
            classes[name] = _class(name, model, [(field, type_of(field)) for field in fields])
        return name

    for endpoint in _endpoints(data):
        for body in endpoint.bodies:
            if body.body_type == "json":
                type_of(body.prop)
    names = "".join(f"    {name!r},\n" for name in sorted(classes))
    imports = "from typing import Any, Literal, NotRequired, TypedDict\n"
    return f"{imports}\n__all__ = (\n{names})\n\n" + "\n\n".join(classes.values())


def _endpoints(data: GeneratorData) -> list[Any]:
    """Return the operations that the generator has parsed."""
    collections = data.endpoint_collections_by_tag.values()
    return [endpoint for collection in collections for endpoint in collection.endpoints]


def _fields_of(model: ModelProperty) -> list[Any]:
    """Return the properties of a model."""
    return [*(model.required_properties or ()), *(model.optional_properties or ())]


def _class(name: str, model: ModelProperty, types: list[tuple[Any, str]]) -> str:
    """Write a class; where a field cannot be called so in one, call TypedDict instead."""
    lines, members = [f"class {name}(TypedDict):", *_docstring(model)], []
    for prop, kind in types:
        # Of a class that is not there yet, only the name can stand there.
        kind = repr(kind) if "Dict" in kind else kind
        kind = kind if prop.required else f"NotRequired[{kind}]"
        key = prop.name.get_untrusted_value()
        members.append((key, kind))
        lines += [f"    {key}: {kind}", *_docstring(prop)]
    if all(key.isidentifier() and not iskeyword(key) for key, _ in members):
        return "\n".join(lines) + "\n"
    listed = ", ".join(f"{key!r}: {kind}" for key, kind in members)
    return f"{name} = TypedDict({name!r}, {{{listed}}})\n"


def _docstring(prop: Any) -> list[str]:
    words = " ".join(prop.description.get_untrusted_value().split()) if prop.description else ""
    return [f'    """{in_double_quote_literal(words)}"""'] if words else []
