"""The request bodies as TypedDicts."""

from typing import Any

import pytest

from pipeline import package

EITHER = [
    ({"type": "string"}, "str"),
    ({"type": "string", "format": "date-time"}, "str"),
    ({"type": "string", "enum": ["b", "a"]}, 'Literal["a", "b"]'),
    ({"type": "array", "items": {"type": "number"}}, "list[float]"),
    ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "str | bool"),
    ({"type": "object"}, "dict[str, Any]"),
    ({}, "Any"),
    ({"title": "Inner", "type": "object", "properties": {"a": {}}}, '"InnerDict"'),
]


@pytest.mark.parametrize(
    ("version", "cases"),
    [
        ("3.0.3", [*EITHER, ({"type": "string", "nullable": True}, "str | None")]),
        (
            "3.1.0",
            [*EITHER, ({"type": ["integer", "null"]}, "int | None"), ({"const": 1}, "Literal[1]")],
        ),
    ],
)
def test_types_of_a_typed_dict(version: str, cases: list[tuple[dict[str, Any], str]]) -> None:
    """Each form of a schema becomes the Python type of its JSON."""
    fields = {f"field_{number}": schema for number, (schema, _) in enumerate(cases)}
    thing = {"title": "Thing", "type": "object", "properties": fields}
    operation = {
        "requestBody": {"content": {"application/json": {"schema": thing}}},
        "responses": {"204": {"description": "Done"}},
    }
    spec = {
        "openapi": version,
        "info": {"title": "Things", "version": "1"},
        "paths": {"/things": {"post": operation}},
    }
    made, _ = package.build(spec, b"", partial=False)
    lines = made["typed_dicts.py"].decode().splitlines()
    expected = [f"    field_{n}: NotRequired[{kind}]" for n, (_, kind) in enumerate(cases)]
    assert expected == [line for line in lines if line.startswith("    field_")]
