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
    GO_ON,
    INTENT,
    NO,
    ONE,
    PARTLY,
    TAKEN,
    Expected,
    Row,
    created,
    refused,
    rows_of,
    unframed,
)

from stoqapp import IntentCreated
from stoqapp.http.attempt import LARGEST_BODY_BYTES

CHUNKED, GZIP = b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"
ZIPPED = compressed(INTENT)
FULL = b" " * LARGEST_BODY_BYTES
CAPPED = created(complete=False, body=FULL)


def encoded(body: bytes, label: bytes = b"gzip") -> bytes:
    return http(201, body, b"Content-Encoding: " + label)


def in_chunks(body: bytes, *headers: bytes) -> bytes:
    return unframed(201, CHUNKED, *headers, body=body)


BODIES = rows_of(
    ("HTML", http(201, b"<html>Created</html>"), created(body=b"<html>Created</html>")),
    ("shorter than it says", answers_and_closes(http(201, INTENT, length=500)), CUT),
    ("longer than it says", http(201, INTENT, length=10), created(body=INTENT[:10])),
    ("resets", answers_and_resets(http(201, INTENT, length=500)), CUT),
    ("hangs", answers_and_hangs(http(201, INTENT, length=500)), CUT, PARTLY),
    ("trickles", trickles(http(201, length=2000), b"x" * 2000), CUT, PARTLY),
    ("until the end", answers_and_closes(unframed(body=INTENT)), ONE),
    ("until a reset", answers_and_resets(unframed(body=b"{")), CUT),
    ("without end", floods(unframed(), b" " * 65536), CUT),
    ("HTTP/1.0", answers_and_closes(unframed(body=INTENT).replace(b"/1.1", b"/1.0", 1)), ONE),
    ("in chunks", in_chunks(chunked(INTENT[:9], INTENT[9:])), ONE),
    ("chunk extension, trailer", in_chunks(chunked(INTENT, end=b"0;a=b\r\nX: 1\r\n\r\n")), ONE),
    ("last chunk missing", answers_and_closes(in_chunks(chunked(INTENT, end=b""))), CUT),
    ("chunk size garbage", in_chunks(b"2\r\n{}\r\nzz\r\n"), CUT),
    ("chunk longer than it says", in_chunks(b"1\r\n{}\r\n0\r\n\r\n"), CUT),
    ("chunks without end", floods(in_chunks(b""), chunked(b" " * 9000, end=b"")), CUT),
    ("chunks and a length", http(201, chunked(INTENT), CHUNKED, length=3), ONE),
    ("as large as the cap", http(201, FULL), created(body=FULL)),
    ("one byte over the cap", http(201, FULL + b" "), CAPPED),
    ("gzip", encoded(ZIPPED), created(ids=("77",), body=INTENT)),
    ("x-gzip", encoded(ZIPPED, b"X-GZIP"), ONE),
    ("gzip of two members", encoded(compressed(INTENT[:9]) + compressed(INTENT[9:])), CUT),
    ("deflate", encoded(compressed(INTENT, zlib.MAX_WBITS), b"deflate"), ONE),
    ("bare deflate", encoded(compressed(INTENT, -zlib.MAX_WBITS), b"deflate"), ONE),
    ("encoding none", encoded(INTENT, b"none"), ONE),
    ("gzip in chunks", in_chunks(chunked(*[bytes([byte]) for byte in ZIPPED]), GZIP), ONE),
    ("no gzip", encoded(INTENT), CUT),
    ("gzip cut", encoded(ZIPPED[:-12]), CUT),
    ("gzip with a wrong sum", encoded(ZIPPED[:-8] + bytes(8)), CUT),
    ("gzip empty", encoded(b""), Expected(IntentCreated, body=b"")),
    ("gzip, then junk", encoded(ZIPPED + b"junk"), created(complete=False, ids=("77",))),
    ("brotli", encoded(b"\x0b\x02\x80{}\x03", b"br"), CUT),
    ("bad encoding label", encoded(INTENT, b"\xff\xfe"), Expected(IntentCreated, body=INTENT)),
)


def answers_before_the_request(peer: Peer) -> None:
    """Send the answer to a request that has not come."""
    peer.send(http(201, INTENT))
    peer.read_request()


ODD_HEADERS = [
    b"Set-Cookie: =;;=\xff; Expires=0; Max-Age=x; Domain=..",
    b"X-RateLimit-Remaining: -1",
    b"X-RateLimit-Reset: " + b"9" * 500,
    b"Content-Type: a/b; charset=\xff;;",
    b"Location: http://[",
]

HEADS = rows_of(
    ("after many 1xx", answers(GO_ON * 100, http(103, length=None), http(201, INTENT)), ONE),
    ("in pieces", answers(*[bytes([byte]) for byte in http(201, INTENT)]), ONE),
    ("before the request", answers_before_the_request, ONE),
    ("bare line feeds", http(201, INTENT).replace(b"\r\n", b"\n"), ONE),
    ("no space after it", http(201, INTENT, reason=b"").replace(b"201 \r", b"201\r"), ONE),
    ("reason not ASCII", http(201, INTENT, reason="Erzeugt ☂".encode()), ONE),
    ("folded header", http(201, INTENT, b"X-Long: a\r\n  b"), ONE),
    ("header of 90 KiB", http(201, INTENT, b"X-Odd: " + b"a" * 90 * 1024), ONE),
    ("odd headers", http(201, INTENT, *ODD_HEADERS), ONE),
    ("and closes", answers_and_closes(http(201, INTENT, b"Connection: close")), ONE),
    ("and resets", answers_and_resets(http(201, INTENT)), ONE),
)


def head(line: bytes) -> bytes:
    return b"HTTP/1.1 201 Created\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"


# Where the connection stays open, the client must see by itself that it is not HTTP.
STATUS_LINES = {
    "nothing more": answers_and_closes(b"HTTP/1.1 201 Created\r\n"),
    "headers without end": answers_and_closes(head(b"X: 1")[:-2]),
    "resets in the headers": answers_and_resets(head(b"X: 1")[:-9]),
    "headers of 200 KiB": answers_and_hangs(head(b"X: " + b"a" * 200 * 1024)[:-4]),
    "headers without mercy": floods(head(b"X: 1")[:-2], b"X: 1\r\n" * 999),
    "header without a colon": answers_and_hangs(head(b"nonsense")),
    "first header folded": answers_and_hangs(head(b" X: 1")),
    "length negative": answers_and_hangs(http(201, b"{}", length=-2)),
    "unheard-of framing": answers_and_closes(unframed(201, b"Transfer-Encoding: a")),
    "after a 100": answers_and_closes(GO_ON + b"HTTP/1.1 201 Created\r\n"),
}
STATUS_ALONE = created(complete=False, ids=(), body=b"")
TORN_HEADS = rows_of(
    *[(name, script, STATUS_ALONE) for name, script in STATUS_LINES.items()],
    ("hangs in the headers", answers_and_hangs(head(b"X: 1")[:-2]), STATUS_ALONE, PARTLY),
    (
        "a wait in a head that is cut",
        answers_and_closes(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nX-Rate"),
        refused(429, retry_after=7.0, complete=False),
    ),
)

odd = partial(refused, carried_out=None)


def answers_too_early(peer: Peer) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    peer.read_head()
    peer.send(http(413, NO, b"Connection: close"))
    peer.close()


OTHERS = rows_of(
    ("302 elsewhere", http(302, b"", b"Location: http://127.0.0.1:1/"), odd(302)),
    ("307 to nowhere", http(307, NO), odd(307, complete=True)),
    ("200 gzip", http(200, compressed(TAKEN), GZIP), refused(200, messages=("already waits",))),
    ("200 cut", answers_and_closes(http(200, TAKEN[:-4], length=99)), refused(200, messages=())),
    ("413 before the body was read", answers_too_early, refused(413)),
    ("422 cut", answers_and_resets(http(422, NO, length=99)), refused(422, complete=False)),
    ("503 cut", answers_and_closes(http(503, length=9)), odd(503, complete=False)),
    ("204", http(204, length=None), odd(204, body=b"")),
    ("204 with a body", answers_and_closes(http(204, NO)), odd(204)),
    ("101", unframed(101, b"Upgrade: h2c", b"Connection: Upgrade"), odd(101)),
    ("999", http(999, NO), odd(999, messages=("No",))),
)


@pytest.mark.parametrize("row", [*BODIES, *HEADS, *TORN_HEADS, *OTHERS], ids=lambda row: row.name)
def test_the_status_line_decides(row: Row, caller: Caller) -> None:
    """A 201 is a created intent and each other status its error, whatever head and body are.

    A body is read as it is framed and compressed; what follows the status line may be cut, too
    large or no HTTP. No redirect is followed.
    """
    row.run(caller)
