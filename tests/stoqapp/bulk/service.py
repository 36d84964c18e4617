"""A service for the tests of an import: it notes every request, and can go wrong on purpose."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

CREATED = (201, {"intents": [{"id": "1"}]})
DUPLICATE = (200, {"errors": ["Intent already exists"]})
NOT_FOUND = (404, {"error": "Not found"})


class Service:
    """Stores one intent for each contact and variant, on a port of loopback.

    Attributes:
        received: How often each contact and variant came.
        stored: What is on the list.
        answer: Called with the number of a request, before it is stored; what it returns, if
            anything, is answered instead.
        reset_every: Every Nth request that is stored gets no answer.
        latency: Seconds before each answer.
    """

    def __init__(self) -> None:
        self.received: Counter[tuple[str, int]] = Counter()
        self.stored: dict[tuple[str, int], dict[str, Any]] = {}
        self.order: list[str] = []
        self.answer: Callable[[int], tuple[int, Any] | None] = lambda _: None
        self.reset_every = 0
        self.latency = 0.0
        self._changed = threading.Condition()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/v1"

    def wait_for(self, count: int, done: Callable[[], bool]) -> None:
        """Return once so many requests came, or *done* says that no more will come."""
        with self._changed:
            while self.received.total() < count and not done():
                self._changed.wait(0.05)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)))
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._ended.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                status, body, reset = self._note(json.loads(await reader.readexactly(length)))
                await asyncio.sleep(self.latency)
                if reset:
                    return
                text = json.dumps(body).encode()
                line = f"HTTP/1.1 {status} -\r\nContent-Length: {len(text)}\r\n\r\n".encode()
                writer.write(line + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def _note(self, body: dict[str, Any]) -> tuple[int, Any, bool]:
        customer = body["customer"]
        contact = customer.get("email") or customer.get("phone")
        name = (contact, body["intent"]["shopify_variant_id"])
        with self._changed:
            self.received[name] += 1
            self.order.append(contact)
            count = self.received.total()
            self._changed.notify_all()
            if (answered := self.answer(count)) is not None:
                return *answered, False
            if name in self.stored:
                return *DUPLICATE, False
            self.stored[name] = body
            return *CREATED, bool(self.reset_every) and len(self.stored) % self.reset_every == 0


@contextmanager
def service(**options: Any) -> Iterator[Service]:
    """Run a service with these attributes."""
    with Service() as running:
        for name, value in options.items():
            setattr(running, name, value)
        yield running
