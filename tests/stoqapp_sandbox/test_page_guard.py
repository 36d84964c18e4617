"""Who may look at what the sandbox holds, and what its stream sends them."""

import json
import socket
from typing import Any

import httpx
import pytest
from sending import HANG_SECONDS, PATH, get, received, send

from stoqapp_sandbox import Sandbox

PRIVATE = [
    ("GET", "/"),
    ("GET", "/_sandbox/page/script.js"),
    ("GET", "/_sandbox/events"),
    ("GET", "/_sandbox/intents"),
    ("GET", "/_sandbox/requests"),
    ("POST", "/_sandbox/reset"),
    ("GET", "/_sandbox/nothing"),
]


def head_of(sandbox: Sandbox, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Ask, and return status and headers without waiting for a body, which may have no end."""
    url = f"{sandbox.url}{path}"
    with httpx.stream(method, url, headers=headers, timeout=HANG_SECONDS) as answer:
        return answer.status_code, dict(answer.headers)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("LocalHost:8321", True),
        ("localhost.", True),
        ("shop.localhost:1", True),
        ("[::1]:8321", True),
        ("", False),
        ("example.com", False),
        ("127.0.0.1.example.com", False),
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
    "target", ["http://localhost/_sandbox/intents", "http://example.com/%5fsandbox/intents"]
)
def test_a_target_with_a_host(sandbox: Sandbox, target: str) -> None:
    """A target that a proxy is sent is not a path of the sandbox, whatever its host."""
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert received(sandbox, head.encode()).startswith(b"HTTP/1.1 404 ")


def test_the_name_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of this machine's loopback is answered where the sandbox was given it."""
    resolved = socket.getaddrinfo

    def with_a_name(host: Any, *rest: Any, **more: Any) -> Any:
        return resolved("127.0.0.1" if host == "VM.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", with_a_name)
    with Sandbox(host="VM.test") as sandbox:
        url = f"http://127.0.0.1:{sandbox.port}"
        own = {"host": f"vm.test:{sandbox.port}", "origin": f"http://vm.test:{sandbox.port}"}
        answers = [httpx.post(f"{url}/_sandbox/reset", headers=own)]
        for host in ("vm.test.", "localhost", "other.test", "vm.test.other.test", ""):
            answers.append(httpx.get(url, headers={"host": host}))
        assert [200, 200, 200, 403, 403, 403] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "example.com"},
        {"origin": "https://example.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[::1"},
    ],
    ids=str,
)
def test_everything_of_its_own_is_private(
    sandbox: Sandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    """Another host name and another site get 403, wherever they ask, and change nothing."""
    sandbox.configure(allow_origin="https://example.com", assume={"cors": "any"})
    assert send(sandbox).status_code == 201
    status, answered = head_of(sandbox, method, path, **headers)
    assert status == 403
    assert not [name for name in answered if name.startswith("access-control-")]
    assert len(sandbox.intents) == 1


def test_own_origin(sandbox: Sandbox) -> None:
    """What the page itself asks for is answered, by whichever of its names it was opened."""
    for host in (f"127.0.0.1:{sandbox.port}", f"localhost:{sandbox.port}"):
        status, _ = head_of(sandbox, "POST", "/_sandbox/reset", host=host, origin=f"http://{host}")
        assert status == 200


def test_the_api_takes_any_host(sandbox: Sandbox) -> None:
    """The endpoint answers whatever its Host is, as a proxy in front of it may need."""
    assert head_of(sandbox, "POST", PATH, host="app.stoqapp.com")[0] == 400


@pytest.mark.parametrize(("method", "path"), [*PRIVATE, ("HEAD", "/_sandbox/events")])
def test_headers(sandbox: Sandbox, method: str, path: str) -> None:
    """No other site may keep, frame, guess at or run what the sandbox answers for itself."""
    _, headers = head_of(sandbox, method, path)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_stream(sandbox: Sandbox) -> None:
    """The stream begins with the whole, and goes on with the whole after each change."""
    with httpx.stream("GET", f"{sandbox.url}/_sandbox/events", timeout=HANG_SECONDS) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))

        def view() -> dict[str, Any]:
            return dict(json.loads(next(lines).removeprefix("data: ")))

        first = view()
        empty = {"stored": 0, "refused": 0, "limit": None, "faults": [], "requests": []}
        assert first == {**empty, "generation": first["generation"]}
        send(sandbox, b"{")
        second = view()
        sandbox.fail_next("garbage")
        third = view()
        sandbox.configure(rate_limit=(7, 60))
        fourth = view()
    assert (second["refused"], second["requests"][0]["status"]) == (1, 400)
    assert [fault["fault"] for fault in third["faults"]] == ["garbage"]
    assert {**empty, "limit": [7, 60]} == {name: fourth[name] for name in empty}
    assert fourth["generation"] > first["generation"]


def test_a_burst_is_one_event(sandbox: Sandbox) -> None:
    """Changes that come faster than five a second are told together, the last one included."""
    with httpx.stream("GET", f"{sandbox.url}/_sandbox/events", timeout=HANG_SECONDS) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        next(lines)
        for _ in range(50):
            send(sandbox)
        told = 0
        while json.loads(next(lines).removeprefix("data: "))["refused"] < 49:
            told += 1
    assert told < 40


def test_the_list_is_bounded(sandbox: Sandbox) -> None:
    """The newest 100 requests are listed, newest first, and no text is longer than 200."""
    for _ in range(120):
        send(sandbox)
    sandbox.fail_next(500, body={"errors": ["x" * 5000]})
    send(sandbox)
    with httpx.stream("GET", f"{sandbox.url}/_sandbox/events", timeout=HANG_SECONDS) as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
    view = json.loads(line.removeprefix("data: "))
    assert [request["number"] for request in view["requests"]] == list(range(121, 21, -1))
    assert (view["stored"], view["refused"]) == (1, 120)
    assert len(view["requests"][0]["reason"]) == 200


def test_a_reader_who_does_not_read(sandbox: Sandbox) -> None:
    """A reader who takes nothing keeps no other request from being answered."""
    with socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.sendall(b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert caller.recv(1)
        for number in range(1, 200):
            send(sandbox, b"{")
            assert number == get(sandbox, f"/_sandbox/requests?after={number - 1}")[0]["number"]
