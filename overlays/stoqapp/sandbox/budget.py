"""The points that each shop has left in the current window."""

import math
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
        resets_at: Unix seconds of the end of the window, rounded up.
        seconds_left: Whole seconds until then, rounded up, at least 1.
        points: Points of a whole window.
        refused: Whether the request asked for more points than were left, and got none.
    """

    points_left: int
    resets_at: int
    seconds_left: int
    points: int = POINTS_PER_WINDOW
    refused: bool = False

    def headers(self) -> dict[str, str]:
        """Return the vendor's headers that tell it."""
        return {
            "X-RateLimit-Limit": str(self.points),
            "X-RateLimit-Remaining": str(self.points_left),
            "X-RateLimit-Reset": str(self.resets_at),
        }


@define(eq=False)
class Budget:
    """Counts points by shop, safe to use from several threads.

    Attributes:
        clock: Seconds since 1970.
        points: Points of a shop per window.
        window_seconds: Length of a window; fractions are fine.
        enforced: Whether a request is refused for which no points are left.
    """

    clock: Callable[[], float] = time.time
    points: int = POINTS_PER_WINDOW
    window_seconds: float = WINDOW_SECONDS
    enforced: bool = False
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _window: int = field(default=0, init=False)
    _spent: Counter[str] = field(factory=Counter, init=False, repr=False)

    def spend(self, shop: str, method: str) -> Balance:
        """Count a request with *method* against *shop* and return what is left."""
        now = self.clock()
        cost = READ_POINTS if method == "GET" else WRITE_POINTS
        with self._lock:
            window = int(now // self.window_seconds)
            if window != self._window:
                self._window = window
                self._spent.clear()
            refused = self.enforced and self._spent[shop.lower()] + cost > self.points
            if not refused:
                self._spent[shop.lower()] += cost
            points_left = max(0, self.points - self._spent[shop.lower()])
        ends = (window + 1) * self.window_seconds
        seconds_left = max(1, math.ceil(ends - now))
        return Balance(points_left, math.ceil(ends), seconds_left, self.points, refused)

    def clear(self) -> None:
        """Give every shop its points back."""
        with self._lock:
            self._spent.clear()
