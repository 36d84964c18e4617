"""What a call with retries comes to on the wire; test_retry has the decisions."""

import time
from contextlib import ExitStack
from typing import Any

import faults
import pytest
from calling import Caller, email_request
from faults import FaultServer, Script, answers_and_closes, answers_and_hangs, answers_and_resets
from outcomes import (
    INTENT,
    LATEST_SECONDS,
    NO,
    PATIENT,
    TAKEN,
    Expected,
    answered,
    ask,
    unknown,
)

from stoqapp import IntentCreated, OutcomeUnknownError, RateLimitedError, ServerError

YES, DUPLICATE = answered(201, INTENT), answered(200, TAKEN)
SLOW_DOWN = answered(429, b"{}", b"Retry-After: 17")
RESETS = answers_and_resets()
ON_REQUEST = {"retry_unknown": True}


@pytest.mark.parametrize(
    ("expected", "scripts", "options"),
    [
        (Expected(IntentCreated, attempts=3), [SLOW_DOWN, SLOW_DOWN, YES], {}),
        (Expected(RateLimitedError, False, 429, attempts=3), [SLOW_DOWN], {}),
        (Expected(ServerError, None, 500), [answered(500, NO), YES], {}),
        (unknown, [answers_and_closes(), YES], {}),
        (Expected(IntentCreated, attempts=2), [RESETS, YES], ON_REQUEST),
        (Expected(IntentCreated, status=200, attempts=2), [RESETS, DUPLICATE], ON_REQUEST),
        (Expected(OutcomeUnknownError, None, attempts=3), [RESETS], ON_REQUEST),
    ],
)
def test_every_flow_of_retries(
    expected: Expected, scripts: list[Script], options: dict[str, Any], caller: Caller
) -> None:
    """The same body is sent again where that is safe or asked for, after the wait asked for."""
    with FaultServer(*scripts) as server:
        outcome = ask(caller, server.url(), **PATIENT | {"max_retries": 2} | options)
        assert len(server.requests) == expected.attempts
    expected.check(outcome)
    assert outcome.waited_seconds == sum(caller.waits)
    assert len(caller.waits) == outcome.attempts - 1
    assert scripts[0] is not SLOW_DOWN or caller.waits == [17.0, 17.0]
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
        url = f"http://127.0.0.1:{port}/api/v1"
        outcome = caller.create_intent(email_request(), base_url=url, max_retries=1)
    Expected(IntentCreated, attempts=2).check(outcome)


def test_the_deadline_bounds_all_attempts_together(caller: Caller) -> None:
    """Retries of a server that never answers end by total_timeout."""
    client = {**ON_REQUEST, "max_retries": 1000, "timeout": 0.3, "total_timeout": 1.0}
    with FaultServer(answers_and_hangs()) as server:
        began = time.monotonic()
        outcome = ask(caller, server.url(), **client)
        assert time.monotonic() - began < LATEST_SECONDS
    assert type(outcome) is OutcomeUnknownError
    assert 1 <= outcome.attempts <= 4
