"""Make the package with openapi-python-client and ruff, judge it, and put it in place."""

import contextlib
import importlib.metadata
import io
import shutil
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datamodel_code_generator import Error, generate
from datamodel_code_generator.config import GenerateConfig
from openapi_python_client import Project
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.errors import ErrorLevel, GeneratorError

from pipeline.exits import ROOT, Exit, RunError, one_line

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


def build(document: dict[str, Any], sha256: str, *, partial: bool) -> tuple[Tree, list[str]]:
    """Return the package of `document`, and a line for each piece that the generator left out.

    `sha256` is that of the spec, and is written down. Unless `partial`, a piece that is left out
    stops the run. So does a module that cannot be imported, or that uses one name for two things.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    _check_pins(project["dependency-groups"]["regenerate"])
    with tempfile.TemporaryDirectory(prefix="regenerate-") as folder:
        package = Path(folder) / "made_package"
        left_out = _generate(document, package)
        if left_out and not partial:
            raise RunError(
                Exit.BAD_SPEC,
                f"{GENERATOR} would leave out {len(left_out)} of the spec's pieces:"
                f" {'; '.join(left_out)}. Correct the spec, or go on without them: --partial",
            )
        (package / "typed_dicts.py").write_text(
            f"{_typed_dicts(document, project['tool']['datamodel-codegen'])}\n\n"
            f'GENERATOR = "{GENERATOR} {importlib.metadata.version(GENERATOR)}"\n'
            f'SPEC_SHA256 = "{sha256}"\n',
            "utf-8",
        )
        _run([*RUFF, "check", "--fix-only", "--extend-select=I", *ALONE], package)
        _run([*RUFF, "format", *ALONE], package)
        made = _files(package)
        modules = [f"{package.name}.{name.removesuffix('.py').replace('/', '.')}" for name in made]
        _run(["-B", "-c", f"import {', '.join(sorted(modules))}"], Path(folder))
    tree = {name: HEADER.encode() + text for name, text in made.items()}
    return tree | {"py.typed": b""}, left_out


def _files(folder: Path) -> Tree:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _check_pins(requirements: list[str]) -> None:
    for tool, _, pin in (line.partition("==") for line in requirements):
        if pin and pin != (installed := importlib.metadata.version(tool)):
            reason = f"{tool} is pinned to {pin}, and {installed} is installed"
            raise RunError(Exit.BAD_TOOL, f"{reason}; run scripts/setup")


def _generate(document: dict[str, Any], package: Path) -> list[str]:
    """Write the generator's package; return a line for each piece that it left out."""
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
        raise RunError(Exit.BAD_TOOL, reason) from error
    lines = [one_line(f"{each.header} {each.detail or ''}") for each in errors]
    if isinstance(data, GeneratorError) or any(e.level is ErrorLevel.ERROR for e in errors):
        raise RunError(Exit.BAD_SPEC, f"{GENERATOR}: {'; '.join(lines)}")
    if clashes := ", ".join(dict.fromkeys(_clashes(data))):
        reason = "these have the name of something generated; rename them by a correction"
        raise RunError(Exit.BAD_SPEC, f"{reason}: {clashes}")
    return lines


def _clashes(data: GeneratorData) -> Iterator[str]:
    for model in data.models:
        for prop in (*(model.required_properties or ()), *(model.optional_properties or ())):
            if prop.python_name in TAKEN_IN_MODELS:
                yield f"the property {prop.name.get_untrusted_value()!r}"
    for collection in data.endpoint_collections_by_tag.values():
        for endpoint in collection.endpoints:
            # The body is among them.
            names = [each.python_name for each in endpoint.list_all_parameters()]
            for name in names:
                if name in TAKEN_IN_CALLS or names.count(name) > 1:
                    yield f"the parameter {name!r} of {endpoint.name}"


def _typed_dicts(document: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return a TypedDict for each object that a request holds; empty where there is none."""
    requests = {
        path: {
            method: {"requestBody": operation["requestBody"], "responses": {}}
            for method, operation in item.items()
            if "requestBody" in operation
        }
        for path, item in document["paths"].items()
    }
    try:
        with warnings.catch_warnings(action="ignore"):
            # A format that it does not know is a string's.
            return str(generate({**document, "paths": requests}, config=GenerateConfig(**settings)))
    except Error as error:
        if "Models not found" in str(error):
            # No request holds an object.
            return ""
        raise RunError(Exit.BAD_TOOL, f"datamodel-code-generator: {error}") from error


def _run(words: list[str], folder: Path) -> None:
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = one_line((done.stderr or done.stdout).strip().rpartition("\n")[2])
        raise RunError(Exit.BAD_SPEC, f"the spec yields no package that can be imported: {reason}")


def differences(tree: Tree, output: Path) -> list[str]:
    """Return the path of each file in which what lies at `output` is not `tree`."""
    return sorted({name for name, _ in tree.items() ^ _files(output).items()})


def replace(output: Path, tree: Tree) -> None:
    """Put `tree` in the place of `output`, which must be of this script's making.

    A kill between the two renames leaves the old package beside its place; the next run makes it.
    """
    if output.exists() and not (output / "typed_dicts.py").is_file():
        reason = f"{output} is not of regenerate.py's making; name a new folder"
        raise RunError(Exit.CANNOT_WRITE, reason)
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
