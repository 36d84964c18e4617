"""What the sandbox assumes about the service; the table is ``assumptions.toml``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from attrs import asdict, field, frozen

from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.schemas import fits, plain


@frozen
class Assumption:
    """One assumption: a switch with choices, a switch with a number, or a statement.

    Attributes:
        name: Its name in `ASSUMPTIONS`.
        about: What it decides, or states.
        trust: ``"vendor"`` where the vendor's documentation says so, ``"observed"`` where
            somebody saw the real service do it, ``"assumed"`` where it is a guess.
        choices: What the service might do, by name.
        default: The choice or number unless another is given; empty for a statement.
        numbers: The numbers that it can be set to, as a JSON Schema.
        range: Choices or numbers in words.
        instead: What else the service might do, for a statement.
    """

    name: str
    about: str
    trust: Literal["vendor", "observed", "assumed"]
    choices: Mapping[str, str] = field(factory=dict)
    default: str | float = ""
    numbers: dict[str, Any] = field(factory=dict)
    range: str = ""
    instead: str = ""

    def value_from(self, given: object) -> str | float:
        """Return the choice or number that was *given*; raises UnusableOptionError."""
        text = str(given)
        value = plain(text) if self.numbers else text
        if value in self.choices or (self.numbers and fits(value, self.numbers)):
            return value
        raise UnusableOptionError(f"assumption {self.name} must be {self.range}")


def _assumption(name: str, row: Mapping[str, Any]) -> Assumption:
    choices = [*row.get("choices", ())]
    usual = {"default": choices[0], "range": f"one of {', '.join(choices)}"} if choices else {}
    return Assumption(name, **usual, **row)


_TABLE: Final = tomllib.loads(Path(__file__).with_name("assumptions.toml").read_text("utf-8"))
ASSUMPTIONS: Final[Mapping[str, Assumption]] = {
    name: _assumption(name, row) for name, row in _TABLE.items()
}
_SWITCHES: Final = {name: entry for name, entry in ASSUMPTIONS.items() if not entry.instead}


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
                    f"{name!r} is not an assumption: choose from {', '.join(chosen)}"
                )
            chosen[name] = _SWITCHES[name].value_from(value)
        return cls(chosen)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the whole table by name, in values of JSON, each entry with its ``value``."""
        return {n: {**asdict(one), "value": self.get(n)} for n, one in ASSUMPTIONS.items()}


DEFAULTS: Final = Assumptions.of()
