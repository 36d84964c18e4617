"""The sandbox does wrong what it is asked to, when it is asked to, and tells the truth about it."""

import asyncio
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import fields as attrs_fields
from attrs import frozen
from conftest import Caller, email_request
from hypothesis import given
from hypothesis import strategies as st

from stoqapp import (
    IntentCreated,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    Stoq,
    StoqError,
    Timeout,
    UnexpectedAnswerError,
)
from stoqapp.cli import main
from stoqapp.headers import seconds_from_http_date
from stoqapp_sandbox import Sandbox, SandboxError, UnusableFaultError
from stoqapp_sandbox.connection import Connection
from stoqapp_sandbox.fault_queue import Faults
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES, Schedule, fault_from

# For what must come to an end by itself: long, so that a busy machine decides nothing.
PATIENT = {"timeout": 20.0, "total_timeout": 40.0}
# For an answer that is not waited for.
IMPATIENT = {"timeout": Timeout(connect=20, read=1, write=20, pool=20), "total_timeout": 40.0}
# For what comes too slowly, so that only the deadline of the whole call ends it.
HURRIED = {"timeout": 20.0, "total_timeout": 1.0}
SHOP = "demo.myshopify.com"
PATH = "/api/v1/intents.json"
CONTROL = "/_sandbox/faults"
FAULT_HEADER = "X-Stoqapp-Sandbox-Fault"
BODY = email_request().to_dict()
HANG_SECONDS = 20


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A plain HTTP client for the sandbox."""
    with httpx.Client(base_url=sandbox.url, headers={"X-Shopify-Shop-Domain": SHOP}) as made:
        yield made


def post(client: httpx.Client, variant: int = 1, **headers: str) -> httpx.Response:
    """Send an intent for *variant*, with headers like ``X_Shopify_Shop_Domain="demo"``."""
    content = {**BODY, "intent": {**BODY["intent"], "shopify_variant_id": variant}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(PATH, json=content, headers=named)


def sent(sandbox: Sandbox, variant: int = 1) -> socket.socket:
    """Send an intent over a bare socket, and return the socket."""
    content = json.dumps({**BODY, "intent": {**BODY["intent"], "shopify_variant_id": variant}})
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"X-Shopify-Shop-Domain: {SHOP}\r\nContent-Length: {len(content)}\r\n\r\n"
    sock = socket.create_connection(("127.0.0.1", sandbox.port), timeout=HANG_SECONDS)
    sock.sendall(f"{head}{content}".encode())
    return sock


def heard(sandbox: Sandbox) -> bytes:
    """Send an intent over a bare socket; return what comes until the sandbox closes in order."""
    with sent(sandbox) as sock:
        said = b""
        while more := sock.recv(65536):
            said += more
        return said


def outcome_of(call: Callable[[], IntentCreated]) -> IntentCreated | StoqError:
    try:
        return call()
    except StoqError as error:
        return error


# -- what a client is told ---------------------------------------------------------------------


@frozen
class Row:
    """What becomes of one intent.

    Attributes:
        fault: What goes wrong.
        kind: What the call ends in, when the intent is sent once.
        stored: How many intents are there then.
        whole: Whether all of the answer came, None where there is none.
        client: Settings of the client.
    """

    fault: str
    kind: type[IntentCreated | StoqError]
    stored: int
    whole: bool | None = None
    client: dict[str, Any] = PATIENT


def created(fault: str, *, whole: bool = True) -> Row:
    return Row(fault, IntentCreated, 1, whole)


def unknown(fault: str, stored: int, client: dict[str, Any] = PATIENT) -> Row:
    return Row(fault, OutcomeUnknownError, stored, None, client)


ROWS = [
    created("latency=0.001"),
    unknown("latency=3600", 1, IMPATIENT),
    created("slow-bytes=0.00001"),
    unknown("slow-bytes=0.05", 1, HURRIED),
    created("reset-in-body", whole=False),
    created("truncated-body", whole=False),
    *(created(f"odd-201={shape}") for shape in SHAPES),
    unknown("reset-before-store", 0),
    unknown("close-before-store", 0),
    unknown("reset-after-store", 1),
    unknown("close-after-store", 1),
    unknown("reset-in-head", 1),
    unknown("garbage", 1),
    Row("status=429:retry-after=3", RateLimitedError, 0, whole=True),
    Row("status=503", ServerError, 0, whole=True),
    Row("status=503:retry-after-date=3", ServerError, 0, whole=True),
    Row("status=502:shape=html", ServerError, 0, whole=True),
    Row("status=520:shape=empty", ServerError, 0, whole=True),
]


def test_every_kind_has_its_row() -> None:
    """No kind of fault is without an expected outcome."""
    assert set(KINDS) == {fault_from(row.fault).kind.name for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_outcome(
    caller: Caller, sandbox: Sandbox, row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    """Each fault ends a call as it must, with as many intents stored; the sandbox logs nothing."""
    sandbox.fail_next(row.fault)
    outcome = outcome_of(
        lambda: caller.create_intent(email_request(), base_url=sandbox.base_url, **row.client)
    )
    assert row.kind is type(outcome)
    assert row.stored == len(sandbox.intents)
    assert row.whole == (None if row.whole is None else outcome.answer.complete)
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.client is not HURRIED], ids=lambda row: row.fault
)
def test_outcome_with_a_retry(caller: Caller, sandbox: Sandbox, row: Row) -> None:
    """With retries of what is unknown, all of it ends as created, and exactly one intent."""
    sandbox.fail_next(row.fault)
    settings = {"max_retries": 1, "retry_unknown": True} | row.client
    outcome = caller.create_intent(email_request(), base_url=sandbox.base_url, **settings)
    assert len(sandbox.intents) == 1
    assert outcome.attempts == (1 if row.kind is IntentCreated else 2)
    lost = row.kind is OutcomeUnknownError and row.stored == 1
    assert outcome.confirmed_by_duplicate is lost
    assert outcome.answer.status == (200 if lost else 201)


def test_a_redirect_leads_back_and_is_not_followed(caller: Caller, sandbox: Sandbox) -> None:
    """A client that does not follow sends once; one that does comes to the endpoint again."""
    sandbox.fail_next("status=307", times=2)
    settings = {"max_retries": 1, "retry_unknown": True}
    outcome = outcome_of(
        lambda: caller.create_intent(email_request(), base_url=sandbox.base_url, **settings)
    )
    assert type(outcome) is UnexpectedAnswerError
    assert (outcome.attempts, sandbox.intents) == (1, [])
    with httpx.Client(base_url=sandbox.url, follow_redirects=True) as follower:
        answer = post(follower, X_Shopify_Shop_Domain=SHOP)
    assert (answer.status_code, len(answer.history), len(sandbox.intents)) == (201, 1, 1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("option", "earliest", "latest"), [("retry-after", 7, 7), ("retry-after-date", 7, 27)]
)
def test_retry_after(
    caller: Caller, sandbox: Sandbox, status: int, option: str, earliest: int, latest: int
) -> None:
    """Retry-After comes as seconds or as a date, and is never earlier than was asked for."""
    sandbox.fail_next(f"status={status}:{option}=7")
    outcome = caller.create_intent(email_request(), base_url=sandbox.base_url, max_retries=1)
    assert outcome.attempts == 2
    assert len(caller.waits) == 1
    assert earliest <= caller.waits[0] <= latest


def test_the_rate_limits_body_agrees_with_its_header(
    client: httpx.Client, sandbox: Sandbox
) -> None:
    """A 429 that names the seconds has the same number in its body."""
    sandbox.fail_next(429, retry_after=7)
    answer = post(client)
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["retry_after"] == 7


def test_a_kept_connection_that_is_reset(sandbox: Sandbox) -> None:
    """A fault on a connection that has served before is no less unknown; the next call works."""
    with Stoq(SHOP, base_url=sandbox.base_url, budget=None, **PATIENT) as stoq:
        for variant in range(1, 5):
            stoq.subscribe(variant=variant, product=1, email="ada@example.com")
            sandbox.fail_next("close-before-store" if variant % 2 else "reset-after-store")
            with pytest.raises(OutcomeUnknownError):
                stoq.subscribe(variant=variant + 10, product=1, email="ada@example.com")
    stored = [intent["shopify_variant_id"] for intent in sandbox.intents]
    assert stored == [1, 2, 12, 3, 4, 14]


def test_many_at_once_lose_nothing() -> None:
    """Under resets after storing, and before, 8 threads put each of their intents there once."""
    faults = ["reset-after-store:every=3", "reset-before-store:probability=0.2:seed=1"]
    with (
        Sandbox(faults=faults) as sandbox,
        Stoq(
            SHOP,
            base_url=sandbox.base_url,
            budget=None,
            retry_unknown=True,
            max_retries=30,
            **PATIENT,
        ) as stoq,
        ThreadPoolExecutor(8) as threads,
    ):
        stoq._sleep = lambda _: None

        def subscribe(variant: int) -> IntentCreated:
            return stoq.subscribe(variant=variant, product=1, email="ada@example.com")

        outcomes = list(threads.map(subscribe, range(1, 121)))
        stored = sorted(intent["shopify_variant_id"] for intent in sandbox.intents)
        happened = [
            fault["happened"] for fault in httpx.get(sandbox.url + CONTROL).json()["faults"]
        ]
    assert stored == list(range(1, 121))
    assert sum(outcome.attempts - 1 for outcome in outcomes) == sum(happened)
    assert happened[0] >= 40
    assert any(outcome.confirmed_by_duplicate for outcome in outcomes)


# -- what is on the wire -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["reset-before-store", "reset-after-store", "reset-in-head", "reset-in-body"]
)
def test_a_reset_is_one(sandbox: Sandbox, fault: str) -> None:
    """The connection ends with a TCP reset, not in order."""
    sandbox.fail_next(fault)
    with pytest.raises(ConnectionResetError):
        heard(sandbox)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("close-before-store", rb""),
        ("close-after-store", rb""),
        ("garbage", rb"(?!HTTP).+"),
        ("slow-bytes=0.00001", rb"HTTP/1\.1 201 Created\r\n.+\r\n\r\n\{.+\}"),
        ("truncated-body", rb"HTTP/1\.1 201 Created\r\n.+\r\n\r\n\{.+[^}]"),
    ],
)
def test_what_comes_before_an_orderly_end(sandbox: Sandbox, fault: str, said: bytes) -> None:
    """The connection is closed in order, after just what the fault sends."""
    sandbox.fail_next(fault)
    assert re.fullmatch(said, heard(sandbox), re.DOTALL)


def test_a_truncated_body_is_shorter_than_promised(sandbox: Sandbox) -> None:
    """Content-Length names the whole body, and half of it comes."""
    sandbox.fail_next("truncated-body")
    head, _, body = heard(sandbox).partition(b"\r\n\r\n")
    promised = re.search(rb"content-length: (\d+)", head)
    assert promised
    assert len(body) == int(promised[1]) // 2


def test_a_slow_answer_is_the_usual_one(client: httpx.Client, sandbox: Sandbox) -> None:
    """What comes byte by byte has the usual status, headers and body."""
    usual = post(client, 1)
    sandbox.fail_next("slow-bytes=0.00001")
    slow = post(client, 2)
    changing = {"date", "content-length", "x-ratelimit-remaining", "x-ratelimit-reset"}
    assert set(slow.headers) == set(usual.headers) | {"connection"}
    assert seconds_from_http_date(slow.headers["date"]) == pytest.approx(time.time(), abs=60)
    for name in set(usual.headers) - changing:
        assert usual.headers[name] == slow.headers[name]
    assert set(usual.json()["intents"][0]) == set(slow.json()["intents"][0])


def test_the_bytes_of_a_slow_answer_are_apart(sandbox: Sandbox) -> None:
    """An answer of some hundred bytes takes as many intervals."""
    sandbox.fail_next("slow-bytes=0.001")
    begun = time.monotonic()
    said = heard(sandbox)
    assert time.monotonic() - begun >= 0.001 * (len(said) - 1)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("empty", b""),
        ("html", b"<!doctype html>"),
        ("not-utf8", b'{"intents": [{"id": "\xff"}]}'),
        ("null", b'{"intents": null}'),
        ("list", b'[{"id": "1"}]'),
        ("strings", b'{"intents": ["1"]}'),
    ],
)
def test_shapes_of_a_201(client: httpx.Client, sandbox: Sandbox, shape: str, body: bytes) -> None:
    """An odd 201 has the body that it names, and its intent is stored."""
    sandbox.fail_next(f"odd-201={shape}")
    answer = post(client)
    assert (answer.status_code, answer.content[: len(body)]) == (201, body)
    assert bool(answer.content) is bool(body)
    assert len(sandbox.intents) == 1


def test_a_201_with_errors_beside(client: httpx.Client, sandbox: Sandbox) -> None:
    """The shape "errors" puts errors beside the intent that was created."""
    sandbox.fail_next("odd-201=errors")
    said = post(client).json()
    assert said["intents"][0]["id"] == sandbox.intents[0]["id"]
    assert said["errors"]


def test_only_a_201_is_made_odd(client: httpx.Client, sandbox: Sandbox) -> None:
    """A duplicate is answered as ever, also where an odd 201 was asked for."""
    post(client)
    sandbox.fail_next("odd-201=null")
    assert "already waits" in post(client).json()["errors"][0]


def test_a_client_that_left_is_not_reset() -> None:
    """Where the client closed first, there is nothing to reset, and nothing fails."""

    async def closes_twice() -> None:
        theirs, ours = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                asyncio.Protocol, ours
            )
            transport.abort()
            while transport.get_extra_info("socket").fileno() != -1:
                await asyncio.sleep(0)
            connection = Connection(transport)
            connection.send(b"late")
            connection.close(reset=True)

    asyncio.run(closes_twice())


def test_the_sandbox_ends_while_an_answer_is_late(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a late answer nor slow bytes keep the sandbox from ending, nor leave a log line."""
    with Sandbox(faults=["latency=3600:variant=1", "slow-bytes=3600:variant=2"]) as sandbox:
        late, slow = sent(sandbox, 1), sent(sandbox, 2)
        assert slow.recv(1) == b"H"
        ends = time.monotonic() + HANG_SECONDS
        while len(sandbox.intents) < 2 and time.monotonic() < ends:
            time.sleep(0.01)
    assert len(sandbox.intents) == 2
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]
    late.close()
    slow.close()


ALL_429 = ["error", "message", "retry_after"]
RATE_LINES = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]


@pytest.mark.parametrize(
    ("assume", "fault", "lines", "body"),
    [
        ({}, "status=429", RATE_LINES, ALL_429),
        ({"rate_headers": "absent"}, "status=429", RATE_LINES[:1], None),
        ({"rate_limited_body": "body"}, "status=429", RATE_LINES[1:], ALL_429),
        (
            {"rate_limited_body": "body", "rate_headers": "absent"},
            "status=429:shape=list",
            [],
            None,
        ),
        ({"rate_limited_body": "body"}, "status=429:retry-after=3", RATE_LINES, None),
        ({"rate_limited_body": "header"}, "status=429", RATE_LINES, ["error", "message"]),
        ({"error_body": "message"}, "status=404", RATE_LINES[1:], ["message"]),
        ({"error_body": "errors"}, "status=500", RATE_LINES[1:], ["errors"]),
        ({"error_body": "message"}, "status=599", RATE_LINES[1:], ["message"]),
        ({"error_body": "empty"}, "status=404", RATE_LINES[1:], []),
        ({"error_body": "empty"}, "status=404:shape=errors", RATE_LINES[1:], ["errors"]),
        ({"processed_body": "error"}, "status=200", RATE_LINES[1:], ["error"]),
    ],
)
def test_a_status_looks_as_assumed(
    client: httpx.Client,
    sandbox: Sandbox,
    assume: dict[str, str],
    fault: str,
    lines: list[str],
    body: list[str] | None,
) -> None:
    """What a scripted status says, and where, is what the table says of such an answer."""
    sandbox.configure(assume=assume)
    sandbox.fail_next(fault)
    answer = post(client)
    assert lines == sorted(set(answer.headers) & set(RATE_LINES))
    assert body in (None, sorted(answer.json() if answer.content else {}))


# -- when it happens ---------------------------------------------------------------------------


def met(*written: str, requests: int = 20, lasting: bool = True) -> list[str]:
    """Return what each of so many requests meets, joined by ``+``."""
    faults = Faults([fault_from(text, lasting=lasting) for text in written])
    raw = json.dumps(BODY).encode()
    return ["+".join(fault.written for fault in faults.take(SHOP, raw)) for _ in range(requests)]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("", range(1, 21)),
        (":times=2", [1, 2]),
        (":after=3:times=2", [4, 5]),
        (":every=10", [10, 20]),
        (":every=1", range(1, 21)),
        (":after=5:every=4", [9, 13, 17]),
        (":after=5:every=4:times=2", [9, 13]),
        (":after=20", []),
        (":probability=1", range(1, 21)),
        (":probability=0.0000001", []),
    ],
)
def test_schedule(options: str, numbers: Any) -> None:
    """A schedule picks the requests that it says, counted from 1."""
    happened = met(f"garbage{options}")
    assert list(numbers) == [number for number, what in enumerate(happened, start=1) if what]


@pytest.mark.parametrize(
    ("options", "times"), [("", 1), (":after=3", 1), (":times=2", 2), (":every=5", 4)]
)
def test_how_often_a_fault_happens_that_is_asked_for_later(options: str, times: int) -> None:
    """Once, unless it says otherwise; one that comes every so often goes on."""
    assert times == sum(map(bool, met(f"garbage{options}", lasting=False)))


def test_chance_can_be_repeated() -> None:
    """The same seed picks the same requests, another one picks others, each about as many."""
    first, again, other = (
        met(f"garbage:probability=0.3:seed={seed}", requests=1000) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other
    for happened in (first, other):
        assert 230 < sum(map(bool, happened)) < 370


def test_the_first_that_is_due_takes_the_request() -> None:
    """Faults are asked in order; those behind the one that is due do not see the request."""
    happened = met("status=500:times=1", "status=502:every=2", "garbage:times=1", requests=5)
    assert happened == ["status=500", "garbage", "status=502", "", "status=502"]


@pytest.mark.parametrize(
    ("numbers", "variant", "happens"),
    [
        ("strict", 4711, True),
        ("text", 4711, True),
        ("text", "4711", True),
        ("text", "4712", False),
        ("text", None, False),
        ("integral", 4711.0, True),
        ("strict", "4711", False),
    ],
)
def test_a_variant_is_meant_as_it_is_read(
    sandbox: Sandbox, numbers: str, variant: Any, happens: bool
) -> None:
    """What the sandbox takes for a variant's id meets the faults of that variant."""
    sandbox.configure(assume={"numbers": numbers})
    sandbox.fail_next(503, variant=4711)
    sent = {**BODY, "intent": {**BODY["intent"], "shopify_variant_id": variant}}
    named = {"X-Shopify-Shop-Domain": SHOP}
    answer = httpx.post(f"{sandbox.base_url}/intents.json", json=sent, headers=named)
    assert happens == (answer.status_code == 503)


def test_latency_goes_with_others() -> None:
    """Each latency that is due is met, and one other fault."""
    happened = met("latency=1", "latency=2:times=1", "garbage:times=2", "latency=3", requests=3)
    assert happened == [
        "latency=1+latency=2+garbage",
        "latency=1+garbage",
        "latency=1+latency=3",
    ]


def test_latencies_add_up(client: httpx.Client, sandbox: Sandbox) -> None:
    """An answer is late by the sum of what was asked for, also that of another fault."""
    for fault in ("latency=0.2", "latency=0.3", "status=500"):
        sandbox.fail_next(fault)
    begun = time.monotonic()
    assert post(client).status_code == 500
    assert time.monotonic() - begun >= 0.5


def test_matching(client: httpx.Client, sandbox: Sandbox) -> None:
    """A fault with a variant or a shop passes all other requests by, without counting them."""
    sandbox.fail_next("status=500", variant=7, times=2, after=1)
    sandbox.fail_next("status=502", shop="Other")
    other = {"X_Shopify_Shop_Domain": "OTHER.myshopify.com"}
    statuses = [post(client, variant).status_code for variant in (1, 7, 2, 7, 7, 3)]
    assert statuses == [201, 201, 201, 500, 500, 201]
    assert [post(client, 4, **other).status_code for _ in range(2)] == [502, 201]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"intent": 7}', b'{"intent": {}}'])
def test_what_names_no_variant_does_not_match_one(raw: bytes) -> None:
    """A request whose variant cannot be read meets no fault that is for a variant."""
    faults = Faults([fault_from("garbage:variant=7"), fault_from("status=500")])
    assert [fault.written for fault in faults.take(SHOP, raw)] == ["status=500"]


# -- how it is asked for -----------------------------------------------------------------------


def test_over_http(client: httpx.Client, sandbox: Sandbox) -> None:
    """Faults can be added, listed with what became of them, and cleared."""
    asked = {"fault": "status=503", "times": 2, "headers": {"Retry-After": "1"}, "body": {"a": 1}}
    assert client.post(CONTROL, json=asked).status_code == 200
    listed = client.post(CONTROL, json={"fault": "reset-after-store", "every": 10}).json()
    usual = {"after": 0, "probability": 1.0, "seed": 0, "variant": None, "shop": None}
    assert listed["faults"] == [
        {"fault": "status=503", "times": 2, "every": 1, **usual, "seen": 0, "happened": 0},
        {"fault": "reset-after-store", "times": None, "every": 10, **usual}
        | {"seen": 0, "happened": 0},
    ]
    answer = post(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"a": 1}
    faults = client.get(CONTROL).json()["faults"]
    assert [(fault["seen"], fault["happened"]) for fault in faults] == [(1, 1), (0, 0)]
    assert client.delete(CONTROL).json() == client.get(CONTROL).json() == {"faults": []}
    assert post(client).status_code == 201


@pytest.mark.parametrize("over_http", [False, True])
def test_reset_begins_anew(over_http: bool) -> None:
    """A reset drops what was asked for later, and begins anew with what was there at the start."""
    with (
        Sandbox(faults=["status=500:times=1"]) as sandbox,
        httpx.Client(base_url=sandbox.url, headers={"X-Shopify-Shop-Domain": SHOP}) as client,
    ):
        assert [post(client).status_code for _ in range(2)] == [500, 201]
        sandbox.fail_next(502)
        if over_http:
            client.post("/_sandbox/reset")
        else:
            sandbox.reset()
        assert [post(client).status_code for _ in range(2)] == [500, 201]
        sandbox.reset()
        client.delete(CONTROL)
        assert post(client).status_code == 201


def test_by_header(client: httpx.Client, sandbox: Sandbox) -> None:
    """A header lets one request go wrong, and leaves waiting what waits for others."""
    sandbox.fail_next(500)
    answer = post(client, X_Stoqapp_Sandbox_Fault="status=418:shape=html")
    assert (answer.status_code, answer.headers["content-type"]) == (418, "text/html")
    with pytest.raises(httpx.ReadError):
        post(client, X_Stoqapp_Sandbox_Fault="reset-after-store")
    assert len(sandbox.intents) == 1
    assert [post(client).status_code for _ in range(2)] == [500, 200]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("", "'' is no fault; there are status, latency"),
        ("garbage:times=2", "is for this request alone"),
        ("garbage:variant=2", "is for this request alone"),
        ("latency", "latency: needs a value, like latency=SECONDS"),
    ],
)
def test_a_header_that_is_no_fault(
    client: httpx.Client, sandbox: Sandbox, fault: str, said: str
) -> None:
    """400 that says what is wrong with the header, and nothing is stored."""
    answer = post(client, X_Stoqapp_Sandbox_Fault=fault)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(f"{FAULT_HEADER}: {said}")
    assert sandbox.intents == []


UNUSABLE = [
    ({"fault": None}, "fault: must be a status, like 503, or text"),
    ({"fault": True}, "fault: must be a status"),
    ({"fault": 99}, "status: must be an integer from 200 to 599"),
    ({"fault": 101}, "status: must be"),
    ({"fault": 600}, "status: must be"),
    ({"fault": "status"}, "status: needs a value, like status=STATUS"),
    ({"fault": "status=abc"}, "status: must be"),
    ({"fault": "status=503.0"}, "status: must be"),
    ({"fault": "reset"}, "'reset' is no fault; there are status, latency, odd-201, reset-"),
    ({"fault": "garbage=1"}, "garbage: takes no value"),
    ({"fault": "garbage="}, "garbage: takes no value"),
    ({"fault": "latency=0"}, "latency: must be a number of seconds from 0 to 10^9, not 0"),
    ({"fault": "latency=1000000001"}, "latency: must be a number"),
    ({"fault": "latency=-1"}, "latency: must be a number"),
    ({"fault": "latency=inf"}, "latency: must be a number"),
    ({"fault": "slow-bytes=x"}, "slow-bytes: must be a number"),
    ({"fault": "odd-201=odd"}, "odd-201: must be one of empty, html"),
    ({"fault": "garbage:evry=2"}, "part 2, 'evry=2': must be one of times, after, every"),
    ({"fault": "garbage:times=2:seed"}, "part 3, 'seed': must be one of"),
    ({"fault": "garbage:times=2:times=3"}, "part 3, 'times=3': times is given twice"),
    ({"fault": "garbage:times=2", "times": 2}, "times: is given twice"),
    ({"fault": "garbage", "time": 2}, "time: is no option of a fault; there are times"),
    ({"fault": "garbage", "times": 0}, "times: must be an integer from 1 to"),
    ({"fault": "garbage", "times": 1.0}, "times: must be"),
    ({"fault": "garbage", "times": True}, "times: must be"),
    ({"fault": "garbage", "times": "2"}, "times: must be"),
    ({"fault": "garbage", "after": -1}, "after: must be an integer from 0 to"),
    ({"fault": "garbage", "every": 0}, "every: must be"),
    ({"fault": "garbage", "seed": -1}, "seed: must be"),
    ({"fault": "garbage", "variant": 0}, "variant: must be"),
    ({"fault": "garbage", "probability": 0}, "probability: must be a number above 0, at most 1"),
    ({"fault": "garbage", "probability": 1.1}, "probability: must be"),
    ({"fault": "garbage", "probability": True}, "probability: must be"),
    ({"fault": "garbage", "shop": "a b"}, "shop: holds characters"),
    ({"fault": "garbage", "shop": 7}, "shop: must be a string"),
    ({"fault": "garbage:shape=html"}, "shape: goes only with the fault status, not garbage"),
    ({"fault": "garbage", "body": "x"}, "body: goes only with the fault status"),
    ({"fault": "status=503:retry-after=-1"}, "retry_after: must be an integer from 0"),
    ({"fault": 503, "retry_after": 1, "retry_after_date": 1}, "retry_after_date: goes only"),
    ({"fault": 503, "shape": "odd"}, "shape: must be one of"),
    ({"fault": 503, "shape": ["html"]}, "shape: must be one of"),
    ({"fault": 503, "shape": "html", "body": "x"}, "body: goes only without shape"),
    ({"fault": 503, "headers": []}, "headers: must be an object"),
    ({"fault": 503, "headers": {"a b": "1"}}, "headers: each name must be a token"),
    ({"fault": 503, "headers": {"A": 1}}, "headers.A: must be a string"),
    ({"fault": 503, "headers": {"A": "x\r\nB: 1"}}, "headers.A: must be a string"),
    ({"fault": 503, "headers": {"Content-Length": "1"}}, "headers.Content-Length: is set"),
    ({"fault": 204, "body": "x"}, "body: an answer with status 204 has none"),
    ({"fault": 204, "body": 0}, "body: an answer with status 204 has none"),
    ({"fault": 304, "shape": "html"}, "body: an answer with status 304 has none"),
]


@pytest.mark.parametrize(("asked", "said"), UNUSABLE)
def test_what_is_no_fault(client: httpx.Client, asked: dict[str, Any], said: str) -> None:
    """400 that names what is wrong, and the next request is judged as ever."""
    answer = client.post(CONTROL, json=asked)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(said)
    assert post(client).status_code == 201


@pytest.mark.parametrize("asked", [[], "garbage", None, 503])
def test_a_request_for_no_fault(client: httpx.Client, asked: Any) -> None:
    """400 for JSON that is no object."""
    answer = client.post(CONTROL, content=json.dumps(asked))
    assert answer.json() == {"errors": ['body: must be an object like {"fault": "garbage"}']}


def test_the_method_says_it_too(sandbox: Sandbox) -> None:
    """`Sandbox.fail_next` refuses what the endpoint refuses."""
    with pytest.raises(UnusableFaultError, match="'rset' is no fault"):
        sandbox.fail_next("rset")
    with pytest.raises(ValueError, match="every: must be an integer"):
        sandbox.fail_next("garbage", every=0)


@pytest.mark.parametrize(
    ("faults", "said"),
    [(["garbage", "rset"], "^'rset': 'rset' is no fault; there are"), ("garbage", "a list of")],
)
def test_a_sandbox_with_what_is_no_fault(faults: Any, said: str) -> None:
    """A sandbox is not made with faults that are none, and says which."""
    with pytest.raises(SandboxError, match=said):
        Sandbox(faults=faults)


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.from_regex(r"[a-z-]+(=.*)?(:.*)*"))
def test_any_text_is_a_fault_or_unusable(text: str) -> None:
    """No text makes anything but a fault or an `UnusableFaultError`."""
    try:
        fault_from(text)
    except UnusableFaultError:
        return
    assert text.partition("=")[0].partition(":")[0] in KINDS


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = PLAIN | st.lists(PLAIN) | st.dictionaries(st.text(), PLAIN)
NAMES = st.sampled_from([option.replace("-", "_") for option in OPTIONS] + ["headers", "body"])


@given(st.sampled_from([200, 204, 503, "garbage", "latency=1"]), st.dictionaries(NAMES, VALUES))
def test_any_fields_are_a_fault_or_unusable(fault: int | str, fields: dict[str, Any]) -> None:
    """No options make anything but a fault that waits, or an `UnusableFaultError`."""
    try:
        made = fault_from(fault, fields)
    except UnusableFaultError:
        return
    assert json.dumps(Faults([made]).listed())


# -- the command and the documents -------------------------------------------------------------


def test_the_commands_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each --fault is handed to the sandbox, in order."""
    told: list[Any] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given["faults"]))
    assert main(["sandbox", "--fault", "garbage", "--fault=latency=0.2:every=3"]) == 0
    assert main(["sandbox"]) == 0
    assert told == [("garbage", "latency=0.2:every=3"), ()]


def test_a_command_with_what_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage, exit code 2, and one line that says what is wrong and which faults there are."""
    assert main(["sandbox", "--fault", "garbage", "--fault", "rset:every=2"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("stoqapp sandbox: --fault: 'rset:every=2': 'rset' is no fault;")
    assert said.count("\n") == 1
    assert all(name in said for name in KINDS)


def test_every_option_that_text_can_hold_is_described() -> None:
    """The table of options has each field of a schedule and of a status but two."""
    fields = {item.name.replace("_", "-") for item in attrs_fields(Schedule)}
    of_a_status = {"shape", "retry-after", "retry-after-date"}
    assert fields | of_a_status == set(OPTIONS)
    for option in OPTIONS:
        with pytest.raises(UnusableFaultError, match="given twice"):
            fault_from(f"status=503:{option}=1:{option}=1")


def test_the_help_and_the_document_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind, option and shape is explained in --help and in docs/faults.md."""
    with pytest.raises(SystemExit) as caught:
        main(["sandbox", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    document = (Path(__file__).parents[2] / "docs/faults.md").read_text("utf-8")
    for kind in KINDS.values():
        assert f"  {kind.written} " in shown
        assert f"| `{kind.written}` |" in document
    for option in OPTIONS:
        assert option in shown
        assert f"| `{option}` |" in document
    for shape in SHAPES:
        assert shape in shown
        assert f"| `{shape}` |" in document
