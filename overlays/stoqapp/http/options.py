"""How connections are made: timeouts, certificates, proxies, and the URL that requests go to."""

import ipaddress
import ssl
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx
from attrs import field, frozen

from stoqapp.errors import ConfigurationError
from stoqapp.spec import INTENTS_PATH

if TYPE_CHECKING:
    import httpcore

TIMEOUT_SECONDS: Final = 10.0
HTTPX_VERSION: Final[str] = httpx.__version__


class Timeout(NamedTuple):
    """Seconds to wait in each phase of one attempt.

    Attributes:
        connect: For a connection, and once more for TLS. The addresses of a host share it: each is
            tried for 0.3 seconds, and then, if none answered, each for an equal part of the rest.
        read: For each part of the answer, and for its body as a whole.
        write: For each part of the request to be taken.
        pool: For a connection to become free; None for as long as the call has.
    """

    connect: float = TIMEOUT_SECONDS
    read: float = TIMEOUT_SECONDS
    write: float = TIMEOUT_SECONDS
    pool: float | None = None


@frozen
class HttpOptions:
    """How connections are made.

    Attributes:
        proxy: URL of a proxy (http, https, socks5); by default what the environment says
            (``HTTPS_PROXY``, ``NO_PROXY``, ...) when the client is made.
        ca_file: A PEM file of CA certificates to trust instead of the usual ones, for the service
            and for an https proxy.
        ssl_context: A TLS context, instead of *ca_file*.
        transport: An object with httpx's transport interface, to send through instead of
            connections of our own: for tests, or for another HTTP library. The client closes it.
            It must not be used on both sides of a fork. Proxy and certificates are its own. In a
            synchronous one, `Timeout.read` alone bounds a slow response head. A head that it
            refuses has no status, so the outcome is unknown.
        max_connections: How many connections are open at a time, from 1 to 10,000; further calls
            wait.
        allow_http: Send over plain http to any host, not only to loopback addresses.
        trust_env: Use the environment's proxies. They are never used for loopback addresses.

    Raises:
        ConfigurationError: An option is unusable, or two exclude each other.
    """

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    ssl_context: ssl.SSLContext | None = None
    transport: Any = None
    max_connections: int = 10
    allow_http: bool = False
    trust_env: bool = True

    def __attrs_post_init__(self) -> None:
        path, context, most = self.ca_file, self.ssl_context, self.max_connections
        _require(
            "HttpOptions: ",
            {
                "ca_file must be a path": path is None or (isinstance(path, str | Path) and path),
                "ssl_context must be an ssl.SSLContext": isinstance(context, ssl.SSLContext | None),
                "max_connections must be from 1 to 10,000": type(most) is int
                and 0 < most <= 10_000,
                "allow_http must be True or False": isinstance(self.allow_http, bool),
                "trust_env must be True or False": isinstance(self.trust_env, bool),
                "give ca_file or ssl_context, not both": path is None or context is None,
                "give proxy and certificates to the transport": not (
                    self.transport is not None and (self.proxy or path or context)
                ),
            },
        )
        if self.proxy is not None:
            _proxy_from(self.proxy, "the proxy of HttpOptions", None)


class Route(NamedTuple):
    """Where connections lead, through what, and by what TLS; None where there is none."""

    origin: "httpcore.Origin"
    proxy: "httpcore.Proxy | None"
    ssl_context: ssl.SSLContext | None


def route_to(url: httpx.URL, http: HttpOptions) -> Route:
    """Return the way to *url*; raise where a proxy or certificates are unusable."""
    import httpcore

    origin = httpcore.Origin(
        url.raw_scheme, url.raw_host, url.port or {"http": 80, "https": 443}[url.scheme]
    )
    if http.transport is not None:
        return Route(origin, None, None)
    proxy, source = http.proxy, "the proxy of HttpOptions"
    if proxy is None and http.trust_env and not is_loopback(url.host):
        proxy, source = _proxy_of_environment(url), "the proxy that the environment names"
    tls = url.scheme == "https" or (proxy or "").startswith("https:")
    context = (http.ssl_context or _tls_context(http.ca_file)) if tls else None
    return Route(origin, None if proxy is None else _proxy_from(proxy, source, context), context)


def _proxy_of_environment(url: httpx.URL) -> str | None:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    # urllib knows the star only where it stands alone.
    exempt = [name.strip() for name in proxies.get("no", "").split(",")]
    if not proxy or "*" in exempt or any(map(proxy_bypass, (url.netloc.decode(), url.host))):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_from(proxy: str, source: str, context: ssl.SSLContext | None) -> "httpcore.Proxy":
    import httpcore

    try:
        read = httpx.Proxy(proxy)
    except (ValueError, TypeError, httpx.InvalidURL):
        read = None
    # No error repeats the URL, which may hold a password.
    if read is None or not read.url.host:
        raise ConfigurationError(f"{source} must be a URL like http://host:3128")
    if read.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"{source} uses SOCKS, which needs one more package: pip install 'httpx[socks]'"
        )
    url = read.url
    return httpcore.Proxy(
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"),
        auth=read.raw_auth,
        ssl_context=context if url.scheme == "https" else None,
    )


@cache
def _tls_context(ca_file: str | Path | None) -> ssl.SSLContext:
    """Return the TLS context that all clients share: building one takes some 20 ms."""
    try:
        if ca_file is None:
            return httpx.create_ssl_context()
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        if ca_file is None:
            raise ConfigurationError(
                "TLS cannot be set up with what SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE in"
                f" the environment name ({type(error).__name__}); correct or unset them"
            ) from None
        raise ConfigurationError(
            f"ca_file cannot be read as certificates: {Path(ca_file).name}; give a PEM file"
        ) from None


def _require(subject: str, conditions: Mapping[str, object], advice: str = "") -> None:
    """Raise ConfigurationError with the first text whose condition does not hold."""
    for text, holds in conditions.items():
        if not holds:
            raise ConfigurationError(f"{subject}{text}{advice}")


def check_base_url(base_url: object, allow_http: bool) -> str:
    """Return *base_url* without a trailing slash.

    Raises:
        ConfigurationError: Requests cannot go to it. Plain ``http`` is for loopback addresses
            alone, since requests carry personal data.
    """
    wanted = "give an absolute URL like https://app.stoqapp.com/api/v1"
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url must be a string, not {type(base_url).__name__}")
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        raise ConfigurationError(f"base_url cannot be read as a URL: {wanted}") from None
    _require(
        "base_url ",
        {
            "must be a plain http(s) URL": url.scheme in ("http", "https") and url.host,
            "must end with its path": "?" not in base_url and "#" not in base_url,
            "must have a port from 1 to 65535": url.port is None or 0 < url.port <= 65_535,
            f"must end before {INTENTS_PATH}": not url.path.rstrip("/").endswith(INTENTS_PATH),
            "must hold no user name or password": not url.userinfo,
        },
        f": {wanted}",
    )
    if url.scheme == "http" and not (allow_http or is_loopback(url.host)):
        raise ConfigurationError(
            "base_url must be https, unless its host is a loopback address; in Python,"
            " HttpOptions(allow_http=True) allows plain http"
        )
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
