#!/usr/bin/env python3
"""Build generated/stoq_public_api_client from openapi.json with openapi-python-client.

The spec is validated, the corrections of scripts/corrections.json are made to a copy of it,
the generator and ruff run in a temporary folder, and the result takes the place of the old
package in one step. The same spec and tools give the same bytes on every machine.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import difflib
import hashlib
import importlib.metadata
import io
import itertools
import json
import keyword
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
SPEC = ROOT / "openapi.json"
OUTPUT = ROOT / "generated" / "stoq_public_api_client"
CORRECTIONS = SCRIPTS / "corrections.json"
SETTINGS = SCRIPTS / "generator.yml"
GENERATOR = "openapi-python-client"
HEADER_START = b"# Generated, do not edit: made by "
SETUP = "run scripts/setup, and this script with the python that setup prints"
NOTHING = object()
REFERENCES = ("$ref", "$dynamicRef", "$id")
NAMED = {
    *("properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "schemas"),
    *("paths", "webhooks", "pathItems", "callbacks", "callbacks/*", "parameters", "headers"),
    *("requestBodies", "responses", "content", "encoding", "examples", "links", "securitySchemes"),
}
"""Where an object's members have names that people chose; /* stands for any one of them."""

Tree = dict[str, bytes]
"""A package: what each file holds, by its path below the package, with forward slashes."""


class Exit(IntEnum):
    """What a run can end in: the exit code, and its meaning for --help."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        """Make the member that is the number `code`."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done; with --check: the package is what the spec gives"
    DIFFERS = 1, "only with --check: the package is not what the spec gives"
    USAGE = 2, "wrong arguments"
    UNREADABLE = 3, "the spec is missing, or cannot be read"
    NOT_JSON = 4, "the spec is not JSON (or not UTF-8, or it has half a character or a key twice)"
    NOT_OPENAPI = 5, "the spec is not valid OpenAPI, or it refers to other files"
    VERSION = 6, "the spec is of an OpenAPI version other than 3.0.x and 3.1.x"
    CORRECTION = 7, "a correction does not fit the spec, or the corrections are unusable"
    GENERATOR = 8, "the generator failed or warned, or ruff failed on what it made"
    TOOL = 9, "a tool is missing, or is not the release that pyproject.toml pins"
    OUTPUT = 10, "the output is refused, or cannot be read or written"
    INTERRUPTED = 130, "stopped by SIGINT, SIGTERM or SIGHUP"


class RunError(Exception):
    """Why a run stops, and the exit code that says so."""

    def __init__(self, exit_code: Exit, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def printable(text: str) -> str:
    """`text` with escapes for the characters that cannot be seen."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str, limit: int = 400) -> str:
    """`text` on one line of printable characters, its middle left out when it is long."""
    line = printable(" ".join(filter(None, map(str.strip, text.splitlines()))))
    if len(line) <= limit:
        return line
    return f"{line[: limit * 2 // 3]} … {line[-limit // 3 :]}"


def shown(path: Path) -> str:
    """`path` from the root of the project if it lies there, else in full."""
    return one_line(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))


@contextlib.contextmanager
def phase(name: str, told: bool) -> Iterator[None]:
    """Tell, if it is to be `told`, how many seconds the block took."""
    started = time.perf_counter()
    yield
    if told:
        seconds = time.perf_counter() - started
        print(f"regenerate: timing: {name} {seconds:.3f}", file=sys.stderr, flush=True)


# --- the spec


def read_file(path: Path, otherwise: Exit) -> bytes:
    """The bytes of a regular file; anything else stops the run with `otherwise`."""
    try:
        # Opening a pipe would wait for its writer.
        if path.exists() and not path.is_file():
            raise RunError(otherwise, f"{shown(path)} is not a file; name a JSON file")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(otherwise, f"cannot read {shown(path)}: {reason}") from error


def read_json(path: Path, unreadable: Exit, not_json: Exit) -> tuple[bytes, Any]:
    """The bytes of `path`, and the JSON that they are: Unicode, no key twice, no NaN."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise ValueError(f"an object has the key {key!r} twice; remove one of them")
            keys.add(key)
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON value; write a number or null")

    content = read_file(path, unreadable)
    try:
        text = content.decode("utf-8")
        document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        half = half_character(document)
        if half is None:
            return content, document
        reason = f"{half} is half a character; write both halves, or the character itself"
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8; save it as UTF-8"
    except json.JSONDecodeError as error:
        reason = f"{error}; only JSON is read, so convert YAML first"
        if text.startswith("\ufeff"):
            reason = "it starts with a byte order mark; save it as UTF-8 without one"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    raise RunError(not_json, f"{shown(path)} is not JSON: {reason}")


def check_openapi(document: Any, name: str) -> None:
    """Stop unless `document` is a valid OpenAPI 3.0 or 3.1 document that stands alone."""
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise RunError(Exit.NOT_OPENAPI, f"{name} is not OpenAPI: a JSON {kind}, not an object")
    version = document.get("openapi", document.get("swagger"))
    if not isinstance(version, str):
        raise RunError(Exit.NOT_OPENAPI, f'{name} is not OpenAPI: no "openapi": "3.…" at its top')
    if "openapi" not in document or not re.fullmatch(r"3\.[01]\.[0-9]+", version):
        supported = "the generator reads 3.0.x and 3.1.x"
        raise RunError(Exit.VERSION, f"{name} is of OpenAPI version {version!r}; {supported}")
    document = without_quoted_references(document)
    fault = outward_reference(document) or first_fault(document, version)
    if fault:
        raise RunError(Exit.NOT_OPENAPI, f"{name} is not valid OpenAPI: {fault}")


def pointer(*parts: str | int) -> str:
    """The JSON Pointer made of `parts`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def walked(document: Any) -> Iterator[tuple[str, str | int, Any]]:
    """Each member and item in `document`: the pointer to what holds it, its key, its value."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        place, value = waiting.pop()
        inside = value.items() if isinstance(value, dict) else ()
        for key, item in enumerate(value) if isinstance(value, list) else inside:
            yield place, key, item
            if isinstance(item, (dict, list)):
                waiting.append((place + pointer(key), item))


def half_character(document: Any) -> str | None:
    r"""The first half of a surrogate pair (JSON can say "\ud83d"), and where it stands."""
    for place, key, item in walked(document):
        for text in (key, item):
            half = re.search("[\ud800-\udfff]", text) if isinstance(text, str) else None
            if half:
                return f"at {place}{pointer(key)}: {half[0]!r}"
    return None


def is_free(keyword: str, value: Any, within: str) -> bool:
    """Whether a member of what stands at `within` is data, which no reference leads out of."""
    if keyword == "examples":
        return isinstance(value, list)
    return keyword in ("example", "default", "enum", "const") or (
        keyword == "value" and within == "examples/*"
    )


def without_quoted_references(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of `document` that lacks the examples, defaults and the like with references in them.

    They are data, but the validator follows what it finds in a default.
    """
    top = {"": document}
    waiting: list[tuple[Any, Any, str]] = [(top, "", "")]
    while waiting:
        holder, at, within = waiting.pop()
        value = holder[at]
        has_names = within in NAMED
        if isinstance(value, dict):
            value = {
                key: item
                for key, item in value.items()
                if has_names or not is_free(key, item, within) or not has_reference(item)
            }
        holder[at] = value = value.copy()
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, (dict, list)):
                waiting.append((value, key, f"{within}/*" if has_names else str(key)))
    return top[""]


def has_reference(value: Any) -> bool:
    """Whether anything in `value` looks like a reference."""
    return any(key in REFERENCES for _, key, _ in walked(value))


def outward_reference(document: Any) -> str | None:
    """The first reference that leads out of the document, which a validator would fetch."""
    for place, key, item in walked(document):
        if key in REFERENCES and isinstance(item, str) and not item.startswith("#"):
            remedy = "nothing is fetched, so copy what it names into the file"
            return f"at {place}{pointer(key)}: {item!r} leads out of it; {remedy}"
    return None


class SeenIds(list[int]):
    """A list that finds its items as fast as a set does."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: set[int] = set()

    def append(self, item: int) -> None:
        """Add `item`."""
        self._ids.add(item)

    def __contains__(self, item: object) -> bool:
        return item in self._ids


def first_fault(document: dict[str, Any], version: str) -> str | None:
    """What openapi-spec-validator says first against `document`."""
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    is_30 = version.startswith("3.0.")
    validator = (OpenAPIV30SpecValidator if is_30 else OpenAPIV31SpecValidator)(document)
    # It looks every schema up in lists of those it has seen: quadratic, and from some
    # thousand schemas on the larger part of the run.
    schemas = validator.keyword_validators_registry["schema"]
    for seen in ("visited_schema_ids", "meta_checked_schema_ids"):
        if getattr(schemas, seen, None) == []:
            setattr(schemas, seen, SeenIds())
    try:
        fault = next(validator.iter_errors(), None)
    # Whatever the library stumbles over, a reference into nowhere for one, is a fault.
    except Exception as error:  # noqa: BLE001
        return one_line(f"{type(error).__name__}: {error}")
    if fault is None:
        return None
    while fault.context:
        # None of several forms fits: what got furthest says most.
        fault = max(fault.context, key=lambda branch: len(branch.absolute_path))
    place = one_line(pointer(*fault.absolute_path), 200) or "the top"
    # jsonschema-rs, where it is installed, goes on to quote its schema and the document.
    message, _, _ = fault.message.partition("\n\n")
    return f"at {place}: {one_line(message, 200)}"


# --- corrections


def load_corrections(path: Path) -> list[dict[str, Any]]:
    """The corrections in `path`: a JSON list of objects with name, reason and operations."""
    _, corrections = read_json(path, Exit.CORRECTION, Exit.CORRECTION)
    try:
        if not isinstance(corrections, list):
            raise TypeError  # noqa: TRY301
        for correction in corrections:
            operations = correction["operations"]
            texts = [correction["name"], correction["reason"]]
            texts += [operation["path"] for operation in operations]
            if operations[0]["op"] != "test" or not all(isinstance(text, str) for text in texts):
                raise ValueError  # noqa: TRY301
    except (TypeError, LookupError, ValueError) as error:
        form = "a list of {name, reason, operations}, the operations a JSON Patch led by a test"
        raise RunError(Exit.CORRECTION, f"{shown(path)} is not {form}") from error
    return corrections


def found_at(document: Any, place: str) -> Any:
    """What `document` holds at the JSON Pointer `place`, or NOTHING."""
    import jsonpointer

    try:
        return jsonpointer.resolve_pointer(document, place, NOTHING)
    except jsonpointer.JsonPointerException:
        return NOTHING


def first_difference(expected: Any, found: Any, place: str = "") -> tuple[str, Any, Any]:
    """Where two unequal values first differ: a JSON Pointer below `place`, and both values there.

    NOTHING stands for a member or an item that one of them lacks.
    """
    sides: list[tuple[Any, Any, Any]] = []
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = expected | found
        sides = [(key, expected.get(key, NOTHING), found.get(key, NOTHING)) for key in keys]
    elif isinstance(expected, list) and isinstance(found, list):
        pairs = itertools.zip_longest(expected, found, fillvalue=NOTHING)
        sides = [(index, *pair) for index, pair in enumerate(pairs)]
    for key, one, other in sides:
        if one != other:
            return first_difference(one, other, place + pointer(key))
    return place, expected, found


def told_apart(expected: Any, found: Any, limit: int = 120) -> tuple[str, str]:
    """Two values as short JSON for a message, cut so that it shows where they differ."""
    texts = [
        "nothing" if value is NOTHING else printable(json.dumps(value, ensure_ascii=False))
        for value in (expected, found)
    ]
    pairs = enumerate(itertools.zip_longest(*texts))
    differs_at = next((at for at, (one, other) in pairs if one != other), 0)
    # Some of what is alike is told, too, for people to find the place by.
    start = max(0, differs_at - limit // 2) if max(map(len, texts)) > limit else 0
    one, other = (
        ("…" if start else "") + text[start : start + limit] + "…" * (len(text) > start + limit)
        for text in texts
    )
    return one, other


def held_above(document: Any, place: str) -> str:
    """What the lowest object of `document` on the way to `place` holds, where it ends too early."""
    above = place.rpartition("/")[0]
    if found_at(document, place) is not NOTHING or not above:
        return ""
    while found_at(document, above) is NOTHING:
        above = above.rpartition("/")[0]
    holds = found_at(document, above)
    if not isinstance(holds, dict):
        return ""
    names = one_line(", ".join(map(repr, holds)) or "nothing", 200)
    return f" ({above or 'the top'} holds {names})"


def corrected(document: Any, corrections: list[dict[str, Any]], spec_name: str) -> Any:
    """A copy of `document` with `corrections` made; one that does not fit stops the run.

    Stricter than JSON Patch in one point: `add` does not replace a member that is there,
    because what the vendor says now may be better than what we would say.
    """
    import jsonpatch
    import jsonpointer

    result = copy.deepcopy(document) if corrections else document
    for correction in corrections:
        name = correction["name"]
        for operation in correction["operations"]:
            kind, place = operation.get("op"), operation["path"]
            found, parent = found_at(result, place), found_at(result, place.rpartition("/")[0])
            fits = kind != "add" or found is NOTHING or not isinstance(parent, dict)
            try:
                if fits:
                    result = jsonpatch.apply_patch(result, [operation], in_place=True)
            except jsonpatch.InvalidJsonPatch as error:
                reason = f"correction {name!r} is no JSON Patch: {error}"
                raise RunError(Exit.CORRECTION, reason) from error
            except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
                fits = False
            if not fits:
                expected = {"test": operation.get("value"), "add": NOTHING}.get(kind, "a value")
                where, *sides = first_difference(expected, found, place)
                is_wanted, is_there = told_apart(*sides)
                raise RunError(
                    Exit.CORRECTION,
                    f"correction {name!r} does not fit {spec_name}: at {where} it expects "
                    f"{is_wanted} and finds {is_there}{held_above(result, place)}. Its reason was: "
                    f"{correction['reason']} Decide anew, and edit the corrections",
                )
    return result


# --- the tools


def check_tools() -> tuple[str, str]:
    """The generator's release and the path of ruff, if both are the releases pinned."""
    import tomllib

    project = ROOT / "pyproject.toml"
    try:
        groups = tomllib.loads(read_file(project, Exit.TOOL).decode())["dependency-groups"]
        pins = dict(line.split("==") for line in groups["regenerate"] if "==" in line)
        pinned_generator, pinned_ruff = pins[GENERATOR], pins["ruff"]
    except (ValueError, LookupError, TypeError) as error:
        wanted = f"{GENERATOR}==… and ruff==… in the dependency group `regenerate`"
        raise RunError(Exit.TOOL, f"{shown(project)} does not have {wanted}: {error}") from error
    for tool, pinned in ((GENERATOR, pinned_generator), ("ruff", pinned_ruff)):
        try:
            installed = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError as error:
            raise RunError(Exit.TOOL, f"{tool} is not installed; {SETUP}") from error
        if installed != pinned:
            reason = f"{tool} {installed} is installed, but {pinned} is pinned; {SETUP}"
            raise RunError(Exit.TOOL, reason)
    from ruff import find_ruff_bin  # type: ignore[import-untyped]

    try:
        ruff = str(find_ruff_bin())
        said = subprocess.run([ruff, "--version"], capture_output=True, check=True).stdout.decode()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise RunError(Exit.TOOL, f"ruff does not run: {error}; {SETUP}") from error
    if said.split()[1:2] != [pinned_ruff]:
        reason = f"{ruff} says it is {said.strip()!r}, but {pinned_ruff} is pinned; {SETUP}"
        raise RunError(Exit.TOOL, reason)
    return pinned_generator, ruff


def run_tool(name: str, command: list[str], folder: Path) -> None:
    """Run `command` in `folder`, away from the caller's settings; a failure stops the run."""
    # What finds programs, libraries and the temporary folder: nothing that decides bytes.
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "NO_COLOR": "1", "TZ": "UTC"}
    # Without it, typer draws a frame around a traceback.
    environment["_TYPER_STANDARD_TRACEBACK"] = "1"
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        complaint = first_complaint(done.stderr or done.stdout)
        raise RunError(Exit.GENERATOR, f"{name}: {complaint or f'exit code {done.returncode}'}")


def first_complaint(report: str) -> str:
    """The first complaint in what a tool has printed, on one line."""
    report = re.sub(r"<\S+ object at 0x[0-9a-f]+>", "…", report)
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    if any(line.startswith("Traceback (") for line in lines):
        return one_line(f"it crashed: {lines[-1]}")
    if lines and lines[0].endswith(("pieces may be missing", "client was not created")):
        del lines[0]
    dump = next((at for at, line in enumerate(lines) if line.startswith(("{", "If you "))), None)
    return one_line(" ".join(lines[:dump]))


# --- the package


HEADER = HEADER_START + (
    f"{GENERATOR}.\n"
    "# To change it, change the spec or its corrections, and run scripts/regenerate.py.\n\n"
).encode("ascii")
"""The comment that starts every module of the package."""


def bodies_module(document: Any, generator_release: str, spec_bytes: bytes) -> str:
    """The module typed_dicts, the one that names the release and the spec."""
    from pipeline.typed_dicts import typed_dicts

    return (
        '"""The request bodies as plain dicts, and what the package was made from."""\n\n'
        f"{typed_dicts(document)}\n\n"
        f'GENERATOR = "{GENERATOR} {generator_release}"\n'
        f'SPEC_SHA256 = "{hashlib.sha256(spec_bytes).hexdigest()}"\n'
    )


def build(document: Any, bodies: str, ruff: str, told: bool) -> Tree:
    """Run the generator and ruff on `document` in a temporary folder; the package they make."""
    with tempfile.TemporaryDirectory(prefix="regenerate-") as folder_name:
        folder = Path(folder_name)
        spec, settings, package = (folder / name for name in ("spec.json", "settings.yml", "made"))
        spec.write_text(json.dumps(document), encoding="ascii")
        settings.write_bytes(read_file(SETTINGS, Exit.GENERATOR))
        with phase("generator", told):
            generator = [sys.executable, "-P", "-m", "openapi_python_client", "generate"]
            options = ["--meta", "none", "--fail-on-warning", "--config", str(settings)]
            paths = ["--path", str(spec), "--output-path", str(package)]
            run_tool(GENERATOR, [*generator, *options, *paths], folder)
        (package / "typed_dicts.py").write_text(bodies, "utf-8")
        with phase("ruff", told):
            # Left alone, ruff passes over folders called build or dist and what git ignores.
            alone = ["--isolated", "--no-cache", "--no-respect-gitignore", "--quiet"]
            alone += ["--config", "exclude = []"]
            fixes = ["--fix-only", "--extend-select=I"]
            run_tool("ruff check", [ruff, "check", ".", *fixes, *alone], package)
            run_tool("ruff format", [ruff, "format", ".", *alone], package)
        files = sorted(path for path in package.rglob("*") if path.is_file())
        tree = {path.relative_to(package).as_posix(): path.read_bytes() for path in files}
    tree = {path: HEADER + content for path, content in tree.items()}
    return tree | {"py.typed": b""}


def on_disk(package: Path, tree: Tree) -> dict[str, bytes | None]:
    """What lies in `package`, by path: the bytes of a plain file of `tree`, else None.

    An empty folder's path ends in a slash. What importing the package makes, folders called
    __pycache__ and *.pyc in them, is passed over.
    """

    def stop(error: OSError) -> NoReturn:
        raise error

    lying: dict[str, bytes | None] = {}
    for folder_name, folders, files in os.walk(package, onerror=stop):
        folder = Path(folder_name)
        links = [name for name in folders if (folder / name).is_symlink()]
        folders[:] = [name for name in folders if name not in links]
        is_cache = folder.name == "__pycache__"
        if is_cache:
            # Python writes x.pyc as x.pyc.139872 first, which may be gone in a moment.
            files = [name for name in files if not re.search(r"\.pyc(\.\d+)?\Z", name)]
        for file in (folder / name for name in files + links):
            mode = file.lstat().st_mode
            path = file.relative_to(package).as_posix()
            executable = os.name == "posix" and mode & 0o111
            plain = stat.S_ISREG(mode) and not executable and path in tree
            lying[path] = file.read_bytes() if plain else None
        path = folder.relative_to(package).as_posix() + "/"
        is_empty = not (set(folders) - {"__pycache__"} or files or links or is_cache)
        if is_empty and not any(of.startswith(path) for of in tree):
            lying[path] = None
    return lying


def differences(tree: Tree, lying: dict[str, bytes | None]) -> list[str]:
    """Where what lies on disk is not `tree`: a line each, and the first changed lines."""
    lines: list[str] = []
    room = 40
    for path in sorted(tree.keys() | lying.keys()):
        if path not in lying:
            lines.append(f"missing: {path}")
        elif path not in tree:
            lines.append(f"foreign: {one_line(path)}")
        elif lying[path] is None:
            lines.append(f"changed: {path} (it is executable, or no plain file)")
        elif lying[path] != tree[path]:
            lines.append(f"changed: {path}")
            sides = (lying[path] or b"", tree[path])
            is_text, to_be = (side.decode(errors="backslashreplace").split("\n") for side in sides)
            diff = list(difflib.unified_diff(is_text, to_be, n=0, lineterm=""))[2:] if room else []
            lines += [f"    {one_line(line, 120)}" for line in diff[:room]]
            room = max(0, room - len(diff))
    return lines


# --- the output


def is_generated(folder: Path) -> bool:
    """Whether `folder` is a package that this script has made."""
    try:
        return (folder / "__init__.py").read_bytes().startswith(HEADER_START)
    except OSError:
        return False


def no_folder(output: Path) -> str | None:
    """Why `output` can be no package at all."""
    if output.is_symlink():
        return "it is a loop of symbolic links"
    if output.exists() and not output.is_dir():
        return "it is a file"
    return None


def precious(output: Path, spec: Path) -> str | None:
    """Why to replace the folder `output` could destroy what this script has not made."""
    inside = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if output in (SCRIPTS, *SCRIPTS.parents, *spec.parents):
        return "it holds the spec or this project"
    if is_generated(output.parent):
        return "it lies in a generated package"
    if ".git" in inside:
        return "it is a git repository"
    if inside - {"__pycache__"} and not is_generated(output) and output != OUTPUT:
        return "it is not empty, and this script has not made it"
    return None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs from writing in `folder` meanwhile, where the system has flock."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems know neither flock nor fsync of a folder.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders trade names in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    at_working_directory, rename_exchange = -100, 2
    paths = (at_working_directory, os.fsencode(one), at_working_directory, os.fsencode(other))
    return bool(renameat2(*paths, rename_exchange) == 0)


def replace(output: Path, tree: Tree) -> None:
    """Put `tree` in the place of `output`, which at any moment holds the old files or the new.

    Where two folders cannot be exchanged there is a moment without `output`: the old package
    then lies beside it, and the next run puts it back.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with locked(output.parent):
        new, old = clear_leftovers(output)
        try:
            for path, content in tree.items():
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                with (new / path).open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            if not output.exists():
                new.rename(output)
            elif not exchange(new, output):
                output.rename(old)
                new.rename(output)
        finally:
            # What cannot be removed is no reason to fail: the package is whole by now.
            with contextlib.suppress(OSError):
                clear_leftovers(output)


def clear_leftovers(output: Path) -> tuple[Path, Path]:
    """Free the two names beside `output` that `replace` works with, and return them.

    What an interrupted run has left there is removed, but for an old package that was taken
    away and not yet replaced: it is put back.
    """
    new, old = (output.with_name(f".{output.name}.regenerate-{age}") for age in ("new", "old"))
    if old.exists() and not output.exists():
        old.rename(output)
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    return new, old


# --- the command


PROMISE = """\
Codes 1 to 10 leave the package as it was, to the byte. A kill at any moment leaves it as it
was, or whole and new. Where the system cannot exchange two folders (only Linux can), there
is a moment without it: the next run begins by putting the old one back."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what is wrong without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Stop with `message`."""
        raise RunError(Exit.USAGE, f"{message}; see --help")


def is_importable(name: str) -> bool:
    """Whether a package of this name can be imported by a statement."""
    # Python looks for the normal form of what the statement says.
    is_normal = unicodedata.normalize("NFKC", name) == name
    return name.isidentifier() and is_normal and not keyword.iskeyword(name)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, its paths resolved and its defaults filled in."""
    codes = "\n".join(f"  {code.value:3}  {code.meaning}" for code in Exit)
    parser = OneLineParser(
        description="Build generated/stoq_public_api_client from openapi.json.",
        epilog=f"exit codes:\n{codes}\n\n{PROMISE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--check", action="store_true", help="write nothing; list where the package differs")
    add("--spec", type=Path, metavar="FILE", default=SPEC, help="another spec, as JSON")
    output_help = (
        "the package folder, to be replaced as a whole; its name is the name to import it by. "
        "Needed with --spec. A folder with other things in it is not replaced"
    )
    add("--output", type=Path, metavar="DIR", help=output_help)
    corrections_help = "corrections (default: scripts/corrections.json, and none with --spec)"
    add("--corrections", type=Path, metavar="FILE", help=corrections_help)
    add("--timings", action="store_true", help="tell on stderr how long each phase took")
    chosen = parser.parse_args(arguments)
    try:
        # Path.resolve raises on a loop of symbolic links up to Python 3.12, and then no more;
        # realpath never does, and whoever opens the path finds out.
        chosen.spec = Path(os.path.realpath(chosen.spec))
        if chosen.output is None and chosen.spec != SPEC:
            parser.error("--spec needs --output, the package folder to write")
        # A link is imported by its own name, not by that of what it leads to.
        name = Path(os.path.normpath((chosen.output or OUTPUT).absolute())).name
        if not is_importable(name):
            parser.error(f"--output: {name!r} cannot be imported; name it as Python names packages")
        chosen.output = Path(os.path.realpath(chosen.output or OUTPUT))
    except OSError as error:
        parser.error(str(error))
    if chosen.corrections is None and chosen.spec == SPEC:
        chosen.corrections = CORRECTIONS
    return chosen


def say(*lines: str) -> None:
    """Print `lines` for whoever is still reading."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        # Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def regenerate(chosen: argparse.Namespace) -> Exit:
    """Do what the command line asks for."""
    spec_name, output, told = chosen.spec.name, chosen.output, chosen.timings
    refused = no_folder(output)
    kept = None if refused else precious(output, chosen.spec)
    if refused or (kept and not chosen.check):
        reason = f"{refused or kept}; name a new folder"
        raise RunError(Exit.OUTPUT, f"{shown(output)} is refused: {reason}")
    with phase("validate", told):
        spec_bytes, document = read_json(chosen.spec, Exit.UNREADABLE, Exit.NOT_JSON)
        release, ruff = check_tools()
        check_openapi(document, shown(chosen.spec))
    with phase("correct", told):
        corrections = load_corrections(chosen.corrections) if chosen.corrections else []
        document = corrected(document, corrections, spec_name)
    tree = build(document, bodies_module(document, release, spec_bytes), ruff, told)
    with phase("compare", told):
        listing = differences(tree, on_disk(output, tree) if output.exists() else {})
    if chosen.check and listing:
        advice = "To make it so, run this script without --check."
        if kept:
            advice = f"To have it so, name a new folder: {kept}, so it will not be replaced."
        say(f"{shown(output)} is not what {one_line(spec_name)} gives:", *listing, advice)
        return Exit.DIFFERS
    if listing:
        with phase("write", told):
            replace(output, tree)
    news = "written" if listing else "up to date"
    say(f"{shown(output)}: {news} ({len(tree)} files)")
    return Exit.DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; every failure is one line on stderr and an exit code of its own."""
    try:
        return regenerate(parse_arguments(arguments))
    except RunError as error:
        code, reason = error.exit_code, str(error)
    except ImportError as error:
        code, reason = Exit.TOOL, f"{error.name} is not installed; {SETUP}"
    except RecursionError:
        code, reason = Exit.NOT_OPENAPI, "the spec is nested too deeply"
    except OSError as error:
        code, reason = Exit.OUTPUT, f"cannot read or write: {error}"
    except KeyboardInterrupt:
        code, reason = Exit.INTERRUPTED, "stopped by a signal"
    try:
        print(f"regenerate: {one_line(reason, 1200)}", file=sys.stderr, flush=True)
    except OSError:
        # A terminal that was closed takes no line, and the exit code still tells: so what is
        # buffered goes nowhere, which Python would complain of with a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


def obey_signals() -> None:
    """Let SIGTERM and SIGHUP end the run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Windows has no SIGHUP, and who says nohup wants it ignored.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


if __name__ == "__main__":
    obey_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
