"""What is known of one attempt: whether the request left, what came back, and what that means."""

import asyncio
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import httpcore
import httpx
from attrs import define, field

from stoqapp.errors import UNIQUE, Answer, NotSentError, OutcomeUnknownError
from stoqapp.http.options import Timeout

LARGEST_BODY_BYTES: Final = 1024 * 1024
_GZIP: Final = zlib.MAX_WBITS | 16
# Deflate as RFC 9110 has it, and without the header, as some servers send it.
_WINDOW_BITS: Final = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
# No timeout of a system call needs to be longer, and some do not take it.
_LONGEST_SECONDS: Final = 86_400.0

# Heads of interim answers, and then the status and the whole lines of the head that counts.
# Without possessive quantifiers, which Python 3.11.2 reads wrongly in a group.
_HEAD: Final = re.compile(
    rb"(?:HTTP/1\.[01] 1(?!01)[0-9]{2}(?: [^\n]*)?\n(?:[^\r\n][^\n]*\n)*\r?\n)*"
    rb"HTTP/1\.[01] (101|[2-9][0-9]{2})(?: [^\n]*)?\n((?:[^\r\n][^\n]*\n)*)"
)
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")

# Another transport says by one of these that nothing was sent.
_NOT_SENT: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.PoolTimeout, "no connection became free in time (see HttpOptions.max_connections)"),
    (httpx.ConnectTimeout, "no connection was made within the timeout"),
    (httpx.ConnectError, "the host could not be found, reached or trusted"),
    (httpx.ProxyError, "the proxy refused the connection"),
    (httpx.UnsupportedProtocol, "the URL's scheme is not one of http and https"),
)
# A test double that raises one of these plays a fault after sending.
_AFTER_SENDING: Final = (
    httpx.ReadTimeout | httpx.WriteTimeout | httpx.NetworkError | httpx.RemoteProtocolError
)
# Only making a connection can end in one of these.
_OF_CONNECTING: Final = (
    ConnectionRefusedError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
    httpcore.ConnectTimeout,
)
# OpenSSL's words, as `reason_of_system` writes them, for an answer in plain text.
_NO_TLS: Final = ("wrong version number", "record layer failure", "http request")


@define(eq=False)
class Attempt:
    """What is known of one attempt.

    Attributes:
        host: The service's host and port, for error texts.
        timeout: For each phase.
        ends: When the call must be over, by the monotonic clock; once the head of the answer is
            there, when its body must be.
        has_left: Whether a byte of the request may have left.
        has_network: Whether a connection was begun or used; a test double leaves this False.
        body_ended: Whether the answer's body was read to its end.
        received: What came over the connection, head and framing included.
        limit: In an event loop, the timeout around the call; each wait sets it anew.
    """

    host: str
    timeout: Timeout
    ends: float
    has_left: bool = False
    has_network: bool = False
    body_ended: bool = False
    received: bytearray = field(factory=bytearray, repr=False)
    limit: asyncio.Timeout | None = None
    _head: bytes = field(default=b"", repr=False)
    _status: int | None = None
    _headers: dict[str, str] = field(factory=dict, repr=False)
    _body: bytearray = field(factory=bytearray, repr=False)
    _is_decoded: bool = False

    def seconds(self, phase: float | None) -> float:
        """Return how long the next step of a phase may take; raise TimeoutError at the end."""
        left = min(self.ends - time.monotonic(), _LONGEST_SECONDS)
        if left <= 0:
            raise TimeoutError
        return left if phase is None else min(left, phase)

    def limit_wait(self, phase: float | None) -> float:
        """Let the next wait in the event loop take `seconds`; return when it ends by the loop."""
        ends = asyncio.get_running_loop().time() + self.seconds(phase)
        if self.limit is not None:
            self.limit.reschedule(ends)
        return ends

    def outgoing(self, buffer: bytes) -> bytes:
        """Return what to write of *buffer* now, and note when the request begins to leave.

        httpcore writes the head of a request before its body; here they leave in one write.
        """
        if buffer.startswith(b"POST "):
            self._head = buffer
            return b""
        if (self._head and buffer) or buffer.startswith(b"GET "):
            buffer, self._head = self._head + buffer, b""
            # What a proxy answered to CONNECT is not for the call.
            self.received.clear()
            self.has_network = self.has_left = True
        return buffer

    def receive(self, part: bytes) -> None:
        """Keep what the connection received, as far as any answer needs."""
        if len(self.received) <= 8 * LARGEST_BODY_BYTES:
            self.received += part

    def keep_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep status and headers."""
        self._status = status
        self.ends = min(self.ends, time.monotonic() + self.timeout.read)
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            known = self._headers.get(name)
            self._headers[name] = value if known is None else f"{known}, {value}"

    def wants_body(self, response: httpx.Response) -> bool:
        """Keep the head, and the body where the transport has read and decoded it itself."""
        self.keep_head(response.status_code, response.headers.raw)
        if response.is_stream_consumed:
            self._body += response.content[: LARGEST_BODY_BYTES + 1]
            self._is_decoded = self.body_ended = True
        return not self.body_ended

    def keep_body(self, chunk: bytes) -> bool:
        """Keep a part of the body as it was sent; return whether more is wanted."""
        self._body += chunk
        return len(self._body) <= LARGEST_BODY_BYTES and time.monotonic() < self.ends

    @property
    def is_clear(self) -> bool:
        """Whether this one answer came over the connection, and not a byte more.

        What is left over would be read as the answer to the next request.
        """
        head, _, rest = bytes(self.received).partition(b"\r\n\r\n")
        if not self.body_ended or head[9:12] != b"%d" % (self._status or 0):
            return False
        if self._status in (204, 304):
            return not rest
        if "transfer-encoding" in self._headers:
            return _is_chunks(rest)
        return self._headers.get("content-length") == str(len(rest))

    def answer(self, failure: Exception | None) -> Answer:
        """Return the answer as far as it came, or say what its absence means.

        The failure is not chained: its text may quote what the other side sent.

        Raises:
            NotSentError: The request never left.
            OutcomeUnknownError: It left, and no status line came back.
        """
        if self._status is None and self.has_left:
            self._read_head()
        if self._status is not None:
            encoding = "" if self._is_decoded else self._headers.get("content-encoding", "")
            body, whole = _decoded(bytes(self._body), encoding.strip().lower())
            complete = self.body_ended and whole
            return Answer(self._status, self._headers, body[:LARGEST_BODY_BYTES], complete)
        if not_sent := self._not_sent(failure):
            raise not_sent
        in_time = " in time" if isinstance(failure, httpx.TimeoutException | TimeoutError) else ""
        raise OutcomeUnknownError(
            f"the request was sent and no answer came back{in_time}: {type(failure).__name__}"
            f"{_reason_of_system(failure)}. The intent may be on the list. Sending it again is"
            f" safe: {UNIQUE}."
        )

    def _read_head(self) -> None:
        """Read the status, and the headers that follow, of a head that was refused or cut off."""
        if head := _HEAD.match(self.received):
            parts = [line.partition(b":") for line in head[2].splitlines()]
            fields = [(name.strip(), value.strip()) for name, colon, value in parts if colon]
            self.keep_head(int(head[1]), fields)

    def _not_sent(self, failure: Exception | None) -> NotSentError | None:
        """Return the error that says why nothing was sent, None where something may have been."""
        reason = next((reason for kind, reason in _NOT_SENT if isinstance(failure, kind)), None)
        status = str(failure)[:3] if isinstance(failure, httpx.ProxyError) else ""
        if self.has_left:
            # httpx-aiohttp calls a lost connection a ConnectTimeout, too.
            is_certain = not isinstance(failure, httpx.ConnectTimeout) or any(
                isinstance(link, _OF_CONNECTING) for link in _chain(failure)
            )
            if reason is None or not is_certain:
                return None
        elif status.isdecimal():
            # The text of a ProxyError begins with the status; what the proxy says follows.
            reason = f"the proxy refused the connection (status {status})"
            if status == "407":
                return _lasting(f"{reason}: give the user name and the password in its URL")
        elif reason is None:
            if not self.has_network and not isinstance(failure, TimeoutError):
                if isinstance(failure, _AFTER_SENDING):
                    return None
                # A body begins with a brace, so no part of it is repeated.
                words = re.split(r"[\n{]", str(failure), maxsplit=1)[0].strip()[:300]
                return _lasting(f"a test double refused it: {type(failure).__name__}: {words}")
            timed_out = isinstance(failure, TimeoutError | httpx.TimeoutException)
            reason = _NOT_SENT[1 if timed_out else 2][1]
        system = _reason_of_system(failure)
        return NotSentError(
            f"nothing was sent to {self.host}: {reason}{system}; check base_url and the network"
        )


def _lasting(reason: str) -> NotSentError:
    error = NotSentError(f"nothing was sent: {reason}")
    error.is_lasting = True
    return error


def _is_chunks(body: bytes) -> bool:
    """Whether *body* is chunks up to the last one, without trailers, and nothing after them."""
    start = 0
    while size := _CHUNK_SIZE.match(body, start):
        length = int(size[1], 16)
        if not length:
            return body[size.end() :] == b"\r\n"
        start = size.end() + length + 2
    return False


def _decoded(raw: bytes, encoding: str) -> tuple[bytes, bool]:
    """Return *raw* decompressed up to the cap, and whether that is all of it.

    No compression is asked for; some proxies compress all the same.
    """
    if encoding in ("", "identity", "none"):
        return raw, len(raw) <= LARGEST_BODY_BYTES
    for window_bits in _WINDOW_BITS.get(encoding, ()):
        stream = zlib.decompressobj(window_bits)
        with suppress(zlib.error):
            body = stream.decompress(raw, LARGEST_BODY_BYTES + 1)
            # Further members of a gzip are not read; the body is told as incomplete then.
            is_all = stream.eof and not stream.unused_data
            return body, is_all and len(body) <= LARGEST_BODY_BYTES
    return raw, False


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def _reason_of_system(failure: BaseException | None) -> str:
    """Return what the operating system or TLS said of *failure*, in brackets; or nothing.

    Other texts of a failure are not for repeating: they may quote what the other side sent.
    """
    for link in _chain(failure):
        if isinstance(link, ssl.SSLCertVerificationError):
            return f" ({link.verify_message})"
        if isinstance(link, ssl.SSLError):
            # Its errno is a number of OpenSSL's, and its reason one of OpenSSL's names.
            reason = (link.reason or "broken off").replace("_", " ").lower()
            hint = "; the server may not speak TLS" if reason in _NO_TLS else ""
            return f" (TLS: {reason}{hint})"
        if isinstance(link, socket.gaierror) and link.strerror:
            return f" ({link.strerror})"
        if isinstance(link, OSError) and link.errno and link.errno > 0:
            # Its own text may name the address.
            return f" ({os.strerror(link.errno)})"
    return ""
