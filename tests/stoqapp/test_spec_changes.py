"""What the vendor can change in openapi.json, and what the unchanged code then does."""

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


def requiring(path: str, **schema: Any) -> Callable[[Document], None]:
    def require(document: Document) -> None:
        setting(path, **schema)(document)
        name, _, field = path.partition(".")
        section(document, name).setdefault("required", []).append(field)

    return require


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


def new_channel(document: Document) -> None:
    channel = section(document, "intent")["properties"]["channel"]
    channel["enum"] = ["whatsapp", *channel["enum"]]


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
        return {"body": body, "url": room.BASE_URL}

    return run


LETTERS = "must be two lower-case letters from a to z, like 'us'"
TAGS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("change", "given", "customer"),
    [
        (setting("customer.note", type="string"), {"more": {"customer.note": "a"}}, {"note": "a"}),
        (setting("customer.tags", **TAGS), {"more": {"customer.tags": ["a"]}}, {"tags": ["a"]}),
        (setting("customer.tags", **TAGS), {}, {}),
        (removing("customer.locale"), {"name": "Ada"}, {"name": "Ada"}),
        (setting("customer.country", pattern="^[A-Z]{2}$"), {"country": "us"}, {"country": "US"}),
        (setting("customer.country", pattern="^[A-Z]{3}$"), {"country": "USA"}, {"country": "USA"}),
        (
            setting("customer.name", type=["string", "null"]),
            {"more": {"customer.name": None}},
            {"name": None},
        ),
        (
            setting("customer.name", nullable=True),
            {"more": {"customer.name": None}},
            {"name": None},
        ),
        (lambda document: document.update(openapi="3.1.0"), {"locale": "en"}, {"locale": "en"}),
        (referring, {"country": "US"}, {"country": "us"}),
        (
            requiring("customer.note", type="string"),
            {"more": {"customer.note": "a"}},
            {"note": "a"},
        ),
        (new_channel, {"channel": "push", "phone": "+1 555 010 9999"}, {"phone": "15550109999"}),
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
            removing("customer.locale"),
            {"locale": "en"},
            ["usable_input", "customer.locale", "is not a field of the API any more: leave it out"],
        ),
        (
            setting("customer.country", pattern="^[a-z]{3}$"),
            {"country": "us"},
            ["pattern", "customer.country", "must match the pattern ^[a-z]{3}$"],
        ),
        (
            requiring("customer.note", type="string"),
            {},
            ["required", "customer.note", "is required: set it to a string"],
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
        (
            new_channel,
            {"channel": "fax"},
            ["enum", "intent.channel", "must be 'whatsapp' or 'email' or 'sms' or 'push'"],
        ),
    ],
)
def test_requests_that_are_refused(
    after: After, change: Callable[[Document], None], given: dict[str, Any], broken: list[str]
) -> None:
    """What a changed file states is checked with no edit, and the message follows."""
    assert {"broken": [broken]} == after(change, PUSH | given)


def test_a_new_channel_is_not_inferred(after: After) -> None:
    """A phone number alone means SMS, also when another channel takes a phone number."""
    given = {"variant": 1, "product": 2, "phone": "+1 555 010 9999"}
    assert "sms" == after(new_channel, given)["body"]["intent"]["channel"]


def test_a_field_with_a_default_that_is_gone(after: After) -> None:
    """A field that is gone is not sent where nobody gave it, although it has a default."""
    body = after(removing("intent.quantity"), PUSH)["body"]
    assert {name: value for name, value in INTENT.items() if name != "quantity"} == body["intent"]


def test_another_server(after: After) -> None:
    """The client goes to the first server of the file."""

    def change(document: Document) -> None:
        document["servers"].insert(0, {"url": "https://api.example.com/v2/"})

    assert "https://api.example.com/v2" == after(change, PUSH)["url"]
