"""The options of a sandbox that can change while it runs, checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Self, TypedDict
from urllib.parse import urlsplit

from attrs import frozen

from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.catalog import Catalog
from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.faults import Fault, fault_from


class Options(TypedDict, total=False):
    """The options as they are given; `stoqapp_sandbox.Sandbox` says what they mean."""

    rate_limit: tuple[int, float] | None
    assume: Mapping[str, Any] | None
    shops: str | Iterable[str] | None
    catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None
    faults: Sequence[str]
    allow_origin: str | None


@frozen
class Settings:
    """The options as they are used."""

    assumptions: Assumptions
    catalog: Catalog
    faults: tuple[Fault, ...]
    allow_origin: str | None

    @classmethod
    def of(cls, options: Options) -> Self:
        """Check *options*; raises as `stoqapp_sandbox.Sandbox` does, TypeError where unknown."""
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            raise TypeError(f"there is no option {unknown[0]!r}")
        return cls(
            _assumptions(options.get("assume"), options.get("rate_limit")),
            Catalog.of(options.get("shops"), options.get("catalog")),
            tuple(_faults(options.get("faults", ()))),
            _origin(options.get("allow_origin")),
        )


def _assumptions(assume: Mapping[str, Any] | None, rate_limit: Any) -> Assumptions:
    assumptions = Assumptions.of(assume)
    if rate_limit is None:
        return assumptions
    try:
        points, seconds = rate_limit
        limits = {"rate_points": points, "rate_window": seconds, "rate_enforced": "yes"}
        limited = Assumptions.of(assumptions | limits)
    except (TypeError, ValueError):
        raise UnusableOptionError(
            "rate limit must be whole points, at least 1, and seconds, like 360 and 60"
        ) from None
    if twice := sorted(limits.keys() & (assume or {}).keys()):
        raise UnusableOptionError(f"rate limit decides {', '.join(twice)}, too: give only one")
    return limited


def _faults(given: object) -> Iterator[Fault]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UnusableOptionError(
            "faults must be a list of texts, like ['reset-after-store:every=10']"
        )
    for text in given:
        try:
            yield fault_from(text, lasting=True)
        except UnusableOptionError as error:
            raise UnusableOptionError(f"fault {text!r}: {error}") from None


def _origin(given: Any) -> str | None:
    if given is None:
        return None
    parts = urlsplit(given) if isinstance(given, str) else urlsplit("")
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if parts.scheme in ("http", "https") and parts.netloc and origin == given.lower().rstrip("/"):
        return origin
    raise UnusableOptionError(
        "allow origin must be scheme, host and port as a browser sends them in Origin, like"
        " http://localhost:3000"
    )
