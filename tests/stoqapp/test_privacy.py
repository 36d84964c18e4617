"""What a customer gives is in no log, text, or traceback, whatever the service does with it."""

import json
import logging
import os
import ssl
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import faults
import pytest
from attrs import field, frozen
from conftest import Caller
from faults import FaultServer, Script, answers, answers_and_closes, answers_and_resets, http

from record_cassettes import SHOP
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import (
    AnswerError,
    AsyncStoq,
    AttemptReport,
    ConfigurationError,
    HttpOptions,
    IntentCreated,
    InvalidIntentError,
    NotSentError,
    OutcomeUnknownError,
    ServerError,
    Stoq,
    StoqError,
    Timeout,
    check,
)

# A phone number and a token of hexadecimal digits look like numbers and request ids.
PLANTED: dict[str, Any] = {
    "email": "planted-mail@example.org",
    "phone": "15550109876",
    "push": "deadbeef" * 8,
    "name": "Planted Nameperson",
    "id": "planted-stoq-id",
    "shopify_customer_id": "7700770077001",
    "locale": "planted-locale",
    "country_code": "planted-code",
}
ECHO = " ".join(map(str, PLANTED.values())).encode()
SAID = json.dumps(
    {
        "errors": [PLANTED, *map(str, PLANTED.values())],
        "error": ECHO.decode(),
        "message": f"already waiting: {ECHO.decode()}",
        "intents": [PLANTED],
    }
).encode()


def planted_request(**customer: Any) -> CreateIntentRequest:
    return CreateIntentRequest(
        intent=NewIntent(4711, 42, "email", quantity=1, source="api"),
        customer=Customer(**(PLANTED | customer)),
    )


def found_in(*texts: str) -> list[str]:
    """Return the names of the planted values that are in *texts*."""
    told = " ".join(texts)
    return [name for name, value in PLANTED.items() if str(value) in told]


def texts_of(outcome: object) -> list[str]:
    """Return everything that a program is likely to print of *outcome*."""
    texts = [str(outcome), repr(outcome), f"{outcome}", f"{[outcome]}"]
    answer = getattr(outcome, "answer", None)
    texts += [str(answer), repr(answer)]
    if isinstance(outcome, BaseException):
        texts += traceback.format_exception(outcome)
        told = traceback.TracebackException.from_exception(outcome, capture_locals=False)
        texts += told.format()
    return texts


def logged(caplog: pytest.LogCaptureFixture, logger: str = "stoqapp") -> list[str]:
    """Return what *logger* and those below it logged, arguments included."""
    return [
        f"{record.getMessage()} {record.msg!r} {record.args!r} {record.exc_text} {vars(record)!r}"
        for record in caplog.records
        if f"{record.name}.".startswith(f"{logger}.")
    ]


def test_what_is_planted_is_sent() -> None:
    """The planted request breaks no rule, so that it does reach the service."""
    assert check(planted_request()) == []


@frozen
class Case:
    """What the server does with the planted values, and what the call ends in."""

    name: str
    script: Script = field(repr=False)
    kind: type
    client: dict[str, Any] = field(factory=dict)


def echoed(status: int, *headers: bytes, body: bytes = SAID) -> bytes:
    """Return an answer that repeats the planted values in all its parts."""
    lines = [
        b"X-Echo: " + ECHO,
        b"Set-Cookie: who=" + ECHO,
        b"Location: http://[" + ECHO,
        b"Server: " + ECHO,
        b"Date: " + ECHO,
        *headers,
    ]
    return http(status, body, *lines, reason=ECHO)


def request_ids() -> list[tuple[str, bytes]]:
    return [(name, b"X-Request-Id: " + str(value).encode()) for name, value in PLANTED.items()]


PHONE = str(PLANTED["phone"]).encode()
IMPATIENT = {"timeout": Timeout(connect=20, read=0.2, write=20, pool=20)}

ECHOED = [200, 201, 202, 302, 400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503, 520, 600]
CASES = [
    *[
        Case(f"{status}", answers(echoed(status)), IntentCreated if status == 201 else AnswerError)
        for status in ECHOED
    ],
    *[
        Case(f"{name} as request id of a {status}", answers(echoed(status, header)), kind)
        for name, header in request_ids()
        for status, kind in [(201, IntentCreated), (500, ServerError)]
    ],
    *[
        Case(
            f"{name} as {header} of a {status}",
            answers(echoed(status, header.encode() + b": " + str(PLANTED[name]).encode())),
            AnswerError,
        )
        for name in ("phone", "name")
        for header in (
            "Retry-After",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
            "Content-Encoding",
            "Content-Type",
        )
        for status in (429, 503)
    ],
    Case(
        "phone as retry_after",
        answers(http(429, json.dumps({"retry_after": int(PHONE)}).encode())),
        AnswerError,
    ),
    Case("cut", answers_and_resets(echoed(201)[:-5]), IntentCreated),
    Case("closes", answers_and_closes(), OutcomeUnknownError),
    Case("resets", answers_and_resets(), OutcomeUnknownError),
    Case("never answers", faults.answers_and_hangs(), OutcomeUnknownError, IMPATIENT),
    *[
        Case(name, answers_and_closes(answer), OutcomeUnknownError)
        for name, answer in [
            ("the echo alone", ECHO),
            ("the echo as a line", ECHO + b"\r\n\r\n"),
            ("the echo as protocol", ECHO + b" 201 Created\r\n\r\n"),
            ("the echo as status", b"HTTP/1.1 " + ECHO + b"\r\n\r\n"),
            ("the echo as reason of no status", b"HTTP/1.1 20x " + ECHO + b"\r\n\r\n"),
        ]
    ],
    *[
        Case(name, answers_and_closes(answer), IntentCreated)
        for name, answer in [
            ("the echo, header without end", http(201, b"", b"X-Echo: " + ECHO)[:-4]),
            ("the echo as header line", b"HTTP/1.1 201 Created\r\n" + ECHO + b"\r\n\r\n"),
            ("the echo as header name", b"HTTP/1.1 201 Created\r\n" + ECHO + b": 1\r\n\r\n"),
            ("the echo after a NUL", b"HTTP/1.1 201 Created\r\nX: \0" + ECHO + b"\r\n\r\n"),
            ("the echo as length", http(201, b"", length=ECHO.decode())),
            ("the echo as framing", http(201, b"", b"Transfer-Encoding: " + ECHO, length=None)),
            ("the phone as two lengths", http(201, b"", b"Content-Length: " + PHONE, length=3)),
            (
                "the echo as chunk size",
                http(201, ECHO + b"\r\n", b"Transfer-Encoding: chunked", length=None),
            ),
            ("the echo as encoding", http(201, SAID, b"Content-Encoding: " + ECHO)),
            ("the echo is no gzip", http(201, SAID, b"Content-Encoding: gzip")),
        ]
    ],
    *[
        Case(name, answers(http(302, b"", b"Location: " + place)), AnswerError)
        for name, place in [
            ("the echo as location", ECHO),
            ("the echo as host", b"http://" + ECHO.replace(b" ", b"")),
            ("the echo as port", b"http://a:" + ECHO),
            ("the echo as query", b"http://[?" + ECHO),
        ]
    ],
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_text_tells_what_the_customer_gave(
    case: Case, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs at DEBUG, texts of the outcome, metrics, and tracebacks hold nothing of the customer."""
    caplog.set_level(logging.DEBUG)
    attempts: list[AttemptReport] = []
    with FaultServer(case.script) as server:
        try:
            outcome: object = caller.create_intent(
                planted_request(),
                base_url=server.url(),
                max_retries=1,
                retry_unknown=True,
                total_timeout=40.0,
                on_attempt=attempts.append,
                **case.client,
            )
        except StoqError as error:
            outcome = error
        assert all(str(PLANTED["email"]).encode() in sent.body for sent in server.requests)
    assert isinstance(outcome, case.kind)
    assert attempts
    assert len(logged(caplog)) >= len(attempts)
    assert [] == found_in(*texts_of(outcome))
    assert [] == found_in(*map(repr, attempts), *map(str, attempts))
    assert [] == found_in(*logged(caplog))


def tls_port_that_is_none(server: FaultServer) -> dict[str, Any]:
    return {"base_url": server.url("https")}


def proxy_that_denies(server: FaultServer) -> dict[str, Any]:
    return {
        "http": HttpOptions(proxy=f"http://planted-user:planted-secret@127.0.0.1:{server.port}")
    }


@pytest.mark.parametrize("options", [tls_port_that_is_none, proxy_that_denies])
def test_no_text_of_what_was_not_sent(
    options: Callable[[FaultServer], dict[str, Any]],
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A call that never left tells nothing either, nor does it tell the proxy's password."""
    caplog.set_level(logging.DEBUG)

    def denies(peer: faults.Peer) -> None:
        peer._read_more()
        peer.send(http(403, SAID, b"X-Echo: " + ECHO, reason=ECHO))
        peer.close()

    with FaultServer(denies) as server:
        with pytest.raises(NotSentError) as caught:
            caller.create_intent(planted_request(), max_retries=1, **options(server))
        assert server.requests == []
    told = [*texts_of(caught.value), *logged(caplog)]
    assert [] == found_in(*told)
    assert "planted-" not in "".join(told)


def test_no_text_of_what_was_invalid(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """A request that breaks rules is refused without repeating its values."""
    caplog.set_level(logging.DEBUG)
    request = planted_request(country="PLANTED-COUNTRY", email=" planted-mail@example.org")
    with pytest.raises(InvalidIntentError) as caught:
        caller.create_intent(request, base_url="http://127.0.0.1:9")
    told = [*texts_of(caught.value), *logged(caplog), repr(caught.value.violations)]
    assert [] == found_in(*told)
    assert "PLANTED-COUNTRY" not in "".join(told)


def test_no_text_of_what_subscribe_changed(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """What subscribe() made of a number or an address is not told by its texts."""
    caplog.set_level(logging.DEBUG)
    fields = {"variant": 4711, "product": 42, "phone": "+1 (555) 010-9876", "name": " Planted X "}
    with FaultServer(answers(echoed(201))) as server:
        created = caller.subscribe(fields, base_url=server.url())
    assert created.changes
    told = "".join([*texts_of(created), *logged(caplog)])
    assert [] == found_in(told)
    assert [name for name in ("phone", "name") if fields[name] in told] == []


@pytest.mark.parametrize("kind", [Stoq, AsyncStoq])
def test_no_text_of_a_client_tells_a_secret(kind: type) -> None:
    """Clients and their options can be printed without telling the proxy's password."""
    options = HttpOptions(
        proxy="http://planted-user:planted-secret@127.0.0.1:9",
        ssl_context=ssl.create_default_context(),
    )
    stoq = kind(SHOP, http=options, timeout=Timeout(1, 2, 3, 4))
    copy = stoq.with_options(max_retries=1)
    for thing in (stoq, copy, options, stoq._settings):
        assert "planted" not in f"{thing} {thing!r}"


@pytest.mark.parametrize(
    "proxy", ["planted-secret", "gopher://planted-secret@a", "http://planted-secret:b"]
)
def test_no_text_of_a_wrong_proxy(proxy: str, caller: Caller) -> None:
    """A proxy that cannot be used is refused without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        caller.create_intent(
            planted_request(), base_url="https://127.0.0.1:9", http=HttpOptions(proxy=proxy)
        )
    assert "planted-" not in "".join(texts_of(caught.value))


def test_a_hook_that_fails_tells_nothing(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """An error in on_attempt costs nothing and is logged without its words."""
    caplog.set_level(logging.DEBUG)

    def fails(attempt: AttemptReport) -> None:
        raise ValueError(ECHO.decode())

    with FaultServer(answers(http(201, SAID))) as server:
        created = caller.create_intent(planted_request(), base_url=server.url(), on_attempt=fails)
    assert isinstance(created, IntentCreated)
    assert any("on_attempt" in line for line in logged(caplog))
    assert [] == found_in(*logged(caplog))


def test_no_logger_at_all_tells_the_request(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the service does not repeat them, no library's log holds the customer's data."""
    caplog.set_level(logging.DEBUG)
    for script in (answers(http(201)), answers(http(500)), answers_and_closes()):
        with FaultServer(script) as server, suppress(StoqError):
            caller.create_intent(planted_request(), base_url=server.url())
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"stoqapp", "httpcore"}
    assert [] == found_in(*[f"{record.getMessage()} {vars(record)!r}" for record in caplog.records])


PROGRAM = """
import asyncio, sys
from stoqapp import AsyncStoq, Stoq, StoqError
fields = dict(variant=1, product=2, email="planted-mail@example.org", name="Planted Nameperson")
options = dict(base_url=sys.argv[1], budget=None, max_retries=1)
with Stoq("demo", **options) as stoq:
    print(stoq.subscribe(**fields))
async def main():
    async with AsyncStoq("demo", **options) as stoq:
        await stoq.subscribe(**fields)
asyncio.run(main())
"""


def test_the_log_of_the_environment(tmp_path: Path) -> None:
    """STOQ_LOG=debug shows attempts with status and host, and nobody's data, traceback included."""
    limit = answers(echoed(429, b"Retry-After: 0"))
    answer = answers(echoed(201, b"X-RateLimit-Remaining: 358"))
    trouble = answers(echoed(500))
    with FaultServer(limit, answer, limit, trouble) as server:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.url()],
            env=os.environ | {"STOQ_LOG": "debug"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("stoqapp DEBUG attempt 1: POST 127.0.0.1: 429") == 2
    assert "attempt 2: POST 127.0.0.1: 201 in" in done.stderr
    assert "points left: 358" in done.stderr
    assert "ServerError: STOQ answered 500" in done.stderr
    # The traceback shows the program's own line that calls, which names its variable only.
    assert [] == found_in(done.stdout, done.stderr)
