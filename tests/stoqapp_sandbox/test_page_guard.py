"""Who may look at what the sandbox holds, and what its stream sends them."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.faults import KINDS

SHOP = "demo.myshopify.com"
PRIVATE = [
    ("GET", "/"),
    ("GET", "/_sandbox/page/script.js"),
    ("GET", "/_sandbox/events"),
    ("GET", "/_sandbox/intents"),
    ("POST", "/_sandbox/reset"),
    ("POST", "/_sandbox/fail"),
    ("GET", "/_sandbox/nothing"),
]
HANG_SECONDS = 20


def head_of(sandbox: Sandbox, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Ask, and return status and headers without waiting for a body, which may have no end."""
    url = f"{sandbox.url}{path}"
    with httpx.stream(method, url, headers=headers, timeout=HANG_SECONDS) as answer:
        return answer.status_code, dict(answer.headers)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it does not come to hold."""
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("localhost", True),
        ("LocalHost:8321", True),
        ("localhost.", True),
        ("shop.localhost:1", True),
        ("[::1]", True),
        ("[::1]:8321", True),
        ("", False),
        ("example.com", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("192.0.2.1", False),
        ("0.0.0.0", False),
        ("[::1", False),
        ("user@127.0.0.1@example.com", False),
    ],
)
def test_host(sandbox: Sandbox, host: str, allowed: bool) -> None:
    """A connection to a loopback address is answered for loopback names alone."""
    for path in ("/", "/_sandbox/intents"):
        status, _ = head_of(sandbox, "GET", path, host=host)
        assert status == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("method", "target", "host", "status"),
    [
        ("POST", "http://app.stoqapp.com/api/v1/intents.json", "app.stoqapp.com", 400),
        ("POST", "HTTPS://app.stoqapp.com/api/v1/intents.json?x=http://y/", "127.0.0.1", 400),
        ("POST", "http://app.stoqapp.com/api/v1/other.json", "app.stoqapp.com", 404),
        ("GET", "http://localhost/_sandbox/intents", "example.com", 200),
        ("GET", "http://127.0.0.1:80", "127.0.0.1", 200),
        ("GET", "http://example.com/_sandbox/intents", "127.0.0.1", 403),
        ("GET", "http://example.com/%5fsandbox/intents", "127.0.0.1", 403),
        ("GET", "http://example.com", "127.0.0.1", 403),
        ("GET", "http://example.com/", "localhost", 403),
        ("GET", "http:///_sandbox/intents", "localhost", 403),
        ("GET", "http://localhost@example.com/", "localhost", 403),
        ("GET", "http://localhost\\example.com/", "localhost", 403),
        ("GET", "http://example.com?/_sandbox/intents", "localhost", 403),
        ("GET", "ftp://localhost/_sandbox/intents", "localhost", 404),
    ],
)
def test_a_target_with_a_host(
    sandbox: Sandbox, method: str, target: str, host: str, status: int
) -> None:
    """The endpoint answers one, as a proxy is sent it; elsewhere its host is judged as Host."""
    with (
        socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as caller,
        caller.makefile("rb") as answer,
    ):
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n"
        caller.sendall(f"{head}Connection: close\r\n\r\n".encode())
        assert answer.readline().startswith(f"HTTP/1.1 {status} ".encode())


def test_the_name_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of this machine's loopback is answered where the sandbox was given it, also later."""
    resolved = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolved(
            "127.0.0.1" if host == "VM.test" else host, *rest, **more
        ),
    )
    with Sandbox(host="VM.test") as sandbox:
        url = f"http://127.0.0.1:{sandbox.port}"
        for _ in range(2):
            own = {"host": f"vm.test:{sandbox.port}", "origin": f"http://vm.test:{sandbox.port}"}
            answers = [httpx.post(f"{url}/_sandbox/reset", headers=own)]
            for host in ("vm.test.", "localhost", "other.test", "vm.test.other.test", ""):
                answers.append(httpx.get(url, headers={"host": host}))
            assert [200, 200, 200, 403, 403, 403] == [answer.status_code for answer in answers]
            sandbox.configure()


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "example.com"},
        {"origin": "https://example.com"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[::1"},
    ],
    ids=str,
)
def test_everything_of_its_own_is_private(
    sandbox: Sandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    """Another host name and another site get 403, wherever they ask, and change nothing."""
    intent = {
        "shopify_variant_id": 1,
        "shopify_product_id": 2,
        "channel": "email",
        "quantity": 1,
        "source": "api",
    }
    body = {"intent": intent, "customer": {"email": "ada@example.com"}}
    url = f"{sandbox.base_url}/intents.json"
    assert httpx.post(url, json=body, headers={"X-Shopify-Shop-Domain": SHOP}).status_code == 201

    status, answered = head_of(sandbox, method, path, **headers)

    assert status == 403
    assert not [name for name in answered if name.startswith("access-control-")]
    assert len(sandbox.intents) == 1


def test_own_origin(sandbox: Sandbox) -> None:
    """What the page itself asks for is answered, by whichever of its names it was opened."""
    for host in (f"127.0.0.1:{sandbox.port}", f"localhost:{sandbox.port}"):
        status, _ = head_of(sandbox, "POST", "/_sandbox/reset", host=host, origin=f"http://{host}")
        assert status == 200


def test_the_api_is_left_as_it_is(sandbox: Sandbox) -> None:
    """The endpoint takes any host name, and gives no other origin leave to send to it."""
    elsewhere = {"host": "app.stoqapp.com", "origin": "https://demo.myshopify.com"}
    asking = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-shopify-shop-domain",
    }

    posted = head_of(sandbox, "POST", "/api/v1/intents.json", **elsewhere)
    asked = head_of(sandbox, "OPTIONS", "/api/v1/intents.json", **elsewhere, **asking)

    assert (posted[0], asked[0]) == (400, 405)
    for _, headers in (posted, asked):
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(("method", "path"), [*PRIVATE, ("HEAD", "/_sandbox/events")])
def test_headers(sandbox: Sandbox, method: str, path: str) -> None:
    """Each of its answers may be kept, framed, guessed at or run from elsewhere by nobody."""
    _, headers = head_of(sandbox, method, path)

    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "x-ratelimit-limit" not in headers


def test_stream(sandbox: Sandbox) -> None:
    """The stream begins with the whole, and goes on with the whole after each change."""
    with httpx.stream("GET", f"{sandbox.url}/_sandbox/events", timeout=HANG_SECONDS) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))

        def view() -> dict[str, Any]:
            return json.loads(next(lines).removeprefix("data: "))

        first = view()
        assert [0, 0, []] == [first[name] for name in ("stored", "refused", "budgets")]
        httpx.post(f"{sandbox.base_url}/intents.json", content=b"{")
        refused = view()

    assert refused["refused"] == 1
    assert refused["refusals"][0]["status"] == 400
    assert refused["budgets"][0]["points_left"] == 358


# For each fault: the status that the caller hears, and whether the intent is stored.
HEARD: dict[str, tuple[int | None, bool]] = {
    "status=503": (503, False),
    "latency=0.01": (201, True),
    "odd-201=html": (201, True),
    "reset-before-store": (None, False),
    "reset-after-store": (None, True),
    "close-before-store": (None, False),
    "close-after-store": (None, True),
    "reset-in-head": (None, True),
    "reset-in-body": (201, True),
    "truncated-body": (201, True),
    "slow-bytes=0.0001": (201, True),
    "garbage": (None, True),
}


def test_the_table_of_what_is_heard_names_every_fault() -> None:
    """There is no fault that the next test passes over."""
    assert [name.partition("=")[0] for name in HEARD] == list(KINDS)


@pytest.mark.parametrize("fault", HEARD)
def test_what_a_fault_keeps_from_the_caller_is_shown_as_unanswered(
    sandbox: Sandbox, fault: str
) -> None:
    """The page lists who heard no 201, with the status that was heard and not the one meant."""
    heard, stored = HEARD[fault]
    sandbox.fail_next(fault)
    wanted = {"shopify_variant_id": 11, "shopify_product_id": 22, "channel": "email"}
    sent = {
        "intent": wanted | {"quantity": 1, "source": "api"},
        "customer": {"email": "ada@example.com"},
    }
    with suppress(httpx.TransportError):
        httpx.post(
            f"{sandbox.base_url}/intents.json",
            json=sent,
            headers={"X-Shopify-Shop-Domain": SHOP},
            timeout=HANG_SECONDS,
        )
    journal = sandbox._service.journal
    # The balance is noted last but for the refusal, and that in the same breath.
    wait_until(lambda: bool(journal.view()["budgets"]))
    wait_until(lambda: heard == 201 or journal.view()["refused"] == 1)

    view = journal.view()
    assert int(stored) == view["stored"]
    assert ([] if heard == 201 else [heard]) == [one["status"] for one in view["refusals"]]


def test_reader_who_does_not_read(sandbox: Sandbox) -> None:
    """A reader who takes nothing costs no more than a buffer, and is forgotten when it goes."""
    journal = sandbox._service.journal
    with socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: journal.watchers == 1)
        for number in range(2000):
            journal.refused(400, "POST /", SHOP, None, ("x" * 120,) * 20)
            assert journal.view()["refused"] == number + 1
    wait_until(lambda: journal.watchers == 0)


@pytest.mark.parametrize("end", ["readers", "sandbox"])
def test_streams_end(end: str) -> None:
    """Streams end with their readers, and keep no sandbox from ending."""
    with Sandbox() as sandbox:
        journal = sandbox._service.journal
        callers = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(20)]
        for caller in callers:
            caller.sendall(b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: journal.watchers == 20)
        if end == "readers":
            for caller in callers:
                caller.close()
            wait_until(lambda: journal.watchers == 0)

    assert journal.watchers == 0
    for caller in callers:
        caller.close()
