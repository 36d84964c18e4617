"""One request out, one answer in, over httpx: the only room that names httpx.

An `Answer` is given back as soon as its status line and headers are there. A body that breaks
off, comes too slowly or is too large is cut, and the answer says that it is incomplete.
"""

import ipaddress
import ssl
import time
import zlib
from collections.abc import Mapping
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from stoqapp.errors import (
    Answer,
    ConfigurationError,
    NotSentError,
    OutcomeUnknownError,
    StoqError,
)

LARGEST_BODY_BYTES: Final = 1024 * 1024

_NOT_SENT: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.ConnectTimeout, "no connection came about within the timeout"),
    (httpx.ConnectError, "the host could not be found, reached or trusted"),
    (httpx.PoolTimeout, "no connection of the pool became free within the timeout"),
    (httpx.ProxyError, "the proxy let nothing through"),
    (httpx.UnsupportedProtocol, "the URL's scheme is not one of http and https"),
    (httpx.InvalidURL, "the URL is malformed"),
)
# What httpx raises once a request may be on the wire; OSError covers what it lets through.
_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError)


@cache
def _tls_context() -> ssl.SSLContext:
    """Return the one TLS context of the process: building one takes some 20 ms."""
    return httpx.create_ssl_context()


def _settings(base_url: str, timeout_seconds: float) -> dict[str, Any]:
    return {
        "base_url": base_url,
        "timeout": timeout_seconds,
        "verify": _tls_context() if base_url.startswith("https:") else False,
        "follow_redirects": False,
        # A cookie set for one customer must not travel with the next one's intent.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    }


def check_base_url(base_url: object) -> str:
    """Return *base_url* without a trailing slash.

    Raises:
        ConfigurationError: It is no absolute URL that requests may go to. Plain ``http`` is for
            loopback addresses alone, since requests carry personal data.
    """
    wanted = "give an absolute URL like https://app.stoqapp.com/api/v1"
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url must be a string, not {type(base_url).__name__}")
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        raise ConfigurationError(f"base_url is no URL: {wanted}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ConfigurationError(f"base_url is no plain http(s) URL: {wanted}")
    if url.userinfo:
        raise ConfigurationError(f"base_url must hold no user name or password: {wanted}")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ConfigurationError("base_url must be https: plain http is for loopback hosts alone")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _error_from(failure: Exception) -> StoqError:
    for kind, reason in _NOT_SENT:
        if isinstance(failure, kind):
            return NotSentError(f"nothing was sent: {reason}; check base_url and the network")
    reason = "no answer in time" if isinstance(failure, httpx.TimeoutException) else "no answer"
    return OutcomeUnknownError(
        f"the request was sent and {reason} came back ({type(failure).__name__}), so the intent"
        " may be on the list or not; sending the same intent again cannot put the customer on it"
        " twice"
    )


class _Body:
    """Gathers the raw bytes of an answer, up to the cap and the deadline."""

    def __init__(self, timeout_seconds: float) -> None:
        self._raw = bytearray()
        self._ends = time.monotonic() + timeout_seconds
        self.ended = False

    def takes(self, chunk: bytes) -> bool:
        """Keep *chunk*; return whether more is wanted."""
        self._raw += chunk
        return len(self._raw) <= LARGEST_BODY_BYTES and time.monotonic() < self._ends

    def answer(self, response: httpx.Response) -> Answer:
        """Return *response* with the body gathered so far."""
        body, whole = _decoded(bytes(self._raw), response.headers.get("content-encoding", ""))
        return Answer(
            response.status_code,
            dict(response.headers),
            body[:LARGEST_BODY_BYTES],
            complete=self.ended and whole,
        )


def _decoded(raw: bytes, encoding: str) -> tuple[bytes, bool]:
    """Return *raw* decompressed up to the cap, and whether that is all of it.

    We ask for no compression; this is for a proxy that compresses all the same.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw, len(raw) <= LARGEST_BODY_BYTES
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return raw, False
    either_gzip_or_zlib = zlib.MAX_WBITS | 32
    decompressor = zlib.decompressobj(either_gzip_or_zlib)
    try:
        body = decompressor.decompress(raw, LARGEST_BODY_BYTES)
    except zlib.error:
        return raw, False
    return body, decompressor.eof


class Transport:
    """Posts over one pool of connections. For many threads; close it when done."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = httpx.Client(**_settings(base_url, timeout_seconds))

    def post(self, path: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """Send *content* to *path* and return the answer.

        Raises:
            NotSentError: The request never left.
            OutcomeUnknownError: It left, and no status line and headers came back.
        """
        body = _Body(self._timeout_seconds)
        response: httpx.Response | None = None
        try:
            with self._client.stream("POST", path, headers=headers, content=content) as opened:
                response = opened
                for chunk in opened.iter_raw():
                    if not body.takes(chunk):
                        break
                else:
                    body.ended = True
        except _FAILURES as failure:
            if response is None:
                raise _error_from(failure) from failure
        return body.answer(response)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncTransport:
    """`Transport` for asyncio; for the tasks of one event loop."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(**_settings(base_url, timeout_seconds))

    async def post(self, path: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """Do as `Transport.post`."""
        body = _Body(self._timeout_seconds)
        response: httpx.Response | None = None
        try:
            opening = self._client.stream("POST", path, headers=headers, content=content)
            async with opening as opened:
                response = opened
                async for chunk in opened.aiter_raw():
                    if not body.takes(chunk):
                        break
                else:
                    body.ended = True
        except _FAILURES as failure:
            if response is None:
                raise _error_from(failure) from failure
        return body.answer(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
