"""What each answer comes to: its status decides, whatever its head and body are like."""

import zlib
from functools import partial

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
    answered,
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

processed = partial(Expected, ProcessedWithErrorsError, False, 200, complete=True)
limited = partial(Expected, RateLimitedError, False, 429)
trouble = partial(Expected, ServerError, None)
unexpected = partial(Expected, UnexpectedAnswerError, None)
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


CREATED_BODIES = rows_of(
    ("with the intent", INTENT, ONE),
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
    ("a lone surrogate", b'{"intents": [{"id": "\\ud800"}]}', ONE),
    ("with a byte order mark", b"\xef\xbb\xbf" + INTENT, ONE),
    ("UTF-16", INTENT.decode().encode("utf-16"), ONE),
    (
        "errors beside the intent",
        b'{"intents": [{"id": "77"}], "errors": ["no name"]}',
        created(intents=1, messages=("no name",)),
    ),
)


@pytest.mark.parametrize("row", CREATED_BODIES, ids=lambda row: row.name)
def test_a_201_is_a_created_intent_whatever_its_body(row: Row, caller: Caller) -> None:
    """Every body of a 201 is kept whole, and read as far as it can be."""
    row.run(caller, answers(http(201, row.script)))


FRAMINGS = rows_of(
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


PROCESSED = rows_of(
    ("errors", http(200, TAKEN), processed(messages=("is already waiting",))),
    ("errors a string", http(200, b'{"errors": "no"}'), processed(messages=("no",))),
    ("errors null", http(200, b'{"errors": null}'), processed(messages=())),
    ("errors missing", http(200, b"{}"), processed(messages=())),
    (
        "errors by field",
        http(200, b'{"errors": {"email": ["bad"]}}'),
        processed(messages=("email: bad",)),
    ),
    ("empty", http(200), processed(messages=())),
    ("HTML", http(200, b"<html>"), processed(messages=())),
    ("that claims an intent", http(200, INTENT), processed(messages=())),
    (
        "gzip",
        http(200, compressed(TAKEN), b"Content-Encoding: gzip"),
        processed(messages=("is already waiting",)),
    ),
    ("cut", answers_and_closes(http(200, TAKEN[:-4], length=99)), processed(complete=False)),
)


@pytest.mark.parametrize("row", PROCESSED, ids=lambda row: row.name)
def test_a_200_is_no_created_intent(row: Row, caller: Caller) -> None:
    """A 200 is ProcessedWithErrorsError, whatever it says."""
    row.run(caller)


REFUSALS: dict[int, type] = {
    **dict.fromkeys([402, 405, 408, 410, 415, 451, 499], IntentRefusedError),
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    407: ProxyAuthenticationError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableIntentError,
}


def answers_too_early(peer: Peer) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    peer.read_head()
    peer.send(http(413, NO, b"Connection: close"))
    peer.close()


REFUSED = rows_of(
    *[
        (str(status), http(status, NO), refused(kind, status, messages=("No",)))
        for status, kind in REFUSALS.items()
    ],
    ("400 HTML", http(400, b"<html>"), refused(BadRequestError, 400, messages=())),
    (
        "403 of a wall in between",
        http(403, b"<html>" + b"x" * 50_000),
        refused(ForbiddenError, 403, messages=(), complete=True),
    ),
    ("404 empty", http(404), refused(NotFoundError, 404, messages=())),
    ("404 with Retry-After", http(404, NO, b"Retry-After: 5"), refused(NotFoundError, 404)),
    ("413 before the body was read", answers_too_early, refused(PayloadTooLargeError, 413)),
    (
        "422 nested",
        http(422, b'{"errors": [{"detail": "a"}, "b"], "message": "c"}'),
        refused(UnprocessableIntentError, 422, messages=("detail: a", "b", "c")),
    ),
    (
        "422 cut",
        answers_and_resets(http(422, NO, length=99)),
        refused(UnprocessableIntentError, 422, complete=False),
    ),
    (
        "422 a bomb",
        http(422, compressed(bytes(4 * LARGEST_BODY_BYTES)), b"Content-Encoding: gzip"),
        refused(UnprocessableIntentError, 422, complete=False, messages=()),
    ),
)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_a_4xx_is_a_refusal(row: Row, caller: Caller) -> None:
    """Every 4xx but 429 is a refusal, of the class that its status names."""
    row.run(caller)


DATE = b"Date: Sun, 06 Nov 2033 08:49:37 GMT"
RESET = b"X-RateLimit-Reset: 2014879797"  # 20 seconds after DATE
SEVEN = b'{"error": "x", "retry_after": 7, "message": "y"}'
IN_30_SECONDS = [
    b"Sun, 06 Nov 2033 08:50:07 GMT",
    b"Sunday, 06-Nov-33 08:50:07 GMT",
    b"Sun Nov  6 08:50:07 2033",
]


def slow_down(*headers: bytes, body: bytes = b"{}") -> bytes:
    return http(429, body, *headers)


LIMITED = rows_of(
    ("seconds", slow_down(b"Retry-After: 24"), limited(retry_after=24.0)),
    ("no seconds", slow_down(b"Retry-After: 0"), limited(retry_after=0.0)),
    *[
        (date.decode(), slow_down(DATE, b"Retry-After: " + date), limited(retry_after=30.0))
        for date in IN_30_SECONDS
    ],
    ("in the body", slow_down(body=SEVEN), limited(retry_after=7.0, messages=("x", "y"))),
    ("reset", slow_down(DATE, RESET, b"X-RateLimit-Remaining: 0"), limited(retry_after=20.0)),
    (
        "header before body and reset",
        slow_down(DATE, RESET, b"Retry-After: 9", body=SEVEN),
        limited(retry_after=9.0),
    ),
    (
        "unreadable header, then the body",
        slow_down(b"Retry-After: soon", body=SEVEN),
        limited(retry_after=7.0),
    ),
    ("negative", slow_down(b"Retry-After: -5"), limited(retry_after=None)),
    ("endless", slow_down(b"Retry-After: inf"), limited(retry_after=None)),
    ("silent", slow_down(), limited(retry_after=None)),
    (
        "cut",
        answers_and_resets(http(429, b"{", b"Retry-After: 24", length=99)),
        limited(retry_after=24.0, complete=False),
    ),
    ("HTML", slow_down(b"Retry-After: 24", body=b"<html>"), limited(messages=())),
)


@pytest.mark.parametrize("row", LIMITED, ids=lambda row: row.name)
def test_a_429_says_how_long_to_wait(row: Row, caller: Caller) -> None:
    """The wait of a 429 is that of its header, else of its body, else of the window's end."""
    row.run(caller)


TROUBLE = rows_of(
    *[
        (str(status), http(status, NO), trouble(status, messages=("No",)))
        for status in [500, 501, 502, 503, 504, 505, 507, 511, *range(520, 531), 555, 599]
    ],
    ("500 empty", http(500), trouble(500, messages=())),
    ("500 with Retry-After", http(500, NO, b"Retry-After: 5"), trouble(500)),
    ("500 cut", answers_and_resets(http(500, NO, length=99)), trouble(500, complete=False)),
    ("502 HTML", http(502, b"<html>Bad gateway</html>"), trouble(502, messages=())),
    (
        "503 with Retry-After",
        http(503, NO, b"Retry-After: 5"),
        Expected(ServerError, False, 503, retry_after=5.0),
    ),
    (
        "503 with a date to come back",
        http(503, NO, DATE, b"Retry-After: " + IN_30_SECONDS[0]),
        Expected(ServerError, False, 503, retry_after=30.0),
    ),
    (
        "503 with a Retry-After that says nothing",
        http(503, NO, b"Retry-After: soon"),
        trouble(503, retry_after=None),
    ),
    (
        "503 hangs",
        answers_and_hangs(http(503, NO, b"Retry-After: 5", length=99)),
        Expected(ServerError, False, 503, complete=False),
        IMPATIENT,
    ),
    ("520 HTML of a proxy", http(520, b"<html>error code: 520</html>"), trouble(520)),
)


@pytest.mark.parametrize("row", TROUBLE, ids=lambda row: row.name)
def test_a_5xx_leaves_it_open(row: Row, caller: Caller) -> None:
    """A 5xx may have been carried out, but for a 503 that says when to come back."""
    row.run(caller)


NOWHERE = [b"http://[", b"http://a:b/", b"https:///a", b"gopher://a/", b"mailto:a", b"\xff\xfe//"]

UNEXPECTED = rows_of(
    *[
        (str(status), http(status, NO), unexpected(status))
        for status in [202, 203, 205, 206, 207, 226, 299, 300, 305, 600, 999]
    ],
    *[
        (f"{status} to elsewhere", answered(status, b"", b"Location: " + place), unexpected(status))
        for place in [b"http://127.0.0.1:1/"]
        for status in [301, 302, 303, 307, 308]
    ],
    *[
        (f"302 to {place!r}", http(302, b"", b"Location: " + place), unexpected(302))
        for place in NOWHERE
    ],
    ("302 to nowhere", http(302), unexpected(302)),
    ("307 to no host", http(307, b"", b"Location: http://xn--a/"), unexpected(307)),
    ("204", http(204, length=None), unexpected(204, body=b"")),
    ("204 with a body", answers_and_closes(http(204, NO)), unexpected(204)),
    ("304 with a body", answers_and_closes(http(304, NO)), unexpected(304)),
    ("101", unframed(101, b"Upgrade: h2c", b"Connection: Upgrade"), unexpected(101)),
)


@pytest.mark.parametrize("row", UNEXPECTED, ids=lambda row: row.name)
def test_every_other_status_is_unexpected(row: Row, caller: Caller) -> None:
    """A status without a meaning for this API is an error of its own; no redirect is followed."""
    row.run(caller)
