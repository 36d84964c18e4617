"""scripts/update_spec.py: from the vendor's pages to one spec, explained before it is written."""

import copy
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonpatch import apply_patch

import update_spec
from pipeline import spec as reading
from pipeline.changes import changes, worst
from pipeline.exits import Exit, RunError
from pipeline.spec import Page, find_openapi, merged, read_page

PAGES = Path(__file__).with_name("pages")
# A frozen copy, on which these tests go on when openapi.json changes.
SPEC = read_page(str(PAGES / "create-an-intent.md")).document
KEYED = ["list-intents.md", "get-an-intent.md", "notify-an-intent.md"]
SMALL = '{"openapi": "3.0.3", "info": {"title": "A", "version": "1"}, "paths": {}}'
OTHER = SMALL.replace('"A"', '"B"')


def page_with(*blocks: str) -> str:
    """A page in the vendor's form, with a fenced JSON block of each text."""
    fenced = "\n\n".join(f"Some prose.\n\n```json\n{block}\n```" for block in blocks)
    return f"> Index: llms.txt\n\n# Create an Intent\n\n{fenced}\n\n---\n\n# Instructions\n"


# --- the block in a page


@pytest.mark.parametrize(
    "text",
    [
        SMALL,
        "\ufeff" + SMALL,
        "# comment\nopenapi: 3.0.3\ninfo: {title: A, version: '1'}\npaths: {}\n",
        page_with(SMALL),
        page_with(SMALL).replace("\n", "\r\n"),
        page_with('{"error": "Not found"}', SMALL, "{broken"),
        page_with(SMALL, SMALL),
        page_with(SMALL).replace("```json", "~~~").replace("```", "~~~"),
        page_with("info: {title: A, version: '1'}\nopenapi: 3.0.3\npaths: {}"),
        f"- in a list:\n\n  ```json\n  {SMALL}\n  ```\n",
    ],
)
def test_the_block_is_found_whatever_surrounds_it(text: str) -> None:
    """JSON, YAML and pages with other blocks, CRLF or a byte order mark give the same document."""
    assert json.loads(SMALL) == find_openapi(text.encode(), "page.md")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# Nothing here\n", "page.md holds no OpenAPI document, nor does a code block in it"),
        (b"[]", "page.md holds no OpenAPI document"),
        (
            page_with(SMALL, OTHER).encode(),
            "the block at line 7 and page.md, the block at line 13 hold different documents",
        ),
        (page_with(SMALL[:-1]).encode(), "line 7 is not JSON or YAML: Expecting ',' delimiter"),
        (page_with("openapi: 3.0.3\n  a: [").encode(), "line 7 is not JSON or YAML: "),
        (b"openapi: 3.0.3\nopenapi: 3.0.3\n", "page.md is not JSON or YAML: "),
        (b"\xff", "page.md: byte 0 is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_page_is_told_with_its_place(content: bytes, said: str) -> None:
    """A page with no OpenAPI, two different ones or a broken one ends in one clear line."""
    with pytest.raises(RunError) as stopped:
        find_openapi(content, "page.md")
    assert said in str(stopped.value)
    assert Exit.BAD_SPEC == stopped.value.code


def test_dates_in_yaml_are_strings() -> None:
    """A date in YAML comes out as JSON has it."""
    text = "openapi: 3.0.3\ninfo: {title: A, version: 2026-09-01}\npaths: {}\n"
    assert "2026-09-01" == find_openapi(text.encode(), "page.yaml")["info"]["version"]


# --- pages from the network


@pytest.mark.parametrize(
    ("answer", "most_seconds", "said"),
    [
        (httpx.Response(200, text=page_with(SMALL)), 30, None),
        (httpx.Response(404), 30, "404 Not Found"),
        (httpx.Response(302, headers={"Location": "http://a.example.com"}), 30, "'302 Found'"),
        (httpx.Response(200, text="x" * 5_000_001), 30, "more than 5,000,000 bytes or 30 s"),
        (httpx.Response(200, text=page_with(SMALL)), -1, "more than 5,000,000 bytes or -1 s"),
    ],
)
def test_a_page_is_fetched_within_limits(
    answer: httpx.Response, most_seconds: int, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https URL gives its page; an error, a redirect or one too large or slow, one line."""
    monkeypatch.setattr(reading, "MOST_SECONDS", most_seconds)
    client = httpx.Client(transport=httpx.MockTransport(lambda request: answer))
    url = "https://docs.example.com/create.md"
    if said is None:
        sha256 = hashlib.sha256(answer.content).hexdigest()
        assert Page(url, sha256, json.loads(SMALL)) == read_page(url, client)
        return
    with pytest.raises(RunError, match=said) as stopped:
        read_page(url, client)
    assert Exit.BAD_SPEC == stopped.value.code


# --- several pages


def document(
    server: str = "https://app.example.com/api/v1", path: str = "/a", **more: Any
) -> dict[str, Any]:
    operation = {"tags": ["A"], "responses": {"204": {"description": "Done"}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": path, "version": "1"},
        "servers": [{"url": server}],
        "paths": {path: {"get": operation}},
        **more,
    }


def merge(*documents: dict[str, Any]) -> dict[str, Any]:
    """Merge documents as pages a.md, b.md, ..."""
    named = zip("abc", documents, strict=False)
    return merged([Page(f"{name}.md", "", each) for name, each in named])


def test_the_keyed_pages_become_one_spec_with_ours() -> None:
    """Paths are rebased on the common server; only the keyed operations ask for the key."""
    read = [Page("create.md", "", SPEC), *(read_page(str(PAGES / name)) for name in KEYED)]
    spec = merged(read)
    assert SPEC["servers"] == spec["servers"]
    assert SPEC["info"] == spec["info"]
    assert [
        "/intents.json",
        "/external/intents.json",
        "/external/intents/{id}.json",
        "/external/intents/{id}/notify.json",
    ] == list(spec["paths"])
    assert ["Intent"] == list(spec["components"]["schemas"])
    assert "security" not in spec
    asks = {
        path: operation.get("security")
        for path, item in spec["paths"].items()
        for operation in item.values()
    }
    assert None is asks.pop("/intents.json")
    assert [[{"ApiKeyAuth": []}]] * 3 == list(asks.values())
    assert {"compatible"} == {each.severity for each in changes(SPEC, spec)}


@pytest.mark.parametrize(
    ("servers", "paths"),
    [
        (("https://x.io/v1", "https://x.io/v1"), ["/a", "/b"]),
        (("https://x.io/v1", "https://x.io/v1/external"), ["/a", "/external/b"]),
        (("https://x.io/v1/external", "https://x.io/v1"), ["/external/a", "/b"]),
        (("https://x.io/v1/", "https://x.io/v10"), ["/v1/a", "/v10/b"]),
    ],
)
def test_paths_are_rebased_on_the_common_server(servers: tuple[str, str], paths: list[str]) -> None:
    """The server of all is the longest path that they share, part by part."""
    spec = merge(document(servers[0]), document(servers[1], "/b"))
    assert paths == list(spec["paths"])
    reached = [spec["servers"][0]["url"] + path for path in paths]
    assert [servers[0].rstrip("/") + "/a", servers[1] + "/b"] == reached


def test_equal_parts_merge() -> None:
    """A component or an operation that two pages state equally is there once."""
    both = {"components": {"schemas": {"A": {"type": "string"}}}}
    spec = merge(document(**both), document(**both))
    assert (["A"], ["/a"]) == (list(spec["components"]["schemas"]), list(spec["paths"]))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (
            document(path="/b", components={"schemas": {"A": {"type": "integer"}}}),
            "components/schemas/A differs between a.md and b.md",
        ),
        (
            document(paths={"/a": {"get": {"responses": {}}}}),
            "paths//a/get differs between a.md and b.md",
        ),
        (document("https://other.example.com/api/v1", "/b"), "no server in common: https://app."),
        (document(path="/b", openapi="3.1.0"), "openapi differs between a.md and b.md"),
    ],
)
def test_pages_that_contradict_each_other_are_named(second: dict[str, Any], said: str) -> None:
    """What two pages state differently is an error that names both."""
    first = document(components={"schemas": {"A": {"type": "string"}}})
    with pytest.raises(RunError) as stopped:
        merge(first, second)
    assert said in str(stopped.value)


# --- the class of a change

FIELD = {"type": "string"}
FIELDS = {"type": "object", "properties": {"a": FIELD}}
NULLABLE = {"type": "string", "nullable": True}
BOTH = {"type": "object", "properties": {"a": FIELD, "b": FIELD}}
NESTED = {"type": "object", "properties": {"a": FIELD, "b": {**FIELDS, "required": ["a"]}}}


def of_schema(schema: Any, *, answered: bool = False, **more: Any) -> dict[str, Any]:
    """A spec whose one request, or answer, has `schema`."""
    spec = document(**more)
    content = {"content": {"application/json": {"schema": schema}}}
    if answered:
        operation(spec)["responses"]["200"] = {"description": "D", **content}
    else:
        operation(spec)["requestBody"] = content
    return spec


def operation(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["paths"]["/a"]["get"]
    return found


@pytest.mark.parametrize(
    ("old", "new", "when_sent", "when_answered"),
    [
        (FIELDS, BOTH, "compatible", "compatible"),
        (BOTH, FIELDS, "breaking", "breaking"),
        (FIELDS, NESTED, "compatible", "compatible"),
        (FIELDS, {**BOTH, "required": ["b"]}, "breaking", "compatible"),
        (FIELDS, {**FIELDS, "required": ["a"]}, "breaking", "compatible"),
        ({**FIELDS, "required": ["a"]}, FIELDS, "compatible", "breaking"),
        (FIELD, {"type": "integer"}, "breaking", "breaking"),
        (FIELD, NULLABLE, "compatible", "breaking"),
        (NULLABLE, FIELD, "breaking", "compatible"),
        ({"enum": ["a"]}, {"enum": ["a", ""]}, "compatible", "compatible"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "breaking", "compatible"),
        ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}, "prose", "prose"),
        (FIELD, {**FIELD, "pattern": "^a$"}, "breaking", "compatible"),
        ({**FIELD, "pattern": "^a$"}, FIELD, "compatible", "compatible"),
        (FIELD, {**FIELD, "format": "date-time"}, "breaking", "breaking"),
        (FIELD, {**FIELD, "example": "a", "x-order": 1}, "prose", "prose"),
        ({}, {"properties": {"description": FIELD}}, "compatible", "compatible"),
        (FIELD, FIELD, None, None),
    ],
)
def test_a_change_of_a_schema_is_classed(
    old: Any, new: Any, when_sent: str | None, when_answered: str | None
) -> None:
    """What is breaking in a request may be compatible in an answer, and the other way round."""
    for answered, severity in ((False, when_sent), (True, when_answered)):
        sides = (of_schema(each, answered=answered) for each in (old, new))
        assert severity == worst(changes(*sides))


def takes(**parameter: Any) -> Callable[[dict[str, Any]], object]:
    """Add a parameter to the operation."""
    return lambda spec: operation(spec).update(parameters=[{"schema": FIELD, **parameter}])


def sends(schema: Any) -> Callable[[dict[str, Any]], object]:
    """Change the body of the request from one that holds the field a."""
    return lambda spec: operation(spec).update(operation(of_schema(schema)))


KEY = {"components": {"securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "K"}}}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda spec: spec["paths"].clear(), "breaking GET /a gone: operation"),
        (lambda spec: operation(spec)["tags"].append("B"), 'prose GET /a new: tags 1: "B"'),
        (lambda spec: operation(spec)["responses"].clear(), "breaking GET /a gone: answer 204"),
        (takes(**{"in": "query", "name": "q"}), "compatible GET /a new: query q"),
        (takes(**{"in": "query", "name": "q", "required": True}), "breaking GET /a new: query q"),
        (
            takes(**{"in": "header", "name": "Content-Type"}),
            "prose the whole file changed: written otherwise, with the same meaning",
        ),
        (
            lambda spec: spec["servers"].insert(0, {"url": "https://b.io"}),
            'breaking the whole file changed: server: "https://app.example.com/api/v1" ->'
            ' "https://b.io"',
        ),
        (
            lambda spec: spec.update(security=[{"Key": []}], **KEY),
            "breaking GET /a new: credentials Key",
        ),
        (
            sends({**FIELDS, "properties": {"a": FIELD, "b": {"type": "array", "items": FIELD}}}),
            "compatible GET /a new: request b (optional, array)",
        ),
        (
            sends({**FIELDS, "properties": {"a": {**FIELD, "maxLength": 3}}}),
            "breaking GET /a new: request a maxLength: 3",
        ),
        (sends({"type": "object"}), "breaking GET /a gone: request a (optional, string)"),
    ],
)
def test_a_change_is_told_with_its_place(
    change: Callable[[dict[str, Any]], object], told: str
) -> None:
    """Operations, answers, parameters, servers, credentials and fields are named and classed."""
    old = of_schema(FIELDS)
    new = copy.deepcopy(old)
    change(new)
    assert [told] == [f"{each.severity} {each.operation} {each.text}" for each in changes(old, new)]


def test_a_move_behind_a_reference_changes_nothing() -> None:
    """A schema that moves into the components, also one that holds itself, means the same."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/N"}}}
    schemas = {"components": {"schemas": {"N": node, "F": FIELDS}}}
    old = of_schema({"$ref": "#/components/schemas/N"}, **schemas)
    assert [] == changes(old, copy.deepcopy(old))
    new = of_schema({"$ref": "#/components/schemas/F"}, **schemas)
    assert "prose" == worst(changes(of_schema(FIELDS), new))


# --- the command


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs update_spec.py in process, on a spec and a provenance file of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(update_spec, "SPEC", Path("openapi.json"))
    monkeypatch.setattr(update_spec, "SOURCE", Path("openapi_source.json"))
    update_spec.SPEC.write_text(json.dumps(SPEC, indent=2) + "\n", "utf-8")
    update_spec.SOURCE.write_text('{"pages": [{"from": "page.md"}]}', "utf-8")

    def run(spec: dict[str, Any], *arguments: str) -> tuple[int, str]:
        Path("page.md").write_text(page_with(json.dumps(spec)), "utf-8")
        code = update_spec.main(arguments)
        printed = capfd.readouterr()
        return code, printed.out + printed.err

    return run


def with_tags() -> dict[str, Any]:
    tags = {"type": "array", "items": {"type": "string"}}
    place = "/paths/~1intents.json/post/requestBody/content/application~1json/schema"
    place += "/properties/customer/properties/test_tags"
    spec: dict[str, Any] = apply_patch(SPEC, [{"op": "add", "path": place, "value": tags}])
    return spec


def test_nothing_new(command: Command) -> None:
    """A page that says what openapi.json says changes no file."""
    before = update_spec.SPEC.read_bytes(), update_spec.SOURCE.read_bytes()
    for arguments in (["page.md", "--yes"], ["--dry-run"]):
        code, said = command(SPEC, *arguments)
        assert (Exit.DONE, "Nothing new: openapi.json says what the page says.\n") == (code, said)
    assert before == (update_spec.SPEC.read_bytes(), update_spec.SOURCE.read_bytes())


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({**SPEC, "info": {"title": "STOQ API", "version": "1.0.1"}}, Exit.PROSE_CHANGE),
        (with_tags(), Exit.COMPATIBLE_CHANGE),
        ({**SPEC, "servers": [{"url": "https://api.stoqapp.com/v2"}]}, Exit.BREAKING_CHANGE),
    ],
)
def test_a_dry_run_tells_the_class_by_its_exit_code(
    spec: dict[str, Any], code: Exit, command: Command
) -> None:
    """CI learns whether there is something new, and how grave it is, and nothing is written."""
    assert code == command(spec, "--dry-run")[0]
    assert SPEC == json.loads(update_spec.SPEC.read_bytes())


@pytest.mark.parametrize(("answer", "is_written"), [("y\n", True), ("\n", False), ("", False)])
def test_it_asks_before_it_writes(
    answer: str, is_written: bool, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a yes writes the spec; without an answer nothing is written."""
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    code, said = command(with_tags())
    assert (Exit.DONE if is_written else Exit.DIFFERS) == code
    assert "compatible  new: request customer.test_tags (optional, array)" in said
    assert (with_tags() if is_written else SPEC) == json.loads(update_spec.SPEC.read_bytes())


def test_what_is_written(command: Command) -> None:
    """The spec, pretty-printed in the order of the page it came from; and which page that was."""
    assert Exit.DONE == command(with_tags(), "--yes")[0]
    pretty = json.dumps(with_tags(), indent=2, ensure_ascii=False) + "\n"
    assert pretty.encode() == update_spec.SPEC.read_bytes()
    [origin] = json.loads(update_spec.SOURCE.read_bytes())["pages"]
    sha256 = hashlib.sha256(Path("page.md").read_bytes()).hexdigest()
    assert ("page.md", sha256) == (origin["from"], origin["sha256"])
    assert 10 == len(origin["date"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.md"], Exit.BAD_SPEC, "cannot read missing.md: No such file"),
        (["http://example.com/a.md"], Exit.WRONG_ARGUMENTS, "neither a file nor an https URL"),
        (["page.md"], Exit.BAD_SPEC, "page.md is not valid OpenAPI: /info: 'title' is a required"),
    ],
)
def test_a_failure_is_one_line(
    arguments: list[str], code: Exit, said: str, command: Command
) -> None:
    """What cannot be read or understood ends in one line and an exit code."""
    found, line = command({"openapi": "3.0.3", "info": {}, "paths": {}}, *arguments)
    assert (code, 1) == (found, line.count("\n"))
    assert said in line


def test_all_runs_the_chain(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """--all writes, regenerates, records and tests, and stops where one of them fails."""
    monkeypatch.setattr(update_spec, "ROOT", Path.cwd())
    Path("scripts").mkdir()
    Path("scripts/regenerate.py").write_text("print('regenerated')")
    Path("scripts/record_cassettes.py").write_text("import sys; print(*sys.argv[1:])")
    Path("scripts/test").write_text("#!/bin/sh\necho tested\nexit 1\n")
    Path("scripts/test").chmod(0o755)
    code, said = command(with_tags(), "--all", "--yes")
    assert Exit.BAD_TOOL == code
    assert "regenerated\n--keep-live\ntested\n" in said
    assert said.endswith("scripts/test failed; see above what to edit, then go on\n")
    assert with_tags() == json.loads(update_spec.SPEC.read_bytes())
