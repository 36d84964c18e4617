"""What an answer's headers say: the rate limit, dates, the request's id. Pure functions.

From the vendor's documentation: each shop has 360 points per window of 60 seconds, a read costs
1 and a write 2, and every answer carries ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and
``X-RateLimit-Reset`` (Unix seconds).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

POINTS_PER_WINDOW: Final = 360
WINDOW_SECONDS: Final = 60.0
WRITE_POINTS: Final = 2

_REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-correlation-id", "cf-ray")
_LONGEST_REQUEST_ID: Final = 200
_MOST_POINTS: Final = 10**9
_LONGEST_WINDOW_SECONDS: Final = 86_400.0

Value = TypeVar("Value", int, float)


class RateLimit(NamedTuple):
    """What one answer says about its shop's rate limit; None where it does not say.

    Attributes:
        limit: Points of a whole window.
        remaining: Points left in this window.
        resets_in_seconds: Seconds from the answer to the end of the window, 0 or more. The
            service gives whole seconds, so this can be up to one second too long. It is never
            too short.
    """

    limit: int | None
    remaining: int | None
    resets_in_seconds: float | None


def rate_limit_from_headers(headers: Mapping[str, str], now: float) -> RateLimit:
    """Return the rate limit in *headers*. A value that makes no sense is None. Never raises.

    The reset is measured from the answer's own ``Date``, because our clock may be wrong.

    Args:
        headers: Headers of an answer, by lower-case name.
        now: Our clock in Unix seconds, for an answer without a usable ``Date``.
    """
    limit, remaining, reset = (
        _number(headers.get(f"x-ratelimit-{name}", "")) for name in ("limit", "remaining", "reset")
    )
    seconds = None if reset is None else max(0.0, reset - answered_at(headers, now))
    return RateLimit(
        _up_to(_MOST_POINTS, limit),
        _up_to(_MOST_POINTS, remaining),
        _up_to(_LONGEST_WINDOW_SECONDS, seconds),
    )


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if re.fullmatch("[0-9]{1,12}", text) else None


def _up_to(most: Value, value: Value | None) -> Value | None:
    return None if value is None or value > most else value


@lru_cache(maxsize=8)  # Many answers come in one second.
def moment_from(text: str) -> datetime | None:
    """Return the date in a header, with its zone (else UTC); None where it is not a date.

    Reads the three forms of RFC 9110, and ISO 8601, which some servers send.
    """
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def answered_at(headers: Mapping[str, str], now: float) -> float:
    """Return when an answer was sent in Unix seconds: by its ``Date``, else *now*."""
    moment = moment_from(headers.get("date", ""))
    return now if moment is None else moment.timestamp()


def request_id_from_headers(headers: Mapping[str, str]) -> str | None:
    """Return the id that the service gave the request, in whatever form; None without one."""
    given = next(filter(None, map(headers.get, _REQUEST_ID_HEADERS)), None)
    return given if given is not None and len(given) <= _LONGEST_REQUEST_ID else None


def loggable_id(request_id: str | None) -> str | None:
    """Return *request_id* if it is a UUID, else None: other text may hold a person's data."""
    uuid = "(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    return request_id if request_id and re.fullmatch(uuid, request_id) else None
