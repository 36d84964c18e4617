"""What each fault of a connection comes to, before and after the request has left."""

import socket
import sys
import time
import tracemalloc
import zlib
from typing import Any

import faults
import pytest
from calling import Caller, email_request, outcome_of
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
    GO_ON,
    HURRIED,
    IMPATIENT,
    LATEST_SECONDS,
    ONE,
    PARTLY,
    SLOW_CONNECT,
    TAKEN,
    YES,
    Expected,
    Row,
    answered,
    created,
    not_sent,
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

HTTP2_SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"


ENDS = {
    "resets before the request is read": faults.resets_unread,
    "resets after the request": answers_and_resets(),
    "closes before the request is read": faults.closes_unread,
    "closes after the request": answers_and_closes(),
    "half a status line, then closes": answers_and_closes(b"HTTP/1.1 20"),
    "a status line without its end": answers_and_closes(b"HTTP/1.1 201 Created"),
    "a 100 and nothing more": answers_and_closes(GO_ON),
    "no HTTP at all": answers_and_hangs(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "HTTP/0.9": answers_and_closes(b"<html>Created</html>\n"),
    "HTTP/2": answers_and_closes(HTTP2_SETTINGS),
    "TLS": answers_and_closes(b"\x15\x03\x03\x00\x02\x02\x50"),
    **{f"status {said}": answers_and_hangs(http(said)) for said in ["20x", "99", "2011", "-201"]},
    "other digits": answers_and_hangs(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa1 OK\r\n\r\n"),
}
UNKNOWN = rows_of(
    *[(name, script, unknown) for name, script in ENDS.items()],
    ("never answers", answers_and_hangs(), unknown, IMPATIENT),
    ("half a status line, then hangs", answers_and_hangs(b"HTTP/1.1 20"), unknown, IMPATIENT),
    ("a 100 and then never", answers_and_hangs(GO_ON), unknown, IMPATIENT),
    (
        "a status line that trickles",
        trickles(b"", b"HTTP/1.1 201 O" + b"K" * 999),
        unknown,
        HURRIED,
    ),
    ("100s without end", faults.floods(b"", GO_ON), unknown, HURRIED),
)


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row.name)
def test_without_a_status_line_the_outcome_is_unknown(row: Row, caller: Caller) -> None:
    """A request that left and got no status line may have been carried out; it is not repeated."""
    row.run(caller, max_retries=2)


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_another_transport_never_claims_that_nothing_was_sent(script: faults.Script) -> None:
    """What left over httpx-aiohttp is not told as "not sent", nor sent again by itself."""
    with FaultServer(script) as server:
        options = HttpOptions(transport=AiohttpTransport())
        outcome = Caller("async").outcome(server.url(), http=options, max_retries=2)
        assert server.connections == 1
    # aiohttp reads some heads that h11 does not.
    assert isinstance(outcome, OutcomeUnknownError | IntentCreated | UnexpectedAnswerError)


def test_over_aiohttp(sandbox: Sandbox) -> None:
    """With the transport of httpx-aiohttp the outcomes are the same."""

    def kind(base_url: str, **options: Any) -> type:
        own = HttpOptions(transport=AiohttpTransport())
        return type(Caller("async").outcome(base_url, http=own, **options))

    with faults.closed_port() as port:
        assert kind(f"http://127.0.0.1:{port}") is NotSentError
    assert [kind(sandbox.base_url) for _ in range(2)] == [IntentCreated, ProcessedWithErrorsError]
    for start, expected in [(http(201, length=500), IntentCreated), (b"", OutcomeUnknownError)]:
        with FaultServer(answers_and_hangs(start)) as server:
            assert kind(server.url(), **PARTLY) is expected


def test_a_deadline_holds_while_the_request_is_taken_too_slowly(caller: Caller) -> None:
    """A server that takes the request in sips does not outlast total_timeout."""

    def sips(peer: Peer) -> None:
        while peer.sock.recv(512):
            server.stopping.wait(0.01)

    with FaultServer(sips, receive_bytes=2048) as server:
        began = time.monotonic()
        large, options = email_request(name="x" * 8_000_000), {"base_url": server.url()} | HURRIED
        outcome = outcome_of(lambda: caller.create_intent(large, **options))
        assert time.monotonic() - began < LATEST_SECONDS
    unknown.check(outcome)


RESETS = answers_and_resets()


@pytest.mark.parametrize(
    ("scripts", "options", "waits"),
    [
        ([answered(429, b"{}", b"Retry-After: 17"), YES], {}, [17.0]),
        ([RESETS, answered(200, TAKEN)], {"retry_unknown": True}, None),
    ],
)
def test_a_retry_sends_the_same_again(
    scripts: list[Any], options: dict[str, Any], waits: list[float] | None, caller: Caller
) -> None:
    """The same body is sent again where that is safe or asked for, after the wait asked for."""
    with FaultServer(*scripts) as server:
        outcome = caller.outcome(server.url(), max_retries=2, **options)
    Expected(IntentCreated, attempts=2).check(outcome)
    assert len(caller.waits) == 1
    assert waits in (None, caller.waits)
    first, second = server.requests
    assert first.body == second.body


def test_the_deadline_bounds_all_attempts_together(caller: Caller) -> None:
    """Retries of a server that never answers end by total_timeout."""
    options = {"retry_unknown": True, "max_retries": 1000, "timeout": 0.2, "total_timeout": 0.5}
    with FaultServer(answers_and_hangs()) as server:
        began = time.monotonic()
        outcome = caller.outcome(server.url(), **options)
        assert time.monotonic() - began < LATEST_SECONDS
    assert type(outcome) is OutcomeUnknownError
    assert 1 <= outcome.attempts <= 3


def gzip_bomb() -> bytes:
    """Return gzip, some 260 KB long, that holds 256 MiB of zeros."""
    block = bytes(16 * 1024 * 1024)
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    # After a full flush nothing refers to what came before, so one block can be repeated.
    piece = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * 16 + compressor.flush()


def test_memory_stays_flat_under_a_bomb(caller: Caller) -> None:
    """A bomb of gzip is a created intent, and is not unpacked."""
    bomb = http(201, gzip_bomb(), b"Content-Encoding: gzip")
    with FaultServer(answers(bomb)) as server, caller.client(server.url()) as client:
        client.outcome()
        tracemalloc.start()
        try:
            outcome = client.outcome()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    created(complete=False, body=bytes(LARGEST_BODY_BYTES)).check(outcome)
    assert peak < 16 * 1024 * 1024


def test_many_small_members_are_not_unpacked_for_ever(caller: Caller) -> None:
    """A body of a great many gzip members ends at the cap, too."""
    members = compressed(b"") * 40_000
    with FaultServer(answers(http(201, members, b"Content-Encoding: gzip"))) as server:
        began = time.monotonic()
        caller.create_intent(email_request(), base_url=server.url())
    assert time.monotonic() - began < LATEST_SECONDS


def test_a_refused_connection_sends_nothing(caller: Caller) -> None:
    """Where nothing listens, nothing is sent, and the error says what the system said."""
    with faults.closed_port() as port:
        outcome = caller.outcome(f"http://127.0.0.1:{port}")
    not_sent.check(outcome)
    assert "Connection refused" in str(outcome)


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
        not_sent.check(caller.outcome(f"http://127.0.0.1:{port}", **options))


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
        options = {"http": ANYWHERE, "timeout": 0.5, "total_timeout": 0.5}
        outcome = caller.outcome("http://stoq.example.com", **options)
        # Half a second for each address would be twenty.
        assert time.monotonic() - began < LATEST_SECONDS
    not_sent.check(outcome)


@needs_a_full_queue
def test_a_dead_first_address_costs_little(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address does not answer, the second one is tried long before the timeout."""
    with faults.deaf_port() as dead, FaultServer(YES) as server:
        resolves_to(monkeypatch, dead, server.port)
        began = time.monotonic()
        outcome = caller.outcome("http://stoq.example.com", http=ANYWHERE)
        assert time.monotonic() - began < LATEST_SECONDS
    ONE.check(outcome)


def test_a_name_that_is_not_found_sends_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that has no address sends nothing."""

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    not_sent.check(caller.outcome())


def test_timeouts_of_centuries(caller: Caller, sandbox: Sandbox) -> None:
    """A number of seconds that no system call takes means: for as long as it takes."""
    outcome = caller.outcome(sandbox.base_url, timeout=1e12, total_timeout=None)
    assert isinstance(outcome, IntentCreated)
