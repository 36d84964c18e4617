"""A budget of this process: one lock and a dict."""

import os
import threading
from collections.abc import Callable
from typing import Final

from stoqapp.budget.log import EMPTY, Change, Log, T

_lock: Final = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A fork in the middle of a step would leave the lock taken in the child.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class MemoryStore:
    """The logs of this process. Like each store, it may be used by many threads."""

    blocking_io = False
    name = "in this process"

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logs: dict[str, Log] = {}

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:  # noqa: ARG002 - no I/O
        """Change the log of *shop* and return the result of *change*, which may run repeatedly.

        A store that does I/O raises BudgetUnavailableError where that fails or takes longer than
        *io_seconds*.
        """
        with _lock:
            now_ms = int(self._clock() * 1000)
            self._logs[shop], result = change(self._logs.get(shop, EMPTY), now_ms)
            return result

    def close(self) -> None:
        """Close files and connections, of which there are none; the next step opens them again."""
