"""Who may look at the page and at what is below ``/_sandbox``.

What a sandbox holds may look like customers' data, and a browser on the same machine visits
other pages too. So, for all but the API:

- A connection that came to a loopback address must ask for a loopback name (``Host``), or for the
  name that the sandbox was told to listen on, since a page of another host can have its own name
  resolved to 127.0.0.1.
- A request that a browser sends for another site (``Origin``) is refused.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from stoqapp_sandbox.answers import Answer, Request, error_answer

CONTROL: Final = "/_sandbox"

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_OTHER_NAME: Final = error_answer(
    403, "Not for this host name: open it as http://127.0.0.1 or http://localhost with the port"
)
_OTHER_SITE: Final = error_answer(403, "Not for requests that come from another site")


def is_private(path: str) -> bool:
    """Return whether *path* belongs to the sandbox itself, and not to the pretended service."""
    return path == "/" or path.startswith(f"{CONTROL}/")


def refusal(request: Request, own_name: str) -> Answer | None:
    """Return the answer to a request that may not look, None for one that may.

    *own_name* is what the sandbox was told to listen on.
    """
    host, origin = request.headers.get("host", "").lower(), request.headers.get("origin")
    name = re.sub(r":[0-9]*$", "", host).strip("[]").removesuffix(".")
    is_own = _is_loopback(name) or name == own_name.lower().removesuffix(".")
    if _is_loopback(request.reached_at) and not is_own:
        return _OTHER_NAME
    if origin is not None and origin.lower().partition("://")[2] != host:
        return _OTHER_SITE
    return None


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
