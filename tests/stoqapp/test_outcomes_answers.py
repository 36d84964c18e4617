"""What each answer comes to: its status decides, whatever its head and body are like."""

import zlib
from functools import partial
from typing import Any

import pytest
from conftest import Caller
from faults import (
    Peer,
    Script,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    chunked,
    compressed,
    http,
    trickles,
)
from outcomes import (
    CUT,
    HURRIED,
    IMPATIENT,
    INTENT,
    NO,
    ONE,
    TAKEN,
    Expected,
    Row,
    created,
    refused,
    rows_of,
    unframed,
)

from stoqapp import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    IntentCreated,
    IntentRefusedError,
    NotFoundError,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    ProxyAuthenticationError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES

limited = partial(Expected, RateLimitedError, False, 429)
ANY_BODY = Expected(IntentCreated)


def gz(body: bytes, label: bytes = b"gzip") -> bytes:
    return http(201, body, b"Content-Encoding: " + label)


def in_chunks(body: bytes, *headers: bytes) -> bytes:
    return unframed(201, b"Transfer-Encoding: chunked", *headers, body=body)


def floods(start: bytes, more: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        peer.flood(more)

    return script


def bare_deflate(body: bytes) -> bytes:
    return compressed(body, -zlib.MAX_WBITS)


FRAMINGS = rows_of(
    ("empty", http(201), created(body=b"")),
    ("with a byte order mark", http(201, b"\xef\xbb\xbf" + INTENT), ONE),
    ("UTF-16", http(201, INTENT.decode().encode("utf-16")), ONE),
    ("a lone surrogate", http(201, b'{"intents": [{"id": "\\ud800"}]}'), ONE),
    ("HTML", http(201, b"<html>Created</html>"), created(body=b"<html>Created</html>")),
    ("shorter than it says", answers_and_closes(http(201, INTENT, length=500)), CUT),
    ("longer than it says", http(201, INTENT, length=10), created(body=INTENT[:10])),
    ("resets", answers_and_resets(http(201, INTENT, length=500)), CUT),
    ("hangs", answers_and_hangs(http(201, INTENT, length=500)), CUT, IMPATIENT),
    (
        "never begins",
        answers_and_hangs(http(201, length=500)),
        Expected(IntentCreated, complete=False, intents=0, body=b""),
        IMPATIENT,
    ),
    ("trickles", trickles(http(201, length=2000), b"x" * 2000), CUT, HURRIED),
    ("until the end", answers_and_closes(unframed(body=INTENT)), ONE),
    ("until a reset", answers_and_resets(unframed(body=b"{")), CUT),
    ("without end", floods(unframed(), b" " * 65536), CUT),
    ("HTTP/1.0", answers_and_closes(unframed(body=INTENT).replace(b"/1.1", b"/1.0", 1)), ONE),
    ("in chunks", in_chunks(chunked(INTENT[:9], INTENT[9:])), ONE),
    (
        "chunk extension, trailer",
        in_chunks(b"2;a=b\r\n{}\r\n0\r\nX: 1\r\n\r\n"),
        created(body=b"{}"),
    ),
    ("last chunk missing", answers_and_closes(in_chunks(chunked(INTENT, end=b""))), CUT),
    ("chunks reset", answers_and_resets(in_chunks(b"ff\r\n{")), CUT),
    ("chunk size garbage", in_chunks(b"2\r\n{}\r\nzz\r\n"), CUT),
    ("chunk size negative", in_chunks(b"-2\r\n{}\r\n"), CUT),
    ("chunk size enormous", answers_and_closes(in_chunks(b"f" * 30 + b"\r\n{}")), CUT),
    ("chunk longer than it says", in_chunks(b"1\r\n{}\r\n0\r\n\r\n"), CUT),
    ("trailer garbage", in_chunks(b"2\r\n{}\r\n0\r\n:\r\n\r\n"), CUT),
    ("chunks without end", floods(in_chunks(b""), chunked(b" " * 9000, end=b"")), CUT),
    (
        "chunks and a length",
        http(201, chunked(INTENT), b"Transfer-Encoding: chunked", length=3),
        ONE,
    ),
    (
        "as large as the cap",
        http(201, b" " * LARGEST_BODY_BYTES),
        created(body=b" " * LARGEST_BODY_BYTES),
    ),
    (
        "one byte over the cap",
        http(201, b" " * (LARGEST_BODY_BYTES + 1)),
        Expected(IntentCreated, complete=False, body=b" " * LARGEST_BODY_BYTES),
    ),
    ("far over the cap", http(201, b" " * 4 * LARGEST_BODY_BYTES), CUT),
    ("gzip", gz(compressed(INTENT)), created(intents=1, body=INTENT)),
    ("x-gzip", gz(compressed(INTENT), b"X-GZIP"), ONE),
    ("gzip of two members", gz(compressed(INTENT[:9]) + compressed(INTENT[9:])), ONE),
    ("gzip, second member cut", gz(compressed(INTENT) + compressed(INTENT)[:-9]), CUT),
    (
        "deflate",
        gz(compressed(INTENT, zlib.MAX_WBITS), b"deflate"),
        created(intents=1, body=INTENT),
    ),
    ("bare deflate", gz(bare_deflate(INTENT), b"deflate"), created(intents=1, body=INTENT)),
    ("identity", gz(INTENT, b"identity"), ONE),
    ("encoding none", gz(INTENT, b"none"), ONE),
    (
        "gzip in chunks",
        in_chunks(
            chunked(*[bytes([byte]) for byte in compressed(INTENT)]), b"Content-Encoding: gzip"
        ),
        ONE,
    ),
    ("no gzip", gz(INTENT), CUT),
    ("gzip cut", gz(compressed(INTENT)[:-12]), CUT),
    ("gzip with a wrong sum", gz(compressed(INTENT)[:-8] + bytes(8)), CUT),
    (
        "gzip and the connection cut",
        answers_and_closes(
            http(201, compressed(INTENT)[:20], b"Content-Encoding: gzip", length=999)
        ),
        CUT,
    ),
    ("gzip empty", gz(b""), Expected(IntentCreated, body=b"")),
    (
        "gzip, then junk",
        gz(compressed(INTENT) + b"junk"),
        Expected(IntentCreated, complete=False, intents=1),
    ),
    ("gzip twice", gz(compressed(compressed(INTENT)), b"gzip, gzip"), ANY_BODY),
    ("brotli", gz(b"\x0b\x02\x80{}\x03", b"br"), CUT),
    ("zstd", gz(b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}", b"zstd"), CUT),
    ("an unheard-of encoding", gz(INTENT, b"x-secret"), Expected(IntentCreated, complete=False)),
    ("bad encoding label", gz(INTENT, b"\xff\xfe"), Expected(IntentCreated, body=INTENT)),
    (
        "gzip over the cap",
        gz(compressed(b" " * 8 * LARGEST_BODY_BYTES)),
        Expected(IntentCreated, complete=False, body=b" " * LARGEST_BODY_BYTES),
    ),
)


@pytest.mark.parametrize("row", FRAMINGS, ids=lambda row: row.name)
def test_a_201_however_its_body_comes(row: Row, caller: Caller) -> None:
    """A body is read as it is framed and compressed; one that is cut or odd undoes no 201."""
    row.run(caller)


EARLY = http(103, b"", b"Link: </a>", length=None)
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def answers_before_the_request(peer: Peer) -> None:
    """Send the answer to a request that has not come."""
    peer.send(http(201, INTENT))
    peer.read_request()


ODD_COOKIES = [
    b"Set-Cookie: =;;=\xff; Expires=0; Max-Age=x; Domain=..",
    b'Set-Cookie: a=b; Version=z; Port="q"',
    b"Set-Cookie2: ;",
]
ODD_NUMBERS = [
    b"Date: soon",
    b"Retry-After: soon",
    b"X-RateLimit-Limit: x",
    b"X-RateLimit-Remaining: -1",
    b"X-RateLimit-Reset: " + b"9" * 500,
]

HEADS = rows_of(
    ("after a 100", GO_ON + http(201, INTENT), ONE),
    ("after a 103", answers(EARLY, http(201, INTENT)), ONE),
    ("after many 1xx", answers(GO_ON * 100, EARLY, http(201, INTENT)), ONE),
    ("in pieces", answers(*[bytes([byte]) for byte in http(201, INTENT)]), ONE),
    ("before the request", answers_before_the_request, ONE),
    ("bare line feeds", http(201, INTENT).replace(b"\r\n", b"\n"), ONE),
    ("without a reason", http(201, INTENT, reason=b""), ONE),
    ("no space after it", http(201, INTENT, reason=b"").replace(b"201 \r", b"201\r"), ONE),
    ("reason not ASCII", http(201, INTENT, reason="Erzeugt ☂".encode()), ONE),
    ("folded header", http(201, INTENT, b"X-Long: a\r\n  b"), ONE),
    ("header not ASCII", http(201, INTENT, b"X-Odd: \xff\xc3\xa4\x80"), ONE),
    ("header without a value", http(201, INTENT, b"X-Odd:"), ONE),
    ("many headers", http(201, INTENT, *[b"X-%d: 1" % n for n in range(2000)]), ONE),
    ("header of 90 KiB", http(201, INTENT, b"X-Odd: " + b"a" * 90 * 1024), ONE),
    ("odd cookies", http(201, INTENT, *ODD_COOKIES), ONE),
    ("odd dates and numbers", http(201, INTENT, *ODD_NUMBERS), ONE),
    ("wrong content type", http(201, INTENT, b"Content-Type: a/b; charset=\xff;;"), ONE),
    ("with a location", http(201, INTENT, b"Location: http://["), ONE),
    ("and closes", answers_and_closes(http(201, INTENT, b"Connection: close")), ONE),
    ("and resets", answers_and_resets(http(201, INTENT)), ONE),
    (
        "HTTP/1.0 kept alive",
        http(201, INTENT, b"Connection: keep-alive", version=b"HTTP/1.0"),
        ONE,
    ),
)


@pytest.mark.parametrize("row", HEADS, ids=lambda row: row.name)
def test_a_201_however_its_head_is_written(row: Row, caller: Caller) -> None:
    """A head that can be read is read, whatever is odd about it."""
    row.run(caller)


def head(line: bytes) -> bytes:
    return b"HTTP/1.1 201 Created\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"


STATUS_ALONE = Expected(IntentCreated, complete=False, intents=0, body=b"")
# Where the connection stays open, the client must see by itself that it is no HTTP.
STATUS_LINES = rows_of(
    *[
        (name, script, STATUS_ALONE, *client)
        for name, script, *client in [
            ("nothing more", answers_and_closes(b"HTTP/1.1 201 Created\r\n")),
            ("headers without end", answers_and_closes(head(b"X: 1")[:-2])),
            ("resets in the headers", answers_and_resets(head(b"X: 1")[:-9])),
            ("hangs in the headers", answers_and_hangs(head(b"X: 1")[:-2]), IMPATIENT),
            (
                "headers trickle",
                trickles(head(b"X: 1")[:-2], b"X: " + b"a" * 2000),
                HURRIED,
            ),
            ("headers of 200 KiB", answers_and_hangs(head(b"X: " + b"a" * 200 * 1024)[:-4])),
            ("headers of 1 MiB", answers_and_hangs(head(b"X: " + b"a" * 1024 * 1024)[:-4])),
            ("headers without mercy", floods(head(b"X: 1")[:-2], b"X: 1\r\n" * 999)),
            ("header without a colon", answers_and_hangs(head(b"nonsense"))),
            ("header without a name", answers_and_hangs(head(b": 1"))),
            ("header name with a space", answers_and_hangs(head(b"X : 1"))),
            ("header with a NUL", answers_and_hangs(head(b"X: a\0b"))),
            ("header with a carriage return", answers_and_hangs(head(b"X: a\rb"))),
            ("first header folded", answers_and_hangs(head(b" X: 1"))),
            ("length negative", answers_and_hangs(http(201, b"{}", length=-2))),
            ("length no number", answers_and_hangs(http(201, b"{}", length="two"))),
            ("two lengths", answers_and_hangs(http(201, b"{}", b"Content-Length: 1"))),
            ("unheard-of framing", answers_and_closes(unframed(201, b"Transfer-Encoding: a"))),
            ("after a 100", answers_and_closes(GO_ON + b"HTTP/1.1 201 Created\r\n")),
        ]
    ],
    (
        "a refusal, cut after its status",
        answers_and_closes(b"HTTP/1.1 400 Bad Request\r\n"),
        refused(BadRequestError, 400, complete=False, messages=()),
    ),
    (
        "a wait in a head that is cut",
        answers_and_closes(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nX-Rate"),
        limited(retry_after=7.0, complete=False),
    ),
)


@pytest.mark.parametrize("row", STATUS_LINES, ids=lambda row: row.name)
def test_a_status_line_decides_alone(row: Row, caller: Caller) -> None:
    """What follows the status line may be cut, too large or no HTTP: the status still counts."""
    row.run(caller)


KINDS = {
    **dict.fromkeys([402, 405, 408, 410, 415, 418, 451, 499], IntentRefusedError),
    **dict.fromkeys([500, 501, 502, 503, 504, 511, 520, 525, 530, 599], ServerError),
    200: ProcessedWithErrorsError,
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    407: ProxyAuthenticationError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableIntentError,
    429: RateLimitedError,
}
NOWHERE = [
    b"http://[",
    b"http://a:b/",
    b"http://xn--a/",
    b"https:///a",
    b"gopher://a/",
    b"mailto:a",
    b"\xff\xfe//",
]


def status_of(status: int, **more: Any) -> Expected:
    kind = KINDS.get(status, UnexpectedAnswerError)
    is_open = kind in (ServerError, UnexpectedAnswerError)
    return Expected(kind, None if is_open else False, status, **more)


def answers_too_early(peer: Peer) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    peer.read_head()
    peer.send(http(413, NO, b"Connection: close"))
    peer.close()


LATER = b"Retry-After: 5"
OTHERS = rows_of(
    *[
        (str(status), http(status, NO), status_of(status, complete=True, messages=("No",)))
        for status in [*KINDS, 202, 203, 205, 206, 207, 226, 299, 300, 305, 600, 999]
    ],
    *[
        (f"{status} to elsewhere", http(status, b"", b"Location: http://127.0.0.1:1/"), expected)
        for status in [301, 302, 303, 307, 308]
        for expected in [status_of(status)]
    ],
    *[
        (f"302 to {place!r}", http(302, b"", b"Location: " + place), status_of(302))
        for place in NOWHERE
    ],
    ("302 to nowhere", http(302), status_of(302)),
    (
        "200 gzip",
        http(200, compressed(TAKEN), b"Content-Encoding: gzip"),
        status_of(200, messages=("is already waiting",)),
    ),
    ("200 cut", answers_and_closes(http(200, TAKEN[:-4], length=99)), status_of(200, messages=())),
    (
        "403 of a wall in between",
        http(403, b"<html>" + b"x" * 50_000),
        status_of(403, messages=(), complete=True),
    ),
    ("413 before the body was read", answers_too_early, status_of(413)),
    ("422 cut", answers_and_resets(http(422, NO, length=99)), status_of(422, complete=False)),
    (
        "422 a bomb",
        http(422, compressed(bytes(4 * LARGEST_BODY_BYTES)), b"Content-Encoding: gzip"),
        status_of(422, complete=False, messages=()),
    ),
    (
        "429 cut",
        answers_and_resets(http(429, b"{", LATER, length=99)),
        status_of(429, retry_after=5.0, complete=False),
    ),
    ("500 cut", answers_and_resets(http(500, NO, length=99)), status_of(500, complete=False)),
    (
        "503 hangs",
        answers_and_hangs(http(503, NO, LATER, length=99)),
        Expected(ServerError, False, 503, complete=False),
        IMPATIENT,
    ),
    ("204", http(204, length=None), status_of(204, body=b"")),
    ("204 with a body", answers_and_closes(http(204, NO)), status_of(204)),
    ("304 with a body", answers_and_closes(http(304, NO)), status_of(304)),
    ("101", unframed(101, b"Upgrade: h2c", b"Connection: Upgrade"), status_of(101)),
)


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_every_other_answer_is_an_error_of_its_status(row: Row, caller: Caller) -> None:
    """Each other status is an error of its class, whole or cut; no redirect is followed."""
    row.run(caller)
