"""Stoq and AsyncStoq: what is sent, and what comes back, in both modes."""

import inspect
from typing import Any
from urllib.parse import urlsplit

import pytest
from calling import Caller, email_request
from faults import FaultServer
from outcomes import YES

from record_cassettes import SHOP
from stoqapp import AsyncStoq, Budget, ClientClosedError, InvalidIntentError, Stoq
from stoqapp.body import plain
from stoqapp_sandbox import Sandbox


def test_a_broken_rule_sends_nothing(caller: Caller) -> None:
    """A request that breaks rules never reaches the service."""
    with FaultServer(YES) as server, pytest.raises(InvalidIntentError) as caught:
        caller.create_intent(email_request(email=" ", country="U"), base_url=server.url())
    assert ["customer.country", "customer.email"] == [
        violation.path for violation in caught.value.violations
    ]
    assert server.connections == 0


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
    with caller.client(budget=budget) as client:
        client.do(lambda stoq: stoq.close())
        assert type(client.outcome()) is ClientClosedError
    assert budget.take(SHOP) == 0


def test_both_clients_are_one_promise() -> None:
    """The two clients have the same public methods, which AsyncStoq's callers await."""

    def public(client: type) -> dict[str, Any]:
        methods = inspect.getmembers(client, inspect.isfunction)
        return {name: method for name, method in methods if not name.startswith("_")}

    def signatures(client: type) -> dict[str, Any]:
        return {name: inspect.signature(method) for name, method in public(client).items()}

    assert signatures(Stoq) == signatures(AsyncStoq)
    assert inspect.signature(Stoq) == inspect.signature(AsyncStoq)
    awaited = [name for name, to in public(AsyncStoq).items() if inspect.iscoroutinefunction(to)]
    assert [name for name in public(Stoq) if name != "with_options"] == awaited
