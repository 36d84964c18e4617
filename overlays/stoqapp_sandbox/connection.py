"""HTTP/1.1 over one connection: h11 reads requests, and answers go out whole, late or broken.

A web server in between would mend, or log, what is broken here on purpose.
"""

import asyncio
import socket
import struct
import sys
from asyncio import sleep
from contextlib import suppress
from email.utils import formatdate
from typing import Final

import h11
from attrs import define, field

from stoqapp_sandbox.answers import PHRASES, Answer, Request, error_answer
from stoqapp_sandbox.app import App
from stoqapp_sandbox.service import BODY_LIMIT

_CHUNK: Final = 65536
_REST_SECONDS: Final = 2.0
_GARBAGE: Final = b"\x16\x03\x01 this is not HTTP\r\n\r\n"
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


def reset_when_closed(sock: socket.socket) -> None:
    """Let the closing of *sock* be a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)


@define(eq=False)
class Connection:
    """One connection that a caller made."""

    app: App
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(factory=lambda: h11.Connection(h11.SERVER), init=False)

    async def converse(self) -> None:
        """Answer what comes until either side ends the connection; hang up when cancelled.

        Never raises: asyncio would log that, in Python 3.11 also a cancellation.
        """
        try:
            # The caller may be gone at any time.
            with suppress(OSError, asyncio.CancelledError):
                while await self._answer_one():
                    pass
                self.writer.close()
                await self.writer.wait_closed()
        finally:
            self.writer.transport.abort()

    async def _answer_one(self) -> bool:
        """Answer the next request, and return whether another one can follow."""
        method = b""
        try:
            head = await self._event()
            if not isinstance(head, h11.Request):
                return False
            method = head.method
            answer = self.app(await self._request(head))
        except h11.RemoteProtocolError as error:
            answer = error_answer(error.error_status_hint, "Not an HTTP request")
            await self._send(answer, method)
            await self._drop_the_rest()
            return False
        if not await self._send(answer, method):
            return False
        # Read with h11, written without: a state of its own for each request.
        more, _ = self.http.trailing_data
        self.http = h11.Connection(h11.SERVER)
        if more:
            self.http.receive_data(more)
        return True

    async def _event(self) -> object:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
                self.writer.write(self.http.send(go_on))
            self.http.receive_data(await self.reader.read(_CHUNK))
        return event

    async def _request(self, head: h11.Request) -> Request:
        generation = self.app.service.generation
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = bytearray()
        # Also a body that is too large is read to its end: a client that is still sending when
        # the connection closes would not see the answer.
        while isinstance(part := await self._event(), h11.Data):
            if len(body) <= BODY_LIMIT:
                body += part.data
        path, _, query = head.target.decode().partition("?")
        return Request(
            head.method.decode(),
            path,
            headers,
            bytes(body) if len(body) <= BODY_LIMIT else None,
            query,
            generation,
            self.writer.get_extra_info("sockname")[0],
        )

    async def _send(self, answer: Answer, method: bytes) -> bool:
        """Send the answer as it says, and return whether the connection stays open."""
        headers = {"date": formatdate(usegmt=True), **answer.headers}
        stays = answer.parts is None and answer.ends == "open"
        stays = stays and headers.get("connection", "").lower() != "close"
        stays = stays and self.http.their_state is h11.DONE
        if not stays:
            headers["connection"] = "close"
        if answer.parts is None and answer.status not in (204, 304):
            headers["content-length"] = str(len(answer.body))
        lines = [f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        content = b"" if method == b"HEAD" else answer.body
        data = {
            "all": head + content,
            "half of the head": head[: len(head) // 2],
            "half of the body": head + content[: len(content) // 2],
            "nothing": b"",
            "garbage": _GARBAGE,
        }[answer.sends]
        if answer.wait_seconds:
            await sleep(answer.wait_seconds)
        step = 1 if answer.seconds_per_byte else len(data) or 1
        for start in range(0, len(data), step):
            self.writer.write(data[start : start + step])
            await self.writer.drain()
            if answer.seconds_per_byte:
                await sleep(answer.seconds_per_byte)
        if answer.parts is not None and method != b"HEAD":
            async for part in answer.parts:
                if self.reader.at_eof() or self.writer.is_closing():
                    break
                self.writer.write(part.encode())
                await self.writer.drain()
        if answer.ends == "reset":
            reset_when_closed(self.writer.get_extra_info("socket"))
        return stays

    async def _drop_the_rest(self) -> None:
        """Read what still comes, for a moment: to close before it would reset the connection."""
        self.writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST_SECONDS):
                while await self.reader.read(_CHUNK):
                    pass
