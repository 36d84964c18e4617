"""The sandbox answers as the spec and the known facts say, and ends when it is told to."""

import asyncio
import copy
import importlib
import json
import logging
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stoqapp_sandbox
from stoqapp.rules import check
from stoqapp_sandbox import (
    ASSUMPTIONS,
    Assumptions,
    PortInUseError,
    Sandbox,
    SandboxError,
    SandboxNotInstalledError,
)
from stoqapp_sandbox import server as server_room
from stoqapp_sandbox import spec as spec_room
from stoqapp_sandbox.app import app_for
from stoqapp_sandbox.budget import Budget
from stoqapp_sandbox.judge import Judge
from stoqapp_sandbox.payload import PayloadError, payload_from_bytes
from stoqapp_sandbox.service import Service
from stoqapp_sandbox.spec import operation_from_spec, spec
from stoqapp_sandbox.store import Store

SHOP = "demo.myshopify.com"
PATH = "/api/v1/intents.json"
SECRET = "ada.lovelace.1815"
HANG_SECONDS = 20
# Shared, because each client would spend 20 ms on one of its own.
TLS = ssl.create_default_context()


def body(**changes: Any) -> dict[str, Any]:
    """Return a valid body with changes like ``customer__email="a@b.co"``; None leaves out."""
    made: dict[str, Any] = {
        "intent": {
            "shopify_variant_id": 11,
            "shopify_product_id": 22,
            "channel": "email",
            "quantity": 1,
            "source": "api",
        },
        "customer": {"email": "ada@lovelace.org"},
    }
    for place, value in changes.items():
        section, _, name = place.partition("__")
        made.setdefault(section, {})
        if value is None:
            made[section].pop(name, None)
        else:
            made[section][name] = value
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    """One sandbox for the module."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """That sandbox, with nothing in it."""
    running.reset()
    return running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A plain HTTP client that names the shop and JSON."""
    headers = {"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"}
    with httpx.Client(
        base_url=sandbox.url, headers=headers, timeout=HANG_SECONDS, verify=TLS
    ) as client:
        yield client


def post(client: httpx.Client, content: Any, **headers: str) -> httpx.Response:
    """Post bytes as they are, or anything else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(PATH, content=raw, headers=headers)


# -- a created intent -------------------------------------------------------------------


def test_valid_intent_is_created(client: httpx.Client, sandbox: Sandbox) -> None:
    """A valid body is answered 201 with the fields that the vendor documents for intents."""
    answer = post(client, body(intent__shopify_market_id=33, customer__accepts_marketing=True))

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


@pytest.mark.parametrize(
    "contact",
    [
        {"intent__channel": "email"},
        {"intent__channel": "sms", "customer__email": None, "customer__phone": "15550109999"},
        {"intent__channel": "push", "customer__email": None, "customer__push": "token"},
        {"product__title": "Socks", "product__variant_count": 3, "customer__country": "us"},
        {"customer__nickname": "unlisted", "intent__quantity": 10**30},
    ],
)
def test_every_channel_is_served(client: httpx.Client, contact: dict[str, Any]) -> None:
    """201 for each channel with its contact, and for fields that the schema does not list."""
    assert post(client, body(**contact)).status_code == 201


def test_what_was_stored_can_be_read(client: httpx.Client, sandbox: Sandbox) -> None:
    """The list holds what was answered, the shop and the body, in Python and over HTTP alike."""
    [created] = post(client, body(customer__name="Ada")).json()["intents"]

    expected = [{**created, "shop": SHOP, "request": body(customer__name="Ada")}]
    assert expected == sandbox.intents
    assert expected == client.get("/_sandbox/intents").json()

    sandbox.intents[0]["request"].clear()
    assert expected == sandbox.intents


# -- uniqueness ------------------------------------------------------------------------------


def test_duplicate_is_processed_with_errors(client: httpx.Client, sandbox: Sandbox) -> None:
    """A second, identical intent is answered 200 with errors and stored once."""
    post(client, body())
    answer = post(client, body(intent__quantity=9))

    assert answer.status_code == 200
    assert list(answer.json()) == ["errors"]
    assert "already waits" in answer.json()["errors"][0]
    assert [intent["quantity"] for intent in sandbox.intents] == [1]


SMS = {"intent__channel": "sms", "customer__phone": "15550109999"}


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ({"customer__email": "ADA@Lovelace.ORG "}, 200),
        ({"customer__name": "Someone Else"}, 200),
        ({"customer__shopify_market_id": 5}, 200),
        ({"intent__shopify_product_id": 5}, 200),
        ({"customer__id": "nobody"}, 200),
        ({"customer__id": "1", "customer__email": "other@lovelace.org"}, 200),
        ({"customer__id": "1", **SMS}, 200),
        ({"customer__email": "other@lovelace.org"}, 201),
        ({"intent__shopify_variant_id": 12}, 201),
        ({"intent__shopify_market_id": 5}, 201),
        (SMS, 201),
    ],
)
def test_who_and_what_makes_a_duplicate(
    client: httpx.Client, second: dict[str, Any], status: int
) -> None:
    """An intent is unique by customer, variant and market; the table says who is the same."""
    assert post(client, body()).status_code == 201
    assert status == post(client, body(**second)).status_code


def test_shops_are_apart(client: httpx.Client) -> None:
    """The same intent for another shop is another one; the case of a shop's name is none."""
    answers = [
        post(client, body(), **{"X-Shopify-Shop-Domain": shop}).status_code
        for shop in (SHOP, "other.myshopify.com", SHOP.upper())
    ]

    assert answers == [201, 201, 200]


def test_identical_intents_at_once(sandbox: Sandbox) -> None:
    """Of identical intents that come at the same moment, exactly one is created."""
    threads, rounds = 8, 5
    gate = threading.Barrier(threads)

    def send(_: int) -> list[int]:
        statuses = []
        headers = {"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"}
        with httpx.Client(base_url=sandbox.url, headers=headers, verify=TLS) as client:
            for variant in range(1, rounds + 1):
                gate.wait(HANG_SECONDS)
                answer = post(client, body(intent__shopify_variant_id=variant))
                statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(threads) as pool:
        by_thread = list(pool.map(send, range(threads)))

    one_each = [[200] * (threads - 1) + [201]] * rounds
    assert one_each == [sorted(statuses) for statuses in zip(*by_thread, strict=True)]
    assert rounds == len(sandbox.intents)


def test_identical_intents_at_once_in_the_store() -> None:
    """The store alone holds the promise too, whichever threads call it."""
    threads = 16
    store = Store()
    gate = threading.Barrier(threads)

    def add(_: int) -> bool:
        gate.wait(HANG_SECONDS)
        return store.add(SHOP, body()).is_new

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(add, range(threads))) == 1


# -- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "errors"),
    [
        ([], ["body: must be of type object"]),
        ("text", ["body: must be of type object"]),
        ({}, ["customer: is required", "intent: is required"]),
        (body(intent__quantity=None), ["intent.quantity: is required"]),
        (body(intent__quantity=True), ["intent.quantity: must be of type integer"]),
        (body(intent__quantity=1.0), ["intent.quantity: must be of type integer"]),
        (body(intent__quantity="1"), ["intent.quantity: must be of type integer"]),
        (body(intent__source="web"), ["intent.source: must be 'api'"]),
        (body(intent__channel="fax"), ["intent.channel: must be 'email' or 'sms' or 'push'"]),
        (
            body(customer__country="us\n"),
            ["customer.country: must match the pattern ^[a-z]{2}$"],
        ),
        (body(customer__country="US"), ["customer.country: must match the pattern ^[a-z]{2}$"]),
        (
            body(customer__accepts_marketing=1),
            ["customer.accepts_marketing: must be of type boolean"],
        ),
        (
            {"intent": 1, "customer": {"email": 2}, "product": []},
            [
                "customer.email: must be of type string",
                "intent: must be of type object",
                "product: must be of type object",
            ],
        ),
        ({"intent": {"email": "a@b.co", "variant_id": 1}}, None),
    ],
)
def test_body_that_breaks_the_schema(
    client: httpx.Client, sandbox: Sandbox, sent: Any, errors: list[str] | None
) -> None:
    """400 with every fault at once, each with its field, and nothing stored."""
    answer = post(client, sent)

    assert answer.status_code == 400
    assert errors is None or errors == sorted(answer.json()["errors"])
    assert sandbox.intents == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer__email": None}, "customer.email"),
        ({"customer__email": "  "}, "customer.email"),
        ({"intent__channel": "sms"}, "customer.phone"),
        ({"intent__channel": "push"}, "customer.push"),
        ({**SMS, "customer__phone": "+15550109999"}, "customer.phone"),
        ({**SMS, "customer__phone": "1 (555) 010"}, "customer.phone"),
        (
            {
                **SMS,
                "customer__phone": "\uff11\uff15\uff15\uff15\uff10\uff11\uff10\uff19\uff19\uff19",
            },
            "customer.phone",
        ),
        ({"customer__phone": ""}, "customer.phone"),
    ],
)
def test_body_that_breaks_a_rule_in_prose(
    client: httpx.Client, sandbox: Sandbox, changes: dict[str, Any], field: str
) -> None:
    """200 with errors that name the field, and nothing stored."""
    answer = post(client, body(**changes))

    assert answer.status_code == 200
    assert list(answer.json()) == ["errors"]
    assert [field] == [error.partition(":")[0] for error in answer.json()["errors"]]
    assert sandbox.intents == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"intent__quantity": 0}, "positive_quantity"),
        ({"intent__shopify_variant_id": -1}, "positive_id"),
        ({**SMS, "customer__phone": "155501"}, "phone_e164"),
        ({**SMS, "customer__phone": "05550109999"}, "phone_e164"),
        ({"customer__phone": "0"}, "phone_e164"),
    ],
)
def test_rules_of_ours_are_not_the_services(
    client: httpx.Client, changes: dict[str, Any], rule: str
) -> None:
    """201 for what only this project's rules refuse: the vendor states no such rule."""
    sent = body(**changes)
    assert post(client, sent).status_code == 201
    assert [(v.rule, v.origin) for v in check(sent)] == [(rule, "stoqapp")]


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 201, None),
        ({"Content-Type": "Application/JSON"}, 201, None),
        ({"Content-Type": "text/plain"}, 400, "Content-Type: must be 'application/json'"),
        ({"Content-Type": ""}, 400, "Content-Type: is required as a header"),
        (
            {"X-Shopify-Shop-Domain": ""},
            400,
            "X-Shopify-Shop-Domain: is required as a header",
        ),
        ({"X-Shopify-Shop-Domain": "demo"}, 404, "Not found"),
        ({"X-Shopify-Shop-Domain": "https://demo.myshopify.com/"}, 404, "Not found"),
    ],
)
def test_headers_are_judged(
    client: httpx.Client, headers: dict[str, str], status: int, said: str | None
) -> None:
    """A required header that is missing or wrong is a 400, a name of no shop a 404."""
    answer = post(client, body(), **headers)

    assert status == answer.status_code
    if said:
        assert said in (answer.json().get("errors") or [answer.json()["error"]])


@pytest.mark.parametrize("missing", ["X-Shopify-Shop-Domain", "Content-Type"])
def test_missing_header(client: httpx.Client, missing: str) -> None:
    """400 that names the header, when it is not there at all."""
    del client.headers[missing]

    answer = post(client, body())

    assert answer.status_code == 400
    assert [f"{missing}: is required as a header"] == answer.json()["errors"]


def test_header_that_is_there_twice(client: httpx.Client) -> None:
    """Two lines of a header are one value with a comma, so neither wins silently."""
    lines = [("X-Shopify-Shop-Domain", SHOP), ("Content-Type", "application/json")]
    client.headers.clear()

    answer = client.post(PATH, content=json.dumps(body()), headers=[*lines, *lines])

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("BREW", PATH, 405),
        ("POST", PATH + "/", 404),
        ("POST", "/intents.json", 404),
        ("GET", "/else", 404),
        ("POST", "/", 405),
        ("POST", "/_sandbox/intents", 405),
        ("GET", "/_sandbox/reset", 405),
        ("GET", "/_sandbox/else", 404),
    ],
)
def test_other_routes(client: httpx.Client, method: str, path: str, status: int) -> None:
    """Another path is a 404 and another method a 405, in JSON."""
    answer = client.request(method, path)

    assert status == answer.status_code
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 65_536,
    ],
    ids=lambda raw: f"{raw[-12:]!r}",
)
def test_bytes_that_are_no_http(sandbox: Sandbox, raw: bytes) -> None:
    """What is no HTTP is answered 400 in JSON, and the connection ends."""
    with socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as caller:
        caller.sendall(raw)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))

    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert {"error": "Invalid HTTP request received."} == json.loads(content)


def test_bytes_that_are_no_http_after_an_answer(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that breaks after its answer ends the connection, with no failure in a log."""
    with socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as caller:
        caller.sendall(b"POST /else HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += caller.recv(65536)
        assert answer.startswith(b"HTTP/1.1 404 ")
        caller.sendall(b"zz\r\n")
        assert caller.recv(65536) == b""

    assert not [record for record in caplog.records if record.exc_info]


def test_large_body(client: httpx.Client) -> None:
    """A body over the limit is answered 413, also one of which nobody says how large it is."""
    limit = 1024 * 1024
    fits = json.dumps(body(customer__name="x" * (limit - 500))).encode()

    assert post(client, fits).status_code == 201
    assert post(client, b" " * (limit + 1)).status_code == 413
    assert client.post(PATH, content=(b" " * 65536 for _ in range(40))).status_code == 413


VALID = json.dumps(body()).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + VALID,
        VALID.decode().encode("utf-16"),
        VALID[:-1],
        VALID + b"]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 101 + b"]" * 101,
        b'"' + b'\\"' * 400_000,
        b"1" * 5000,
        VALID.replace(b"11", b"1" * 5000),
        b"NaN",
        b"-Infinity",
        VALID.replace(b'"ada@lovelace.org"', b'"ada@lovelace.org", "x": 1e999'),
        VALID.replace(b"ada@", rb"\ud800"),
        VALID.replace(b'"email": "ada', rb'"\udfff": 1, "email": "ada'),
    ],
    ids=lambda raw: f"{raw[:12]!r}*{len(raw)}",
)
def test_bytes_that_are_no_json(client: httpx.Client, raw: bytes) -> None:
    """400 that says why, for bytes that no JSON reader takes or that cannot be written again."""
    answer = post(client, raw)

    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith("body: must")


@pytest.mark.parametrize(
    "raw",
    [
        VALID.replace(b'"quantity": 1', b'"quantity": "x", "quantity": 1'),
        b"\r\n\t" + VALID,
        VALID.replace(b"ada", rb"\ud83d\ude00"),
        VALID.replace(b'"email":', b'"x": ' + b"[" * 98 + b"]" * 98 + b', "email":'),
        VALID.replace(b'"email":', b'"x": "' + b"[" * 500 + b'", "email":'),
        VALID.replace(b'"email":', b'"x": ' + b"9" * 4000 + b', "email":'),
    ],
)
def test_odd_json_that_is_still_json(client: httpx.Client, raw: bytes) -> None:
    """201 for JSON that only looks odd, and it can be listed afterwards."""
    assert post(client, raw).status_code == 201
    assert client.get("/_sandbox/intents").status_code == 200


def test_chunked_body(client: httpx.Client) -> None:
    """A body that comes in pieces, with no length given, is a body like any other."""
    pieces = (VALID[start : start + 7] for start in range(0, len(VALID), 7))

    assert client.post(PATH, content=pieces).status_code == 201


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [(section, name) for section, names in body(product__sku="x").items() for name in names]
)


@st.composite
def broken_bodies(draw: st.DrawFn) -> bytes:
    """Draw a valid body with up to three fields set to anything."""
    made = body()
    for section, name in draw(st.lists(FIELDS, max_size=3)):
        made.setdefault(section, {})[name] = draw(JSON)
    return json.dumps(made).encode()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    raw=st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | broken_bodies(),
    headers=st.dictionaries(
        st.sampled_from(["content-type", "x-shopify-shop-domain", "accept", "x-any"]),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20).map(
            lambda text: "".join(char for char in text if char.isprintable()).strip()
        ),
        max_size=3,
    ),
)
def test_any_bytes_and_headers(client: httpx.Client, raw: bytes, headers: dict[str, str]) -> None:
    """Whatever comes in, the answer is JSON with the rate limit, and never a 500."""
    lines = {**client.headers, **headers}.items()

    answer = client.post(
        PATH,
        content=raw,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in lines],
    )

    assert answer.status_code in {200, 201, 400, 404}
    assert answer.json()
    assert answer.headers["x-ratelimit-limit"] == "360"
    assert client.get("/_sandbox/intents").status_code == 200


# -- no person's data in messages and logs -----------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        {SECRET: SECRET},
        body(customer__email=[SECRET]),
        body(customer__country=SECRET),
        body(intent__channel=SECRET),
        body(intent__channel="sms", customer__phone=SECRET),
        body(customer__email=SECRET, intent__quantity={SECRET: SECRET}),
        f'{{"customer": "{SECRET}'.encode(),
    ],
)
def test_messages_and_logs_repeat_no_value(
    client: httpx.Client, sent: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """What a customer sent comes back in no message and goes into no log."""
    caplog.set_level(logging.DEBUG)

    answer = post(client, sent)

    assert answer.status_code in {200, 400}
    assert SECRET not in answer.text
    assert SECRET not in caplog.text + "".join(capfd.readouterr())
    ours = ("stoqapp", "uvicorn", "starlette", "asyncio")
    assert not [record for record in caplog.records if record.name.startswith(ours)]


def test_caller_who_hangs_up_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A caller who goes away within a body stores nothing and leaves nothing in a log."""
    service = Service(operation_from_spec(spec()))
    headers = [(b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    for path in (PATH, "/_sandbox/faults"):
        asyncio.run(app_for(service)({**scope, "path": path}, receive, send))

    assert service.store.received() == []
    assert [400, 400] == [message["status"] for message in sent if "status" in message]
    assert "failed" not in caplog.text


def test_own_failure_is_discreet(
    client: httpx.Client,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of the sandbox itself is a JSON 500 and a log line that says where, not what."""

    def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Store, "add", fail)

    answer = post(client, body())

    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "RuntimeError at" in caplog.text
    assert SECRET not in caplog.text + answer.text


def test_own_names_of_the_sender_are_not_repeated() -> None:
    """Where a schema looks into fields it does not name, their names stay out of the message."""
    document = spec()
    schema = _schema_of(document)
    schema["properties"]["customer"]["additionalProperties"] = {"type": "string"}

    judge = Judge(operation_from_spec(document))

    assert judge.body_faults(body(**{f"customer__{SECRET}": 1})) == [
        "customer.*: must be of type string"
    ]


# -- the spec decides ----------------------------------------------------------------------------


def _schema_of(document: dict[str, Any]) -> dict[str, Any]:
    operation = document["paths"]["/intents.json"]["post"]
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def test_changed_spec_changes_the_judge() -> None:
    """A field, header, server or reference that the vendor changes needs no code of ours."""
    document = copy.deepcopy(spec())
    schema = _schema_of(document)
    schema["required"].append("product")
    schema["properties"]["intent"]["properties"]["channel"]["enum"].append("fax")
    schema["properties"]["customer"]["properties"]["name"]["nullable"] = True
    schema["properties"]["product"] = {"$ref": "#/components/schemas/Product"}
    document["components"] = {"schemas": {"Product": {"type": "object", "required": ["sku"]}}}
    schema["properties"]["customer"]["properties"]["locale"].update(enum=["en"], nullable=True)
    document["servers"][0]["url"] = "https://app.stoqapp.com/api/v2/"
    document["paths"]["/intents.json"]["post"]["parameters"].append(
        {"in": "header", "name": "X-Token", "required": True, "schema": {"type": "string"}}
    )
    document["paths"]["/intents.json"]["parameters"] = [
        {"in": "header", "name": "X-Mode", "schema": {"enum": ["test"]}},
        {"in": "query", "name": "page", "required": True},
    ]

    operation = operation_from_spec(document)
    judge = Judge(operation)

    assert operation.base_path == "/api/v2"
    assert judge.body_faults(body(intent__channel="fax")) == ["product: is required"]
    assert judge.body_faults({**body(), "product": {}}) == ["product.sku: is required"]
    nameless = body(product__sku="x")
    nameless["customer"].update(name=None, locale=None)
    assert judge.body_faults(nameless) == []
    assert judge.header_faults({"content-type": "application/json", "x-mode": "live"}) == [
        "X-Mode: must be 'test'",
        "X-Shopify-Shop-Domain: is required as a header",
        "X-Token: is required as a header",
    ]
    required = {"content-type": "application/json", "x-shopify-shop-domain": SHOP, "x-token": "x"}
    assert judge.header_faults(required) == []


def test_spec_is_found_in_either_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file beside the package wins, then the checkout's; with neither, the error says so."""
    monkeypatch.setattr(spec_room, "files", lambda _: tmp_path)
    root = Path(__file__).parents[2] / "openapi.json"
    assert json.loads(root.read_text(encoding="utf-8")) == spec()

    (tmp_path / "openapi.json").write_text('{"shipped": true}', encoding="utf-8")
    assert spec() == {"shipped": True}

    (tmp_path / "openapi.json").unlink()
    monkeypatch.setattr(spec_room, "_CHECKOUT", tmp_path)
    with pytest.raises(SandboxError, match=r"openapi\.json is missing .* reinstall"):
        spec()


@pytest.mark.parametrize(
    "document",
    [{}, {"openapi": "3.0.3", "paths": {"/intents.json": {"get": {}}}, "servers": []}],
)
def test_spec_without_the_operation(document: dict[str, Any]) -> None:
    """A spec that lacks the operation is an error that names what is missing."""
    with pytest.raises(SandboxError, match=r"POST /intents\.json .* is missing"):
        operation_from_spec(document)


def test_spec_of_another_version() -> None:
    """A spec of an OpenAPI version that the judge does not read is an error that says so."""
    with pytest.raises(SandboxError, match=r"OpenAPI 2\.0\.0"):
        Judge(operation_from_spec({**spec(), "openapi": "2.0.0"}))


# -- the rate limit's headers -------------------------------------------------------------


def test_every_answer_shows_the_rate_limit(client: httpx.Client) -> None:
    """Every answer of the API tells the points: a write costs 2, a read 1, by shop."""
    answers = [
        post(client, body()),
        post(client, {}),
        client.get(PATH),
        post(client, body(), **{"X-Shopify-Shop-Domain": "other.myshopify.com"}),
    ]
    resets = [int(answer.headers["x-ratelimit-reset"]) for answer in answers]

    assert {"360"} == {answer.headers["x-ratelimit-limit"] for answer in answers}
    assert all(reset % 60 == 0 for reset in resets)
    if len(set(resets)) == 1:
        left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
        assert left == [358, 356, 355, 358]
    assert "x-ratelimit-limit" not in client.get("/_sandbox/intents").headers


def test_points_by_window_and_shop() -> None:
    """Points come back with the next full minute and never fall below 0."""
    now = 120.0
    budget = Budget(clock=lambda: now)
    spent = [budget.spend("a.b", "POST").points_left for _ in range(181)]

    assert spent[:2] == [358, 356]
    assert spent[-2:] == [0, 0]
    assert budget.spend("c.d", "GET").points_left == 359

    now = 179.9
    last = budget.spend("A.B", "POST")
    assert (last.points_left, last.resets_at, last.seconds_left) == (0, 180, 1)

    now = 180.0
    first = budget.spend("a.b", "POST")
    assert (first.points_left, first.resets_at, first.seconds_left) == (358, 240, 60)


# -- the rate limit, enforced --------------------------------------------------------------------


def test_points_that_are_enforced() -> None:
    """Where it is enforced, what goes beyond the points is refused and costs nothing."""
    now = 121.0
    given = {"rate_points": 5, "rate_window": 2.5, "rate_enforced": "yes"}
    budget = Budget(Assumptions.of(given), clock=lambda: now)
    spent = [budget.spend("a.b", method) for method in ("POST", "POST", "POST", "GET", "GET")]

    assert [balance.points_left for balance in spent] == [3, 1, 1, 0, 0]
    assert [balance.refused for balance in spent] == [False, False, True, False, True]
    assert (spent[0].resets_at, spent[0].seconds_left, spent[0].points) == (123, 2, 5)
    assert not budget.spend("c.d", "POST").refused

    now = 122.49
    assert (budget.spend("a.b", "POST").refused, budget.spend("a.b", "GET").seconds_left) == (
        True,
        1,
    )
    now = 122.5
    assert budget.spend("a.b", "POST").points_left == 3


def test_beyond_the_limit_is_the_vendors_429() -> None:
    """A request beyond the limit is told so as the vendor does, and is neither judged nor kept."""
    with (
        Sandbox(rate_limit=(5, 3600.0)) as sandbox,
        httpx.Client(
            base_url=sandbox.url,
            headers={"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"},
            verify=TLS,
        ) as client,
    ):
        made = [post(client, body(customer__email=f"{name}@a.bc")) for name in "abc"]
        unjudged = post(client, b"{")
        elsewhere = post(client, body(), **{"X-Shopify-Shop-Domain": "other.myshopify.com"})
        sandbox.fail_next(503)
        refused = post(client, body())
        sandbox.reset()
        again = post(client, body())

    assert [answer.status_code for answer in made] == [201, 201, 429]
    assert [answer.status_code for answer in (unjudged, elsewhere, refused)] == [429, 201, 429]
    assert again.status_code == 201
    seconds = int(made[2].headers["retry-after"])
    assert 0 < seconds <= 3600
    assert sorted(made[2].json()) == ["error", "message", "retry_after"]
    assert made[2].json()["retry_after"] == seconds
    assert [answer.headers["x-ratelimit-remaining"] for answer in made] == ["3", "1", "1"]
    assert {answer.headers["x-ratelimit-limit"] for answer in made} == {"5"}
    assert made[2].headers["x-ratelimit-reset"] == made[0].headers["x-ratelimit-reset"]


@pytest.mark.parametrize(
    "limit",
    [
        *((0, 60), (-1, 60), (1.5, 60), (360, 0), (360, -1), (360, float("nan"))),
        *((360, float("inf")), (360,), 360, "360/60", ("360", 60), (360, "60"), (360, 60, 1)),
    ],
)
def test_a_rate_limit_that_cannot_be(limit: Any) -> None:
    """A limit that makes no sense is an error that shows one that does."""
    with pytest.raises(SandboxError, match=r"rate limit .* like 360 and 60"):
        Sandbox(rate_limit=limit)


# -- scripted answers --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503, 520])
def test_next_answer_can_be_scripted(client: httpx.Client, sandbox: Sandbox, status: int) -> None:
    """The next answer is the scripted one and nothing is stored; the one after is judged."""
    sandbox.fail_next(status)

    answer = post(client, body())

    assert status == answer.status_code
    assert answer.json()["error"]
    assert sandbox.intents == []
    assert post(client, body()).status_code == 201


def test_scripted_rate_limit_is_the_vendors(client: httpx.Client, sandbox: Sandbox) -> None:
    """A scripted 429 has the vendor's headers and body, with one number of seconds in both."""
    sandbox.fail_next(429)

    answer = post(client, body())

    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["retry_after"] == int(answer.headers["retry-after"])
    assert sorted(answer.json()) == ["error", "message", "retry_after"]


def test_script_with_everything(client: httpx.Client, sandbox: Sandbox) -> None:
    """Times, headers and body go out as they were given, in the order they were asked for."""
    html = {"Content-Type": "text/html", "X-RateLimit-Remaining": "7"}
    sandbox.fail_next(502, times=2, headers=html, body="<h1>Bad gateway</h1>")
    sandbox.fail_next(201, body={"intents": None})
    sandbox.fail_next(204)

    first, second, odd, empty = (post(client, body()) for _ in range(4))

    assert [a.status_code for a in (first, second, odd, empty)] == [502, 502, 201, 204]
    assert first.text == second.text == "<h1>Bad gateway</h1>"
    assert first.headers["content-type"] == "text/html"
    assert first.headers.get_list("x-ratelimit-remaining") == ["7"]
    assert odd.json() == {"intents": None}
    assert empty.content == b""
    assert sandbox.intents == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 5000, b" " * 2_000_000])
def test_script_of_no_json(client: httpx.Client, raw: bytes) -> None:
    """A control endpoint refuses bytes that are no JSON as well."""
    assert client.post("/_sandbox/faults", content=raw).status_code in {400, 413}


@pytest.mark.parametrize("bad", [float("nan"), object(), {"a": {1, 2}}, "\ud800"])
def test_script_with_a_body_of_no_json(sandbox: Sandbox, bad: object) -> None:
    """The method refuses a body that cannot be sent when it is asked for, not when it is sent."""
    with pytest.raises(ValueError, match=r"^body: "):
        sandbox.fail_next(500, body=bad)


@pytest.mark.parametrize("over_http", [False, True])
def test_reset_forgets_everything(client: httpx.Client, sandbox: Sandbox, over_http: bool) -> None:
    """After a reset there are no intents, no scripted answers, and ids begin anew."""
    post(client, body())
    sandbox.fail_next(500, times=9)

    if over_http:
        assert client.post("/_sandbox/reset").json() == {"reset": True}
    else:
        sandbox.reset()

    assert sandbox.intents == []
    answer = post(client, body())
    assert answer.status_code == 201
    assert answer.json()["intents"][0]["id"] == "1"


# -- start and end ---------------------------------------------------------------------------


def test_address_of_a_sandbox() -> None:
    """The URL, the client's base URL and the port agree; before the start there are none."""
    sandbox = Sandbox()
    with pytest.raises(SandboxError, match="no address yet"):
        _ = sandbox.url

    with sandbox:
        assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"
        assert sandbox.base_url == f"{sandbox.url}/api/v1"
        with pytest.raises(SandboxError, match="running already"):
            sandbox.__enter__()


def test_end_leaves_nothing_behind() -> None:
    """On exit the thread has ended and the port is free, whoever is still connected."""
    before = set(threading.enumerate())
    upload = b"POST /api/v1/intents.json HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    answered = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with Sandbox() as sandbox:
        place = ("127.0.0.1", sandbox.port)
        callers = [socket.create_connection(place) for _ in range(4)]
        for caller, said in zip(callers, (b"", b"POST /api", upload, answered), strict=True):
            caller.sendall(said)
        assert callers[3].recv(20)

    assert before == set(threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)
    for caller in callers:
        caller.close()
    with Sandbox(port=sandbox.port) as again:
        assert place == ("127.0.0.1", again.port)


def test_end_while_an_answer_is_not_read() -> None:
    """A caller that does not read its answer cannot keep the sandbox from ending."""
    before = set(threading.enumerate())
    with Sandbox() as sandbox:
        sandbox.fail_next(500, body="x" * 20_000_000)
        caller = socket.create_connection(("127.0.0.1", sandbox.port))
        caller.sendall(b"POST /api/v1/intents.json HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(20)

    assert before == set(threading.enumerate())
    caller.close()


def test_sandbox_can_be_entered_again() -> None:
    """What a sandbox holds can be read after its end, and stays for the next start."""
    sandbox = Sandbox()
    headers = {"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"}
    for status in (201, 200):
        with sandbox:
            answer = httpx.post(f"{sandbox.url}{PATH}", content=VALID, headers=headers)
            assert status == answer.status_code
    assert len(sandbox.intents) == 1


def test_answers_do_not_wait_for_nagle() -> None:
    """The listening socket names TCP, or asyncio would let each answer wait some 40 ms."""
    with server_room._bound("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_port_in_use(running: Sandbox) -> None:
    """A port that is taken is an error of its own that names it and says what to do."""
    with (
        pytest.raises(PortInUseError, match=rf"port {running.port} .* choose another") as caught,
        Sandbox(port=running.port),
    ):
        pass
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", running.port)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 70000), ("127.0.0.1", -1), ("192.0.2.1", 0)]
)
def test_address_that_cannot_be(host: str, port: int) -> None:
    """An address that cannot be listened on is an error that names the port or the host."""
    with pytest.raises(SandboxError, match=r"port"), Sandbox(host=host, port=port):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("keep_alive", [False, True])
def test_serve_until_signal(number: signal.Signals, keep_alive: bool) -> None:
    """One line with the URL, then answers, then a clean end with status 0 on a signal."""
    program = [sys.executable, "-c", "from stoqapp_sandbox import serve; serve()"]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://"))
        with httpx.Client(base_url=url) as client:
            assert client.get("/_sandbox/intents").json() == []
            if not keep_alive:
                client.close()
            process.send_signal(number)
            rest = process.communicate(timeout=HANG_SECONDS)

        assert rest == ("", "")
        assert process.returncode == 0


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "jsonschema_rs"])
@pytest.mark.parametrize("entry", ["Sandbox", "serve"])
def test_missing_extra(package: str, entry: str) -> None:
    """Without the extra the import works, and the entry points say what to install."""
    program = f"""
import sys
sys.modules[{package!r}] = None
from stoqapp_sandbox import SandboxNotInstalledError, {entry}
try:
    with {entry}():
        pass
except SandboxNotInstalledError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )

    assert done.stdout == (
        f"the sandbox needs the package '{package}': pip install 'stoqapp[sandbox]'\n"
    )
    assert issubclass(SandboxNotInstalledError, ImportError)


# -- the table and the names ---------------------------------------------------------------------


def test_assumptions_are_named_once() -> None:
    """Each assumption has a name of its own and a known trust."""
    names = [assumption.name for assumption in ASSUMPTIONS]

    assert sorted(set(names)) == sorted(names)
    assert {assumption.trust for assumption in ASSUMPTIONS} <= {"vendor", "observed", "assumed"}


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda assumption: assumption.name)
def test_assumption_points_to_code_that_is_there(assumption: Any) -> None:
    """The table cannot lag behind the code: what it points to exists."""
    assert assumption.used_in
    for place in assumption.used_in:
        room, *names = place.split(".")
        found: Any = importlib.import_module(f"stoqapp_sandbox.{room}")
        for name in names:
            found = getattr(found, name)
        assert callable(found)


def test_public_names() -> None:
    """The public names are sorted and all there."""
    assert sorted(stoqapp_sandbox.__all__) == stoqapp_sandbox.__all__
    assert all(hasattr(stoqapp_sandbox, name) for name in stoqapp_sandbox.__all__)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{" + SECRET.encode(), "must be JSON: .* at line 1 column 2"),
        (b"ab\xff", "must be UTF-8: byte 2"),
        (b"[" * 101, "nested deeper than 100 levels"),
        (b"1" * 5000, "thousands of digits"),
        (rb'["\ud800"]', "half of a surrogate pair"),
        (b"[1e999]", "beyond a double"),
        (b"[NaN]", "no NaN"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_payload_error_is_a_reason(raw: bytes, reason: str) -> None:
    """What is no JSON is one kind of error, and each has a reason of its own."""
    with pytest.raises(PayloadError, match=reason):
        payload_from_bytes(raw)


def test_service_without_a_server() -> None:
    """The order of judgement needs no server: the service answers bytes and headers."""
    service = Service(operation_from_spec(spec()))
    headers = {"x-shopify-shop-domain": SHOP, "content-type": "application/json"}

    answers = [
        service.create_intent(VALID, headers, service.spend(headers, "POST")) for _ in range(2)
    ]

    assert [answer.status for answer in answers] == [201, 200]
