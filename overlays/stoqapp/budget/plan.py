"""What the three places that can hold a budget have in common."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from attrs import frozen

from stoqapp.errors import ConfigurationError
from stoqapp.headers import WRITE_POINTS, RateLimit

if TYPE_CHECKING:
    from pyrate_limiter import InMemoryBucket, Rate, SQLiteBucket

SLACK: Final = 0.03
LONGEST_HOLD_SECONDS: Final = 86_400.0
# Threads and processes that share a file on a busy machine wait for each other in here.
LONGEST_IO_SECONDS: Final = 20.0
IDLE_SHOPS_LOOKED_AT: Final = 10
CLOSED: Final = "nothing was sent: the budget is closed; make another one"

FOREIGN: Final = "foreign"
# Each point is an entry of the log.
_MOST_POINTS: Final = 1_000_000


@frozen
class Plan:
    """How much, and how long: the arithmetic of all stores, in whole milliseconds.

    Attributes:
        share: The part of the points that may be used.
        limit_points: What we may take of a window: the share of its points.
        window_ms: A window of the service.
        interval_ms: How long a taken point stays taken: a window and the slack.
    """

    share: float
    limit_points: int
    window_ms: int
    interval_ms: int

    @classmethod
    def of(cls, share: Any, points: Any, window_seconds: Any) -> Self:
        """Return the plan for what a user gave.

        Raises:
            ConfigurationError: It is unusable.
        """
        if not _is_number(share) or not 0 < share <= 1:
            raise ConfigurationError(
                "share must be a number above 0 and up to 1, like 0.9 to leave a tenth to others"
            )
        whole = isinstance(points, int) and not isinstance(points, bool)
        if not whole or not WRITE_POINTS <= points <= _MOST_POINTS:
            raise ConfigurationError(
                f"points must be a whole number from {WRITE_POINTS}, what one write costs, to"
                f" {_MOST_POINTS}"
            )
        if not _is_number(window_seconds) or not 0.001 <= window_seconds <= LONGEST_HOLD_SECONDS:
            raise ConfigurationError(
                "window_seconds must be a number of seconds from 0.001 to 86400, like 60.0"
            )
        # Without the grain of dust, 0.29 of 100 points would be 28.
        limit = math.floor(points * share + 1e-9)
        if limit < WRITE_POINTS:
            raise ConfigurationError(
                f"share leaves {limit} of {points} points, and one write costs {WRITE_POINTS}:"
                " give a larger share"
            )
        window_ms = round(window_seconds * 1000)
        return cls(float(share), limit, window_ms, math.ceil(window_ms * (1 + SLACK)))

    def rate(self) -> "Rate":
        """Return the sliding window in pyrate-limiter's terms."""
        from pyrate_limiter import Rate

        return Rate(self.limit_points, self.interval_ms)

    def resets_in_ms(self, reading: RateLimit) -> int:
        """Return when *reading*'s window ends; never later than a whole window from now."""
        seconds = reading.resets_in_seconds
        return self.window_ms if seconds is None else min(self.window_ms, whole_ms(seconds))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole_ms(seconds: float) -> int:
    """Return *seconds* in milliseconds, rounded up."""
    return math.ceil(seconds * 1000)


class Store(Protocol):
    """Where the logs are. All methods may be called from many threads.

    A file or a server gets *io_seconds* to answer, and then `BudgetUnavailableError` is raised.

    Attributes:
        blocking_io: Whether the methods do I/O.
        name: For people.
        clock: Seconds, for tests; None is the store's own.
    """

    blocking_io: bool
    name: str
    clock: Callable[[], float] | None

    def take(self, shop: str, io_seconds: float) -> int:
        """Take the points of a write and return 0, or return the milliseconds to wait."""

    def give_back(self, shop: str, age_ms: int, io_seconds: float) -> None:
        """Return the points of the last write that is at least so old."""

    def learn(self, shop: str, remaining: int, resets_in_ms: int, io_seconds: float) -> None:
        """Leave no more than *remaining* points until the reset."""

    def hold(self, shop: str, hold_ms: int, io_seconds: float) -> None:
        """Give out nothing for so long."""

    def close(self) -> None:
        """Let go of files and connections; twice is fine."""


def put(bucket: "InMemoryBucket | SQLiteBucket", shop: str, now_ms: int) -> int:
    """Take the points of a write out of *bucket* and return 0, or the milliseconds to wait."""
    from pyrate_limiter import RateItem

    decision: Any = bucket.put_decision(RateItem(shop, now_ms, WRITE_POINTS))
    return 0 if decision.allowed else max(1, decision.retry_after_ms)


def put_foreign(
    bucket: "InMemoryBucket | SQLiteBucket",
    plan: Plan,
    now_ms: int,
    remaining: int,
    resets_in_ms: int,
) -> bool:
    """Leave no more than *remaining* points in *bucket*, which holds nothing outdated.

    The points of others are dated back, so that they leave the log when the window ends.
    """
    from pyrate_limiter import RateItem

    excess = plan.limit_points - bucket.count() - remaining
    if excess <= 0:
        return False
    dated_ms = now_ms + resets_in_ms - plan.interval_ms
    return bucket.put(RateItem(FOREIGN, dated_ms, excess))
