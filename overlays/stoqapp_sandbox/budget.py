"""The points that each shop has left in the current window."""

import math
from collections.abc import Callable
from threading import Lock
from typing import Final

from attrs import define, field, frozen

from stoqapp_sandbox.assumptions import Assumptions

_READ: Final = 1


@frozen
class Balance:
    """What a shop has left.

    Attributes:
        points: Points of a whole window.
        points_left: Points until the window ends.
        resets_at: Unix seconds of the end of the window, rounded up.
        refused: Whether the request asked for more points than were left.
    """

    points: int
    points_left: int
    resets_at: int
    refused: bool

    def headers(self) -> dict[str, str]:
        """Return the vendor's headers that tell it."""
        return {
            "x-ratelimit-limit": str(self.points),
            "x-ratelimit-remaining": str(self.points_left),
            "x-ratelimit-reset": str(self.resets_at),
        }


@define(eq=False)
class Budget:
    """Counts points by shop, safe to use from several threads.

    Windows are aligned: full minutes, for all shops alike.

    Attributes:
        assumptions: Points, window and cost.
        clock: Seconds since 1970.
    """

    assumptions: Assumptions
    clock: Callable[[], float]
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _window: float = field(default=-1, init=False, repr=False)
    _spent: dict[str, int] = field(factory=dict, init=False, repr=False)

    def spend(self, shop: str, method: str) -> Balance | None:
        """Count a request with *method*; return what is left, None where points do not count."""
        if self.assumptions["rate_enforced"] == "no":
            return None
        cost = _READ if method == "GET" else int(self.assumptions.number("rate_write"))
        points = int(self.assumptions.number("rate_points"))
        seconds = self.assumptions.number("rate_window")
        window = self.clock() // seconds
        with self._lock:
            if window != self._window:
                self._window, self._spent = window, {}
            spent = self._spent.get(shop, 0)
            refused = spent + cost > points
            self._spent[shop] = spent = spent if refused else spent + cost
        return Balance(points, points - spent, math.ceil((window + 1) * seconds), refused)

    def seconds_left(self) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        seconds = self.assumptions.number("rate_window")
        return max(1, math.ceil(seconds - self.clock() % seconds))
