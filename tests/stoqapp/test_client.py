"""Stoq and AsyncStoq: what is sent, and what comes back, in both modes."""

import asyncio
from urllib.parse import urlsplit

import pytest
from calling import Caller, email_request

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    Budget,
    ClientClosedError,
    InvalidIntentError,
    ServerError,
    Stoq,
)
from stoqapp.body import plain
from stoqapp_sandbox import Sandbox


def test_a_broken_rule_sends_nothing(caller: Caller, sandbox: Sandbox) -> None:
    """A request that breaks rules never reaches the service."""
    request = email_request(email=" ", country="U")
    with pytest.raises(InvalidIntentError) as caught:
        caller.create_intent(request, base_url=sandbox.base_url)
    assert [violation.path for violation in caught.value.violations] == [
        "customer.country",
        "customer.email",
    ]
    sandbox.fail_next(503)
    with pytest.raises(ServerError):
        caller.create_intent(email_request(), base_url=sandbox.base_url)


def test_what_was_checked_is_what_is_sent(caller: Caller, sandbox: Sandbox) -> None:
    """The service receives the body that was looked at, additional properties and all."""
    request = email_request(name="Zoë ☂ 😀")
    request.customer["extra"] = {"a": [1, None, True]}
    caller.create_intent(request, base_url=sandbox.base_url)
    assert sandbox.intents[0]["request"] == plain(request)
    assert sandbox.intents[0]["shop"] == SHOP


def test_the_default_deadline_holds_a_window_of_the_budget(
    caller: Caller, sandbox: Sandbox
) -> None:
    """Who comes when the points are used up waits for the next ones, and fails not at once."""
    budget = Budget(clock=lambda: 1000.0 + sum(caller.waits))
    while not budget.take(f"{SHOP}@{urlsplit(sandbox.base_url).netloc}"):
        pass
    caller.create_intent(email_request(), base_url=sandbox.base_url, budget=budget)
    assert len(sandbox.intents) == 1


def test_a_closed_client_takes_no_points(caller: Caller) -> None:
    """A call on a closed client ends before it asks the budget."""
    budget = Budget(points=2)

    async def closed_async() -> None:
        async with AsyncStoq(SHOP, budget=budget) as stoq:
            pass
        await stoq.create_intent(email_request())

    def closed() -> None:
        with Stoq(SHOP, budget=budget) as stoq:
            pass
        stoq.create_intent(email_request())

    with pytest.raises(ClientClosedError):
        closed() if caller.mode == "sync" else asyncio.run(closed_async())
    assert budget.take(SHOP) == 0
