"""Stoq and AsyncStoq: what is sent, and what comes back, in both modes."""

import asyncio
import gzip
import json
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import faults
import httpx
import pytest
from conftest import Caller, email_request
from httpx_aiohttp import AiohttpTransport

from record_cassettes import SHOP
from stoqapp import (
    AnswerError,
    AsyncStoq,
    Budget,
    ClientClosedError,
    ConfigurationError,
    HttpOptions,
    IntentCreated,
    InvalidIntentError,
    NotSentError,
    OutcomeUnknownError,
    ProcessedWithErrorsError,
    ServerError,
    Stoq,
)
from stoqapp.body import plain
from stoqapp.http.attempt import LARGEST_BODY_BYTES
from stoqapp.http.options import _tls_context
from stoqapp_sandbox import Sandbox

TLS = ssl.create_default_context()
MOCK = httpx.MockTransport(lambda _request: httpx.Response(201))


def test_a_broken_rule_sends_nothing(caller: Caller, sandbox: Sandbox) -> None:
    """A request that breaks rules never reaches the service."""
    request = email_request(email=" ", country="US")
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


def test_a_duplicate_is_told(caller: Caller, sandbox: Sandbox) -> None:
    """The second identical intent is answered 200 with errors, and that is no success."""
    caller.create_intent(email_request(), base_url=sandbox.base_url)
    with pytest.raises(ProcessedWithErrorsError) as caught:
        caller.create_intent(email_request(), base_url=sandbox.base_url)
    assert caught.value.messages
    assert caught.value.carried_out is False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_host_that_does_not_listen(caller: Caller) -> None:
    """Without a connection nothing was sent, and the error says what the system said."""
    with pytest.raises(NotSentError, match="Connection refused") as caught:
        caller.create_intent(email_request(), base_url=f"http://127.0.0.1:{free_port()}")
    assert caught.value.carried_out is False


@contextmanager
def raw_server(answer: bytes, *, keep_open: bool = False) -> Iterator[str]:
    """Serve one connection that answers *answer* to a whole request; yield the base URL."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                received = b""
                while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                    received += connection.recv(65536)
                try:
                    connection.sendall(answer)
                    if keep_open:
                        done.wait(timeout=30)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 20", b"HTTP/1.1 201 Created", b"garbage\r\n\r\n"]
)
def test_no_status_line_leaves_the_outcome_unknown(caller: Caller, answer: bytes) -> None:
    """A connection that ends before status and headers are read tells nothing."""
    with raw_server(answer) as base_url, pytest.raises(OutcomeUnknownError) as caught:
        caller.create_intent(email_request(), base_url=base_url)
    assert caught.value.carried_out is None


def test_a_timeout_leaves_the_outcome_unknown(caller: Caller) -> None:
    """A service that does not answer in time may have taken the intent."""
    with (
        raw_server(b"", keep_open=True) as base_url,
        pytest.raises(OutcomeUnknownError, match="in time"),
    ):
        caller.create_intent(email_request(), base_url=base_url, timeout=0.2)


HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "keep_open"),
    [
        (HEAD + b'Content-Length: 500\r\n\r\n{"intents":', False),
        (HEAD + b'Content-Length: 500\r\n\r\n{"intents":', True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense", False),
        (HEAD + b"Content-Length: 9\r\nContent-Encoding: gzip\r\n\r\nnot gzip!", False),
        (HEAD + b"Content-Length: 2\r\nContent-Encoding: br\r\n\r\n??", False),
        (HEAD + b"\r\n" + b"x" * (LARGEST_BODY_BYTES + 1), False),
    ],
)
def test_a_body_that_cannot_be_read_does_not_undo_a_201(
    caller: Caller, answer: bytes, keep_open: bool
) -> None:
    """Once the status line is read, the intent is created, and the answer says it is cut."""
    with raw_server(answer, keep_open=keep_open) as base_url:
        created = caller.create_intent(email_request(), base_url=base_url, timeout=0.5)
    assert created.answer.status == 201
    assert created.answer.complete is False
    assert len(created.answer.body) <= LARGEST_BODY_BYTES


def test_a_complete_body_is_told_so(caller: Caller, sandbox: Sandbox) -> None:
    """An answer that was read to its end says that it is complete."""
    created = caller.create_intent(email_request(), base_url=sandbox.base_url)
    assert created.answer.complete is True
    assert json.loads(created.answer.body)["intents"]
    assert created.answer.headers["x-ratelimit-limit"] == "360"


def test_cookies_are_not_kept() -> None:
    """What the service sets for one customer does not travel with the next one's intent."""
    answer = faults.http(201, b"", b"Set-Cookie: session=1; Path=/")
    with (
        faults.FaultServer(faults.answers(answer)) as server,
        Stoq(SHOP, base_url=server.url(), budget=None) as stoq,
    ):
        for _ in range(2):
            created = stoq.create_intent(email_request())
        assert created.answer.headers["set-cookie"] == "session=1; Path=/"
        assert [b"cookie:" in sent.head.lower() for sent in server.requests] == [False, False]


def test_redirects_are_not_followed(caller: Caller, sandbox: Sandbox) -> None:
    """A redirect is an answer, and nothing is sent to where it points."""
    sandbox.fail_next(307, headers={"Location": f"{sandbox.base_url}/intents.json"})
    with pytest.raises(AnswerError) as caught:
        caller.create_intent(email_request(), base_url=sandbox.base_url)
    assert caught.value.status == 307
    assert sandbox.intents == []


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "x"},
        {"max_connections": 0},
        {"max_connections": 10**9},
        {"max_connections": True},
        {"ca_file": "missing.pem"},
        {"ca_file": 123},
        {"ca_file": ""},
        {"ssl_context": "x"},
        {"ssl_context": TLS, "ca_file": "missing.pem"},
        {"allow_http": "no"},
        {"trust_env": 0},
        {"proxy": "socks5://127.0.0.1:1"},
        {"transport": MOCK, "proxy": "http://127.0.0.1:1"},
        {"transport": MOCK, "ssl_context": TLS},
    ],
)
@pytest.mark.parametrize("client", [Stoq, AsyncStoq])
def test_unusable_http_options(client: Any, options: dict[str, Any]) -> None:
    """Connections that could not work are refused before a call."""
    with pytest.raises(ConfigurationError):
        client(SHOP, http=HttpOptions(**options))


def test_a_proxy_of_the_environment_that_speaks_socks(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SOCKS needs is named, also where the environment wants it."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"pip install 'httpx\[socks\]'"):
        caller.create_intent(email_request())


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (201, {"intents": [{"id": "7"}]}, "IntentCreated 201 1 intent"),
        (200, {"errors": ["already exists"]}, "ProcessedWithErrorsError already exists"),
        (429, {"retry_after": 24}, "RateLimitedError 24"),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_transport_that_has_read_the_body(
    caller: Caller, status: int, content: Any, expected: str, encoding: str
) -> None:
    """httpx's own mock transport gives whole answers, of which no byte is lost."""
    body = json.dumps(content).encode()
    sent = gzip.compress(body) if encoding == "gzip" else body

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=sent, headers={"Content-Encoding": encoding})

    try:
        created = caller.create_intent(
            email_request(), http=HttpOptions(transport=httpx.MockTransport(answer))
        )
    except AnswerError as error:
        told, seen = error.answer, f"{type(error).__name__} "
        seen += f"{error.retry_after:g}" if error.retry_after else " ".join(error.messages)
    else:
        told, seen = created.answer, f"IntentCreated {status} {len(created.intents)} intent"
    assert (expected, body, True) == (seen, told.body, told.complete)


def test_a_body_that_a_transport_has_read_is_capped(caller: Caller) -> None:
    """The cap on what is kept holds there, too."""
    large = b" " * (LARGEST_BODY_BYTES + 7)
    transport = httpx.MockTransport(lambda _request: httpx.Response(201, content=large))
    created = caller.create_intent(email_request(), http=HttpOptions(transport=transport))
    assert (LARGEST_BODY_BYTES, False) == (len(created.answer.body), created.answer.complete)


def test_tls_where_none_is_spoken(caller: Caller, sandbox: Sandbox) -> None:
    """An https URL of a server of plain http is told as that, in OpenSSL's words for it."""
    url = sandbox.base_url.replace("http:", "https:")
    with pytest.raises(NotSentError, match=r"\(TLS: .*; what listens there may speak no TLS\)"):
        caller.create_intent(email_request(), base_url=url)


def test_timeouts_of_centuries(caller: Caller, sandbox: Sandbox) -> None:
    """A number of seconds that no system call takes means: for as long as it takes."""
    settings: dict[str, Any] = {"timeout": 1e12, "total_timeout": None}
    assert caller.create_intent(email_request(), base_url=sandbox.base_url, **settings)


@pytest.mark.parametrize("proxy", ["nonsense", "ftp://user:secret@example.com", "http://[::1"])
def test_an_unusable_proxy(proxy: str) -> None:
    """A proxy URL that cannot be one is refused without its password."""
    with pytest.raises(ConfigurationError, match="HttpOptions") as caught:
        HttpOptions(proxy=proxy)
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value)


def test_a_paced_client_waits_before_it_sends(caller: Caller, sandbox: Sandbox) -> None:
    """When the points are used up, the next call waits until they are free again."""
    budget = Budget(points=4, window_seconds=60.0, clock=lambda: sum(caller.waits))
    for number in range(3):
        request = email_request(email=f"{number}@example.com")
        caller.create_intent(request, base_url=sandbox.base_url, budget=budget, total_timeout=None)
    assert len(sandbox.intents) == 3
    assert sum(caller.waits) == pytest.approx(61.8, abs=0.1)


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
        stoq = AsyncStoq(SHOP, budget=budget)
        await stoq.close()
        await stoq.create_intent(email_request())

    def closed() -> None:
        stoq = Stoq(SHOP, budget=budget)
        stoq.close()
        stoq.create_intent(email_request())

    with pytest.raises(ClientClosedError):
        closed() if caller.mode == "sync" else asyncio.run(closed_async())
    assert budget.take(SHOP) == 0


def test_the_environments_proxies_are_not_for_this_machine(
    caller: Caller, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to a loopback address goes there directly, unless a proxy is given by hand."""
    with faults.closed_port() as port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        caller.create_intent(email_request(), base_url=sandbox.base_url)
        http = HttpOptions(proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(NotSentError):
            caller.create_intent(email_request(), base_url=sandbox.base_url, http=http)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_certificates_of_the_environment_that_are_none(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the environment has TLS set up with is named where it cannot be."""
    monkeypatch.setattr("stoqapp.http.options._tls_context", _tls_context.__wrapped__)
    monkeypatch.setenv(name, str(tmp_path / "no" / "such.pem"))
    with pytest.raises(ConfigurationError, match=name):
        Stoq(SHOP)


def test_many_calls_wait_for_their_turn() -> None:
    """Without a deadline nobody's turn comes too late, however long the others take."""

    async def run(base_url: str) -> list[object]:
        options = HttpOptions(max_connections=2)
        settings: dict[str, Any] = {"budget": None, "max_retries": 0, "total_timeout": None}
        async with AsyncStoq(
            SHOP, base_url=base_url, timeout=1.0, http=options, **settings
        ) as stoq:
            calls = [stoq.create_intent(email_request(email=f"{n}@example.com")) for n in range(12)]
            return await asyncio.gather(*calls, return_exceptions=True)

    with Sandbox(latency=0.3) as slow:
        outcomes = asyncio.run(run(slow.base_url))
    assert {type(outcome) for outcome in outcomes} == {IntentCreated}


def test_over_aiohttp(sandbox: Sandbox) -> None:
    """With the transport of httpx-aiohttp the outcomes are the same."""

    async def outcome_of(base_url: str) -> object:
        http = HttpOptions(transport=AiohttpTransport(), max_connections=100)
        settings: dict[str, Any] = {"base_url": base_url, "budget": None, "max_retries": 0}
        async with AsyncStoq(SHOP, http=http, timeout=0.5, **settings) as stoq:
            return (
                await asyncio.gather(stoq.create_intent(email_request()), return_exceptions=True)
            )[0]

    kinds = [asyncio.run(outcome_of(f"http://127.0.0.1:{free_port()}"))]
    kinds += [asyncio.run(outcome_of(sandbox.base_url)) for _ in range(2)]
    with raw_server(HEAD + b"Content-Length: 500\r\n\r\n{", keep_open=True) as base_url:
        kinds.append(asyncio.run(outcome_of(base_url)))
    with raw_server(b"", keep_open=True) as base_url:
        kinds.append(asyncio.run(outcome_of(base_url)))
    assert [type(kind) for kind in kinds] == [
        NotSentError,
        IntentCreated,
        ProcessedWithErrorsError,
        IntentCreated,
        OutcomeUnknownError,
    ]


def test_many_at_once(sandbox: Sandbox) -> None:
    """One client serves many threads, and one many tasks."""
    with Stoq(SHOP, base_url=sandbox.base_url) as stoq:
        threads = [
            threading.Thread(
                target=stoq.create_intent, args=[email_request(email=f"t{number}@example.com")]
            )
            for number in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def tasks() -> None:
        async with AsyncStoq(SHOP, base_url=sandbox.base_url) as stoq:
            requests = [email_request(email=f"a{number}@example.com") for number in range(16)]
            await asyncio.gather(*map(stoq.create_intent, requests))

    asyncio.run(tasks())
    assert {intent["email"] for intent in sandbox.intents} == {
        f"{mode}{number}@example.com" for mode in "ta" for number in range(16)
    }


PERSONAL = {
    "name": "marker-name",
    "email": "marker-email@example.com",
    "phone": "15550101234",
    "push": "marker-push",
    "id": "marker-id",
}


@pytest.mark.parametrize("status", [None, 201, 200, 404, 429, 500])
def test_no_persons_data_in_logs_and_texts(
    caller: Caller, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, status: int | None
) -> None:
    """No log line, at DEBUG, and no text or repr of an outcome holds what the customer gave."""
    caplog.set_level(logging.DEBUG)
    if status is not None:
        body = {"errors": list(PERSONAL.values()), "intents": [PERSONAL]}
        sandbox.fail_next(status, body=body)
    request = email_request(**PERSONAL, country=None if status is None else "us")
    try:
        outcome: object = caller.create_intent(request, base_url=sandbox.base_url)
    except (AnswerError, InvalidIntentError) as error:
        outcome = error
    told = f"{outcome} {outcome!r} {caplog.text}"
    assert [value for value in PERSONAL.values() if value in told] == []
