"""Make the package with openapi-python-client and ruff, judge it, and put it in place."""

from __future__ import annotations

import ast
import contextlib
import difflib
import hashlib
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.exits import ROOT, Exit, RunError, one_line, shown
from pipeline.typed_dicts import typed_dicts

GENERATOR = "openapi-python-client"
OUTPUT = ROOT / "generated" / "stoq_public_api_client"
HEADER = f"""\
# Generated, do not edit: made by {GENERATOR}.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

"""

Tree = dict[str, bytes]
"""A package: what each file holds, by its path below the package, with forward slashes."""


def pinned_tools() -> tuple[str, str]:
    """Return the generator's release and the path of ruff; both must be as pyproject.toml pins."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    pins = dict(line.split("==") for line in groups["regenerate"] if "==" in line)
    for tool in (GENERATOR, "ruff"):
        try:
            installed = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != pins[tool]:
            reason = f"{tool} is pinned to {pins[tool]}, and {installed} is installed"
            raise RunError(Exit.TOOL, f"{reason}; run scripts/setup")
    from ruff import find_ruff_bin  # type: ignore[import-untyped]

    return pins[GENERATOR], str(find_ruff_bin())


def build(document: dict[str, Any], spec_bytes: bytes, *, partial: bool) -> tuple[Tree, list[str]]:
    """Return the package of `document`, and a line for each piece that the generator left out.

    Unless `partial`, a piece that is left out stops the run. So does a module that cannot be
    imported, or that uses one name for two things.
    """
    release, ruff = pinned_tools()
    with tempfile.TemporaryDirectory(prefix="regenerate-") as folder:
        package = Path(folder) / "made_package"
        left_out = _generate(document, Path(folder) / "spec.json", package)
        if left_out and not partial:
            raise RunError(
                Exit.SPEC,
                f"{GENERATOR} would leave out {len(left_out)} of the spec's pieces:"
                f" {'; '.join(left_out)}. Correct the spec, or go on without them: --partial",
            )
        (package / "typed_dicts.py").write_text(
            '"""The request bodies as plain dicts, and what the package was made from."""\n\n'
            f"{typed_dicts(document)}\n\n"
            f'GENERATOR = "{GENERATOR} {release}"\n'
            f'SPEC_SHA256 = "{hashlib.sha256(spec_bytes).hexdigest()}"\n',
            "utf-8",
        )
        _judge(package)
        # No setting of the machine or of a surrounding project has a say.
        alone = ["--isolated", "--no-cache", "--no-respect-gitignore", "--quiet"]
        alone += ["--config", "exclude = []"]
        for words in (["check", "--fix-only", "--extend-select=I"], ["format"]):
            _run([ruff, *words, ".", *alone], package)
        modules = [
            f"made_package.{path.relative_to(package).with_suffix('')}".replace("/", ".")
            for path in package.rglob("*.py")
        ]
        program = f"import sys; sys.path.insert(0, '.'); import {', '.join(sorted(modules))}"
        _run([sys.executable, "-B", "-c", program], Path(folder))
        files = sorted(path for path in package.rglob("*") if path.is_file())
        tree = {
            path.relative_to(package).as_posix(): HEADER.encode() + path.read_bytes()
            for path in files
        }
    return tree | {"py.typed": b""}, left_out


def _generate(document: dict[str, Any], spec: Path, package: Path) -> list[str]:
    from openapi_python_client import generate
    from openapi_python_client.config import Config, ConfigFile, MetaType
    from openapi_python_client.parser.errors import ErrorLevel

    spec.write_text(json.dumps(document), "ascii")
    config = Config.from_sources(
        ConfigFile.load_from_path(Path(__file__).parents[1] / "generator.yml"),
        MetaType.NONE,
        document_source=spec,
        file_encoding="utf-8",
        overwrite=False,
        output_path=package,
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            errors = generate(config=config)
    except Exception as error:
        reason = f"{GENERATOR} crashed: {type(error).__name__}: {error}"
        raise RunError(Exit.TOOL, reason) from error
    lines = [
        re.sub(r"<\S+ object at 0x[0-9a-f]+>", "…", one_line(f"{each.header} {each.detail or ''}"))
        for each in errors
    ]
    if any(each.level is ErrorLevel.ERROR for each in errors):
        raise RunError(Exit.SPEC, f"{GENERATOR}: {'; '.join(lines)}")
    return lines


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RunError(Exit.TOOL, f"{Path(command[0]).name}: {one_line(' '.join(last))}")


def _judge(package: Path) -> None:
    """Stop if a generated module does not compile, or binds a name of the spec twice."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        source = path.read_text("utf-8")
        try:
            compile(source, name, "exec")
        except SyntaxError as error:
            faults.append(f"{name}: {error.msg}")
        else:
            clashes = [] if name == "typed_dicts.py" else _clashes(ast.parse(source))
            faults += dict.fromkeys(f"{name}: {clash}" for clash in clashes)
    if faults:
        raise RunError(
            Exit.SPEC,
            f"{GENERATOR} makes no working module of these parts of the spec; remove them by a"
            f" correction: {'; '.join(faults)}",
        )


def _clashes(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            fields = _assigned(node.body)
            functions = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            # Names that from_dict and to_dict give to what they work with.
            taken = {*functions, "d", "cls", "field_dict"}
            for name in fields:
                if name in taken or fields.count(name) > 1:
                    yield f"the property {name!r} has the name of something generated"
        elif isinstance(node, ast.FunctionDef) and node.name == "_get_kwargs":
            arguments = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            for name in arguments & set(_assigned(node.body)):
                yield f"the parameter {name!r} has the name of something generated"


def _assigned(body: list[ast.stmt]) -> list[str]:
    return [
        each.target.id
        for each in body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]


def differences(tree: Tree, output: Path) -> list[str]:
    """Return where what lies at `output` is not `tree`: a line each, with the changed lines."""
    lying = {
        path.relative_to(output).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in output.rglob("*")
        if "__pycache__" not in path.parts and not path.is_dir()
    }
    lines = []
    for path in sorted(tree.keys() | lying.keys()):
        if path not in lying:
            lines.append(f"missing: {path}")
        elif path not in tree:
            lines.append(f"foreign: {one_line(path)}")
        elif lying[path] != tree[path]:
            was, is_now = (side[path].decode(errors="replace") for side in (lying, tree))
            diff = list(difflib.unified_diff(was.splitlines(), is_now.splitlines(), n=0))[2:]
            lines += [f"changed: {path}", *(f"    {one_line(line, 120)}" for line in diff[:20])]
    return lines


def check_replaceable(output: Path) -> None:
    """Stop where `output` holds anything but a generated package; in generated/ git keeps it."""
    if output.exists() and not output.is_dir():
        raise RunError(Exit.OUTPUT, f"{shown(output)} is a file; name a new folder")
    files = [path for path in output.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    for path in files if output != OUTPUT else []:
        if path.name != "py.typed" and not path.read_bytes().startswith(HEADER.encode()):
            reason = f"{shown(path)} is not of regenerate.py's making; name a new folder"
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
        if leftover.exists():
            shutil.rmtree(leftover)


def _beside(output: Path) -> tuple[Path, Path]:
    new, old = (output.with_name(f".{output.name}.{age}") for age in ("new", "old"))
    return new, old
