"""What an answer's headers say of the rate budget. Decisions only: no clock, no I/O, no waiting.

The vendor's documentation: each shop has 360 points per window of 60 seconds, a read costs 1
and a write 2, and every answer carries ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and
``X-RateLimit-Reset`` (Unix seconds).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

POINTS_PER_WINDOW: Final = 360
WINDOW_SECONDS: Final = 60.0
WRITE_POINTS: Final = 2

_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_MOST_POINTS: Final = 10**9
_LONGEST_WINDOW_SECONDS: Final = 86_400.0


@frozen
class RateLimit:
    """What one answer says of its shop's budget.

    Attributes:
        limit: Points of a whole window; None where the answer does not say.
        remaining: Points left in this window; None where the answer does not say.
        resets_in_seconds: Seconds from the answer until the window ends, 0 or more; None where
            the answer does not say. Both ends are whole seconds, so it may be up to one second
            too long, but not too short.
    """

    limit: int | None
    remaining: int | None
    resets_in_seconds: float | None


def rate_limit_from_headers(headers: Mapping[str, str], now: float) -> RateLimit:
    """Return what *headers* say; whatever in them makes no sense is None. Never raises.

    The reset is measured from the answer's own ``Date``, since our clock may be wrong.

    Args:
        headers: Headers of an answer, their names in lower case.
        now: Unix seconds by our clock, for an answer without a usable ``Date``.
    """
    reset = _number(headers.get("x-ratelimit-reset"))
    return RateLimit(
        _points(headers.get("x-ratelimit-limit")),
        _points(headers.get("x-ratelimit-remaining")),
        None if reset is None else _seconds_until(reset, headers.get("date"), now),
    )


def _number(said: str | None) -> int | None:
    said = "" if said is None else said.strip()
    return int(said) if _NUMBER.fullmatch(said) else None


def _points(said: str | None) -> int | None:
    points = _number(said)
    return None if points is None or points > _MOST_POINTS else points


def _seconds_until(reset: int, date: str | None, now: float) -> float | None:
    answered = None if date is None else seconds_from_http_date(date)
    seconds = max(0.0, reset - (now if answered is None else answered))
    return seconds if seconds <= _LONGEST_WINDOW_SECONDS else None


def seconds_from_http_date(text: str) -> float | None:
    """Return the Unix seconds of a date in a header, None for no date.

    Read are the three forms of RFC 9110, and ISO 8601, which servers write against it.
    """
    try:
        moment = _moment_from(text)
        # The forms that name no zone mean GMT, too.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _moment_from(text: str) -> datetime:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text)
    except ValueError:
        # The 70 ms that dateutil takes to load are paid for such a date alone.
        from dateutil.parser import isoparse

        return isoparse(text)
