"""Connections: used again, never mixed up, closed in the end; by threads, processes and loops."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from calling import Caller, email_request, outcome_of
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
    INTENT,
    NO,
    NO_TURN,
    ONE,
    ONE_CONNECTION,
    PARTLY,
    YES,
    Gate,
    answered,
    echoes,
    not_sent,
    refused,
    unframed,
    unknown,
)

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    ClientClosedError,
    HttpOptions,
    IntentCreated,
    NotFoundError,
    NotSentError,
    Stoq,
)

CHUNKED = b"Transfer-Encoding: chunked"
BARE: dict[str, Any] = {"budget": None, "max_retries": 0}


@pytest.mark.parametrize(
    "first",
    [http(201, INTENT), unframed(201, CHUNKED, body=chunked(INTENT))],
    ids=["length", "chunks"],
)
def test_a_connection_is_used_again(caller: Caller, first: bytes) -> None:
    """Two calls use one connection, whose second answer is the second call's."""
    server = FaultServer(answers(first), answered(404, NO))
    with server, caller.client(server.url()) as client:
        ONE.check(client.outcome())
        refused(NotFoundError, 404).check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "parting",
    [b"", http(408, b"<html>Idle for too long</html>", b"Connection: close")],
    ids=["silently", "with a 408"],
)
def test_a_connection_that_was_closed_while_idle(caller: Caller, parting: bytes) -> None:
    """A connection that the server closed in between costs no call; its last words are not read."""
    hang_up = threading.Event()

    def then_closes(peer: Peer) -> None:
        peer.read_request()
        peer.send(http(201, INTENT))
        hang_up.wait()
        peer.send(parting)
        peer.close()

    with FaultServer(then_closes, YES) as server, caller.client(server.url()) as client:
        ONE.check(client.outcome())
        hang_up.set()
        server.ended.acquire()
        ONE.check(client.outcome())
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_is_closed_on_the_second_request(caller: Caller) -> None:
    """Where the server takes a second request and hangs up, it is unknown, and not sent again."""
    with FaultServer(YES, answers_and_closes()) as server, caller.client(server.url()) as client:
        ONE.check(client.outcome())
        unknown.check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "first",
    [
        http(201, INTENT) + http(404, NO),
        http(201, INTENT) + b"\r\n\r\njunk",
        http(201, INTENT, length=10),
        http(204, NO),
        unframed(201, CHUNKED, body=chunked(INTENT) + http(404, NO)),
        unframed(201, CHUNKED, body=b"0\r\nX: 1\r\n\r\n" + http(404, NO)),
    ],
    ids=["a second answer", "junk", "length too short", "204", "after the last chunk", "trailer"],
)
def test_what_an_answer_leaves_behind_answers_nothing(caller: Caller, first: bytes) -> None:
    """Bytes after the end of one answer do not become the answer to the next request."""
    with FaultServer(answers(first), YES) as server, caller.client(server.url()) as client:
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
def test_a_fault_leaves_no_connection_in_use(caller: Caller, first: Script) -> None:
    """After any fault the only connection is free for the next call."""
    server = FaultServer(first, YES)
    with server, caller.client(server.url(), http=ONE_CONNECTION) as client:
        client.outcome(**PARTLY)
        ONE.check(client.outcome())


def test_cookies_are_not_kept(caller: Caller) -> None:
    """What the service sets for one customer does not travel with the next one's intent."""
    server = FaultServer(answered(201, INTENT, b"Set-Cookie: session=1; Path=/"))
    with server, caller.client(server.url()) as client:
        for _ in range(2):
            outcome: Any = client.outcome()
            assert outcome.answer.headers["set-cookie"] == "session=1; Path=/"
    assert [b"cookie:" in sent.head.lower() for sent in server.requests] == [False, False]


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
        outcome = outcome_of(lambda: stoq.with_options(**NO_TURN).create_intent(email_request()))
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
                await stoq.with_options(**NO_TURN).create_intent(email_request())
            gate.free.set()
            await first

    with FaultServer(gate) as server:
        asyncio.run(calls(server.url()))
    assert len(server.requests) == 1


def test_many_calls_wait_for_their_turn() -> None:
    """Without a deadline no turn comes too late, however long the others take."""

    def slow(peer: Peer) -> None:
        peer.read_request()
        server.stopping.wait(0.05)
        peer.send(http(201, INTENT))

    async def run() -> list[object]:
        options: dict[str, Any] = {"total_timeout": None, "timeout": 0.5, **BARE}
        http_options = HttpOptions(max_connections=2)
        async with AsyncStoq(SHOP, base_url=server.url(), http=http_options, **options) as stoq:
            calls = [stoq.create_intent(email_request()) for _ in range(24)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with FaultServer(slow) as server:
        outcomes = asyncio.run(run())
    assert {type(outcome) for outcome in outcomes} == {IntentCreated}


def test_many_threads_get_their_own_answers() -> None:
    """Threads that share a client, and few connections, each see the answer to their request."""
    with (
        FaultServer(echoes) as server,
        Stoq(SHOP, base_url=server.url(), http=HttpOptions(max_connections=4), **BARE) as stoq,
        ThreadPoolExecutor(12) as threads,
    ):
        emails = [f"t{number}@example.com" for number in range(240)]
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


# A program that calls in either mode: it prints what it is at, and waits for its input to end.
PROGRAM = """
import asyncio, gc, os, sys
from stoqapp import AsyncStoq, Stoq
mode, end, url = sys.argv[1:]
kind = Stoq if mode == "sync" else AsyncStoq
stoq = kind("demo", base_url=url, budget=None, max_retries=0)
runner = asyncio.Runner() if mode != "sync" else None
def do(call):
    async def in_loop():
        return await call()
    return call() if runner is None else runner.run(in_loop())
def subscribe(who, times=1):
    for _ in range(times):
        email = f"{who}@example.org"
        answer = do(lambda: stoq.subscribe(variant=1, product=2, email=email))
        assert [intent["email"] for intent in answer.intents] == [email]
subscribe("before")
if end == "fork":
    child = os.fork()
    if child == 0 and runner:
        runner = asyncio.Runner()
    subscribe("parent" if child else "child", 3)
    do(stoq.close)
    if child == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
if mode == "async, after its loop":
    runner.close()
if end == "dropped":
    del stoq
    gc.collect()
    print("dropped", flush=True)
    if runner and mode == "async":
        do(lambda: asyncio.to_thread(sys.stdin.read))
    sys.stdin.read()
if mode == "async":
    runner.close()
"""
WAYS = [
    *(
        pytest.param(
            mode, "fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
        )
        for mode in ("sync", "async")
    ),
    *(
        (mode, end)
        for mode in ("sync", "async", "async, after its loop")
        for end in ("kept", "dropped")
    ),
]


@pytest.mark.parametrize(("mode", "end"), WAYS)
def test_connections_at_the_end_of_a_program(mode: str, end: str) -> None:
    """A fork, a client that is never closed, and one that is dropped cost no warning.

    After a fork the child makes its own connection, and the parent's goes on as before. When
    nothing holds a client any more, its connections are closed while the program runs.
    """
    program = [sys.executable, "-W", "error", "-c", PROGRAM, mode, end]
    with (
        FaultServer(echoes) as server,
        subprocess.Popen(
            [*program, server.url()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        assert child.stdout is not None
        if end == "dropped":
            assert child.stdout.readline() == "dropped\n"
            assert server.ended.acquire(timeout=10)
        _, errors = child.communicate("", timeout=60)
        assert (errors, child.returncode) == ("", 0)
    counts = (2, 7) if end == "fork" else (1, 1)
    assert counts == (server.connections, len(server.requests))


@pytest.mark.parametrize("used", [True, False])
def test_closing_twice(caller: Caller, used: bool) -> None:
    """Closing again does nothing; a call after it says so, and sends nothing."""
    with FaultServer(YES) as server, caller.client(server.url()) as client:
        if used:
            ONE.check(client.outcome())
        for _ in range(2):
            client.do(lambda stoq: stoq.close())
        for options in ({}, {"max_retries": 1}):
            closed = client.outcome(**options)
            assert (type(closed), closed.carried_out) == (ClientClosedError, False)
        assert len(server.requests) == used


def test_closing_during_calls() -> None:
    """A call that has left goes on to its answer; one that waits for its turn sends nothing."""
    gate = Gate()
    with FaultServer(gate) as server, ThreadPoolExecutor(2) as threads:
        stoq = Stoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **BARE)
        calls = [
            threads.submit(lambda: outcome_of(lambda: stoq.create_intent(email_request())))
            for _ in range(2)
        ]
        gate.busy.wait()
        stoq.close()
        gate.free.set()
        assert {type(call.result()) for call in calls} == {IntentCreated, ClientClosedError}
        server.ended.acquire()
        assert len(server.requests) == 1


def test_closing_during_a_call_async() -> None:
    """In an event loop, too, a call that has left goes on to its answer."""
    gate = Gate()

    async def calls(base_url: str) -> IntentCreated:
        stoq = AsyncStoq(SHOP, base_url=base_url, **BARE)
        call = asyncio.create_task(stoq.create_intent(email_request()))
        await asyncio.to_thread(gate.busy.wait)
        await stoq.close()
        gate.free.set()
        return await call

    with FaultServer(gate) as server:
        ONE.check(asyncio.run(calls(server.url())))
        server.ended.acquire()
