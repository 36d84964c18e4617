"""What happens to budgets when the process forks."""

import os
import threading
from typing import Final, Protocol
from weakref import WeakSet


class Guarded(Protocol):
    """A store with a lock; `before_fork` is called with the lock held."""

    @property
    def lock(self) -> threading.RLock:
        """Held during each step."""

    def before_fork(self) -> None:
        """Let go of what must not pass a fork. Must not raise."""


class ForkGuard:
    """Waits with a fork until no store is in the middle of a step, so that the child can go on.

    A SQLite connection must not pass a fork at all (sqlite.org/howtocorrupt.html, 2.6), not even
    to be closed on the other side, so it is closed before.
    """

    def __init__(self) -> None:
        self._stores: WeakSet[Guarded] = WeakSet()
        self.lock = threading.RLock()
        self._kept: list[Guarded] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._after, after_in_child=self._after
            )

    def add(self, store: Guarded) -> None:
        """Guard *store* for as long as it lives."""
        with self.lock:
            self._stores.add(store)

    def _before(self) -> None:
        self.lock.acquire()
        self._kept = list(self._stores)
        for store in self._kept:
            store.lock.acquire()
            store.before_fork()

    def _after(self) -> None:
        for store in self._kept:
            store.lock.release()
        self._kept = []
        self.lock.release()


FORK_GUARD: Final = ForkGuard()
