"""What the vendor changes in openapi.json, the sandbox follows without an edit."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from calling import frozen_spec
from sending import HEADERS, body, raw_from

from stoqapp.spec import Spec
from stoqapp_sandbox import SandboxError
from stoqapp_sandbox.service import Service

Document = dict[str, Any]
Change = Callable[[Document], Any]
LIST = {"type": "array", "items": {"type": "string"}}


def changed(change: Change) -> Service:
    """Return a service on the vendor's file, as it once was, with a change."""
    document = frozen_spec()
    change(document)
    return Service(spec=Spec(document))


def content_of(document: Document) -> Document:
    """Return the media types of the body."""
    content: Document = document["paths"]["/intents.json"]["post"]["requestBody"]["content"]
    return content


def section(document: Document, name: str) -> Document:
    made: Document = content_of(document)["application/json"]["schema"]["properties"][name]
    return made


def sent_to(service: Service, content: Any, **headers: str) -> tuple[int, list[str]]:
    """Return the status and the errors of an answer."""
    answer = service.create_intent(HEADERS | headers, raw_from(content))
    return answer.status, json.loads(answer.body)["errors"]


def typed(name: str, field: str, schema: Document) -> Change:
    return lambda d: section(d, name)["properties"].update({field: schema})


@pytest.mark.parametrize(
    ("change", "sent", "after"),
    [
        (lambda d: section(d, "intent")["required"].append("campaign"), body(), 400),
        (typed("customer", "test_tags", LIST), body(customer__test_tags=[1]), 400),
        (typed("intent", "quantity", {"type": "string"}), body(intent__quantity="1"), 201),
        (
            lambda d: content_of(d)["application/json"]["schema"]["required"].remove("customer"),
            {"intent": body()["intent"]},
            201,
        ),
        (typed("customer", "email", LIST), body(customer__email=["a@b.co"]), 201),
        (typed("intent", "shopify_variant_id", LIST), body(intent__shopify_variant_id=["1"]), 201),
        (
            typed("customer", "name", {"type": "string", "nullable": True}),
            {**body(), "customer": {"email": "a@b.co", "name": None}},
            201,
        ),
        (typed("intent", "channel", {"enum": ["fax"]}), body(intent__channel="fax"), 201),
    ],
)
def test_a_changed_schema(change: Change, sent: Any, after: int) -> None:
    """What the changed schema refuses or accepts, the sandbox does, which did otherwise before."""
    service = changed(change)
    assert {400, 201} == {sent_to(changed(lambda d: None), sent)[0], after}
    assert after == sent_to(service, sent)[0]
    assert (after == 201) == len(json.loads("".join(service.intents_json())))


def test_a_new_server_and_header() -> None:
    """The endpoint is where the server says, and a header that is required is asked for."""

    def change(document: Document) -> None:
        document["servers"][0]["url"] = "https://app.stoqapp.com/api/v2/"
        document["paths"]["/intents.json"]["parameters"] = [
            {"in": "header", "name": "X-Token", "required": True, "schema": {"type": "string"}},
            {"in": "query", "name": "page", "required": True},
        ]

    service = changed(change)
    assert service.path == "/api/v2/intents.json"
    assert sent_to(service, body()) == (400, ["X-Token: is required"])
    assert sent_to(service, body(), **{"X-Token": "x"}) == (201, [])


def refer(document: Document) -> None:
    """Move the body and a section among the components, behind a name with odd signs."""
    schema = content_of(document)["application/json"]["schema"]
    intent = schema["properties"]["intent"]
    document["components"] = {"schemas": {"Body": schema, "a~b/c %": intent}}
    schema["properties"]["intent"] = {"$ref": "#/components/schemas/a~0b~1c%20%25"}
    content_of(document)["application/json"]["schema"] = {"$ref": "#/components/schemas/Body"}


def with_charset(document: Document) -> None:
    content = content_of(document)
    content["application/json; charset=utf-8"] = content.pop("application/json")


@pytest.mark.parametrize(
    "change", [refer, with_charset, lambda d: d.update(openapi="3.1.0")], ids=["ref", "type", "3.1"]
)
def test_the_same_spec_in_other_words(change: Change) -> None:
    """What OpenAPI lets a document say in several ways is read the same in each."""
    service = changed(change)
    assert sent_to(service, body()) == (201, [])
    refused = sent_to(service, body(intent__channel=None))
    assert refused == (400, ["intent.channel: is required"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: section(d, "intent").update(required=7), r"/intent/required is not a schema"),
        (lambda d: d.update(openapi="2.0.0"), r"is OpenAPI 2\.0; the sandbox reads 3\.0 and 3\.1"),
    ],
)
def test_a_spec_that_cannot_be_used(change: Change, says: str) -> None:
    """The error says what in the file is wrong."""
    with pytest.raises(SandboxError, match=rf"^openapi\.json.*{says}"):
        changed(change)
