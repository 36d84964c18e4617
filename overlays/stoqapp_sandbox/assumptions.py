"""What the sandbox takes for granted about the service; the table is ``assumptions.toml``."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from attrs import asdict, field, frozen

from stoqapp_sandbox.errors import UnusableOptionError


@frozen
class Assumption:
    """One thing taken for granted: a switch with choices, a switch with a number, or a statement.

    Attributes:
        name: Its name in `ASSUMPTIONS`.
        about: What it decides, or states.
        trust: ``"vendor"`` where the vendor's documentation says so, ``"observed"`` where
            somebody saw the real service do it, ``"assumed"`` where it is a guess.
        choices: What the service might do, by name; the first is the default.
        number: Its ``default``, and the ``least`` and ``most`` it can be set to; ``whole`` says
            whether fractions are refused.
        instead: What else the service might do, for a statement.
    """

    name: str
    about: str
    trust: Literal["vendor", "observed", "assumed"]
    choices: Mapping[str, str] = field(factory=dict)
    number: Mapping[str, float] = field(factory=dict)
    instead: str = ""

    @property
    def is_switch(self) -> bool:
        """Whether the sandbox can do otherwise."""
        return not self.instead

    @property
    def default(self) -> str | float:
        """The choice or number unless another is given; empty for a statement."""
        return self.number["default"] if self.number else next(iter(self.choices), "")

    @property
    def range(self) -> str:
        """The numbers that it can be set to, in words."""
        kind = "a whole number" if self.number["whole"] else "a number"
        return f"{kind} from {self.number['least']:g} to {self.number['most']:.10g}"

    def value_from(self, given: object) -> str | float:
        """Return the choice or number that was *given*; raises UnusableOptionError."""
        if not self.number:
            choice = given if isinstance(given, str) else repr(given)
            if choice not in self.choices:
                known = ", ".join(self.choices)
                raise UnusableOptionError(f"assumption {self.name} must be one of {known}")
            return choice
        try:
            number = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        is_whole = number.is_integer()
        # A comparison with NaN is False.
        is_within = self.number["least"] <= number <= self.number["most"]
        if not is_within or (self.number["whole"] and not is_whole):
            raise UnusableOptionError(f"assumption {self.name} must be {self.range}")
        return int(number) if is_whole else number


_TABLE: Final = tomllib.loads(Path(__file__).with_name("assumptions.toml").read_text("utf-8"))
ASSUMPTIONS: Final[Mapping[str, Assumption]] = {
    name: Assumption(name, **row) for name, row in _TABLE.items()
}
_SWITCHES: Final = {name: entry for name, entry in ASSUMPTIONS.items() if entry.is_switch}


class Assumptions(dict[str, Any]):
    """A choice (str) or number for each switch of `ASSUMPTIONS`, by name."""

    @classmethod
    def of(cls, given: Mapping[str, Any] | None = None) -> Self:
        """Return the defaults with what is *given* by name, like ``{"duplicate": "409"}``.

        A choice is given by its name (``409`` for ``"409"`` is fine), a number as such or as text.

        Raises:
            UnusableOptionError: A name or a choice is unknown; the message lists those there are.
        """
        if not isinstance(given, Mapping | None):
            raise UnusableOptionError('assume must be like {"duplicate": "409"}')
        chosen = {name: entry.default for name, entry in _SWITCHES.items()}
        for name, value in (given or {}).items():
            if name not in _SWITCHES:
                raise UnusableOptionError(
                    f"{name!r} cannot be assumed: choose of {', '.join(chosen)}"
                )
            chosen[name] = _SWITCHES[name].value_from(value)
        return cls(chosen)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the whole table by name, in values of JSON, with ``value`` and ``default``."""
        return {
            name: {**asdict(entry), "value": self.get(name), "default": entry.default}
            for name, entry in ASSUMPTIONS.items()
        }


DEFAULTS: Final = Assumptions.of()
