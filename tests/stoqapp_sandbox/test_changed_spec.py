"""What the vendor changes in openapi.json, the sandbox follows without an edit."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from sending import HEADERS, body, raw_from

from stoqapp.spec import Spec, document
from stoqapp_sandbox import SandboxError
from stoqapp_sandbox.answers import Answer
from stoqapp_sandbox.service import Service

Document = dict[str, Any]


def changed(change: Callable[[Document], Any]) -> Service:
    """Return a service on a copy of the vendor's file with a change."""
    copied = deepcopy(document())
    change(copied)
    return Service(spec=Spec(copied))


def schema_of(document: Document) -> Document:
    """Return the schema of the body."""
    operation = document["paths"]["/intents.json"]["post"]
    schema: Document = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def section(document: Document, name: str) -> Document:
    made: Document = schema_of(document)["properties"][name]
    return made


def sent_to(service: Service, content: Any, **headers: str) -> Answer:
    return service.create_intent(HEADERS | headers, raw_from(content))


def typed(name: str, field: str, schema: Document) -> Callable[[Document], Any]:
    return lambda d: section(d, name)["properties"].update({field: schema})


LIST = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("change", "sent", "before", "after"),
    [
        (lambda d: section(d, "intent")["required"].append("campaign"), body(), 201, 400),
        (
            lambda d: section(d, "customer")["properties"]["name"].update(pattern="^A"),
            body(customer__name="Bob"),
            201,
            400,
        ),
        (typed("customer", "test_tags", LIST), body(customer__test_tags=["a"]), 201, 201),
        (typed("customer", "test_tags", LIST), body(customer__test_tags=[1]), 201, 400),
        (typed("intent", "quantity", {"type": "string"}), body(intent__quantity="1"), 400, 201),
        (
            lambda d: section(d, "intent")["required"].remove("channel"),
            body(intent__channel=None),
            400,
            201,
        ),
        (
            lambda d: schema_of(d)["required"].remove("customer"),
            {"intent": body()["intent"]},
            400,
            201,
        ),
        (typed("customer", "email", LIST), body(customer__email=["a@b.co"]), 400, 201),
        (
            typed("intent", "shopify_variant_id", LIST),
            body(intent__shopify_variant_id=["1"]),
            400,
            201,
        ),
        (
            typed("customer", "name", {"type": "string", "nullable": True}),
            {**body(), "customer": {"email": "a@b.co", "name": None}},
            400,
            201,
        ),
        (
            lambda d: section(d, "intent")["properties"]["channel"]["enum"].append("fax"),
            body(intent__channel="fax"),
            400,
            201,
        ),
    ],
)
def test_a_changed_schema(
    change: Callable[[Document], Any], sent: Any, before: int, after: int
) -> None:
    """What the changed schema refuses or accepts, the sandbox refuses or accepts."""
    assert before == sent_to(Service(), sent).status
    service = changed(change)
    assert after == sent_to(service, sent).status
    assert (after == 201) == len(json.loads("".join(service.intents_json())))


@pytest.mark.parametrize("field", ["phone", "id"])
def test_a_contact_or_id_that_is_a_number(field: str) -> None:
    """A customer is known by an integer as by the digits in it."""
    service = changed(typed("customer", field, {"type": "integer"}))
    contact = (
        {"intent__channel": "push", "customer__push": "x"}
        if field == "id"
        else {"intent__channel": "sms"}
    )
    value = 1 if field == "id" else 15550109999
    sent_to(service, body())
    answers = [
        sent_to(service, body(**contact, **{f"customer__{field}": value})).status for _ in range(2)
    ]
    assert answers[1] == 200


def test_a_new_server_and_header() -> None:
    """The endpoint is where the server says, and a header that is required is asked for."""

    def change(document: Document) -> None:
        document["servers"][0]["url"] = "https://app.stoqapp.com/api/v2/"
        path_item = document["paths"]["/intents.json"]
        path_item["parameters"] = [
            {"in": "header", "name": "X-Token", "required": True, "schema": {"type": "string"}},
            {"in": "query", "name": "page", "required": True},
        ]

    service = changed(change)
    assert service.path == "/api/v2/intents.json"
    assert b"X-Token: is required as a header" in sent_to(service, body()).body
    assert sent_to(service, body(), **{"X-Token": "x"}).status == 201


def refer(document: Document) -> None:
    """Move the body and a section among the components, behind a name with odd signs."""
    operation = document["paths"]["/intents.json"]["post"]
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schema = schema_of(document)
    schemas["a~b/c %"] = schema["properties"]["intent"]
    schema["properties"]["intent"] = {"$ref": "#/components/schemas/a~0b~1c%20%25"}
    schemas["Body"] = schema
    operation["requestBody"]["content"]["application/json"]["schema"] = {
        "$ref": "#/components/schemas/Body"
    }


def with_charset(document: Document) -> None:
    content = document["paths"]["/intents.json"]["post"]["requestBody"]["content"]
    content["application/json; charset=utf-8"] = content.pop("application/json")


@pytest.mark.parametrize(
    "change", [refer, with_charset, lambda d: d.update(openapi="3.1.0")], ids=["ref", "type", "3.1"]
)
def test_the_same_spec_in_other_words(change: Callable[[Document], Any]) -> None:
    """What OpenAPI lets a document say in several ways is read the same in each."""
    service = changed(change)
    assert sent_to(service, body()).status == 201
    refused = sent_to(service, body(intent__channel=None))
    assert json.loads(refused.body)["errors"] == ["intent.channel: is required"]


def test_names_that_a_sender_made_up_are_not_repeated() -> None:
    """Where a schema looks into fields it does not name, their names stay out of the message."""
    service = changed(
        lambda d: section(d, "customer").update(additionalProperties={"type": "string"})
    )
    answer = sent_to(service, body(customer__ada_lovelace=1))
    assert json.loads(answer.body)["errors"] == ["customer.*: must be of type string"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: section(d, "intent").update(required=7), r"/intent/required is not a schema"),
        (lambda d: d.update(openapi="2.0.0"), r"is OpenAPI 2\.0; the sandbox reads 3\.0 and 3\.1"),
    ],
)
def test_a_spec_that_cannot_be_used(change: Callable[[Document], Any], says: str) -> None:
    """The error says what in the file is wrong."""
    with pytest.raises(SandboxError, match=rf"^openapi\.json.*{says}"):
        changed(change)
