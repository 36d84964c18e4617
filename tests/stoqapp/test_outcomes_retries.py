"""What a call with retries comes to: repeated where that is safe or asked for, and not else."""

import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import faults
import pytest
from attrs import evolve, field, frozen
from conftest import Caller, email_request
from faults import FaultServer, Script, answers_and_closes, answers_and_hangs, answers_and_resets
from faults import http as written
from outcomes import (
    CUT,
    INTENT,
    LATEST_SECONDS,
    NO,
    ONE,
    PATIENT,
    TAKEN,
    UNSET,
    Expected,
    answered,
    outcome_of,
    refused,
    unknown,
)

from stoqapp import (
    Budget,
    BudgetUnavailableError,
    IntentCreated,
    NotFoundError,
    OutcomeUnknownError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
)


@frozen
class Flow:
    """What the server does one after the other, and what one call comes to."""

    name: str
    scripts: list[Script] = field(repr=False)
    expected: Expected
    waits: list[float] | None = None
    client: dict[str, Any] = field(factory=dict)

    @property
    def by_duplicate(self) -> bool:
        return self.expected.kind is IntentCreated and self.expected.status == 200


def again(name: str, scripts: list[Script], expected: Expected) -> Flow:
    """Return a flow in which what may have been carried out is sent again."""
    return Flow(name, scripts, expected, client={"retry_unknown": True})


def after(attempts: int, expected: Expected = ONE) -> Expected:
    return evolve(expected, attempts=attempts, complete=UNSET, intents=UNSET)


def slow_down(seconds: int) -> Script:
    return answered(429, b"{}", b"Retry-After: %d" % seconds)


YES = answered(201, INTENT)
WAITING = answered(200, TAKEN)
LIMIT_NOW = slow_down(0)
RESETS = answers_and_resets()
limited = partial(Expected, RateLimitedError, False, 429)
DUPLICATE = Expected(IntentCreated, status=200, messages=("is already waiting",), attempts=2)

FLOWS = [
    Flow("429, then created", [LIMIT_NOW, YES], after(2), [0.0]),
    Flow("429 obeyed in full", [slow_down(17), YES], after(2), [17.0]),
    Flow("429 twice", [LIMIT_NOW, LIMIT_NOW, YES], after(3), [0.0, 0.0]),
    Flow("429 for ever", [LIMIT_NOW], limited(attempts=3), [0.0, 0.0]),
    Flow("429 past the deadline", [slow_down(41), YES], limited(retry_after=41.0), []),
    Flow("503 says when", [answered(503, NO, b"Retry-After: 3"), YES], after(2), [3.0]),
    *[
        Flow(f"{status} is not repeated", [answered(status, NO), YES], expected, [])
        for status, expected in [
            *[(status, Expected(ServerError, None, status)) for status in (500, 502, 503, 520)],
            (302, Expected(UnexpectedAnswerError, None, 302)),
            (422, refused(UnprocessableIntentError, 422)),
        ]
    ],
    Flow("unknown is not repeated", [answers_and_closes(), YES], unknown, []),
    Flow("created is not repeated", [answers_and_closes(written(201, INTENT, length=99))], CUT, []),
    Flow(
        "429, then a duplicate is no creation",
        [LIMIT_NOW, WAITING],
        Expected(ProcessedWithErrorsError, False, 200, attempts=2),
    ),
    Flow("limited, then unknown", [LIMIT_NOW, RESETS], after(2, unknown), [0.0]),
    again("unknown, then created", [RESETS, YES], after(2)),
    again("unknown, then a duplicate", [RESETS, WAITING], DUPLICATE),
    again("500, then a duplicate", [answered(500), WAITING], DUPLICATE),
    again(
        "unknown, then another 200",
        [RESETS, answered(200, b'{"errors": ["no"]}')],
        Expected(ProcessedWithErrorsError, None, 200, attempts=2),
    ),
    again(
        "a duplicate at once is no creation",
        [WAITING],
        Expected(ProcessedWithErrorsError, False, 200),
    ),
    again(
        "unknown, then limited for ever",
        [RESETS, LIMIT_NOW],
        Expected(RateLimitedError, None, 429, attempts=3),
    ),
    again(
        "unknown, then refused",
        [RESETS, answered(404, NO)],
        Expected(NotFoundError, None, 404, attempts=2),
    ),
    again("unknown for ever", [RESETS], after(3, unknown)),
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_flow_of_retries(flow: Flow, caller: Caller) -> None:
    """A call is repeated where that is safe or asked for, after what was asked, and not else."""
    with FaultServer(*flow.scripts) as server:
        options = {**PATIENT, "max_retries": 2, **flow.client}
        outcome = outcome_of(
            lambda: caller.create_intent(email_request(), base_url=server.url(), **options)
        )
        assert len(server.requests) == flow.expected.attempts
    flow.expected.check(outcome)
    assert getattr(outcome, "confirmed_by_duplicate", False) is flow.by_duplicate
    assert outcome.waited_seconds == sum(caller.waits)
    assert len(caller.waits) == outcome.attempts - 1
    assert flow.waits in (None, caller.waits)
    assert len({request.body for request in server.requests}) == 1


def test_a_refused_connection_is_tried_again(caller: Caller) -> None:
    """What was not sent is sent when the server comes back."""
    with ExitStack() as stack:
        port_is_closed = faults.closed_port()
        port = port_is_closed.__enter__()

        class ComesBack(list[float]):
            def append(self, seconds: float) -> None:
                super().append(seconds)
                port_is_closed.__exit__(None, None, None)
                stack.enter_context(FaultServer(YES, port=port))

        caller.waits = ComesBack()
        outcome = caller.create_intent(
            email_request(), base_url=f"http://127.0.0.1:{port}/api/v1", max_retries=1
        )
    after(2).check(outcome)
    assert len(caller.waits) == 1


def test_the_deadline_bounds_all_attempts_together(caller: Caller) -> None:
    """Retries of a server that never answers end by total_timeout."""
    with FaultServer(answers_and_hangs()) as server:
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url=server.url(),
                retry_unknown=True,
                max_retries=1000,
                timeout=0.3,
                total_timeout=1.0,
            )
        )
        assert time.monotonic() - began < LATEST_SECONDS
    assert type(outcome) is OutcomeUnknownError
    assert 1 <= outcome.attempts <= 4


def test_a_silent_budget_keeps_to_the_deadline(caller: Caller) -> None:
    """A Redis that takes connections and says nothing costs a call no more than it has."""
    timeouts: list[float] = []
    with FaultServer(faults.hangs) as server:
        budget = Budget.redis(server.url().replace("http", "redis"))
        settimeout = socket.socket.settimeout
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                socket.socket,
                "settimeout",
                lambda self, value: (timeouts.append(value), settimeout(self, value))[1],
            )
            outcome = outcome_of(
                lambda: caller.create_intent(
                    email_request(), base_url=server.url(), budget=budget, total_timeout=0.5
                )
            )
        budget.close()
    assert type(outcome) is BudgetUnavailableError
    given = [seconds for seconds in timeouts if seconds]
    assert given
    assert max(given) <= 0.5
