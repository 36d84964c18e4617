"""The options of a client: argument, environment, default, and what is refused."""

import asyncio
import inspect
from typing import Any

import pytest
from conftest import email_request

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    Budget,
    ClientClosedError,
    ConfigurationError,
    InvalidIntentError,
    Stoq,
    Timeout,
)
from stoqapp.spec import BASE_URL
from stoqapp_sandbox import Sandbox


class Metrics:
    """Counts attempts in a way that nobody would await."""

    async def __call__(self, attempt: object) -> None:
        """Count one."""


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"shop": "a\r\nX-Evil: 1"}, InvalidIntentError),
        ({"shop": "dëmo.myshopify.com"}, InvalidIntentError),
        ({"shop": 5}, InvalidIntentError),
        ({"shop": None}, ConfigurationError),
        ({"base_url": "http://app.stoqapp.com/api/v1"}, ConfigurationError),
        ({"base_url": "app.stoqapp.com"}, ConfigurationError),
        ({"base_url": "ftp://127.0.0.1"}, ConfigurationError),
        ({"base_url": "https://user:secret@app.stoqapp.com"}, ConfigurationError),
        ({"base_url": "https://app.stoqapp.com/?q=1"}, ConfigurationError),
        ({"base_url": "https://[::1"}, ConfigurationError),
        ({"base_url": "https://"}, ConfigurationError),
        ({"base_url": 5}, ConfigurationError),
        ({"timeout": 0}, ConfigurationError),
        ({"timeout": -1}, ConfigurationError),
        ({"timeout": float("inf")}, ConfigurationError),
        ({"timeout": float("nan")}, ConfigurationError),
        ({"timeout": True}, ConfigurationError),
        ({"timeout": "soon"}, ConfigurationError),
        ({"timeout": 10**400}, ConfigurationError),
        ({"timeout": Timeout(1, 0, 1, 1)}, ConfigurationError),
        ({"total_timeout": 0}, ConfigurationError),
        ({"max_retries": -1}, ConfigurationError),
        ({"max_retries": True}, ConfigurationError),
        ({"max_retries": 1.5}, ConfigurationError),
        ({"budget": 360}, ConfigurationError),
        ({"on_attempt": "print"}, ConfigurationError),
        ({"base_url": "https://app.stoqapp.com/api/v1?"}, ConfigurationError),
        ({"base_url": "https://app.stoqapp.com/api/v1#"}, ConfigurationError),
        ({"timeout": "１２"}, ConfigurationError),
        ({"timeout": "1_0"}, ConfigurationError),
        ({"on_attempt": asyncio.sleep}, ConfigurationError),
        ({"retry_unknown": "false"}, ConfigurationError),
        ({"base_url": "https://127.0.0.1:99999"}, ConfigurationError),
        ({"base_url": "https://app.stoqapp.com/api/v1/intents.json"}, ConfigurationError),
        ({"on_attempt": Metrics()}, ConfigurationError),
    ],
)
@pytest.mark.parametrize("client", [Stoq, AsyncStoq])
def test_unusable_settings(client: Any, settings: dict[str, Any], kind: type[Exception]) -> None:
    """A client that could not work is refused when it is made."""
    with pytest.raises(kind):
        client(**({"shop": SHOP} | settings))


@pytest.mark.parametrize(
    "base_url",
    ["https://example.com/api/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"],
)
def test_usable_base_urls(base_url: str) -> None:
    """https goes anywhere, plain http to loopback; a trailing slash is no matter."""
    with Stoq(SHOP, base_url=base_url) as stoq:
        assert repr(stoq) == f"Stoq(shop={SHOP!r}, base_url={base_url.rstrip('/')!r})"


def test_a_copy_with_other_options(sandbox: Sandbox) -> None:
    """with_options changes what it is given, keeps the rest, and shares the connections."""
    with Stoq(SHOP, base_url=sandbox.base_url, budget=None, max_retries=1) as stoq:
        other = stoq.with_options(shop="other", max_retries=0)
        assert (other.shop, other._settings.max_retries) == ("other.myshopify.com", 0)
        assert other._transport is stoq._transport
        assert other._settings.policy.budget is None
        assert (stoq.shop, stoq._settings.max_retries) == (SHOP, 1)
        other.create_intent(email_request())
        with pytest.raises(TypeError, match="base_url"):
            stoq.with_options(base_url="http://127.0.0.1:1")  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError):
            stoq.with_options(timeout=0)
    with pytest.raises(ClientClosedError):
        other.create_intent(email_request())
    assert [intent["shop"] for intent in sandbox.intents] == ["other.myshopify.com"]


def test_one_budget_is_shared_by_default() -> None:
    """Clients pace by one budget of the process, unless they are told otherwise."""
    own = Budget(share=0.5)
    with Stoq("a") as a, Stoq("b") as b, Stoq("c", budget=own) as c, Stoq("d", budget=None) as d:
        budgets = [client._settings.policy.budget for client in (a, b, c, d)]
    assert budgets[0] is budgets[1] is not None
    assert budgets[2:] == [own, None]


def test_the_default_timeout_is_finite() -> None:
    """Nobody waits for ever by default."""
    with Stoq(SHOP) as stoq:
        assert stoq._settings.timeout == Timeout(10.0, 10.0, 10.0)
        assert stoq._settings.total_timeout == 90.0
    assert Timeout(read=5.0) == Timeout(10.0, 5.0, 10.0)


def test_another_host_has_points_of_its_own(sandbox: Sandbox) -> None:
    """What a sandbox is sent is not taken from the shop's points at the vendor."""
    budget = Budget()
    with Stoq(SHOP, base_url=sandbox.base_url, budget=budget) as stoq:
        stoq.create_intent(email_request())
    assert sum(budget.take(SHOP) == 0 for _ in range(181)) == 180
    with Stoq(SHOP, budget=budget) as stoq:
        assert stoq._settings.policy.budget_key == SHOP


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("STOQ_SHOP", "a b", InvalidIntentError),
        ("STOQ_BASE_URL", "app.stoqapp.com", ConfigurationError),
        ("STOQ_TIMEOUT", "soon", ConfigurationError),
    ],
)
def test_the_environment_is_named_where_it_is_wrong(
    name: str, value: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error about a variable says which; one that is set to nothing counts as not set."""
    monkeypatch.setenv("STOQ_SHOP", "demo")
    monkeypatch.setenv(name, value)
    with pytest.raises(kind, match=name):
        Stoq()
    monkeypatch.setenv(name, " ")
    with Stoq("demo") as stoq:
        assert stoq._settings.base_url == BASE_URL


def test_the_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """STOQ_SHOP, STOQ_BASE_URL and STOQ_TIMEOUT stand in for arguments that are not given."""
    monkeypatch.setenv("STOQ_SHOP", "other")
    monkeypatch.setenv("STOQ_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("STOQ_TIMEOUT", "2.5")
    with Stoq() as stoq:
        assert stoq.shop == "other.myshopify.com"
        assert "http://127.0.0.1:1" in repr(stoq)
        assert stoq._settings.timeout.read == 2.5
    with Stoq("demo", base_url="http://127.0.0.1:2", timeout=3) as stoq:
        assert stoq.shop == "demo.myshopify.com"
        assert "http://127.0.0.1:2" in repr(stoq)
        assert stoq._settings.timeout.read == 3


def test_a_copy_keeps_to_what_was_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy does not go to another shop, nor wait otherwise, because the environment changed."""
    for name, values in {"STOQ_SHOP": ("first", "second"), "STOQ_TIMEOUT": ("3", "77")}.items():
        monkeypatch.setenv(name, values[0])
    with Stoq() as stoq:
        monkeypatch.setenv("STOQ_SHOP", "second")
        monkeypatch.setenv("STOQ_TIMEOUT", "77")
        copy = stoq.with_options(max_retries=0)
        assert (copy.shop, copy._settings.timeout) == (stoq.shop, stoq._settings.timeout)
        monkeypatch.delenv("STOQ_SHOP")
        assert stoq.with_options(timeout=5).shop == "first.myshopify.com"


def test_both_clients_are_one_promise() -> None:
    """The two clients have the same public methods with the same parameters."""

    def public(client: type) -> dict[str, Any]:
        return {
            name: [
                (parameter.name, parameter.kind, parameter.default)
                for parameter in inspect.signature(member).parameters.values()
            ]
            for name, member in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert public(Stoq) == public(AsyncStoq)
    for name in public(Stoq):
        if name not in ("__init__", "with_options"):
            assert inspect.iscoroutinefunction(getattr(AsyncStoq, name))
