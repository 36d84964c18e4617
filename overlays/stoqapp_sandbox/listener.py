"""A uvicorn server that says when it is ready, and ends at once."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stoqapp_sandbox.delivery import TRANSPORT, Receive, Scope, Send

_GRACE_SECONDS: Final = 0.2
_LAST_RESORT_SECONDS: Final = 2

# Callers' mistakes are told to the callers; only failures of the server itself are logged.
_logger = logging.getLogger("uvicorn.error.stoqapp")
_logger.setLevel(logging.ERROR)


class _Protocol(H11Protocol):
    """HTTP/1.1 without an access log; each request's scope holds the connection's transport."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own switches work on its loggers, which the user's program may share.
        self.access_log = False
        self.logger = _logger
        served: Any = self.app

        def with_transport(scope: Scope, receive: Receive, send: Send) -> Any:
            scope[TRANSPORT] = self.transport
            return served(scope, receive, send)

        self.app: Any = with_transport


class Listener(uvicorn.Server):
    """Serves an ASGI *app* on sockets that the caller has bound; says *on_ready* once it does."""

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
