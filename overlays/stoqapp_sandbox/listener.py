"""A uvicorn server that says when it is ready and goes when it is told."""

import logging
import re
import signal
import socket
import threading
from asyncio import get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final
from urllib.parse import unquote

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from stoqapp_sandbox.answers import error_answer
from stoqapp_sandbox.connection import CONNECTION, Connection

_GRACE_SECONDS: Final = 0.2
_LAST_RESORT_SECONDS: Final = 2
_ABSOLUTE_TARGET: Final = re.compile(rb"https?://([^/]*)(/.*)?", re.IGNORECASE)

# A caller's mistake is told to the caller; what goes wrong here is told as uvicorn tells it.
_logger = logging.getLogger("uvicorn.error.stoqapp")
_logger.setLevel(logging.ERROR)


class _Protocol(H11Protocol):
    """HTTP/1.1 with no log of what callers do, and a JSON answer to what is no HTTP.

    Each request finds its `Connection` among the extensions of its scope.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own switches work on its loggers, which the user's program may share.
        self.access_log = False
        self.logger = _logger
        served: Any = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[CONNECTION] = Connection(self.transport)
            _take_apart(scope)
            await served(scope, receive, send)

        self.app: Any = with_connection

    def send_400_response(self, msg: str) -> None:
        refusal = error_answer(400, msg)
        headers = {**refusal.headers, "content-length": str(len(refusal.body))}
        # Where an answer has begun already, h11 lets no other follow.
        with suppress(h11.LocalProtocolError):
            for event in (
                h11.Response(
                    status_code=refusal.status,
                    headers=[*headers.items(), ("connection", "close")],
                    reason="Bad Request",
                ),
                h11.Data(data=refusal.body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _take_apart(scope: Scope) -> None:
    """Turn a target with scheme and host, as proxies are sent, into a path and a Host header.

    RFC 9112, 3.2.2: the target's host counts, whatever the header says.
    """
    match = _ABSOLUTE_TARGET.fullmatch(scope["raw_path"])
    if match:
        host, path = match[1], match[2] or b"/"
        scope["path"], scope["raw_path"] = unquote(path.decode("ascii")), path
        others = [header for header in scope["headers"] if header[0] != b"host"]
        scope["headers"] = [(b"host", host), *others]


class Listener(uvicorn.Server):
    """Serves *app* on sockets that the caller has bound.

    Args:
        app: The ASGI app.
        on_ready: Called once connections are accepted, in the thread that serves.
        on_end: Called there when the end begins; lets answers end that have no end of their own.
    """

    def __init__(
        self, app: ASGIApp, on_ready: Callable[[], object], on_end: Callable[[], object]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # Chosen, so that what else is installed does not change the answers.
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_LAST_RESORT_SECONDS,
            )
        )
        self._on_ready = on_ready
        self._on_end = on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, then say so."""
        await super().startup(sockets=sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what can be answered at once, then hang up on whoever is left."""
        self._on_end()
        hang_up = get_running_loop().call_later(_GRACE_SECONDS, self._hang_up)
        await super().shutdown(sockets=sockets)
        hang_up.cancel()
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Take a signal as the wish to end."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM while serving in the main thread.

        uvicorn's own would raise them again at the end, and so end the process by a signal
        where a clean end with exit status 0 is wanted.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        originals = {number: signal.signal(number, self.handle_exit) for number in wanted}
        try:
            yield
        finally:
            for number, original in originals.items():
                if original is not None:
                    signal.signal(number, original)
