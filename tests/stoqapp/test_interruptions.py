"""Cancellation, interrupts and timeouts: they come through, and lose no connection."""

import asyncio
import random
import signal
import sys
import threading
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from calling import Caller, email_request
from faults import FaultServer, Peer, Script, answers_and_hangs, http
from outcomes import INTENT, LATEST_SECONDS, ONE, ONE_CONNECTION, YES, Gate, answered, on_signal

import stoqapp
from stoqapp import HttpOptions, NotSentError, OutcomeUnknownError

ROOMS = str(Path(stoqapp.__file__).parent)

# An interrupted or cancelled call must not be tried again, even where retries are wanted.
RETRYING: dict[str, Any] = {"http": ONE_CONNECTION, "max_retries": 5, "retry_unknown": True}
wherever_it_is = pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 20", http(201, b"{", length=99)],
    ids=["before the answer", "in the status line", "in the body"],
)


def begins(start: bytes, then: Any) -> Script:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        then()
        peer.wait_until_left()

    return script


@wherever_it_is
def test_cancelling_a_task_cancels_its_call(start: bytes) -> None:
    """CancelledError comes through, and the only connection is free for the next call."""
    answering = threading.Event()

    async def cancelled(stoq: Any) -> None:
        task = asyncio.create_task(stoq.create_intent(email_request()))
        await asyncio.to_thread(answering.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with (
        FaultServer(begins(start, answering.set), YES) as server,
        Caller("async").client(server.url(), **RETRYING) as client,
    ):
        client.do(cancelled)
        ONE.check(client.outcome())
        assert (server.connections, len(server.requests)) == (2, 2)


def test_cancelling_a_task_that_waits_for_a_connection() -> None:
    """A task that is cancelled while it waits for its turn takes no turn away."""
    gate = Gate()

    async def calls(stoq: Any) -> None:
        first, second, third = [
            asyncio.create_task(stoq.create_intent(email_request())) for _ in range(3)
        ]
        await asyncio.to_thread(gate.busy.wait)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.free.set()
        await asyncio.gather(first, third)

    with (
        FaultServer(gate) as server,
        Caller("async").client(server.url(), **RETRYING) as client,
    ):
        client.do(calls)
        assert len(server.requests) == 2


def test_a_timeout_around_a_call_is_the_callers() -> None:
    """asyncio.timeout of the caller ends the call as TimeoutError, and not as one of ours."""

    async def hurried(stoq: Any) -> None:
        async with asyncio.timeout(0.05):
            await stoq.create_intent(email_request())

    with (
        FaultServer(answers_and_hangs()) as server,
        Caller("async").client(server.url()) as client,
        pytest.raises(TimeoutError),
    ):
        client.do(hurried)


@wherever_it_is
def test_an_interrupt_ends_a_call(start: bytes) -> None:
    """KeyboardInterrupt comes through, and the only connection is free for the next call."""
    with (
        # A shell lets its background jobs ignore it.
        on_signal(signal.SIGINT, signal.default_int_handler) as interrupt,
        FaultServer(begins(start, interrupt), YES) as server,
        Caller("sync").client(server.url(), **RETRYING) as client,
    ):
        with pytest.raises(KeyboardInterrupt):
            client.outcome()
        ONE.check(client.outcome())
        assert (server.connections, len(server.requests)) == (2, 2)


# A socket that is interrupted while it connects belongs to no line yet, and is closed as garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", [YES, answered(201, INTENT, b"Connection: close")])
def test_an_interrupt_at_any_line_leaves_a_client_that_works(answer: Script) -> None:
    """Whatever an interrupt comes before, the one connection is free or made anew."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines_left
        if not frame.f_code.co_filename.startswith(ROOMS):
            return None
        lines_left -= event == "line"
        if lines_left == 0:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    with (
        FaultServer(answer) as server,
        Caller("sync").client(server.url(), http=ONE_CONNECTION, total_timeout=5.0) as client,
    ):
        for number in count(1):
            lines_left = number
            sys.settrace(trace)
            try:
                client.outcome()
                break
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            ONE.check(client.outcome())
    assert number > 100


def test_timeouts_and_cancellations_lose_no_connection() -> None:
    """After many calls that ran out of time or were cancelled, all connections can be used."""

    def trickles(peer: Peer) -> None:
        peer.read_request()
        peer.trickle(http(201, INTENT), every_seconds=0.0002)

    async def hurried(stoq: Any) -> None:
        chance = random.Random(7)
        ended = 0
        while ended < 40:
            seconds = chance.uniform(0.003, 0.02)
            one = stoq.with_options(total_timeout=seconds) if ended % 2 else stoq
            try:
                async with asyncio.timeout(None if ended % 2 else seconds):
                    await one.create_intent(email_request())
            except (TimeoutError, OutcomeUnknownError, NotSentError):
                ended += 1

    options: dict[str, Any] = {"http": HttpOptions(max_connections=2), "timeout": LATEST_SECONDS}
    with (
        FaultServer(trickles) as server,
        Caller("async").client(server.url(), **options) as client,
    ):
        client.do(hurried)
        server.will(YES)
        for _ in range(3):
            ONE.check(client.outcome())
