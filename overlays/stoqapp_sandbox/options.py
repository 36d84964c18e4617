"""What a sandbox can be told when it starts, checked."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.catalog import Catalog
from stoqapp_sandbox.errors import (
    SandboxNotInstalledError,
    UnusableFaultError,
    UnusableOptionError,
)
from stoqapp_sandbox.fault_queue import Faults
from stoqapp_sandbox.faults import fault_from
from stoqapp_sandbox.latency import Latency
from stoqapp_sandbox.spec import operation_from_spec, spec
from stoqapp_sandbox.state import State

if TYPE_CHECKING:
    from stoqapp_sandbox.service import Service

# What the extra installs, with what that needs.
_EXTRA: Final = frozenset({"anyio", "click", "h11", "jsonschema_rs", "starlette", "uvicorn"})


@frozen(kw_only=True)
class Options:
    """The options of a `Sandbox` that are not about its address; it says what they mean."""

    rate_limit: tuple[int, float] | None = None
    assume: Mapping[str, Any] | None = None
    shops: str | Iterable[str] | None = None
    catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None = None
    latency: float | tuple[float, float] = 0.0
    seed: int | None = None
    faults: Sequence[str] = ()

    def service(self, state: State) -> "Service":
        """Return the service that they describe.

        Raises:
            SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
            SandboxError: The vendor's ``openapi.json`` is not as expected, or the catalog's file
                cannot be read.
            UnusableOptionError: An option is unusable (`UnusableFaultError` where that is a fault).
        """
        try:
            from stoqapp_sandbox.service import Service
            from stoqapp_sandbox.store import Store
        except ModuleNotFoundError as missing:
            raise not_installed(missing) from missing
        assumptions = self._assumptions()
        if self.seed is not None and type(self.seed) is not int:
            raise UnusableOptionError("seed must be a whole number")
        return Service(
            operation_from_spec(spec()),
            assumptions,
            catalog=Catalog.of(self.shops, self.catalog),
            store=Store(assumptions, state, seed=self.seed),
            latency=Latency.of(self.latency, self.seed),
            faults=self._faults(),
        )

    def _assumptions(self) -> Assumptions:
        assumptions = Assumptions.of(self.assume)
        if self.rate_limit is None:
            return assumptions
        try:
            points, seconds = self.rate_limit
            if isinstance(points, str) or isinstance(seconds, str):
                raise TypeError  # noqa: TRY301
            Assumptions.of({"rate_points": points, "rate_window": seconds})
        except (TypeError, ValueError):
            raise UnusableOptionError(
                "rate limit must be whole points, at least 1, and seconds, like 360 and 60"
            ) from None
        limits = {"rate_points": points, "rate_window": seconds, "rate_enforced": "yes"}
        if told := sorted(limits.keys() & (self.assume or {}).keys()):
            raise UnusableOptionError(
                f"rate limit decides {', '.join(told)}, too: give one of them"
            )
        return Assumptions.of({**(self.assume or {}), **limits})

    def _faults(self) -> Faults:
        if isinstance(self.faults, str) or not isinstance(self.faults, Iterable):
            raise UnusableFaultError(
                "faults must be a list of texts, like ['reset-after-store:every=10']"
            )
        lasting = []
        for text in self.faults:
            try:
                lasting.append(fault_from(text, lasting=True))
            except UnusableFaultError as error:
                raise UnusableFaultError(f"{text!r}: {error}") from None
        return Faults(lasting)


def not_installed(missing: ModuleNotFoundError) -> Exception:
    """Return the error for a module that was not found: ours where the extra brings it."""
    package = (missing.name or "").partition(".")[0]
    return SandboxNotInstalledError(package) if package in _EXTRA else missing
