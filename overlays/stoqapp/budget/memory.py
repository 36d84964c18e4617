"""A budget of this process: one lock and a dict."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from stoqapp.budget.forks import guard
from stoqapp.budget.log import EMPTY, Allowance, Change, Log, T, ends_ms

IDLE_SHOPS_LOOKED_AT = 10


class MemoryStore:
    """The logs of this process."""

    blocking_io = False
    name = "in this process"

    def __init__(self, allowance: Allowance, clock: Callable[[], float]) -> None:
        self._allowance = allowance
        self._clock = clock
        self._lock = threading.RLock()
        # The one that changed, or was checked for being idle, longest ago stands first.
        self._logs: OrderedDict[str, Log] = OrderedDict()
        guard(self, self._lock)

    def before_fork(self) -> None:
        """Do nothing: a dict can be used on both sides."""

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:  # noqa: ARG002 - no I/O
        """Change the log of *shop* and return the result of *change*."""
        with self._lock:
            now_ms = int(self._clock() * 1000)
            log = self._logs.get(shop, EMPTY)
            changed, result = change(log, now_ms)
            if changed is not log:
                if log is EMPTY:
                    self._forget_idle_shops(now_ms)
                self._logs[shop] = changed
                self._logs.move_to_end(shop)
            return result

    def close(self) -> None:
        """Do nothing: there is no file or connection."""

    def _forget_idle_shops(self, now_ms: int) -> None:
        for shop in list(islice(self._logs, IDLE_SHOPS_LOOKED_AT)):
            if ends_ms(self._logs[shop], self._allowance) < now_ms:
                del self._logs[shop]
            else:
                self._logs.move_to_end(shop)
