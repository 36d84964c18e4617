"""Lines: connections to the service, one each, behind the interface of httpx's transports.

A line serves one call at a time. After an error, an interrupt, a cancellation or an answer that
does not end clearly it is closed, never mended, and the next call makes a new one. So no lock
and no state of httpcore outlives a call that went wrong.

httpcore speaks HTTP over a line. Below it is a wire, made of httpcore's public interfaces, which
bounds each step by the deadline of the call and keeps what the connection receives.
"""

import asyncio
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Self

import httpcore
import httpx

from stoqapp.http.attempt import Attempt
from stoqapp.http.options import Route

# As in httpx: many a server closes a connection that idles for longer, at any moment.
_IDLE_SECONDS: Final = 5.0
_QUICK_SECONDS: Final = 0.3
_WRITTEN_AT_ONCE: Final = 16 * 1024
_SYSTEM: Final = httpcore.SyncBackend()


def _tries(
    infos: list[Any], ends: float, clock: Callable[[], float]
) -> Iterator[tuple[str, int, float]]:
    """Yield address, port and seconds of each try to connect.

    All addresses are tried quickly before one is tried for long, so a dead one costs little.
    """
    quick = infos if len(infos) > 1 else []
    for index, info in enumerate([*quick, *infos]):
        share = max(0.001, (ends - clock()) / (len(quick) + len(infos) - index))
        host, port = info[4][:2]
        yield host, port, min(share, _QUICK_SECONDS) if index < len(quick) else share


class _Wire(httpcore.NetworkBackend, httpcore.NetworkStream):
    """The network of a line that blocks."""

    attempt: Attempt
    _stream: Any = None

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Self:
        attempt, failure = self.attempt, Exception("the name has no address")
        attempt.has_network = True
        ends = time.monotonic() + attempt.seconds(attempt.timeout.connect)
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for address, number, seconds in _tries(infos, ends, time.monotonic):
            try:
                self._stream = _SYSTEM.connect_tcp(address, number, seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return self
        raise failure

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **__: Any
    ) -> Self:
        seconds = self.attempt.seconds(self.attempt.timeout.connect)
        self._stream = self._stream.start_tls(ssl_context, server_hostname, seconds)
        return self

    def read(self, max_bytes: int, *_: Any, **__: Any) -> bytes:
        attempt = self.attempt
        part: bytes = self._stream.read(max_bytes, attempt.seconds(attempt.timeout.read))
        attempt.receive(part)
        return part

    def write(self, buffer: bytes, *_: Any, **__: Any) -> None:
        """Write in parts, so that a slow reader cannot outlast the call."""
        attempt = self.attempt
        buffer = attempt.outgoing(buffer)
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            part = buffer[start : start + _WRITTEN_AT_ONCE]
            self._stream.write(part, attempt.seconds(attempt.timeout.write))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AsyncWire(httpcore.AsyncNetworkBackend, httpcore.AsyncNetworkStream, asyncio.Protocol):
    """The network of a line in an event loop."""

    attempt: Attempt
    _transport: Any = None
    _waiter: asyncio.Future[None] | None = None
    _failure: Exception | None = None
    _has_ended = _is_full = False

    def __init__(self) -> None:
        self._unread = bytearray()

    async def _wait(self, phase: float) -> None:
        self.attempt.limit_wait(phase)
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Self:
        loop, failure = asyncio.get_running_loop(), Exception("the name has no address")
        self.attempt.has_network = True
        ends = self.attempt.limit_wait(self.attempt.timeout.connect)
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for address, number, seconds in _tries(infos, ends, loop.time):
            try:
                async with asyncio.timeout(seconds):
                    await loop.create_connection(lambda: self, address, number)
            except OSError as error:
                failure = error
            else:
                return self
        raise failure

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, *_: Any, **__: Any
    ) -> Self:
        self.attempt.limit_wait(self.attempt.timeout.connect)
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, ssl_context, server_hostname=server_hostname
        )
        return self

    async def read(self, *_: Any, **__: Any) -> bytes:
        """Return what came since the last time; wait where nothing did."""
        attempt = self.attempt
        if self._unread or self._has_ended:
            attempt.seconds(None)
        else:
            await self._wait(attempt.timeout.read)
        part = bytes(self._unread)
        self._unread.clear()
        if not part and self._failure is not None:
            raise self._failure
        return part

    async def write(self, buffer: bytes, *_: Any, **__: Any) -> None:
        buffer = self.attempt.outgoing(buffer)
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            self._transport.write(buffer[start : start + _WRITTEN_AT_ONCE])
            while self._is_full and not self._has_ended:
                await self._wait(self.attempt.timeout.write)

    def close(self) -> None:
        """Drop the connection, without a wait."""
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        self.close()

    def get_extra_info(self, info: str) -> Any:
        """Say whether something came that was not asked for; else ask the socket."""
        if info == "is_readable":
            # The event loop may not have run since it came.
            socket_ = self._transport.get_extra_info("socket")
            return bool(self._unread) or self._has_ended or _is_readable(socket_.fileno())
        return self._transport.get_extra_info(info)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        # Kept here, so that a timeout in the same moment does not lose it.
        self.attempt.receive(data)
        self._wake()

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended, self._failure = True, self._failure or exc
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _connection(pool: Callable[..., Any], wire: Any, route: Route) -> Any:
    return pool(
        ssl_context=route.ssl_context,
        proxy=route.proxy,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=wire,
    ).create_connection(route.origin)


class Line(httpx.HTTPTransport):
    """One connection, for one call at a time."""

    def __init__(self, route: Route) -> None:
        self.wire: _Wire = _Wire()
        # The one private name of another package. httpx's `handle_request`, which test doubles
        # and tracers replace, sends through it, and there is no public way to give it a
        # connection. The pool that httpx makes itself does work that grows with the square of
        # the number of connections.
        self._pool = _connection(httpcore.ConnectionPool, self.wire, route)


class AsyncLine(httpx.AsyncHTTPTransport):
    """`Line` for asyncio."""

    def __init__(self, route: Route) -> None:
        self.wire: _AsyncWire = _AsyncWire()
        self._pool = _connection(httpcore.AsyncConnectionPool, self.wire, route)


class FreeLines:
    """The lines that no call uses; the newest is taken first, so that the others can go."""

    def __init__(self, kind: type[Line] | type[AsyncLine], route: Route) -> None:
        self._make = partial(kind, route)
        self._lines: deque[Any] = deque()
        self._closed = False

    @contextmanager
    def lend(self, attempt: Attempt) -> Iterator[Any]:
        """Yield a line for one attempt; then keep it, or close it if that did not end clearly."""
        line = self._newest()
        line.wire.attempt = attempt
        try:
            yield line
        finally:
            if attempt.is_clear:
                self._keep(line)
            else:
                line.wire.close()

    def _newest(self) -> Any:
        with suppress(IndexError):
            while True:
                line = self._lines.pop()
                if _is_fit(line):
                    return line
                line.wire.close()
        return self._make()

    def _keep(self, line: Any) -> None:
        self._lines.append(line)
        # IndexError: none is free any more; ValueError: another thread has just taken this one.
        with suppress(IndexError, ValueError):
            oldest = self._lines[0]
            if oldest is not line and not _is_fit(oldest):
                self._lines.remove(oldest)
                # Another thread may have used it while it was looked at.
                if _is_fit(oldest):
                    self._lines.appendleft(oldest)
                else:
                    oldest.wire.close()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close all lines, and those that are given back later."""
        self._closed = True
        with suppress(IndexError):
            while True:
                self._lines.pop().wire.close()


def _is_fit(line: Any) -> bool:
    """Whether the next call can use *line*."""
    return line._pool.is_idle() and not line._pool.has_expired()
