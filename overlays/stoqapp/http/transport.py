"""One request out, one answer in, over httpx: the only room that names httpx.

An `Answer` is given back as soon as its status line and headers are there. A body that breaks
off, comes too slowly or is too large is cut, and the answer says that it is incomplete.
"""

import asyncio
import ipaddress
import math
import os
import ssl
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, closing
from functools import cache
from http.cookiejar import CookieJar
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import httpx
from attrs import field, frozen

from stoqapp.body import INTENTS_PATH
from stoqapp.errors import (
    UNIQUE,
    Answer,
    ClientClosedError,
    ConfigurationError,
    NotSentError,
    OutcomeUnknownError,
)
from stoqapp.http.attempt import (
    UNDER_WAY,
    Attempt,
    came_before_a_connection,
    reason_of_system,
)

TIMEOUT_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 86400.0
_MOST_CONNECTIONS: Final = 10_000
_LARGEST_PORT: Final = 65535
_PHASES: Final = ("connect", "read", "write", "pool")
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
        pool: For a connection of the pool to become free; None for as long as the call has.
    """

    connect: float = TIMEOUT_SECONDS
    read: float = TIMEOUT_SECONDS
    write: float = TIMEOUT_SECONDS
    pool: float | None = None


@frozen
class HttpOptions:
    """How the connections are made; one place for everything that depends on the network.

    Attributes:
        proxy: URL of a proxy; by default what the environment says (``HTTPS_PROXY``, ...).
        ca_file: A file of CA certificates to trust instead of the usual ones.
        ssl_context: A TLS context of your own, instead of *ca_file*.
        transport: An object with httpx's transport interface, to send through instead of a
            connection pool: for tests, or for another HTTP library. It is closed with the client,
            and must not be used on both sides of a fork. Proxy and certificates are its own.
        max_connections: How many connections are open at a time, 10,000 at most; further calls
            wait.
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
    try:
        if ca_file is None:
            return httpx.create_ssl_context()
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        if ca_file is None:
            raise ConfigurationError(
                "TLS cannot be set up with what SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE in"
                f" the environment name ({type(error).__name__}); mend or unset them"
            ) from None
        raise ConfigurationError(
            f"ca_file cannot be read as certificates: {Path(ca_file).name}; give a PEM file"
        ) from None


class _NoCookies(CookieJar):
    """Keeps none: one set for a customer must not travel with the next one's intent."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Look at nothing, which is quicker than a policy that allows nothing."""


_NEEDS_SOCKS: Final = "speaks SOCKS, which needs one more package: pip install 'httpx[socks]'"

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)


def _opened(kind: type[Client], settings: dict[str, Any]) -> Client:
    try:
        return kind(**settings)
    except ImportError:
        raise ConfigurationError(f"a proxy that the environment names {_NEEDS_SOCKS}") from None
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
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(f"the proxy of HttpOptions {_NEEDS_SOCKS}")


def _check_options(http: HttpOptions) -> None:
    for name in ("allow_http", "trust_env"):
        if not isinstance(getattr(http, name), bool):
            raise ConfigurationError(f"{name} of HttpOptions must be True or False")
    connections = http.max_connections
    whole = isinstance(connections, int) and not isinstance(connections, bool)
    if not whole or not 1 <= connections <= _MOST_CONNECTIONS:
        raise ConfigurationError(
            f"max_connections must be a whole number from 1 to {_MOST_CONNECTIONS}"
        )
    given = [
        name for name in ("proxy", "ca_file", "ssl_context") if getattr(http, name) is not None
    ]
    if http.transport is not None and given:
        raise ConfigurationError(
            f"HttpOptions has a transport, which would not use {' and '.join(given)}: give it to"
            " the transport itself"
        )
    if http.ca_file is not None and http.ssl_context is not None:
        raise ConfigurationError("HttpOptions has a ca_file and an ssl_context: give one of them")
    if http.ca_file is not None and not (
        isinstance(http.ca_file, str | Path) and str(http.ca_file)
    ):
        raise ConfigurationError("ca_file must be the path of a PEM file")
    if http.ssl_context is not None and not isinstance(http.ssl_context, ssl.SSLContext):
        raise ConfigurationError("ssl_context must be an ssl.SSLContext")
    if http.proxy is not None:
        _check_proxy(http.proxy)


def _client_settings(url: httpx.URL, http: HttpOptions, method: str) -> dict[str, Any]:
    _check_options(http)
    if http.transport is not None and not hasattr(http.transport, method):
        raise ConfigurationError(
            f"the transport of HttpOptions has no {method}, so it is none of httpx's kind for this"
            " client (Stoq and AsyncStoq need different ones)"
        )
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
        "cookies": _NoCookies(),
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
    if "?" in base_url or "#" in base_url:
        raise ConfigurationError(f"base_url must end with its path: {wanted}")
    if url.port is not None and not 0 < url.port <= _LARGEST_PORT:
        raise ConfigurationError(f"base_url has no port from 1 to {_LARGEST_PORT}: {wanted}")
    if url.path.rstrip("/").endswith(INTENTS_PATH):
        raise ConfigurationError(f"base_url must end before {INTENTS_PATH}: {wanted}")
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


def _note_start(request: httpx.Request) -> None:
    """Take down that the request goes to the transport, as a request hook.

    httpx calls it after all that it has to object to, a closed client for one.
    """
    request.extensions["attempt"].handed_over = True


async def _note_start_async(request: httpx.Request) -> None:
    _note_start(request)


def _note_head(response: httpx.Response) -> None:
    """Take down status and headers, as a response hook: before httpx goes on with them."""
    attempt: Attempt = response.request.extensions["attempt"]
    attempt.answered(response.status_code, response.headers.raw)
    if attempt.is_redirected:
        # httpx reads this one even where it does not follow it, and raises on what it cannot read.
        del response.headers["location"]


async def _note_head_async(response: httpx.Response) -> None:
    _note_head(response)


def _request(
    attempt: Attempt,
    url: httpx.URL,
    headers: Mapping[str, str],
    content: bytes,
    timeout: Timeout,
    trace: Callable[..., Any],
) -> httpx.Request:
    """Return the request, built past the client's defaults, none of which it needs."""
    left = attempt.seconds_left
    # attrs.asdict would take as long as all the rest of this.
    wanted = (timeout.connect, timeout.read, timeout.write, timeout.pool)
    phases = {
        phase: min(max(0.001, left if seconds is None else min(seconds, left)), _LONGEST_SECONDS)
        for phase, seconds in zip(_PHASES, wanted, strict=True)
    }
    extensions = {"timeout": phases, "trace": trace, "attempt": attempt}
    return httpx.Request("POST", url, headers=headers, content=content, extensions=extensions)


def _answer(attempt: Attempt, failure: Exception | None) -> Answer:
    """Return the answer as far as it came, or say what its absence means.

    The failure itself is not chained: its text may quote what the other side sent.

    Raises:
        NotSentError: The request never left.
        OutcomeUnknownError: It left, and no status line and headers came back.
    """
    if attempt.answer() is None:
        attempt.read_refused_head()
    answer = attempt.answer()
    if answer is not None:
        return answer
    reason = next((reason for kind, reason in _NOT_SENT if isinstance(failure, kind)), None)
    if isinstance(failure, httpx.ConnectTimeout) and not attempt.is_traced:
        # httpx-aiohttp, which traces nothing, calls a lost connection by this name, too.
        reason = reason if came_before_a_connection(failure) else None
    if not attempt.has_left:
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


class _Pool:
    """Connections, and a turn for each; closed when nothing uses it any more.

    Attributes:
        client: Holds the connections.
        turns: One entry for each call that may go on. httpcore closes connections under the feet
            of threads that it lets wait for one, so no more of them reach it than it has. This
            queue, unlike a semaphore of threading, cannot be left locked by an interrupt.
        streams: The connections themselves.
        close: Closes them, the first time that it is called.
    """

    def __init__(self, client: httpx.Client, connections: int) -> None:
        self.client = client
        self.turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(connections):
            self.turns.put(None)
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self.close: weakref.finalize[..., Any] = weakref.finalize(self, client.close)
        for transport in (client._transport, *client._mounts.values()):
            pool = getattr(transport, "_pool", None)
            if pool is not None and hasattr(pool, "_optional_thread_lock"):
                # httpcore's is taken in Python, where an interrupt can come between the taking
                # and the promise to give back; httpcore then waits for itself for ever.
                pool._optional_thread_lock = threading.Lock()

    def is_unsound(self) -> None:
        """Let it be closed without httpcore, whose locks an interrupt may have left locked."""
        self.close.detach()
        self.close = weakref.finalize(self, _close_all, self.streams)


def _close_all(streams: "weakref.WeakSet[Any]") -> None:
    for stream in list(streams):
        stream.close()


class Transport:
    """Posts over one pool of connections. For many threads, and after a fork."""

    def __init__(self, url: str, http: HttpOptions) -> None:
        self._url = httpx.URL(url)
        self._settings = _client_settings(self._url, http, "handle_request")
        self._settings["event_hooks"] = {"request": [_note_start], "response": [_note_head]}
        self._max_connections = http.max_connections
        self._closed = False
        self._begin_anew()
        _TRANSPORTS.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    def _after_fork(self) -> None:
        # The parent's connections are the parent's: a child that used them would mix the two
        # conversations. And its locks may have been held at the fork.
        if self._pool is not None:
            self._pool.close.detach()
        self._begin_anew()

    def check_open(self) -> None:
        """Raise ClientClosedError after `close`."""
        if self._closed:
            raise ClientClosedError("nothing was sent: this client is closed; make a new one")

    def _pool_in_use(self) -> _Pool:
        with self._lock:
            self.check_open()
            if self._pool is None:
                client = _opened(httpx.Client, self._settings)
                self._pool = _Pool(client, self._max_connections)
            return self._pool

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
            ClientClosedError: The transport was closed before it left.
        """
        pool = self._pool_in_use()
        try:
            return self._post_over(pool, headers, content, timeout, seconds_left)
        except Exception:
            raise
        except BaseException:
            # An interrupt can lose a turn or a connection anywhere: the next call begins anew.
            if self._pool is pool:
                self._pool = None
            pool.is_unsound()
            raise

    def _post_over(
        self,
        pool: _Pool,
        headers: Mapping[str, str],
        content: bytes,
        timeout: Timeout,
        seconds_left: float,
    ) -> Answer:
        attempt = Attempt(time.monotonic() + seconds_left, timeout.read, pool.streams)
        try:
            pool.turns.get(timeout=min(_turn_seconds(timeout, seconds_left), threading.TIMEOUT_MAX))
        except Empty:
            return _answer(attempt, httpx.PoolTimeout("no turn"))
        failure: Exception | None = None
        under_way = UNDER_WAY.set(attempt)
        try:
            request = _request(attempt, self._url, headers, content, timeout, attempt.trace)
            with closing(pool.client.send(request, stream=True)) as response:
                if response.is_stream_consumed:
                    attempt.takes_all(response.content)
                    return _answer(attempt, None)
                for chunk in response.iter_raw():
                    if not attempt.takes(chunk):
                        break
                else:
                    attempt.ended = True
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error
        finally:
            UNDER_WAY.reset(under_way)
            pool.turns.put(None)
        if not attempt.handed_over:
            self.check_open()
        return _answer(attempt, failure)

    def close(self) -> None:
        """Close the connections; a second time does nothing."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.close()


def _turn_seconds(timeout: Timeout, seconds_left: float) -> float:
    return seconds_left if timeout.pool is None else min(timeout.pool, seconds_left)


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
        self._settings["event_hooks"] = {
            "request": [_note_start_async],
            "response": [_note_head_async],
        }
        self._max_connections = http.max_connections
        self._closed = False
        self._client: httpx.AsyncClient | None = None
        self._keeper: AsyncGenerator[None] | None = None
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

    async def _pool(self) -> tuple[httpx.AsyncClient, asyncio.Semaphore, AsyncGenerator[None]]:
        self.check_open()
        if self._client is None or self._keeper is None or not self._is_at_home():
            client = _opened(httpx.AsyncClient, self._settings)
            self._client, self._keeper = client, _kept(client)
            self._process, self._loop = os.getpid(), weakref.ref(asyncio.get_running_loop())
            # httpcore looks at every waiting request whenever one ends, which costs the square
            # of their number: so no more of them reach it than it has connections.
            self._turns = asyncio.Semaphore(self._max_connections)
            await anext(self._keeper)
        return self._client, self._turns, self._keeper

    async def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        timeout: Timeout,
        seconds_left: float,
    ) -> Answer:
        """Do as `Transport.post`."""
        # The keeper closes the pool when the last call that uses it is over.
        client, turns, keeper = await self._pool()
        attempt = Attempt(time.monotonic() + seconds_left, timeout.read)
        wait_seconds = _turn_seconds(timeout, seconds_left)
        try:
            async with asyncio.timeout(None if wait_seconds == math.inf else wait_seconds):
                await turns.acquire()
        except TimeoutError:
            return _answer(attempt, httpx.PoolTimeout("no turn"))
        failure: Exception | None = None
        under_way = UNDER_WAY.set(attempt)
        try:
            async with asyncio.timeout(min(attempt.seconds_left, _LONGEST_SECONDS)):
                request = _request(
                    attempt, self._url, headers, content, timeout, attempt.trace_async
                )
                async with aclosing(await client.send(request, stream=True)) as response:
                    if response.is_stream_consumed:
                        attempt.takes_all(response.content)
                        return _answer(attempt, None)
                    async for chunk in response.aiter_raw():
                        if not attempt.takes(chunk):
                            break
                    else:
                        attempt.ended = True
        except (TimeoutError, asyncio.CancelledError) as cancelled:
            # Either cancelled httpcore in the middle of something, which can lose it a connection
            # for good (encode/httpcore#1093): the next call begins anew.
            if self._keeper is keeper and self._settings["transport"] is None:
                self._client = self._keeper = None
            if isinstance(cancelled, asyncio.CancelledError):
                raise
            failure = cancelled.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whatever it was, one of the outcomes follows
            failure = error.with_traceback(None)
        finally:
            UNDER_WAY.reset(under_way)
            turns.release()
            # An error remembers this frame, which would keep the pool open as long as the error.
            del client, keeper
        if not attempt.handed_over:
            self.check_open()
        return _answer(attempt, failure)

    async def close(self) -> None:
        """Close the connections; a second time does nothing."""
        self._closed = True
        keeper, self._client, self._keeper = self._keeper, None, None
        if keeper is not None and self._is_at_home():
            await keeper.aclose()
