"""The plan of attempts: pure decisions on a clock of its own, and the drivers that act on it."""

import asyncio
import copy
import logging
import math
import threading
from collections.abc import Iterable
from itertools import chain, repeat
from typing import Any
from unittest.mock import call, create_autospec, patch

import pytest
from attrs import evolve

from stoqapp import (
    Answer,
    AttemptReport,
    Budget,
    BudgetExhaustedError,
    BudgetUnavailableError,
    ClientClosedError,
    IntentCreated,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    StoqError,
)
from stoqapp.answers import created_from_answer
from stoqapp.headers import RateLimit
from stoqapp.retry import deliver, deliver_async, plan, wait_before_retry
from stoqapp.settings import Settings

CREATED = Answer(201, {"x-ratelimit-remaining": "358"}, b'{"intents": [{"id": "1"}]}')
DUPLICATE = Answer(200, {}, b'{"errors": ["already waits"]}')
REFUSED = Answer(200, {}, b'{"errors": ["email is invalid"]}')
LIMITED = Answer(429, {"retry-after": "7"}, b"{}")
AT_ONCE, A_DAY, OVER_A_DAY = (
    Answer(429, {"retry-after": seconds}, b"") for seconds in ("0", "86400", "86401")
)
UNAVAILABLE = Answer(503, {"retry-after": "3"}, b"")
BARE_503 = Answer(503, {}, b"")
TROUBLE = Answer(500, {}, b"")
NOT_FOUND = Answer(404, {}, b"")
NOT_SENT = NotSentError("nothing was sent")
UNKNOWN = OutcomeUnknownError("no answer")
CLOSED = ClientClosedError("nothing was sent")
NO_BUDGET = BudgetUnavailableError("nothing was sent")

Result = Answer | StoqError

HOST = "example.com"
KEY = f"demo.myshopify.com@{HOST}"
REQUEST_ID = "0af177ee-0000-4000-8000-0123456789ab"


def budget_of(*waits: float | StoqError) -> Any:
    """Return a budget that gives these waits or errors, and then points at once."""
    budget: Any = create_autospec(Budget, instance=True, blocking_io=True)
    budget.take.side_effect = chain(waits, repeat(0.0))
    budget.give_back.return_value = budget.learn.return_value = budget.hold.return_value = None
    return budget


class Run:
    """One call carried out on a clock that only its own waiting and its attempts move."""

    def __init__(
        self,
        results: Iterable[Result],
        mode: str = "sync",
        *,
        total: float = math.inf,
        seconds_of_an_attempt: float = 1.5,
        **options: Any,
    ) -> None:
        self.left = list(results)
        self.clock = 1.0
        self.waits: list[float] = []
        self.seconds_left: list[float] = []
        self.attempts: list[AttemptReport] = []
        self.seconds_of_an_attempt = seconds_of_an_attempt
        defaults = {"budget": None, "max_retries": 2, "on_attempt": self.attempts.append}
        settings = Settings(shop="demo", base_url=f"https://{HOST}", **defaults | options)
        self.outcome: IntentCreated | StoqError
        steps = plan(
            settings,
            total,
            created_from_answer,
            clock=lambda: self.clock,
            now=lambda: 0.0,
            jitter=lambda: 1.0,
        )
        try:
            with patch("time.sleep", self._sleep), patch("asyncio.sleep", self._sleep_async):
                if mode == "sync":
                    self.outcome = deliver(steps, self._post)
                else:
                    self.outcome = asyncio.run(deliver_async(steps, self._post_async))
        except StoqError as error:
            self.outcome = error

    def _post(self, seconds_left: float) -> Answer:
        self.seconds_left.append(seconds_left)
        self.clock += self.seconds_of_an_attempt
        result = self.left.pop(0)
        if isinstance(result, StoqError):
            raise copy.copy(result)
        return result

    def _sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.waits.append(seconds)

    async def _post_async(self, seconds_left: float) -> Answer:
        return self._post(seconds_left)

    async def _sleep_async(self, seconds: float) -> None:
        self._sleep(seconds)


both_drivers = pytest.mark.parametrize("mode", ["sync", "async"])
ON_REQUEST = {"retry_unknown": True, "max_retries": 3}


@pytest.mark.parametrize(
    ("results", "options", "kind", "waits"),
    [
        ([CREATED], {}, IntentCreated, []),
        ([REFUSED], {}, ProcessedWithErrorsError, []),
        ([NOT_FOUND], ON_REQUEST, NotFoundError, []),
        ([NOT_SENT, NOT_SENT, CREATED], {}, IntentCreated, [0.5, 1.0]),
        ([LIMITED, UNAVAILABLE, CREATED], {}, IntentCreated, [7.0, 3.0]),
        ([AT_ONCE, CREATED], {}, IntentCreated, [0.0]),
        ([LIMITED, LIMITED, LIMITED], {}, RateLimitedError, [7.0, 7.0]),
        ([LIMITED], {"max_retries": 0}, RateLimitedError, []),
        ([BARE_503], {}, ServerError, []),
        ([TROUBLE], {}, ServerError, []),
        ([UNKNOWN], {}, OutcomeUnknownError, []),
        ([BARE_503, CREATED], ON_REQUEST, IntentCreated, [0.5]),
        ([UNKNOWN, CREATED], ON_REQUEST, IntentCreated, [0.5]),
        ([UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN], ON_REQUEST, OutcomeUnknownError, [0.5, 1.0, 2.0]),
        # A wait is never cut short, and the deadline includes the attempts.
        ([LIMITED, CREATED], {"total": 8.6}, IntentCreated, [7.0]),
        ([LIMITED], {"total": 8.5}, RateLimitedError, []),
        ([NOT_SENT], {"total": 5.0, "seconds_of_an_attempt": 4.8}, NotSentError, []),
        ([A_DAY, CREATED], {}, IntentCreated, [86_400.0]),
        ([OVER_A_DAY], {}, RateLimitedError, []),
        ([evolve(OVER_A_DAY, status=503)], {}, ServerError, []),
    ],
)
@both_drivers
def test_what_is_retried(
    results: list[Result], options: dict[str, Any], kind: type, waits: list[float], mode: str
) -> None:
    """What was certainly not carried out is sent again; what may have been, only on request."""
    run = Run(results, mode, **options)
    assert isinstance(run.outcome, kind)
    assert (run.outcome.attempts, run.outcome.waited_seconds) == (len(results), sum(waits))
    assert (run.waits, run.left) == (waits, [])


@pytest.mark.parametrize(
    ("results", "is_confirmed"),
    [
        ([UNKNOWN, DUPLICATE], True),
        ([UNKNOWN, evolve(DUPLICATE, status=409)], True),
        ([TROUBLE, LIMITED, DUPLICATE], True),
        ([UNKNOWN, CREATED], False),
        ([CREATED], False),
    ],
)
def test_a_duplicate_after_an_unknown_attempt_is_success(
    results: list[Result], is_confirmed: bool
) -> None:
    """The duplicate is the intent of the earlier attempt, and the outcome says so."""
    outcome = Run(results, **ON_REQUEST).outcome
    assert isinstance(outcome, IntentCreated)
    assert outcome.confirmed_by_duplicate is is_confirmed


@pytest.mark.parametrize(
    ("results", "kind", "carried_out", "after_unknown"),
    [
        ([LIMITED, NOT_FOUND], NotFoundError, False, False),
        ([NOT_SENT, DUPLICATE], ProcessedWithErrorsError, False, False),
        ([UNKNOWN, REFUSED], ProcessedWithErrorsError, None, True),
        ([TROUBLE, NOT_FOUND], NotFoundError, None, True),
        ([UNKNOWN, *[LIMITED] * 3], RateLimitedError, None, True),
        ([TROUBLE, *[UNAVAILABLE] * 3], ServerError, None, True),
        ([UNKNOWN, *[NOT_SENT] * 3], OutcomeUnknownError, None, False),
        ([UNKNOWN, CLOSED], OutcomeUnknownError, None, False),
        ([UNKNOWN, NO_BUDGET], OutcomeUnknownError, None, False),
        ([NOT_SENT, UNKNOWN, TROUBLE, NOT_SENT], ServerError, None, False),
    ],
)
def test_an_unknown_attempt_is_not_hidden(
    results: list[Result], kind: type[StoqError], carried_out: bool | None, after_unknown: bool
) -> None:
    """After an attempt that may have been carried out, no error says that nothing was sent."""
    outcome = Run(results, **ON_REQUEST).outcome
    assert type(outcome) is kind
    assert (outcome.carried_out, outcome.after_unknown) == (carried_out, after_unknown)
    assert outcome.attempts == len(results)
    assert ("earlier attempt" in str(outcome)) is after_unknown
    assert "nothing was sent" not in str(outcome)


@both_drivers
def test_pacing(mode: str) -> None:
    """Each attempt takes its own points first, waits for them, and corrects the budget after.

    Nothing may take longer than the call has left, and in asyncio no I/O may block the loop.
    """
    threads: set[int] = set()
    budget = budget_of(0.5, 0.25, 0.0, 0.125)
    budget.learn.side_effect = lambda *_, **__: threads.add(threading.get_ident())
    run = Run([LIMITED, CREATED], mode, budget=budget, total=100.0)
    assert run.waits == [0.5, 0.25, 7.0, 0.125]
    assert run.outcome.waited_seconds == sum(run.waits)
    assert run.seconds_left == [99.25, 90.625]
    assert budget.method_calls == [
        call.take(KEY, io_timeout=100.0),
        call.take(KEY, io_timeout=99.5),
        call.take(KEY, io_timeout=99.25),
        call.learn(KEY, RateLimit(None, None, None), io_timeout=48.875),
        call.hold(KEY, 7.0, io_timeout=48.875),
        call.take(KEY, io_timeout=90.75),
        call.take(KEY, io_timeout=90.625),
        call.learn(KEY, RateLimit(None, 358, None), io_timeout=44.5625),
    ]
    assert (threading.get_ident() in threads) is (mode == "sync")


@pytest.mark.parametrize(
    ("waits", "kind", "waited", "retry_after"),
    [
        ([0.5], IntentCreated, 0.5, None),
        ([4.0, 4.0, 12.0], BudgetExhaustedError, 8.0, 12.0),
        ([NO_BUDGET], BudgetUnavailableError, 0.0, None),
    ],
)
def test_a_wait_for_the_budget(
    waits: list[Any], kind: type, waited: float, retry_after: float | None
) -> None:
    """It is told; where the deadline is earlier, or the budget fails, nothing was sent."""
    run = Run([CREATED], budget=budget_of(*waits), total=20.0)
    outcome: Any = run.outcome
    assert (type(outcome), outcome.waited_seconds) == (kind, waited)
    assert outcome.attempts == (0 if run.left else 1)
    if run.left:
        assert (outcome.carried_out, outcome.retry_after) == (False, retry_after)


@pytest.mark.parametrize("total", [0.0, -1.0])
def test_a_deadline_that_is_over_sends_nothing(total: float) -> None:
    """When the deadline comes while points are taken, they are given back as just taken."""
    budget = budget_of()
    run = Run([CREATED], budget=budget, total=total)
    assert (type(run.outcome), run.outcome.attempts) == (NotSentError, 0)
    assert "total_timeout is over" in str(run.outcome)
    assert budget.method_calls == [call.take(KEY, io_timeout=total), call.give_back(KEY, 0.0)]


@pytest.mark.parametrize("second", [30.0, NO_BUDGET])
def test_a_budget_does_not_hide_the_first_error(second: float | StoqError) -> None:
    """What the first attempt ended in is raised where the budget ends the second."""
    run = Run([UNKNOWN], budget=budget_of(0.0, second), total=10.0, retry_unknown=True)
    assert isinstance(run.outcome, OutcomeUnknownError)
    assert run.outcome.attempts == 1


def test_what_never_left_costs_no_points() -> None:
    """The points of an attempt that was not sent are given back, those of any other are not."""
    budget = budget_of()
    Run([NOT_SENT, UNKNOWN], budget=budget)
    budget.give_back.assert_called_once_with(KEY, 1.5)
    assert not budget.learn.called


@pytest.mark.parametrize(
    ("result", "kind"), [(CREATED, IntentCreated), (LIMITED, RateLimitedError)]
)
def test_a_budget_that_fails_after_the_call_does_not_undo_it(
    result: Answer, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that is there stays, even if the budget could not be corrected."""
    budget = budget_of()
    budget.learn.side_effect = NO_BUDGET
    run = Run([result], budget=budget, max_retries=0)
    assert isinstance(run.outcome, kind)
    assert "could not be corrected: BudgetUnavailableError" in caplog.text


def test_each_attempt_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The hook receives what a metric needs of each attempt, and the log has it in words."""
    odd_id = Answer(503, {"retry-after": "3", "x-request-id": "ada@example.com"}, b"")
    good_id = Answer(201, CREATED.headers | {"x-request-id": REQUEST_ID}, b"")
    run = Run([NOT_SENT, odd_id, good_id])
    # Number, host, status, error, seconds, points left, request id, seconds until the next.
    assert run.attempts == [
        (1, HOST, None, "NotSentError", 1.5, None, None, 0.5),
        (2, HOST, 503, "ServerError", 1.5, None, None, 3.0),
        (3, HOST, 201, None, 1.5, 358, REQUEST_ID, None),
    ]
    caplog.set_level(logging.DEBUG)
    Run([good_id], on_attempt=None)
    assert caplog.messages == [
        f"attempt 1 to {HOST}: created, status 201, 1.500 s, points left: 358, request id:"
        f" {REQUEST_ID}, retry in: None"
    ]


def test_a_broken_hook_does_not_cost_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An error in on_attempt is logged, by its class alone."""

    def broken(attempt: AttemptReport) -> None:
        raise ZeroDivisionError("ada@example.com")

    assert isinstance(Run([CREATED], on_attempt=broken).outcome, IntentCreated)
    assert "ZeroDivisionError" in caplog.text
    assert "ada@" not in caplog.text


def test_waits_double_up_to_a_limit() -> None:
    """Without a word of the service the wait doubles, and keeps at least half of itself."""
    settings = Settings(shop="demo", max_retries=10**6)
    longest = [wait_before_retry(NOT_SENT, n, settings, math.inf, 1.0) for n in range(1, 8)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert wait_before_retry(NOT_SENT, 10**5, settings, math.inf, 1.0) == 8.0
    assert wait_before_retry(NOT_SENT, 1, settings, math.inf, 0.0) == 0.25
