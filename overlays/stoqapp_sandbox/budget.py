"""The points that each shop has left in the current window."""

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from attrs import define, field, frozen

from stoqapp_sandbox.assumptions import DEFAULTS, Assumptions

_FEW_WINDOWS: Final = 1024


@frozen
class Balance:
    """What a shop has left.

    Attributes:
        points_left: Points until the window ends, never below 0.
        resets_at: Unix seconds of the end of the window, rounded up.
        seconds_left: Whole seconds until then, rounded up, at least 1.
        points: Points of a whole window.
        refused: Whether the request asked for more points than were left.
        shown: Whether answers tell it.
        epoch: How often the budget had been cleared by then.
    """

    points_left: int
    resets_at: int
    seconds_left: int
    points: int = 360
    refused: bool = False
    shown: bool = True
    epoch: int = 0

    def headers(self) -> dict[str, str]:
        """Return the vendor's headers that tell it."""
        if not self.shown:
            return {}
        return {
            "X-RateLimit-Limit": str(self.points),
            "X-RateLimit-Remaining": str(self.points_left),
            "X-RateLimit-Reset": str(self.resets_at),
        }


@define
class _Window:
    ends: float
    spent: int = 0


@define(eq=False)
class Budget:
    """Counts points by shop, safe to use from several threads.

    Attributes:
        assumptions: Points, window, costs, and what happens beyond the points.
        clock: Seconds since 1970.
        epoch: How often it was cleared.
    """

    assumptions: Assumptions = DEFAULTS
    clock: Callable[[], float] = time.time
    epoch: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _windows: dict[str, _Window] = field(factory=dict, init=False, repr=False)
    _most_windows: int = field(default=_FEW_WINDOWS, init=False, repr=False)

    @property
    def points(self) -> int:
        """Points of a shop per window."""
        return int(self.assumptions.number("rate_points"))

    @property
    def window_seconds(self) -> float:
        """Length of a window."""
        return self.assumptions.number("rate_window")

    @property
    def enforced(self) -> bool:
        """Whether a request is refused for which no points are left."""
        return self.assumptions["rate_enforced"] == "yes"

    def spend(self, shop: str, method: str) -> Balance:
        """Count a request with *method* against *shop* and return what is left."""
        now = self.clock()
        cost = self._cost(method)
        with self._lock:
            window = self._window(shop.lower(), now)
            refused = self.enforced and window.spent + cost > self.points
            if not refused or self.assumptions["rate_refused"] == "costs":
                window.spent += cost
            points_left = max(0, self.points - window.spent)
            epoch = self.epoch
        seconds_left = max(1, math.ceil(window.ends - now))
        shown = self.assumptions["rate_headers"] == "shown"
        return Balance(
            points_left, math.ceil(window.ends), seconds_left, self.points, refused, shown, epoch
        )

    def _cost(self, method: str) -> int:
        if method == "GET":
            return int(self.assumptions.number("rate_read"))
        if self.assumptions["rate_keyless"] == "free":
            return 0
        return int(self.assumptions.number("rate_write"))

    def _window(self, shop: str, now: float) -> _Window:
        window = self._windows.get(shop)
        seconds = self.window_seconds
        # One that ends further away than a window is long was begun before the clock was set back.
        if window and now < window.ends <= now + seconds:
            return window
        aligned = self.assumptions["rate_window_start"] == "aligned"
        ends = (now // seconds + 1) * seconds if aligned else now + seconds
        if len(self._windows) >= self._most_windows:
            self._windows = {name: kept for name, kept in self._windows.items() if now < kept.ends}
            self._most_windows = max(_FEW_WINDOWS, 2 * len(self._windows))
        self._windows[shop] = window = _Window(ends)
        return window

    def clear(self) -> None:
        """Give every shop its points back."""
        with self._lock:
            self._windows.clear()
            self.epoch += 1
