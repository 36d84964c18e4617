"""Cancellation, interrupts and timeouts: they come through, and lose no connection."""

import asyncio
import random
import signal
import threading
from typing import Any

import pytest
from calling import email_request, outcome_of
from faults import FaultServer, Peer, Script, answers_and_hangs, http
from outcomes import INTENT, LATEST_SECONDS, ONE, ONE_CONNECTION, YES, Gate, on_signal

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    HttpOptions,
    IntentCreated,
    NotSentError,
    OutcomeUnknownError,
    Stoq,
)

# An interrupted or cancelled call must not be tried again, even where retries are wanted.
RETRYING: dict[str, Any] = {"budget": None, "max_retries": 5, "retry_unknown": True}
BARE: dict[str, Any] = {"budget": None, "max_retries": 0, "timeout": LATEST_SECONDS}
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

    async def calls(server: FaultServer) -> IntentCreated:
        async with AsyncStoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **RETRYING) as stoq:
            task = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.to_thread(answering.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await stoq.create_intent(email_request())

    with FaultServer(begins(start, answering.set), YES) as server:
        ONE.check(asyncio.run(calls(server)))
        assert (server.connections, len(server.requests)) == (2, 2)


def test_cancelling_a_task_that_waits_for_a_connection() -> None:
    """A task that is cancelled while it waits for its turn takes no turn away."""
    gate = Gate()

    async def calls(server: FaultServer) -> None:
        async with AsyncStoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **RETRYING) as stoq:
            first, second, third = [
                asyncio.create_task(stoq.create_intent(email_request())) for _ in range(3)
            ]
            await asyncio.to_thread(gate.busy.wait)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.free.set()
            await asyncio.gather(first, third)

    with FaultServer(gate) as server:
        asyncio.run(calls(server))
        assert len(server.requests) == 2


def test_a_timeout_around_a_call_is_the_callers() -> None:
    """asyncio.timeout of the caller ends the call as TimeoutError, and not as one of ours."""

    async def calls(server: FaultServer) -> None:
        async with AsyncStoq(SHOP, base_url=server.url(), budget=None) as stoq:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stoq.create_intent(email_request())

    with FaultServer(answers_and_hangs()) as server:
        asyncio.run(calls(server))


@wherever_it_is
def test_an_interrupt_ends_a_call(start: bytes) -> None:
    """KeyboardInterrupt comes through, and the only connection is free for the next call."""
    with (
        # A shell lets its background jobs ignore it.
        on_signal(signal.SIGINT, signal.default_int_handler) as interrupt,
        FaultServer(begins(start, interrupt), YES) as server,
        Stoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **RETRYING) as stoq,
    ):
        with pytest.raises(KeyboardInterrupt):
            stoq.create_intent(email_request())
        ONE.check(stoq.create_intent(email_request()))
        assert (server.connections, len(server.requests)) == (2, 2)


# A socket that is interrupted while it connects belongs to no line yet, and is closed as garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_moment_leave_a_client_that_works() -> None:
    """After many interrupts, wherever they came, the one connection is free or made anew."""
    chance = random.Random(7)
    interrupted = 0
    with (
        on_signal(signal.SIGALRM, signal.default_int_handler),
        FaultServer(YES) as server,
        Stoq(SHOP, base_url=server.url(), http=ONE_CONNECTION, **BARE) as stoq,
    ):
        while interrupted < 80:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.004))
                try:
                    # Python swallows an interrupt that comes in a finalizer.
                    for _ in range(100):
                        outcome_of(lambda: stoq.create_intent(email_request()))
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            if interrupted % 10 == 0:
                ONE.check(stoq.create_intent(email_request()))


def test_timeouts_and_cancellations_lose_no_connection() -> None:
    """After many calls that ran out of time or were cancelled, all connections can be used."""

    def trickles(peer: Peer) -> None:
        peer.read_request()
        peer.trickle(http(201, INTENT), every_seconds=0.0002)

    async def run(server: FaultServer) -> None:
        chance = random.Random(7)
        http_options = HttpOptions(max_connections=2)
        async with AsyncStoq(SHOP, base_url=server.url(), http=http_options, **BARE) as stoq:
            ended = 0
            while ended < 40:
                seconds = chance.uniform(0.003, 0.02)
                hurried = stoq.with_options(total_timeout=seconds) if ended % 2 else stoq
                try:
                    async with asyncio.timeout(None if ended % 2 else seconds):
                        await hurried.create_intent(email_request())
                except (TimeoutError, OutcomeUnknownError, NotSentError):
                    ended += 1
            server.will(YES)
            for _ in range(3):
                ONE.check(await stoq.create_intent(email_request()))

    with FaultServer(trickles) as server:
        asyncio.run(run(server))
