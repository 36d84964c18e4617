"""Connections: used again, never mixed up, closed in the end; by threads, processes and loops."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from calling import Caller, email_request
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
from stoqapp import AsyncStoq, ClientClosedError, HttpOptions, IntentCreated

CHUNKED = b"Transfer-Encoding: chunked"
BARE: dict[str, Any] = {"budget": None, "max_retries": 0}


def create(stoq: Any) -> Any:
    return stoq.create_intent(email_request())


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
        refused(404).check(client.outcome())
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


def test_a_full_pool_sends_nothing(caller: Caller) -> None:
    """A call that waits too long for a connection has sent nothing."""
    gate = Gate()
    with FaultServer(gate) as server, caller.client(server.url(), http=ONE_CONNECTION) as client:
        first = client.begin(create)
        gate.busy.wait()
        outcome = client.outcome(**NO_TURN)
        gate.free.set()
        not_sent.check(outcome)
        ONE.check(first.result())
        assert len(server.requests) == 1


def test_many_calls_wait_for_their_turn(caller: Caller) -> None:
    """Without a deadline no turn comes too late, however long the others take."""

    def slow(peer: Peer) -> None:
        peer.read_request()
        server.stopping.wait(0.05)
        peer.send(http(201, INTENT))

    options = {"total_timeout": None, "timeout": 0.5, "http": HttpOptions(max_connections=2)}
    with FaultServer(slow) as server, caller.client(server.url(), **options) as client:
        for call in [client.begin(create) for _ in range(24)]:
            ONE.check(call.result())


def test_many_calls_get_their_own_answers(caller: Caller) -> None:
    """Calls that share a client, and few connections, each see the answer to their request."""
    emails = [f"t{number}@example.com" for number in range(200)]
    options = HttpOptions(max_connections=4)
    with FaultServer(echoes) as server, caller.client(server.url(), http=options) as client:
        requests = [email_request(email=email) for email in emails]
        calls = [client.begin(lambda stoq, one=one: stoq.create_intent(one)) for one in requests]
        assert [call.result().id for call in calls] == emails
        assert server.connections <= 4


def test_an_async_client_in_many_loops_at_once() -> None:
    """One AsyncStoq serves eight threads, each with an event loop of its own and several tasks."""

    async def calls(number: int) -> None:
        for turn in range(10):
            emails = [f"l{number}.{turn}.{task}@example.com" for task in range(3)]
            requests = [email_request(email=email) for email in emails]
            outcomes = await asyncio.gather(*map(stoq.create_intent, requests))
            assert [outcome.id for outcome in outcomes] == emails

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
            ONE.check(asyncio.run(create(stoq)))
        asyncio.run(stoq.close())
        assert (server.connections, len(server.requests)) == (3, 3)


# A program that calls with three clients; the third one's event loop ends before it.
PROGRAM = """
import asyncio, gc, os, sys
from stoqapp import AsyncStoq, Stoq
end, url = sys.argv[1:]
kept = []
for mode in ("sync", "async", "async, after its loop"):
    stoq = (Stoq if mode == "sync" else AsyncStoq)("demo", base_url=url, budget=None)
    runner = None if mode == "sync" else asyncio.Runner()
    def do(call):
        async def in_loop():
            return await call()
        return runner.run(in_loop()) if runner else call()
    def subscribe(who):
        created = do(lambda: stoq.subscribe(variant=1, product=2, email=f"{who}@example.org"))
        assert created.id == f"{who}@example.org"
    subscribe("before")
    if end == "fork":
        child = os.fork()
        if child == 0 and runner:
            runner = asyncio.Runner()
        for _ in range(3):
            subscribe("parent" if child else "child")
        do(stoq.close)
        if child == 0:
            os._exit(0)
        assert os.wait() == (child, 0)
    if mode == "async, after its loop":
        runner.close()
    if end == "dropped":
        del stoq
        gc.collect()
        print("dropped", flush=True)
        if mode == "async":
            do(lambda: asyncio.to_thread(sys.stdin.readline))
        else:
            sys.stdin.readline()
    else:
        kept.append(stoq)
    if mode == "async":
        runner.close()
"""


@pytest.mark.parametrize(
    ("end", "connections", "requests"),
    [("fork", 2, 7), ("kept", 1, 1), ("dropped", 1, 1)],
)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_connections_at_the_end_of_a_program(end: str, connections: int, requests: int) -> None:
    """A fork, a client that is never closed, and one that is dropped cost no warning.

    After a fork the child makes its own connection, and the parent's goes on as before. When
    nothing holds a client any more, its connections are closed while the program runs.
    """
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with FaultServer(echoes) as server:
        program = [sys.executable, "-W", "error", "-c", PROGRAM, end, server.url()]
        with subprocess.Popen(program, text=True, **pipes) as child:
            for _ in range(3 if end == "dropped" else 0):
                assert child.stdout.readline() == "dropped\n"
                assert server.ended.acquire(timeout=10)
                print(file=child.stdin, flush=True)
            _, errors = child.communicate("", timeout=60)
        assert (errors, child.returncode) == ("", 0)
    assert (3 * connections, 3 * requests) == (server.connections, len(server.requests))


@pytest.mark.parametrize("used", [True, False])
def test_closing_twice(caller: Caller, used: bool) -> None:
    """Closing again does nothing; a call after it says so, and sends nothing."""
    with FaultServer(YES) as server, caller.client(server.url()) as client:
        if used:
            ONE.check(client.outcome())
        for _ in range(2):
            client.close()
        for options in ({}, {"max_retries": 1}):
            closed = client.outcome(**options)
            assert (type(closed), closed.carried_out) == (ClientClosedError, False)
        assert len(server.requests) == used


def test_closing_during_calls(caller: Caller) -> None:
    """A call that has left goes on to its answer; one that waits for its turn sends nothing."""
    gate = Gate()
    with FaultServer(gate) as server, caller.client(server.url(), http=ONE_CONNECTION) as client:
        calls = [client.begin(create) for _ in range(2)]
        gate.busy.wait()
        client.close()
        gate.free.set()
        outcomes = {type(call.exception() or call.result()) for call in calls}
        assert outcomes == {IntentCreated, ClientClosedError}
        server.ended.acquire()
        assert len(server.requests) == 1
