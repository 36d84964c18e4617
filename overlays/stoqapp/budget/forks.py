"""Let a process fork between two steps of its budgets, never in the middle of one."""

import os
import threading
from typing import Final, Protocol
from weakref import WeakKeyDictionary


class Guarded(Protocol):
    """What holds logs behind a lock."""

    def before_fork(self) -> None:
        """Let go of what must not pass a fork; called with the lock held. Must not raise."""


_guarded: Final[WeakKeyDictionary[Guarded, threading.RLock]] = WeakKeyDictionary()
_guard_lock: Final = threading.RLock()
# The locks that a fork in progress holds.
_held: Final[list[threading.RLock]] = []


def guard(store: Guarded, lock: threading.RLock) -> None:
    """Take *lock*, which *store* holds during each step, around every fork."""
    with _guard_lock:
        _guarded[store] = lock


def _before() -> None:
    _guard_lock.acquire()
    for store, lock in list(_guarded.items()):
        lock.acquire()
        _held.append(lock)
        store.before_fork()


def _after() -> None:
    while _held:
        _held.pop().release()
    _guard_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
