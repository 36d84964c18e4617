"""One request out, one answer in, over the lines of one client.

An `Answer` is given back as soon as its status line is there. A body that breaks off, comes too
slowly or is too large is cut, and the answer says that it is incomplete.

Requests go straight to httpx's transports. A tool that patches `httpx.Client.send` (Sentry's
integration does) sees none of them; give it ``on_attempt``.
"""

import asyncio
import os
import time
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager, aclosing, closing, nullcontext
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import httpx

from stoqapp.errors import Answer, ClientClosedError, ConfigurationError
from stoqapp.http.attempt import Attempt
from stoqapp.http.lines import AsyncLine, FreeLines, Line
from stoqapp.http.options import HttpOptions, Timeout, route_to

_PHASES: Final = ("connect", "read", "write", "pool")


class _Sender:
    """What both transports have in common."""

    _method: str

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._host = self._url.netloc.decode("ascii")
        self._given = http.transport
        self._route = route_to(self._url, http)
        self._max_connections = http.max_connections
        self._closed = False
        self._headers: tuple[Mapping[str, str] | None, httpx.Headers] = None, httpx.Headers()
        if self._given is not None and not hasattr(self._given, self._method):
            raise ConfigurationError(
                f"the transport of HttpOptions has no {self._method}, so it is not an httpx"
                " transport for this client (Stoq and AsyncStoq need different ones)"
            )

    def check_open(self) -> None:
        """Raise ClientClosedError after `close`."""
        if self._closed:
            raise ClientClosedError("nothing was sent: this client is closed; make a new one")

    def _line(self, lines: FreeLines, attempt: Attempt) -> AbstractContextManager[Any]:
        """Return what to send through: the user's own transport, or one of *lines*."""
        if self._given is None:
            return lines.lend(attempt)
        attempt.has_left = True
        return nullcontext(self._given)

    def _request(
        self, attempt: Attempt, headers: Mapping[str, str], what: bytes | str
    ) -> httpx.Request:
        """Return the request that posts *what*, if that is a body, or gets it, if it is a URL."""
        known, complete = self._headers
        if headers is not known:
            complete = httpx.Headers(headers)
            complete["Host"] = self._host
            # One tuple, since other threads read it.
            self._headers = headers, complete
        # Where a stream is given, httpx leaves the headers as they are.
        if isinstance(what, str):
            request = httpx.Request("GET", what, headers=complete, stream=httpx.ByteStream(b""))
        else:
            body = httpx.ByteStream(what)
            request = httpx.Request("POST", self._url, headers=complete, stream=body)
            request.headers["Content-Length"] = str(len(what))
        if self._given is not None:
            request.extensions["timeout"] = {
                phase: attempt.seconds(getattr(attempt.timeout, phase)) for phase in _PHASES
            }
            # Some transports look at the content.
            request.read()
        return request


class Transport(_Sender):
    """Posts over the connections of one client. For many threads, and after a fork."""

    _method = "handle_request"

    def __init__(self, url: str, http: HttpOptions) -> None:
        super().__init__(url, http)
        self._begin_anew()

    def _begin_anew(self) -> None:
        lines = FreeLines(Line, self._route)
        # Written in C, so that an interrupt cannot leave it locked.
        turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._max_connections):
            turns.put(None)
        self._pool = os.getpid(), lines, turns
        weakref.finalize(self, lines.close)

    def send(
        self, headers: Mapping[str, str], what: bytes | str, timeout: Timeout, seconds_left: float
    ) -> Answer:
        """Post *what* if it is a body, get it if it is a URL; return the answer.

        Args:
            headers: To send, all but Host and Content-Length.
            what: A body, or a URL on the same server.
            timeout: For each phase.
            seconds_left: For all phases together.

        Raises:
            NotSentError: The request never left.
            OutcomeUnknownError: It left, and no status line came back.
            ClientClosedError: The transport was closed before it left.
        """
        self.check_open()
        attempt = Attempt(self._host, timeout, time.monotonic() + seconds_left)
        pool = pid, lines, turns = self._pool
        if pid != os.getpid():
            # After a fork the parent's connections are the parent's: a child that used them would
            # mix the two conversations. To close its own copies of the sockets harms nothing.
            lines.close()
            self._begin_anew()
            pool = _, lines, turns = self._pool
        has_turn, failure = False, None
        try:
            try:
                turns.get(timeout=attempt.seconds(timeout.pool))
                has_turn = True
                self.check_open()
                request = self._request(attempt, headers, what)
                with self._line(lines, attempt) as line:
                    response = line.handle_request(request)
                    with closing(response.stream):
                        if attempt.wants_body(response):
                            attempt.body_ended = all(map(attempt.keep_body, response.stream))
            finally:
                if has_turn:
                    turns.put(None)
        except ClientClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error.with_traceback(None) if has_turn else httpx.PoolTimeout("no turn")
        except BaseException:
            # An interrupt may have lost a turn, or left a lock of httpcore's locked.
            lines.close()
            if self._pool is pool:
                self._begin_anew()
            raise
        return attempt.answer(failure)

    def close(self) -> None:
        """Close the connections, those in use when their calls end; again, it does nothing."""
        if not self._closed:
            self._closed = True
            self._pool[1].close()
            if self._given is not None:
                self._given.close()


async def _kept(lines: FreeLines) -> AsyncGenerator[None]:
    """Keep *lines* until this is closed: by hand, or by the event loop.

    asyncio closes every generator that is left when its loop shuts down, and the one that is
    forgotten while it runs; so the connections of a client that was never closed are closed, too.
    """
    try:
        yield
    finally:
        lines.close()


class _Home(NamedTuple):
    """What one event loop of one process has: free lines, and a turn for each call."""

    lines: FreeLines
    turns: asyncio.Semaphore
    keeper: AsyncGenerator[None]


class AsyncTransport(_Sender):
    """`Transport` for asyncio: for many tasks, event loops and threads."""

    _method = "handle_async_request"

    def __init__(self, url: str, http: HttpOptions) -> None:
        super().__init__(url, http)
        self._homes: dict[tuple[int, asyncio.AbstractEventLoop], _Home] = {}

    async def _home(self) -> _Home:
        key = os.getpid(), asyncio.get_running_loop()
        home = self._homes.get(key)
        if home is None:
            for old in [old for old in list(self._homes) if old[1].is_closed()]:
                self._homes.pop(old, None)
            lines = FreeLines(AsyncLine, self._route)
            turns = asyncio.Semaphore(self._max_connections)
            home = self._homes[key] = _Home(lines, turns, _kept(lines))
            await anext(home.keeper)
        return home

    async def send(
        self, headers: Mapping[str, str], what: bytes | str, timeout: Timeout, seconds_left: float
    ) -> Answer:
        """Do as `Transport.send`."""
        self.check_open()
        attempt = Attempt(self._host, timeout, time.monotonic() + seconds_left)
        home, has_turn, failure = await self._home(), False, None
        try:
            async with asyncio.timeout(attempt.seconds(timeout.pool)) as attempt.limit, home.turns:
                has_turn = True
                self.check_open()
                attempt.limit_wait(None)
                request = self._request(attempt, headers, what)
                with self._line(home.lines, attempt) as line:
                    response = await line.handle_async_request(request)
                    async with aclosing(response.stream):
                        if attempt.wants_body(response):
                            async for chunk in response.stream:
                                if not attempt.keep_body(chunk):
                                    break
                            else:
                                attempt.body_ended = True
        except ClientClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error.with_traceback(None) if has_turn else httpx.PoolTimeout("no turn")
        return attempt.answer(failure)

    async def close(self) -> None:
        """Do as `Transport.close`."""
        if not self._closed:
            self._closed = True
            here = self._homes.pop((os.getpid(), asyncio.get_running_loop()), None)
            # Those of other event loops are closed there.
            self._homes.clear()
            if here is not None:
                await here.keeper.aclose()
            if self._given is not None:
                await self._given.aclose()
