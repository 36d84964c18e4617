"""What each answer and each fault comes to: scripted over real sockets, in both modes."""

import asyncio
import gc
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import faults
import httpx
import pytest
import trustme
from attrs import field, frozen
from conftest import Caller, email_request
from faults import (
    FaultServer,
    Peer,
    Script,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    chunked,
    compressed,
    http,
    over_tls,
    trickles,
    tunnels,
)
from httpx_aiohttp import AiohttpTransport

from record_cassettes import SHOP
from stoqapp import (
    AnswerError,
    AsyncStoq,
    BadRequestError,
    Budget,
    BudgetUnavailableError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    HttpOptions,
    IntentCreated,
    IntentRefusedError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    Stoq,
    StoqError,
    Timeout,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES
from stoqapp_sandbox import Sandbox

# For what must come to an end by itself: long, so that a busy machine decides nothing.
PATIENT = {"timeout": 20.0, "total_timeout": 40.0}
# For what never comes: the one phase that is waited for in vain is short.
IMPATIENT = {"timeout": Timeout(connect=20, read=0.2, write=20, pool=20), "total_timeout": 40.0}
# For what comes too slowly, so that only the deadline of the whole call ends it.
HURRIED = {"timeout": 20.0, "total_timeout": 0.4}
LATEST_SECONDS = 5.0

UNSET: Any = object()


@frozen
class Expected:
    """What a call must end in; what is left unset may be anything."""

    kind: type
    carried_out: bool | None = None
    status: int | None = None
    complete: bool = UNSET
    messages: tuple[str, ...] = UNSET
    retry_after: float | None = UNSET
    intents: int = UNSET
    body: bytes = UNSET
    attempts: int = 1

    def check(self, outcome: IntentCreated | StoqError) -> None:
        assert type(outcome) is self.kind, repr(outcome)
        assert outcome.attempts == self.attempts
        if isinstance(outcome, StoqError):
            assert outcome.carried_out is self.carried_out
        if isinstance(outcome, IntentCreated | AnswerError):
            assert outcome.answer.status == (self.status or 201)
            answered = outcome.answer
            for name, wanted in [("complete", self.complete), ("body", self.body)]:
                assert wanted is UNSET or getattr(answered, name) == wanted
            assert len(answered.body) <= LARGEST_BODY_BYTES
        for name in ("messages", "retry_after"):
            wanted = getattr(self, name)
            assert wanted is UNSET or getattr(outcome, name) == wanted
        assert self.intents is UNSET or len(getattr(outcome, "intents", ())) == self.intents


created = partial(Expected, IntentCreated, complete=True, intents=0)
processed = partial(Expected, ProcessedWithErrorsError, False, 200, complete=True)
limited = partial(Expected, RateLimitedError, False, 429)
unknown = Expected(OutcomeUnknownError, None)
not_sent = Expected(NotSentError, False)


def refused(kind: type, status: int, **more: Any) -> Expected:
    return Expected(kind, False, status, **more)


def trouble(status: int, carried_out: bool | None = None, **more: Any) -> Expected:
    return Expected(ServerError, carried_out, status, **more)


def unexpected(status: int, **more: Any) -> Expected:
    return Expected(UnexpectedAnswerError, None, status, **more)


@frozen
class Row:
    """One line of the table: what the server does, how the client is made, what comes of it."""

    name: str
    script: Script = field(repr=False)
    expected: Expected
    client: dict[str, Any] = PATIENT


INTENT = b'{"intents": [{"id": "77", "channel": "email"}]}'
TAKEN = b'{"errors": ["is already waiting"]}'
TAKEN_SAID = ("is already waiting",)


def gz(body: bytes, label: bytes = b"gzip") -> bytes:
    return http(201, body, b"Content-Encoding: " + label)


def unframed(status: int = 201, *headers: bytes, body: bytes = b"") -> bytes:
    return http(status, body, *headers, length=None)


def in_chunks(body: bytes) -> bytes:
    return http(201, body, b"Transfer-Encoding: chunked", length=None)


def floods(start: bytes, more: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        peer.flood(more)

    return script


# A 201 is a created intent, whatever its body is ------------------------------------------------

CREATED_BODIES = [
    ("with the intent", INTENT, created(intents=1)),
    ("empty", b"", created(body=b"")),
    ("HTML", b"<html>Created</html>", created(body=b"<html>Created</html>")),
    ("not UTF-8", b"\xff\xfe\xfd", created(body=b"\xff\xfe\xfd")),
    ("a list", b"[1]", created()),
    ("null", b"null", created()),
    ("a string", b'"done"', created()),
    ("an endless number", b"9" * 10_000, created()),
    ("not a number", b'{"intents": NaN}', created()),
    ("deeply nested", b"[" * 50_000, created()),
    ("half of the JSON", INTENT[:-5], created()),
    ("intents null", b'{"intents": null}', created()),
    ("intents of strings", b'{"intents": ["77", null]}', created()),
    ("intents an object", b'{"intents": {"id": "77"}}', created()),
    ("a lone surrogate", b'{"intents": [{"id": "\\ud800"}]}', created(intents=1)),
    ("with a byte order mark", b"\xef\xbb\xbf" + INTENT, created(intents=1)),
    ("UTF-16", INTENT.decode().encode("utf-16"), created(intents=1)),
    (
        "errors beside the intent",
        b'{"intents": [{"id": "77"}], "errors": ["no name"]}',
        created(intents=1, messages=("no name",)),
    ),
]

ROWS = [
    Row(f"201 {name}", answers(http(201, body)), expected)
    for name, body, expected in CREATED_BODIES
]

# However the body of a 201 is framed, cut, or compressed

# What was readable of the body may have been read, so nothing is asked of `intents` here.
CUT = Expected(IntentCreated, complete=False)
ROWS += [
    Row("201 body shorter than it says", answers_and_closes(http(201, INTENT, length=500)), CUT),
    Row(
        "201 body longer than it says",
        answers_and_closes(http(201, INTENT, length=10)),
        created(body=INTENT[:10]),
    ),
    Row("201 body resets", answers_and_resets(http(201, INTENT, length=500)), CUT),
    Row("201 body hangs", answers_and_hangs(http(201, INTENT, length=500)), CUT, IMPATIENT),
    Row(
        "201 body never begins",
        answers_and_hangs(http(201, length=500)),
        Expected(IntentCreated, complete=False, intents=0, body=b""),
        IMPATIENT,
    ),
    Row("201 body trickles", trickles(http(201, length=2000), b"x" * 2000), CUT, HURRIED),
    Row("201 body until the end", answers_and_closes(unframed(body=INTENT)), created(intents=1)),
    Row("201 body until a reset", answers_and_resets(unframed(body=b"{")), CUT),
    Row("201 body without end", floods(unframed(), b" " * 65536), CUT),
    Row(
        "201 HTTP/1.0",
        answers_and_closes(http(201, INTENT, version=b"HTTP/1.0", length=None)),
        created(intents=1),
    ),
    Row("201 in chunks", answers(in_chunks(chunked(INTENT[:9], INTENT[9:]))), created(intents=1)),
    Row(
        "201 in chunks with extension and trailer",
        answers(in_chunks(b"2;a=b\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")),
        created(body=b"{}"),
    ),
    Row("201 last chunk missing", answers_and_closes(in_chunks(chunked(INTENT, end=b""))), CUT),
    Row("201 chunks reset", answers_and_resets(in_chunks(b"ff\r\n{")), CUT),
    Row("201 chunk size garbage", answers(in_chunks(b"2\r\n{}\r\nzz\r\n")), CUT),
    Row("201 chunk size negative", answers(in_chunks(b"-2\r\n{}\r\n")), CUT),
    Row("201 chunk size enormous", answers_and_closes(in_chunks(b"f" * 30 + b"\r\n{}")), CUT),
    Row("201 chunk longer than it says", answers(in_chunks(b"1\r\n{}\r\n0\r\n\r\n")), CUT),
    Row("201 trailer garbage", answers(in_chunks(b"2\r\n{}\r\n0\r\n:\r\n\r\n")), CUT),
    Row("201 chunks without end", floods(in_chunks(b""), chunked(b" " * 9000, end=b"")), CUT),
    Row(
        "201 chunks and a length",
        answers(http(201, chunked(INTENT), b"Transfer-Encoding: chunked", length=3)),
        created(intents=1),
    ),
    Row(
        "201 body as large as the cap",
        answers(http(201, b" " * LARGEST_BODY_BYTES)),
        created(body=b" " * LARGEST_BODY_BYTES),
    ),
    Row(
        "201 body one byte over the cap",
        answers(http(201, b" " * (LARGEST_BODY_BYTES + 1))),
        Expected(IntentCreated, complete=False, body=b" " * LARGEST_BODY_BYTES),
    ),
    Row("201 body far over the cap", answers(http(201, b" " * 4 * LARGEST_BODY_BYTES)), CUT),
    Row("201 gzip", answers(gz(compressed(INTENT))), created(intents=1, body=INTENT)),
    Row("201 x-gzip", answers(gz(compressed(INTENT), b"X-GZIP")), created(intents=1)),
    Row(
        "201 deflate",
        answers(gz(compressed(INTENT, zlib.MAX_WBITS), b"deflate")),
        created(intents=1, body=INTENT),
    ),
    Row(
        "201 deflate without its header",
        answers(gz(compressed(INTENT, -zlib.MAX_WBITS), b"deflate")),
        Expected(IntentCreated),
    ),
    Row("201 identity", answers(gz(INTENT, b"identity")), created(intents=1)),
    Row(
        "201 gzip in chunks",
        answers(
            http(
                201,
                chunked(*[bytes([byte]) for byte in compressed(INTENT)]),
                b"Transfer-Encoding: chunked",
                b"Content-Encoding: gzip",
                length=None,
            )
        ),
        created(intents=1),
    ),
    Row("201 gzip that is none", answers(gz(INTENT)), Expected(IntentCreated, complete=False)),
    Row(
        "201 gzip cut",
        answers(gz(compressed(INTENT)[:-12])),
        Expected(IntentCreated, complete=False),
    ),
    Row(
        "201 gzip with a wrong sum",
        answers(gz(compressed(INTENT)[:-8] + bytes(8))),
        Expected(IntentCreated, complete=False),
    ),
    Row(
        "201 gzip and the connection cut",
        answers_and_closes(
            http(201, compressed(INTENT)[:20], b"Content-Encoding: gzip", length=999)
        ),
        CUT,
    ),
    Row("201 gzip empty", answers(gz(b"")), Expected(IntentCreated, body=b"")),
    Row(
        "201 gzip, then junk",
        answers(gz(compressed(INTENT) + b"junk")),
        Expected(IntentCreated, intents=1),
    ),
    Row(
        "201 gzip twice",
        answers(gz(compressed(compressed(INTENT)), b"gzip, gzip")),
        Expected(IntentCreated),
    ),
    Row("201 brotli", answers(gz(b"\x0b\x02\x80{}\x03", b"br")), CUT),
    Row("201 zstd", answers(gz(b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}", b"zstd")), CUT),
    Row(
        "201 an unheard-of encoding",
        answers(gz(INTENT, b"x-secret")),
        Expected(IntentCreated, complete=False, body=INTENT),
    ),
    Row(
        "201 bad encoding label",
        answers(gz(INTENT, b"\xff\xfe")),
        Expected(IntentCreated, body=INTENT),
    ),
    Row(
        "201 gzip over the cap",
        answers(gz(compressed(b" " * 8 * LARGEST_BODY_BYTES))),
        Expected(IntentCreated, complete=False, body=b" " * LARGEST_BODY_BYTES),
    ),
]

# However the head of a 201 is written, as long as it can be read

EARLY = http(103, b"", b"Link: </a>", length=None)
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
ONE = created(intents=1)


def answers_before_the_request(peer: Peer) -> None:
    """Send the answer to a request that has not come."""
    peer.send(http(201, INTENT))
    peer.read_request()


ROWS += [
    Row("201 after a 100", answers(GO_ON + http(201, INTENT)), ONE),
    Row("201 after a 103", answers(EARLY, http(201, INTENT)), ONE),
    Row("201 after many 1xx", answers(GO_ON * 100, EARLY, http(201, INTENT)), ONE),
    Row("201 in pieces", answers(*[bytes([byte]) for byte in http(201, INTENT)]), ONE),
    Row("201 before the request", answers_before_the_request, ONE),
    Row("201 bare line feeds", answers(http(201, INTENT).replace(b"\r\n", b"\n")), ONE),
    Row("201 without a reason", answers(http(201, INTENT, reason=b"")), ONE),
    Row(
        "201 and no space after it",
        answers(http(201, INTENT, reason=b"").replace(b"201 \r", b"201\r")),
        ONE,
    ),
    Row("201 reason not ASCII", answers(http(201, INTENT, reason="Erzeugt ☂".encode())), ONE),
    Row("201 folded header", answers(http(201, INTENT, b"X-Long: a\r\n  b")), ONE),
    Row("201 header not ASCII", answers(http(201, INTENT, b"X-Odd: \xff\xc3\xa4\x80")), ONE),
    Row("201 header without a value", answers(http(201, INTENT, b"X-Odd:")), ONE),
    Row(
        "201 many headers", answers(http(201, INTENT, *[b"X-%d: 1" % n for n in range(2000)])), ONE
    ),
    Row("201 header of 90 KiB", answers(http(201, INTENT, b"X-Odd: " + b"a" * 90 * 1024)), ONE),
    Row(
        "201 odd cookies",
        answers(
            http(
                201,
                INTENT,
                b"Set-Cookie: =;;=\xff; Expires=0; Max-Age=x; Domain=..",
                b'Set-Cookie: a=b; Version=z; Port="q"',
                b"Set-Cookie2: ;",
            )
        ),
        ONE,
    ),
    Row(
        "201 odd dates and numbers",
        answers(
            http(
                201,
                INTENT,
                b"Date: soon",
                b"Retry-After: soon",
                b"X-RateLimit-Limit: x",
                b"X-RateLimit-Remaining: -1",
                b"X-RateLimit-Reset: " + b"9" * 500,
            )
        ),
        ONE,
    ),
    Row(
        "201 wrong content type",
        answers(http(201, INTENT, b"Content-Type: a/b; charset=\xff;;")),
        ONE,
    ),
    Row("201 with a location", answers(http(201, INTENT, b"Location: http://[")), ONE),
    Row("201 and closes", answers_and_closes(http(201, INTENT, b"Connection: close")), ONE),
    Row("201 and resets", answers_and_resets(http(201, INTENT)), ONE),
    Row(
        "201 HTTP/1.0 kept alive",
        answers(http(201, INTENT, b"Connection: keep-alive", version=b"HTTP/1.0")),
        ONE,
    ),
]

# A 200 is no created intent -------------------------------------------------------------------

ROWS += [
    Row("200 errors", answers(http(200, TAKEN)), processed(messages=TAKEN_SAID)),
    Row(
        "200 errors a string", answers(http(200, b'{"errors": "no"}')), processed(messages=("no",))
    ),
    Row("200 errors null", answers(http(200, b'{"errors": null}')), processed(messages=())),
    Row("200 errors missing", answers(http(200, b"{}")), processed(messages=())),
    Row(
        "200 errors by field",
        answers(http(200, b'{"errors": {"email": ["bad"]}}')),
        processed(messages=("email: bad",)),
    ),
    Row("200 empty", answers(http(200)), processed(messages=())),
    Row("200 HTML", answers(http(200, b"<html>")), processed(messages=())),
    Row("200 that claims an intent", answers(http(200, INTENT)), processed(messages=())),
    Row(
        "200 gzip",
        answers(http(200, compressed(TAKEN), b"Content-Encoding: gzip")),
        processed(messages=TAKEN_SAID),
    ),
    Row(
        "200 cut",
        answers_and_closes(http(200, TAKEN[:-4], length=99)),
        processed(complete=False, messages=()),
    ),
]

# 4xx: refused ---------------------------------------------------------------------------------

NO = b'{"error": "No"}'
REFUSALS: dict[int, type] = {
    400: BadRequestError,
    401: UnauthorizedError,
    402: IntentRefusedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: IntentRefusedError,
    407: IntentRefusedError,
    408: IntentRefusedError,
    409: ConflictError,
    410: IntentRefusedError,
    413: PayloadTooLargeError,
    415: IntentRefusedError,
    422: UnprocessableIntentError,
    451: IntentRefusedError,
    499: IntentRefusedError,
}


def answers_too_early(peer: Peer) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    peer.read_head()
    peer.send(http(413, NO, b"Connection: close"))
    peer.close()


ROWS += [
    Row(f"{status}", answers(http(status, NO)), refused(kind, status, messages=("No",)))
    for status, kind in REFUSALS.items()
]
ROWS += [
    Row("400 HTML", answers(http(400, b"<html>")), refused(BadRequestError, 400, messages=())),
    Row(
        "403 of a wall in between",
        answers(http(403, b"<html>" + b"x" * 50_000)),
        refused(ForbiddenError, 403, messages=(), complete=True),
    ),
    Row("404 empty", answers(http(404)), refused(NotFoundError, 404, messages=())),
    Row("413 before the body was read", answers_too_early, refused(PayloadTooLargeError, 413)),
    Row(
        "422 nested",
        answers(http(422, b'{"errors": [{"detail": "a"}, "b"], "message": "c"}')),
        refused(UnprocessableIntentError, 422, messages=("detail: a", "b", "c")),
    ),
    Row(
        "422 cut",
        answers_and_resets(http(422, NO, length=99)),
        refused(UnprocessableIntentError, 422, complete=False),
    ),
    Row(
        "422 a bomb",
        answers(http(422, compressed(bytes(4 * LARGEST_BODY_BYTES)), b"Content-Encoding: gzip")),
        refused(UnprocessableIntentError, 422, complete=False, messages=()),
    ),
    Row(
        "404 with Retry-After",
        answers(http(404, NO, b"Retry-After: 5")),
        refused(NotFoundError, 404),
    ),
]

# 429: how long to wait ------------------------------------------------------------------------

DATE = b"Date: Sun, 06 Nov 2033 08:49:37 GMT"
RESET = b"X-RateLimit-Reset: 2014879797"  # 20 seconds after DATE


def slow_down(*headers: bytes, body: bytes = b"{}") -> Script:
    return answers(http(429, body, *headers))


ROWS += [
    Row("429 seconds", slow_down(b"Retry-After: 24"), limited(retry_after=24.0)),
    Row("429 no seconds", slow_down(b"Retry-After: 0"), limited(retry_after=0.0)),
    Row(
        "429 date",
        slow_down(DATE, b"Retry-After: Sun, 06 Nov 2033 08:50:07 GMT"),
        limited(retry_after=30.0),
    ),
    Row(
        "429 date of RFC 850",
        slow_down(DATE, b"Retry-After: Sunday, 06-Nov-33 08:50:07 GMT"),
        limited(retry_after=30.0),
    ),
    Row(
        "429 date of asctime",
        slow_down(DATE, b"Retry-After: Sun Nov  6 08:50:07 2033"),
        limited(retry_after=30.0),
    ),
    Row(
        "429 in the body",
        slow_down(body=b'{"error": "x", "retry_after": 7, "message": "y"}'),
        limited(retry_after=7.0, messages=("x", "y")),
    ),
    Row(
        "429 reset", slow_down(DATE, RESET, b"X-RateLimit-Remaining: 0"), limited(retry_after=20.0)
    ),
    Row(
        "429 header before body and reset",
        slow_down(DATE, RESET, b"Retry-After: 9", body=b'{"retry_after": 7}'),
        limited(retry_after=9.0),
    ),
    Row(
        "429 unreadable header, then the body",
        slow_down(b"Retry-After: soon", body=b'{"retry_after": 7}'),
        limited(retry_after=7.0),
    ),
    Row("429 negative", slow_down(b"Retry-After: -5"), limited(retry_after=None)),
    Row("429 endless", slow_down(b"Retry-After: inf"), limited(retry_after=None)),
    Row("429 silent", slow_down(), limited(retry_after=None)),
    Row(
        "429 cut",
        answers_and_resets(http(429, b"{", b"Retry-After: 24", length=99)),
        limited(retry_after=24.0, complete=False),
    ),
    Row("429 HTML", slow_down(b"Retry-After: 24", body=b"<html>"), limited(messages=())),
]

# 5xx ------------------------------------------------------------------------------------------

ROWS += [
    Row(f"{status}", answers(http(status, NO)), trouble(status, messages=("No",)))
    for status in [500, 501, 502, 503, 504, 505, 507, 511, *range(520, 531), 555, 599]
]
ROWS += [
    Row("500 empty", answers(http(500)), trouble(500, messages=())),
    Row("500 with Retry-After", answers(http(500, NO, b"Retry-After: 5")), trouble(500)),
    Row("500 cut", answers_and_resets(http(500, NO, length=99)), trouble(500, complete=False)),
    Row("502 HTML", answers(http(502, b"<html>Bad gateway</html>")), trouble(502, messages=())),
    Row(
        "503 with Retry-After",
        answers(http(503, NO, b"Retry-After: 5")),
        trouble(503, False, retry_after=5.0),
    ),
    Row(
        "503 with a date to come back",
        answers(http(503, NO, DATE, b"Retry-After: Sun, 06 Nov 2033 08:50:07 GMT")),
        trouble(503, False, retry_after=30.0),
    ),
    Row(
        "503 with a Retry-After that says nothing",
        answers(http(503, NO, b"Retry-After: soon")),
        trouble(503, None, retry_after=None),
    ),
    Row(
        "503 hangs",
        answers_and_hangs(http(503, NO, b"Retry-After: 5", length=99)),
        trouble(503, False, complete=False),
        IMPATIENT,
    ),
    Row("520 HTML of a proxy", answers(http(520, b"<html>error code: 520</html>")), trouble(520)),
]

# Everything else that has a status ------------------------------------------------------------

ROWS += [
    Row(f"{status}", answers(http(status, NO)), unexpected(status))
    for status in [202, 203, 205, 206, 207, 226, 299, 300, 305, 600, 999]
]
ROWS += [
    Row(
        f"{status} to elsewhere",
        answers(http(status, b"", b"Location: http://127.0.0.1:1/")),
        unexpected(status),
    )
    for status in [301, 302, 303, 307, 308]
]
ROWS += [
    Row("302 to nowhere", answers(http(302)), unexpected(302)),
    Row("302 to no URL", answers(http(302, b"", b"Location: http://[")), unexpected(302)),
    Row("302 to no port", answers(http(302, b"", b"Location: http://a:b/")), unexpected(302)),
    Row("302 to no host", answers(http(302, b"", b"Location: https:///a")), unexpected(302)),
    Row(
        "302 to another scheme", answers(http(302, b"", b"Location: gopher://a/")), unexpected(302)
    ),
    Row("302 to a mailbox", answers(http(302, b"", b"Location: mailto:a")), unexpected(302)),
    Row("302 not ASCII", answers(http(302, b"", b"Location: \xff\xfe//\xff")), unexpected(302)),
    Row(
        "307 to a host that is none",
        answers(http(307, b"", b"Location: http://xn--a/")),
        unexpected(307),
    ),
    Row("204", answers(http(204, length=None)), unexpected(204, body=b"")),
    Row("204 with a body", answers_and_closes(http(204, NO)), unexpected(204)),
    Row("304 with a body", answers_and_closes(http(304, NO)), unexpected(304)),
    Row(
        "101",
        answers(http(101, b"", b"Upgrade: h2c", b"Connection: Upgrade", length=None)),
        unexpected(101),
    ),
]

# The request left, and no status line and headers came ------------------------------------------

HTTP2_SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"


def resets_after_the_head(peer: Peer) -> None:
    peer.read_head()
    peer.reset()


def closes_at_once(peer: Peer) -> None:
    peer.close()


def broken(answer: bytes) -> Script:
    """Send what is no HTTP, and leave the connection open: the client must see it by itself."""
    return answers_and_hangs(answer)


def head(line: bytes) -> bytes:
    return b"HTTP/1.1 201 Created\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"


ROWS += [
    Row(name, script, unknown, client)
    for name, script, client in [
        ("resets before the request is read", faults.resets_unread, PATIENT),
        ("resets after the request's head", resets_after_the_head, PATIENT),
        ("resets after the request", answers_and_resets(), PATIENT),
        ("closes before the request is read", faults.closes_unread, PATIENT),
        ("closes after the request", answers_and_closes(), PATIENT),
        ("never answers", answers_and_hangs(), IMPATIENT),
        ("never reads", faults.hangs, IMPATIENT),
        ("half a status line, then closes", answers_and_closes(b"HTTP/1.1 20"), PATIENT),
        ("half a status line, then resets", answers_and_resets(b"HTTP/1.1 20"), PATIENT),
        ("half a status line, then hangs", answers_and_hangs(b"HTTP/1.1 20"), IMPATIENT),
        ("the head trickles", trickles(b"", http(201, b"", b"X: " + b"a" * 2000)), HURRIED),
        ("a 100 and nothing more", answers_and_closes(GO_ON), PATIENT),
        ("a 100 and then never", answers_and_hangs(GO_ON), IMPATIENT),
        ("100s without end", floods(b"", GO_ON), HURRIED),
        ("100s that trickle", trickles(b"", GO_ON * 100), HURRIED),
        ("no HTTP at all", broken(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), PATIENT),
        ("HTTP/0.9", answers_and_closes(b"<html>Created</html>\n"), PATIENT),
        ("HTTP/2", answers_and_closes(HTTP2_SETTINGS), PATIENT),
        ("HTTP/2 in words", broken(b"HTTP/2 201 Created\r\n\r\n"), PATIENT),
        ("TLS", answers_and_closes(b"\x15\x03\x03\x00\x02\x02\x50"), PATIENT),
        ("status 20x", broken(http("20x")), PATIENT),
        ("status 99", broken(http("99")), PATIENT),
        ("status 000", broken(http("000")), PATIENT),
        ("status 2011", broken(http("2011")), PATIENT),
        ("status -201", broken(http("-201")), PATIENT),
        (
            "status of other digits",
            broken(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa1 OK\r\n\r\n"),
            PATIENT,
        ),
    ]
]


# A head that h11 refuses, but with a status line that can be read: that is what decides.
ROWS += [
    Row(name, script, Expected(IntentCreated, complete=False, intents=0, body=b""), client)
    for name, script, client in [
        ("a status line alone", answers_and_closes(b"HTTP/1.1 201 Created\r\n"), PATIENT),
        ("headers without end", answers_and_closes(head(b"X: 1")[:-2]), PATIENT),
        ("resets in the headers", answers_and_resets(head(b"X: 1")[:-9]), PATIENT),
        ("hangs in the headers", answers_and_hangs(head(b"X: 1")[:-2]), IMPATIENT),
        ("headers of 200 KiB", broken(head(b"X: " + b"a" * 200 * 1024)[:-4]), PATIENT),
        ("headers of 1 MiB", broken(head(b"X: " + b"a" * 1024 * 1024)[:-4]), PATIENT),
        ("headers without end or mercy", floods(head(b"X: 1")[:-2], b"X: 1\r\n" * 999), PATIENT),
        ("header without a colon", broken(head(b"nonsense")), PATIENT),
        ("header without a name", broken(head(b": 1")), PATIENT),
        ("header name with a space", broken(head(b"X : 1")), PATIENT),
        ("header with a NUL", broken(head(b"X: a\0b")), PATIENT),
        ("header with a carriage return", broken(head(b"X: a\rb")), PATIENT),
        ("first header folded", broken(head(b" X: 1")), PATIENT),
        ("length negative", broken(http(201, b"{}", length=-2)), PATIENT),
        ("length no number", broken(http(201, b"{}", length="two")), PATIENT),
        ("two lengths", broken(http(201, b"{}", b"Content-Length: 1")), PATIENT),
        ("unheard-of framing", answers_and_closes(unframed(201, b"Transfer-Encoding: a")), PATIENT),
    ]
]


def outcome_of(call: Callable[[], IntentCreated]) -> IntentCreated | StoqError:
    try:
        return call()
    except StoqError as error:
        return error


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_answer_and_fault_has_its_outcome(row: Row, caller: Caller) -> None:
    """Each answer or fault comes to one outcome, the same in both modes, from one request."""
    with FaultServer(row.script) as server:
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(email_request(), base_url=server.url(), **row.client)
        )
        seconds = time.monotonic() - began
        assert server.connections == 1
    row.expected.check(outcome)
    if row.client is not PATIENT:
        assert seconds < LATEST_SECONDS


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.expected is unknown and row.client is PATIENT],
    ids=lambda row: row.name,
)
def test_another_transport_never_claims_that_nothing_was_sent(row: Row) -> None:
    """What left over httpx-aiohttp is not told as "not sent", nor sent again by itself."""
    http_options = HttpOptions(transport=AiohttpTransport())
    with FaultServer(row.script) as server:
        outcome = outcome_of(
            lambda: Caller("async").create_intent(
                email_request(),
                base_url=server.url(),
                http=http_options,
                max_retries=2,
                **row.client,
            )
        )
        assert server.connections == 1
    assert not isinstance(outcome, NotSentError)
    # aiohttp reads some heads that h11 does not.
    assert isinstance(outcome, OutcomeUnknownError | IntentCreated | UnexpectedAnswerError)


def test_the_table_is_long_enough() -> None:
    """The table has its rows, and no two of one name."""
    names = [row.name for row in [*ROWS, *TLS_ROWS, *PROXY_ROWS]]
    assert len(names) == len(set(names))
    assert len(names) > 200


def test_memory_stays_flat_under_a_bomb(caller: Caller) -> None:
    """A gigabyte that came as one mebibyte of gzip is a created intent, and is not unpacked."""
    bomb = gz(faults.gzip_bomb())
    with FaultServer(answers(bomb)) as server:
        caller.create_intent(email_request(), base_url=server.url(), **PATIENT)
        tracemalloc.start()
        try:
            outcome = caller.create_intent(email_request(), base_url=server.url(), **PATIENT)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    Expected(IntentCreated, complete=False, body=bytes(LARGEST_BODY_BYTES)).check(outcome)
    assert peak < 16 * 1024 * 1024


def test_a_deadline_holds_while_the_request_is_taken_too_slowly(caller: Caller) -> None:
    """A server that takes the request in sips does not outlast total_timeout."""
    with FaultServer(lambda peer: peer.sip(512), receive_bytes=2048) as server:
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(name="x" * 12_000_000),
                base_url=server.url(),
                timeout=20.0,
                total_timeout=0.6,
            )
        )
        assert time.monotonic() - began < LATEST_SECONDS
    unknown.check(outcome)


# TLS ----------------------------------------------------------------------------------------------


@frozen
class Trust:
    """Certificates of an authority that the client trusts, and of others."""

    authority: trustme.CA
    client: HttpOptions
    right: ssl.SSLContext
    other_name: ssl.SSLContext
    expired: ssl.SSLContext
    other_authority: ssl.SSLContext


def server_context(
    authority: trustme.CA, name: str = "127.0.0.1", until: datetime | None = None
) -> ssl.SSLContext:
    since = None if until is None else until - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=since, not_after=until).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trust() -> Trust:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Trust(
        authority,
        client=HttpOptions(ssl_context=context),
        right=server_context(authority),
        other_name=server_context(authority, "app.example"),
        expired=server_context(authority, until=datetime(2020, 1, 1, tzinfo=UTC)),
        other_authority=server_context(trustme.CA()),
    )


def cuts_the_handshake(peer: Peer) -> None:
    peer._read_more()
    peer.close()


def resets_the_handshake(peer: Peer) -> None:
    peer._read_more()
    peer.reset()


def answers_plainly(peer: Peer) -> None:
    peer._read_more()
    peer.send(http(400, b"<html>plain HTTP sent to a TLS port</html>"))
    peer.close()


@frozen
class TlsRow:
    """As `Row`, its script made of the certificates that there are."""

    name: str
    script: Callable[[Trust], Script] = field(repr=False)
    expected: Expected
    client: dict[str, Any] = PATIENT


SLOW_CONNECT = {"timeout": Timeout(connect=0.3, read=20, write=20, pool=20), "total_timeout": 40.0}


def tls(then: Script) -> Callable[[Trust], Script]:
    return lambda trust: over_tls(trust.right, then)


def closes_in_the_handshake_of(context: str) -> Callable[[Trust], Script]:
    return lambda trust: over_tls(getattr(trust, context), answers(http(201, INTENT)))


def breaks_the_records(peer: Peer) -> None:
    peer.read_request()
    # The descriptor's own bytes, past the TLS layer.
    with socket.socket(fileno=os.dup(peer._sock.fileno())) as bare:
        bare.sendall(b"HTTP/1.1 201 Created\r\n\r\n")
    peer.wait_until_left()


TLS_ROWS = [
    TlsRow("TLS 201", tls(answers(http(201, INTENT))), ONE),
    TlsRow("TLS 422", tls(answers(http(422, NO))), refused(UnprocessableIntentError, 422)),
    TlsRow("TLS with another name", closes_in_the_handshake_of("other_name"), not_sent),
    TlsRow("TLS untrusted", closes_in_the_handshake_of("other_authority"), not_sent),
    TlsRow("TLS expired", closes_in_the_handshake_of("expired"), not_sent),
    TlsRow("TLS handshake cut", lambda trust: cuts_the_handshake, not_sent),
    TlsRow("TLS handshake reset", lambda trust: resets_the_handshake, not_sent),
    TlsRow("TLS handshake never comes", lambda trust: faults.hangs, not_sent, SLOW_CONNECT),
    TlsRow("TLS and a closed connection", lambda trust: closes_at_once, not_sent),
    TlsRow("TLS wanted, plain HTTP given", lambda trust: answers_plainly, not_sent),
    TlsRow("TLS reset after the request", tls(answers_and_resets()), unknown),
    TlsRow("TLS closed after the request", tls(answers_and_closes()), unknown),
    TlsRow("TLS records broken after the request", tls(breaks_the_records), unknown),
    TlsRow("TLS never answers", tls(answers_and_hangs()), unknown, IMPATIENT),
    TlsRow(
        "TLS head trickles",
        tls(trickles(b"", http(201, b"", b"X: " + b"a" * 2000))),
        unknown,
        HURRIED,
    ),
    TlsRow("TLS body cut", tls(answers_and_resets(http(201, INTENT, length=500))), CUT),
    TlsRow("TLS body trickles", tls(trickles(http(201, length=2000), b"x" * 2000)), CUT, HURRIED),
]


@pytest.mark.parametrize("row", TLS_ROWS, ids=lambda row: row.name)
def test_every_fault_of_tls_has_its_outcome(row: TlsRow, caller: Caller, trust: Trust) -> None:
    """TLS that does not come about sends nothing; after it the rules are those of plain HTTP."""
    with FaultServer(row.script(trust)) as server:
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(), base_url=server.url("https"), http=trust.client, **row.client
            )
        )
        seconds = time.monotonic() - began
    row.expected.check(outcome)
    if row.client is not PATIENT:
        assert seconds < LATEST_SECONDS
    if row.expected is not_sent:
        assert server.requests == []


def test_a_file_of_authorities_is_trusted(caller: Caller, trust: Trust, tmp_path: Any) -> None:
    """ca_file= makes a private authority trusted."""
    ca_file = tmp_path / "ca.pem"
    trust.authority.cert_pem.write_to_path(ca_file)
    with FaultServer(over_tls(trust.right, answers(http(201, INTENT)))) as server:
        outcome = caller.create_intent(
            email_request(), base_url=server.url("https"), http=HttpOptions(ca_file=ca_file)
        )
    ONE.check(outcome)


# No connection, no name, no proxy -------------------------------------------------------------


def test_a_refused_connection_sends_nothing(caller: Caller) -> None:
    """Where nobody listens, nothing is sent."""
    with faults.closed_port() as port:
        outcome = outcome_of(
            lambda: caller.create_intent(email_request(), base_url=f"http://127.0.0.1:{port}")
        )
    not_sent.check(outcome)


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue is told otherwise elsewhere")
def test_a_connection_that_never_comes_about_sends_nothing(caller: Caller) -> None:
    """Where a connection takes longer than the connect timeout, nothing is sent."""
    with faults.deaf_port() as port:
        base_url = f"http://127.0.0.1:{port}"
        for options in (SLOW_CONNECT, HURRIED):
            outcome = outcome_of(
                lambda options=options: caller.create_intent(
                    email_request(), base_url=base_url, **options
                )
            )
            not_sent.check(outcome)


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue is told otherwise elsewhere")
def test_a_host_of_many_addresses_keeps_to_the_deadline(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying one address after the other takes no longer than the call has."""
    with faults.deaf_port() as port:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [address] * 40)
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url=f"http://localhost:{port}",
                timeout=1.0,
                total_timeout=1.0,
            )
        )
        # One second for each address would be forty.
        assert time.monotonic() - began < LATEST_SECONDS
    not_sent.check(outcome)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError(101, "unreachable")])
def test_a_name_that_is_not_found_sends_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """A host that has no address sends nothing."""

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    outcome = outcome_of(lambda: caller.create_intent(email_request()))
    not_sent.check(outcome)


@frozen
class ProxyRow:
    """As `TlsRow`, for what a proxy before the server does."""

    name: str
    script: Callable[[Trust], Script] = field(repr=False)
    expected: Expected
    client: dict[str, Any] = PATIENT
    scheme: str = "https"


def denies(answer: bytes) -> Callable[[Trust], Script]:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)
        peer.close()

    return lambda trust: script


def hears_and_hangs(peer: Peer) -> None:
    peer.read_head()
    peer.wait_until_left()


def hears_and_resets(peer: Peer) -> None:
    peer.read_head()
    peer.reset()


def through(then: Script, context: str = "right") -> Callable[[Trust], Script]:
    return lambda trust: tunnels(over_tls(getattr(trust, context), then))


def plainly(then: Script) -> Callable[[Trust], Script]:
    return lambda trust: then


PROXY_ROWS = [
    ProxyRow("proxy 201", through(answers(http(201, INTENT))), ONE),
    *[
        ProxyRow(f"proxy denies with {status}", denies(http(status, NO)), not_sent)
        for status in [301, 400, 403, 407, 429, 500, 502, 503, 504]
    ],
    ProxyRow("proxy speaks garbage", denies(b"what?\r\n\r\n"), not_sent),
    ProxyRow("proxy closes", denies(b""), not_sent),
    ProxyRow("proxy resets", plainly(hears_and_resets), not_sent),
    ProxyRow("proxy never answers", plainly(hears_and_hangs), not_sent, IMPATIENT),
    ProxyRow(
        "proxy trickles",
        plainly(lambda peer: peer.trickle(http(200, b"x" * 2000))),
        not_sent,
        HURRIED,
    ),
    ProxyRow("proxy to the wrong server", through(answers(http(201)), "other_name"), not_sent),
    ProxyRow("proxy tunnel cut", plainly(tunnels(closes_at_once)), not_sent),
    ProxyRow("proxy tunnel silent", plainly(tunnels(faults.hangs)), not_sent, SLOW_CONNECT),
    ProxyRow("proxy and no answer", through(answers_and_closes()), unknown),
    ProxyRow(
        "proxy and a head that trickles",
        through(trickles(b"", http(201, b"", b"X: " + b"a" * 2000))),
        unknown,
        HURRIED,
    ),
    ProxyRow("plain proxy 201", plainly(answers(http(201, INTENT))), ONE, scheme="http"),
    ProxyRow(
        "plain proxy 407",
        plainly(answers(http(407, NO))),
        refused(IntentRefusedError, 407),
        scheme="http",
    ),
    ProxyRow("plain proxy 502", plainly(answers(http(502, NO))), trouble(502), scheme="http"),
    ProxyRow("plain proxy closes", plainly(answers_and_closes()), unknown, scheme="http"),
]


@pytest.mark.parametrize("row", PROXY_ROWS, ids=lambda row: row.name)
def test_every_fault_of_a_proxy_has_its_outcome(
    row: ProxyRow, caller: Caller, trust: Trust
) -> None:
    """A proxy that gives no way through sends nothing; after it the answer decides."""
    with FaultServer(row.script(trust)) as proxy:
        http_options = HttpOptions(
            proxy=f"http://user:secret@127.0.0.1:{proxy.port}",
            ssl_context=trust.client.ssl_context,
        )
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url=f"{row.scheme}://127.0.0.1:9/api/v1",
                http=http_options,
                **row.client,
            )
        )
    row.expected.check(outcome)


def test_a_proxy_that_is_down_sends_nothing(caller: Caller) -> None:
    """Where the proxy is not there, nothing is sent."""
    with faults.closed_port() as port:
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(), http=HttpOptions(proxy=f"http://127.0.0.1:{port}")
            )
        )
    not_sent.check(outcome)


NO_PROXIES = ["gopher://127.0.0.1:1", "127.0.0.1:1", "http://a:b", "http://", "", "proxy"]


@pytest.mark.parametrize("proxy", NO_PROXIES)
def test_a_proxy_that_is_none_is_said_at_once(caller: Caller, proxy: str) -> None:
    """A proxy URL that cannot be used is a ConfigurationError, and nothing is sent past it."""
    with FaultServer(YES) as server:
        with pytest.raises(ConfigurationError):
            caller.create_intent(
                email_request(), base_url=server.url(), http=HttpOptions(proxy=proxy)
            )
        assert server.connections == 0


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "http://a:b"])
def test_a_proxy_of_the_environment_that_is_none(
    caller: Caller, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment that cannot be used is a ConfigurationError, too."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError):
        caller.create_intent(email_request(), base_url="https://stoq.example.com")


# One client, several calls ----------------------------------------------------------------------


class Session:
    """One client for several calls, in one of the two modes, behind one blocking interface."""

    def __init__(self, mode: str, server: FaultServer, **client: Any) -> None:
        settings = {"budget": None, "max_retries": 0, **PATIENT} | client
        self._runner = asyncio.Runner() if mode == "async" else None
        kind = Stoq if mode == "sync" else AsyncStoq
        self.stoq: Any = kind(SHOP, base_url=server.url(), **settings)

    def do(self, call: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return call(self.stoq)

        async def in_loop() -> Any:
            return await call(self.stoq)

        return self._runner.run(in_loop())

    def outcome(self, **client: Any) -> IntentCreated | StoqError:
        stoq = self.stoq.with_options(**client) if client else self.stoq
        return outcome_of(lambda: self.do(lambda _: stoq.create_intent(email_request())))

    def close(self) -> None:
        self.do(lambda stoq: stoq.close())
        if self._runner is not None:
            self._runner.close()


@pytest.fixture
def session(caller: Caller) -> Iterator[Callable[..., Session]]:
    with ExitStack() as stack:

        def make(server: FaultServer, **client: Any) -> Session:
            made = Session(caller.mode, server, **client)
            stack.callback(made.close)
            return made

        yield make


Make = Callable[..., Session]


def test_a_connection_is_used_again(session: Make) -> None:
    """Two calls use one connection, whose second answer is the second call's."""
    with FaultServer(answers(http(201, INTENT)), answers(http(404, NO))) as server:
        client = session(server)
        ONE.check(client.outcome())
        refused(NotFoundError, 404).check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "parting",
    [b"", http(408, b"<html>Idle for too long</html>", b"Connection: close")],
    ids=["silently", "with a 408"],
)
def test_a_connection_that_was_closed_while_idle(session: Make, parting: bytes) -> None:
    """A connection that the server closed in between costs no call; its last words are not read."""
    hang_up = threading.Event()

    def then_closes(peer: Peer) -> None:
        peer.read_request()
        peer.send(http(201, INTENT))
        hang_up.wait()
        peer.send(parting)
        peer.close()

    with FaultServer(then_closes, answers(http(201, INTENT))) as server:
        client = session(server)
        ONE.check(client.outcome())
        hang_up.set()
        server.ended.acquire()
        ONE.check(client.outcome())
        assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_is_closed_on_the_second_request(session: Make) -> None:
    """Where the server takes a second request and hangs up, nobody knows, and nothing is resent."""
    with FaultServer(answers(http(201, INTENT)), answers_and_closes()) as server:
        client = session(server)
        ONE.check(client.outcome())
        unknown.check(client.outcome())
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "first",
    [
        http(201, INTENT) + http(404, NO),
        http(201, INTENT) + b"\r\n\r\njunk",
        http(201, INTENT, length=0),
        http(201, INTENT, length=10),
        http(204, NO),
        http(304, NO),
    ],
    ids=["a second answer", "junk", "length 0", "length too short", "204", "304"],
)
def test_what_an_answer_leaves_behind_is_nobodys_answer(session: Make, first: bytes) -> None:
    """Bytes after the end of one answer do not become the answer to the next request."""
    with FaultServer(answers(first), answers(http(201, INTENT))) as server:
        client = session(server)
        client.outcome()
        ONE.check(client.outcome())


@pytest.mark.parametrize(
    "first",
    [
        answers_and_resets(http(201, INTENT, length=500)),
        answers_and_hangs(),
        answers_and_hangs(http(201, INTENT, length=500)),
        floods(unframed(), b" " * 65536),
        broken(http("20x")),
    ],
    ids=["reset", "no answer", "half a body", "endless body", "garbage"],
)
def test_a_fault_leaves_no_connection_in_use(session: Make, first: Script) -> None:
    """After any fault the pool's only connection is free for the next call."""
    with FaultServer(first, answers(http(201, INTENT))) as server:
        client = session(server, http=HttpOptions(max_connections=1))
        client.outcome(**IMPATIENT)
        ONE.check(client.outcome())


def test_a_full_pool_sends_nothing() -> None:
    """A thread that waits too long for a connection of the pool has sent nothing."""
    busy = threading.Event()
    free = threading.Event()

    def slow(peer: Peer) -> None:
        peer.read_request()
        busy.set()
        free.wait()
        peer.send(http(201, INTENT))

    with (
        FaultServer(slow) as server,
        Stoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=0,
            http=HttpOptions(max_connections=1),
        ) as stoq,
    ):
        first = threading.Thread(target=stoq.create_intent, args=[email_request()])
        first.start()
        busy.wait()
        hasty = stoq.with_options(timeout=Timeout(connect=20, read=20, write=20, pool=0.2))
        outcome = outcome_of(lambda: hasty.create_intent(email_request()))
        free.set()
        first.join()
    not_sent.check(outcome)
    assert len(server.requests) == 1


def test_a_full_pool_sends_nothing_async() -> None:
    """A task that waits too long for a connection of the pool has sent nothing."""
    busy = threading.Event()
    free = threading.Event()

    def slow(peer: Peer) -> None:
        peer.read_request()
        busy.set()
        free.wait()
        peer.send(http(201, INTENT))

    async def calls(server: FaultServer) -> tuple[IntentCreated | StoqError, float]:
        async with AsyncStoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=0,
            http=HttpOptions(max_connections=1),
        ) as stoq:
            first = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.to_thread(busy.wait)
            hasty = stoq.with_options(
                timeout=Timeout(connect=20, read=20, write=20, pool=0.2), total_timeout=6
            )
            began = time.monotonic()
            try:
                outcome: IntentCreated | StoqError = await hasty.create_intent(email_request())
            except StoqError as error:
                outcome = error
            seconds = time.monotonic() - began
            free.set()
            await first
            return outcome, seconds

    with FaultServer(slow) as server:
        outcome, seconds = asyncio.run(calls(server))
    not_sent.check(outcome)
    assert seconds < LATEST_SECONDS
    assert len(server.requests) == 1


# Retries --------------------------------------------------------------------------------------


@frozen
class Flow:
    """What the server does one after the other, and what one call comes to."""

    name: str
    scripts: list[Script] = field(repr=False)
    expected: Expected
    waits: list[float] | None = None
    client: dict[str, Any] = field(factory=dict)
    requests: int = 1
    by_duplicate: bool = False


TRY_AGAIN = {"retry_unknown": True}
WAITING = answers(http(200, TAKEN))
LIMIT_NOW = slow_down(b"Retry-After: 0")
YES = answers(http(201, INTENT))


def after(attempts: int, expected: Expected = ONE) -> Expected:
    return Expected(
        expected.kind, expected.carried_out, expected.status, intents=UNSET, attempts=attempts
    )


DUPLICATE = Expected(IntentCreated, status=200, messages=TAKEN_SAID, attempts=2)

FLOWS = [
    Flow("429, then created", [LIMIT_NOW, YES], after(2), [0.0], requests=2),
    Flow("429 obeyed in full", [slow_down(b"Retry-After: 17"), YES], after(2), [17.0], requests=2),
    Flow("429 twice", [LIMIT_NOW, LIMIT_NOW, YES], after(3), [0.0, 0.0], requests=3),
    Flow("429 for ever", [LIMIT_NOW], after(3, limited()), [0.0, 0.0], requests=3),
    Flow(
        "429 longer than the deadline",
        [slow_down(b"Retry-After: 41"), YES],
        limited(retry_after=41.0),
        [],
    ),
    Flow(
        "503 that says when, then created",
        [answers(http(503, NO, b"Retry-After: 3")), YES],
        after(2),
        [3.0],
        requests=2,
    ),
    Flow("503 that does not", [answers(http(503, NO)), YES], trouble(503), []),
    Flow("500 is not repeated", [answers(http(500, NO)), YES], trouble(500), []),
    Flow("502 is not repeated", [answers(http(502, NO)), YES], trouble(502), []),
    Flow("520 is not repeated", [answers(http(520, NO)), YES], trouble(520), []),
    Flow("302 is not repeated", [answers(http(302, NO)), YES], unexpected(302), []),
    Flow(
        "422 is not repeated",
        [answers(http(422, NO)), YES],
        refused(UnprocessableIntentError, 422),
        [],
    ),
    Flow("unknown is not repeated", [answers_and_closes(), YES], unknown, []),
    Flow("created is not repeated", [answers_and_closes(http(201, INTENT, length=99))], CUT, []),
    Flow(
        "unknown, then created", [answers_and_resets(), YES], after(2), client=TRY_AGAIN, requests=2
    ),
    Flow(
        "unknown, then a duplicate",
        [answers_and_resets(), WAITING],
        DUPLICATE,
        client=TRY_AGAIN,
        requests=2,
        by_duplicate=True,
    ),
    Flow(
        "500, then a duplicate",
        [answers(http(500)), WAITING],
        DUPLICATE,
        client=TRY_AGAIN,
        requests=2,
        by_duplicate=True,
    ),
    Flow(
        "unknown, then another 200",
        [answers_and_resets(), answers(http(200, b'{"errors": ["no"]}'))],
        Expected(ProcessedWithErrorsError, None, 200, attempts=2),
        client=TRY_AGAIN,
        requests=2,
    ),
    Flow(
        "429, then a duplicate is no creation",
        [LIMIT_NOW, WAITING],
        Expected(ProcessedWithErrorsError, False, 200, attempts=2),
        requests=2,
    ),
    Flow("a duplicate at once is no creation", [WAITING], processed(), client=TRY_AGAIN),
    Flow(
        "unknown, then limited for ever",
        [answers_and_resets(), LIMIT_NOW],
        Expected(RateLimitedError, None, 429, attempts=3),
        client=TRY_AGAIN,
        requests=3,
    ),
    Flow(
        "unknown, then refused",
        [answers_and_resets(), answers(http(404, NO))],
        Expected(NotFoundError, None, 404, attempts=2),
        client=TRY_AGAIN,
        requests=2,
    ),
    Flow(
        "limited, then unknown",
        [LIMIT_NOW, answers_and_resets()],
        after(2, unknown),
        [0.0],
        requests=2,
    ),
    Flow(
        "unknown for ever", [answers_and_resets()], after(3, unknown), client=TRY_AGAIN, requests=3
    ),
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_flow_of_retries(flow: Flow, caller: Caller) -> None:
    """A call is repeated where that is safe or asked for, after what was asked, and not else."""
    with FaultServer(*flow.scripts) as server:
        options = {**PATIENT, "max_retries": 2, **flow.client}
        outcome = outcome_of(
            lambda: caller.create_intent(email_request(), base_url=server.url(), **options)
        )
        assert len(server.requests) == flow.requests
    flow.expected.check(outcome)
    assert getattr(outcome, "confirmed_by_duplicate", False) is flow.by_duplicate
    assert outcome.waited_seconds == sum(caller.waits)
    assert len(caller.waits) == outcome.attempts - 1
    if flow.waits is not None:
        assert caller.waits == flow.waits
    bodies = {request.body for request in server.requests}
    assert len(bodies) == 1


def test_a_refused_connection_is_tried_again(caller: Caller) -> None:
    """What was not sent is sent when the server comes back."""
    with ExitStack() as stack:
        port_is_closed = faults.closed_port()
        port = port_is_closed.__enter__()

        class ComesBack(list[float]):
            def append(self, seconds: float) -> None:
                super().append(seconds)
                port_is_closed.__exit__(None, None, None)
                stack.enter_context(FaultServer(YES, port=port))

        caller.waits = ComesBack()
        outcome = caller.create_intent(
            email_request(), base_url=f"http://127.0.0.1:{port}/api/v1", max_retries=1
        )
    after(2).check(outcome)
    assert len(caller.waits) == 1


def test_the_deadline_bounds_all_attempts_together(caller: Caller) -> None:
    """Retries of a server that never answers end by total_timeout."""
    with FaultServer(answers_and_hangs()) as server:
        began = time.monotonic()
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url=server.url(),
                retry_unknown=True,
                max_retries=1000,
                timeout=0.3,
                total_timeout=1.0,
            )
        )
        assert time.monotonic() - began < LATEST_SECONDS
    assert type(outcome) is OutcomeUnknownError
    assert 1 <= outcome.attempts <= 4


def test_a_silent_budget_keeps_to_the_deadline(caller: Caller) -> None:
    """A Redis that takes connections and says nothing costs a call no more than it has."""
    timeouts: list[float] = []
    with FaultServer(faults.hangs) as server:
        budget = Budget.redis(server.url().replace("http", "redis"))
        settimeout = socket.socket.settimeout
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                socket.socket,
                "settimeout",
                lambda self, value: (timeouts.append(value), settimeout(self, value))[1],
            )
            outcome = outcome_of(
                lambda: caller.create_intent(
                    email_request(), base_url=server.url(), budget=budget, total_timeout=0.5
                )
            )
        budget.close()
    assert type(outcome) is BudgetUnavailableError
    given = [seconds for seconds in timeouts if seconds]
    assert given
    assert max(given) <= 0.5


# Cancellation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 20", http(201, b"{", length=99), GO_ON],
    ids=["before the answer", "in the status line", "in the body", "after a 100"],
)
def test_cancelling_a_task_cancels_its_call(start: bytes) -> None:
    """CancelledError comes through, and the pool's only connection is free for the next call."""
    answered = threading.Event()

    def begins(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        answered.set()
        peer.wait_until_left()

    async def calls(server: FaultServer) -> IntentCreated:
        async with AsyncStoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=5,
            retry_unknown=True,
            http=HttpOptions(max_connections=1),
        ) as stoq:
            task = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.to_thread(answered.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await stoq.create_intent(email_request())

    with FaultServer(begins, answers(http(201, INTENT))) as server:
        ONE.check(asyncio.run(calls(server)))
        assert (server.connections, len(server.requests)) == (2, 2)


def test_cancelling_a_task_that_waits_for_a_connection() -> None:
    """A task that is cancelled while it waits for its turn takes nobody's turn."""
    busy = threading.Event()
    free = threading.Event()

    def slow(peer: Peer) -> None:
        peer.read_request()
        busy.set()
        free.wait()
        peer.send(http(201, INTENT))

    async def calls(server: FaultServer) -> list[IntentCreated]:
        async with AsyncStoq(
            SHOP, base_url=server.url(), budget=None, http=HttpOptions(max_connections=1)
        ) as stoq:
            first = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.to_thread(busy.wait)
            second = asyncio.create_task(stoq.create_intent(email_request()))
            third = asyncio.create_task(stoq.create_intent(email_request()))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            free.set()
            return await asyncio.gather(first, third)

    with FaultServer(slow) as server:
        assert len(asyncio.run(calls(server))) == 2
        assert len(server.requests) == 2


def test_cancelling_a_task_between_attempts() -> None:
    """A task that waits to try again is cancelled at once, and tries no more."""

    async def calls(server: FaultServer) -> None:
        tried = asyncio.Event()
        async with AsyncStoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=2,
            on_attempt=lambda attempt: tried.set(),
        ) as stoq:
            task = asyncio.create_task(stoq.create_intent(email_request()))
            await tried.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with FaultServer(slow_down(b"Retry-After: 30")) as server:
        asyncio.run(calls(server))
        assert len(server.requests) == 1


def test_a_timeout_around_a_call_is_the_callers() -> None:
    """asyncio.timeout of the caller ends the call as TimeoutError, and not as one of ours."""

    async def calls(server: FaultServer) -> None:
        async with AsyncStoq(SHOP, base_url=server.url(), budget=None) as stoq:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await stoq.create_intent(email_request())

    with FaultServer(answers_and_hangs()) as server:
        asyncio.run(calls(server))


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Listen to SIGINT, which a shell lets its background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
@pytest.mark.parametrize(
    "start", [b"", http(201, b"{", length=99)], ids=["before the answer", "in the body"]
)
def test_an_interrupt_ends_a_call(start: bytes) -> None:
    """KeyboardInterrupt comes through, and the pool's only connection is free for the next call."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupts(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        signal.pthread_kill(main, signal.SIGINT)
        peer.wait_until_left()

    with (
        FaultServer(interrupts, answers(http(201, INTENT))) as server,
        Stoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=5,
            retry_unknown=True,
            http=HttpOptions(max_connections=1),
        ) as stoq,
    ):
        with pytest.raises(KeyboardInterrupt):
            stoq.create_intent(email_request())
        ONE.check(stoq.create_intent(email_request()))
        assert (server.connections, len(server.requests)) == (2, 2)


# A socket that is interrupted while it connects is nobody's yet, and closed as garbage.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_interrupts_at_any_moment_leave_a_client_that_works(sandbox: Sandbox) -> None:
    """After hundreds of interrupts, wherever they came, the one connection is free or made anew."""
    wanted = {"variant": 4711, "product": 42, "email": "ada@example.com"}
    chance = random.Random(7)
    client: dict[str, Any] = {"base_url": sandbox.base_url, "budget": None, "max_retries": 0}
    interrupted = 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Stoq(
            SHOP, timeout=LATEST_SECONDS, http=HttpOptions(max_connections=1), **client
        ) as stoq:
            stoq.subscribe(**wanted)
            while interrupted < 150:
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.004))
                    try:
                        # Python swallows an interrupt that comes in a finalizer.
                        for _ in range(100):
                            outcome_of(lambda: stoq.subscribe(**wanted))
                    finally:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    interrupted += 1
                if interrupted % 10 == 0:
                    with pytest.raises(ProcessedWithErrorsError):
                        stoq.subscribe(**wanted)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_timeouts_and_cancellations_lose_no_connection() -> None:
    """After many calls that ran out of time or were cancelled, all connections can be used."""
    served = http(201, INTENT)

    def late(peer: Peer) -> None:
        while True:
            peer.read_request()
            time.sleep(0.01)
            peer.send(served)

    async def run(base_url: str) -> None:
        chance = random.Random(7)
        http_options = HttpOptions(max_connections=2)
        settings: dict[str, Any] = {"budget": None, "max_retries": 0, "timeout": LATEST_SECONDS}
        async with AsyncStoq(SHOP, base_url=base_url, http=http_options, **settings) as stoq:
            ended = 0
            while ended < 80:
                seconds = chance.uniform(0.005, 0.03)
                hurried = stoq.with_options(total_timeout=seconds) if ended % 2 else stoq
                try:
                    async with asyncio.timeout(None if ended % 2 else seconds):
                        await hurried.create_intent(email_request())
                except (TimeoutError, OutcomeUnknownError, NotSentError):
                    ended += 1
            for _ in range(3):
                ONE.check(await stoq.create_intent(email_request()))

    with FaultServer(*[late] * 1000) as server:
        asyncio.run(run(server.url()))


# Threads, processes, loops ------------------------------------------------------------------------


def echoes(peer: Peer) -> None:
    """Answer with the address that was in the request."""
    email = json.loads(peer.read_request().body)["customer"]["email"]
    peer.send(http(201, json.dumps({"intents": [{"email": email}]}).encode()))


def test_many_threads_get_their_own_answers() -> None:
    """Threads that share a client, and few connections, each see the answer to their request."""
    wrong: list[object] = []

    def calls(number: int, stoq: Stoq) -> None:
        for turn in range(40):
            email = f"t{number}.{turn}@example.com"
            try:
                created = stoq.create_intent(email_request(email=email))
            except StoqError as error:
                wrong.append(error)
            else:
                wrong.extend(intent for intent in created.intents if intent["email"] != email)

    with (
        FaultServer(echoes) as server,
        Stoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=0,
            http=HttpOptions(max_connections=4),
        ) as stoq,
    ):
        threads = [threading.Thread(target=calls, args=[number, stoq]) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (wrong, len(server.requests)) == ([], 480)
        assert server.connections <= 4


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORK = {
    "sync": """
import os, sys
from stoqapp import Stoq
stoq = Stoq("demo", base_url=sys.argv[1], budget=None, max_retries=0)
def call(who):
    answer = stoq.subscribe(variant=1, product=2, email=f"{who}@example.org")
    assert [intent["email"] for intent in answer.intents] == [f"{who}@example.org"]
call("before")
child = os.fork()
if child == 0:
    for _ in range(3):
        call("child")
    stoq.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
for _ in range(3):
    call("parent")
stoq.close()
sys.exit(os.waitstatus_to_exitcode(status))
""",
    "async": """
import asyncio, os, sys, traceback
from stoqapp import AsyncStoq
stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None, max_retries=0)
async def call(who, times=1):
    for _ in range(times):
        answer = await stoq.subscribe(variant=1, product=2, email=f"{who}@example.org")
        assert [intent["email"] for intent in answer.intents] == [f"{who}@example.org"]
async def child():
    await call("child", 3)
    await stoq.close()
with asyncio.Runner() as runner:
    runner.run(call("before"))
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(child())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    runner.run(call("parent", 3))
    runner.run(stoq.close())
sys.exit(os.waitstatus_to_exitcode(status))
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_fork_in_the_middle_of_a_connection(mode: str) -> None:
    """After a fork the child makes its own connection, and the parent's goes on as before."""
    with FaultServer(echoes) as server:
        done = run_python(FORK[mode], server.url())
        assert (done.returncode, done.stderr) == (0, "")
        assert (server.connections, len(server.requests)) == (2, 7)


FORGOTTEN = {
    "sync": """
import gc, sys
from stoqapp import Stoq
stoq = Stoq("demo", base_url=sys.argv[1], budget=None)
stoq.subscribe(variant=1, product=2, email="a@example.org")
if sys.argv[2] == "dropped":
    del stoq
    gc.collect()
    print("dropped", flush=True)
    sys.stdin.read()
""",
    "async": """
import asyncio, gc, sys
from stoqapp import AsyncStoq
async def main():
    stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None)
    await stoq.subscribe(variant=1, product=2, email="a@example.org")
    if sys.argv[2] == "dropped":
        del stoq
        gc.collect()
        print("dropped", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
""",
    "async, kept": """
import asyncio, gc, sys
from stoqapp import AsyncStoq
stoq = AsyncStoq("demo", base_url=sys.argv[1], budget=None)
async def main():
    await stoq.subscribe(variant=1, product=2, email="a@example.org")
asyncio.run(main())
if sys.argv[2] == "dropped":
    del stoq
    gc.collect()
    print("dropped", flush=True)
    sys.stdin.read()
""",
}


@pytest.mark.parametrize("mode", sorted(FORGOTTEN))
def test_a_forgotten_client_warns_of_nothing(mode: str) -> None:
    """A program that never closes its client ends without a word, warnings being errors."""
    with FaultServer(echoes) as server:
        done = run_python(FORGOTTEN[mode], server.url(), "kept")
        assert (done.returncode, done.stderr) == (0, "")
        server.ended.acquire()


@pytest.mark.parametrize("mode", sorted(FORGOTTEN))
def test_a_dropped_client_closes_its_connections(mode: str) -> None:
    """When nobody holds a client any more, its connections are closed while the program runs on."""
    with FaultServer(echoes) as server:
        program = [sys.executable, "-W", "error", "-c", FORGOTTEN[mode]]
        with subprocess.Popen(
            [*program, server.url(), "dropped"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            said = child.stdout.readline()
            closed = server.ended.acquire(timeout=10)
            _, errors = child.communicate("")
    assert (said, errors, child.returncode) == ("dropped\n", "", 0)
    assert closed


def test_a_client_that_is_never_used_leaks_nothing() -> None:
    """Making a client opens nothing."""
    with FaultServer(echoes) as server:
        Stoq(SHOP, base_url=server.url())
        AsyncStoq(SHOP, base_url=server.url())
        gc.collect()
        assert server.connections == 0


def test_closing_twice(session: Make) -> None:
    """Closing again does nothing; a call after it says so, and sends nothing."""
    with FaultServer(YES) as server:
        client = session(server)
        ONE.check(client.outcome())
        copy = client.stoq.with_options(max_retries=1)
        client.do(lambda stoq: stoq.close())
        client.do(lambda stoq: stoq.close())
        for stoq in (client.stoq, copy):
            closed = outcome_of(
                lambda stoq=stoq: client.do(lambda _: stoq.create_intent(email_request()))
            )
            assert type(closed) is ClientClosedError
            assert closed.carried_out is False
        assert len(server.requests) == 1


def test_closing_while_a_call_waits_for_its_turn() -> None:
    """What was not handed over yet ends as not sent, because the client is closed."""
    with FaultServer(answers_and_hangs()) as server:
        stoq = Stoq(
            SHOP,
            base_url=server.url(),
            budget=None,
            max_retries=0,
            timeout=1.0,
            http=HttpOptions(max_connections=1),
        )
        outcomes: list[object] = []
        threads = [
            threading.Thread(
                target=lambda: outcomes.append(
                    outcome_of(lambda: stoq.create_intent(email_request()))
                )
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while not server.requests:
            time.sleep(0.005)
        stoq.close()
        for thread in threads:
            thread.join()
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError, ClientClosedError}


def test_a_transport_that_others_use_too(sandbox: Sandbox) -> None:
    """A transport of the user's own goes on serving a client of the user's own."""
    transport = httpx.HTTPTransport()
    settings: dict[str, Any] = {"base_url": sandbox.base_url, "budget": None}
    with Stoq(SHOP, http=HttpOptions(transport=transport), **settings) as stoq:
        stoq.create_intent(email_request())
        other = httpx.Client(transport=transport)
        assert other.get(f"{sandbox.url}/_sandbox/intents").status_code == 200


def test_closing_before_the_first_call(session: Make) -> None:
    """A client that was closed before it was used is closed, too."""
    with FaultServer(YES) as server:
        client = session(server)
        client.do(lambda stoq: stoq.close())
        assert type(client.outcome()) is ClientClosedError
        assert server.connections == 0


def test_closing_while_another_thread_waits_for_its_answer() -> None:
    """A call whose client is closed under it ends in one of the outcomes: it had been sent."""
    busy = threading.Event()
    outcomes: list[IntentCreated | StoqError] = []

    def silent(peer: Peer) -> None:
        peer.read_request()
        busy.set()
        peer.wait_until_left()

    with (
        FaultServer(silent) as server,
        Stoq(SHOP, base_url=server.url(), budget=None, max_retries=0, timeout=2.0) as stoq,
    ):
        thread = threading.Thread(
            target=lambda: outcomes.append(outcome_of(lambda: stoq.create_intent(email_request())))
        )
        thread.start()
        busy.wait()
        stoq.close()
        thread.join()
    unknown.check(outcomes[0])


def test_an_async_client_in_two_loops() -> None:
    """One AsyncStoq serves one event loop after another, each with its own connections."""
    with FaultServer(YES) as server:
        stoq = AsyncStoq(SHOP, base_url=server.url(), budget=None, max_retries=0)

        async def call() -> IntentCreated:
            return await stoq.create_intent(email_request())

        async def last_call() -> IntentCreated:
            async with stoq:
                return await call()

        ONE.check(asyncio.run(call()))
        ONE.check(asyncio.run(call()))
        ONE.check(asyncio.run(last_call()))
        gc.collect()
        assert len(server.requests) == 3
