"""What the page shows: its files, the list of requests, and one request in detail."""

import base64
import json
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp_sandbox.answers import Answer, messages_in
from stoqapp_sandbox.faults import KINDS
from stoqapp_sandbox.service import Service, section

_NEWEST: Final = 100
_LONGEST: Final = 200
# The types are named here, because mimetypes asks the machine, and a browser runs no module
# that comes as text/plain.
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page/script.js": ("script.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
}
# Headers that a client sets by itself, or that are about the connection.
_NOT_REPEATED: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "user-agent", "accept"),
        *("accept-encoding", "accept-language", "origin", "referer", "dnt", "priority", "te"),
        *("cache-control", "pragma", "expect", "upgrade-insecure-requests"),
    }
)


def page_files() -> dict[str, Answer]:
    """Return the answer with each file of the page, by path."""
    return {
        path: Answer(200, Path(__file__).with_name(name).read_bytes(), {"content-type": media_type})
        for path, (name, media_type) in _FILES.items()
    }


def view(service: Service) -> dict[str, Any]:
    """Return what the page shows before a request is chosen, in values of JSON."""
    assumed = service.settings.assumptions
    is_limited = assumed["rate_enforced"] == "yes"
    with service.store.use():
        stored, refused = service.store.stored, service.store.refused
        newest = service.store.newest(_NEWEST)
    return {
        "path": service.path,
        "kinds": [[kind.example, kind.about] for kind in KINDS.values()],
        "stored": stored,
        "refused": refused,
        "generation": service.generation,
        "limit": [assumed["rate_points"], assumed["rate_window"]] if is_limited else None,
        "faults": service.faults.listed(),
        "requests": [_line(row, service.path) for row in newest],
    }


def _line(row: sqlite3.Row, endpoint: str) -> dict[str, Any]:
    """Return a request as a line of the list; texts are cut to 200 characters."""
    try:
        body = json.loads(row["body"] or b"")
    except (ValueError, RecursionError):
        body = None
    customer, intent = section(body, "customer"), section(body, "intent")
    of_channel = CONTACT_OF_CHANNEL.get(str(intent.get("channel")), "")
    contacts = map(customer.get, (of_channel, *CONTACT_OF_CHANNEL.values()))
    is_stored = row["intent_id"] is not None
    what = f"variant {intent.get('shopify_variant_id')}" if is_stored else ""
    if (row["method"], row["path"]) != ("POST", endpoint):
        what = f"{row['method']} {row['path']}"
    texts = {
        "shop": row["shop"],
        "contact": next(filter(None, contacts), None),
        "what": what,
        "reason": "" if is_stored else "; ".join(messages_in(row["answer"] or b"")),
    }
    return {
        **{name: row[name] for name in ("number", "at", "status", "fault")},
        "stored": is_stored,
        **{name: None if text is None else str(text)[:_LONGEST] for name, text in texts.items()},
    }


def detail(row: sqlite3.Row, base_url: str) -> dict[str, Any]:
    """Return one request with its answer in values of JSON.

    Bodies are text, or ``body_base64`` where they are not UTF-8. ``curl`` is a command for a
    POSIX shell, ``python`` a program over httpx; each sends the same method, path, headers and
    bytes again. They are None once the headers are forgotten, and so are headers and bodies.
    """
    headers, answer_headers = (json.loads(row[n] or "null") for n in ("headers", "answer_headers"))
    kept = {
        name: value
        for name, value in (headers or {}).items()
        if name not in _NOT_REPEATED and not name.startswith("sec-")
    }
    repeat = row["method"], base_url + row["path"], kept, row["body"] or b""
    return {
        **{
            name: row[name]
            for name in ("number", "at", "method", "path", "shop", "status", "fault")
        },
        "intent": json.loads(row["intent"] or "null"),
        "headers": headers,
        **_body("body", row["body"]),
        "answer_headers": answer_headers,
        **_body("answer", row["answer"]),
        "curl": None if headers is None else _curl(*repeat),
        "python": None if headers is None else _python(*repeat),
    }


def _body(name: str, raw: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw or b"").decode()}


def _curl(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    lines = [f"curl -i -X {shlex.quote(method)} {shlex.quote(url)}"]
    # So curl sends an empty header, and no Content-Type of its own.
    told = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
    told += [] if "content-type" in headers else ["content-type:"]
    lines += [f"-H {shlex.quote(one)}" for one in told]
    if body:
        text = body.decode("utf-8", "surrogateescape")
        if text.isprintable():
            lines.append(f"--data-raw {shlex.quote(text)}")
        else:
            plain = set(range(32, 127)) - set(b"\\%'-")
            escaped = "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in body)
            lines[0] = f"printf '{escaped}' | {lines[0]}"
            lines.append("--data-binary @-")
    return " \\\n  ".join(lines)


def _python(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    return f"""import httpx

answer = httpx.request(
    {method!a},
    {url!a},
    headers={dict(headers)!a},
    content={body!r},
)
print(answer.status_code, answer.text)
"""
