"""The sandbox fails as it is asked to, when it is asked to, and says what was stored."""

import json
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen
from calling import Caller, email_request
from hypothesis import given
from hypothesis import strategies as st
from sending import HANG_SECONDS, HEADERS, SHOP, VALID, get, received, send, sent_raw, wait_until

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
from stoqapp_sandbox import Sandbox, UnusableFaultError
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES, Faults, fault_from
from stoqapp_sandbox.service import Service

# For what must come to an end by itself: long, so that a busy machine decides nothing.
PATIENT = {"timeout": 20.0, "total_timeout": 40.0}
# For an answer that is not waited for.
IMPATIENT = {"timeout": Timeout(connect=20, read=1, write=20, pool=20), "total_timeout": 40.0}
# For what comes too slowly, so that only the deadline of the whole call ends it.
HURRIED = {"timeout": 20.0, "total_timeout": 1.0}
CONTROL = "/_sandbox/faults"


def outcome_of(call: Callable[[], IntentCreated]) -> IntentCreated | StoqError:
    try:
        return call()
    except StoqError as error:
        return error


# -- what a client receives --------------------------------------------------------------------


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
    created("latency=0.001-0.002"),
    unknown("latency=3600", 1, IMPATIENT),
    created("slow-bytes=0.00001"),
    unknown("slow-bytes=0.05", 1, HURRIED),
    created("reset-in-head", whole=False),
    created("reset-in-body", whole=False),
    created("truncated-body", whole=False),
    *(created(f"odd-201={shape}") for shape in SHAPES),
    unknown("reset-before-store", 0),
    unknown("close-before-store", 0),
    unknown("reset-after-store", 1),
    unknown("close-after-store", 1),
    unknown("garbage", 1),
    Row("status=429:retry_after=3", RateLimitedError, 0, whole=True),
    Row("status=503", ServerError, 0, whole=True),
    Row("status=520", ServerError, 0, whole=True),
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
    [noted] = get(sandbox, "/_sandbox/requests")
    assert (noted["fault"], noted["intent"] is not None) == (
        row.fault.partition(":")[0],
        bool(row.stored),
    )
    is_heard = row.kind is not OutcomeUnknownError or row.client is not PATIENT
    assert (noted["status"] is not None) is is_heard


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


def test_a_redirect_leads_back_and_is_not_followed(caller: Caller, sandbox: Sandbox) -> None:
    """A client that does not follow sends once; one that does comes to the endpoint again."""
    sandbox.fail_next("status=307", times=2)
    outcome = outcome_of(
        lambda: caller.create_intent(email_request(), base_url=sandbox.base_url, max_retries=1)
    )
    assert type(outcome) is UnexpectedAnswerError
    assert (outcome.attempts, sandbox.intents) == (1, [])
    url = f"{sandbox.base_url}/intents.json"
    answer = httpx.post(url, content=VALID, headers=HEADERS, follow_redirects=True)
    assert (answer.status_code, len(answer.history), len(sandbox.intents)) == (201, 1, 1)


def test_many_at_once_lose_nothing() -> None:
    """Under resets after storing, and before, 8 threads put each of their intents there once."""
    faults = ["reset-after-store:every=3", "reset-before-store:probability=0.2"]
    settings = PATIENT | {"retry_unknown": True, "max_retries": 30, "budget": None}
    with (
        Sandbox(faults=faults) as sandbox,
        Stoq(SHOP, base_url=sandbox.base_url, **settings) as stoq,
        ThreadPoolExecutor(8) as threads,
    ):
        stoq._sleep = lambda _: None

        def subscribe(variant: int) -> IntentCreated:
            return stoq.subscribe(variant=variant, product=1, email="ada@example.com")

        outcomes = list(threads.map(subscribe, range(1, 121)))
        stored = sorted(intent["shopify_variant_id"] for intent in sandbox.intents)
        happened = [fault["happened"] for fault in get(sandbox, CONTROL)["faults"]]
    assert stored == list(range(1, 121))
    assert sum(outcome.attempts - 1 for outcome in outcomes) == sum(happened)
    assert happened[0] >= 40
    assert any(outcome.confirmed_by_duplicate for outcome in outcomes)


# -- what is on the wire -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", [name for name in KINDS if name.startswith("reset-")])
def test_a_reset_is_one(sandbox: Sandbox, fault: str) -> None:
    """The connection ends with a TCP reset, not in order."""
    sandbox.fail_next(fault)
    with pytest.raises(ConnectionResetError):
        received(sandbox)


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
    assert re.fullmatch(said, received(sandbox), re.DOTALL)


def test_a_truncated_body_is_shorter_than_promised(sandbox: Sandbox) -> None:
    """Content-Length names the whole body, and half of it comes."""
    sandbox.fail_next("truncated-body")
    head, _, content = received(sandbox).partition(b"\r\n\r\n")
    promised = re.search(rb"content-length: (\d+)", head)
    assert promised
    assert len(content) == int(promised[1]) // 2


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_a_201(sandbox: Sandbox, shape: str) -> None:
    """An odd 201 has media type and body of its shape, and its intent is stored."""
    sandbox.fail_next(f"odd-201={shape}")
    answer = send(sandbox)
    media_type, content = SHAPES[shape]
    assert (answer.status_code, answer.headers["content-type"]) == (201, media_type)
    assert answer.content.startswith(content) if shape == "errors" else answer.content == content
    assert len(sandbox.intents) == 1
    if shape == "errors":
        assert answer.json()["intents"][0]["id"] == "1"
    sandbox.fail_next(f"odd-201={shape}")
    assert "already waits" in send(sandbox).json()["errors"][0]


def test_the_sandbox_ends_while_answers_are_late(caplog: pytest.LogCaptureFixture) -> None:
    """Neither a late answer nor slow bytes keep the sandbox from ending, nor leave a log line."""
    with Sandbox(faults=["slow-bytes=3600:times=1", "latency=3600"]) as sandbox:
        slow = sent_raw(sandbox)
        assert slow.recv(1) == b"H"
        late = sent_raw(sandbox)
        wait_until(lambda: len(get(sandbox, "/_sandbox/requests")) == 2)
        ended = threading.Thread(target=sandbox.__exit__, args=(None, None, None))
        ended.start()
        ended.join(HANG_SECONDS)
        assert not ended.is_alive()
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]
    late.close()
    slow.close()


# -- a scripted status -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fault", "headers", "content"),
    [
        ({}, "status=429", ["retry-after"], ["error", "message", "retry_after"]),
        ({}, "status=503", [], ["error"]),
        ({}, "status=503:retry_after=3", ["retry-after"], ["error"]),
        ({}, "status=200", [], ["errors"]),
        ({"rate_limited_body": "body"}, "status=429", [], ["error", "message", "retry_after"]),
        ({"rate_limited_body": "header"}, "status=429", ["retry-after"], ["error", "message"]),
        ({"error_body": "message"}, "status=404", [], ["message"]),
        ({"error_body": "errors"}, "status=599", [], ["errors"]),
        ({"error_body": "empty"}, "status=404", [], []),
        ({"processed_body": "error"}, "status=200", [], ["error"]),
        (
            {"rate_enforced": "yes"},
            "status=429",
            ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
            ["error", "message", "retry_after"],
        ),
    ],
)
def test_a_status_looks_as_assumed(
    options: dict[str, str], fault: str, headers: list[str], content: list[str]
) -> None:
    """What a scripted status says, and where, is what the table says of such an answer."""
    service = Service(assume=options, faults=[f"{fault}:times=1"])
    answer = service.create_intent(HEADERS, VALID)
    assert headers == sorted({*answer.headers} - {"content-type"})
    said = json.loads(answer.body or b"{}")
    assert content == sorted(said)
    assert answer.headers.get("x-ratelimit-remaining", "0") == "0"
    if "retry-after" in answer.headers:
        assert said.get("retry_after", said) in (int(answer.headers["retry-after"]), said)
    assert service.create_intent(HEADERS, VALID).status == 201


def test_a_status_with_everything(sandbox: Sandbox) -> None:
    """Times, headers and body go out as they were given, in the order they were asked for."""
    sandbox.fail_next(
        "status=502:times=2", times=None, headers={"Content-Type": "text/html"}, body="<h1>Bad</h1>"
    )
    sandbox.fail_next(429, retry_after=7, body={"intents": None})
    sandbox.fail_next(204)
    first, second, odd, empty = (send(sandbox) for _ in range(4))
    assert [a.status_code for a in (first, second, odd, empty)] == [502, 502, 429, 204]
    assert first.text == second.text == "<h1>Bad</h1>"
    assert first.headers["content-type"] == "text/html"
    assert (odd.headers["retry-after"], odd.json()) == ("7", {"intents": None})
    assert (empty.content, sandbox.intents) == (b"", [])
    assert get(sandbox, "/_sandbox/requests")[-1]["answer_headers"] == {}


# -- when it happens ---------------------------------------------------------------------------


def met(*written: str, requests: int = 20, lasting: bool = True) -> list[str]:
    """Return which fault each of so many requests meets, and its latency, if any."""
    faults = Faults([fault_from(text, lasting=lasting) for text in written])
    taken = [faults.take() for _ in range(requests)]
    return [
        (struck.fault.written if struck.fault else "")
        + (f"+{struck.wait_seconds:g}" if struck.wait_seconds else "")
        for struck in taken
    ]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("", range(1, 21)),
        (":times=2", [1, 2]),
        (":after=3:times=2", [4, 5]),
        (":every=10", [10, 20]),
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
    """Once, unless it says otherwise; with every it goes on."""
    assert times == sum(map(bool, met(f"garbage{options}", lasting=False)))


def test_probability_can_be_repeated() -> None:
    """Each run draws the same requests, about as many as the probability says."""
    first, again = (met("garbage:probability=0.3", requests=1000) for _ in range(2))
    assert first == again
    assert 230 < sum(map(bool, first)) < 370


def test_the_first_that_is_due_takes_the_request() -> None:
    """Faults are asked in order; those behind the one that is due do not see the request."""
    happened = met("status=500:times=1", "status=502:every=2", "garbage:times=1", requests=5)
    assert happened == ["status=500", "garbage", "status=502", "", "status=502"]


def test_latency_goes_with_others() -> None:
    """Each latency that is due counts, and one other fault; a range is drawn from."""
    happened = met("latency=1", "latency=2:times=1", "garbage:times=2", "latency=3", requests=3)
    assert happened == ["garbage+3", "garbage+1", "+4"]
    waits = [float(what) for what in met("latency=0.5-2", requests=100)]
    assert min(waits) >= 0.5
    assert 2 >= max(waits) > min(waits) + 1


def test_a_429_uses_up_no_fault() -> None:
    """A request beyond an enforced limit meets no fault."""
    service = Service(rate_limit=(2, 60), clock=lambda: 0.0, faults=["status=503:after=1"])
    service.create_intent(HEADERS, VALID)
    assert service.create_intent(HEADERS, VALID).status == 429
    assert [fault["seen"] for fault in service.faults.listed()] == [1]


# -- how it is asked for -----------------------------------------------------------------------


def ask(sandbox: Sandbox, asked: Any, method: str = "POST") -> httpx.Response:
    return send(sandbox, json.dumps(asked).encode(), method, CONTROL)


def test_over_http(sandbox: Sandbox) -> None:
    """Faults can be added, listed with what became of them, and cleared."""
    asked = {"fault": "status=503", "times": 2, "headers": {"X-Any": "1"}, "body": {"a": 1}}
    assert ask(sandbox, asked).status_code == 200
    listed = ask(sandbox, {"fault": "reset-after-store", "every": 10}).json()
    usual = {"after": 0, "probability": 1.0, "seen": 0, "happened": 0}
    assert listed["faults"] == [
        {"fault": "status=503", "times": 2, "every": 1, **usual},
        {"fault": "reset-after-store", "times": None, "every": 10, **usual},
    ]
    answer = send(sandbox)
    assert (answer.status_code, answer.headers["x-any"], answer.json()) == (503, "1", {"a": 1})
    faults = get(sandbox, CONTROL)["faults"]
    assert [(fault["seen"], fault["happened"]) for fault in faults] == [(1, 1), (0, 0)]
    assert ask(sandbox, {}, "DELETE").json() == get(sandbox, CONTROL) == {"faults": []}
    assert send(sandbox).status_code == 201


def test_reset_begins_anew() -> None:
    """A reset drops what was asked for later, and begins anew with what was there at the start."""
    with Sandbox(faults=["status=500:times=1"]) as sandbox:
        assert [send(sandbox).status_code for _ in range(2)] == [500, 201]
        sandbox.fail_next(502)
        send(sandbox, b"", "POST", "/_sandbox/reset").raise_for_status()
        assert [send(sandbox).status_code for _ in range(2)] == [500, 201]


UNUSABLE = [
    ({"fault": None}, "fault: must be a status, like 503, or text"),
    ({"fault": 99}, "status: must be an integer from 200 to 599"),
    ({"fault": "status"}, "status: needs a value, like status=STATUS"),
    ({"fault": "status=503.0"}, "status: must be"),
    ({"fault": "reset"}, "'reset' is not a fault; choose of status, latency, odd-201, reset-"),
    ({"fault": "garbage=1"}, "garbage: takes no value"),
    ({"fault": "latency=0"}, "latency: must be seconds above 0, up to 10^9, like 0.5, or a range"),
    ({"fault": "latency=1-x"}, "latency: must be seconds"),
    ({"fault": "slow-bytes=x"}, "slow-bytes: must be a number"),
    ({"fault": "odd-201=odd"}, "odd-201: must be one of empty, html"),
    ({"fault": "garbage:evry=2"}, "evry: is not an option of a fault; choose of times"),
    ({"fault": "garbage:times=2:every"}, "every: must be an integer from 1"),
    ({"fault": "garbage:times=2:times=3"}, "times: is given twice"),
    ({"fault": "garbage:times=2", "times": 2}, "times: is given twice"),
    ({"fault": "garbage", "shop": "demo"}, "shop: is not an option of a fault; choose of times"),
    ({"fault": "garbage", "times": 0}, "times: must be an integer from 1 to"),
    ({"fault": "garbage", "times": True}, "times: must be"),
    ({"fault": "garbage", "after": -1}, "after: must be an integer from 0 to"),
    ({"fault": "garbage", "probability": 0}, "probability: must be a number above 0, at most 1"),
    ({"fault": "garbage", "body": "x"}, "body: goes only with the fault status, not garbage"),
    ({"fault": "status=503:retry_after=-1"}, "retry_after: must be an integer from 0"),
    ({"fault": 503, "headers": []}, "headers: must be an object"),
    ({"fault": 503, "headers": {"A": "x\r\nB: 1"}}, "headers: must be"),
    ({"fault": 503, "headers": {"Content-Length": "1"}}, "headers: must be"),
    ({"fault": 204, "body": "x"}, "body: an answer with status 204 has none"),
]


@pytest.mark.parametrize(("asked", "said"), UNUSABLE)
def test_what_is_no_fault(sandbox: Sandbox, asked: dict[str, Any], said: str) -> None:
    """400 that names what is wrong, and nothing waits; in Python it is the same error."""
    answer = ask(sandbox, asked)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(said)
    assert get(sandbox, CONTROL) == {"faults": []}
    fault, options = asked["fault"], {name: asked[name] for name in asked if name != "fault"}
    if "shop" not in options:
        with pytest.raises(UnusableFaultError, match=f"^{re.escape(said)}"):
            sandbox.fail_next(fault, **options)


@pytest.mark.parametrize("asked", [[], "garbage", None, 503])
def test_a_request_for_no_fault(sandbox: Sandbox, asked: Any) -> None:
    """400 for JSON that is not an object."""
    assert ask(sandbox, asked).json() == {
        "errors": ['body: must be an object like {"fault": "garbage"}']
    }


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = PLAIN | st.lists(PLAIN) | st.dictionaries(st.text(), PLAIN)
TEXTS = st.text(alphabet=st.characters(codec="utf-8")) | st.from_regex(r"[a-z-]+(=.*)?(:.*)*")


@given(
    TEXTS | st.sampled_from([200, 204, 503, "garbage", "latency=1", "odd-201=html"]),
    st.dictionaries(st.sampled_from(list(OPTIONS)), VALUES),
)
def test_anything_is_a_fault_or_unusable(fault: int | str, options: dict[str, Any]) -> None:
    """No words make anything but a fault that can wait, or an `UnusableFaultError`."""
    try:
        made = fault_from(fault, options)
    except UnusableFaultError:
        return
    assert json.dumps(Faults([made]).listed())


def test_the_help_and_the_document_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind, option and shape is explained in --help and in docs/faults.md."""
    with pytest.raises(SystemExit):
        main(["sandbox", "--help"])
    shown = capsys.readouterr().out
    document = (Path(__file__).parents[2] / "docs/faults.md").read_text("utf-8")
    for kind in KINDS.values():
        assert f"  {kind.written} " in shown
        assert f"| `{kind.name}" in document
    for name in (*OPTIONS, *SHAPES):
        assert name in shown
        assert f"`{name}`" in document
