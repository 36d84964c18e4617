"""Connections after a fork, of a client that is forgotten, and when a client is closed."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from calling import email_request
from faults import FaultServer
from outcomes import (
    INTENT,
    ONE,
    ONE_CONNECTION,
    Gate,
    Make,
    answered,
    echoes,
    outcome_of,
)

from record_cassettes import SHOP
from stoqapp import AsyncStoq, ClientClosedError, IntentCreated, Stoq

YES = answered(201, INTENT)
BARE: dict[str, Any] = {"budget": None, "max_retries": 0}


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORK = {
    "sync": """
import os, sys
from stoqapp import Stoq
stoq = Stoq("demo", base_url=sys.argv[1], budget=None, max_retries=0)
def call(who, times=1):
    for _ in range(times):
        answer = stoq.subscribe(variant=1, product=2, email=f"{who}@example.org")
        assert [intent["email"] for intent in answer.intents] == [f"{who}@example.org"]
call("before")
child = os.fork()
call("parent" if child else "child", 3)
stoq.close()
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "async": """
import asyncio, os, sys
from stoqapp import AsyncStoq
stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None, max_retries=0)
async def call(who, times=1):
    for _ in range(times):
        answer = await stoq.subscribe(variant=1, product=2, email=f"{who}@example.org")
        assert [intent["email"] for intent in answer.intents] == [f"{who}@example.org"]
    if who != "before":
        await stoq.close()
runner = asyncio.Runner()
runner.run(call("before"))
child = os.fork()
if child == 0:
    asyncio.run(call("child", 3))
    os._exit(0)
with runner:
    runner.run(call("parent", 3))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_fork_in_the_middle_of_a_connection(mode: str) -> None:
    """After a fork the child makes its own connection, and the parent's goes on as before."""
    with FaultServer(echoes) as server:
        done = run_python(FORK[mode], server.url())
        assert (done.returncode, done.stderr) == (0, "")
        assert (server.connections, len(server.requests)) == (2, 7)


# Closed in the end ----------------------------------------------------------------------------

USED = """
import asyncio, gc, sys
from stoqapp import AsyncStoq, Stoq
def wait():
    gc.collect()
    print("dropped", flush=True)
    sys.stdin.read()
fields = {"variant": 1, "product": 2, "email": "a@example.org"}
async def use(stoq):
    await stoq.subscribe(**fields)
"""
FORGOTTEN = {
    "sync": """
stoq = Stoq("demo", base_url=sys.argv[1], budget=None)
stoq.subscribe(**fields)
if sys.argv[2] == "dropped":
    del stoq
    wait()
""",
    "async": """
async def main():
    stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None)
    await use(stoq)
    if sys.argv[2] == "dropped":
        del stoq
        await asyncio.to_thread(wait)
asyncio.run(main())
""",
    "async, after its loop": """
stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None)
asyncio.run(use(stoq))
if sys.argv[2] == "dropped":
    del stoq
    wait()
""",
}


@pytest.mark.parametrize("mode", sorted(FORGOTTEN))
def test_a_forgotten_client_warns_of_nothing(mode: str) -> None:
    """A program that never closes its client ends without a word, warnings being errors."""
    with FaultServer(echoes) as server:
        done = run_python(USED + FORGOTTEN[mode], server.url(), "kept")
        assert (done.returncode, done.stderr) == (0, "")
        server.ended.acquire()


@pytest.mark.parametrize("mode", sorted(FORGOTTEN))
def test_a_dropped_client_closes_its_connections(mode: str) -> None:
    """When nothing holds a client any more, its connections are closed while the program runs."""
    with FaultServer(echoes) as server:
        program = [sys.executable, "-W", "error", "-c", USED + FORGOTTEN[mode]]
        with subprocess.Popen(
            [*program, server.url(), "dropped"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            said = child.stdout.readline()
            closed = server.ended.acquire(timeout=10)
            _, errors = child.communicate("")
    assert (said, errors, child.returncode) == ("dropped\n", "", 0)
    assert closed


@pytest.mark.parametrize("used", [True, False])
def test_closing_twice(session: Make, used: bool) -> None:
    """Closing again does nothing; a call after it says so, and sends nothing."""
    with FaultServer(YES) as server:
        client = session(server)
        if used:
            ONE.check(client.outcome())
        copy = client.stoq.with_options(max_retries=1)
        for _ in range(2):
            client.do(lambda stoq: stoq.close())
        for stoq in (client.stoq, copy):
            closed = outcome_of(
                lambda stoq=stoq: client.do(lambda _: stoq.create_intent(email_request()))
            )
            assert type(closed) is ClientClosedError
            assert closed.carried_out is False
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
