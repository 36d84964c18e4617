"""The points that each shop has left in the current window."""

import time
from collections import Counter
from collections.abc import Callable
from threading import Lock

from attrs import define, field, frozen

from stoqapp.sandbox.assumptions import (
    POINTS_PER_WINDOW,
    READ_POINTS,
    WINDOW_SECONDS,
    WRITE_POINTS,
)


@frozen
class Balance:
    """What a shop has left.

    Attributes:
        points_left: Points until the window ends, never below 0.
        resets_at: Unix seconds of the end of the window.
        seconds_left: Whole seconds until then, at least 1.
    """

    points_left: int
    resets_at: int
    seconds_left: int

    def headers(self) -> dict[str, str]:
        """Return the vendor's headers that tell it."""
        return {
            "X-RateLimit-Limit": str(POINTS_PER_WINDOW),
            "X-RateLimit-Remaining": str(self.points_left),
            "X-RateLimit-Reset": str(self.resets_at),
        }


@define(eq=False)
class Budget:
    """Counts points by shop, safe to use from several threads.

    Attributes:
        clock: Seconds since 1970.
    """

    clock: Callable[[], float] = time.time
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _window: int = field(default=0, init=False)
    _spent: Counter[str] = field(factory=Counter, init=False, repr=False)

    def spend(self, shop: str, method: str) -> Balance:
        """Count a request with *method* against *shop* and return what is left."""
        now = self.clock()
        with self._lock:
            window = int(now // WINDOW_SECONDS)
            if window != self._window:
                self._window = window
                self._spent.clear()
            self._spent[shop.lower()] += READ_POINTS if method == "GET" else WRITE_POINTS
            spent = self._spent[shop.lower()]
        resets_at = (window + 1) * WINDOW_SECONDS
        return Balance(max(0, POINTS_PER_WINDOW - spent), resets_at, resets_at - int(now))

    def clear(self) -> None:
        """Give every shop its points back."""
        with self._lock:
            self._spent.clear()
