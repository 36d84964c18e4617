"""Sends an answer over ASGI: as it is, late, slow, cut, or not at all."""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, Protocol

from stoqapp_sandbox.answers import Answer

# ASGI's own types, without a dependency for them.
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The key of the connection's asyncio transport in an ASGI scope.
TRANSPORT: Final = "stoqapp.transport"

_GARBAGE: Final = b"\x16\x03\x01 this is not HTTP\r\n\r\n"
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class _Socket(Protocol):
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


def reset_when_closed(sock: _Socket) -> None:
    """Let the closing of *sock* be a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


async def deliver(answer: Answer, method: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send *answer* to a request with *method* the way that its delivery says."""
    delivery = answer.delivery
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    if delivery.wait_seconds and await client_left(receive, delivery.wait_seconds):
        return
    if delivery.ends == "open":
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
        return
    transport: asyncio.Transport = scope[TRANSPORT]
    headers += [(b"date", formatdate(usegmt=True).encode()), (b"connection", b"close")]
    first = f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, '')}\r\n".encode()
    head = first + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"
    data = {
        "all": head + answer.body,
        "half of the head": head[: len(head) // 2],
        "half of the body": head + answer.body[: len(answer.body) // 2],
        "nothing": b"",
        "garbage": _GARBAGE,
    }[delivery.sends]
    step = 1 if delivery.seconds_per_byte else len(data) or 1
    for start in range(0, len(data), step):
        transport.write(data[start : start + step])
        if delivery.seconds_per_byte and await client_left(receive, delivery.seconds_per_byte):
            return
    if delivery.ends == "reset" and not transport.is_closing():
        reset_when_closed(transport.get_extra_info("socket"))
    transport.close()
    # uvicorn takes an app that returns without an answer for a broken one, unless the
    # connection is gone.
    await client_left(receive)


async def client_left(receive: Receive, within_seconds: float | None = None) -> bool:
    """Wait until the connection is gone, or for so long; return whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
        return True
    return False
