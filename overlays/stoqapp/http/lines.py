"""Lines: connections to the service, one each, behind the interface of httpx's transports.

A line serves one call at a time. After an error, an interrupt, a cancellation or an answer that
does not end clearly it is closed, never mended, and the next call makes a new one. So no lock
and no state of httpcore outlives a call that went wrong.

httpcore speaks HTTP over a line. Its network is a wire, made of httpcore's public interfaces,
which bounds each step by the deadline of the call and keeps what the connection says.
"""

import asyncio
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final, Generic, Self, TypeVar, cast

import httpcore
import httpx

from stoqapp.http.attempt import Attempt
from stoqapp.http.options import Route

# As httpx has it: many a server closes a connection that idles for longer, at any moment.
IDLE_SECONDS: Final = 5.0
_WRITTEN_AT_ONCE: Final = 16 * 1024
_SYSTEM: Final = httpcore.SyncBackend()


class _Outgoing:
    """What a wire is about to write.

    httpcore writes head and body of a request one after the other. They leave in one write here,
    and the attempt knows of it before the first byte does.
    """

    attempt: Attempt
    _head = b""

    def _ready(self, buffer: bytes) -> bytes:
        """Return what to write now: nothing for the head of the POST, which waits for its body."""
        if buffer.startswith(b"POST ") and not self._head:
            self._head = buffer
            return b""
        if self._head and buffer:
            buffer, self._head = self._head + buffer, b""
            # An answer to a proxy's CONNECT, if any, is not for the call.
            self.attempt.received.clear()
            self.attempt.has_left = True
        return buffer


class Wire(_Outgoing, httpcore.NetworkBackend, httpcore.NetworkStream):
    """The network of a line that blocks."""

    _stream: Any = None

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Self:
        """Try the addresses of *host*, each for an equal share of the time."""
        attempt = self.attempt
        attempt.has_network = True
        ends = time.monotonic() + attempt.seconds(attempt.timeout.connect)
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, info in zip(range(len(infos), 0, -1), infos, strict=True):
            share = max(0.001, (ends - time.monotonic()) / left)
            try:
                self._stream = _SYSTEM.connect_tcp(str(info[4][0]), int(info[4][1]), share)
                break
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
        return self

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **__: Any
    ) -> Self:
        """Speak TLS from here on."""
        seconds = self.attempt.seconds(self.attempt.timeout.connect)
        self._stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return self

    def read(self, max_bytes: int, *_: Any, **__: Any) -> bytes:
        """Read, and keep what was read."""
        attempt = self.attempt
        part: bytes = self._stream.read(max_bytes, attempt.seconds(attempt.timeout.read))
        attempt.received += part
        return part

    def write(self, buffer: bytes, *_: Any, **__: Any) -> None:
        """Write in parts, so that a slow reader cannot outlast the call."""
        buffer, attempt = self._ready(buffer), self.attempt
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            part = buffer[start : start + _WRITTEN_AT_ONCE]
            self._stream.write(part, attempt.seconds(attempt.timeout.write))

    def hang_up(self) -> None:
        """Close the socket."""
        if self._stream is not None:
            self._stream.close()

    close = hang_up

    def get_extra_info(self, info: str) -> Any:
        """Ask the socket."""
        return self._stream.get_extra_info(info)


class AsyncWire(
    _Outgoing, httpcore.AsyncNetworkBackend, httpcore.AsyncNetworkStream, asyncio.Protocol
):
    """The network of a line in an event loop.

    Attributes:
        limit: The timeout of the call; each wait sets it anew.
    """

    limit: asyncio.Timeout

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._is_full = False
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def _bound(self, phase: float) -> float:
        """Let the next wait end with the phase, or with the call; return when, by the loop."""
        ends = asyncio.get_running_loop().time() + self.attempt.seconds(phase)
        self.limit.reschedule(ends)
        return ends

    async def _wait(self, phase: float) -> None:
        self._bound(phase)
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Self:
        """Do as `Wire.connect_tcp`."""
        loop = asyncio.get_running_loop()
        self.attempt.has_network = True
        ends = self._bound(self.attempt.timeout.connect)
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, info in zip(range(len(infos), 0, -1), infos, strict=True):
            try:
                async with asyncio.timeout((ends - loop.time()) / left):
                    await loop.create_connection(lambda: self, *info[4][:2])
                break
            except OSError:
                if left == 1:
                    raise
        return self

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **__: Any
    ) -> Self:
        """Speak TLS from here on."""
        self._bound(self.attempt.timeout.connect)
        self._transport = await asyncio.get_running_loop().start_tls(
            self._open_transport, self, ssl_context, server_hostname=server_hostname
        )
        return self

    async def read(self, *_: Any, **__: Any) -> bytes:
        """Read, and keep what was read."""
        attempt = self.attempt
        if self._unread or self._ended:
            attempt.seconds(None)
        else:
            await self._wait(attempt.timeout.read)
        part = bytes(self._unread)
        self._unread.clear()
        attempt.received += part
        if not part and self._failure is not None:
            raise self._failure
        return part

    async def write(self, buffer: bytes, *_: Any, **__: Any) -> None:
        """Do as `Wire.write`."""
        buffer = self._ready(buffer)
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            self._open_transport.write(buffer[start : start + _WRITTEN_AT_ONCE])
            while self._is_full and not self._ended:
                await self._wait(self.attempt.timeout.write)

    @property
    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise httpcore.ConnectError("no connection")
        return self._transport

    def hang_up(self) -> None:
        """Drop the connection, without a wait."""
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Drop the connection."""
        self.hang_up()

    def get_extra_info(self, info: str) -> Any:
        """Say whether something came that was not asked for; else ask the socket."""
        if info == "is_readable":
            # The event loop may not have run since the other side closed.
            return bool(self._unread) or self._ended or _is_readable(self._open_transport)
        return self._open_transport.get_extra_info(info)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What asyncio tells a protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._unread += data
        self._wake()

    def eof_received(self) -> None:  # noqa: D102
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._ended, self._failure = True, exc
        self._wake()

    def pause_writing(self) -> None:  # noqa: D102
        self._is_full = True

    def resume_writing(self) -> None:  # noqa: D102
        self._is_full = False
        self._wake()


def _is_readable(transport: asyncio.Transport) -> bool:
    descriptor = transport.get_extra_info("socket").fileno()
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class _Line:
    """What both kinds of lines have in common."""

    wire: Wire | AsyncWire
    _pool: Any

    def _lead(self, pool: type, wire: Wire | AsyncWire, route: Route) -> None:
        self.wire = wire
        made = pool(
            ssl_context=route.ssl_context,
            proxy=route.proxy,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=wire,
        )
        # The one private name of another package: what `httpx.HTTPTransport.handle_request`,
        # which test doubles and tracers replace, sends requests to. httpx has no public way to
        # give it a connection, and its own pool does work that grows with the square of the
        # number of connections.
        self._pool = made.create_connection(route.origin)

    def is_fit(self) -> bool:
        """Whether the next call can use it."""
        return bool(self._pool.is_idle() and not self._pool.has_expired())

    def hang_up(self) -> None:
        """Close the connection, without a wait."""
        self.wire.hang_up()


class Line(_Line, httpx.HTTPTransport):
    """One connection, for one call at a time."""

    wire: Wire

    def __init__(self, route: Route) -> None:
        self._lead(httpcore.ConnectionPool, Wire(), route)


class AsyncLine(_Line, httpx.AsyncHTTPTransport):
    """`Line` for asyncio."""

    wire: AsyncWire

    def __init__(self, route: Route) -> None:
        self._lead(httpcore.AsyncConnectionPool, AsyncWire(), route)


AnyLine = TypeVar("AnyLine", Line, AsyncLine)


class FreeLines(Generic[AnyLine]):
    """The lines that no call uses; the newest is taken first, so that the others can go."""

    def __init__(self, kind: type[AnyLine], route: Route) -> None:
        self._kind: type[AnyLine] = kind
        self._route = route
        self._lines: deque[AnyLine] = deque()
        self._closed = False

    def take(self) -> AnyLine:
        """Return a line for one call."""
        with suppress(IndexError):
            while True:
                line = self._lines.pop()
                if line.is_fit():
                    return line
                line.hang_up()
        return self._kind(self._route)

    def give_back(self, line: AnyLine) -> None:
        """Keep *line* for a later call, and close the oldest one where it idled for too long."""
        # IndexError: there is none; ValueError: another thread has just taken it.
        with suppress(IndexError, ValueError):
            oldest = self._lines[0]
            if not oldest.is_fit():
                self._lines.remove(oldest)
                oldest.hang_up()
        self._lines.append(line)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close all lines, and those that are given back later."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._lines.pop().hang_up()
