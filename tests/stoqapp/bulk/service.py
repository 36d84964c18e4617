"""A service for the tests of an import: it notes every request, and can go wrong on purpose."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREATED = (201, {"intents": [{"id": "1"}]})
DUPLICATE = (200, {"errors": ["Intent already exists"]})
NOT_FOUND = (404, {"error": "Not found"})


class Service(ThreadingHTTPServer):
    """Stores one intent for each contact and variant, and is a storefront; on loopback.

    Attributes:
        received: How often each contact and variant came.
        stored: What is on the list.
        order: The contacts as they came.
        answer: Called with the number of a request, before it is stored; what it returns, if
            anything, is answered instead.
        reset_every: Every Nth request that is stored gets no answer.
        latency: Seconds before each answer.
        pages: The products of each page of ``/products.json``; below ``/locked`` it has a
            password, and below ``/absent`` there is nothing.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.base_url = f"{self.url}/api/v1"
        self.received: Counter[tuple[str, int]] = Counter()
        self.stored: dict[tuple[str, int], dict[str, Any]] = {}
        self.order: list[str] = []
        self.answer: Callable[[int], tuple[int, Any] | None] = lambda _: None
        self.reset_every = 0
        self.latency = 0.0
        self.pages: dict[str, Any] = {}
        self._changed = threading.Condition()

    def wait_for(self, count: int, done: Callable[[], bool]) -> None:
        """Return once so many requests came, or *done* says that no more will come."""
        with self._changed:
            while self.received.total() < count and not done():
                self._changed.wait(0.05)

    def note(self, body: dict[str, Any]) -> tuple[int, Any] | None:
        """Note a request; return its answer, None for none."""
        customer = body["customer"]
        contact = customer.get("email") or customer.get("phone")
        name = (contact, body["intent"]["shopify_variant_id"])
        with self._changed:
            self.received[name] += 1
            self.order.append(contact)
            self._changed.notify_all()
            if (answered := self.answer(self.received.total())) is not None:
                return answered
            if name in self.stored:
                return DUPLICATE
            self.stored[name] = body
            return None if self.reset_every and not len(self.stored) % self.reset_every else CREATED

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that was killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Service

    def do_POST(self) -> None:
        answer = self.server.note(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        time.sleep(self.server.latency)
        self._answer(answer)

    def do_GET(self) -> None:
        products = self.server.pages.get(parse_qs(urlsplit(self.path).query)["page"][0], [])
        status = {"locked": 401, "absent": 404}.get(self.path.split("/")[1], 200)
        self._answer((status, {"products": products}))

    def _answer(self, answer: tuple[int, Any] | None) -> None:
        if answer is None:
            self.close_connection = True
            return
        text = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def service(**options: Any) -> Iterator[Service]:
    """Run a service with these attributes."""
    with Service() as running:
        vars(running).update(options)
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
