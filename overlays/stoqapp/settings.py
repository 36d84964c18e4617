"""What a client is told, and what is made of it: argument, else environment, else default."""

import inspect
import math
import os
import platform
import re
from collections.abc import Callable
from typing import Final, Literal, TypedDict
from urllib.parse import urlsplit

from attrs import asdict, frozen

from stoqapp.budget import Budget, shared_budget
from stoqapp.delivery import AttemptReport, Terms
from stoqapp.errors import ConfigurationError, InvalidIntentError, UnusableInputError
from stoqapp.http.options import (
    HTTPX_VERSION,
    TIMEOUT_SECONDS,
    HttpOptions,
    Timeout,
    check_base_url,
)
from stoqapp.inputs import shop_from
from stoqapp.retries import RetryPolicy
from stoqapp.rules import SHOP_HEADER, Violation
from stoqapp.version import __version__

BASE_URL: Final = "https://app.stoqapp.com/api/v1"
# Long enough for who has to wait a whole window of the rate budget for points.
TOTAL_TIMEOUT_SECONDS: Final = 90.0
MAX_RETRIES: Final = 2

_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_USER_AGENT: Final = (
    f"stoqapp/{__version__} python/{platform.python_version()} httpx/{HTTPX_VERSION}"
)


@frozen
class Options:
    """The arguments of `stoqapp.Stoq`, as they were given."""

    shop: str | None
    base_url: str | None
    timeout: float | Timeout | None
    total_timeout: float | None
    max_retries: int
    retry_unknown: bool
    budget: Budget | Literal["shared"] | None
    http: HttpOptions | None
    on_attempt: Callable[[AttemptReport], object] | None


class Changes(TypedDict, total=False):
    """What `stoqapp.Stoq.with_options` can change."""

    shop: str | None
    timeout: float | Timeout | None
    total_timeout: float | None
    max_retries: int
    retry_unknown: bool
    budget: Budget | Literal["shared"] | None
    on_attempt: Callable[[AttemptReport], object] | None


@frozen
class Settings:
    """What a client works by.

    Attributes:
        shop: The shop's host name.
        base_url: Where the API is, without a trailing slash.
        http: How the connections are made.
        timeout: For the phases of one attempt.
        terms: What a call is delivered under.
        headers: Of every request.
    """

    shop: str
    base_url: str
    http: HttpOptions
    timeout: Timeout
    terms: Terms
    headers: dict[str, str]


def settings_from(options: Options) -> Settings:
    """Return what *options* come to.

    Raises:
        InvalidIntentError: The shop names no shop.
        ConfigurationError: There is no shop, or another option is unusable.
    """
    shop = _shop_from(options.shop)
    http = HttpOptions() if options.http is None else options.http
    if not isinstance(http, HttpOptions):
        raise ConfigurationError(f"http must be HttpOptions, not {type(http).__name__}")
    base_url = _base_url_from(options.base_url, http.allow_http)
    retries = options.max_retries
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ConfigurationError("max_retries must be a whole number, 0 or more")
    if not isinstance(options.retry_unknown, bool):
        raise ConfigurationError("retry_unknown must be True or False")
    if options.on_attempt is not None and not callable(options.on_attempt):
        raise ConfigurationError("on_attempt must be a function of one AttemptReport")
    called = getattr(options.on_attempt, "__call__", None)  # noqa: B004 - of an instance, too
    if any(map(inspect.iscoroutinefunction, (options.on_attempt, called))):
        raise ConfigurationError("on_attempt must be a plain function: nobody would await it")
    total = options.total_timeout
    return Settings(
        shop=shop,
        base_url=base_url,
        http=http,
        timeout=_timeout_from(options.timeout),
        terms=Terms(
            budget_key=_budget_key(shop, base_url),
            host=urlsplit(base_url).hostname or "",
            policy=RetryPolicy(retries, options.retry_unknown),
            total_timeout_seconds=math.inf if total is None else _seconds(total, "total_timeout"),
            budget=_budget_from(options.budget),
            on_attempt=options.on_attempt,
        ),
        headers={
            SHOP_HEADER: shop,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
        },
    )


def _from_environment(name: str) -> str | None:
    """Return the variable's value; one that is set to nothing counts as not set."""
    return os.environ.get(name, "").strip() or None


def _shop_from(given: str | None) -> str:
    said = _from_environment("STOQ_SHOP") if given is None else given
    if said is None:
        raise ConfigurationError("no shop: give one, like demo.myshopify.com, or set STOQ_SHOP")
    try:
        return shop_from(said).value
    except UnusableInputError as reason:
        where = "STOQ_SHOP" if given is None else "shop"
        violation = Violation(where, "shop_domain", str(reason), "spec")
        raise InvalidIntentError([violation]) from None


def _base_url_from(given: str | None, allow_http: bool) -> str:
    if given is not None:
        return check_base_url(given, allow_http)
    said = _from_environment("STOQ_BASE_URL")
    if said is None:
        return BASE_URL
    try:
        return check_base_url(said, allow_http)
    except ConfigurationError as reason:
        raise ConfigurationError(f"STOQ_BASE_URL in the environment: {reason}") from None


def _budget_key(shop: str, base_url: str) -> str:
    """Return what *shop* is called in a budget: by another name where it is not the vendor's."""
    host = urlsplit(base_url).netloc
    return shop if host == urlsplit(BASE_URL).netloc else f"{shop}@{host}"


def _timeout_from(given: float | Timeout | None) -> Timeout:
    if isinstance(given, Timeout):
        phases = {name: value for name, value in asdict(given).items() if value is not None}
        return Timeout(**{name: _seconds(phases[name], f"timeout.{name}") for name in phases})
    if given is not None:
        seconds = _seconds(given, "timeout")
    else:
        said = _from_environment("STOQ_TIMEOUT")
        seconds = TIMEOUT_SECONDS if said is None else _seconds(said, "STOQ_TIMEOUT")
    return Timeout(connect=seconds, read=seconds, write=seconds)


def _seconds(value: object, name: str) -> float:
    wanted = f"{name} must be a positive, finite number of seconds, like 10.0"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigurationError(f"{wanted}, not {type(value).__name__}")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ConfigurationError(wanted)
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        raise ConfigurationError(wanted) from None
    if not 0 < seconds < math.inf:
        raise ConfigurationError(wanted)
    return seconds


def _budget_from(given: Budget | Literal["shared"] | None) -> Budget | None:
    if given == "shared":
        return shared_budget()
    if given is not None and not isinstance(given, Budget):
        raise ConfigurationError("budget must be a Budget, 'shared', or None for no pacing")
    return given
