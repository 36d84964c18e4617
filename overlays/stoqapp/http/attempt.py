"""What is known of one attempt: whether the request left, what came back, and what that means."""

import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import httpcore
import httpx
from attrs import define, field

from stoqapp.errors import UNIQUE, Answer, NotSentError, OutcomeUnknownError
from stoqapp.http.options import Timeout

LARGEST_BODY_BYTES: Final = 1024 * 1024
_MOST_MEMBERS: Final = 100
# No timeout of a system call needs to be longer, and some do not take it.
_LONGEST_SECONDS: Final = 86_400.0

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\n]*)?\n")
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")

# Another transport says by one of these that nothing was sent.
_NOT_SENT: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.PoolTimeout, "no connection became free in time (see HttpOptions.max_connections)"),
    (httpx.ConnectTimeout, "no connection came about within the timeout"),
    (httpx.ConnectError, "the host could not be found, reached or trusted"),
    (httpx.ProxyError, "the proxy let nothing through"),
    (httpx.UnsupportedProtocol, "the URL's scheme is not one of http and https"),
)
# A test double that raises one of these plays a fault after sending.
_AFTER_SENDING: Final = (
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.RemoteProtocolError,
)
_CHECK: Final = "check base_url and the network"
# OpenSSL's words, as `reason_of_system` writes them, for an answer in plain text.
_NO_TLS: Final = ("wrong version number", "record layer failure", "http request")


@define(eq=False)
class Attempt:
    """What is known of one attempt.

    Attributes:
        timeout: For each phase.
        ends: When the call must be over, by the monotonic clock; once the head of the answer is
            there, when its body must be.
        has_left: Whether a byte of the request may have left.
        has_network: Whether a connection was begun or used; a test double leaves this False.
        body_ended: Whether the answer's body was read to its end.
        received: What the connection said, head and framing included.
    """

    timeout: Timeout
    ends: float
    has_left: bool = False
    has_network: bool = False
    body_ended: bool = False
    received: bytearray = field(factory=bytearray, repr=False)
    _head: bytes = field(default=b"", repr=False)
    _status: int | None = None
    _headers: dict[str, str] = field(factory=dict, repr=False)
    _body: bytearray = field(factory=bytearray, repr=False)
    _is_decoded: bool = False

    def seconds(self, phase: float | None) -> float:
        """Return how long the next step of a phase may take.

        Raises:
            TimeoutError: The call, or the time for the body, is over.
        """
        left = min(self.ends - time.monotonic(), _LONGEST_SECONDS)
        if left <= 0:
            raise TimeoutError
        return left if phase is None else min(left, phase)

    def outgoing(self, buffer: bytes) -> bytes:
        """Return what to write of *buffer* now, and note when the request begins to leave.

        httpcore writes the head of a request before its body; here they leave in one write.
        """
        if buffer.startswith(b"POST ") and not self._head:
            self._head, self.has_network = buffer, True
            return b""
        if self._head and buffer:
            buffer, self._head = self._head + buffer, b""
            # What a proxy answered to CONNECT is not for the call.
            self.received.clear()
            self.has_left = True
        return buffer

    def hears(self, part: bytes) -> None:
        """Keep what the connection said, as far as any answer needs."""
        if len(self.received) <= 8 * LARGEST_BODY_BYTES:
            self.received += part

    def takes_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep status and headers."""
        self._status = status
        self.ends = min(self.ends, time.monotonic() + self.timeout.read)
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            known = self._headers.get(name)
            self._headers[name] = value if known is None else f"{known}, {value}"

    def takes(self, chunk: bytes) -> bool:
        """Keep a part of the body as it was sent; return whether more is wanted."""
        self._body += chunk
        return len(self._body) <= LARGEST_BODY_BYTES and time.monotonic() < self.ends

    def takes_all(self, content: bytes) -> None:
        """Keep a body that the transport has read to its end, and decoded, itself."""
        self._body += content[: LARGEST_BODY_BYTES + 1]
        self._is_decoded = self.body_ended = True

    @property
    def is_clear(self) -> bool:
        """Whether the connection said this one answer, and not a byte more.

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
            self._read_status_line()
        if self._status is not None:
            encoding = "" if self._is_decoded else self._headers.get("content-encoding", "")
            body, whole = _decoded(bytes(self._body), encoding.strip().lower())
            complete = self.body_ended and whole
            return Answer(self._status, self._headers, body[:LARGEST_BODY_BYTES], complete)
        reason = self._reason_not_sent(failure)
        if reason:
            raise NotSentError(f"nothing was sent: {reason}")
        in_time = " in time" if isinstance(failure, httpx.TimeoutException | TimeoutError) else ""
        raise OutcomeUnknownError(
            f"the request was sent and no answer came back{in_time} ({type(failure).__name__})"
            f"{_reason_of_system(failure)}, so the intent may be on the list or not; to send it"
            f" again is safe: {UNIQUE}"
        )

    def _read_status_line(self) -> None:
        """Read the status, and the headers that follow, of a head that was refused or cut off."""
        received, start = bytes(self.received), 0
        while line := _STATUS_LINE.match(received, start):
            end = _HEAD_END.search(received, line.end() - 1)
            status = int(line[1])
            if status >= 200 or status == 101:
                stop = received.rfind(b"\n") if end is None else end.start()
                fields = [part.partition(b":") for part in received[line.end() : stop].split(b"\n")]
                named = [(name.strip(), value.strip()) for name, colon, value in fields if colon]
                self.takes_head(status, named)
                return
            start = len(received) if end is None else end.end()

    def _reason_not_sent(self, failure: Exception | None) -> str | None:
        """Return why nothing was sent, None where something may have been."""
        reason = next((reason for kind, reason in _NOT_SENT if isinstance(failure, kind)), None)
        if self.has_left:
            # httpx-aiohttp calls a lost connection a ConnectTimeout, too.
            if isinstance(failure, httpx.ConnectTimeout) and not _is_of_connecting(failure):
                return None
            return reason and f"{reason}{_reason_of_system(failure)}; {_CHECK}"
        if isinstance(failure, httpx.ProxyError):
            # The text begins with the status; what the proxy says follows.
            status = str(failure)[:3]
            if status.isdecimal():
                reason = f"the proxy let nothing through (status {status})"
            if status == "407":
                return f"{reason}: it asks for a user name and a password; give them in its URL"
        if reason is None and not self.has_network and not isinstance(failure, TimeoutError):
            if isinstance(failure, _AFTER_SENDING):
                return None
            # A body begins with a brace, so no part of it is repeated.
            words = re.split(r"[\n{]", str(failure), maxsplit=1)[0].strip()
            return f"a test double refused the request: {type(failure).__name__}: {words[:300]}"
        timed_out = isinstance(failure, TimeoutError | httpx.TimeoutException)
        reason = reason or _NOT_SENT[1 if timed_out else 2][1]
        return f"{reason}{_reason_of_system(failure)}; {_CHECK}"


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
    if encoding in ("gzip", "x-gzip"):
        formats = [zlib.MAX_WBITS | 16]
    elif encoding == "deflate":
        # As RFC 9110 has it, and without the header, as some servers send it.
        formats = [zlib.MAX_WBITS, -zlib.MAX_WBITS]
    else:
        return raw, False
    for window_bits in formats:
        try:
            return _inflated(raw, window_bits)
        except zlib.error:
            continue
    return raw, False


def _inflated(raw: bytes, window_bits: int) -> tuple[bytes, bool]:
    """Inflate one stream after another, since gzip may have several members."""
    body = b""
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(window_bits)
        try:
            body += member.decompress(raw, LARGEST_BODY_BYTES + 1 - len(body))
        except zlib.error:
            if not body:
                raise
            return body, False
        raw = member.unused_data
        if not (member.eof and raw) or len(body) > LARGEST_BODY_BYTES:
            return body, member.eof and len(body) <= LARGEST_BODY_BYTES
    return body, False


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def _is_of_connecting(failure: BaseException) -> bool:
    """Whether *failure* is of a kind that only making a connection can end in."""
    kinds = (
        ConnectionRefusedError,
        socket.gaierror,
        ssl.SSLCertVerificationError,
        httpcore.ConnectTimeout,
    )
    return any(isinstance(link, kinds) for link in _chain(failure))


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
            hint = "; what listens there may speak no TLS" if reason in _NO_TLS else ""
            return f" (TLS: {reason}{hint})"
        if isinstance(link, socket.gaierror) and link.strerror:
            return f" ({link.strerror})"
        if isinstance(link, OSError) and link.errno and link.errno > 0:
            # Its own text may name the address.
            return f" ({os.strerror(link.errno)})"
    return ""
