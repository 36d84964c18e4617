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
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, closing
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from attrs import asdict, field, frozen

from stoqapp.errors import (
    UNIQUE,
    Answer,
    ClientClosedError,
    ConfigurationError,
    NotSentError,
    OutcomeUnknownError,
)
from stoqapp.exchange import (
    UNDER_WAY,
    Exchange,
    came_before_a_connection,
    reason_of_system,
)

TIMEOUT_SECONDS: Final = 10.0
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

    In sync code, *connect* begins anew for each address that the host's name stands for. How
    long the system takes to look up a name is bounded in asyncio alone.

    Attributes:
        connect: For a connection, and once more for TLS.
        read: For each part of the answer.
        write: For each part of the request to be taken.
        pool: For a connection of the pool to become free.
    """

    connect: float = TIMEOUT_SECONDS
    read: float = TIMEOUT_SECONDS
    write: float = TIMEOUT_SECONDS
    pool: float = TIMEOUT_SECONDS


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
        trust_env: Whether the environment's proxies count. They never do for loopback addresses.
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


def _check_proxy(proxy: str) -> None:
    try:
        url = httpx.Proxy(proxy).url
    except (ValueError, TypeError, httpx.InvalidURL):
        url = httpx.URL("")
    if not url.host:
        raise ConfigurationError("the proxy of HttpOptions is no URL of one, like http://host:3128")


def _client_settings(url: httpx.URL, http: HttpOptions, method: str) -> dict[str, Any]:
    if http.proxy is not None:
        _check_proxy(http.proxy)
    if http.transport is not None and not hasattr(http.transport, method):
        raise ConfigurationError(
            f"the transport of HttpOptions has no {method}, so it is none of httpx's kind for this"
            " client (Stoq and AsyncStoq need different ones)"
        )
    connections = http.max_connections
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise ConfigurationError("max_connections must be a whole number, 1 or more")
    tls = url.scheme == "https" or http.proxy is not None
    return {
        "verify": (http.ssl_context or _tls_context(http.ca_file)) if tls else False,
        "proxy": http.proxy,
        "transport": http.transport,
        # What is meant for this machine would leave it, and in plain text.
        "trust_env": http.trust_env and not _is_loopback(url.host),
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


def _note_head(response: httpx.Response) -> None:
    """Take down status and headers, as a response hook: before httpx goes on with them."""
    response.request.extensions["exchange"].answered(response.status_code, response.headers.raw)
    # httpx reads this one even where it does not follow it, and raises on what it cannot read.
    response.headers.pop("location", None)


async def _note_head_async(response: httpx.Response) -> None:
    _note_head(response)


def _request(
    exchange: Exchange,
    url: httpx.URL,
    headers: Mapping[str, str],
    content: bytes,
    timeout: Timeout,
    trace: Callable[..., Any],
) -> httpx.Request:
    """Return the request, built past the client's defaults, none of which it needs."""
    left = exchange.seconds_left
    phases = {phase: max(0.001, min(seconds, left)) for phase, seconds in asdict(timeout).items()}
    extensions = {"timeout": phases, "trace": trace, "exchange": exchange}
    exchange.handed_over = True
    return httpx.Request("POST", url, headers=headers, content=content, extensions=extensions)


def _answer(exchange: Exchange, failure: Exception | None) -> Answer:
    """Return the answer as far as it came, or say what its absence means.

    The failure itself is not chained: its text may quote what the other side sent.

    Raises:
        NotSentError: The request never left.
        OutcomeUnknownError: It left, and no status line and headers came back.
    """
    if exchange.answer() is None:
        exchange.read_refused_head()
    answer = exchange.answer()
    if answer is not None:
        return answer
    reason = next((reason for kind, reason in _NOT_SENT if isinstance(failure, kind)), None)
    if isinstance(failure, httpx.ConnectTimeout) and not exchange.is_traced:
        # httpx-aiohttp, which traces nothing, calls a lost connection by this name, too.
        reason = reason if came_before_a_connection(failure) else None
    if not exchange.has_left:
        reason = reason or "the call ended before it had a connection"
    system = reason_of_system(failure)
    if reason:
        raise NotSentError(f"nothing was sent: {reason}{system}; check base_url and the network")
    timed_out = isinstance(failure, httpx.TimeoutException | TimeoutError)
    raise OutcomeUnknownError(
        f"the request was sent and no answer came back{' in time' if timed_out else ''}"
        f" ({type(failure).__name__}){system}, so the intent may be on the list or not; to send it"
        f" again is safe: {UNIQUE}"
    )


class Transport:
    """Posts over one pool of connections. For many threads, and after a fork."""

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._settings = _client_settings(self._url, http, "handle_request")
        self._settings["event_hooks"] = {"response": [_note_head]}
        self._max_connections = http.max_connections
        self._closed = False
        self._begin_anew()
        _TRANSPORTS.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        # httpcore closes connections under the feet of threads that it lets wait for one, so
        # no more of them reach it than it has connections.
        self._turns = threading.BoundedSemaphore(self._max_connections)
        self._client: httpx.Client | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def _after_fork(self) -> None:
        # The parent's connections are the parent's: a child that used them would mix the two
        # conversations. And its locks may have been held at the fork.
        if self._finalizer is not None:
            self._finalizer.detach()
        self._begin_anew()

    def check_open(self) -> None:
        """Raise ClientClosedError after `close`."""
        if self._closed:
            raise ClientClosedError("nothing was sent: this client is closed; make a new one")

    def _pool(self) -> httpx.Client:
        with self._lock:
            self.check_open()
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
        turns = self._turns
        exchange = Exchange(time.monotonic() + seconds_left, timeout.read)
        if not turns.acquire(timeout=min(timeout.pool, seconds_left, threading.TIMEOUT_MAX)):
            return _answer(exchange, httpx.PoolTimeout("no turn"))
        failure: Exception | None = None
        under_way = UNDER_WAY.set(exchange)
        try:
            request = _request(exchange, self._url, headers, content, timeout, exchange.trace)
            with closing(client.send(request, stream=True)) as response:
                for chunk in response.iter_raw():
                    if not exchange.takes(chunk):
                        break
                else:
                    exchange.ended = True
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error
        finally:
            UNDER_WAY.reset(under_way)
            turns.release()
        return _answer(exchange, failure)

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


async def _kept(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Keep *client* open until this is closed: by hand, or by the event loop.

    asyncio closes every generator that is left when its loop shuts down, and the one that is
    forgotten while it runs; so the connections of a client that nobody closed are closed, too.
    """
    try:
        yield
    finally:
        await client.aclose()


class AsyncTransport:
    """`Transport` for asyncio."""

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._settings = _client_settings(self._url, http, "handle_async_request")
        self._settings["event_hooks"] = {"response": [_note_head_async]}
        self._max_connections = http.max_connections
        self._closed = False
        self._client: httpx.AsyncClient | None = None
        self._process = 0
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    def _is_at_home(self) -> bool:
        """Whether the pool was made by this process, in the loop that is running."""
        loop = asyncio.get_running_loop()
        return os.getpid() == self._process and self._loop is not None and loop is self._loop()

    def check_open(self) -> None:
        """Do as `Transport.check_open`."""
        if self._closed:
            raise ClientClosedError("nothing was sent: this client is closed; make a new one")

    async def _pool(self) -> httpx.AsyncClient:
        self.check_open()
        if self._client is None or not self._is_at_home():
            client = _opened(httpx.AsyncClient, self._settings)
            self._client, self._keeper = client, _kept(client)
            self._process, self._loop = os.getpid(), weakref.ref(asyncio.get_running_loop())
            # httpcore looks at every waiting request whenever one ends, which costs the square
            # of their number: so no more of them reach it than it has connections.
            self._turns = asyncio.Semaphore(self._max_connections)
            await anext(self._keeper)
        return self._client

    async def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        timeout: Timeout,
        seconds_left: float,
    ) -> Answer:
        """Do as `Transport.post`."""
        client = await self._pool()
        turns = self._turns
        exchange = Exchange(time.monotonic() + seconds_left, timeout.read)
        try:
            async with asyncio.timeout(min(timeout.pool, seconds_left)):
                await turns.acquire()
        except TimeoutError:
            return _answer(exchange, httpx.PoolTimeout("no turn"))
        failure: Exception | None = None
        under_way = UNDER_WAY.set(exchange)
        try:
            async with asyncio.timeout(min(exchange.seconds_left, _LONGEST_SECONDS)):
                request = _request(
                    exchange, self._url, headers, content, timeout, exchange.trace_async
                )
                async with aclosing(await client.send(request, stream=True)) as response:
                    async for chunk in response.aiter_raw():
                        if not exchange.takes(chunk):
                            break
                    else:
                        exchange.ended = True
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error
        finally:
            UNDER_WAY.reset(under_way)
            turns.release()
        return _answer(exchange, failure)

    async def close(self) -> None:
        """Close the connections; a second time does nothing."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None and self._is_at_home():
            await self._keeper.aclose()
