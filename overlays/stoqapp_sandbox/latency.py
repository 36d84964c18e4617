"""How long an answer lets wait."""

import random
from threading import Lock
from typing import Final, Self

from attrs import define, field

from stoqapp_sandbox.errors import UnusableOptionError

_LONGEST_SECONDS: Final = 3600


@define(eq=False)
class Latency:
    """A wait before each answer, safe to use from several threads.

    Attributes:
        shortest: Seconds that an answer waits at least.
        longest: Seconds that it waits at most; in between, each wait is as likely as another.
        seed: The same seed gives the same waits; None gives others each time.
    """

    shortest: float = 0.0
    longest: float = 0.0
    seed: int | None = None
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - nothing secret

    @classmethod
    def of(cls, given: object, seed: int | None) -> Self:
        """Return the latency that is given as seconds, or as the shortest and longest of them.

        Raises:
            UnusableOptionError: It is neither.
        """
        bounds = given if isinstance(given, tuple | list) else (given, given)
        if (
            len(bounds) != 2
            or any(isinstance(b, bool) or not isinstance(b, int | float) for b in bounds)
            or not 0 <= bounds[0] <= bounds[1] <= _LONGEST_SECONDS
        ):
            raise UnusableOptionError(
                "latency must be seconds, like 0.5, or the shortest and the longest, like 0.1"
                f" and 2, up to {_LONGEST_SECONDS}"
            )
        return cls(float(bounds[0]), float(bounds[1]), seed)

    def next_seconds(self) -> float:
        """Return how long the next answer waits."""
        with self._lock:
            return self._random.uniform(self.shortest, self.longest)

    def begin_anew(self) -> None:
        """Let the waits of a seed begin at the first one."""
        with self._lock:
            self._random.seed(self.seed)
