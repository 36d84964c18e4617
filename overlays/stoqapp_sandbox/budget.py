"""The points that each shop has left in the current window."""

import math
from collections.abc import Callable

from attrs import define, field

from stoqapp_sandbox.assumptions import Assumptions


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
        cost = 1 if method == "GET" else self.assumptions["rate_write"]
        points, seconds = self.assumptions["rate_points"], self.assumptions["rate_window"]
        window = self.clock() // seconds
        if window != self._window:
            self._window, self._spent = window, {}
        spent = self._spent.get(shop, 0)
        is_refused = spent + cost > points
        self._spent[shop] = spent = spent if is_refused else spent + cost
        return {
            "x-ratelimit-limit": str(points),
            "x-ratelimit-remaining": str(points - spent),
            "x-ratelimit-reset": str(math.ceil((window + 1) * seconds)),
        }, is_refused

    def seconds_left(self) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        seconds: float = self.assumptions["rate_window"]
        return max(1, math.ceil(seconds - self.clock() % seconds))
