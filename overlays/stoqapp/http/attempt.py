"""One attempt while it is under way: what was sent, what was heard, and what that comes to."""

import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

import h11
from attrs import define, field

from stoqapp.errors import Answer

LARGEST_BODY_BYTES: Final = 1024 * 1024
_WRITTEN_AT_ONCE: Final = 16 * 1024

_HEAD: Final = re.compile(
    rb"HTTP/1\.[01] (?P<status>[1-9][0-9]{2})(?: [^\n]*)?\n(?P<headers>(?:[^\r\n][^\n]*\n)*)\r?\n"
)

# What OpenSSL says of an answer in plain text, as `reason_of_system` has it.
_NO_TLS: Final = ("wrong version number", "record layer failure", "http request")

# Which attempt the running thread or task is on, for the connections that it reads from.
UNDER_WAY: ContextVar["Attempt"] = ContextVar("stoqapp_exchange")


class DeadlinePassedError(TimeoutError):
    """The call's deadline passed while an answer trickled in."""


@define(eq=False)
class Attempt:
    """What is known of one attempt.

    Whether the request began to leave is told by httpcore's trace events. A transport that has
    none (a user's own) leaves that open, which counts as sent.

    Attributes:
        ends: When the call must be over, by the monotonic clock.
        read_seconds: How long the body may take once the head is there.
        handed_over: Whether the HTTP library has the request.
        streams: Where the connections are kept that are made for it.
        ended: Whether the body was read to its end.
        is_traced: Whether the transport tells what it does.
    """

    ends: float
    read_seconds: float
    streams: "WeakSet[Any]" = field(factory=WeakSet, repr=False)
    handed_over: bool = False
    ended: bool = False
    is_traced: bool = False
    _sending: bool = False
    _status: int | None = None
    _headers: dict[str, str] = field(factory=dict, repr=False)
    _heard: bytearray = field(factory=bytearray, repr=False)
    _body: bytearray = field(factory=bytearray, repr=False)
    _is_decoded: bool = False
    _body_ends: float = 0.0

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note what happens, and let no phase of making a connection outlast the call."""
        if event.partition(".")[2] in ("connect_tcp.started", "start_tls.started"):
            # httpcore hands this very mapping on as the arguments of what begins now.
            info["timeout"] = self._phase_seconds(info)
        self._note(event, info)

    async def trace_async(self, event: str, info: dict[str, Any]) -> None:
        """Note what happens; here a task's timeout bounds all phases."""
        self._note(event, info)

    def _note(self, event: str, info: dict[str, Any]) -> None:
        """Note whether the request leaves; listen to a connection that is made for it."""
        self.is_traced = True
        # Before the first dot stands who tells of it: connection, http11, proxy, ...
        step = event.partition(".")[2]
        if step == "send_request_headers.started":
            # A proxy's CONNECT goes ahead of the request, and what it was answered is not for us.
            self._sending = info["request"].method != b"CONNECT"
            self._heard.clear()
        elif step in ("connect_tcp.complete", "start_tls.complete"):
            self.streams.add(info["return_value"])
            _Ear(info["return_value"])

    def _phase_seconds(self, phase: Mapping[str, Any]) -> float:
        """Return what a phase may take; connecting takes it anew for each address of a host."""
        addresses = 1
        if "host" in phase:
            with suppress(OSError, ValueError):
                addresses = len(
                    socket.getaddrinfo(phase["host"], phase["port"], type=socket.SOCK_STREAM)
                )
        left = max(0.001, self.seconds_left / max(1, addresses))
        return left if phase["timeout"] is None else min(left, float(phase["timeout"]))

    @property
    def has_left(self) -> bool:
        """Whether the request may be on the wire."""
        return self.handed_over and (self._sending or not self.is_traced)

    @property
    def is_redirected(self) -> bool:
        """Whether the headers that are there name another place."""
        return "location" in self._headers

    @property
    def seconds_left(self) -> float:
        """Until the call must be over."""
        return self.ends - time.monotonic()

    def bounded(self, timeout: float | None) -> float:
        """Return *timeout*, or the seconds that are left for the call, or for its body.

        Raises:
            DeadlinePassedError: None are left.
        """
        ends = self.ends if self._status is None else self._body_ends
        left = ends - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError
        return left if timeout is None else min(left, timeout)

    def answered(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Note that status line and headers are there."""
        self._status = status
        self._body_ends = min(self.ends, time.monotonic() + self.read_seconds)
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            known = self._headers.get(name)
            self._headers[name] = value if known is None else f"{known}, {value}"

    def read_refused_head(self) -> None:
        """Read status and headers out of a head that h11 refused, if they are there at all.

        A header that it dislikes, or a 101 that nobody asked for, does not undo the status line.
        """
        heard, position = bytes(self._heard) if self._sending else b"", 0
        while head := _HEAD.match(heard, position):
            status = int(head["status"])
            if status == 101 or status >= 200:
                lines = [line.partition(b":") for line in head["headers"].split(b"\n")]
                named = [(name.strip(), value.strip()) for name, colon, value in lines if colon]
                self.answered(status, named)
                break
            position = head.end()

    def takes(self, chunk: bytes) -> bool:
        """Keep a part of the body as it was sent; return whether more is wanted."""
        self._body += chunk
        return len(self._body) <= LARGEST_BODY_BYTES and time.monotonic() < self._body_ends

    def takes_all(self, content: bytes) -> None:
        """Keep a body that the transport has read to its end, and decoded, itself."""
        self._body += content[: LARGEST_BODY_BYTES + 1]
        self._is_decoded = self.ended = True

    def hears(self, part: bytes) -> None:
        """Keep what a connection said, head and framing included."""
        if len(self._heard) <= 2 * LARGEST_BODY_BYTES:
            self._heard += part

    def leaves_words_behind(self) -> bool:
        """Whether the connection said more than this answer, or said it in an unclear way.

        What is left would be read as the answer to the next request.
        """
        head, _, rest = bytes(self._heard).partition(b"\r\n\r\n")
        said_length = self._headers.get("content-length")
        if self._status in (200, 201) and said_length == str(len(rest)) and len(head) > 0:
            return False
        return _leaves_words_behind(bytes(self._heard))

    def answer(self) -> Answer | None:
        """Return the answer as far as it came, None if no status line and headers did."""
        if self._status is None:
            return None
        encoding = "" if self._is_decoded else self._headers.get("content-encoding", "")
        body, whole = _decoded(bytes(self._body), encoding)
        complete = self.ended and whole
        return Answer(self._status, self._headers, body[:LARGEST_BODY_BYTES], complete)


class _Ear:
    """Listens at a connection of httpcore, for whichever attempt reads from it.

    It makes the call's deadline hold, which the timeouts do not: they begin anew with each part
    of an answer that trickles, or of a request that is taken slowly. And a connection that said
    more than was asked is given out as closed by the other side, so that it is not used again.
    Where nothing of ours is under way (a user's transport can have other users), it does nothing.
    """

    def __init__(self, stream: Any) -> None:
        self._read: Callable[..., Any] = stream.read
        self._write: Callable[..., Any] = stream.write
        self._info: Callable[[str], Any] = stream.get_extra_info
        self._last: Attempt | None = None
        asynchronous = hasattr(stream, "aclose")
        stream.read = self._read_async if asynchronous else self._read_blocking
        if not asynchronous:
            stream.write = self._write_blocking
        stream.get_extra_info = self._get_extra_info

    def _read_blocking(self, max_bytes: int, timeout: float | None = None) -> bytes:
        attempt = UNDER_WAY.get(None)
        if attempt is None:
            return self._read(max_bytes, timeout)  # type: ignore[no-any-return]
        part: bytes = self._read(max_bytes, attempt.bounded(timeout))
        self._note(attempt, part)
        return part

    def _write_blocking(self, content: bytes, timeout: float | None = None) -> None:
        attempt = UNDER_WAY.get(None)
        if attempt is None:
            self._write(content, timeout)
            return
        for start in range(0, len(content), _WRITTEN_AT_ONCE):
            part = content[start : start + _WRITTEN_AT_ONCE]
            self._write(part, attempt.bounded(timeout))

    async def _read_async(self, max_bytes: int, timeout: float | None = None) -> bytes:
        attempt = UNDER_WAY.get(None)
        part: bytes = await self._read(max_bytes, timeout)
        if attempt is not None:
            self._note(attempt, part)
        return part

    def _note(self, attempt: Attempt, part: bytes) -> None:
        self._last = attempt
        attempt.hears(part)

    def _get_extra_info(self, info: str) -> Any:
        last = self._last
        if info == "is_readable" and last is not None and last.ended:
            self._last = None
            if last.leaves_words_behind():
                self._last = last
                return True
        return self._info(info)


def _leaves_words_behind(heard: bytes) -> bool:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "0")]
    )
    try:
        connection.send(request)
        connection.send(h11.EndOfMessage())
        connection.receive_data(heard)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.EndOfMessage):
                return bool(connection.trailing_data[0])
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return True
    except h11.RemoteProtocolError:
        return True


def _decoded(raw: bytes, encoding: str) -> tuple[bytes, bool]:
    """Return *raw* decompressed up to the cap, and whether that is all of it.

    We ask for no compression; this is for a proxy that compresses all the same.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw, len(raw) <= LARGEST_BODY_BYTES
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return raw, False
    either_gzip_or_zlib = zlib.MAX_WBITS | 32
    decompressor = zlib.decompressobj(either_gzip_or_zlib)
    try:
        body = decompressor.decompress(raw, LARGEST_BODY_BYTES)
    except zlib.error:
        return raw, False
    return body, decompressor.eof


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__


def came_before_a_connection(failure: BaseException | None) -> bool:
    """Whether *failure* is of a kind that only making a connection can end in."""
    kinds = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
    return any(isinstance(link, kinds) for link in _chain(failure))


def reason_of_system(failure: BaseException | None) -> str:
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
            # Its own text can be somebody else's: asyncio puts the address there.
            return f" ({os.strerror(link.errno)})"
    return ""
