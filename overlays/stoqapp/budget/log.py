"""The log of one shop: which points were spent when. Plain data and pure functions, no clock.

Why no window of the service holds too many points: the service counts in windows of 60 seconds
and does not document when they begin. So a point that was taken counts for one window plus a
slack of 3 % (`SLACK`, 1.8 seconds of 60). Any two requests of one service window arrive less
than a window apart. If each arrives within the slack after its points were taken, their points
were taken less than a window plus the slack apart, so both were in the log at the same time.
Hence all requests of a window are within the limit, wherever it begins.

The slack costs 3 % of the throughput: a busy shop uses 1 / 1.03 = 97 % of its points. A request
that arrives later than the slack (a stalled network) can get a 429, which costs a wait and no
intent. Aligning to ``X-RateLimit-Reset`` instead would gain nothing: that header has whole
seconds, so it is about as coarse as the slack.
"""

import json
import math
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, TypeVar

from stoqapp.errors import ConfigurationError
from stoqapp.headers import WRITE_POINTS

SLACK: Final = 0.03
LONGEST_HOLD_SECONDS: Final = 86_400.0


class Allowance(NamedTuple):
    """How many points may be spent in how long. A taken point counts for *interval_ms*."""

    share: float
    limit_points: int
    window_ms: int
    interval_ms: int


def allowance_from(share: float, points: int, window_seconds: float) -> Allowance:
    """Return the allowance for arguments of `stoqapp.Budget`; raise where one is unusable."""
    for name, value, most, example in (
        ("share", share, 1, "0.9 to leave a tenth to others"),
        ("points", points, 1_000_000, "360"),
        ("window_seconds", window_seconds, LONGEST_HOLD_SECONDS, "60.0"),
    ):
        if not isinstance(value, int | float) or not 0 < value <= most:
            raise ConfigurationError(
                f"{name} must be a number above 0 and up to {most:g}, like {example}"
            )
    # In floating point, 0.29 of 100 points is slightly less than 29.
    limit = math.floor(points * share + 1e-9)
    if limit < WRITE_POINTS:
        raise ConfigurationError(
            f"share leaves {limit} of {points} points, and one write costs {WRITE_POINTS}: give a"
            " larger share"
        )
    window_ms = math.ceil(window_seconds * 1000)
    return Allowance(share, limit, window_ms, math.ceil(window_ms * (1 + SLACK)))


class Log(NamedTuple):
    """What counts against one shop, in milliseconds of the clock of whoever keeps the log.

    Attributes:
        writes: When the points of each of our writes were taken, oldest first.
        others: Points that others spent, and when they count as spent.
        held_until_ms: When the hold ends.
    """

    writes: tuple[int, ...] = ()
    others: tuple[tuple[int, int], ...] = ()
    held_until_ms: int = 0


EMPTY: Final = Log()

T = TypeVar("T")
# From a log and the time in milliseconds to the new log and a result. A log that is returned
# unchanged (the same object) need not be written back.
Change = Callable[[Log, int], tuple[Log, T]]


def take(log: Log, now_ms: int, allowance: Allowance) -> tuple[Log, int]:
    """Take the points of one write and return 0, or return the milliseconds to wait."""
    held_ms = log.held_until_ms - now_ms
    # A longer hold was made before the clock was set back.
    if 0 < held_ms <= LONGEST_HOLD_SECONDS * 1000:
        return log, held_ms
    current = _current(log, now_ms, allowance)
    missing = _spent(current) + WRITE_POINTS - allowance.limit_points
    if missing <= 0:
        return current._replace(writes=(*current.writes, now_ms)), 0
    entries = sorted([*((moment, WRITE_POINTS) for moment in current.writes), *current.others])
    freed = accumulate(points for _, points in entries)
    frees_ms = next(
        moment for (moment, _), points in zip(entries, freed, strict=True) if points >= missing
    )
    return current, frees_ms + allowance.interval_ms + 1 - now_ms


def give_back(log: Log, now_ms: int, age_ms: int) -> tuple[Log, None]:
    """Return the points of our newest write that is at least *age_ms* old."""
    for place in reversed(range(len(log.writes))):
        if log.writes[place] <= now_ms - age_ms:
            writes = log.writes[:place] + log.writes[place + 1 :]
            return log._replace(writes=writes), None
    return log, None


def learn(
    log: Log, now_ms: int, allowance: Allowance, remaining: int, reset: float | None
) -> tuple[Log, None]:
    """Leave no more than *remaining* points until *reset*, in seconds; None is unknown.

    What others spent counts as spent early enough to leave the log when their window ends.
    """
    window_ms = allowance.window_ms
    resets_in_ms = window_ms if reset is None else min(window_ms, math.ceil(reset * 1000))
    current = _current(log, now_ms, allowance)
    excess = allowance.limit_points - _spent(current) - remaining
    if resets_in_ms <= 0 or excess <= 0:
        return current, None
    spent_at_ms = now_ms + resets_in_ms - allowance.interval_ms
    return current._replace(others=(*current.others, (spent_at_ms, excess))), None


def hold(log: Log, now_ms: int, seconds: float) -> tuple[Log, None]:
    """Let no points be taken for *seconds*, a day at most. Never shorten a hold in force."""
    until_ms = now_ms + math.ceil(min(seconds, LONGEST_HOLD_SECONDS) * 1000)
    return log._replace(held_until_ms=max(until_ms, log.held_until_ms)), None


def _current(log: Log, now_ms: int, allowance: Allowance) -> Log:
    """Return *log* without what no longer counts; *log* itself where all of it counts.

    Points from the future were taken before the clock was set back: they count from now.
    """
    moments = [*log.writes, *(moment for moment, _ in log.others)]
    oldest_ms = now_ms - allowance.interval_ms
    if not moments or oldest_ms <= min(moments) <= max(moments) <= now_ms:
        return log
    return log._replace(
        writes=tuple([min(moment, now_ms) for moment in log.writes if moment >= oldest_ms]),
        others=tuple([(min(at, now_ms), points) for at, points in log.others if at >= oldest_ms]),
    )


def _spent(log: Log) -> int:
    return WRITE_POINTS * len(log.writes) + sum(points for _, points in log.others)


def text_from_log(log: Log) -> str:
    """Return *log* as text, for a file or a server: of the writes, the times in between."""
    between = [moment - before for before, moment in pairwise((0, *log.writes))]
    return json.dumps([between, log.others, log.held_until_ms], separators=(",", ":"))


def log_from_text(text: str | bytes) -> Log:
    """Return the log in *text*; raise ValueError where `text_from_log` did not write it."""
    try:
        between, others, held_until_ms = json.loads(text)
        return Log(tuple(accumulate(between)), tuple(map(tuple, others)), held_until_ms)
    except TypeError:
        raise ValueError("not the log of a shop") from None
