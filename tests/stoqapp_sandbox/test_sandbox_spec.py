"""A spec that changes makes another sandbox, without a line of ours changing."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stoqapp_sandbox import Sandbox, SandboxError
from stoqapp_sandbox.spec import spec

HEADERS = {"X-Shopify-Shop-Domain": "demo.myshopify.com", "Content-Type": "application/json"}

Document = dict[str, Any]


def sections(document: Document) -> dict[str, Any]:
    operation = document["paths"]["/intents.json"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return dict(schema["properties"])


def body(intent: dict[str, Any] | None = None, **customer: Any) -> dict[str, Any]:
    wanted = {"shopify_variant_id": 11, "shopify_product_id": 22, "channel": "email"}
    return {
        "intent": wanted | {"quantity": 1, "source": "api"} | (intent or {}),
        "customer": {"email": "ada@lovelace.org"} | customer,
    }


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Returns a sandbox that finds a changed spec where the shipped one is."""
    entered: list[Sandbox] = []

    def with_change(change: Callable[[Document], Any]) -> Sandbox:
        document = copy.deepcopy(spec())
        change(document)
        monkeypatch.setattr("stoqapp_sandbox.options.spec", lambda: document)
        entered.append(Sandbox().__enter__())
        return entered[0]

    yield with_change
    for sandbox in entered:
        sandbox.__exit__(None, None, None)


def status(sandbox: Sandbox, content: Any, path: str = "/api/v1/intents.json") -> int:
    answer = httpx.post(f"{sandbox.url}{path}", content=json.dumps(content), headers=HEADERS)
    return answer.status_code


FAX = body({"channel": "fax"}, fax="4711")


def lacking(name: str) -> dict[str, Any]:
    made = body()
    del made["intent"][name]
    return made


def optional(name: str) -> Callable[[Document], Any]:
    return lambda d: sections(d)["intent"]["required"].remove(name)


def typed(section: str, name: str, *, schema: dict[str, Any]) -> Callable[[Document], Any]:
    return lambda d: sections(d)[section]["properties"].update({name: schema})


def customer_optional(document: Document) -> None:
    operation = document["paths"]["/intents.json"]["post"]
    operation["requestBody"]["content"]["application/json"]["schema"]["required"].remove("customer")


LIST = {"type": "array"}
WHOLE = {"type": "integer"}
REQUIRED = ("quantity", "source", "shopify_product_id", "shopify_variant_id", "channel")


@pytest.mark.parametrize(
    ("change", "sent", "before", "after"),
    [
        (lambda d: sections(d)["intent"]["required"].append("campaign"), body(), 201, 400),
        (
            lambda d: sections(d)["customer"]["properties"]["name"].update(pattern="^A"),
            body(name="Bob"),
            201,
            400,
        ),
        (
            lambda d: sections(d)["customer"]["properties"]["email"].update(maxLength=3),
            body(),
            201,
            400,
        ),
        (
            lambda d: sections(d)["intent"]["properties"]["quantity"].update(type="string"),
            body({"quantity": "1"}),
            400,
            201,
        ),
        *((optional(name), lacking(name), 400, 201) for name in REQUIRED),
        (customer_optional, {"intent": body()["intent"]}, 400, 201),
        (typed("customer", "email", schema=LIST), body(email=["ada@lovelace.org"]), 400, 201),
        (typed("customer", "id", schema=WHOLE), body(id=7), 400, 201),
        (typed("customer", "phone", schema=WHOLE), body(phone=15550109999), 400, 201),
        (
            typed("customer", "phone", schema=WHOLE),
            body({"channel": "sms"}, phone=15550109999),
            400,
            201,
        ),
        (typed("intent", "channel", schema=LIST), body({"channel": ["email"]}), 400, 201),
        (
            typed("intent", "shopify_variant_id", schema=LIST),
            body({"shopify_variant_id": [11]}),
            400,
            201,
        ),
        (typed("customer", "name", schema=LIST), body(name=["Ada"]), 400, 201),
        (typed("customer", "shopify_market_id", schema={}), body(shopify_market_id={}), 400, 201),
        (
            typed("intent", "shopify_market_id", schema={}),
            body({"shopify_market_id": "x"}),
            400,
            201,
        ),
    ],
    ids=[
        *("required", "pattern", "length", "type"),
        *(f"no {name}" for name in REQUIRED),
        *("no customer", "emails", "whole id", "whole phone", "whole phone by sms", "channels"),
        *("variants", "names", "any market of the customer", "any market"),
    ],
)
def test_a_changed_schema(
    sandbox: Sandbox, changed: Any, change: Any, sent: Any, before: int, after: int
) -> None:
    """What the changed schema refuses or takes, the sandbox refuses or takes."""
    assert before == status(sandbox, sent)
    other = changed(change)
    assert after == status(other, sent)
    shown = other._service.journal.view()
    assert int(after == 201) == len(other.intents) == shown["stored"] == len(shown["waiting"])


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        *((name, "422") for name in ("id_range", "least_quantity", "email_form", "name_plan")),
        ("test_addresses", "refused"),
    ],
)
def test_a_changed_schema_and_what_it_may_refuse(changed: Any, name: str, choice: str) -> None:
    """What is refused for its values is looked for wherever the changed schema leaves it."""

    def loosen(document: Document) -> None:
        customer_optional(document)
        del sections(document)["intent"]["required"]

    other = changed(loosen)
    other.configure(assume={name: choice, "customer_id": "404"})
    assert [201, 201] == [status(other, sent) for sent in ({"intent": {}}, body())]


def test_a_schema_that_is_none(changed: Any) -> None:
    """Where the spec holds what is no schema, the sandbox says where instead of starting."""
    with pytest.raises(
        SandboxError, match=r"openapi\.json: .*properties/intent/required is no sch"
    ):
        changed(lambda d: sections(d)["intent"].update(required=7))


def test_a_phone_number_that_is_a_number(changed: Any) -> None:
    """A customer is known by an integer as by the digits in it."""
    other = changed(typed("customer", "phone", schema=WHOLE))
    sent = body({"channel": "sms"}, phone=15550109999)
    assert [201, 200] == [status(other, sent) for _ in range(2)]


def test_a_customers_id_that_is_a_number(changed: Any) -> None:
    """An id of an earlier answer names its customer as an integer, too."""
    other = changed(typed("customer", "id", schema=WHOLE))
    known = body({"channel": "push"}, id=1, push="token")
    assert [201, 200] == [status(other, sent) for sent in (body(), known)]


def test_a_new_channel(sandbox: Sandbox, changed: Any) -> None:
    """A channel of which nothing but its name is known is created, for a customer of its own."""
    assert status(sandbox, FAX) == 400
    with_fax = changed(
        lambda d: sections(d)["intent"]["properties"]["channel"]["enum"].append("fax")
    )
    assert [status(with_fax, FAX) for _ in range(2)] == [201, 201]
    assert [intent["channel"] for intent in with_fax.intents] == ["fax", "fax"]


def test_another_path(changed: Any) -> None:
    """The endpoint is where the spec's server says, and nowhere else."""
    moved = changed(lambda d: d["servers"][0].update(url="https://app.stoqapp.com/api/v2"))
    assert moved.base_url.endswith("/api/v2")
    assert status(moved, body(), "/api/v2/intents.json") == 201
    assert status(moved, body(), "/api/v1/intents.json") == 404


def operation_of(document: Document) -> Document:
    return dict(document["paths"]["/intents.json"]["post"])


def refer(document: Document) -> None:
    """Move the parameters and the body among the components, behind names with odd signs."""
    operation = document["paths"]["/intents.json"]["post"]
    components = document.setdefault("components", {})
    components["parameters"] = {"a~b/c %": operation["parameters"][0]}
    components["parameters"]["again"] = {"$ref": "#/components/parameters/a~0b~1c%20%25"}
    components["requestBodies"] = {"Body": operation["requestBody"]}
    again = {"$ref": "#/components/parameters/again"}
    operation["parameters"] = [again, *operation["parameters"][1:]]
    operation["requestBody"] = {"$ref": "#/components/requestBodies/Body"}


def with_charset(document: Document) -> None:
    content = operation_of(document)["requestBody"]["content"]
    content["Application/JSON; charset=utf-8"] = content.pop("application/json")


def parameters_of_the_path(document: Document) -> None:
    path_item = document["paths"]["/intents.json"]
    path_item["parameters"] = path_item["post"]["parameters"]
    path_item["post"]["parameters"] = None


@pytest.mark.parametrize("change", [refer, with_charset, parameters_of_the_path])
def test_the_same_spec_in_other_words(changed: Any, change: Any) -> None:
    """What OpenAPI lets a document say in several ways is read the same in each."""
    other = changed(change)
    assert [201, 400] == [status(other, sent) for sent in (body(), lacking("channel"))]
    unnamed = httpx.post(f"{other.base_url}/intents.json", json=body())
    assert unnamed.status_code == 400
    assert "X-Shopify-Shop-Domain: is required as a header" in unnamed.json()["errors"]


def test_an_operation_that_asks_for_less_than_its_path(changed: Any) -> None:
    """A parameter of the operation takes the place of the path's."""

    def overrule(document: Document) -> None:
        path_item = document["paths"]["/intents.json"]
        path_item["parameters"] = [
            {"in": "header", "name": "X-Trace", "required": True, "schema": {"type": "string"}}
        ]
        path_item["post"]["parameters"].append({"in": "header", "name": "X-Trace"})

    assert status(changed(overrule), body()) == 201


def test_a_version_that_is_a_number(changed: Any) -> None:
    """3.1 without quotes is meant as "3.1"."""
    assert status(changed(lambda d: d.update(openapi=3.1)), body()) == 201


def test_a_spec_without_the_operation(changed: Any) -> None:
    """Where the operation is gone, the sandbox says so instead of starting."""
    with pytest.raises(SandboxError, match=r"does not describe POST /intents\.json"):
        changed(lambda d: d["paths"].clear())


def refer_to(reference: Any) -> Callable[[Document], Any]:
    return lambda d: d["paths"]["/intents.json"]["post"].update(requestBody={"$ref": reference})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(servers=None), "a part is not of the type"),
        (lambda d: d.update(servers=[]), "a server is missing"),
        (lambda d: d.update(servers=[{"url": 7}]), "a part is not of the type"),
        (lambda d: d.update(paths=[]), "a part is not of the type"),
        (lambda d: operation_of(d)["parameters"].append(7), "a part is not of the type"),
        (lambda d: operation_of(d)["parameters"].append({}), "'in' is missing"),
        (lambda d: operation_of(d)["requestBody"].update(content={}), "'application/json' is mis"),
        (refer_to("#/paths/nothing"), "'nothing' is missing"),
        (refer_to("other.json#/x"), r"other\.json#/x leads to no part of the document"),
        (refer_to("#/paths/~1intents.json/post/requestBody"), "leads to no part"),
        (refer_to(7), "a part is not of the type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_spec_that_is_none(changed: Any, change: Any, says: str) -> None:
    """Where a part is missing or no OpenAPI, the sandbox says so instead of starting."""
    with pytest.raises(SandboxError, match=rf"^openapi\.json.*{says}"):
        changed(change)


def test_a_file_with_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mark that some editors write in front of the text is passed over."""
    content = json.dumps(spec()).encode("utf-8-sig")
    (tmp_path / "openapi.json").write_bytes(content)
    monkeypatch.setattr("stoqapp_sandbox.spec.files", lambda _package: tmp_path)
    assert "/intents.json" in spec()["paths"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"[]", b"\xff", b"[" * 100_000],
    ids=["empty", "no-json", "list", "no-utf-8", "deep"],
)
def test_a_file_that_is_no_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    """The file is named, with what it must be."""
    (tmp_path / "openapi.json").write_bytes(content)
    monkeypatch.setattr("stoqapp_sandbox.spec.files", lambda _package: tmp_path)
    with pytest.raises(SandboxError, match=r"openapi\.json must be an OpenAPI document: a JSON"):
        Sandbox()
