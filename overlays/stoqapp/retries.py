"""Whether a call that did not end well is tried again, and when. Pure: no clock, no sleeping.

What was certainly not carried out may always be sent again. What may have been carried out is
sent again only on request (``retry_unknown``): STOQ keeps an intent unique per customer, variant
and market, so the worst that a second request can meet is the first one's intent, and it is told
so. That rests on the vendor's word alone; nobody has tried it.
"""

from typing import Final

from attrs import frozen

from stoqapp.errors import (
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    StoqError,
)

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 8.0
LONGEST_RETRY_AFTER_SECONDS: Final = 86_400.0


@frozen
class RetryPolicy:
    """How far a call goes before it gives up.

    Attributes:
        max_retries: Attempts after the first one, at most.
        retry_unknown: Whether to send again what may have been carried out.
    """

    max_retries: int
    retry_unknown: bool


def wait_before_retry(
    error: StoqError,
    attempts: int,
    policy: RetryPolicy,
    seconds_left: float,
    jitter: float,
) -> float | None:
    """Return the seconds to wait before the next attempt, None to give up.

    A ``Retry-After`` is obeyed in full: when the time that is left does not hold it, or it is
    more than a day, the call gives up. Without one the wait doubles from `FIRST_WAIT_SECONDS` to
    `LONGEST_WAIT_SECONDS`, of which at least half is kept.

    Args:
        error: What the last attempt ended in.
        attempts: How many were made.
        policy: How far to go.
        seconds_left: Until the call's deadline.
        jitter: A random number from 0 to 1, so that many callers do not come back at once.
    """
    if attempts > policy.max_retries or not _may_be_repeated(error, policy):
        return None
    asked = getattr(error, "retry_after", None)
    if asked is None:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10))
        wait = longest * (0.5 + jitter / 2)
    elif asked > LONGEST_RETRY_AFTER_SECONDS:
        return None
    else:
        wait = asked
    return wait if wait < seconds_left else None


def _may_be_repeated(error: StoqError, policy: RetryPolicy) -> bool:
    if not isinstance(error, NotSentError | RateLimitedError | ServerError | OutcomeUnknownError):
        return False
    return policy.retry_unknown or error.carried_out is False
