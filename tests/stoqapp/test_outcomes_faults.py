"""What each fault of a connection comes to, before and after the request has left."""

import socket
import sys
import time
import tracemalloc
from typing import Any

import faults
import pytest
from calling import Caller, email_request
from faults import (
    FaultServer,
    Peer,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    compressed,
    http,
    trickles,
)
from httpx_aiohttp import AiohttpTransport
from outcomes import (
    HURRIED,
    IMPATIENT,
    INTENT,
    LATEST_SECONDS,
    ONE,
    PATIENT,
    SLOW_CONNECT,
    Expected,
    Row,
    ask,
    not_sent,
    outcome_of,
    rows_of,
    unknown,
)

from stoqapp import (
    HttpOptions,
    IntentCreated,
    NotSentError,
    OutcomeUnknownError,
    ProcessedWithErrorsError,
    UnexpectedAnswerError,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES
from stoqapp_sandbox import Sandbox

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
HTTP2_SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"


def resets_after_the_head(peer: Peer) -> None:
    peer.read_head()
    peer.reset()


UNKNOWN = rows_of(
    *[
        (name, script, unknown, *client)
        for name, script, *client in [
            ("resets before the request is read", faults.resets_unread),
            ("resets after the request's head", resets_after_the_head),
            ("resets after the request", answers_and_resets()),
            ("closes before the request is read", faults.closes_unread),
            ("closes after the request", answers_and_closes()),
            ("never answers", answers_and_hangs(), IMPATIENT),
            ("never reads", faults.hangs, IMPATIENT),
            ("half a status line, then closes", answers_and_closes(b"HTTP/1.1 20")),
            ("half a status line, then hangs", answers_and_hangs(b"HTTP/1.1 20"), IMPATIENT),
            ("a status line without its end", answers_and_closes(b"HTTP/1.1 201 Created")),
            ("a status line that trickles", trickles(b"", b"HTTP/1.1 201 " + b"O" * 2000), HURRIED),
            ("a 100 and nothing more", answers_and_closes(GO_ON)),
            ("a 100 and then never", answers_and_hangs(GO_ON), IMPATIENT),
            ("100s without end", faults.floods(b"", GO_ON), HURRIED),
            ("100s that trickle", trickles(b"", GO_ON * 100), HURRIED),
            ("no HTTP at all", answers_and_hangs(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
            ("HTTP/0.9", answers_and_closes(b"<html>Created</html>\n")),
            ("HTTP/2", answers_and_closes(HTTP2_SETTINGS)),
            ("TLS", answers_and_closes(b"\x15\x03\x03\x00\x02\x02\x50")),
            *[
                (f"status {status}", answers_and_hangs(http(status)))
                for status in ["20x", "99", "000", "2011", "-201"]
            ],
            ("other digits", answers_and_hangs(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa1 OK\r\n\r\n")),
        ]
    ]
)


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row.name)
def test_without_a_status_line_the_outcome_is_unknown(row: Row, caller: Caller) -> None:
    """A request that left and got no status line may have been carried out; it is not repeated."""
    row.run(caller, max_retries=2)


@pytest.mark.parametrize(
    "row", [row for row in UNKNOWN if row.client is PATIENT], ids=lambda row: row.name
)
def test_another_transport_never_claims_that_nothing_was_sent(row: Row) -> None:
    """What left over httpx-aiohttp is not told as "not sent", nor sent again by itself."""
    http_options = HttpOptions(transport=AiohttpTransport())
    assert not isinstance(row.script, bytes)
    with FaultServer(row.script) as server:
        options = {"http": http_options, "max_retries": 2} | row.client
        outcome = ask(Caller("async"), server.url(), **options)
        assert server.connections == 1
    # aiohttp reads some heads that h11 does not.
    assert isinstance(outcome, OutcomeUnknownError | IntentCreated | UnexpectedAnswerError)


def test_over_aiohttp(sandbox: Sandbox) -> None:
    """With the transport of httpx-aiohttp the outcomes are the same."""

    def kind(base_url: str) -> type:
        options = {"timeout": 0.5, "http": HttpOptions(transport=AiohttpTransport())}
        return type(ask(Caller("async"), base_url, **options))

    with faults.closed_port() as port:
        assert kind(f"http://127.0.0.1:{port}") is NotSentError
    assert [kind(sandbox.base_url) for _ in range(2)] == [IntentCreated, ProcessedWithErrorsError]
    for start, expected in [(http(201, length=500), IntentCreated), (b"", OutcomeUnknownError)]:
        with FaultServer(answers_and_hangs(start)) as server:
            assert kind(server.url()) is expected


def test_a_deadline_holds_while_the_request_is_taken_too_slowly(caller: Caller) -> None:
    """A server that takes the request in sips does not outlast total_timeout."""
    with FaultServer(lambda peer: peer.sip(512), receive_bytes=2048) as server:
        began = time.monotonic()
        large, hurried = email_request(name="x" * 12_000_000), HURRIED | {"total_timeout": 0.6}
        outcome = outcome_of(lambda: caller.create_intent(large, base_url=server.url(), **hurried))
        assert time.monotonic() - began < LATEST_SECONDS
    unknown.check(outcome)


def test_memory_stays_flat_under_a_bomb(caller: Caller) -> None:
    """A gigabyte that came as one mebibyte of gzip is a created intent, and is not unpacked."""
    bomb = http(201, faults.gzip_bomb(), b"Content-Encoding: gzip")
    with FaultServer(answers(bomb)) as server:
        ask(caller, server.url(), **PATIENT)
        tracemalloc.start()
        try:
            outcome = ask(caller, server.url(), **PATIENT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    Expected(IntentCreated, complete=False, body=bytes(LARGEST_BODY_BYTES)).check(outcome)
    assert peak < 16 * 1024 * 1024


def test_many_small_members_are_not_unpacked_for_ever(caller: Caller) -> None:
    """A body of a great many gzip members ends at the cap, too."""
    members = compressed(b"") * 40_000
    with FaultServer(answers(http(201, members, b"Content-Encoding: gzip"))) as server:
        began = time.monotonic()
        caller.create_intent(email_request(), base_url=server.url(), **PATIENT)
    assert time.monotonic() - began < LATEST_SECONDS


def test_a_refused_connection_sends_nothing(caller: Caller) -> None:
    """Where nothing listens, nothing is sent, and the error says what the system said."""
    with (
        faults.closed_port() as port,
        pytest.raises(NotSentError, match="Connection refused") as caught,
    ):
        caller.create_intent(email_request(), base_url=f"http://127.0.0.1:{port}")
    not_sent.check(caught.value)


needs_a_full_queue = pytest.mark.skipif(
    sys.platform != "linux", reason="a full queue is told otherwise elsewhere"
)


@needs_a_full_queue
@pytest.mark.parametrize("options", [SLOW_CONNECT, HURRIED], ids=["timeout", "total_timeout"])
def test_a_connection_that_never_comes_about_sends_nothing(
    caller: Caller, options: dict[str, Any]
) -> None:
    """Where a connection takes longer than the connect timeout, or the call, nothing is sent."""
    with faults.deaf_port() as port:
        not_sent.check(ask(caller, f"http://127.0.0.1:{port}", **options))


def resolves_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Let every name stand for these ports of this machine; numbers stay what they are."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "stoq.example.com":
            return resolve(host, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


ANYWHERE = HttpOptions(allow_http=True)


@needs_a_full_queue
def test_a_host_of_many_addresses_keeps_to_the_deadline(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying one address after the other takes no longer than the call has."""
    with faults.deaf_port() as port:
        resolves_to(monkeypatch, *[port] * 40)
        began = time.monotonic()
        options = {"http": ANYWHERE, "timeout": 1.0, "total_timeout": 1.0}
        outcome = ask(caller, "http://stoq.example.com", **options)
        # One second for each address would be forty.
        assert time.monotonic() - began < LATEST_SECONDS
    not_sent.check(outcome)


@needs_a_full_queue
def test_a_dead_first_address_costs_little(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address does not answer, the second one is tried long before the timeout."""
    with faults.deaf_port() as dead, FaultServer(answers(http(201, INTENT))) as server:
        resolves_to(monkeypatch, dead, server.port)
        began = time.monotonic()
        outcome = ask(caller, "http://stoq.example.com", http=ANYWHERE, **PATIENT)
        assert time.monotonic() - began < LATEST_SECONDS
    ONE.check(outcome)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError(101, "unreachable")])
def test_a_name_that_is_not_found_sends_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A host that has no address sends nothing."""

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    not_sent.check(outcome_of(lambda: caller.create_intent(email_request())))


def test_timeouts_of_centuries(caller: Caller, sandbox: Sandbox) -> None:
    """A number of seconds that no system call takes means: for as long as it takes."""
    settings: dict[str, Any] = {"timeout": 1e12, "total_timeout": None}
    assert caller.create_intent(email_request(), base_url=sandbox.base_url, **settings)
