"""Empty an outbox: claim, send, write down what became of it, within the rate budget.

Shops go side by side. An item is claimed, which marks it in flight durably, after its points are
there and before it is sent. Outcomes and claims that come at the same time share a commit.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any, Final, cast

from attrs import define, field, frozen

from stoq_public_api_client.typed_dicts import CreateIntentRequestDict
from stoqapp.budget import Budget
from stoqapp.client import AsyncStoq
from stoqapp.errors import (
    BudgetUnavailableError,
    IntentRefusedError,
    InvalidIntentError,
    StoqError,
)
from stoqapp.outbox import Item, Outbox, Outcome

# Requests at a time, for each shop.
IN_FLIGHT: Final = 4
# So many failures of one kind in a row have one cause, not one for each row.
FAILURES_IN_A_ROW: Final = 20

OnOutcome = Callable[[Item, Outcome | None], object]


@frozen
class Drained:
    """What a drain did.

    Attributes:
        counts: Outcomes by state: ``sent``, ``there``, ``refused``, ``unknown``.
        left: How many items wait, by shop.
        stopped: The failure that came too often, by shop; ``""`` stands for all shops.
    """

    counts: Mapping[str, int]
    left: Mapping[str, int]
    stopped: Mapping[str, str]


def drain(
    outbox: Outbox,
    client: AsyncStoq,
    *,
    shop: str | None = None,
    seconds: float = math.inf,
    on_outcome: OnOutcome | None = None,
) -> Drained:
    """Send what waits in *outbox* and the budget allows, and return.

    Runs an event loop of its own, so that plain functions can call it, like a Celery task; see
    `drain_async` for arguments and errors.
    """
    return asyncio.run(
        drain_async(outbox, client, shop=shop, seconds=seconds, on_outcome=on_outcome)
    )


async def drain_async(
    outbox: Outbox,
    client: AsyncStoq,
    *,
    shop: str | None = None,
    seconds: float = math.inf,
    on_outcome: OnOutcome | None = None,
    stop: asyncio.Event | None = None,
) -> Drained:
    """Do as `drain`, in the running event loop.

    Args:
        outbox: What to empty.
        client: How to send; its shop does not matter.
        shop: Only send what is for this shop; its host name.
        seconds: After these nothing is claimed any more, and no points are waited for that would
            come later. What is in flight is finished.
        on_outcome: Called with each item and its outcome, None for one that was not sent.
        stop: Set it, and nothing more is claimed.

    Raises:
        OutboxError: The outbox cannot be written to. What is in flight was finished first; it is
            sent again by a later drain.
    """
    ends = time.monotonic() + seconds
    left = await asyncio.to_thread(outbox.left)
    lanes = {
        one: _Lane(client.with_options(shop=one, retry_unknown=True), count)
        for one, count in left.items()
        if shop in (None, one)
    }
    return await _Drain(outbox, lanes, ends, on_outcome, stop or asyncio.Event()).run()


class _Prepaid(Budget):
    """The budget of one shop's calls: the points of a first attempt were taken before."""

    def __init__(self, budget: Budget) -> None:
        # The same points, kept in the same place.
        vars(self).update(vars(budget))
        # One entry a request; adding and popping is safe among threads.
        self.paid: list[None] = []

    def take(self, shop: str, **io: float) -> float:
        try:
            self.paid.pop()
        except IndexError:
            return super().take(shop, **io)
        return 0.0


@define
class _Streak:
    """Failures of one kind in a row; ``stopped`` is their kind once there were too many."""

    stopped: str = ""
    _kind: str = ""
    _length: int = 0

    def add(self, kind: str) -> None:
        """Count an outcome: the kind of its failure, "" for none."""
        self._length = self._length + 1 if kind == self._kind else 1
        self._kind = kind
        if self._length >= FAILURES_IN_A_ROW:
            self.stopped = self.stopped or kind


class _Lane:
    """One shop of a drain, and how many items wait for it."""

    def __init__(self, client: AsyncStoq, waiting: int) -> None:
        self.budget = client.budget
        self._prepaid = _Prepaid(self.budget) if self.budget else None
        self.client = client.with_options(budget=self._prepaid)
        self.waiting = waiting
        self.in_flight = 0
        # When to ask the budget again, by the monotonic clock.
        self.ask_at = 0.0
        self.failures = _Streak()

    def take(self, count: int) -> int:
        """Take the points of up to *count* requests; return for how many there are some."""
        for taken in range(count if self.budget else 0):
            try:
                wait = cast(Budget, self.budget).take(self.client.budget_key)
            except BudgetUnavailableError as error:
                self.failures.stopped = type(error).__name__
                return taken
            if wait > 0:
                self.ask_at = time.monotonic() + wait
                return taken
        return count

    async def send(self, item: Item) -> tuple[Outcome | None, str]:
        """Return what became of *item*, None where it was not sent, and its kind of failure."""
        if self._prepaid is not None:
            self._prepaid.paid.append(None)
        try:
            created = await self.client.create_intent(cast(CreateIntentRequestDict, item.body))
        except StoqError as error:
            name, attempts = type(error).__name__, max(error.attempts, 1)
            kind = name if error.status is None else f"{name} ({error.status})"
            if error.is_duplicate:
                return Outcome(item.key, "there", error.status, name, attempts), ""
            if error.carried_out is None:
                return Outcome(item.key, "unknown", error.status, name, attempts), kind
            if isinstance(error, IntentRefusedError | InvalidIntentError):
                return Outcome(item.key, "refused", error.status, name, attempts), kind
            return None, kind
        return Outcome(item.key, "sent", created.answer.status, None, created.attempts), ""


@define(eq=False)
class _Drain:
    _outbox: Outbox
    _lanes: Mapping[str, _Lane]
    _ends: float
    _on_outcome: OnOutcome | None
    _stop: asyncio.Event
    _wake: asyncio.Event = field(factory=asyncio.Event)
    # Filled and emptied by the event loop and by the thread of a step.
    _claimed: deque[Item] = field(factory=deque)
    _released: deque[Item] = field(factory=deque)
    _outcomes: deque[Outcome] = field(factory=deque)
    _mutex: Lock = field(factory=Lock)
    _counts: Counter[str] = field(factory=Counter)
    _failures: _Streak = field(factory=_Streak)
    _broken: Exception | None = None

    async def run(self) -> Drained:
        try:
            async with asyncio.TaskGroup() as tasks:
                watcher = tasks.create_task(self._watch_stop())
                while await self._more_to_do():
                    for item in _emptied(self._claimed):
                        self._lanes[item.shop].in_flight += 1
                        tasks.create_task(self._send(item))
                watcher.cancel()
        finally:
            # What was answered is written down, also when this ends at once.
            self._released += _emptied(self._claimed)
            await asyncio.to_thread(self._step, {})
        if self._broken is not None:
            raise self._broken
        streaks = {shop: lane.failures for shop, lane in self._lanes.items()}
        streaks[""] = self._failures
        stopped = {shop: streak.stopped for shop, streak in streaks.items() if streak.stopped}
        return Drained(self._counts, await asyncio.to_thread(self._outbox.left), stopped)

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._wake.set()

    async def _more_to_do(self) -> bool:
        """Claim what there are points for, or wait for points or outcomes; False at the end."""
        self._wake.clear()
        now = time.monotonic()
        ends = self._broken or self._failures.stopped or self._stop.is_set()
        waiting = {} if ends else self._unfinished(now)
        rooms = {
            shop: min(IN_FLIGHT - lane.in_flight, lane.waiting)
            for shop, lane in waiting.items()
            if lane.ask_at <= now
        }
        if rooms or self._outcomes or self._released:
            await asyncio.to_thread(self._step, rooms)
        elif waiting or any(lane.in_flight for lane in self._lanes.values()):
            ask_at = min((lane.ask_at for lane in waiting.values()), default=None)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if ask_at is None else ask_at - now):
                    await self._wake.wait()
        else:
            return False
        return True

    def _unfinished(self, now: float) -> dict[str, _Lane]:
        """Return the shops that can take one more request, now or once there are points."""
        return {
            shop: lane
            for shop, lane in self._lanes.items()
            if lane.in_flight < IN_FLIGHT and lane.waiting and not lane.failures.stopped
            if max(now, lane.ask_at) < self._ends
        }

    def _step(self, rooms: Mapping[str, int]) -> None:
        """Write down what became of items, and claim new ones."""
        with self._mutex:
            outcomes, released = _emptied(self._outcomes), _emptied(self._released)
            if self._broken is not None:
                return
            try:
                if outcomes:
                    self._outbox.store(outcomes)
                if released:
                    self._outbox.release(released)
                for item in released:
                    self._lanes[item.shop].waiting += 1
                counts = {shop: self._lanes[shop].take(room) for shop, room in rooms.items()}
                counts = {shop: count for shop, count in counts.items() if count}
                items = self._outbox.claim(counts) if counts else ()
                self._claimed += items
                found = Counter(item.shop for item in items)
                for shop, count in counts.items():
                    lane = self._lanes[shop]
                    lane.waiting = lane.waiting - count if found[shop] == count else 0
            except Exception as error:  # noqa: BLE001 - raised once what is in flight has ended
                self._broken = error

    async def _send(self, item: Item) -> None:
        lane = self._lanes[item.shop]
        outcome, failure = await lane.send(item)
        lane.in_flight -= 1
        if outcome is None:
            self._released.append(item)
        else:
            self._counts[outcome.state] += 1
            self._outcomes.append(outcome)
        if self._on_outcome is not None:
            self._on_outcome(item, outcome)
        lane.failures.add(failure)
        # A shop that has stopped says nothing of the others.
        if not lane.failures.stopped:
            self._failures.add(failure)
        self._wake.set()


def _emptied(queue: "deque[Any]") -> list[Any]:
    """Return what is in *queue*, and take it out; safe among threads."""
    return [queue.popleft() for _ in range(len(queue))]
