"""What the tests of an import share: a storefront."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

PAGES = {"1": [[1], [2]], "2": [[3]]}


class _Storefront(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = parse_qs(urlsplit(self.path).query)["page"][0]
        products = [
            {"id": 10 * ids[0], "title": "T", "variants": [{"id": one} for one in ids]}
            for ids in PAGES.get(page, [])
        ]
        locked = self.path.startswith("/locked")
        body = json.dumps({"products": products}).encode()
        self.send_response(401 if locked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def storefront() -> Iterator[str]:
    """The URL of a shop with two pages of products; below /locked it has a password."""
    with HTTPServer(("127.0.0.1", 0), _Storefront) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
