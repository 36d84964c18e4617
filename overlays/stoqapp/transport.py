"""One request out, one answer in, over httpx: the only room that names httpx.

An `Answer` is given back as soon as its status line and headers are there. A body that breaks
off, comes too slowly or is too large is cut, and the answer says that it is incomplete.
"""

import asyncio
import ipaddress
import os
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import aclosing, closing, suppress
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from attrs import field, frozen

from stoqapp.errors import (
    Answer,
    ClientClosedError,
    ConfigurationError,
    NotSentError,
    OutcomeUnknownError,
    StoqError,
)

LARGEST_BODY_BYTES: Final = 1024 * 1024
_LONGEST_SECONDS: Final = 86400.0
HTTPX_VERSION: Final = httpx.__version__

_NOT_SENT: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.ConnectTimeout, "no connection came about within the timeout"),
    (httpx.ConnectError, "the host could not be found, reached or trusted"),
    (httpx.PoolTimeout, "no connection of the pool became free within the timeout"),
    (httpx.ProxyError, "the proxy let nothing through"),
    (httpx.UnsupportedProtocol, "the URL's scheme is not one of http and https"),
)


@frozen
class Timeout:
    """Seconds to wait in each phase of one attempt.

    Attributes:
        connect: For a connection, TLS included.
        read: For each part of the answer.
        write: For each part of the request to be taken.
        pool: For a connection of the pool to become free.
    """

    connect: float
    read: float
    write: float
    pool: float


@frozen
class HttpOptions:
    """How the connections are made; one place for everything that depends on the network.

    Attributes:
        proxy: URL of a proxy; by default what the environment says (``HTTPS_PROXY``, ...).
        ca_file: A file of CA certificates to trust instead of the usual ones.
        ssl_context: A TLS context of your own, instead of *ca_file*.
        transport: An object with httpx's transport interface, to send through instead of a
            connection pool: for tests, or for another HTTP library.
        max_connections: How many connections are open at a time; further calls wait.
        allow_http: Send over plain http to any host, not only to loopback addresses.
        trust_env: Whether the environment's proxies count.
    """

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    ssl_context: ssl.SSLContext | None = None
    transport: Any = None
    max_connections: int = 10
    allow_http: bool = False
    trust_env: bool = True


@cache
def _tls_context(ca_file: str | Path | None) -> ssl.SSLContext:
    """Return the one TLS context of the process: building one takes some 20 ms."""
    if ca_file is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"ca_file cannot be read as certificates: {Path(ca_file).name}; give a PEM file"
        ) from None


Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)


def _opened(kind: type[Client], settings: dict[str, Any]) -> Client:
    try:
        return kind(**settings)
    except Exception as error:  # noqa: BLE001 - httpx raises what it likes for a proxy it dislikes
        # Its message may repeat the proxy's password.
        raise ConfigurationError(
            f"the connections cannot be set up ({type(error).__name__}): check HttpOptions and the"
            " proxies that the environment names"
        ) from None


def _client_settings(url: httpx.URL, http: HttpOptions) -> dict[str, Any]:
    connections = http.max_connections
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise ConfigurationError("max_connections must be a whole number, 1 or more")
    tls = url.scheme == "https" or http.proxy is not None
    return {
        "verify": (http.ssl_context or _tls_context(http.ca_file)) if tls else False,
        "proxy": http.proxy,
        "transport": http.transport,
        "trust_env": http.trust_env,
        "limits": httpx.Limits(
            max_connections=http.max_connections, max_keepalive_connections=http.max_connections
        ),
        "follow_redirects": False,
        # A cookie set for one customer must not travel with the next one's intent.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    }


def check_base_url(base_url: object, allow_http: bool) -> str:
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
    if url.scheme == "http" and not (allow_http or _is_loopback(url.host)):
        raise ConfigurationError(
            "base_url must be https: plain http is for loopback hosts alone, unless"
            " HttpOptions(allow_http=True) says otherwise"
        )
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Exchange:
    """What is known of one attempt while it is under way.

    Whether the request began to leave is told by httpcore's trace events. A transport that has
    none (a user's own) leaves that open, which counts as sent.
    """

    def __init__(self, timeout: Timeout, seconds_left: float) -> None:
        self.ends = time.monotonic() + seconds_left
        self.ended = False
        self._handed_over = self._traced = self._sending = False
        self.response: httpx.Response | None = None
        self._raw = bytearray()
        self._body_ends = self.ends
        self._read_seconds = timeout.read
        self._timeout = {
            "connect": min(timeout.connect, seconds_left),
            "read": min(timeout.read, seconds_left),
            "write": min(timeout.write, seconds_left),
            "pool": min(timeout.pool, seconds_left),
        }

    def request(
        self, url: httpx.URL, headers: Mapping[str, str], content: bytes, trace: Callable[..., Any]
    ) -> httpx.Request:
        """Return the request, which httpx has from now on."""
        self._handed_over = True
        extensions = {"timeout": self._timeout, "trace": trace}
        return httpx.Request("POST", url, headers=headers, content=content, extensions=extensions)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note that the request leaves; a proxy's CONNECT before it does not count."""
        self._traced = True
        if event.endswith("send_request_headers.started"):
            self._sending = self._sending or info["request"].method != b"CONNECT"

    async def trace_async(self, event: str, info: Mapping[str, Any]) -> None:
        """Do as `trace`."""
        self.trace(event, info)

    def answered(self, response: httpx.Response) -> None:
        """Note that status line and headers are there."""
        self.response = response
        self._body_ends = min(self.ends, time.monotonic() + self._read_seconds)

    def takes(self, chunk: bytes) -> bool:
        """Keep a part of the raw body; return whether more is wanted."""
        self._raw += chunk
        return len(self._raw) <= LARGEST_BODY_BYTES and time.monotonic() < self._body_ends

    def answer(self, failure: BaseException | None) -> Answer:
        """Return the answer as far as it came, or say what its absence means.

        Raises:
            NotSentError: The request never left.
            OutcomeUnknownError: It left, and no status line and headers came back.
        """
        if self.response is None:
            raise self._error(failure) from failure
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.response.headers.raw:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body, whole = _decoded(bytes(self._raw), headers.get("content-encoding", ""))
        return Answer(
            self.response.status_code,
            headers,
            body[:LARGEST_BODY_BYTES],
            complete=self.ended and whole,
        )

    def _error(self, failure: BaseException | None) -> StoqError:
        reason = next((reason for kind, reason in _NOT_SENT if isinstance(failure, kind)), None)
        if not self._handed_over or (self._traced and not self._sending):
            reason = reason or "the call ended while it waited for a connection"
        if reason:
            return NotSentError(f"nothing was sent: {reason}; check base_url and the network")
        timed_out = isinstance(failure, httpx.TimeoutException | TimeoutError)
        return OutcomeUnknownError(
            f"the request was sent and no answer came back{' in time' if timed_out else ''}"
            f" ({type(failure).__name__}), so the intent may be on the list or not; sending the"
            " same intent again cannot put the customer on it twice"
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
    """Posts over one pool of connections. For many threads, and after a fork."""

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._settings = _client_settings(self._url, http)
        self._deadline = threading.local()
        self._closed = False
        self._begin_anew()
        _TRANSPORTS.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def _after_fork(self) -> None:
        # The parent's connections are the parent's: a child that used them would mix the two
        # conversations. And its lock may have been held at the fork.
        if self._finalizer is not None:
            self._finalizer.detach()
        self._begin_anew()

    def _pool(self) -> httpx.Client:
        with self._lock:
            if self._closed:
                raise ClientClosedError("nothing was sent: this client is closed; make a new one")
            if self._client is None:
                self._client = _opened(httpx.Client, self._settings)
                self._finalizer = weakref.finalize(self, self._client.close)
            return self._client

    def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        timeout: Timeout,
        seconds_left: float,
    ) -> Answer:
        """Send *content* and return the answer.

        Args:
            headers: To send, all that the request needs but Host and Content-Length.
            content: The body.
            timeout: For each phase.
            seconds_left: For all phases together.

        Raises:
            NotSentError: The request never left.
            OutcomeUnknownError: It left, and no status line and headers came back.
            ClientClosedError: The transport is closed.
        """
        client = self._pool()
        exchange = _Exchange(timeout, seconds_left)
        self._deadline.ends = exchange.ends

        def trace(event: str, info: Mapping[str, Any]) -> None:
            exchange.trace(event, info)
            if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
                self._bound(info["return_value"])

        failure: Exception | None = None
        try:
            request = exchange.request(self._url, headers, content, trace)
            with closing(client.send(request, stream=True)) as response:
                exchange.answered(response)
                for chunk in response.iter_raw():
                    if not exchange.takes(chunk):
                        break
                else:
                    exchange.ended = True
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error
        return exchange.answer(failure)

    def _bound(self, stream: Any) -> None:
        """Make the deadline of the call hold for reads from *stream*.

        httpx's read timeout begins anew with each part: an answer that trickles would outlast
        any deadline.
        """
        read = stream.read
        deadline = self._deadline

        def read_until_deadline(max_bytes: int, timeout: float | None = None) -> bytes:
            left: float = deadline.ends - time.monotonic()
            shortest = 0.001
            part: bytes = read(max_bytes, max(shortest, min(left, timeout or left)))
            return part

        stream.read = read_until_deadline

    def close(self) -> None:
        """Close the connections; a second time does nothing."""
        with self._lock:
            self._closed = True
            finalizer = self._finalizer
        if finalizer is not None:
            finalizer()


_TRANSPORTS: "weakref.WeakSet[Transport]" = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_TRANSPORTS):
        transport._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class AsyncTransport:
    """`Transport` for asyncio."""

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._settings = _client_settings(self._url, http)
        self._max_connections = http.max_connections
        self._closed = False
        self._client: httpx.AsyncClient | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._process = 0
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def _is_at_home(self) -> bool:
        """Whether the pool was made by this process, in the loop that is running."""
        loop = asyncio.get_running_loop()
        return os.getpid() == self._process and self._loop is not None and loop is self._loop()

    def _pool(self) -> httpx.AsyncClient:
        if self._closed:
            raise ClientClosedError("nothing was sent: this client is closed; make a new one")
        if self._client is None or not self._is_at_home():
            if self._finalizer is not None:
                self._finalizer.detach()
            self._process, self._loop = os.getpid(), weakref.ref(asyncio.get_running_loop())
            self._client = _opened(httpx.AsyncClient, self._settings)
            # httpcore looks at every waiting request whenever one ends, which costs the square
            # of their number: so no more of them reach it than it has connections.
            self._turns = asyncio.Semaphore(self._max_connections)
            self._finalizer = weakref.finalize(self, _close_soon, self._client, self._loop)
        return self._client

    async def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        timeout: Timeout,
        seconds_left: float,
    ) -> Answer:
        """Do as `Transport.post`."""
        client = self._pool()
        exchange = _Exchange(timeout, seconds_left)
        failure: Exception | None = None
        try:
            async with asyncio.timeout(min(seconds_left, _LONGEST_SECONDS)), self._turns:
                request = exchange.request(self._url, headers, content, exchange.trace_async)
                async with aclosing(await client.send(request, stream=True)) as response:
                    exchange.answered(response)
                    async for chunk in response.aiter_raw():
                        if not exchange.takes(chunk):
                            break
                    else:
                        exchange.ended = True
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error
        return exchange.answer(failure)

    async def close(self) -> None:
        """Close the connections; a second time does nothing."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None and self._finalizer is not None and self._is_at_home():
            self._finalizer.detach()
            await client.aclose()


def _close_soon(
    client: httpx.AsyncClient, loop_of_client: "weakref.ref[asyncio.AbstractEventLoop]"
) -> None:
    """Close the connections of a client that nobody closed, if its loop still runs."""
    loop = loop_of_client()
    if loop is not None and not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: loop.create_task(client.aclose()))
