"""HttpOptions, transports of the user's own, and test doubles that stand in for httpx's."""

import asyncio
import gzip
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import Caller
from faults import FaultServer, Peer, http
from outcomes import INTENT, NO, Expected, created, not_sent, unknown
from vcr import VCR
from vcr.record_mode import RecordMode

from record_cassettes import CASSETTES, SHOP
from stoqapp import (
    ConfigurationError,
    HttpOptions,
    IntentCreated,
    NotSentError,
    OutcomeUnknownError,
    Stoq,
    Timeout,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES
from stoqapp.http.transport import AsyncTransport, Transport
from stoqapp_sandbox import Sandbox

TLS = ssl.create_default_context()
MOCK = httpx.MockTransport(lambda _request: httpx.Response(201))


UNUSABLE: dict[str, list[Any]] = {
    "transport": ["x"],
    "max_connections": [0, 10**9, True],
    "ca_file": ["missing.pem", 123, ""],
    "ssl_context": ["x"],
    "allow_http": ["no"],
    "trust_env": [0],
}
TOGETHER = [
    {"ssl_context": TLS, "ca_file": "missing.pem"},
    {"transport": MOCK, "proxy": "http://127.0.0.1:1"},
    {"transport": MOCK, "ssl_context": TLS},
]


def test_unusable_http_options() -> None:
    """Connections that could not work are refused before a call."""
    alone = [{name: value} for name, values in UNUSABLE.items() for value in values]
    for options in (*alone, *TOGETHER):
        with pytest.raises(ConfigurationError):
            Stoq(SHOP, http=HttpOptions(**options))


# In a process of its own, since what was read of the environment once is kept.
WITH_NO_CERTIFICATES = """
import os, sys, stoqapp
for name in ("SSL_CERT_FILE", "SSLKEYLOGFILE"):
    os.environ[name] = sys.argv[1]
    try:
        stoqapp.Stoq("demo")
    except stoqapp.ConfigurationError as error:
        print(name in str(error))
    del os.environ[name]
"""


def test_certificates_of_the_environment_that_are_none(tmp_path: Path) -> None:
    """What the environment has TLS set up with is named where it cannot be."""
    program = [sys.executable, "-c", WITH_NO_CERTIFICATES, str(tmp_path / "no" / "such.pem")]
    assert subprocess.check_output(program, text=True) == "True\nTrue\n"


def mocked(answer: Any) -> HttpOptions:
    """Return options with httpx's own mock transport, which gives whole answers."""
    return HttpOptions(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("sent", "encoding", "expected"),
    [
        (INTENT, "identity", created(body=INTENT, ids=("77",))),
        (gzip.compress(INTENT), "gzip", created(body=INTENT, ids=("77",))),
        (b" " * 2_000_000, "identity", created(complete=False, body=b" " * LARGEST_BODY_BYTES)),
    ],
    ids=["plain", "gzip", "over the cap"],
)
def test_a_transport_that_has_read_the_body(
    caller: Caller, sent: bytes, encoding: str, expected: Expected
) -> None:
    """Of a body that httpx has read, and unpacked, no byte up to the cap is lost."""
    headers = {"Content-Encoding": encoding}
    options = mocked(lambda _: httpx.Response(201, content=sent, headers=headers))
    expected.check(caller.outcome(http=options))


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        (NotSentError, [httpx.ConnectError, httpx.ProxyError, httpx.PoolTimeout]),
        # httpx-aiohttp calls a lost connection ConnectTimeout, too.
        (OutcomeUnknownError, [httpx.ReadTimeout, httpx.ConnectTimeout, RuntimeError]),
    ],
)
def test_what_a_transport_raises(caller: Caller, raised: list[type[Exception]], kind: type) -> None:
    """Only what certainly comes before sending is told as not sent."""
    for error in raised:

        def fails(_request: httpx.Request, error: type[Exception] = error) -> httpx.Response:
            raise error("x")

        assert type(caller.outcome(http=mocked(fails))) is kind


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    ("answer", "status"),
    [(http(200, NO), 200), (b"HTTP/1.1 404 Not Found\r\nX", 404), (b"HT", None)],
)
def test_a_get_has_outcomes_too(answer: bytes, status: int | None, mode: str) -> None:
    """A GET that left tells its status, and without one is never told as not sent."""

    def script(peer: Peer) -> None:
        assert peer.read_head().startswith(b"GET /api/v1/a?b=1 HTTP/1.1\r\n")
        peer.send(answer)
        peer.close()

    with FaultServer(script) as server:
        kind = Transport if mode == "sync" else AsyncTransport
        sent: Any = kind(server.url(), HttpOptions()).send
        call = partial(sent, {"X": "1"}, f"{server.url()}/a?b=1", Timeout(), 20.0)
        with nullcontext() if status else pytest.raises(OutcomeUnknownError):
            assert (call() if mode == "sync" else asyncio.run(call())).status == status


def test_a_transport_that_others_use_too(sandbox: Sandbox) -> None:
    """A transport of the user's own goes on serving a client of the user's own."""
    own = HttpOptions(transport=httpx.HTTPTransport())
    with Caller("sync").client(sandbox.base_url, http=own) as client:
        assert isinstance(client.outcome(), IntentCreated)
        other = httpx.Client(transport=own.transport)
        assert other.get(f"{sandbox.url}/_sandbox/intents").status_code == 200


@pytest.fixture
def doubled(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace httpx's way to send, as vcrpy, pytest-httpx and tracers do, by a function."""

    def replace(stand_in: Callable[[httpx.Request], httpx.Response]) -> Caller:
        async def stand_in_async(_transport: Any, asked: httpx.Request) -> httpx.Response:
            return stand_in(asked)

        monkeypatch.setattr(
            httpx.HTTPTransport, "handle_request", lambda _transport, asked: stand_in(asked)
        )
        monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", stand_in_async)
        return caller

    return replace


def test_a_double_sees_the_whole_request(doubled: Any) -> None:
    """A double is asked in the place of the service, and sees URL, headers and body."""
    seen: list[httpx.Request] = []

    def answers(asked: httpx.Request) -> httpx.Response:
        seen.append(asked)
        return httpx.Response(201, content=INTENT)

    created(body=INTENT).check(doubled(answers).outcome())
    (asked,) = seen
    assert (asked.method, asked.url.host) == ("POST", asked.headers["host"])
    assert asked.headers["content-length"] == str(len(asked.read()))
    assert json.loads(asked.read())["customer"] == {"email": "ada@example.com"}


@pytest.mark.parametrize(
    ("raised", "expected", "reason"),
    [
        (httpx.TimeoutException("No answer for https://a with {"), not_sent, "https://a with$"),
        (
            AssertionError("RESPX: not mocked!\nada"),
            not_sent,
            "AssertionError: RESPX: not mocked!$",
        ),
        (httpx.ConnectError("x"), Expected(NotSentError, False, attempts=3), "could not be found"),
        # A double can also play a fault that comes after sending.
        (httpx.ReadTimeout("x"), unknown, "the request was sent"),
    ],
)
def test_what_a_double_raises(
    doubled: Any, raised: Exception, expected: Expected, reason: str
) -> None:
    """A refusal was not sent: it is told up to where a body may begin, and is not retried."""

    def refuses(_asked: httpx.Request) -> httpx.Response:
        raise raised

    outcome = doubled(refuses).outcome(max_retries=2)
    expected.check(outcome)
    assert re.search(reason, str(outcome))


def test_what_a_cassette_does_not_hold_was_not_sent(caller: Caller) -> None:
    """vcrpy's refusal is told with its reason, and without the body that it quotes."""
    replayer = VCR(record_mode=RecordMode.NONE, match_on=["method", "uri", "body"])
    with replayer.use_cassette(str(CASSETTES / "created_by_sms.yaml")):
        outcome = caller.outcome()
    not_sent.check(outcome)
    assert "CannotOverwriteExistingCassetteException: Can't " in str(outcome)
    assert "ada@example.com" not in str(outcome)
