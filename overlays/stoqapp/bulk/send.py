"""Empty an outbox: claim, send, write down what became of it, within the rate budget.

Shops go side by side. An item is claimed, which marks it in flight durably, after its points are
there and before it is sent; outcomes and claims that come at the same time share a commit.
"""

import asyncio
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
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
from stoqapp.outbox import Item, Outbox, OutboxError, Outcome

IN_FLIGHT: Final = 4
# So many failures of one kind in a row have one cause, not one for each row.
FAILURES_IN_A_ROW: Final = 20


@frozen
class Drained:
    """What a drain did.

    Attributes:
        counts: Outcomes by state: ``sent``, ``there``, ``refused``, ``unknown``.
        left: How many items wait, by shop.
        stopped: Why it ended early: the failure that came too often, by shop; empty where it
            did not.
    """

    counts: Mapping[str, int]
    left: Mapping[str, int]
    stopped: Mapping[str, str]


OnOutcome = Callable[[Item, Outcome | None], object]


def drain(
    outbox: Outbox,
    client: AsyncStoq,
    *,
    shop: str | None = None,
    seconds: float = math.inf,
    in_flight: int = IN_FLIGHT,
    on_outcome: OnOutcome | None = None,
) -> Drained:
    """Send what waits in *outbox* and the budget allows, and return.

    Runs an event loop of its own, so that plain functions can call it, like a Celery task; see
    `drain_async` for arguments and errors.
    """
    options: dict[str, Any] = {"shop": shop, "seconds": seconds, "in_flight": in_flight}
    return asyncio.run(drain_async(outbox, client, on_outcome=on_outcome, **options))


async def drain_async(
    outbox: Outbox,
    client: AsyncStoq,
    *,
    shop: str | None = None,
    seconds: float = math.inf,
    in_flight: int = IN_FLIGHT,
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
        in_flight: Requests at a time, for each shop.
        on_outcome: Called with each item and its outcome, None for one that was not sent.
        stop: Set it, and nothing more is claimed.

    Raises:
        OutboxError: The outbox cannot be written to. What is in flight was finished first; it is
            sent again by a later drain.
    """
    ends = time.monotonic() + seconds
    drain = _Drain(outbox, client, ends, in_flight, on_outcome, stop or asyncio.Event())
    return await drain.run(shop)


class _Prepaid(Budget):
    """A budget for the calls of one shop whose first points were taken before they began."""

    def __init__(self, budget: Budget, key: str) -> None:
        # The same points, kept in the same place.
        vars(self).update(vars(budget))
        self._key = key
        self._taken = 0

    def reserve(self) -> float:
        """Take the points of a call that is about to begin, or say how long to wait."""
        wait = super().take(self._key)
        self._taken += wait <= 0
        return wait

    def cancel(self) -> None:
        """Return what `reserve` took: there is no call."""
        self._taken -= 1
        self.give_back(self._key, 0.0)

    def take(self, shop: str, **io: float) -> float:
        if self._taken:
            self._taken -= 1
            return 0.0
        return super().take(shop, **io)

    def close(self) -> None:
        """Do nothing: the budget is somebody else's."""


@define(eq=False)
class _Lane:
    """One shop of a drain, or all of them."""

    shop: str
    client: AsyncStoq
    budget: _Prepaid | None = None
    failure: tuple[str, int] = ("", 0)
    stopped: str = ""


@define
class _Work:
    """What the outbox is asked next, in one step."""

    outcomes: list[Outcome] = field(factory=list)
    released: list[Item] = field(factory=list)
    claims: list[tuple[_Lane, "asyncio.Future[Item | None]"]] = field(factory=list)


@define(eq=False)
class _Drain:
    _outbox: Outbox
    _client: AsyncStoq
    _ends: float
    _in_flight: int
    _on_outcome: OnOutcome | None
    _stop: asyncio.Event
    _work: _Work = field(factory=_Work)
    _wake: asyncio.Event = field(factory=asyncio.Event)
    _ended: bool = False
    _counts: Counter[str] = field(factory=Counter)
    _broken: OutboxError | None = None
    _all: _Lane = field(init=False)

    async def run(self, only: str | None) -> Drained:
        self._all = _Lane("", self._client)
        left = await asyncio.to_thread(self._outbox.left)
        lanes = [self._lane(shop) for shop in left if only in (None, shop)]
        keeper = asyncio.create_task(self._keep())
        try:
            async with asyncio.TaskGroup() as workers:
                for lane in lanes:
                    for _ in range(min(self._in_flight, left[lane.shop])):
                        workers.create_task(self._send_all(lane))
        finally:
            # What was answered is written down, also when this ends at once.
            self._ended = True
            self._wake.set()
            await keeper
        if self._broken is not None:
            raise self._broken
        stopped = {lane.shop: lane.stopped for lane in (self._all, *lanes) if lane.stopped}
        return Drained(self._counts, await asyncio.to_thread(self._outbox.left), stopped)

    def _lane(self, shop: str) -> _Lane:
        client = self._client.with_options(shop=shop, retry_unknown=True)
        if client.budget is None:
            return _Lane(shop, client)
        budget = _Prepaid(client.budget, client.budget_key)
        return _Lane(shop, client.with_options(budget=budget), budget)

    async def _send_all(self, lane: _Lane) -> None:
        while await self._has_points(lane):
            item = await self._claim(lane)
            if item is None:
                if lane.budget is not None:
                    lane.budget.cancel()
                return
            outcome, failure = await self._send(lane, item)
            if outcome is None:
                self._work.released.append(item)
            else:
                self._counts[outcome.state] += 1
                self._work.outcomes.append(outcome)
            self._wake.set()
            if self._on_outcome is not None:
                self._on_outcome(item, outcome)
            for one in (lane, self._all):
                self._count(one, failure)

    async def _has_points(self, lane: _Lane) -> bool:
        """Wait for the points of one request; whether there are some, and it may be sent."""
        while not (self._stop.is_set() or lane.stopped or time.monotonic() >= self._ends):
            if lane.budget is None:
                return True
            try:
                if lane.budget.blocking_io:
                    wait = await asyncio.to_thread(lane.budget.reserve)
                else:
                    wait = lane.budget.reserve()
            except BudgetUnavailableError as error:
                lane.stopped = type(error).__name__
                return False
            if wait <= 0:
                return True
            if time.monotonic() + wait > self._ends:
                return False
            try:
                await asyncio.wait_for(self._stop.wait(), wait)
            except TimeoutError:
                continue
        return False

    async def _claim(self, lane: _Lane) -> Item | None:
        claimed: asyncio.Future[Item | None] = asyncio.get_running_loop().create_future()
        self._work.claims.append((lane, claimed))
        self._wake.set()
        return await claimed

    async def _send(self, lane: _Lane, item: Item) -> tuple[Outcome | None, str]:
        """Return what became of *item*, None where it was not sent, and its kind of failure."""
        try:
            created = await lane.client.create_intent(cast(CreateIntentRequestDict, item.body))
        except StoqError as error:
            name = type(error).__name__
            status, attempts = error.status, max(error.attempts, 1)
            if error.is_duplicate:
                return Outcome(item.key, "there", status, name, attempts), ""
            kind = name if status is None else f"{name} ({status})"
            if error.carried_out is None:
                return Outcome(item.key, "unknown", status, name, attempts), kind
            if isinstance(error, IntentRefusedError | InvalidIntentError):
                return Outcome(item.key, "refused", status, name, attempts), kind
            return None, kind
        status = created.answer.status if created.answer else None
        return Outcome(item.key, "sent", status, None, created.attempts), ""

    def _count(self, lane: _Lane, failure: str) -> None:
        kind, count = lane.failure
        lane.failure = (failure, count + 1 if failure == kind else 1)
        if failure and lane.failure[1] >= FAILURES_IN_A_ROW:
            lane.stopped = failure
            if lane is self._all:
                self._stop.set()

    async def _keep(self) -> None:
        """Carry out what the outbox is asked, one step after the other."""
        while not self._ended or self._work != _Work():
            await self._wake.wait()
            self._wake.clear()
            work, self._work = self._work, _Work()
            items: dict[str, deque[Item]] = defaultdict(deque)
            if self._broken is None:
                try:
                    for claimed_item in await asyncio.to_thread(self._step, work):
                        items[claimed_item.shop].append(claimed_item)
                except OutboxError as error:
                    self._broken = error
                    self._stop.set()
            for lane, claimed in work.claims:
                item = items[lane.shop].popleft() if items[lane.shop] else None
                if not claimed.done():
                    claimed.set_result(item)
                elif item is not None:
                    self._work.released.append(item)
                    self._wake.set()

    def _step(self, work: _Work) -> Sequence[Item]:
        if work.outcomes:
            self._outbox.store(work.outcomes)
        if work.released:
            self._outbox.release(work.released)
        counts = Counter(lane.shop for lane, claimed in work.claims if not claimed.done())
        return self._outbox.claim(counts) if counts else ()
