"""The options of a client, each resolved in this order: argument, environment, default."""

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from stoqapp.budget import Budget, shared_budget
from stoqapp.errors import ConfigurationError, InvalidIntentError, UnusableInputError
from stoqapp.http.options import (
    HTTPX_VERSION,
    TIMEOUT_SECONDS,
    HttpOptions,
    Timeout,
    check_base_url,
    is_loopback,
)
from stoqapp.readers import shop_from
from stoqapp.retry import AttemptReport, RetryPolicy
from stoqapp.rules import Violation
from stoqapp.spec import BASE_URL, SHOP_HEADER
from stoqapp.version import __version__

# Long enough to wait out one rate-limit window.
TOTAL_TIMEOUT_SECONDS: Final = 90.0
MAX_RETRIES: Final = 2

BudgetOption = Budget | Literal["auto", "shared"] | None

# Patterns are compiled when they are first used, not by every import.
_DECIMAL: Final = r"[0-9]+(\.[0-9]+)?"
# RFC 9110: a token, a field's value in ASCII, and the products of a User-Agent.
_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_FIELD_VALUE: Final = r"[!-~]([\t -~]*[!-~])?"
_PRODUCTS: Final = f"{_NAME}(/{_NAME})?( {_NAME}(/{_NAME})?)*"
_USER_AGENT: Final = f"stoqapp/{__version__} python/{sys.version.split()[0]} httpx/{HTTPX_VERSION}"
_OWN_HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
# What the client or the connection sets itself.
_RESERVED: Final = frozenset(
    f"{SHOP_HEADER} User-Agent Host Content-Length Content-Encoding Connection Keep-Alive Expect"
    f" TE Trailer Transfer-Encoding Upgrade {' '.join(_OWN_HEADERS)}".lower().split()
)


class Changes(TypedDict, total=False):
    """The options that `stoqapp.Stoq.with_options` can change."""

    shop: str | None
    timeout: float | Timeout | None
    total_timeout: float | None
    max_retries: int
    retry_unknown: bool
    budget: BudgetOption
    on_attempt: Callable[[AttemptReport], object] | None
    app_name: str | None
    headers: Mapping[str, str] | None


def timeout_from(given: float | Timeout | None) -> Timeout:
    """Return the timeout of each phase; ``STOQ_TIMEOUT``, else 10 seconds, for None."""
    if isinstance(given, Timeout):
        pool = None if given.pool is None else _seconds(given.pool, "timeout.pool")
        phases = {
            name: _seconds(getattr(given, name), f"timeout.{name}")
            for name in ("connect", "read", "write")
        }
        return Timeout(**phases, pool=pool)
    if given is not None:
        seconds = _seconds(given, "timeout")
    else:
        text = _from_environment("STOQ_TIMEOUT")
        seconds = TIMEOUT_SECONDS if text is None else _seconds(text, "STOQ_TIMEOUT")
    return Timeout(connect=seconds, read=seconds, write=seconds)


def total_timeout_from(given: float | None) -> float:
    """Return the seconds for a whole call, infinite for None."""
    return math.inf if given in (None, math.inf) else _seconds(given, "total_timeout")


def _shop_from(given: str | None) -> str:
    text = _from_environment("STOQ_SHOP") if given is None else given
    if text is None:
        raise ConfigurationError("no shop: give one, like demo.myshopify.com, or set STOQ_SHOP")
    try:
        return shop_from(text).value
    except UnusableInputError as reason:
        where = "STOQ_SHOP" if given is None else "shop"
        violation = Violation(where, "shop_domain", str(reason), "spec")
        raise InvalidIntentError([violation]) from None


def _headers_from(given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"headers must be a mapping, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            raise ConfigurationError(f"headers has an unusable name: {name!a}")
        if name.lower() in _RESERVED:
            wanted = "use app_name" if name.lower() == "user-agent" else "the client sets it"
            raise ConfigurationError(f"headers must not have {name}: {wanted}")
        if not isinstance(value, str) or not re.fullmatch(_FIELD_VALUE, value):
            raise ConfigurationError(
                f"the value of {name} in headers must be text on one line, in ASCII, without"
                " spaces around it"
            )
    return dict(given)


def _must(is_usable: Callable[[Any], object], wanted: str) -> Callable[[Any, Any, Any], None]:
    """Return a validator that raises *wanted* unless *is_usable* holds."""

    def check(_settings: object, _field: object, value: object) -> None:
        if not is_usable(value):
            raise ConfigurationError(wanted)

    return check


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_plain_function(value: object) -> bool:
    call = getattr(value, "__call__", None)  # noqa: B004 - of an instance, too
    return callable(value) and not any(map(inspect.iscoroutinefunction, (value, call)))


@frozen(kw_only=True)
class Settings:
    """What a client works by. Each option is checked when it is set, so also by `evolve`.

    The arguments are explained at `stoqapp.Stoq`.

    Attributes:
        policy: How calls are paced and retried.
        request_headers: All headers of a request.
    """

    shop: str = field(converter=_shop_from)
    base_url: str
    http: HttpOptions = field(
        factory=HttpOptions,
        validator=_must(lambda value: isinstance(value, HttpOptions), "http must be HttpOptions"),
    )
    timeout: Timeout = field(default=None, converter=timeout_from)
    total_timeout: float = field(default=TOTAL_TIMEOUT_SECONDS, converter=total_timeout_from)
    max_retries: int = field(
        default=MAX_RETRIES,
        validator=_must(_is_count, "max_retries must be a whole number, 0 or more"),
    )
    retry_unknown: bool = field(
        default=False,
        validator=_must(
            lambda value: isinstance(value, bool), "retry_unknown must be True or False"
        ),
    )
    budget: BudgetOption = field(
        default="auto",
        validator=_must(
            lambda value: isinstance(value, Budget) or value in ("auto", "shared", None),
            "budget must be a Budget, 'auto', 'shared', or None for no pacing",
        ),
    )
    on_attempt: Callable[[AttemptReport], object] | None = field(
        default=None,
        repr=False,
        validator=_must(
            lambda value: value is None or _is_plain_function(value),
            "on_attempt must be a plain function of one AttemptReport; it is not awaited",
        ),
    )
    app_name: str | None = field(
        default=None,
        validator=_must(
            lambda value: (
                value is None or (isinstance(value, str) and re.fullmatch(_PRODUCTS, value))
            ),
            "app_name must be a name and a version, like my-shop/2.1",
        ),
    )
    headers: dict[str, str] = field(default=None, converter=_headers_from, repr=False)
    policy: RetryPolicy = field(init=False, repr=False)
    request_headers: dict[str, str] = field(init=False, repr=False)

    @policy.default
    def _policy(self) -> RetryPolicy:
        url, vendors = urlsplit(self.base_url), urlsplit(BASE_URL)
        host = url.hostname or ""
        budget = self.budget
        if budget == "auto":
            budget = None if is_loopback(host) else "shared"
        return RetryPolicy(
            host=host,
            budget=shared_budget() if budget == "shared" else budget,
            # What another server receives costs the shop no points at the vendor's.
            budget_key=self.shop if url.netloc == vendors.netloc else f"{self.shop}@{url.netloc}",
            max_retries=self.max_retries,
            retry_unknown=self.retry_unknown,
            on_attempt=self.on_attempt,
        )

    @request_headers.default
    def _request_headers(self) -> dict[str, str]:
        user_agent = f"{self.app_name} {_USER_AGENT}" if self.app_name else _USER_AGENT
        own = {SHOP_HEADER: self.shop, "User-Agent": user_agent, **_OWN_HEADERS}
        return self.headers | own

    def changed(self, changes: Changes) -> "Settings":
        """Return a copy with *changes*.

        Raises:
            TypeError: Not every option can be changed, see `Changes`.
        """
        unknown = set(changes) - Changes.__optional_keys__
        if unknown:
            raise TypeError(f"with_options cannot change {', '.join(sorted(unknown))}")
        return evolve(self, **changes)


def base_url_from(given: str | None, http: HttpOptions) -> str:
    """Return where the API is: *given*, else ``STOQ_BASE_URL``, else the vendor's server."""
    allow_http = getattr(http, "allow_http", False)
    if given is not None:
        return check_base_url(given, allow_http)
    text = _from_environment("STOQ_BASE_URL")
    if text is None:
        return BASE_URL
    try:
        return check_base_url(text, allow_http)
    except ConfigurationError as reason:
        raise ConfigurationError(f"STOQ_BASE_URL in the environment: {reason}") from None


def _from_environment(name: str) -> str | None:
    """Return the variable's value. A variable set to nothing counts as not set."""
    return os.environ.get(name, "").strip() or None


def _seconds(value: object, name: str) -> float:
    wanted = f"{name} must be a positive, finite number of seconds, like 10.0"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigurationError(f"{wanted}, not {type(value).__name__}")
    if isinstance(value, str) and not re.fullmatch(_DECIMAL, value):
        raise ConfigurationError(wanted)
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        raise ConfigurationError(wanted) from None
    if not 0 < seconds < math.inf:
        raise ConfigurationError(wanted)
    return seconds
