"""What a judge complains of for a known reason: lists in TOML, in which nothing may go stale."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from attrs import field, frozen


@frozen
class Explanation:
    """Why a complaint is no fault.

    Attributes:
        pattern: What matches the whole text of the complaint.
        reason: Why it is no fault, for the reader.
    """

    pattern: re.Pattern[str]
    reason: str


@frozen
class Explanations:
    """The explanations of one list, and what they have explained so far.

    Attributes:
        path: The TOML file they are from.
    """

    path: Path
    entries: tuple[Explanation, ...]
    uses: Counter[str] = field(factory=Counter, init=False)

    def unexplained(self, complaints: Iterable[str]) -> list[str]:
        """Return the complaints that no entry explains, and count the uses of those that do."""
        left = []
        for complaint in complaints:
            matching = [entry for entry in self.entries if entry.pattern.fullmatch(complaint)]
            self.uses.update(entry.pattern.pattern for entry in matching)
            if not matching:
                left.append(complaint)
        return left

    def stale(self) -> list[str]:
        """Return the patterns that have explained nothing."""
        patterns = [entry.pattern.pattern for entry in self.entries]
        return [pattern for pattern in patterns if not self.uses[pattern]]

    def report(self) -> str:
        """Return a line for each entry: how often it served, its pattern, its reason."""
        return "\n".join(
            f"  {self.uses[entry.pattern.pattern]:6} x {entry.pattern.pattern}\n"
            f"           {entry.reason}"
            for entry in self.entries
        )


def explanations_from_toml(path: Path, title: str = "explained") -> Explanations:
    """Read the list *title*: tables with that name, each with a ``pattern`` and a ``reason``.

    Raises:
        SystemExit: The file is not like that.
    """
    try:
        entries = tomllib.loads(path.read_text("utf-8"))[title]
        made = tuple(Explanation(re.compile(e["pattern"]), e["reason"]) for e in entries)
    except (KeyError, TypeError, re.error, tomllib.TOMLDecodeError) as error:
        raise SystemExit(
            f"{path.name}: each [[{title}]] needs a pattern and a reason: {error!r}"
        ) from None
    if not all(entry.reason.strip() for entry in made):
        raise SystemExit(f"{path.name}: a [[{title}]] has no reason")
    return Explanations(path, made)
