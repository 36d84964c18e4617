"""What the tests of the sandbox send, and how."""

import json
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp_sandbox import Sandbox

SHOP: Final = "demo.myshopify.com"
PATH: Final = urlsplit(BASE_URL).path + INTENTS_PATH
HEADERS: Final = {"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"}
SMS: Final = {"intent__channel": "sms", "customer__phone": "15550109999"}
# So long that a busy machine decides nothing.
HANG_SECONDS: Final = 30
_STOQAPP: Final = Path(sysconfig.get_path("scripts")) / "stoqapp"

CLIENT: Final = httpx.Client(timeout=HANG_SECONDS, trust_env=False)


def body(**changes: Any) -> dict[str, Any]:
    """Return a valid body with changes like ``customer__email="a@b.co"``; None leaves out."""
    made: dict[str, Any] = {
        "intent": {
            "shopify_variant_id": 11,
            "shopify_product_id": 22,
            "channel": "email",
            "quantity": 1,
            "source": "api",
        },
        "customer": {"email": "ada@lovelace.org"},
    }
    for place, value in changes.items():
        section, _, name = place.partition("__")
        made.setdefault(section, {})
        if value is None:
            made[section].pop(name, None)
        else:
            made[section][name] = value
    return made


VALID: Final = json.dumps(body()).encode()


def raw_from(content: Any) -> bytes:
    """Return bytes as they are, anything else as JSON."""
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def send(
    sandbox: Sandbox, content: Any = VALID, method: str = "POST", path: str = PATH, **headers: Any
) -> httpx.Response:
    """Send a request with headers like ``X_Shopify_Shop_Domain="demo"``; None leaves one out."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in (HEADERS | named).items() if value is not None}
    return CLIENT.request(method, sandbox.url + path, content=raw_from(content), headers=kept)


def get(sandbox: Sandbox, path: str) -> Any:
    """Return the JSON at *path*."""
    return CLIENT.get(sandbox.url + path).raise_for_status().json()


def head_of(content: bytes = VALID, **more: str) -> bytes:
    """Return the bytes that come before *content*."""
    headers = {"Host": "x", **HEADERS, "Content-Length": str(len(content)), **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode()


def sent_raw(sandbox: Sandbox, raw: bytes | None = None) -> socket.socket:
    """Send bytes, or a valid intent, over a bare socket, and return the socket."""
    sock = socket.create_connection(("127.0.0.1", sandbox.port), timeout=HANG_SECONDS)
    sock.sendall(head_of() + VALID if raw is None else raw)
    return sock


def received(sandbox: Sandbox, raw: bytes | None = None) -> bytes:
    """Send bytes, or a valid intent; return what comes until the sandbox closes in order."""
    with sent_raw(sandbox, raw) as sock:
        return b"".join(iter(lambda: sock.recv(65536), b""))


def send_many(sandbox: Sandbox, contents: Iterable[Any]) -> None:
    """Send bodies over one connection without waiting in between; return once all are answered."""
    *raws, last = map(raw_from, contents)
    together = [head_of(raw) + raw for raw in raws] + [head_of(last, Connection="close") + last]
    received(sandbox, b"".join(together))


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail where it does not come to hold."""
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends


@contextmanager
def started(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``stoqapp sandbox``; yields it with its URL, and kills it."""
    with subprocess.Popen(
        [_STOQAPP, "sandbox", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("stoqapp sandbox on http://"), running.communicate()
            yield running, line.split()[3]
        finally:
            running.kill()
