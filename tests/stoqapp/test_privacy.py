"""What a customer gives is in no log, text, or traceback, whatever the service does with it."""

import json
import logging
import ssl
import traceback
from contextlib import suppress
from typing import Any

import pytest
from calling import Caller, outcome_of
from faults import FaultServer, answers, answers_and_closes, answers_unread, http

from record_cassettes import SHOP
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import (
    AsyncStoq,
    AttemptReport,
    HttpOptions,
    InvalidIntentError,
    NotSentError,
    Stoq,
    StoqError,
)
from stoqapp.inputs import prepare

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


REQUEST = CreateIntentRequest(
    intent=NewIntent(4711, 42, "email", quantity=1, source="api"),
    customer=Customer.from_dict(PLANTED),
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


def echoed(status: int, *headers: bytes) -> bytes:
    """Return an answer that repeats the planted values in all its parts."""
    lines = [name + b": who=" + ECHO for name in (b"X-Echo", b"Set-Cookie", b"Server", b"Date")]
    lines += [b"Location: http://[" + ECHO, *headers]
    return http(status, SAID, *lines, reason=ECHO)


PHONE = str(PLANTED["phone"]).encode()
TOKEN = str(PLANTED["push"]).encode()
CREATED = b"HTTP/1.1 201 Created\r\n"

# Each answer, and the class of what it ends in.
WHOLE = {
    "200": (echoed(200), "ProcessedWithErrorsError"),
    "201": (echoed(201), "IntentCreated"),
    "302": (echoed(302), "UnexpectedAnswerError"),
    "422": (echoed(422), "UnprocessableIntentError"),
    "429": (echoed(429), "RateLimitedError"),
    "503": (echoed(503), "ServerError"),
    "phone as request id": (echoed(500, b"X-Request-Id: " + PHONE), "ServerError"),
    "push as request id": (echoed(500, b"X-Request-Id: " + TOKEN), "ServerError"),
    "phone as wait": (echoed(429, b"Retry-After: " + PHONE), "RateLimitedError"),
    "phone as rest": (echoed(429, b"X-RateLimit-Remaining: " + PHONE), "RateLimitedError"),
    "phone as reset": (echoed(429, b"X-RateLimit-Reset: " + PHONE), "RateLimitedError"),
    "phone as seconds": (http(429, b'{"retry_after": %s}' % PHONE), "RateLimitedError"),
    "the echo is not gzip": (http(201, SAID, b"Content-Encoding: gzip"), "IntentCreated"),
}
TORN = {
    "the echo alone": (ECHO, "OutcomeUnknownError"),
    "the echo as protocol": (ECHO + b" 201 Created\r\n\r\n", "OutcomeUnknownError"),
    "the echo as status": (b"HTTP/1.1 " + ECHO + b"\r\n\r\n", "OutcomeUnknownError"),
    "the echo as header line": (CREATED + ECHO + b"\r\n\r\n", "IntentCreated"),
    "the echo as length": (http(201, b"", length=ECHO.decode()), "IntentCreated"),
    "cut": (echoed(201)[:-5], "IntentCreated"),
    "nothing": (b"", "OutcomeUnknownError"),
}


@pytest.mark.parametrize("case", [*WHOLE, *TORN])
def test_no_text_tells_what_the_customer_gave(
    case: str, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Logs at DEBUG, texts of the outcome, metrics, and tracebacks hold nothing of the customer."""
    caplog.set_level(logging.DEBUG)
    answer, kind = (WHOLE | TORN)[case]
    attempts: list[AttemptReport] = []
    options = {"max_retries": 1, "retry_unknown": True, "on_attempt": attempts.append}
    with FaultServer((answers if case in WHOLE else answers_and_closes)(answer)) as server:
        with Caller("sync").client(server.url(), **options) as client:
            outcome = outcome_of(lambda: client.create_intent(REQUEST))
        assert all(str(PLANTED["email"]).encode() in sent.body for sent in server.requests)
    assert type(outcome).__name__ == kind
    assert len(waits) == len(attempts) - 1
    assert len(logged(caplog)) >= len(attempts) > 0
    reports = [f"{attempt} {attempt!r}" for attempt in attempts]
    assert [] == found_in(*texts_of(outcome), *reports, *logged(caplog))


def test_no_text_of_what_was_not_sent(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """A call that never left tells nothing either, nor does it tell the proxy's password."""
    caplog.set_level(logging.DEBUG)

    with FaultServer(answers_unread(echoed(403))) as server:
        proxy = f"http://planted-user:planted-secret@127.0.0.1:{server.port}"
        for options in ({"base_url": server.url("https")}, {"http": HttpOptions(proxy=proxy)}):
            with pytest.raises(NotSentError) as caught:
                caller.create_intent(REQUEST, max_retries=1, **options)
            told = [*texts_of(caught.value), *logged(caplog)]
            assert [] == found_in(*told)
            assert "planted-" not in "".join(told)
        assert server.requests == []


def test_no_text_of_what_was_typed(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a refused input nor a changed one is repeated."""
    caplog.set_level(logging.DEBUG)
    typed = {"phone": "+1 (555) 010-9876", "name": " Planted X ", "country": "PLANTED-COUNTRY"}
    fields: dict[str, Any] = {"variant": 4711, "product": 42} | typed
    with pytest.raises(InvalidIntentError) as caught:
        prepare(**fields)
    fields["country"] = " US "
    with FaultServer(answers(echoed(201))) as server, caller.client(server.url()) as client:
        created = client.do(lambda stoq: stoq.subscribe(**fields))
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
            caller.create_intent(REQUEST, base_url=server.url())
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"stoqapp", "httpcore"}
    assert [] == found_in(*[f"{record.getMessage()} {vars(record)!r}" for record in caplog.records])
