"""Make the package with openapi-python-client and ruff, judge it, and put it in place."""

from __future__ import annotations

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openapi_python_client import Project
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.errors import ErrorLevel, GeneratorError

from pipeline.exits import ROOT, Exit, RunError, one_line, shown
from pipeline.typed_dicts import fields_of, typed_dicts

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
        if clashes := _clashes(data):
            reason = "these have the name of something generated; rename them by a correction"
            raise RunError(Exit.SPEC, f"{reason}: {', '.join(dict.fromkeys(clashes))}")
        (package / "typed_dicts.py").write_text(
            '"""The request bodies as plain dicts, and what the package was made from."""\n\n'
            f"{typed_dicts(data)}\n\n"
            f'GENERATOR = "{GENERATOR} {importlib.metadata.version(GENERATOR)}"\n'
            f'SPEC_SHA256 = "{hashlib.sha256(spec_bytes).hexdigest()}"\n',
            "utf-8",
        )
        # No setting of the machine or of a surrounding project has a say.
        alone = ["--isolated", "--no-cache", "--no-respect-gitignore", "--quiet"]
        alone += ["--config", "exclude = []"]
        for words in (["check", "--fix-only", "--extend-select=I"], ["format"]):
            _run(["-P", "-m", "ruff", *words, ".", *alone], package)
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
    config = Config.from_sources(
        ConfigFile.load_from_path(Path(__file__).parents[1] / "generator.yml"),
        MetaType.NONE,
        document_source=package,
        file_encoding="utf-8",
        overwrite=False,
        output_path=package,
    )
    try:
        data = GeneratorData.from_dict(document, config=config)
        errors: Sequence[GeneratorError]
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


def _clashes(data: GeneratorData) -> list[str]:
    found = [
        f"the property {prop.name.get_untrusted_value()!r}"
        for model in data.models
        for prop in fields_of(model)
        if prop.python_name in TAKEN_IN_MODELS
    ]
    for collection in data.endpoint_collections_by_tag.values():
        for endpoint in collection.endpoints:
            # The body is among them.
            names = [each.python_name for each in endpoint.list_all_parameters()]
            clashing = [name for name in names if name in TAKEN_IN_CALLS or names.count(name) > 1]
            found += [f"the parameter {name!r} of {endpoint.name}" for name in clashing]
    return found


def _run(words: list[str], folder: Path) -> None:
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = one_line((done.stderr or done.stdout).strip().rpartition("\n")[2])
        raise RunError(Exit.SPEC, f"the spec yields no package that can be imported: {reason}")


def differences(tree: Tree, output: Path) -> list[str]:
    """Return a line for each file in which what lies at `output` is not `tree`."""
    lying = {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    states = {
        path: "missing" if path not in lying else "changed" if path in tree else "foreign"
        for path in sorted(tree.keys() | lying.keys())
        if tree.get(path) != lying.get(path)
    }
    return [f"{state}: {path}" for path, state in states.items()]


def check_replaceable(output: Path) -> None:
    """Stop where something lies at `output` that is not a package of this script's making."""
    if output.exists() and not (output / "typed_dicts.py").is_file():
        reason = f"{shown(output)} is not of regenerate.py's making; name a new folder"
        raise RunError(Exit.OUTPUT, reason)


def replace(output: Path, tree: Tree) -> None:
    """Put `tree` in the place of `output`.

    A kill between the two renames leaves the old package beside its place; `repair` puts it back.
    """
    new, old = _beside(output)
    for name, content in tree.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(content)
    if output.exists():
        output.rename(old)
    new.rename(output)
    repair(output)


def repair(output: Path) -> None:
    """Put back what a killed run has renamed away from `output`, and remove what it left."""
    new, old = _beside(output)
    if old.exists() and not output.exists():
        old.rename(output)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _beside(output: Path) -> tuple[Path, Path]:
    new, old = (output.with_name(f".{output.name}.{age}") for age in ("new", "old"))
    return new, old
