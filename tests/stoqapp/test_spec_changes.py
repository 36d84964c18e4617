"""Keywords that openapi.json may use one day, and what the unchanged code then does."""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import stoqapp
from stoqapp.spec import SPEC

PUSH = {"variant": 1, "product": 2, "push": "token"}
INTENT = {
    "shopify_variant_id": 1,
    "shopify_product_id": 2,
    "quantity": 1,
    "channel": "push",
    "source": "api",
}
# The rooms that read the file when they are imported, and those that share classes with them.
ROOMS = ("spec", "rules", "errors", "phones", "readers", "inputs")
Document = dict[str, Any]


def body_schema(document: Document) -> Any:
    operation = document["paths"]["/intents.json"]["post"]
    return operation["requestBody"]["content"]["application/json"]["schema"]


def section(document: Document, name: str) -> Any:
    return body_schema(document)["properties"][name]


def setting(path: str, **schema: Any) -> Callable[[Document], None]:
    """Return a change that sets keywords of a field, which may be new."""
    name, _, field = path.partition(".")
    return lambda document: (
        section(document, name)["properties"].setdefault(field, {}).update(schema)
    )


def removing(path: str) -> Callable[[Document], None]:
    def remove(document: Document) -> None:
        name, _, field = path.partition(".")
        del section(document, name)["properties"][field]
        if field in section(document, name).get("required", []):
            section(document, name)["required"].remove(field)

    return remove


def referring(document: Document) -> None:
    """Move the body, its sections and a field behind references."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    body = body_schema(document)
    for name in ("customer", "intent"):
        schemas[name] = body["properties"][name]
        body["properties"][name] = {"$ref": f"#/components/schemas/{name}"}
    schemas["A/B"] = schemas["customer"]["properties"]["country"]
    schemas["customer"]["properties"]["country"] = {"$ref": "#/components/schemas/A~1B"}
    schemas["body"] = body
    content = document["paths"]["/intents.json"]["post"]["requestBody"]["content"]
    content["application/json"] = {"schema": {"$ref": "#/components/schemas/body"}}


After = Callable[[Callable[[Document], None], dict[str, Any]], dict[str, Any]]


@pytest.fixture
def after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> After:
    """Say what the rooms do with a request when they are imported beside a changed file."""

    for name in ROOMS:
        import_module(f"stoqapp.{name}")

    def run(change: Callable[[Document], None], given: dict[str, Any]) -> dict[str, Any]:
        document = json.loads(json.dumps(SPEC.document))
        change(document)
        (tmp_path / "openapi.json").write_text(json.dumps(document), "utf-8")
        # The room finds the file from where it lies: two folders above it, in a checkout.
        copy = tmp_path / "overlays" / "stoqapp" / "spec.py"
        copy.parent.mkdir(parents=True)
        copy.write_text(Path(stoqapp.spec.__file__).read_text("utf-8"), "utf-8")
        for name in ROOMS:
            monkeypatch.delattr(stoqapp, name)
            monkeypatch.delitem(sys.modules, f"stoqapp.{name}")
        found = spec_from_file_location("stoqapp.spec", copy)
        assert found is not None
        assert found.loader is not None
        room = sys.modules["stoqapp.spec"] = module_from_spec(found)
        found.loader.exec_module(room)
        inputs, rules = import_module("stoqapp.inputs"), import_module("stoqapp.rules")
        try:
            body = inputs.prepare(**given).body
            broken = rules.check(body)
        except inputs.InvalidIntentError as error:
            broken = error.violations
        if broken:
            return {"broken": [[one.rule, one.path, one.message] for one in broken]}
        return {"body": body}

    return run


LETTERS = "must be two lower-case letters from a to z, like 'us'"
TAGS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("change", "given", "customer"),
    [
        (setting("customer.country", pattern="^[A-Z]{2}$"), {"country": "us"}, {"country": "US"}),
        (setting("customer.country", pattern="^[A-Z]{3}$"), {"country": "USA"}, {"country": "USA"}),
        (
            setting("customer.name", nullable=True),
            {"more": {"customer.name": None}},
            {"name": None},
        ),
        (referring, {"country": "US"}, {"country": "us"}),
    ],
)
def test_requests_that_are_sent(
    after: After,
    change: Callable[[Document], None],
    given: dict[str, Any],
    customer: dict[str, Any],
) -> None:
    """A changed file is followed with no edit: in what is read, checked and sent."""
    said = after(change, PUSH | given)
    assert {"intent": INTENT, "customer": {"push": "token"} | customer} == said.get("body"), said


@pytest.mark.parametrize(
    ("change", "given", "broken"),
    [
        (
            setting("customer.tags", **TAGS),
            {"more": {"customer.tags": ["a", 5]}},
            ["type", "customer.tags[1]", "must be a string, not int"],
        ),
        (
            setting("customer.country", pattern="^[a-z]{3}$"),
            {"country": "us"},
            ["pattern", "customer.country", "must match the pattern ^[a-z]{3}$"],
        ),
        (
            referring,
            {"more": {"customer.country": "US"}},
            [
                "pattern",
                "customer.country",
                "must be two lower-case letters from a to z, like 'us'",
            ],
        ),
        (
            setting("customer.name", maxLength=2),
            {"name": "Ada"},
            ["bounds", "customer.name", "must have at most 2 characters"],
        ),
        (
            setting("customer.tags", **TAGS, minItems=2),
            {"more": {"customer.tags": ["a"]}},
            ["bounds", "customer.tags", "must have at least 2 items"],
        ),
        (
            setting("intent.quantity", minimum=1, exclusiveMinimum=True),
            {"quantity": 1},
            ["bounds", "intent.quantity", "must be more than 1"],
        ),
        (
            setting("intent.quantity", exclusiveMaximum=3),
            {"quantity": 3},
            ["bounds", "intent.quantity", "must be less than 3"],
        ),
        (
            setting("customer.locale", const="en"),
            {"locale": "fr"},
            ["enum", "customer.locale", "must be 'en'"],
        ),
    ],
)
def test_requests_that_are_refused(
    after: After, change: Callable[[Document], None], given: dict[str, Any], broken: list[str]
) -> None:
    """What a changed file states is checked with no edit, and the message follows."""
    assert {"broken": [broken]} == after(change, PUSH | given)


def test_a_field_with_a_default_that_is_gone(after: After) -> None:
    """The default of a field that is gone is not sent."""
    body = after(removing("intent.quantity"), PUSH)["body"]
    assert {name: value for name, value in INTENT.items() if name != "quantity"} == body["intent"]
