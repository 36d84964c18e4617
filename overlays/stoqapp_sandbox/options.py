"""The options of a sandbox: as they are given, and as they are used."""

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Self, TypedDict

from attrs import frozen

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


@frozen
class Settings:
    """The options as they are used."""

    assumptions: Assumptions
    catalog: Catalog
    faults: Sequence[Fault]
    allow_origin: str | None

    @classmethod
    def of(
        cls,
        *,
        rate_limit: Any = None,
        assume: Any = None,
        catalog: Any = None,
        faults: Any = (),
        allow_origin: Any = None,
    ) -> Self:
        """Check `Options`; raises as `stoqapp_sandbox.Sandbox` does, TypeError where unknown."""
        if isinstance(faults, str) or not isinstance(faults, Iterable):
            raise UnusableOptionError(
                "faults must be a list of texts, like ['reset-after-store:every=10']"
            )
        return cls(
            _assumptions(assume, rate_limit),
            catalog_from(catalog),
            [fault_from(text, lasting=True) for text in faults],
            _origin(allow_origin),
        )


def _assumptions(assume: Any, rate_limit: Any) -> Assumptions:
    assumptions = Assumptions.of(assume)
    if rate_limit is None:
        return assumptions
    try:
        points, seconds = rate_limit
        limits = {"rate_points": points, "rate_window": seconds, "rate_enforced": "yes"}
        return Assumptions.of(assumptions | limits)
    except (TypeError, ValueError):
        raise UnusableOptionError(
            "rate limit must be whole points, at least 1, and seconds, like 360 and 60"
        ) from None


def _origin(given: Any) -> str | None:
    if given is None:
        return None
    origin = re.fullmatch(r"(https?://[^/?#\s]+)/?", str(given), re.IGNORECASE)
    if origin is None:
        raise UnusableOptionError(
            "allow origin must be scheme, host and port as a browser sends them in Origin, like"
            " http://localhost:3000"
        )
    return origin[1].lower()
