"""The request bodies as TypedDicts."""

from typing import Any

import pytest

from pipeline.typed_dicts import typed_dicts


@pytest.mark.parametrize(
    ("schema", "version", "written"),
    [
        ({"type": "string"}, "3.0.3", "str"),
        ({"type": "string", "nullable": True}, "3.0.3", "str | None"),
        ({"type": ["integer", "null"]}, "3.1.0", "int | None"),
        ({"type": "string", "enum": ["a", "b"]}, "3.0.3", "Literal['a', 'b']"),
        ({"const": 1}, "3.1.0", "Literal[1]"),
        ({"type": "array", "items": {"type": "number"}}, "3.0.3", "list[float]"),
        ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "3.0.3", "str | bool"),
        ({"allOf": [{"type": "integer"}]}, "3.0.3", "int"),
        ({"type": "object"}, "3.0.3", "dict[str, Any]"),
        ({}, "3.0.3", "Any"),
        ({"type": "object", "properties": {"a": {}}}, "3.0.3", "ThingInnerDict"),
    ],
)
def test_types_of_a_typed_dict(schema: dict[str, Any], version: str, written: str) -> None:
    """Each form of a schema becomes the Python type of its JSON."""
    thing = {"title": "Thing", "type": "object", "properties": {"inner": schema}}
    operation = {"requestBody": {"content": {"application/json": {"schema": thing}}}}
    module = typed_dicts({"openapi": version, "paths": {"/things": {"post": operation}}})
    assert f"inner: NotRequired[{written}]\n" in module
