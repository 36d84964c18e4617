"""Who may look: the program's own face (the page, and what is below ``/_sandbox``) is private.

What a sandbox holds may look like customers' data, and a browser on the same machine visits
other people's pages too. So, for all but the API's endpoint:

- A connection that came to a loopback address must ask for a loopback name (``Host``), or for the
  very name that the sandbox was told to listen on, since a page of another host can have its own
  name resolved to 127.0.0.1.
- A request that a browser sends on behalf of another site (``Origin``) is refused.

No answer of the sandbox, the endpoint's included, carries CORS headers: a script of another
origin can read none, and creating an intent takes a header that needs leave to be sent.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoqapp_sandbox.answers import error_answer

CONTROL: Final = "/_sandbox"

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_OTHER_NAME: Final = error_answer(
    403, "Not for this host name: open it as http://127.0.0.1 or http://localhost with the port"
)
_OTHER_SITE: Final = error_answer(403, "Not for requests that come from another site")


def is_private(path: str) -> bool:
    """Return whether *path* belongs to the sandbox itself, and not to the pretended service."""
    return path == "/" or path.startswith(f"{CONTROL}/")


class Guard:
    """Refuses what may not look, and adds `HEADERS` to what is answered.

    Args:
        app: What answers.
        host: What the sandbox was told to listen on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._own_name = host.lower().removesuffix(".")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let *app* answer what is public, or asked for by who may look."""
        if scope["type"] != "http" or not is_private(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        refusal = None
        reached_at = scope.get("server") or ("localhost", None)
        name = _name_from(host)
        if _is_loopback(reached_at[0]) and not (_is_loopback(name) or name == self._own_name):
            refusal = _OTHER_NAME
        elif origin is not None and _authority_from(origin) != host:
            refusal = _OTHER_SITE
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            answer = Response(refusal.body, refusal.status, dict(refusal.headers))
            await answer(scope, receive, send_guarded)


def _name_from(host: str) -> str:
    """Return what a Host header names, without port, brackets and final dot."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _authority_from(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
