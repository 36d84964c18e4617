"""How one intent is delivered: paced, sent, and sent again where that is safe.

The plan is written once, as a generator that says what to do next and is told what came of it.
Two small drivers act on it, one that blocks and one that awaits.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen

from stoqapp.answers import IntentCreated, created_from_answer, says_duplicate
from stoqapp.budget import Budget
from stoqapp.errors import (
    Answer,
    AnswerError,
    BudgetUnavailableError,
    ClientClosedError,
    ConflictError,
    NotSentError,
    ProcessedWithErrorsError,
    RateLimitedError,
    StoqError,
    UnprocessableIntentError,
)
from stoqapp.headers import RateLimit, rate_limit_from_headers
from stoqapp.log import logger
from stoqapp.retries import RetryPolicy, wait_before_retry

_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_TIME: Final = "the call's total_timeout does not hold that; send it later, or give it more time"
# Errors of one attempt whose texts say that nothing was sent.
_UNSENT: Final = (NotSentError, BudgetUnavailableError, ClientClosedError)


@frozen
class AttemptReport:
    """What one attempt came to; for metrics. Holds nobody's data.

    Attributes:
        number: Of the attempt within its call, from 1.
        method: Of the request.
        host: That it went to.
        status: Of the answer, None where none came.
        error: Name of the class of error that it ended in, None for a created intent.
        seconds: It took.
        points_left: Of the shop's rate budget, None where the answer did not say.
        request_id: That the service gave it, None where it gave none.
        retry_in_seconds: Until the next attempt, None where there will be none.
    """

    number: int
    method: str
    host: str
    status: int | None
    error: str | None
    seconds: float
    points_left: int | None
    request_id: str | None
    retry_in_seconds: float | None


@frozen
class Terms:
    """What a call is delivered under.

    Attributes:
        budget_key: What the shop is called in the budget.
        host: That it goes to.
        policy: How far to go.
        total_timeout_seconds: For attempts and waits together.
        budget: To pace by, None for no pacing.
        on_attempt: Called after each attempt.
    """

    budget_key: str
    host: str
    policy: RetryPolicy
    total_timeout_seconds: float
    budget: Budget | None
    on_attempt: Callable[[AttemptReport], object] | None


@frozen
class Send:
    """Send the request; the answer or the error is to be told."""

    seconds_left: float


@frozen
class Wait:
    """Wait."""

    seconds: float


@frozen
class Ask:
    """Call this, which may do I/O; its result or error is to be told."""

    call: Callable[[], Any]


Plan = Generator[Send | Wait | Ask, Any, IntentCreated]


def plan(
    terms: Terms,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
    jitter: Callable[[], float] = random.random,
) -> Plan:
    """Yield what to do next, and return the created intent.

    Once an attempt may have been carried out, every later error of the call says so, too
    (`StoqError.after_unknown`), and an answer that the intent is there already means that the
    earlier attempt arrived: that is a created intent (``confirmed_by_duplicate``).

    Raises:
        StoqError: What the last attempt ended in; where that one was not sent and an earlier
            one may have been carried out, what the earlier one ended in.
    """
    ends = clock() + terms.total_timeout_seconds
    attempts = 0
    waited_seconds = 0.0
    last: StoqError | None = None
    unknown: StoqError | None = None

    def ended(error: StoqError) -> StoqError:
        if unknown is not None and isinstance(error, _UNSENT):
            error = unknown
        error.attempts, error.waited_seconds = attempts, waited_seconds
        if unknown is not None and error is not unknown:
            error.carried_out, error.after_unknown = None, True
        return error

    while True:
        wait, no_points = yield from _wait_for_budget(terms, ends, clock)
        waited_seconds += wait
        if no_points is not None:
            raise ended(last or no_points)
        taken = clock()
        began = clock()
        if began >= ends:
            yield from _give_back(terms, clock() - taken)
            raise ended(last or NotSentError("nothing was sent: total_timeout is over"))
        attempts += 1
        result: Answer | StoqError = yield Send(ends - began)
        seconds = clock() - began
        outcome = _outcome_of(result, now(), unknown is not None)
        reading = None
        if isinstance(result, Answer):
            reading = rate_limit_from_headers(result.headers, now())
            yield from _tell_budget(terms, reading, outcome, ends - clock())
        retry_in: float | None = None
        if isinstance(outcome, StoqError):
            if outcome.carried_out is None:
                unknown = outcome
            if isinstance(outcome, _UNSENT):
                yield from _give_back(terms, clock() - taken)
            left = ends - clock()
            retry_in = wait_before_retry(outcome, attempts, terms.policy, left, jitter())
        _report(
            terms,
            AttemptReport(
                number=attempts,
                method="POST",
                host=terms.host,
                status=result.status if isinstance(result, Answer) else None,
                error=type(outcome).__name__ if isinstance(outcome, StoqError) else None,
                seconds=seconds,
                points_left=reading.remaining if reading else None,
                request_id=_request_id(result),
                retry_in_seconds=retry_in,
            ),
        )
        if isinstance(outcome, IntentCreated):
            if attempts == 1 and not waited_seconds:
                return outcome
            return evolve(outcome, attempts=attempts, waited_seconds=waited_seconds)
        if retry_in is None:
            raise ended(outcome)
        last = outcome
        waited_seconds += retry_in
        yield Wait(retry_in)


def _wait_for_budget(
    terms: Terms, ends: float, clock: Callable[[], float]
) -> Generator[Wait | Ask, Any, tuple[float, StoqError | None]]:
    """Take the points of one attempt; return the seconds waited, and why there are none if so."""
    waited_seconds = 0.0
    while terms.budget is not None:
        take = partial(terms.budget.take, terms.budget_key, io_timeout=ends - clock())
        wait: float | StoqError = yield Ask(take)
        if isinstance(wait, StoqError):
            return waited_seconds, wait
        if wait <= 0:
            break
        if wait >= ends - clock():
            return waited_seconds, NotSentError(
                f"nothing was sent: the shop's rate budget has room in {wait:.1f} seconds, and"
                f" {_NO_TIME}"
            )
        waited_seconds += wait
        yield Wait(wait)
    return waited_seconds, None


def _give_back(terms: Terms, seconds_ago: float) -> Generator[Ask, Any, None]:
    """Return the points of an attempt that never left; that they cannot be is no error."""
    if terms.budget is not None:
        yield Ask(partial(terms.budget.give_back, terms.budget_key, seconds_ago))


def _tell_budget(
    terms: Terms, reading: RateLimit, outcome: IntentCreated | StoqError, seconds_left: float
) -> Generator[Ask, Any, None]:
    """Correct the budget by what an answer says; that it cannot be must not undo the answer."""
    if terms.budget is None:
        return
    # Twice in the worst case, so each gets half of what is left of the call.
    budget, key, io_timeout = terms.budget, terms.budget_key, seconds_left / 2
    failed = yield Ask(partial(budget.learn, key, reading, io_timeout=io_timeout))
    if isinstance(outcome, RateLimitedError) and outcome.retry_after is not None:
        hold = partial(budget.hold, key, outcome.retry_after, io_timeout=io_timeout)
        failed = (yield Ask(hold)) or failed
    if failed is not None:
        logger.warning("the rate budget could not be corrected: %s", type(failed).__name__)


def _outcome_of(
    result: Answer | StoqError, now: float, maybe_created: bool
) -> IntentCreated | StoqError:
    if isinstance(result, StoqError):
        return result
    try:
        return created_from_answer(result, now)
    except (ProcessedWithErrorsError, ConflictError, UnprocessableIntentError) as error:
        if maybe_created and says_duplicate(error.messages):
            return IntentCreated(result, messages=error.messages, confirmed_by_duplicate=True)
        return error
    except AnswerError as error:
        return error


def _request_id(result: Answer | StoqError) -> str | None:
    """Return the id that the service gave the request, if it is a UUID and so no person's data."""
    given = result.headers.get("x-request-id", "") if isinstance(result, Answer) else ""
    return given if _UUID.fullmatch(given) else None


def _report(terms: Terms, attempt: AttemptReport) -> None:
    logger.debug(
        "attempt %d: %s %s: %s in %.3f s, points left: %s, request id: %s, retry in: %s",
        attempt.number,
        attempt.method,
        attempt.host,
        attempt.status if attempt.error is None else f"{attempt.status} {attempt.error}",
        attempt.seconds,
        attempt.points_left,
        attempt.request_id,
        attempt.retry_in_seconds,
    )
    if terms.on_attempt is not None:
        try:
            terms.on_attempt(attempt)
        except Exception as error:  # noqa: BLE001 - a broken metric must not cost the answer
            logger.warning("on_attempt failed: %s", type(error).__name__)


def deliver(
    steps: Plan,
    post: Callable[[float], Answer],
    sleep: Callable[[float], object],
) -> IntentCreated:
    """Carry out *steps*, blocking. *post* takes the seconds left and returns the answer."""
    told: Any = None
    while True:
        try:
            step = steps.send(told)
        except StopIteration as done:
            created: IntentCreated = done.value
            return created
        try:
            if isinstance(step, Send):
                told = post(step.seconds_left)
            elif isinstance(step, Wait):
                told = sleep(step.seconds)
            else:
                told = step.call()
        except StoqError as error:
            told = error


async def deliver_async(
    steps: Plan,
    post: Callable[[float], Awaitable[Answer]],
    sleep: Callable[[float], Awaitable[object]],
    *,
    in_thread: bool = False,
) -> IntentCreated:
    """Carry out *steps*, awaiting; questions to the budget in a thread, if *in_thread*."""
    told: Any = None
    while True:
        try:
            step = steps.send(told)
        except StopIteration as done:
            created: IntentCreated = done.value
            return created
        try:
            if isinstance(step, Send):
                told = await post(step.seconds_left)
            elif isinstance(step, Wait):
                told = await sleep(step.seconds)
            elif in_thread:
                told = await asyncio.to_thread(step.call)
            else:
                told = step.call()
        except StoqError as error:
            told = error
