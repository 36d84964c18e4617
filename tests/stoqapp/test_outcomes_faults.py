"""What each fault of a connection comes to, before and after the request has left."""

import socket
import sys
import time
import tracemalloc
import zlib
from functools import partial
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
    CUT,
    GO_ON,
    HURRIED,
    IMPATIENT,
    LATEST_SECONDS,
    ONE,
    PARTLY,
    SLOW_CONNECT,
    SLOW_WRITE,
    YES,
    Row,
    created,
    not_sent,
    rows_of,
    side_by_side,
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
    "TLS": answers_and_closes(b"\x15\x03\x03\x00\x02\x02\x50"),
    **{f"status {said}": answers_and_hangs(http(said)) for said in ["20x", "99", "2011", "-201"]},
    "other digits": answers_and_hangs(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa1 OK\r\n\r\n"),
}
UNKNOWN = rows_of(
    *[(name, script, unknown) for name, script in ENDS.items()],
    ("never answers", answers_and_hangs(), unknown, IMPATIENT),
    ("half a status line, then hangs", answers_and_hangs(b"HTTP/1.1 20"), unknown, IMPATIENT),
    ("a 100 and then never", answers_and_hangs(GO_ON), unknown, IMPATIENT),
)
TOO_SLOW = rows_of(
    ("status line", trickles(b"", b"HTTP/1.1 201 O" + b"K" * 999), unknown, HURRIED),
    ("100s without end", faults.floods(b"", GO_ON), unknown, HURRIED),
    ("body", trickles(http(201, length=2000), b"x" * 2000), CUT, HURRIED),
)


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row.name)
def test_without_a_status_line_the_outcome_is_unknown(row: Row, caller: Caller) -> None:
    """A request that left and got no status line may have been carried out; it is not repeated."""
    row.run(caller, max_retries=2)


def sends_to_a_slow_reader(caller: Caller, every_seconds: float, **options: Any) -> None:
    def sips(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        while not server.stopping.wait(every_seconds) and peer.sock.recv(512):
            pass
        peer.close()

    large = email_request(name="x" * 8_000_000)
    with FaultServer(sips) as server:
        began = time.monotonic()
        with caller.client(server.url(), **options) as client:
            unknown.check(outcome_of(lambda: client.create_intent(large)))
        assert time.monotonic() - began < LATEST_SECONDS


def test_what_is_too_slow_ends_in_time() -> None:
    """A server that answers, or reads, without end does not outlast total_timeout.

    One that takes nothing does not outlast the timeout for writing.
    """
    side_by_side(*[row.run for row in TOO_SLOW])
    side_by_side(
        partial(sends_to_a_slow_reader, every_seconds=0.01, **HURRIED),
        partial(sends_to_a_slow_reader, every_seconds=60.0, **SLOW_WRITE),
    )


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


def gzip_bomb() -> bytes:
    """Return gzip, some 260 KB long, that holds 256 MiB of zeros."""
    block = bytes(16 * 1024 * 1024)
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    # After a full flush nothing refers to what came before, so one block can be repeated.
    piece = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * 16 + compressor.flush()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(gzip_bomb(), bytes(LARGEST_BODY_BYTES)), (compressed(b"") * 40_000, b"")],
    ids=["bomb", "many small members"],
)
def test_what_unpacks_to_a_great_deal(caller: Caller, sent: bytes, kept: bytes) -> None:
    """A bomb of gzip is a created intent, and is not unpacked; nor are ever so many members."""
    bomb = http(201, sent, b"Content-Encoding: gzip")
    with FaultServer(answers(bomb)) as server, caller.client(server.url()) as client:
        began = time.monotonic()
        client.outcome()
        assert time.monotonic() - began < LATEST_SECONDS
        tracemalloc.start()
        try:
            outcome = client.outcome()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    created(complete=False, body=kept).check(outcome)
    assert peak < 16 * 1024 * 1024


needs_a_full_queue = pytest.mark.skipif(
    sys.platform != "linux", reason="a full queue is told otherwise elsewhere"
)


@pytest.mark.parametrize(
    ("port_of", "options", "reason"),
    [
        (faults.closed_port, {}, "Connection refused"),
        pytest.param(faults.deaf_port, SLOW_CONNECT, "within", marks=needs_a_full_queue),
    ],
)
def test_without_a_connection_nothing_is_sent(
    caller: Caller, port_of: Any, options: dict[str, Any], reason: str
) -> None:
    """Where nothing listens, or takes too long to, the error says so, and nothing is sent."""
    with port_of() as port:
        outcome = caller.outcome(f"http://127.0.0.1:{port}", **options)
    not_sent.check(outcome)
    assert reason in str(outcome)


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
        options = {"http": ANYWHERE, "timeout": 20.0, "total_timeout": 0.5}
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
        options = {"http": ANYWHERE, "timeout": 40.0}
        outcome = caller.outcome("http://stoq.example.com", **options)
        # A fair share of the timeout for the first of two addresses would be ten seconds.
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
