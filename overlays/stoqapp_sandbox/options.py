"""The options of a sandbox that can change while it runs, checked."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict
from urllib.parse import urlsplit

from attrs import frozen

from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.catalog import Catalog
from stoqapp_sandbox.errors import UnusableFaultError, UnusableOptionError
from stoqapp_sandbox.faults import Fault, fault_from


class Options(TypedDict, total=False):
    """The options as they are given; `stoqapp_sandbox.Sandbox` says what they mean."""

    rate_limit: tuple[int, float] | None
    assume: Mapping[str, Any] | None
    shops: str | Iterable[str] | None
    catalog: Catalog | str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None
    faults: Sequence[str]
    allow_origin: str | None


@frozen(kw_only=True)
class Settings:
    """The options as they are used.

    Attributes:
        assumptions: What is taken for granted.
        catalog: Which shops, products and variants exist.
        faults: What goes wrong from the beginning.
        allow_origin: The origin whose scripts may use the API.
    """

    assumptions: Assumptions
    catalog: Catalog
    faults: tuple[Fault, ...]
    allow_origin: str | None

    @classmethod
    def of(cls, options: Options) -> "Settings":
        """Check *options*.

        Raises:
            UnusableOptionError: One is unusable (`UnusableFaultError` where that is a fault).
            SandboxError: The catalog's file cannot be read.
            TypeError: An option is unknown.
        """
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            raise TypeError(f"there is no option {unknown[0]!r}")
        return cls(
            assumptions=_assumptions(options.get("assume"), options.get("rate_limit")),
            catalog=Catalog.of(options.get("shops"), options.get("catalog")),
            faults=tuple(_faults(options.get("faults", ()))),
            allow_origin=_origin(options.get("allow_origin")),
        )


def _assumptions(assume: Mapping[str, Any] | None, rate_limit: object) -> Assumptions:
    assumptions = Assumptions.of(assume)
    if rate_limit is None:
        return assumptions
    if isinstance(rate_limit, tuple | list) and len(rate_limit) == 2:
        points, seconds = rate_limit
        limits = {"rate_points": points, "rate_window": seconds, "rate_enforced": "yes"}
        if twice := sorted(limits.keys() & (assume or {}).keys()):
            raise UnusableOptionError(f"rate limit decides {', '.join(twice)}, too: give only one")
        if not isinstance(points, str) and not isinstance(seconds, str):
            try:
                return Assumptions.of({**(assume or {}), **limits})
            except UnusableOptionError:
                pass
    raise UnusableOptionError(
        "rate limit must be whole points, at least 1, and seconds, like 360 and 60"
    )


def _faults(given: object) -> Iterable[Fault]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UnusableFaultError(
            "faults must be a list of texts, like ['reset-after-store:every=10']"
        )
    for text in given:
        try:
            yield fault_from(text, lasting=True)
        except UnusableFaultError as error:
            raise UnusableFaultError(f"{text!r}: {error}") from None


def _origin(given: object) -> str | None:
    if given is None:
        return None
    try:
        parts = urlsplit(given) if isinstance(given, str) else None
        if parts and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            origin = f"{parts.scheme}://{parts.netloc}".lower()
            if origin == str(given).lower().removesuffix("/"):
                return origin
    except ValueError:
        pass
    raise UnusableOptionError(
        "allow origin must be scheme, host and port as a browser sends them in Origin, like"
        " http://localhost:3000"
    )
