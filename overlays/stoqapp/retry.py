"""How an intent is sent: paced, and tried again where that is safe.

`plan` is a generator: it yields the next step and receives what came of it. Two drivers carry out
the steps, one that blocks and one that awaits. `wait_before_retry` holds the decision.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

from attrs import evolve

from stoqapp.answers import IntentCreated, created_from_answer
from stoqapp.errors import (
    Answer,
    BudgetExhaustedError,
    BudgetUnavailableError,
    ClientClosedError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    StoqError,
)
from stoqapp.headers import loggable_id, rate_limit_from_headers, request_id_from_headers
from stoqapp.log import AttemptReport, logger
from stoqapp.settings import Settings

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 8.0
LONGEST_RETRY_AFTER_SECONDS: Final = 86_400.0

_RETRYABLE: Final = (NotSentError, RateLimitedError, ServerError, OutcomeUnknownError)
# Errors whose texts say that nothing was sent, which is true of one attempt, not of the call.
_UNSENT: Final = (NotSentError, BudgetUnavailableError, ClientClosedError)


class Send(NamedTuple):
    """Send the request; receives the answer or the error."""

    seconds_left: float


class Wait(NamedTuple):
    """Wait."""

    seconds: float


class CallBudget(NamedTuple):
    """Call the rate budget, which may block for I/O; receives its result or error."""

    call: Callable[[], Any]
    blocks: bool


T = TypeVar("T")
Plan = Generator[Send | Wait | CallBudget, Any, T]
Read = Callable[[Answer, float], T]


def plan(
    settings: Settings,
    total_timeout: float,
    read: Read[T],
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
    jitter: Callable[[], float] = random.random,
) -> Plan[T]:
    """Yield what to do next, and return the outcome, such as the created intent.

    Once an attempt may have been carried out, every later error of the call says so
    (`StoqError.after_unknown`). A duplicate error then means that the earlier attempt created
    the intent: that is success (`IntentCreated.confirmed_by_duplicate`).

    Args:
        settings: How to pace and retry.
        total_timeout: Seconds for all attempts and waits together; may be infinite.
        read: Returns what an answer means, or raises an `AnswerError`; see
            `stoqapp.answers.created_from_answer`.
        clock: Seconds that only ever grow.
        now: Unix seconds.
        jitter: A random number from 0 to 1.

    Raises:
        StoqError: What the last attempt ended in. If that one was not sent, but an earlier one
            may have been carried out, what the earlier one ended in.
    """
    ends = clock() + total_timeout
    attempts = 0
    waited_seconds = 0.0
    last: StoqError | None = None
    unknown: StoqError | None = None

    def final(error: StoqError) -> StoqError:
        if unknown is not None and isinstance(error, _UNSENT):
            error = unknown
        error.attempts, error.waited_seconds = attempts, waited_seconds
        if unknown is not None and error is not unknown:
            error.carried_out, error.after_unknown = None, True
        return error

    while True:
        seconds, no_points = yield from _take_points(settings, ends, clock)
        waited_seconds += seconds
        if no_points is not None:
            raise final(last or no_points)
        began = clock()
        if began >= ends:
            yield from _budget(settings, "give_back", 0.0)
            raise final(last or NotSentError("nothing was sent: total_timeout is over"))
        attempts += 1
        result: Answer | StoqError = yield Send(ends - began)
        seconds = clock() - began
        outcome = _outcome_of(result, read, now(), after_unknown=unknown is not None)
        if isinstance(result, Answer):
            yield from _correct_budget(settings, result, outcome, now(), ends - clock())
        retry_in: float | None = None
        if isinstance(outcome, StoqError):
            if outcome.carried_out is None:
                unknown = outcome
            if isinstance(outcome, _UNSENT):
                # Where this fails, the points are lost, and that is no error of the call.
                yield from _budget(settings, "give_back", clock() - began)
            retry_in = wait_before_retry(outcome, attempts, settings, ends - clock(), jitter())
        _report(settings, attempts, seconds, result, outcome, retry_in)
        if not isinstance(outcome, StoqError):
            if isinstance(outcome, IntentCreated) and (attempts > 1 or waited_seconds):
                return evolve(outcome, attempts=attempts, waited_seconds=waited_seconds)
            return outcome
        if retry_in is None:
            raise final(outcome)
        last = outcome
        waited_seconds += retry_in
        yield Wait(retry_in)


def wait_before_retry(
    error: StoqError, attempts: int, settings: Settings, seconds_left: float, jitter: float
) -> float | None:
    """Return the seconds to wait before the next attempt, None to give up.

    What was certainly not carried out can always be sent again. What may have been carried out
    is sent again only with ``retry_unknown``. STOQ keeps one intent per customer, variant and
    market, so a second request can at worst meet the first one's intent and get a duplicate
    error. This rests on the vendor's word; it was not tried against the service.

    ``Retry-After`` is obeyed in full. If it reaches the deadline, or is longer than a day, the
    call gives up. Without one, the wait doubles from `FIRST_WAIT_SECONDS` to
    `LONGEST_WAIT_SECONDS`, and jitter takes away up to half of it.

    Args:
        error: What the last attempt ended in.
        attempts: How many attempts were made.
        settings: How far to go.
        seconds_left: Time until the call's deadline.
        jitter: A random number from 0 to 1, so that callers do not come back all at once.
    """
    if attempts > settings.max_retries or not isinstance(error, _RETRYABLE):
        return None
    if isinstance(error, NotSentError) and error.is_lasting:
        return None
    if error.carried_out is None and not settings.retry_unknown:
        return None
    wait = error.retry_after
    if wait is None:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10))
        wait = longest * (0.5 + jitter / 2)
    return wait if wait < seconds_left and wait <= LONGEST_RETRY_AFTER_SECONDS else None


def _take_points(
    settings: Settings, ends: float, clock: Callable[[], float]
) -> Generator[Wait | CallBudget, Any, tuple[float, StoqError | None]]:
    """Take the points of one attempt. Return the seconds waited, and the error if there is one."""
    waited_seconds = 0.0
    while wait := (yield from _budget(settings, "take", io_timeout=ends - clock())):
        if isinstance(wait, StoqError):
            return waited_seconds, wait
        if wait >= ends - clock():
            return waited_seconds, BudgetExhaustedError(
                f"nothing was sent: the shop's rate budget has room in {wait:.1f} seconds, and"
                " total_timeout ends before that; raise it or retry later",
                {"retry_after": wait},
            )
        waited_seconds += wait
        yield Wait(wait)
    return waited_seconds, None


def _correct_budget(
    settings: Settings, answer: Answer, outcome: object, now: float, seconds_left: float
) -> Generator[CallBudget, Any, None]:
    """Correct the budget by what an answer says. A failure to do so must not undo the answer."""
    if settings.pacer is None:
        return
    # There can be two calls, so each gets half of the time left.
    io_timeout = seconds_left / 2
    limit = rate_limit_from_headers(answer.headers, now)
    failed = yield from _budget(settings, "learn", limit, io_timeout=io_timeout)
    if isinstance(outcome, RateLimitedError) and outcome.retry_after is not None:
        wait = outcome.retry_after
        failed = (yield from _budget(settings, "hold", wait, io_timeout=io_timeout)) or failed
    if failed is not None:
        logger.warning("the rate budget could not be corrected: %s", type(failed).__name__)


def _budget(
    settings: Settings, method: str, *args: object, **kwargs: float
) -> Generator[CallBudget, Any, Any]:
    """Call a method of the budget, if there is one, for the shop; return its result or error."""
    budget = settings.pacer
    if budget is None:
        return None
    call = partial(getattr(budget, method), settings.budget_key, *args, **kwargs)
    return (yield CallBudget(call, budget.blocking_io))


def _outcome_of(
    result: Answer | StoqError, read: Read[T], now: float, *, after_unknown: bool
) -> T | StoqError:
    if isinstance(result, StoqError):
        return result
    try:
        return read(result, now)
    except StoqError as error:
        if after_unknown and error.is_duplicate and read is created_from_answer:
            created = IntentCreated(result, messages=error.messages, confirmed_by_duplicate=True)
            return cast(T, created)
        return error


def _report(
    settings: Settings,
    attempts: int,
    seconds: float,
    result: Answer | StoqError,
    outcome: object,
    retry_in: float | None,
) -> None:
    """Log the attempt and call ``on_attempt``, where anyone listens."""
    if settings.on_attempt is None and not logger.isEnabledFor(logging.DEBUG):
        return
    headers = result.headers if isinstance(result, Answer) else {}
    report = AttemptReport(
        number=attempts,
        host=settings.host,
        status=result.status,
        error=type(outcome).__name__ if isinstance(outcome, StoqError) else None,
        seconds=seconds,
        points_left=rate_limit_from_headers(headers, 0.0).remaining,
        request_id=loggable_id(request_id_from_headers(headers)),
        retry_in_seconds=retry_in,
    )
    logger.debug("%s", report)
    if settings.on_attempt is not None:
        try:
            settings.on_attempt(report)
        except Exception as error:  # noqa: BLE001 - a broken metric must not cost the answer
            logger.warning("on_attempt failed: %s", type(error).__name__)


def deliver(steps: Plan[T], send: Callable[[float], Answer]) -> T:
    """Carry out *steps*, blocking. *send* takes the seconds left and returns the answer."""
    received: Any = None
    while True:
        try:
            step = steps.send(received)
        except StopIteration as done:
            return cast(T, done.value)
        try:
            if isinstance(step, Send):
                received = send(step.seconds_left)
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
            else:
                received = step.call()
        except StoqError as error:
            received = error


async def deliver_async(steps: Plan[T], send: Callable[[float], Awaitable[Answer]]) -> T:
    """Carry out *steps*, awaiting. A budget that blocks is called in a thread."""
    # Takes 40 ms to import, which a program without an event loop need not spend.
    import asyncio

    received: Any = None
    while True:
        try:
            step = steps.send(received)
        except StopIteration as done:
            return cast(T, done.value)
        try:
            if isinstance(step, Send):
                received = await send(step.seconds_left)
            elif isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif step.blocks:
                received = await asyncio.to_thread(step.call)
            else:
                received = step.call()
        except StoqError as error:
            received = error
