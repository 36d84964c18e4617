"""What a customer gives is in no log, text, or traceback, whatever the service does with it."""

import json
import logging
import os
import ssl
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import faults
import pytest
from attrs import field, frozen
from calling import Caller
from faults import FaultServer, Script, answers, answers_and_closes, answers_and_resets, http

from record_cassettes import SHOP
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import (
    AnswerError,
    AsyncStoq,
    AttemptReport,
    HttpOptions,
    IntentCreated,
    InvalidIntentError,
    NotSentError,
    OutcomeUnknownError,
    ServerError,
    Stoq,
    StoqError,
    Timeout,
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
        "intents": [PLANTED | {"id": "9"}],
    }
).encode()


def planted_request(**customer: Any) -> CreateIntentRequest:
    return CreateIntentRequest(
        intent=NewIntent(4711, 42, "email", quantity=1, source="api"),
        customer=Customer.from_dict(PLANTED | customer),
    )


def found_in(*texts: str) -> list[str]:
    """Return the names of the planted values that are in *texts*."""
    told = " ".join(texts)
    return [name for name, value in PLANTED.items() if str(value) in told]


def texts_of(outcome: Any) -> list[str]:
    """Return everything that a program is likely to print of *outcome*."""
    texts = [f"{outcome} {outcome!r} {outcome.to_dict()} {outcome.answer!r}"]
    if isinstance(outcome, BaseException):
        texts += [repr(outcome.args), *traceback.format_exception(outcome)]
    return texts


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the logger ``stoqapp`` logged, arguments included."""
    return [
        f"{record.getMessage()} {record.exc_text} {vars(record)!r}"
        for record in caplog.records
        if record.name.partition(".")[0] == "stoqapp"
    ]


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


PHONE = str(PLANTED["phone"]).encode()
TOKEN = str(PLANTED["push"]).encode()
CREATED = b"HTTP/1.1 201 Created\r\n"
IMPATIENT = {"timeout": Timeout(read=0.2)}

# One status of each kind; a header that is read; a body that is decoded, cut, or missing.
CASES = [
    *[
        Case(f"{status}", answers(echoed(status)), IntentCreated if status == 201 else AnswerError)
        for status in (200, 201, 302, 404, 422, 429, 500, 503, 600)
    ],
    *[
        Case(f"{name} as request id", answers(echoed(500, b"X-Request-Id: " + text)), ServerError)
        for name, text in [("phone", PHONE), ("push", TOKEN), ("all", ECHO)]
    ],
    *[
        Case(f"phone as {name}", answers(echoed(429, name.encode() + b": " + PHONE)), AnswerError)
        for name in ("Retry-After", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    ],
    Case("phone as seconds", answers(http(429, b'{"retry_after": %s}' % PHONE)), AnswerError),
    Case("cut", answers_and_resets(echoed(201)[:-5]), IntentCreated),
    Case("resets", answers_and_resets(), OutcomeUnknownError),
    Case("never answers", faults.answers_and_hangs(), OutcomeUnknownError, IMPATIENT),
    *[
        Case(name, answers_and_closes(answer), kind)
        for name, answer, kind in [
            ("the echo alone", ECHO, OutcomeUnknownError),
            ("the echo as protocol", ECHO + b" 201 Created\r\n\r\n", OutcomeUnknownError),
            ("the echo as status", b"HTTP/1.1 " + ECHO + b"\r\n\r\n", OutcomeUnknownError),
            ("the echo as header line", CREATED + ECHO + b"\r\n\r\n", IntentCreated),
            ("the echo as length", http(201, b"", length=ECHO.decode()), IntentCreated),
            ("the echo is not gzip", http(201, SAID, b"Content-Encoding: gzip"), IntentCreated),
            ("the echo as port", http(302, b"", b"Location: http://a:" + ECHO), AnswerError),
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


def test_no_text_of_what_was_not_sent(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """A call that never left tells nothing either, nor does it tell the proxy's password."""
    caplog.set_level(logging.DEBUG)

    def denies(peer: faults.Peer) -> None:
        peer._read_more()
        peer.send(http(403, SAID, b"X-Echo: " + ECHO, reason=ECHO))
        peer.close()

    with FaultServer(denies) as server:
        proxy = f"http://planted-user:planted-secret@127.0.0.1:{server.port}"
        for options in ({"base_url": server.url("https")}, {"http": HttpOptions(proxy=proxy)}):
            with pytest.raises(NotSentError) as caught:
                caller.create_intent(planted_request(), max_retries=1, **options)
            told = [*texts_of(caught.value), *logged(caplog)]
            assert [] == found_in(*told)
            assert "planted-" not in "".join(told)
        assert server.requests == []


def test_no_text_of_what_was_typed(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a refused input nor a changed one is repeated."""
    caplog.set_level(logging.DEBUG)
    typed = {"phone": "+1 (555) 010-9876", "name": " Planted X ", "country": "PLANTED-COUNTRY"}
    fields = {"variant": 4711, "product": 42} | typed
    with pytest.raises(InvalidIntentError) as caught:
        caller.subscribe(fields, base_url="http://127.0.0.1:9")
    with FaultServer(answers(echoed(201))) as server:
        created = caller.subscribe(fields | {"country": " US "}, base_url=server.url())
    assert created.changes
    told = "".join([*texts_of(caught.value), *texts_of(created), *logged(caplog)])
    assert [] == found_in(told)
    assert [] == [name for name, value in typed.items() if value in told]


@pytest.mark.parametrize("kind", [Stoq, AsyncStoq])
def test_no_text_of_a_client_tells_a_secret(kind: type) -> None:
    """Clients and their options can be printed without the proxy's password or a header."""
    options = HttpOptions(
        proxy="http://planted-user:planted-secret@127.0.0.1:9",
        ssl_context=ssl.create_default_context(),
    )
    stoq = kind(SHOP, http=options, headers={"X-Key": "planted-key"})
    for thing in (stoq, stoq.with_options(max_retries=1), options, vars(stoq)):
        assert "planted" not in f"{thing} {thing!r}"


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
    """STOQ_LOG=debug shows attempts with status and host, and no one's data, traceback included."""
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
    assert done.stderr.count("attempt 1 to 127.0.0.1: RateLimitedError, status 429,") == 2
    assert "attempt 2 to 127.0.0.1: created, status 201," in done.stderr
    assert "points left: 358" in done.stderr
    assert "ServerError: STOQ answered 500" in done.stderr
    # The traceback shows the program's own line that calls, which names its variable only.
    assert [] == found_in(done.stdout, done.stderr)
