"""What each answer comes to: its status decides, whatever its head and body are like."""

import zlib
from functools import partial

import pytest
from calling import Caller
from faults import (
    Peer,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    chunked,
    compressed,
    floods,
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
    IntentCreated,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES

limited = partial(refused, RateLimitedError, 429)


def gz(body: bytes, label: bytes = b"gzip") -> bytes:
    return http(201, body, b"Content-Encoding: " + label)


def in_chunks(body: bytes, *headers: bytes) -> bytes:
    return unframed(201, CHUNKED, *headers, body=body)


FULL = b" " * LARGEST_BODY_BYTES
CAPPED = Expected(IntentCreated, complete=False, body=FULL)
CHUNKED, GZIP = b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"
ZIPPED = compressed(INTENT)

FRAMINGS = rows_of(
    ("empty", http(201), created(body=b"")),
    ("HTML", http(201, b"<html>Created</html>"), created(body=b"<html>Created</html>")),
    ("shorter than it says", answers_and_closes(http(201, INTENT, length=500)), CUT),
    ("longer than it says", http(201, INTENT, length=10), created(body=INTENT[:10])),
    ("resets", answers_and_resets(http(201, INTENT, length=500)), CUT),
    ("hangs", answers_and_hangs(http(201, INTENT, length=500)), CUT, IMPATIENT),
    ("never begins", answers_and_hangs(http(201, length=500)), CUT, IMPATIENT),
    ("trickles", trickles(http(201, length=2000), b"x" * 2000), CUT, HURRIED),
    ("until the end", answers_and_closes(unframed(body=INTENT)), ONE),
    ("until a reset", answers_and_resets(unframed(body=b"{")), CUT),
    ("without end", floods(unframed(), b" " * 65536), CUT),
    ("HTTP/1.0", answers_and_closes(unframed(body=INTENT).replace(b"/1.1", b"/1.0", 1)), ONE),
    ("in chunks", in_chunks(chunked(INTENT[:9], INTENT[9:])), ONE),
    ("chunk extension, trailer", in_chunks(chunked(INTENT, end=b"0;a=b\r\nX: 1\r\n\r\n")), ONE),
    ("last chunk missing", answers_and_closes(in_chunks(chunked(INTENT, end=b""))), CUT),
    ("chunks reset", answers_and_resets(in_chunks(b"ff\r\n{")), CUT),
    ("chunk size garbage", in_chunks(b"2\r\n{}\r\nzz\r\n"), CUT),
    ("chunk size enormous", answers_and_closes(in_chunks(b"f" * 30 + b"\r\n{}")), CUT),
    ("chunk longer than it says", in_chunks(b"1\r\n{}\r\n0\r\n\r\n"), CUT),
    ("trailer garbage", in_chunks(b"2\r\n{}\r\n0\r\n:\r\n\r\n"), CUT),
    ("chunks without end", floods(in_chunks(b""), chunked(b" " * 9000, end=b"")), CUT),
    ("chunks and a length", http(201, chunked(INTENT), CHUNKED, length=3), ONE),
    ("as large as the cap", http(201, FULL), created(body=FULL)),
    ("one byte over the cap", http(201, FULL + b" "), CAPPED),
    ("gzip", gz(ZIPPED), created(intents=1, body=INTENT)),
    ("x-gzip", gz(compressed(INTENT), b"X-GZIP"), ONE),
    ("gzip of two members", gz(compressed(INTENT[:9]) + compressed(INTENT[9:])), ONE),
    ("gzip, second member cut", gz(ZIPPED + ZIPPED[:-9]), CUT),
    ("deflate", gz(compressed(INTENT, zlib.MAX_WBITS), b"deflate"), ONE),
    ("bare deflate", gz(compressed(INTENT, -zlib.MAX_WBITS), b"deflate"), ONE),
    ("encoding none", gz(INTENT, b"none"), ONE),
    ("gzip in chunks", in_chunks(chunked(*[bytes([byte]) for byte in ZIPPED]), GZIP), ONE),
    ("no gzip", gz(INTENT), CUT),
    ("gzip cut", gz(ZIPPED[:-12]), CUT),
    ("gzip with a wrong sum", gz(ZIPPED[:-8] + bytes(8)), CUT),
    ("gzip and connection cut", answers_and_closes(http(201, ZIPPED[:20], GZIP, length=99)), CUT),
    ("gzip empty", gz(b""), Expected(IntentCreated, body=b"")),
    ("gzip, then junk", gz(ZIPPED + b"junk"), Expected(IntentCreated, complete=False, intents=1)),
    ("brotli", gz(b"\x0b\x02\x80{}\x03", b"br"), CUT),
    ("bad encoding label", gz(INTENT, b"\xff\xfe"), Expected(IntentCreated, body=INTENT)),
    ("gzip over the cap", gz(compressed(8 * FULL)), CAPPED),
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


ODD_HEADERS = [
    b"Set-Cookie: =;;=\xff; Expires=0; Max-Age=x; Domain=..",
    b'Set-Cookie: a=b; Version=z; Port="q"',
    b"X-RateLimit-Remaining: -1",
    b"X-RateLimit-Reset: " + b"9" * 500,
]

HEADS = rows_of(
    ("after many 1xx", answers(GO_ON * 100, EARLY, http(201, INTENT)), ONE),
    ("in pieces", answers(*[bytes([byte]) for byte in http(201, INTENT)]), ONE),
    ("before the request", answers_before_the_request, ONE),
    ("bare line feeds", http(201, INTENT).replace(b"\r\n", b"\n"), ONE),
    ("no space after it", http(201, INTENT, reason=b"").replace(b"201 \r", b"201\r"), ONE),
    ("reason not ASCII", http(201, INTENT, reason="Erzeugt ☂".encode()), ONE),
    ("folded header", http(201, INTENT, b"X-Long: a\r\n  b"), ONE),
    ("header not ASCII", http(201, INTENT, b"X-Odd: \xff\xc3\xa4\x80"), ONE),
    ("many headers", http(201, INTENT, *[b"X-%d: 1" % n for n in range(2000)]), ONE),
    ("header of 90 KiB", http(201, INTENT, b"X-Odd: " + b"a" * 90 * 1024), ONE),
    ("odd cookies and numbers", http(201, INTENT, *ODD_HEADERS), ONE),
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
# Where the connection stays open, the client must see by itself that it is not HTTP.
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
            ("headers without mercy", floods(head(b"X: 1")[:-2], b"X: 1\r\n" * 999)),
            ("header without a colon", answers_and_hangs(head(b"nonsense"))),
            ("header with a NUL", answers_and_hangs(head(b"X: a\0b"))),
            ("header with a carriage return", answers_and_hangs(head(b"X: a\rb"))),
            ("first header folded", answers_and_hangs(head(b" X: 1"))),
            ("length negative", answers_and_hangs(http(201, b"{}", length=-2))),
            ("two lengths", answers_and_hangs(http(201, b"{}", b"Content-Length: 1"))),
            ("unheard-of framing", answers_and_closes(unframed(201, b"Transfer-Encoding: a"))),
            ("after a 100", answers_and_closes(GO_ON + b"HTTP/1.1 201 Created\r\n")),
        ]
    ],
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


refusal = partial(refused, UnprocessableIntentError)
with_errors = partial(refused, ProcessedWithErrorsError, 200)
odd = partial(Expected, UnexpectedAnswerError, None)


def answers_too_early(peer: Peer) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    peer.read_head()
    peer.send(http(413, NO, b"Connection: close"))
    peer.close()


OTHERS = rows_of(
    *[
        (f"302 to {place!r}", http(302, b"", b"Location: " + place), odd(302))
        for place in [b"http://127.0.0.1:1/", b"http://[", b"http://a:b/", b"mailto:a", b"\xff//"]
    ],
    ("307 to nowhere", http(307, NO), odd(307, complete=True)),
    ("200 gzip", http(200, compressed(TAKEN), GZIP), with_errors(messages=("is already waiting",))),
    ("200 cut", answers_and_closes(http(200, TAKEN[:-4], length=99)), with_errors(messages=())),
    ("413 before the body was read", answers_too_early, refused(PayloadTooLargeError, 413)),
    ("422 cut", answers_and_resets(http(422, NO, length=99)), refusal(422, complete=False)),
    ("422 a bomb", http(422, compressed(4 * FULL), GZIP), refusal(422, complete=False)),
    (
        "503 hangs",
        answers_and_hangs(http(503, NO, b"Retry-After: 5", length=99)),
        refused(ServerError, 503, complete=False),
        IMPATIENT,
    ),
    ("204", http(204, length=None), odd(204, body=b"")),
    ("204 with a body", answers_and_closes(http(204, NO)), odd(204)),
    ("304 with a body", answers_and_closes(http(304, NO)), odd(304)),
    ("101", unframed(101, b"Upgrade: h2c", b"Connection: Upgrade"), odd(101)),
    ("999", http(999, NO), odd(999, messages=("No",))),
)


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_every_other_answer_is_an_error_of_its_status(row: Row, caller: Caller) -> None:
    """Each other status is an error, whole or cut; no redirect is followed."""
    row.run(caller)
