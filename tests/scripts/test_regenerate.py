"""scripts/regenerate.py: generated/ is what openapi.json gives, and a failure changes nothing."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import typing
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from trees import ROOT, imported_from

import regenerate
from pipeline import corrections, package
from pipeline.corrections import Correction
from pipeline.exits import Exit, RunError

PACKAGE = ROOT / "generated" / "stoq_public_api_client"
SPEC_BYTES = (ROOT / "openapi.json").read_bytes()


def pings(schema: Any = None, version: str = "3.0.3", **operation: Any) -> dict[str, Any]:
    """A small valid spec, whose one answer has `schema`."""
    answer = {"description": "Said", "content": {"application/json": {"schema": schema or {}}}}
    stated = {"operationId": "list_pings", "responses": {"200": answer}, **operation}
    return {
        "openapi": version,
        "info": {"title": "Small", "version": "1"},
        "paths": {"/pings": {"post": stated}},
    }


def body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


class Runner:
    """Runs regenerate.py in process on a spec, in a folder of its own."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.output = folder, folder / "a_package"
        self._capfd = capfd

    def __call__(self, spec: Any, *more: str) -> tuple[int, str]:
        """Return the exit code and what was printed."""
        (self.folder / "a-package.json").write_text(json.dumps(spec))
        with chdir(self.folder):
            code = regenerate.main(["--spec", "a-package.json", *more])
        printed = self._capfd.readouterr()
        return code, printed.out + printed.err


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Runner:
    """A runner in an empty folder."""
    return Runner(tmp_path, capfd)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the small spec."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "a-package.json").write_text(json.dumps(pings()), "utf-8")
    with chdir(folder):
        assert Exit.DONE == regenerate.main(["--spec", "a-package.json"])
    return folder / "a_package"


# --- what is committed


def test_generated_is_in_sync(tmp_path: Path) -> None:
    """The committed package is what openapi.json gives, and --check writes nothing.

    Hash seed, locale, time zone, settings of ruff and working directory change no byte.
    """
    # A surrounding project with other ruff settings and a .gitignore that hides everything.
    (tmp_path / "ruff.toml").write_text("line-length = 40\n")
    (tmp_path / ".gitignore").write_text("*\n")
    settings = {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "Asia/Tokyo", "TMPDIR": "."}
    settings |= {"RUFF_LINE_LENGTH": "40"}
    before = files_below(PACKAGE.parent)
    command = [sys.executable, ROOT / "scripts" / "regenerate.py", "--check"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | settings, check=True)
    assert before == files_below(PACKAGE.parent)


def test_spec_is_pretty_printed() -> None:
    """openapi.json is its own pretty-print: two spaces, UTF-8, a final newline."""
    pretty = json.dumps(json.loads(SPEC_BYTES), indent=2, ensure_ascii=False) + "\n"
    assert pretty.encode() == SPEC_BYTES


def test_one_module_names_the_spec() -> None:
    """Each module says that it is generated; one says by what release, and from what spec."""
    modules = {path.name: path.read_bytes() for path in PACKAGE.rglob("*.py")}
    assert len(modules) > 10
    assert all(module.startswith(package.HEADER) for module in modules.values())
    release = f"{package.GENERATOR}=={importlib.metadata.version(package.GENERATOR)}"
    for told in (release, hashlib.sha256(SPEC_BYTES).hexdigest()):
        named = [name for name, module in modules.items() if told.encode() in module]
        assert ["typed_dicts.py"] == named


# --- check, and putting right


def test_check_lists_every_difference(run: Runner, made: Path) -> None:
    """--check names what was edited, added and lost; a run without it puts all of it right."""
    shutil.copytree(made, run.output)
    edited = run.output / "client.py"
    edited.write_text(edited.read_text("utf-8").replace("timeout", "patience", 1), "utf-8")
    (run.output / "errors.py").unlink()
    (run.output / "by_hand.py").write_bytes(package.HEADER)
    broken = files_below(run.output)

    code, said = run(pings(), "--check")
    assert Exit.DIFFERS == code
    assert broken == files_below(run.output)
    assert ["by_hand.py", "client.py", "errors.py"] == said.splitlines()[1:-1]

    assert (Exit.DONE, "a_package: written (10 files)\n") == run(pings())
    assert files_below(made) == files_below(run.output)


def test_what_it_has_not_made_is_never_replaced(run: Runner) -> None:
    """An output that is not a generated package is refused, and left as it is."""
    run.output.mkdir()
    (run.output / "cat.jpg").write_text("photo")
    code, said = run(pings())
    assert Exit.CANNOT_WRITE == code
    assert "a_package is not of regenerate.py's making" in said
    assert {"cat.jpg": b"photo"} == files_below(run.output)


def test_a_kill_between_the_renames_is_repaired(
    run: Runner, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a run ends between the two renames, the next one makes the package."""
    shutil.copytree(made, run.output)
    real = Path.rename

    def rename_once(path: Path, target: Path) -> None:
        if path.name.endswith(".new"):
            raise SystemExit("killed")
        real(path, target)

    monkeypatch.setattr(Path, "rename", rename_once)
    with pytest.raises(SystemExit, match="killed"):
        package.replace(run.output, {"new.py": b""})
    monkeypatch.undo()
    assert not run.output.exists()
    assert Exit.DONE == run(pings())[0]
    assert files_below(made) == files_below(run.output)
    assert {"a_package", "a-package.json"} == {path.name for path in run.folder.iterdir()}


# --- specs that are refused

NOT_THERE = {"$ref": "#/components/schemas/Gone"}
BODY = {"in": "query", "name": "body", "schema": {"type": "string"}}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (pings(version="3.2.0"), "3.2.0"),
        ({"openapi": "3.0.3"}, "the top: 'info' is a required property"),
        (pings({"not": NOT_THERE}), "schema/not/$ref leads to '#/components/schemas/Gone', which"),
        (pings({"$ref": "other.json#/a"}), "schema/$ref leads to 'other.json#/a', which is not"),
        (
            pings({"type": "object", "properties": {"n": {"type": "integer", "default": "x"}}}),
            "/schema/properties/n/default: 'x' is not of type 'integer'",
        ),
        (
            pings(operationId="too_long_for_a_file_name" * 20),
            "openapi-python-client crashed: OSError",
        ),
        (
            pings(requestBody=body({"type": "object"}), parameters=[BODY]),
            "the parameter 'body' of list_pings",
        ),
        (pings(parameters=[{**BODY, "name": "params"}]), "the parameter 'params' of list_pings"),
        (
            pings({"type": "object", "properties": {"to_dict": {}, "d": {}}}),
            "rename them by a correction: the property 'to_dict', the property 'd'",
        ),
    ],
)
def test_an_unusable_spec_is_refused(spec: Any, named: str, run: Runner) -> None:
    """A spec that gives no working package ends in one line, and the package stays as it was."""
    code, said = run(spec)
    assert code in (Exit.BAD_SPEC, Exit.BAD_TOOL), said
    assert named in said
    assert 1 == said.count("\n")
    assert not run.output.exists()


def test_words_do_not_depend_on_the_engine() -> None:
    """The JSON Schema engine that words a fault is the same, whatever is installed beside it."""
    from openapi_spec_validator.schemas import get_validator_backend

    assert "jsonschema" == get_validator_backend()


def test_awkward_specs_work(run: Runner) -> None:
    """Odd names come back from a model as they were given; a schema may hold itself."""
    names = ["class", "self", "Any", "prop", "a-b", "default", "example", "übung"]
    node = {"$ref": "#/components/schemas/Node"}
    fields = {"next": node, "all": {"type": "array", "items": node}}
    fields |= {name: {"type": "string", "format": "odd"} for name in names}
    fields["wait"] = {"type": "string", "format": "duration"}
    schema = {"type": "object", "properties": fields}
    spec = pings(node, requestBody=body(node)) | {"components": {"schemas": {"Node": schema}}}
    assert Exit.DONE == run(spec)[0]
    with imported_from(run.folder, names={"a_package"}):
        from a_package.models import Node
        from a_package.typed_dicts import NodeDict

        value = {"next": {"next": {}}, "all": [{}], **dict.fromkeys(names, "x")}
        assert value == Node.from_dict(value).to_dict()
        assert fields.keys() == NodeDict.__optional_keys__
        hints = typing.get_type_hints(NodeDict)
        assert (NodeDict, list[NodeDict], str) == (hints["next"], hints["all"], hints["wait"])


def test_left_out_pieces_are_counted_and_named(run: Runner) -> None:
    """What the generator cannot make stops the run; --partial goes on without it."""
    spec = pings(requestBody={"content": {"image/png": {"schema": {"type": "string"}}}})
    spec["paths"]["/pongs"] = {"get": {"responses": {"204": {"description": "Nothing"}}}}
    code, said = run(spec)
    assert Exit.BAD_SPEC == code
    assert "would leave out 1 of the spec's pieces" in said
    assert "POST /pings" in said
    assert "image/png" in said
    assert not run.output.exists()

    code, said = run(spec, "--partial")
    assert Exit.DONE == code
    assert 1 == said.count("left out: ")
    assert (run.output / "api" / "default" / "get_pongs.py").is_file()


# --- corrections

AT = "/paths/~1pings/post/responses/200/content/application~1json/schema"
NAMED = Correction(
    "name-Ping",
    "It has none.",
    [
        {"op": "test", "path": f"{AT}/type", "value": "object"},
        {"op": "add", "path": f"{AT}/title", "value": "Ping"},
    ],
)
NO_TAGS = Correction("drop", "Spaces.", [{"op": "remove", "path": "/paths/~1pings/post/tags"}])


@pytest.mark.parametrize(
    "schema", [{}, {"title": "Ping"}, {"type": ["object", "null"], "title": "Pong"}]
)
def test_a_correction_fits_as_long_as_what_it_rests_on_is_there(schema: dict[str, Any]) -> None:
    """A correction looks at its own place, and leaves alone what is as it wants already."""
    spec = pings({"type": "object"} | schema)
    found = corrections.corrected(spec, [NAMED, NO_TAGS], "spec.json")
    assert pings({"type": "object"} | schema | {"title": "Ping"}) == found
    assert found == corrections.corrected(found, [NAMED, NO_TAGS], "spec.json")


def test_a_correction_follows_references() -> None:
    """Where the vendor moves a part into the components, the correction goes there, too."""
    spec = pings({"$ref": "#/components/schemas/P"})
    spec |= {"components": {"schemas": {"P": {"type": "object"}}}}
    found = corrections.corrected(spec, [NAMED], "spec.json")
    assert {"type": "object", "title": "Ping"} == found["components"]["schemas"]["P"]


@pytest.mark.parametrize("schema", [{"type": "array", "items": {}}, {}])
def test_a_correction_that_does_not_fit_is_told(schema: dict[str, Any]) -> None:
    """The message names the correction, its place, what it expects and why."""
    with pytest.raises(RunError) as stopped:
        corrections.corrected(pings(schema), [NAMED], "spec.json")
    assert Exit.CORRECTION_DOES_NOT_FIT == stopped.value.code
    told = f"correction 'name-Ping' does not fit spec.json: at {AT}/type it expects \"object\""
    assert told in str(stopped.value)
    assert "It has none." in str(stopped.value)


@pytest.mark.parametrize(
    "text", ["7", "{", '[{"name": "a", "reason": "b", "operations": [{"op": "m", "path": "/a"}]}]']
)
def test_unusable_corrections_are_refused(text: str, tmp_path: Path) -> None:
    """Corrections that are not a list of patches with reasons are refused."""
    path = tmp_path / "corrections.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"corrections.json is not a list of") as stopped:
        corrections.load(path)
    assert Exit.CORRECTION_DOES_NOT_FIT == stopped.value.code


def test_each_committed_correction_has_a_reason_and_does_something() -> None:
    """Each correction of ours changes openapi.json, and says why."""
    found = json.loads(SPEC_BYTES)
    for correction in corrections.load():
        before, found = found, correction.apply(found, "openapi.json")
        assert before != found
        assert correction.reason.endswith(".")


def test_headers_that_openapi_ignores_are_no_arguments() -> None:
    """A header parameter called Content-Type, Accept or Authorization is dropped."""
    names = ["X-Shop", "Content-Type", "accept", "Authorization"]
    listed = [{"in": "header", "name": name, "schema": {"type": "string"}} for name in names]
    spec = pings(parameters=listed)
    assert pings(parameters=listed[:1]) == corrections.corrected(spec, [], "spec.json")
    assert pings(parameters=listed) == spec


# --- tools and arguments


def test_another_release_is_refused(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is not of the pinned release stops the run."""
    real = importlib.metadata.version(package.GENERATOR)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    told = f"{package.GENERATOR} is pinned to {real}, and 0.0.1 is installed; run scripts/setup"
    code, said = run(pings())
    assert (Exit.BAD_TOOL, told) == (code, said.strip().partition(": ")[2])


@pytest.mark.parametrize("script", ["regenerate.py", "update_spec.py"])
def test_missing_tools_are_named(script: str) -> None:
    """Without what setup installs, the run says what to run."""
    # -S leaves out what is installed into the environment.
    command = [sys.executable, "-S", str(ROOT / "scripts" / script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert Exit.BAD_TOOL == done.returncode
    assert done.stderr.endswith(" lacks the tools; run scripts/setup, and use .venv\n")


def test_a_page_is_not_a_spec(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever gives a page learns which script reads it."""
    with pytest.raises(SystemExit) as ended:
        regenerate.main(["--spec", "page.md"])
    assert Exit.WRONG_ARGUMENTS == ended.value.code
    told = "page.md is a page or YAML, not .json; run scripts/update_spec.py"
    assert told in capfd.readouterr().err


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """--help gives each exit code in words."""
    with pytest.raises(SystemExit):
        regenerate.main(["--help"])
    _, codes = capsys.readouterr().out.split("Exit codes of regenerate.py and update_spec.py.\n")
    assert [0, 1, 2, 3, 4, 5, 6, 10, 11, 12] == [int(line[:3]) for line in codes.splitlines()]
    assert "  4  correction does not fit\n" in codes
