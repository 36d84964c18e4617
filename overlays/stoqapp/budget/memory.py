"""A budget of this process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from stoqapp.budget.forks import FORK_GUARD
from stoqapp.budget.plan import FOREIGN, IDLE_SHOPS_LOOKED_AT, Plan, put, put_foreign
from stoqapp.headers import WRITE_POINTS

if TYPE_CHECKING:
    from pyrate_limiter import Rate


class _Shop:
    """The log of one shop in memory, and until when it is on hold."""

    def __init__(self, rate: "Rate") -> None:
        from pyrate_limiter import InMemoryBucket

        self.bucket: InMemoryBucket = InMemoryBucket([rate])
        self.held_until_ms = 0


class MemoryStore:
    """The logs of this process, by a clock that nobody sets (``time.monotonic``)."""

    blocking_io = False
    name = "in this process"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.clock: Callable[[], float] | None = None
        self.lock = threading.RLock()
        # The one that was used or looked at longest ago stands first.
        self._shops: OrderedDict[str, _Shop] = OrderedDict()
        FORK_GUARD.add(self)

    def before_fork(self) -> None:
        """Nothing in memory minds a fork."""

    def take(self, shop: str, io_seconds: float = 0.0) -> int:  # noqa: ARG002 - no I/O here
        """Do as `Store.take`."""
        with self.lock:
            now_ms = self._now_ms()
            log = self._log(shop, now_ms)
            if log.held_until_ms > now_ms:
                return log.held_until_ms - now_ms
            log.bucket.leak(now_ms)
            return put(log.bucket, shop, now_ms)

    def give_back(self, shop: str, age_ms: int, io_seconds: float = 0.0) -> None:  # noqa: ARG002
        """Do as `Store.give_back`."""
        with self.lock:
            now_ms = self._now_ms()
            items = self._log(shop, now_ms).bucket.items
            ours = [
                place
                for place, item in enumerate(items)
                if item.name != FOREIGN and item.timestamp <= now_ms - age_ms
            ]
            for place in reversed(ours[-WRITE_POINTS:]):
                del items[place]

    def learn(
        self,
        shop: str,
        remaining: int,
        resets_in_ms: int,
        io_seconds: float = 0.0,  # noqa: ARG002
    ) -> None:
        """Do as `Store.learn`."""
        with self.lock:
            now_ms = self._now_ms()
            bucket = self._log(shop, now_ms).bucket
            bucket.leak(now_ms)
            if put_foreign(bucket, self._plan, now_ms, remaining, resets_in_ms):
                bucket.items.sort(key=lambda item: item.timestamp)

    def hold(self, shop: str, hold_ms: int, io_seconds: float = 0.0) -> None:  # noqa: ARG002
        """Do as `Store.hold`."""
        with self.lock:
            now_ms = self._now_ms()
            log = self._log(shop, now_ms)
            log.held_until_ms = max(log.held_until_ms, now_ms + hold_ms)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _now_ms(self) -> int:
        return int((self.clock or time.monotonic)() * 1000)

    def _log(self, shop: str, now_ms: int) -> _Shop:
        log = self._shops.get(shop)
        if log is not None:
            self._shops.move_to_end(shop)
            return log
        for oldest in list(islice(self._shops, IDLE_SHOPS_LOOKED_AT)):
            other = self._shops[oldest]
            other.bucket.leak(now_ms)
            if other.bucket.items or other.held_until_ms > now_ms:
                self._shops.move_to_end(oldest)
            else:
                del self._shops[oldest]
        log = self._shops[shop] = _Shop(self._plan.rate())
        return log
