"""The points that each shop has left in the current window."""

import math
from collections.abc import Callable
from typing import Final

from attrs import define, field

from stoqapp_sandbox.assumptions import Assumptions

_READ: Final = 1


@define(eq=False)
class Budget:
    """Counts points by shop, in aligned windows of the *clock*, for all shops alike."""

    assumptions: Assumptions
    clock: Callable[[], float]
    _window: float = field(default=-1, init=False, repr=False)
    _spent: dict[str, int] = field(factory=dict, init=False, repr=False)

    def spend(self, shop: str, method: str) -> tuple[dict[str, str], bool]:
        """Count a request; return the vendor's headers, if any, and whether it is refused."""
        if self.assumptions["rate_enforced"] == "no":
            return {}, False
        cost = _READ if method == "GET" else int(self.assumptions.number("rate_write"))
        points = int(self.assumptions.number("rate_points"))
        seconds = self.assumptions.number("rate_window")
        window = self.clock() // seconds
        if window != self._window:
            self._window, self._spent = window, {}
        spent = self._spent.get(shop, 0)
        refused = spent + cost > points
        self._spent[shop] = spent = spent if refused else spent + cost
        return {
            "x-ratelimit-limit": str(points),
            "x-ratelimit-remaining": str(points - spent),
            "x-ratelimit-reset": str(math.ceil((window + 1) * seconds)),
        }, refused

    def seconds_left(self) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        seconds = self.assumptions.number("rate_window")
        return max(1, math.ceil(seconds - self.clock() % seconds))
