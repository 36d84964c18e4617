"""Dates as HTTP headers hold them."""

from datetime import UTC, datetime


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
