"""The options of a client, each resolved in this order: argument, environment, default."""

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from attrs import define, field

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
from stoqapp.log import AttemptReport
from stoqapp.readers import shop_from
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
    if given is None:
        seconds = _seconds(_from_environment("STOQ_TIMEOUT") or TIMEOUT_SECONDS, "STOQ_TIMEOUT")
    else:
        seconds = _seconds(given, "timeout")
    return Timeout(connect=seconds, read=seconds, write=seconds)


def total_timeout_from(given: float | None) -> float:
    """Return the seconds for a whole call, infinite for None."""
    return math.inf if given in (None, math.inf) else _seconds(given, "total_timeout")


def _shop_from(given: str | None) -> str:
    text = _from_environment("STOQ_SHOP") if given is None else given
    if text is None:
        raise ConfigurationError(
            "shop is missing: give one, like demo.myshopify.com, or set STOQ_SHOP"
        )
    try:
        return shop_from(text)
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


def _is_plain_function(value: object) -> bool:
    call = getattr(value, "__call__", None)  # noqa: B004 - of an instance, too
    return callable(value) and not any(map(inspect.iscoroutinefunction, (value, call)))


# What an option that is taken as it is must be.
_WANTED: Final[Mapping[str, tuple[str, Callable[[Any], object]]]] = {
    "http": ("HttpOptions", lambda given: isinstance(given, HttpOptions)),
    "max_retries": ("a whole number, 0 or more", lambda given: type(given) is int and given >= 0),
    "retry_unknown": ("True or False", lambda given: isinstance(given, bool)),
    "budget": (
        "a Budget, 'auto', 'shared', or None for no pacing",
        lambda given: isinstance(given, Budget) or given in ("auto", "shared", None),
    ),
    "on_attempt": (
        "a plain function of one AttemptReport; it is not awaited",
        lambda given: given is None or _is_plain_function(given),
    ),
    "app_name": (
        "a name and a version, like my-shop/2.1",
        lambda given: given is None or (type(given) is str and re.fullmatch(_PRODUCTS, given)),
    ),
}


@define(kw_only=True, slots=False, eq=False, repr=False)
class Settings:
    """What a client works by. Each option is checked when it is set, so also by `evolve`.

    The options are explained at `stoqapp.Stoq`.

    Attributes:
        host: Host name that requests go to.
        pacer: Rate budget to take points from, None for no pacing.
        budget_key: Name of the shop in the budget.
        request_headers: All headers of a request.
    """

    shop: str = field(default=None, converter=_shop_from)
    base_url: str = None  # type: ignore[assignment]  # resolved below
    http: HttpOptions = field(factory=HttpOptions)
    timeout: Timeout = field(default=None, converter=timeout_from)
    total_timeout: float = field(default=TOTAL_TIMEOUT_SECONDS, converter=total_timeout_from)
    max_retries: int = MAX_RETRIES
    retry_unknown: bool = False
    budget: BudgetOption = "auto"
    on_attempt: Callable[[AttemptReport], object] | None = None
    app_name: str | None = None
    headers: dict[str, str] = field(default=None, converter=_headers_from)

    def __attrs_post_init__(self) -> None:
        for name, (wanted, is_usable) in _WANTED.items():
            if not is_usable(getattr(self, name)):
                raise ConfigurationError(f"{name} must be {wanted}")
        self.base_url = _base_url_from(self.base_url, self.http)
        url, vendors = urlsplit(self.base_url), urlsplit(BASE_URL)
        self.host: str = url.hostname or ""
        # What another server receives costs the shop no points at the vendor's.
        is_vendors = url.netloc == vendors.netloc
        self.budget_key: str = self.shop if is_vendors else f"{self.shop}@{url.netloc}"
        budget = self.budget
        if budget == "auto":
            budget = None if is_loopback(self.host) else "shared"
        self.pacer: Budget | None = shared_budget() if budget == "shared" else budget
        user_agent = f"{self.app_name} {_USER_AGENT}" if self.app_name else _USER_AGENT
        own = {SHOP_HEADER: self.shop, "User-Agent": user_agent, **_OWN_HEADERS}
        self.request_headers: dict[str, str] = self.headers | own


def _base_url_from(given: str | None, http: HttpOptions) -> str:
    """Return where the API is: *given*, else ``STOQ_BASE_URL``, else the vendor's server."""
    if given is not None:
        return check_base_url(given, http.allow_http)
    try:
        return check_base_url(_from_environment("STOQ_BASE_URL") or BASE_URL, http.allow_http)
    except ConfigurationError as reason:
        raise ConfigurationError(f"STOQ_BASE_URL in the environment: {reason}") from None


def _from_environment(name: str) -> str | None:
    """Return the variable's value. A variable set to nothing counts as not set."""
    return os.environ.get(name, "").strip() or None


def _seconds(value: Any, name: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_text = isinstance(value, str) and re.fullmatch(_DECIMAL, value)
    seconds = float(value) if is_number or is_text else 0.0
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{name} must be a positive, finite number of seconds, like 10.0")
    return seconds
