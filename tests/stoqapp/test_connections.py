"""Connections: used again, never mixed up, closed in the end; by threads, processes and loops."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from calling import email_request
from faults import (
    FaultServer,
    Peer,
    Script,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    chunked,
    floods,
    http,
)
from outcomes import (
    IMPATIENT,
    INTENT,
    NO,
    ONE,
    ONE_CONNECTION,
    Gate,
    Make,
    answered,
    echoes,
    not_sent,
    outcome_of,
    refused,
    unframed,
    unknown,
)

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    HttpOptions,
    IntentCreated,
    NotFoundError,
    NotSentError,
    Stoq,
    Timeout,
)
from stoqapp_sandbox import Sandbox

YES = answered(201, INTENT)
BARE: dict[str, Any] = {"budget": None, "max_retries": 0}


# Used again, or not ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [http(201, INTENT), unframed(201, b"Transfer-Encoding: chunked", body=chunked(INTENT))],
    ids=["length", "chunks"],
)
def test_a_connection_is_used_again(session: Make, first: bytes) -> None:
    """Two calls use one connection, whose second answer is the second call's."""
    with FaultServer(answers(first), answered(404, NO)) as server:
        client = session(server)
        ONE.check(client.outcome())
        refused(NotFoundError, 404).check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "parting",
    [b"", http(408, b"<html>Idle for too long</html>", b"Connection: close")],
    ids=["silently", "with a 408"],
)
def test_a_connection_that_was_closed_while_idle(session: Make, parting: bytes) -> None:
    """A connection that the server closed in between costs no call; its last words are not read."""
    hang_up = threading.Event()

    def then_closes(peer: Peer) -> None:
        peer.read_request()
        peer.send(http(201, INTENT))
        hang_up.wait()
        peer.send(parting)
        peer.close()

    with FaultServer(then_closes, YES) as server:
        client = session(server)
        ONE.check(client.outcome())
        hang_up.set()
        server.ended.acquire()
        ONE.check(client.outcome())
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_is_closed_on_the_second_request(session: Make) -> None:
    """Where the server takes a second request and hangs up, it is unknown, and not sent again."""
    with FaultServer(YES, answers_and_closes()) as server:
        client = session(server)
        ONE.check(client.outcome())
        unknown.check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "first",
    {
        "a second answer": http(201, INTENT) + http(404, NO),
        "junk": http(201, INTENT) + b"\r\n\r\njunk",
        "length 0": http(201, INTENT, length=0),
        "length too short": http(201, INTENT, length=10),
        "204": http(204, NO),
        "304": http(304, NO),
        "after the last chunk": unframed(201, CHUNKED, body=chunked(INTENT) + http(404, NO)),
        "more chunks": unframed(201, CHUNKED, body=chunked(INTENT) + chunked(INTENT)),
        "trailer": unframed(201, CHUNKED, body=b"0\r\nX: 1\r\n\r\n" + http(404, NO)),
    }.items(),
    ids=lambda first: first[0],
)
def test_what_an_answer_leaves_behind_answers_nothing(
    session: Make, first: tuple[str, bytes]
) -> None:
    """Bytes after the end of one answer do not become the answer to the next request."""
    with FaultServer(answers(first[1]), YES) as server:
        client = session(server)
        client.outcome()
        ONE.check(client.outcome())


@pytest.mark.parametrize(
    "first",
    [
        answers_and_resets(http(201, INTENT, length=500)),
        answers_and_hangs(),
        answers_and_hangs(http(201, INTENT, length=500)),
        floods(unframed(), b" " * 65536),
        answers_and_hangs(http("20x")),
    ],
    ids=["reset", "no answer", "half a body", "endless body", "garbage"],
)
def test_a_fault_leaves_no_connection_in_use(session: Make, first: Script) -> None:
    """After any fault the only connection is free for the next call."""
    with FaultServer(first, YES) as server:
        client = session(server, http=ONE_CONNECTION)
        client.outcome(**IMPATIENT)
        ONE.check(client.outcome())


def test_cookies_are_not_kept(session: Make) -> None:
    """What the service sets for one customer does not travel with the next one's intent."""
    with FaultServer(answered(201, INTENT, b"Set-Cookie: session=1; Path=/")) as server:
        client = session(server)
        for _ in range(2):
            outcome: Any = client.outcome()
            assert outcome.answer.headers["set-cookie"] == "session=1; Path=/"
        assert [b"cookie:" in sent.head.lower() for sent in server.requests] == [False, False]


# Turns ----------------------------------------------------------------------------------------

HASTY = {"timeout": Timeout(connect=20, read=20, write=20, pool=0.2), "total_timeout": 6}


def test_a_full_pool_sends_nothing() -> None:
    """A thread that waits too long for a connection has sent nothing."""
    gate = Gate()
    with (
        FaultServer(gate) as server,
        Stoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **BARE) as stoq,
        ThreadPoolExecutor() as pool,
    ):
        pool.submit(stoq.create_intent, email_request())
        gate.busy.wait()
        outcome = outcome_of(lambda: stoq.with_options(**HASTY).create_intent(email_request()))
        gate.free.set()
    not_sent.check(outcome)
    assert len(server.requests) == 1


def test_a_full_pool_sends_nothing_async() -> None:
    """A task that waits too long for a connection has sent nothing."""
    gate = Gate()

    async def calls(base_url: str) -> None:
        async with AsyncStoq(SHOP, base_url=base_url, http=ONE_CONNECTION, **BARE) as stoq:
            first = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.to_thread(gate.busy.wait)
            with pytest.raises(NotSentError):
                await stoq.with_options(**HASTY).create_intent(email_request())
            gate.free.set()
            await first

    with FaultServer(gate) as server:
        asyncio.run(calls(server.url()))
    assert len(server.requests) == 1


def test_many_calls_wait_for_their_turn() -> None:
    """Without a deadline no turn comes too late, however long the others take."""

    async def run(base_url: str) -> list[object]:
        options: dict[str, Any] = {"total_timeout": None, "timeout": 1.0, **BARE}
        http_options = HttpOptions(max_connections=2)
        async with AsyncStoq(SHOP, base_url=base_url, http=http_options, **options) as stoq:
            calls = [stoq.create_intent(email_request(email=f"{n}@example.com")) for n in range(12)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with Sandbox(faults=["latency=0.3"]) as slow:
        outcomes = asyncio.run(run(slow.base_url))
    assert {type(outcome) for outcome in outcomes} == {IntentCreated}


# Threads, processes, loops --------------------------------------------------------------------


def test_many_threads_get_their_own_answers() -> None:
    """Threads that share a client, and few connections, each see the answer to their request."""
    with (
        FaultServer(echoes) as server,
        Stoq(SHOP, base_url=server.url(), http=HttpOptions(max_connections=4), **BARE) as stoq,
        ThreadPoolExecutor(12) as threads,
    ):
        emails = [f"t{number}@example.com" for number in range(480)]
        requests = [email_request(email=email) for email in emails]
        outcomes = list(threads.map(stoq.create_intent, requests))
        assert [outcome.intents[0]["email"] for outcome in outcomes] == emails
        assert server.connections <= 4


def test_an_async_client_in_many_loops_at_once() -> None:
    """One AsyncStoq serves eight threads, each with an event loop of its own and several tasks."""

    async def calls(number: int) -> None:
        for turn in range(10):
            emails = [f"l{number}.{turn}.{task}@example.com" for task in range(3)]
            requests = [email_request(email=email) for email in emails]
            outcomes = await asyncio.gather(*map(stoq.create_intent, requests))
            assert [outcome.intents[0]["email"] for outcome in outcomes] == emails

    interval = sys.getswitchinterval()
    # Threads are preempted wherever they are.
    sys.setswitchinterval(1e-5)
    try:
        with FaultServer(echoes) as server, ThreadPoolExecutor(8) as threads:
            options = HttpOptions(max_connections=2)
            stoq = AsyncStoq(SHOP, base_url=server.url(), http=options, **BARE)
            assert len(list(threads.map(asyncio.run, map(calls, range(8))))) == 8
            asyncio.run(stoq.close())
            assert (server.connections <= 16, len(server.requests)) == (True, 240)
    finally:
        sys.setswitchinterval(interval)


def test_an_async_client_in_one_loop_after_another() -> None:
    """One AsyncStoq serves one event loop after another, each with its own connections."""
    with FaultServer(YES) as server:
        stoq = AsyncStoq(SHOP, base_url=server.url(), **BARE)
        for _ in range(3):
            ONE.check(asyncio.run(stoq.create_intent(email_request())))
        asyncio.run(stoq.close())
        assert (server.connections, len(server.requests)) == (3, 3)
