"""The options of a sandbox: as they are given, and as they are used."""

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from attrs import field, frozen

from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.catalog import Catalog, catalog_from
from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.faults import Fault, fault_from


class Options(TypedDict, total=False):
    """The options as they are given; `stoqapp_sandbox.Sandbox` says what they mean."""

    rate_limit: tuple[int, float] | None
    assume: Mapping[str, Any] | None
    catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]] | None] | None
    faults: Sequence[str]
    allow_origin: str | None


def _faults(given: Any) -> list[Fault]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UnusableOptionError("faults must be a list of texts, like ['reset-after-store']")
    return [fault_from(text, lasting=True) for text in given]


def _origin(given: Any) -> str | None:
    if given is None:
        return None
    origin = re.fullmatch(r"(https?://[^/?#\s]+)/?", str(given), re.IGNORECASE)
    if origin is None:
        raise UnusableOptionError(
            "allow origin must be like http://localhost:3000: scheme, host and port alone"
        )
    return origin[1].lower()


@frozen(kw_only=True)
class Settings:
    """`Options` as they are used; raises as `Sandbox` does, TypeError where one is unknown."""

    rate_limit: Any = None
    assume: Any = None
    catalog: Catalog = field(default=None, converter=catalog_from)
    faults: Sequence[Fault] = field(default=(), converter=_faults)
    allow_origin: str | None = field(default=None, converter=_origin)
    assumptions: Assumptions = field(init=False)

    @assumptions.default
    def _with_rate_limit(self) -> Assumptions:
        assumptions = Assumptions.of(self.assume)
        if self.rate_limit is None:
            return assumptions
        try:
            points, seconds = self.rate_limit
            limits = {"rate_points": points, "rate_window": seconds, "rate_enforced": "yes"}
            limited = Assumptions.of(assumptions | limits)
        except (TypeError, ValueError):
            raise UnusableOptionError(
                "rate limit must be whole points, at least 1, and seconds, like 360 and 60"
            ) from None
        if twice := limits.keys() & (self.assume or {}).keys():
            raise UnusableOptionError(f"rate limit decides {', '.join(sorted(twice))}, too")
        return limited
