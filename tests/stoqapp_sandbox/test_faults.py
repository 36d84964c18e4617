"""The sandbox fails as it is asked to, when it is asked to, and says what was stored."""

import logging
import re
import socket
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import Caller
from sending import (
    VALID,
    get,
    head_of,
    received,
    send,
    send_many,
    sent_raw,
    wait_until,
)

from stoqapp import (
    IntentCreated,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    StoqError,
    UnexpectedAnswerError,
)
from stoqapp.cli import main
from stoqapp_sandbox import Sandbox, UnusableOptionError
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES

CONTROL, REQUESTS = "/_sandbox/faults", "/_sandbox/requests"


# What a call ends in, how many intents are there then, and whether all of the answer came.
Outcome = tuple[type[IntentCreated | StoqError], int, bool | None]
WHOLE: Outcome = IntentCreated, 1, True
CUT: Outcome = IntentCreated, 1, False
LOST: Outcome = OutcomeUnknownError, 1, None
NOT_STORED: Outcome = OutcomeUnknownError, 0, None
OUTCOMES: dict[str, Outcome] = {
    "latency=0.001-0.002": WHOLE,
    "slow-bytes=0.00001": WHOLE,
    **{f"odd-201={shape}": WHOLE for shape in SHAPES},
    "reset-in-head": CUT,
    "reset-in-body": CUT,
    "truncated-body": CUT,
    "reset-before-store": NOT_STORED,
    "close-before-store": NOT_STORED,
    "reset-after-store": LOST,
    "close-after-store": LOST,
    "garbage": LOST,
    "status=429": (RateLimitedError, 0, True),
    "status=503": (ServerError, 0, True),
    "status=307": (UnexpectedAnswerError, 0, True),
}


def test_every_kind_has_its_outcome() -> None:
    """No kind of fault is without an expected outcome."""
    assert set(KINDS) == {fault.partition("=")[0] for fault in OUTCOMES}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_outcome(sandbox: Sandbox, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each fault ends a call as it must, with as many intents stored; the sandbox logs nothing."""
    kind, stored, whole = OUTCOMES[fault]
    sandbox.fail_next(fault)
    outcome = Caller("sync").outcome(sandbox.base_url)
    assert (kind, stored) == (type(outcome), len(sandbox.intents))
    assert whole is None or whole == outcome.answer.complete
    if fault.startswith("odd-201="):
        came = outcome.answer.headers["content-type"], outcome.answer.body
        assert SHAPES[fault.removeprefix("odd-201=")] == came
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]
    [noted] = get(sandbox, REQUESTS)
    assert (fault, stored) == (noted["fault"], int(noted["intent"] is not None))
    assert (whole is None) == (noted["status"] is None)


@pytest.mark.usefixtures("waits")
def test_many_at_once_lose_nothing(sandbox: Sandbox) -> None:
    """Under resets after storing, and before, threads put each of their intents there once."""
    sandbox.configure(faults=["reset-after-store:every=3", "reset-before-store:probability=0.2"])
    settings = {"base_url": sandbox.base_url, "retry_unknown": True, "max_retries": 30}

    person = {"product": 1, "email": "ada@example.com"}
    with Caller("sync").client(**settings) as client:
        calls = [
            client.begin(lambda stoq, one=one: stoq.subscribe(variant=one, **person))
            for one in range(1, 61)
        ]
        outcomes = [call.result() for call in calls]
    stored = sorted(intent["shopify_variant_id"] for intent in sandbox.intents)
    happened = [fault["happened"] for fault in get(sandbox, CONTROL)["faults"]]
    assert stored == list(range(1, 61))
    assert sum(outcome.attempts - 1 for outcome in outcomes) == sum(happened)
    assert happened[0] >= 20
    assert any(outcome.confirmed_by_duplicate for outcome in outcomes)


def test_a_reset_is_one(sandbox: Sandbox) -> None:
    """The connection ends with a TCP reset, not in order."""
    for fault in (name for name in KINDS if name.startswith("reset-")):
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
    came = received(sandbox)
    assert re.fullmatch(said, came, re.DOTALL)
    if promised := re.search(rb"content-length: (\d+)", came):
        share = 2 if fault == "truncated-body" else 1
        assert int(promised[1]) // share == len(came.partition(b"\r\n\r\n")[2])


def test_callers_that_give_up(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A caller who goes away within a body, or before its answer, leaves nothing in a log."""
    sent_raw(sandbox, head_of()).close()
    sandbox.configure(faults=["latency=0.2", "reset-after-store"])
    with sent_raw(sandbox) as caller:
        wait_until(lambda: len(get(sandbox, REQUESTS)) == 1)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with pytest.raises(ConnectionResetError):
        # Struck later, so it ends after the one that gave up.
        received(sandbox)
    assert len(get(sandbox, REQUESTS)) == 2
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("assume", "fault", "headers", "content"),
    [
        ({}, "status=429", ["retry-after"], ["error", "message", "retry_after"]),
        ({}, "status=503:retry_after=3", ["retry-after"], ["error"]),
        ({"rate_limited_body": "header"}, "status=429", ["retry-after"], ["error", "message"]),
        ({"error_body": "errors"}, "status=599", [], ["errors"]),
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
    sandbox: Sandbox, assume: dict[str, str], fault: str, headers: list[str], content: list[str]
) -> None:
    """What a scripted status says, and where, is what the table says of such an answer."""
    sandbox.configure(assume=assume)
    sandbox.fail_next(fault)
    answer = send(sandbox)
    assert headers == sorted(name for name in answer.headers if name.startswith(("retry", "x-")))
    assert content == sorted(answer.json())
    assert answer.headers.get("x-ratelimit-remaining", "0") == "0"
    if "retry_after" in content:
        assert answer.headers["retry-after"] == str(answer.json()["retry_after"])


def test_a_status_with_everything(sandbox: Sandbox) -> None:
    """Times, headers and body go out as they were given, in the order they were asked for."""
    html = {"Content-Type": "text/html"}
    sandbox.fail_next("status=502:times=2", times=None, headers=html, body="<h1>Bad</h1>")
    sandbox.fail_next(429, retry_after=7, body={"intents": None})
    sandbox.fail_next(204)
    first, second, odd, empty = (send(sandbox) for _ in range(4))
    assert [a.status_code for a in (first, second, odd, empty)] == [502, 502, 429, 204]
    assert first.text == second.text == "<h1>Bad</h1>"
    assert first.headers["content-type"] == "text/html"
    assert (odd.headers["retry-after"], odd.json()) == ("7", {"intents": None})
    assert (empty.content, sandbox.intents) == (b"", [])
    assert get(sandbox, REQUESTS)[-1]["answer_headers"] == {}
    with pytest.raises(UnusableOptionError, match="body must have a form in JSON"):
        sandbox.fail_next(503, body={1j})


def met(sandbox: Sandbox, requests: int) -> list[str]:
    """Send that many requests; return the fault that struck each, or an empty text."""
    send_many(sandbox, [VALID] * requests)
    return [request["fault"] or "" for request in get(sandbox, REQUESTS)]


@pytest.mark.parametrize(
    ("options", "numbers", "numbers_later"),
    [
        ("", range(1, 21), [1]),
        (":times=2", [1, 2], [1, 2]),
        (":after=3", range(4, 21), [4]),
        (":after=3:times=2", [4, 5], [4, 5]),
        (":every=10", [10, 20], [10, 20]),
        (":after=5:every=4:times=2", [9, 13], [9, 13]),
        (":probability=1", range(1, 21), range(1, 21)),
        (":probability=0.0000001", [], []),
    ],
)
def test_schedule(sandbox: Sandbox, options: str, numbers: Any, numbers_later: Any) -> None:
    """A schedule picks the requests that it says, counted from 1.

    A fault that is asked for later happens once, unless it says otherwise.
    """
    fault = f"status=500{options}"
    for expected, given, later in ((numbers, [fault], []), (numbers_later, [], [fault])):
        sandbox.configure(faults=given)
        for one in later:
            sandbox.fail_next(one)
        happened = enumerate(met(sandbox, 20), start=1)
        assert list(expected) == [number for number, what in happened if what]


def test_probability_can_be_repeated(sandbox: Sandbox) -> None:
    """After a reset the same requests are drawn, about as many as the probability says."""
    sandbox.configure(faults=["status=500:probability=0.3"])
    first = met(sandbox, 100)
    sandbox.fail_next(502, times=100)
    sandbox.reset()
    assert first == met(sandbox, 100)
    assert 15 < sum(map(bool, first)) < 45


def test_the_first_that_is_due_takes_the_request(sandbox: Sandbox) -> None:
    """Faults are asked in order; those behind the one that is due do not see the request."""
    faults = ["status=500:times=1", "status=502:every=2", "status=503:times=1"]
    sandbox.configure(faults=faults)
    expected = ["status=500", "status=503", "status=502", "", "status=502"]
    assert expected == met(sandbox, 5)


def test_latency_goes_with_others(sandbox: Sandbox) -> None:
    """Each latency that is due counts, from the shortest of its range on, and one other fault."""
    few, many = "latency=0.02", "latency=0.03-0.04"
    sandbox.configure(faults=[many, f"{few}:times=1", "status=500:times=2", "status=502"])
    assert send(sandbox).elapsed.total_seconds() >= 0.05
    assert send(sandbox).elapsed.total_seconds() >= 0.03
    send(sandbox)
    expected = [f"{many}, {few}, status=500", f"{many}, status=500", f"{many}, status=502"]
    assert expected == [request["fault"] for request in get(sandbox, REQUESTS)]


def test_a_429_uses_up_no_fault(sandbox: Sandbox) -> None:
    """A request beyond an enforced limit meets no fault."""
    sandbox.configure(rate_limit=(2, 86400), faults=["status=503:after=1"])
    assert [send(sandbox).status_code for _ in range(2)] == [201, 429]
    assert [1] == [fault["seen"] for fault in get(sandbox, CONTROL)["faults"]]


def ask(sandbox: Sandbox, asked: Any, method: str = "POST") -> httpx.Response:
    return send(sandbox, asked, method, CONTROL)


def test_over_http(sandbox: Sandbox) -> None:
    """Faults can be added, listed with what became of them, and cleared."""
    assert ask(sandbox, {"fault": "status=503", "times": 2}).status_code == 200
    listed = ask(sandbox, {"fault": "reset-after-store", "every": 10}).json()
    usual = {"after": 0, "probability": 1.0, "seen": 0, "happened": 0}
    assert listed["faults"] == [
        {"fault": "status=503", "times": 2, "every": 1, **usual},
        {"fault": "reset-after-store", "times": None, "every": 10, **usual},
    ]
    assert send(sandbox).status_code == 503
    faults = get(sandbox, CONTROL)["faults"]
    assert [(fault["seen"], fault["happened"]) for fault in faults] == [(1, 1), (0, 0)]
    assert ask(sandbox, {}, "DELETE").json() == get(sandbox, CONTROL) == {"faults": []}
    assert send(sandbox).status_code == 201


UNUSABLE = [
    ({"fault": None}, "fault: must be a status, like 503, or text"),
    ({"fault": 99}, "fault status=99: status must be an integer from 200 to 599, like status=503"),
    ({"fault": "reset"}, "'reset' is not a fault; choose from status, latency, odd-201, reset-"),
    ({"fault": "garbage=1"}, "fault garbage=1: garbage takes no value"),
    ({"fault": "latency=0"}, "fault latency=0: latency must be seconds above 0, up to 10^9, like"),
    ({"fault": "slow-bytes"}, "fault slow-bytes: slow-bytes must be a number"),
    ({"fault": "garbage:evry=2"}, "fault garbage: evry is not an option of a fault; choose from "),
    ({"fault": "garbage:times=2:every"}, "fault garbage: every must be an integer from 1"),
    ({"fault": "garbage", "times": True}, "fault garbage: times must be an integer from 1 to"),
    ({"fault": "garbage", "probability": 0}, "fault garbage: probability must be a number above"),
    ({"fault": "garbage", "body": "x"}, "fault garbage: body goes only with the fault status"),
    ({"fault": 503, "headers": {"A": "x\r\nB: 1"}}, "fault status=503: headers must be an object"),
    ({"fault": 503, "headers": {"Content-Length": "1"}}, "fault status=503: headers must be"),
    ({"fault": 204, "body": "x"}, "fault status=204: an answer with that status has no body"),
    ([], 'body: must be like {"fault": "garbage"}'),
]


@pytest.mark.parametrize(("asked", "said"), UNUSABLE)
def test_what_is_no_fault(sandbox: Sandbox, asked: Any, said: str) -> None:
    """400 that names what is wrong, and nothing waits; in Python it is the same error."""
    answer = ask(sandbox, asked)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(said)
    assert get(sandbox, CONTROL) == {"faults": []}
    if isinstance(asked, dict):
        with pytest.raises(UnusableOptionError, match=f"^{re.escape(said)}"):
            sandbox.fail_next(**asked)


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
