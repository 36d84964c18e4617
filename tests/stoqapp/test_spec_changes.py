"""Keywords that openapi.json may use one day, and what the unchanged code then does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calling import frozen_spec

from stoqapp.spec import Schema, breaches

TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "value", "keyword", "message"),
    [
        (TEXT | {"nullable": True}, None, None, ""),
        (TEXT | {"nullable": True}, 5, "type", "must be a string or None, not int"),
        ({"type": ["string", "null"]}, None, None, ""),
        ({"type": "number"}, 1.5, None, ""),
        ({"type": "number"}, True, "type", "must be a number, not bool"),
        (TEXTS, ["a"], None, ""),
        (TEXTS, ["a", 5], "type", "must be a string, not int"),
        (TEXTS | {"minItems": 2}, ["a"], "bounds", "must have at least 2 items"),
        (TEXTS | {"maxItems": 1}, ["a", "b"], "bounds", "must have at most 1 items"),
        (TEXT | {"maxLength": 2}, "Ada", "bounds", "must have at most 2 characters"),
        ({"minimum": 1}, 0, "bounds", "must be at least 1"),
        ({"maximum": 1}, 2, "bounds", "must be at most 1"),
        ({"minimum": 1, "exclusiveMinimum": False}, 1, None, ""),
        ({"minimum": 1, "exclusiveMinimum": True}, 1, "bounds", "must be more than 1"),
        ({"exclusiveMaximum": 3}, 3, "bounds", "must be less than 3"),
        ({"const": "en"}, "fr", "enum", "must be 'en'"),
        (TEXT | {"pattern": "^[a-z]{3}$"}, "us", "pattern", "must match the pattern ^[a-z]{3}$"),
        (TEXT | {"pattern": r"^\d[$]\$$"}, "1$$", None, ""),
        (TEXT | {"pattern": r"^\d$"}, "１", "pattern", r"must match the pattern ^\d$"),
        ({"$ref": "#/parts/A~1B"}, "US", "pattern", "must be two lower-case letters from a to z"),
    ],
)
def test_a_keyword(
    schema: dict[str, Any], value: object, keyword: str | None, message: str
) -> None:
    """What a schema states is checked, and the message says what to do."""
    document = {"parts": {"A/B": {"$ref": "#/parts/C"}, "C": {"pattern": "^[a-z]{2}$"}}}
    found = breaches(value, Schema(schema, document))
    assert [keyword] * (keyword is not None) == [each[1] for each in found]
    assert all(each[2].startswith(message) for each in found)


def test_a_reference_that_leads_nowhere() -> None:
    """A reference to itself or out of the file is an error that names it."""
    for place in ("#/a", "other.json"):
        with pytest.raises(ValueError, match=place):
            Schema({"$ref": place}, {"a": {"$ref": "#/a"}})


PROGRAM = """
import json
from stoqapp.inputs import prepare
print(json.dumps(prepare(variant=1, product=2, push="token", country="us").body))
"""


def test_the_inputs_follow_the_file(tmp_path: Path) -> None:
    """A country is read as its pattern asks; the default of a field that is gone is not sent."""
    document = frozen_spec()
    operation = document["paths"]["/intents.json"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    schema["customer"]["properties"]["country"]["pattern"] = "^[A-Z]{2}$"
    del schema["intent"]["properties"]["quantity"]
    schema["intent"]["required"].remove("quantity")
    (tmp_path / "openapi.json").write_text(json.dumps(document), "utf-8")
    # The file is found two folders above the module that reads it.
    root = Path(__file__).parents[2]
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "stoqapp").symlink_to(root / "overlays" / "stoqapp")
    places = os.pathsep.join([str(tmp_path / "overlays"), str(root / "generated")])
    command, env = [sys.executable, "-c", PROGRAM], os.environ | {"PYTHONPATH": places}
    body = json.loads(subprocess.check_output(command, env=env))
    assert {"push": "token", "country": "US"} == body["customer"]
    assert {"shopify_variant_id", "shopify_product_id", "channel", "source"} == set(body["intent"])
