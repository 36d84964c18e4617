"""What becomes of an answer on its way out: late, slow, cut, or never sent."""

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from stoqapp_sandbox.answers import USUAL_DELIVERY, Delivery

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The key of the `Connection` among the extensions of an ASGI scope.
CONNECTION: Final = "stoqapp.connection"
# The key of the `Delivery` in the state of an ASGI scope; without one the answer goes out as ever.
DELIVERY: Final = "delivery"

_GARBAGE: Final = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class _Socket(Protocol):
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


def reset_when_closed(sock: _Socket) -> None:
    """Let the closing of *sock* be a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


class Connection:
    """The server's end of a connection, below HTTP."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    def close(self, *, reset: bool = False) -> None:
        """Close once everything is sent, in order or with a TCP reset.

        A connection that the client has closed already is left as it is.
        """
        if reset and not self._transport.is_closing():
            reset_when_closed(self._transport.get_extra_info("socket"))
        self._transport.close()


class Delivered:
    """Sends each answer of *app* the way that the request's state says, see `DELIVERY`.

    Whatever is not sent the usual way needs a `Connection` among the extensions of the scope.
    """

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request of ASGI."""
        held: list[Message] = []

        async def deliver(message: "Message") -> None:
            delivery = scope.get("state", {}).get(DELIVERY, USUAL_DELIVERY)
            if delivery == USUAL_DELIVERY:
                await send(message)
                return
            held.append(message)
            if message["type"] != "http.response.body" or message.get("more_body", False):
                return
            if delivery.wait_seconds and await _client_left(receive, delivery.wait_seconds):
                return
            if delivery.ends == "open":
                for part in held:
                    await send(part)
                return
            connection = scope["extensions"][CONNECTION]
            head, body = _head(held[0]), b"".join(part["body"] for part in held[1:])
            await _send(_sent(delivery, head, body), delivery, connection, receive)
            connection.close(reset=delivery.ends == "reset")
            # The server takes an app that returns without an answer for a broken one, unless the
            # connection is gone.
            await _client_left(receive)

        await self._app(scope, receive, deliver)


def _sent(delivery: Delivery, head: bytes, body: bytes) -> bytes:
    return {
        "all": head + body,
        "half of the head": head[: len(head) // 2],
        "half of the body": head + body[: len(body) // 2],
        "nothing": b"",
        "garbage": _GARBAGE,
    }[delivery.sends]


async def _send(
    data: bytes, delivery: Delivery, connection: Connection, receive: "Receive"
) -> None:
    if not delivery.seconds_per_byte:
        connection.send(data)
        return
    for number in range(len(data)):
        connection.send(data[number : number + 1])
        if await _client_left(receive, delivery.seconds_per_byte):
            return


def _head(start: "Message") -> bytes:
    status: int = start["status"]
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {status} {reason}".encode(), b"date: " + formatdate(usegmt=True).encode()]
    lines += [name + b": " + value for name, value in start["headers"]]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])


async def _client_left(receive: "Receive", within_seconds: float | None = None) -> bool:
    """Wait until the connection is gone, or for so long; return whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
        return True
    return False
