"""The scripts around the judges: they miss no complaint, and nothing in their lists goes stale."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonpointer import resolve_pointer

from judges.differential import (
    Change,
    Comparison,
    Request,
    changes_from_schema,
    heaps,
    prism_verdict,
    request_with,
    sandbox_verdict,
)
from judges.explanations import explanations_from_toml
from judges.fuzzing import LEAST, too_seldom
from judges.fuzzing import complaints as fuzzing_complaints
from judges.through_prism import answers_in, complaints
from stoqapp.rules import FIELDS, SCHEMA, check_body

SPEC = json.loads((Path(__file__).parents[2] / "openapi.json").read_text("utf-8"))
BODY_SCHEMA = resolve_pointer(SPEC, SCHEMA)


def test_an_explanation_serves_for_whole_complaints(tmp_path: Path) -> None:
    """Only the whole of a complaint is explained, and what has explained nothing is stale."""
    place = tmp_path / "list.toml"
    place.write_text(
        '[[explained]]\npattern = "404 .*"\nreason = "Seen."\n'
        '[[explained]]\npattern = "500"\nreason = "Asked for."\n',
        encoding="utf-8",
    )
    explanations = explanations_from_toml(place)
    assert explanations.unexplained(["404 a", "a 404 b", "500 c"]) == ["a 404 b", "500 c"]
    assert explanations.stale() == ["500"]
    assert "     1 x 404 .*\n           Seen." in explanations.report()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "explained",
        '[[explained]]\npattern = "a"',
        '[[explained]]\npattern = "("\nreason = "b"',
        '[[explained]]\npattern = "a"\nreason = " "',
    ],
)
def test_a_list_without_reasons_is_refused(tmp_path: Path, text: str) -> None:
    """A list that is no list of patterns with reasons ends the run, and is named."""
    place = tmp_path / "list.toml"
    place.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^list\.toml: "):
        explanations_from_toml(place)


@pytest.mark.parametrize(
    ("status", "headers", "body", "found"),
    [
        (201, {"content-type": "application/json"}, b'{"intents": []}', []),
        (400, {"content-type": "application/json"}, b'{"errors": ["x"]}', []),
        (
            404,
            {"sl-violations": '[{"location":["response"],"message":"Unable"}]'},
            b"{}",
            ["404 response: Unable"],
        ),
        (
            422,
            {"content-type": "application/problem+json"},
            b'{"title":"Invalid","validation":[{"location":["body","intent"],"message":"No"}]}',
            ["422 request.body.intent: No"],
        ),
        (
            500,
            {"content-type": "application/problem+json"},
            b'{"title":"Gone","validation":[{"location":["response","body"],"message":"Bad"}]}',
            ["500 response.body: Bad"],
        ),
        (404, {"content-type": "application/problem+json"}, b'{"title":"T"}', ["404 request: T"]),
        (
            400,
            {"content-type": "application/json; charset=utf-8"},
            b'{"error":{"code":"invalid_json","message":"Invalid JSON"}}',
            ["400 request.body: Invalid JSON"],
        ),
    ],
)
def test_complaints_of_prism(
    status: int, headers: dict[str, str], body: bytes, found: list[str]
) -> None:
    """Whatever form Prism gives a violation, it is found, and an answer without one has none."""
    assert found == complaints(status, headers, body)


def testanswers_in_on_one_connection() -> None:
    """Each whole answer of a connection is read, and one that is cut is left alone."""
    one = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
    two = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    assert [(201, b"{}"), (200, b"[]")] == [
        (status, body) for status, _, body in answers_in(one + two + one[:-1])
    ]


def test_every_breakage_is_made_everywhere() -> None:
    """Each field of the rules is left out, nulled, and given each other type, its enum's and
    pattern's near misses, and each of these does what its kind says to the schema's rules."""
    changes = changes_from_schema(BODY_SCHEMA)
    made = {(change.kind, change.place) for change in changes}
    for field in FIELDS:
        others = {"integer", "string", "boolean", "array", "object"} - {field.type}
        kinds = {f"{field.type} as {other}" for other in others} | {"null"}
        kinds.add("required missing" if field.required else "optional missing")
        kinds |= {"enum"} if field.enum else set()
        kinds |= {"pattern"} if field.pattern else set()
        assert {(kind, field.path) for kind in kinds} <= made
    for change in changes:
        if change.kind in ("enum", "pattern", "required missing"):
            body = json.loads(request_with((change,), BODY_SCHEMA, 1).raw)
            rule = change.kind.partition(" ")[0]
            assert (rule, change.place) in [(v.rule, v.path) for v in check_body(body)]


def test_heaps_are_repeatable() -> None:
    """The same seed gives the same heaps, and another one others."""
    changes = changes_from_schema(BODY_SCHEMA)
    assert heaps(changes, 50, 1) == heaps(changes, 50, 1) != heaps(changes, 50, 2)


SAID = json.dumps(
    [
        {
            "location": ["request", "body", "intent"],
            "code": "required",
            "message": "must have required property 'source'",
        }
    ]
)
REFUSED = '{"errors": ["intent.source: is required"]}'


@pytest.mark.parametrize(
    ("prism", "sandbox", "difference"),
    [
        ((200, "{}", ""), (201, "{}"), ""),
        ((200, "{}", ""), (200, "{}"), ""),
        ((200, "{}", ""), (404, "{}"), ""),
        ((400, "", SAID), (400, REFUSED), ""),
        ((200, "{}", ""), (400, REFUSED), "prism accepts"),
        ((400, "", SAID), (201, "{}"), "prism refuses"),
        ((400, "", SAID), (400, '{"errors": ["intent: is required"]}'), "findings differ"),
        (
            (400, "", SAID),
            (400, '{"errors": ["intent.source: must be of type string"]}'),
            "findings differ",
        ),
        ((500, "oops", ""), (400, REFUSED), "prism fails"),
    ],
)
def test_what_counts_as_a_difference(prism: Any, sandbox: Any, difference: str) -> None:
    """Judges differ when one accepts, or when they find another place or keyword broken."""
    request = Request((Change("null", "intent"),), b"", {})
    compared = Comparison(request, prism_verdict(*prism), sandbox_verdict(*sandbox))
    assert difference == compared.difference


def test_complaints_of_schemathesis() -> None:
    """A failed check is told with its status, how the request was made, and the answer."""
    case = {"value": {"meta": {"phase": {"data": {"description": "Made"}}}}}
    answer = {"status_code": 400, "content": {"$base64": "e30="}}
    scenario = {
        "cases": {"a": case},
        "checks": {"a": [{"name": "x", "status": "success"}, {"name": "y", "status": "failure"}]},
        "interactions": {"a": {"response": answer}},
    }
    assert fuzzing_complaints(scenario) == ["y, 400 to Made: {}"]


def test_a_fuzzer_that_hardly_creates_an_intent() -> None:
    """Too few answers of a status are told with both numbers, and enough of each are fine."""
    assert LEAST[201] >= 100
    assert [] == too_seldom(Counter(LEAST))
    assert [f"2 x 201, and at least {LEAST[201]} are wanted"] == too_seldom(
        Counter({**LEAST, 201: 2})
    )


@pytest.mark.parametrize(
    ("version", "ci", "code", "says"),
    [
        ("v18.19.1", "", 0, "SKIPPED, proxy: it needs Node 18.20 or newer with npm, and there is"),
        ("v9.99.0", "true", 1, "proxy needs Node 18.20 or newer with npm, and there is v9.99.0"),
        ("v18.20.0", "", 7, ""),
        ("v100.0.0", "", 7, ""),
    ],
)
def test_a_node_that_is_too_old(
    tmp_path: Path, version: str, ci: str, code: int, says: str
) -> None:
    """An old Node is told with its release, like none; a fit one lets the judge go on."""
    for name, does in (("node", f"echo {version}"), ("npm", "exit 7")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    ran = subprocess.run(
        [Path(__file__).parents[2] / "scripts" / "judge", "proxy"],
        env=os.environ
        | {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "STOQAPP_JUDGES": str(tmp_path / "judges"),
            "STOQAPP_VENV": sys.prefix,
            "CI": ci,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert code == ran.returncode, ran.stderr
    assert says in ran.stderr
