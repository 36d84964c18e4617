"""Stoq and AsyncStoq: their options, what is sent, and what comes back."""

import asyncio
import inspect
import math
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from calling import Caller, email_request

from record_cassettes import SHOP
from stoqapp import (
    AsyncStoq,
    Budget,
    BudgetExhaustedError,
    ClientClosedError,
    ConfigurationError,
    HttpOptions,
    InvalidIntentError,
    Stoq,
    Timeout,
)
from stoqapp import settings as options_of_clients
from stoqapp.spec import BASE_URL
from stoqapp_sandbox import Sandbox

LOOPBACK = "http://127.0.0.1:1"


class Metrics:
    """Counts attempts in a function that has to be awaited."""

    async def __call__(self, attempt: object) -> None:
        pass


class Service:
    """A transport that answers each request with 201, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.http = HttpOptions(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(201)

    @property
    def read_timeouts(self) -> list[float]:
        """What each request was given to wait for a part of the answer."""
        return [request.extensions["timeout"]["read"] for request in self.requests]


# What a sandbox is sent costs the shop no points at the vendor.
SPENT_ELSEWHERE = Budget(points=2)
SPENT_ELSEWHERE.take(f"{SHOP}@127.0.0.1:1")

UNUSABLE: dict[str, list[Any]] = {
    "shop": [None, "a\r\nX-Evil: 1", "dëmo.myshopify.com", 5],
    "base_url": [
        *("http://app.stoqapp.com/api/v1", "app.stoqapp.com", "ftp://127.0.0.1", "https://", 5),
        *("https://user:secret@app.stoqapp.com", "https://127.0.0.1:99999", "https://[::1"),
        *("https://app.stoqapp.com/?q=1", "https://app.stoqapp.com/api/v1/intents.json"),
    ],
    "timeout": [0, -1, math.inf, math.nan, True, "soon", "１２", "1_0", Timeout(pool=-1)],
    "total_timeout": [0],
    "max_retries": [-1, True, 1.5],
    "retry_unknown": ["false"],
    "budget": [360, "none", []],
    "on_attempt": ["print", asyncio.sleep, Metrics()],
    "app_name": ["", "my shop/", "a\r\nX-Evil: 1", "ünï", 5],
    "headers": [
        "X-Team: a",
        *({"X Team": "a"}, {"": "a"}, {5: "a"}, {"X-Team": 5}, {"X-Team": ""}, {"X-Team": "ä"}),
        *({"X-Team": "a\r\nX-Evil: 1"}, {"User-Agent": "a"}, {"content-type": "a"}),
        *({"Host": "a"}, {"x-shopify-shop-domain": "a"}, {"Transfer-Encoding": "a"}),
    ],
    "http": ["http://proxy"],
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_settings(name: str) -> None:
    """A client that could not work is refused when it is made, naming the option."""
    kinds = ConfigurationError, InvalidIntentError
    for given in UNUSABLE[name]:
        with pytest.raises(kinds[name == "shop" and given is not None], match=name):
            Stoq(**({"shop": SHOP} | {name: given}))


def test_usable_base_urls() -> None:
    """https goes anywhere, plain http to loopback; a trailing slash makes no difference."""
    for base_url in ("https://example.com/api/", LOOPBACK, "http://[::1]:1", "http://localhost"):
        with Stoq(SHOP, base_url=base_url) as stoq:
            assert repr(stoq) == f"Stoq(shop={SHOP!r}, base_url={base_url.rstrip('/')!r})"


def test_headers_of_a_request(caller: Caller) -> None:
    """The application names itself and adds headers; the client's own stay as they are."""
    service = Service()
    options: dict[str, Any] = {"app_name": "my-shop/2.1", "headers": {"X-Team": "back office"}}
    caller.create_intent(email_request(), http=service.http, **options)
    [request] = service.requests
    sent = dict(request.headers)
    assert sent.pop("user-agent").startswith("my-shop/2.1 stoqapp/")
    assert sent == {
        "x-shopify-shop-domain": SHOP,
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "host": httpx.URL(BASE_URL).host,
        "content-length": str(len(request.content)),
        "x-team": "back office",
    }


@pytest.mark.parametrize(
    ("client", "call", "seconds"),
    [
        ({}, {}, 10.0),
        ({"timeout": 3}, {}, 3.0),
        ({"timeout": Timeout(read=4.0)}, {}, 4.0),
        ({"timeout": 3}, {"timeout": Timeout(read=2.0)}, 2.0),
        ({"timeout": 30, "total_timeout": 20.0}, {"total_timeout": math.inf}, 30.0),
        # No phase may outlast the deadline.
        ({"timeout": 30, "total_timeout": 8.0}, {}, 8.0),
        ({"timeout": 30}, {"total_timeout": 8.0}, 8.0),
    ],
)
def test_timeouts(
    client: dict[str, Any], call: dict[str, Any], seconds: float, caller: Caller
) -> None:
    """A call has its own timeouts, else the client's, else 10 seconds a phase."""
    service = Service()
    fields = {"variant": 1, "product": 2, "email": "ada@example.com"}
    with caller.client(http=service.http, **client) as made:
        made.do(lambda stoq: stoq.create_intent(email_request(), **call))
        made.do(lambda stoq: stoq.subscribe(**fields, **call))
    # Some of the call's time has passed when its phases begin.
    assert [True, True] == [seconds - 2 < each <= seconds for each in service.read_timeouts]


def test_what_cannot_be_sent(caller: Caller) -> None:
    """A request that breaks rules, or a call with an unusable timeout, never leaves."""
    service = Service()
    with caller.client(http=service.http) as client:
        with pytest.raises(InvalidIntentError, match=r"(?s)customer\.country.*customer\.email"):
            client.create_intent(email_request(email=" ", country="U"))
        for call in ({"timeout": 0}, {"total_timeout": -1}):
            with pytest.raises(ConfigurationError, match=next(iter(call))):
                client.create_intent(email_request(), **call)
    assert service.requests == []


@pytest.mark.parametrize(
    ("base_url", "options", "is_paced"),
    [
        (BASE_URL, {}, True),
        (BASE_URL, {"budget": None}, False),
        (BASE_URL, {"budget": SPENT_ELSEWHERE}, False),
        (LOOPBACK, {}, False),
        ("http://localhost:1", {"budget": "auto"}, False),
        (LOOPBACK, {"budget": "shared"}, True),
        ("https://example.com", {}, True),
    ],
)
def test_what_is_paced(base_url: str, options: dict[str, Any], is_paced: bool) -> None:
    """Clients share the points of the process, but a loopback address costs none by default."""
    for name in (SHOP, f"{SHOP}@127.0.0.1:1", f"{SHOP}@localhost:1", f"{SHOP}@example.com"):
        while not options_of_clients.shared_budget().take(name):
            pass
    service = Service()
    with Stoq(SHOP, base_url=base_url, http=service.http, total_timeout=1.0, **options) as stoq:
        if is_paced:
            with pytest.raises(BudgetExhaustedError, match="rate budget") as caught:
                stoq.create_intent(email_request())
            assert 1.0 < (caught.value.retry_after or 0) < 62.0
        else:
            stoq.create_intent(email_request())
    assert len(service.requests) == int(not is_paced)


def test_the_default_deadline_holds_a_window_of_the_budget(
    caller: Caller, sandbox: Sandbox
) -> None:
    """Who comes when the points are used up waits for the next ones, and fails not at once."""
    budget = Budget(clock=lambda: 1000.0 + sum(caller.waits))
    while not budget.take(f"{SHOP}@{urlsplit(sandbox.base_url).netloc}"):
        pass
    caller.create_intent(email_request(), base_url=sandbox.base_url, budget=budget)
    assert len(sandbox.intents) == 1


def test_a_closed_client_does_not_ask_the_budget(caller: Caller) -> None:
    """A call on a closed client ends before it waits for points."""
    budget = Budget(points=2)
    assert budget.take(SHOP) == 0
    with caller.client(budget=budget, total_timeout=1.0) as client:
        client.close()
        assert type(client.outcome()) is ClientClosedError


def test_a_copy_with_other_options() -> None:
    """with_options changes what it is given, keeps the rest, and shares the connections."""
    service = Service()
    with Stoq(SHOP, budget=None, http=service.http, timeout=3, app_name="a/1") as stoq:
        other = stoq.with_options(shop="other", timeout=4, app_name=None)
        stoq.create_intent(email_request())
        other.create_intent(email_request())
        with pytest.raises(TypeError, match="base_url"):
            stoq.with_options(base_url=LOOPBACK)  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError):
            stoq.with_options(timeout=0)
    with pytest.raises(ClientClosedError):
        other.create_intent(email_request())
    sent = [
        (request.headers["x-shopify-shop-domain"], request.headers["user-agent"][:3])
        for request in service.requests
    ]
    assert [(SHOP, "a/1"), ("other.myshopify.com", "sto")] == sent
    assert [3.0, 4.0] == service.read_timeouts


def test_the_environment_is_named_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error about a variable says which; one that is set to nothing counts as not set."""
    wrong = {"STOQ_SHOP": "a b", "STOQ_BASE_URL": "app.stoqapp.com", "STOQ_TIMEOUT": "soon"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
        with pytest.raises((InvalidIntentError, ConfigurationError), match=name):
            Stoq(None if name == "STOQ_SHOP" else "demo")
        monkeypatch.setenv(name, " ")
    with Stoq("demo") as stoq:
        assert BASE_URL in repr(stoq)


def test_the_environment_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable stands in for an argument when the client is made; a copy keeps its value."""
    service = Service()
    for name, value in {"SHOP": "other", "BASE_URL": LOOPBACK, "TIMEOUT": "2.5"}.items():
        monkeypatch.setenv(f"STOQ_{name}", value)
    with Stoq(http=service.http) as stoq:
        for name, value in {"SHOP": "third", "BASE_URL": "http://[::1]:2", "TIMEOUT": "7"}.items():
            monkeypatch.setenv(f"STOQ_{name}", value)
        for client in (stoq, stoq.with_options(max_retries=0)):
            assert repr(client) == f"Stoq(shop='other.myshopify.com', base_url='{LOOPBACK}')"
            client.create_intent(email_request())
    with Stoq("demo", base_url="http://127.0.0.1:2", timeout=3, http=service.http) as stoq:
        assert repr(stoq) == "Stoq(shop='demo.myshopify.com', base_url='http://127.0.0.1:2')"
        stoq.create_intent(email_request())
    assert [2.5, 2.5, 3.0] == service.read_timeouts


def test_both_clients_are_one_promise() -> None:
    """The two clients have the same public methods, which AsyncStoq's callers await."""

    def public(client: type) -> dict[str, Any]:
        methods = {"": client, **dict(inspect.getmembers(client, inspect.isfunction))}
        return {name: method for name, method in methods.items() if not name.startswith("_")}

    sync, asynchronous = public(Stoq), public(AsyncStoq)
    for name in {*sync, *asynchronous}:
        assert inspect.signature(sync[name]) == inspect.signature(asynchronous[name])
        awaited = inspect.iscoroutinefunction(asynchronous[name])
        assert awaited is (name not in ("", "with_options"))
