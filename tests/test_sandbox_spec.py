"""A spec that changes makes another sandbox, without a line of ours changing."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from stoqapp.sandbox import Sandbox, SandboxError
from stoqapp.sandbox.spec import spec

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
        monkeypatch.setattr("stoqapp.sandbox.options.spec", lambda: document)
        entered.append(Sandbox().__enter__())
        return entered[0]

    yield with_change
    for sandbox in entered:
        sandbox.__exit__(None, None, None)


def status(sandbox: Sandbox, content: Any, path: str = "/api/v1/intents.json") -> int:
    answer = httpx.post(f"{sandbox.url}{path}", content=json.dumps(content), headers=HEADERS)
    return answer.status_code


FAX = body({"channel": "fax"}, fax="4711")


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
    ],
    ids=["required", "pattern", "length", "type"],
)
def test_a_changed_schema(
    sandbox: Sandbox, changed: Any, change: Any, sent: Any, before: int, after: int
) -> None:
    """What the changed schema refuses or takes, the sandbox refuses or takes."""
    assert before == status(sandbox, sent)
    assert after == status(changed(change), sent)


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


def test_a_spec_without_the_operation(changed: Any) -> None:
    """Where the operation is gone, the sandbox says so instead of starting."""
    with pytest.raises(SandboxError, match=r"does not describe POST /intents\.json"):
        changed(lambda d: d["paths"].clear())
