"""A uvicorn server that says when it is ready, and ends at once."""

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import unquote

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stoqapp_sandbox.answers import error_answer
from stoqapp_sandbox.delivery import TRANSPORT, Receive, Scope, Send

_GRACE_SECONDS: Final = 0.2
_LAST_RESORT_SECONDS: Final = 2
_ABSOLUTE_TARGET: Final = re.compile(rb"https?://([^/]*)(/.*)?", re.IGNORECASE)

# Callers' mistakes are told to the callers; only failures of the server itself are logged.
_logger = logging.getLogger("uvicorn.error.stoqapp")
_logger.setLevel(logging.ERROR)


class _Protocol(H11Protocol):
    """HTTP/1.1 without an access log, and with a JSON answer to what is not HTTP.

    Each request finds the transport of its connection among the extensions of its scope.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own switches work on its loggers, which the user's program may share.
        self.access_log = False
        self.logger = _logger
        served: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = self.transport
            _take_apart(scope)
            await served(scope, receive, send)

        self.app: Any = with_transport

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
    """

    def __init__(self, app: Any, on_ready: Callable[[], object]) -> None:
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, then say so."""
        await super().startup(sockets=sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give answers a moment to end, then hang up on whoever is left."""
        hang_up = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._hang_up)
        await super().shutdown(sockets=sockets)
        hang_up.cancel()
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server."""
        yield
