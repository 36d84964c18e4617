"""The sandbox judges a request as the spec and the known facts say, and answers so."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from calling import rests_on
from sending import (
    HANG_SECONDS,
    HEADERS,
    PATH,
    SHOP,
    SMS,
    VALID,
    body,
    get,
    send,
    send_many,
)

from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.service import Service

SECRET = "ada.lovelace.1815"


def test_valid_intent_is_created(sandbox: Sandbox) -> None:
    """A valid body is answered 201 with the fields that the vendor documents for intents."""
    answer = send(sandbox, body(intent__shopify_market_id=33, customer__accepts_marketing=True))
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["errors"] == []
    [intent] = answer.json()["intents"]
    created_at = intent.pop("created_at")
    assert created_at == intent.pop("updated_at")
    assert created_at.endswith("Z")
    assert datetime.fromisoformat(created_at).tzinfo == UTC
    assert intent == {
        "id": "1",
        "channel": "email",
        "email": "ada@lovelace.org",
        "phone": None,
        "quantity": 1,
        "source": "api",
        "type": "back_in_stock",
        "shopify_variant_id": 11,
        "shopify_product_id": 22,
        "shopify_market_id": 33,
        "customer_id": "1",
        "notified_at": None,
        "unsubscribed_at": None,
        "blocked_at": None,
        "optin_confirmed": False,
        "accepts_marketing": True,
    }


def test_what_was_stored_can_be_read(sandbox: Sandbox) -> None:
    """The list holds what was answered, the shop and the body, in Python and over HTTP alike."""
    [created] = send(sandbox, body(customer__name="Ada")).json()["intents"]
    send(sandbox, b"{")
    expected = [{**created, "shop": SHOP, "request": body(customer__name="Ada")}]
    assert expected == sandbox.intents
    assert expected == get(sandbox, "/_sandbox/intents")


def test_a_long_list_is_whole(sandbox: Sandbox) -> None:
    """A list that is read in several steps holds each intent once, in order."""
    send_many(sandbox, [body(intent__shopify_variant_id=variant) for variant in range(1, 302)])
    assert list(range(1, 302)) == [intent["shopify_variant_id"] for intent in sandbox.intents]


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({"intent__quantity": 9}, 200),
        ({"customer__shopify_market_id": 5}, 200),
        ({"intent__shopify_product_id": 5}, 200),
        ({"customer__id": "unknown"}, 200),
        ({"customer__id": "1", "customer__email": "other@lovelace.org"}, 200),
        ({"customer__id": "1", **SMS}, 200),
        ({"customer__email": "other@lovelace.org"}, 201),
        ({"intent__shopify_variant_id": 12}, 201),
    ],
)
def test_who_and_what_makes_a_duplicate(
    sandbox: Sandbox, second: dict[str, Any], status: int
) -> None:
    """An intent is unique by customer, variant and market; the first stays as it is."""
    assert send(sandbox).status_code == 201
    answer = send(sandbox, body(**second))
    assert status == answer.status_code
    assert status == 201 or "already waits" in answer.json()["errors"][0]
    assert sandbox.intents[0]["quantity"] == 1
    assert len(sandbox.intents) == status - 199


def test_shops_are_apart(sandbox: Sandbox) -> None:
    """The same intent for another shop is another one, whatever the case of letters."""
    shops = (SHOP, "other.myshopify.com", SHOP.upper())
    answers = [send(sandbox, X_Shopify_Shop_Domain=shop).status_code for shop in shops]
    assert answers == [201, 201, 200]


@pytest.mark.parametrize(
    ("sent", "status", "errors"),
    [
        (body(**SMS, customer__email=None), 201, []),
        (body(intent__channel="push", customer__email=None, customer__push="token"), 201, []),
        # Not in the schema, or of any size there.
        (body(product__title="Socks", customer__nickname="Al", intent__quantity=10**30), 201, []),
        # What only this project's rules refuse: the vendor states no such rule.
        (body(intent__quantity=0, intent__shopify_variant_id=-1), 201, []),
        (body(**SMS | {"customer__phone": "155501"}), 201, []),
        ([], 400, ["body: must be of type object"]),
        ({}, 400, ["customer: is required", "intent: is required"]),
        (body(intent__quantity=None), 400, ["intent.quantity: is required"]),
        (body(intent__channel="x"), 400, ["intent.channel: must be 'email' or 'sms' or 'push'"]),
        pytest.param(
            body(customer__country="us\n"),
            400,
            ["customer.country: must match the pattern ^[a-z]{2}$"],
            marks=rests_on("customer.country", pattern="^[a-z]{2}$"),
        ),
        (
            {"intent": 1, "customer": {"email": 2}},
            400,
            ["customer.email: must be of type string", "intent: must be of type object"],
        ),
        (body(customer__email="  "), 200, ["customer.email: "]),
        (body(intent__channel="push"), 200, ["customer.push: "]),
        (body(**SMS | {"customer__phone": "+15550109999"}), 200, ["customer.phone: "]),
        (body(**SMS | {"customer__phone": "\uff11\uff15\uff15"}), 200, ["customer.phone: "]),
    ],
)
def test_bodies_are_judged(sandbox: Sandbox, sent: Any, status: int, errors: list[str]) -> None:
    """201 for what fits the schema and the rules in prose; else every fault at once, by field.

    What breaks the schema is a 400, what breaks a rule a 200 with errors; neither is stored.
    """
    answer = send(sandbox, sent)
    said = sorted(answer.json()["errors"])
    assert (status, len(errors)) == (answer.status_code, len(said))
    assert all(map(str.startswith, said, errors))
    assert len(sandbox.intents) == (status == 201)


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Content_Type": "Application/JSON; charset=utf-8"}, 201, None),
        *(
            pytest.param({"Content_Type": given}, 400, said, marks=rests_on("Content-Type"))
            for given, said in (
                ("text/plain", "Content-Type: must be 'application/json'"),
                (None, "Content-Type: is required"),
            )
        ),
        ({"X_Shopify_Shop_Domain": None}, 400, "X-Shopify-Shop-Domain: is required"),
        ({"X_Shopify_Shop_Domain": "https://demo.myshopify.com/"}, 404, "Not found"),
        ({"X_Shopify_Shop_Domain": f"{SHOP}, {SHOP}"}, 404, "Not found"),
    ],
)
def test_headers_are_judged(
    sandbox: Sandbox, headers: dict[str, Any], status: int, said: str | None
) -> None:
    """A required header that is missing or wrong is a 400, a name of no shop a 404."""
    answer = send(sandbox, **headers)
    assert status == answer.status_code
    assert said is None or said in (answer.json().get("errors") or [answer.json()["error"]])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("BREW", PATH, 405),
        ("POST", "/intents.json", 404),
        ("POST", "/_sandbox/intents", 405),
        ("GET", "/_sandbox/reset", 405),
    ],
)
def test_other_routes(sandbox: Sandbox, method: str, path: str, status: int) -> None:
    """Another path is a 404 and another method a 405, in JSON."""
    answer = send(sandbox, b"", method, path)
    assert (status, ["error"]) == (answer.status_code, list(answer.json()))
    assert ("allow" in answer.headers) is (status == 405)


def test_large_body(sandbox: Sandbox) -> None:
    """A body over 1 MiB is answered 413, also one of which nothing says how large it is."""
    limit = 1024 * 1024
    assert send(sandbox, body(customer__name="x" * (limit - 500))).status_code == 201
    assert send(sandbox, b" " * (limit + 1)).status_code == 413
    chunks = (b" " * 65536 for _ in range(40))
    answer = httpx.post(sandbox.url + PATH, content=chunks, timeout=HANG_SECONDS)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "must be JSON: Expecting value at line 1 column 1"),
        (b"{" + SECRET.encode(), "must be JSON: .* at line 1 column 2"),
        (b"ab\xff", "must be UTF-8: byte 2 is not"),
        (b"\xef\xbb\xbf" + VALID, "must be JSON"),
        (b"[" * 100_000, "must be JSON without .* deep nesting"),
        (b"[" * 300 + b"]" * 300, "must be JSON without deep nesting"),
        (b"[1, NaN]", "must be JSON without NaN"),
        (VALID.replace(b'"email"', rb'"\udfff"'), "lone surrogate"),
    ],
    ids=lambda value: f"{value[:12]!r}",
)
def test_bytes_that_are_no_json(sandbox: Sandbox, raw: bytes, reason: str) -> None:
    """400 that says why, for bytes that no JSON reader takes or that cannot be written again."""
    answer = send(sandbox, raw)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert re.match(f"body: .*{reason}", error), error
    assert SECRET not in error


@pytest.mark.parametrize(
    "raw",
    [
        VALID.replace(b'"quantity": 1', b'"quantity": "x", "quantity": 1'),
        VALID.replace(b"ada", rb"\ud83d\ude00"),
        VALID.replace(b'"email":', b'"x": ' + b"[" * 98 + b"]" * 98 + b', "email":'),
        VALID.replace(b'"email":', b'"x": ' + b"9" * 4000 + b', "email":'),
    ],
    ids=range(4),
)
def test_odd_json_that_is_still_json(sandbox: Sandbox, raw: bytes) -> None:
    """201 for JSON that only looks odd, and it can be listed afterwards."""
    assert send(sandbox, raw).status_code == 201
    [intent] = get(sandbox, "/_sandbox/intents")
    assert json.loads(raw) == intent["request"]


@pytest.mark.parametrize(
    "sent",
    [
        {SECRET: SECRET},
        body(intent__channel="sms", customer__phone=SECRET),
        body(customer__email=SECRET, intent__quantity={SECRET: SECRET}),
        f'{{"customer": "{SECRET}'.encode(),
    ],
)
def test_messages_and_logs_repeat_no_value(
    sandbox: Sandbox, sent: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """What a customer sent comes back in no message and goes into no log."""
    caplog.set_level(logging.DEBUG)
    answer = send(sandbox, sent)
    assert answer.status_code in {200, 400}
    assert SECRET not in answer.text
    assert SECRET not in caplog.text + "".join(capfd.readouterr())
    assert not [record for record in caplog.records if record.name.startswith(("stoqapp", "uvi"))]


def test_points_by_shop_and_method(sandbox: Sandbox) -> None:
    """A write costs 2 and a read 1, by shop; a 429 costs nothing, and its request is not judged."""
    sandbox.configure(rate_limit=(5, 86400))

    def left(content: Any = VALID, method: str = "POST", shop: str = SHOP) -> tuple[int, str]:
        answer = send(sandbox, content, method, X_Shopify_Shop_Domain=shop)
        assert answer.headers["x-ratelimit-limit"] == "5"
        return answer.status_code, answer.headers["x-ratelimit-remaining"]

    assert [left(), left()] == [(201, "3"), (200, "1")]
    assert left(b"{") == (429, "1")
    assert [left(method="GET"), left(method="GET")] == [(405, "0"), (429, "0")]
    assert left(shop="other.myshopify.com") == (201, "3")


def test_windows_are_aligned() -> None:
    """Points come back at each multiple of the window; the vendor's 429 says when that is."""
    now = 122.49
    service = Service(rate_limit=(3, 2.5), clock=lambda: now)
    _, refused = (service.create_intent(HEADERS, VALID) for _ in range(2))
    assert refused.status == 429
    assert (refused.headers["retry-after"], refused.headers["x-ratelimit-reset"]) == ("1", "123")
    said = json.loads(refused.body)
    assert sorted(said) == ["error", "message", "retry_after"]
    assert said["retry_after"] == 1
    now = 122.5
    assert service.create_intent(HEADERS, VALID).status == 200


ORIGIN = "http://localhost:3000"
CORS = "access-control-allow-origin"


@pytest.mark.parametrize(
    ("options", "origin", "allowed"),
    [
        ({}, ORIGIN, None),
        ({"allow_origin": ORIGIN}, ORIGIN, ORIGIN),
        ({"allow_origin": f"{ORIGIN}/"}, ORIGIN, ORIGIN),
        ({"allow_origin": ORIGIN}, "http://localhost:3001", None),
        ({"assume": {"cors": "any"}}, "https://shop.example", "https://shop.example"),
    ],
)
def test_an_origin_is_let_in(
    sandbox: Sandbox, options: dict[str, Any], origin: str | None, allowed: str | None
) -> None:
    """An origin that is allowed may send and read; any other is told nothing, and stays out."""
    sandbox.configure(**options)
    preflight = send(sandbox, b"", "OPTIONS", Origin=origin)
    sent = send(sandbox, Origin=origin)
    assert (allowed, allowed) == (preflight.headers.get(CORS), sent.headers.get(CORS))
    assert (204 if allowed else 405) == preflight.status_code
    assert (
        "x-shopify-shop-domain" in preflight.headers.get("access-control-allow-headers", "")
    ) is (allowed is not None)
    assert CORS not in send(sandbox, b"", "GET", "/_sandbox/intents").headers
    # A preflight that is let in is neither listed nor counted.
    assert len(get(sandbox, "/_sandbox/requests")) == (1 if allowed else 2)
