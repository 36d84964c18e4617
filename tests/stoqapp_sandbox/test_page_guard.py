"""Who may look at what the sandbox holds, and what its stream sends them."""

import json
import socket
from typing import Any

import pytest
from sending import CLIENT, PATH, VALID, get, received, send, send_many, sent_raw

from stoqapp_sandbox import Sandbox

EVENTS = b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
PRIVATE = [
    ("GET", "/"),
    ("GET", "/_sandbox/page/script.js"),
    ("GET", "/_sandbox/events"),
    ("HEAD", "/_sandbox/events"),
    ("GET", "/_sandbox/intents"),
    ("GET", "/_sandbox/requests"),
    ("POST", "/_sandbox/reset"),
    ("GET", "/_sandbox/nothing"),
]


def ask(sandbox: Sandbox, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Ask, and return status and headers without waiting for a body, which may have no end."""
    url = f"{sandbox.url}{path}"
    with CLIENT.stream(method, url, headers=headers) as answer:
        return answer.status_code, dict(answer.headers)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.9.9.9:80", "LocalHost.:8321", "a.localhost", "[::1]:8321")),
        *((host, 403) for host in ("", "127.0.0.1.example.com", "notlocalhost", "0.0.0.0")),
        *((host, 403) for host in ("192.0.2.1", "u@127.0.0.1@example.com")),
    ],
)
def test_host(sandbox: Sandbox, host: str, status: int) -> None:
    """A connection to a loopback address is answered for loopback names alone."""
    assert status == ask(sandbox, "GET", "/_sandbox/intents", host=host)[0]


def test_a_target_with_a_host(sandbox: Sandbox) -> None:
    """A target that a proxy is sent is not a path of the sandbox."""
    head = b"GET http://localhost/_sandbox/intents HTTP/1.1\r\nHost: localhost\r\n"
    assert received(sandbox, head + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_the_name_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of this machine's loopback is answered where the sandbox was given it."""
    resolved = socket.getaddrinfo

    def with_a_name(host: Any, *rest: Any, **more: Any) -> Any:
        return resolved("127.0.0.1" if host == "VM.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", with_a_name)
    with Sandbox(host="VM.test") as sandbox:
        url = f"http://127.0.0.1:{sandbox.port}"
        own = {"host": f"vm.test:{sandbox.port}", "origin": f"http://vm.test:{sandbox.port}"}
        assert 200 == CLIENT.post(f"{url}/_sandbox/reset", headers=own).status_code
        hosts = ("vm.test.", "localhost", "other.test", "vm.test.other.test", "")
        answers = [CLIENT.get(url, headers={"host": host}).status_code for host in hosts]
        assert [200, 200, 403, 403, 403] == answers


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_everything_of_its_own_is_private(sandbox: Sandbox, method: str, path: str) -> None:
    """Another host name and another site get 403, wherever they ask, and change nothing.

    What is answered, no other site may keep, frame, guess at or run.
    """
    sandbox.configure(allow_origin="https://example.com", assume={"cors": "any"})
    assert send(sandbox).status_code == 201
    for other in (
        {"host": "example.com"},
        *({"origin": origin} for origin in ("https://example.com", "null", "http://[::1")),
        {"origin": "http://127.0.0.1:1"},
    ):
        status, answered = ask(sandbox, method, path, **other)
        assert status == 403
        assert not [name for name in answered if name.startswith("access-control-")]
    assert len(sandbox.intents) == 1
    _, headers = ask(sandbox, method, path)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_api_takes_any_host(sandbox: Sandbox) -> None:
    """The endpoint answers whatever its Host is, as a proxy in front of it may need."""
    assert ask(sandbox, "POST", PATH, host="app.stoqapp.com")[0] == 400


def test_a_burst_is_one_event(sandbox: Sandbox) -> None:
    """Changes that come faster than five a second are told together, the last one included.

    The newest 100 requests are listed, newest first, and no text is longer than 200.
    """
    sandbox.fail_next(500, after=120, body={"errors": ["x" * 5000]})
    with CLIENT.stream("GET", f"{sandbox.url}/_sandbox/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        next(lines)
        send_many(sandbox, [VALID] * 121)
        told = [json.loads(next(lines).removeprefix("data: "))]
        while told[-1]["refused"] < 120:
            told.append(json.loads(next(lines).removeprefix("data: ")))
    assert len(told) < 60
    assert told[-1]["stored"] == 1
    assert [one["number"] for one in told[-1]["requests"]] == list(range(121, 21, -1))
    assert len(told[-1]["requests"][0]["reason"]) == 200


def test_a_reader_who_does_not_read(sandbox: Sandbox) -> None:
    """A reader who takes nothing keeps no other request from being answered."""
    with sent_raw(sandbox, EVENTS) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert caller.recv(1)
        for number in range(5):
            send_many(sandbox, [b"{"] * 40)
            assert len(get(sandbox, f"/_sandbox/requests?after={40 * number}")) == 40
