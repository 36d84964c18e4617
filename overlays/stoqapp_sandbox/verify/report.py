"""What a run comes to: for each assumption whether it holds, and a sandbox that does the same."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from attrs import asdict, frozen

from stoqapp_sandbox.assumptions import ASSUMPTIONS, DEFAULTS
from stoqapp_sandbox.verify.probes import ASKED_AROUND, NOT_ASKED, PROBES
from stoqapp_sandbox.verify.run import Inquiry
from stoqapp_sandbox.verify.worlds import World

Verdict = Literal["holds", "does not hold", "cannot be told", "no answer", "not asked"]

_WIDTH: Final = 100
_MOST_EXPLANATIONS: Final = 5
_SIDES: Final = {
    frozenset({-1}): "below",
    frozenset({-1, 0}): "at most",
    frozenset({0, 1}): "at least",
    frozenset({1}): "above",
}
_LOST: Final = "too much else was open by then"
_NO_CHOICE: Final = "none of the known choices: answered"


@frozen
class Finding:
    """What is known of one assumption after the run.

    Attributes:
        name: Of the entry.
        trust: Its trust, see `stoqapp_sandbox.Assumption`.
        expected: The choice or number that was thought to hold.
        seen: Those that fit all answers; empty where none does or nothing was seen.
        verdict: ``"holds"`` where the expected one alone fits, ``"does not hold"`` where it does
            not, ``"cannot be told"`` where it is one of several.
        note: More about it, for people.
        bound: What is known of a number that was not seen itself, like ``"below 100"``; those in
            *seen* stand for it, as they do in `Report.assume`. Empty for all else.
    """

    name: str
    trust: str
    expected: str
    seen: tuple[str, ...]
    verdict: Verdict
    note: str = ""
    bound: str = ""


@frozen
class Report:
    """What a run comes to.

    Attributes:
        findings: One for each entry of the table.
        explanations: What has to be assumed otherwise than expected, so that a sandbox answers as
            the service did; several where they cannot be told apart, the shortest first. The
            first one is empty where nothing has to be.
        assume: What ``Sandbox(assume=...)`` takes to do as the service did.
        asked: How many requests were sent.
        unanswered: How many of them went without an answer, or with one that tells nothing (5xx).
        already_waiting: Whether the customer was on the list before.
        end: What ended the run before its end; None where nothing did.
        reason: The same for people.
    """

    findings: tuple[Finding, ...]
    explanations: tuple[dict[str, str], ...]
    assume: dict[str, str]
    asked: int
    unanswered: int
    already_waiting: bool
    end: str | None
    reason: str

    @property
    def deviates(self) -> bool:
        """Whether something that was expected does not hold."""
        odd = any(finding.verdict == "does not hold" for finding in self.findings)
        return odd or bool(self.explanations[0])

    @property
    def command(self) -> str:
        """The command that starts a sandbox that does as the service did."""
        chosen = [f"--assume {name}={choice}" for name, choice in self.assume.items()]
        return " ".join(["stoqapp", "sandbox", *chosen])

    @property
    def python(self) -> str:
        """The same in Python."""
        return f"Sandbox(assume={self.assume!r})" if self.assume else "Sandbox()"

    def as_json(self) -> dict[str, Any]:
        """Return it in values of JSON."""
        return {
            "holds": not self.deviates,
            "assumptions": [asdict(finding) for finding in self.findings],
            "explanations": list(self.explanations),
            "sandbox": {"assume": self.assume, "command": self.command, "python": self.python},
            "requests": self.asked,
            "unanswered": self.unanswered,
            "already_waiting": self.already_waiting,
            "ended_by": self.end,
            "reason": self.reason,
        }

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        if self.already_waiting:
            yield from _wrapped(
                "The customer was on this waitlist before, perhaps from an earlier run, so only a"
                " part could be asked; give another --variant to ask for all."
            )
        rows = [("assumption", "trust", "expected", "seen")]
        rows += [
            (finding.name, finding.trust, finding.expected, _told(finding))
            for finding in self.findings
            if finding.verdict != "not asked"
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for *cells, seen in rows:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            yield f"{padded}  {seen}".rstrip()
        yield ""
        for finding in self.findings:
            if finding.verdict == "not asked":
                yield from _wrapped(f"not asked: {finding.name} ({finding.note})")
        if self.unanswered:
            yield ""
            yield from _wrapped(
                f"{self.unanswered} of {self.asked} requests went without an answer, or with one"
                " that tells nothing (5xx, a redirect)."
            )
        if self.reason:
            yield ""
            yield from _wrapped(f"The run ended early: {self.reason}.")
        if not any(finding.seen for finding in self.findings):
            return
        yield ""
        if unlike := [f.name for f in self.findings if f.verdict == "does not hold" and not f.seen]:
            yield from _wrapped(f"No sandbox does what was seen of {', '.join(unlike)}.")
        if len(self.explanations) > 1:
            yield "What was seen has more than one explanation:"
            for number, explanation in enumerate(self.explanations, 1):
                told = ", ".join(f"{name}={choice}" for name, choice in explanation.items())
                yield f"  {number}. {told}"
            yield "A sandbox that does as the first one says:"
        else:
            yield "A sandbox that answers as was seen:"
        yield f"  {self.command}"
        yield f"  {self.python}"
        for finding in self.findings:
            if finding.bound and finding.name in self.assume:
                yield from _wrapped(
                    f"{finding.name}={self.assume[finding.name]} stands for {finding.bound}: more"
                    " than that was not seen."
                )


def _told(finding: Finding) -> str:
    if finding.verdict == "holds":
        return "as expected"
    if finding.verdict == "cannot be told":
        return f"cannot be told: {finding.note or ' or '.join(finding.seen)}"
    if finding.verdict == "no answer":
        return f"no answer: {finding.note}" if finding.note else "no answer"
    return finding.note or " or ".join(finding.seen)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def report_of(inquiry: Inquiry) -> Report:
    """Return what *inquiry* came to."""
    explanations = _explanations(inquiry)
    world = min(inquiry.worlds, key=lambda world: len(_deviations(world, inquiry)))
    assume = {name: choice for name, choice in world.assumed.items() if choice != DEFAULTS[name]}
    return Report(
        findings=tuple(_findings(inquiry)),
        explanations=explanations,
        assume=assume,
        asked=inquiry.asked,
        unanswered=inquiry.asked - sum(heard is not None for heard in inquiry.log),
        already_waiting=inquiry.waiting,
        end=inquiry.end,
        reason=inquiry.reason,
    )


def _deviations(world: World, inquiry: Inquiry) -> dict[str, str]:
    expected = inquiry.expected
    return {
        name: value
        for name in expected
        if name in inquiry.told and (value := world.assumed[name]) != expected[name]
    }


def _explanations(inquiry: Inquiry) -> tuple[dict[str, str], ...]:
    """Return the deviations of the worlds, without those that hold more than others of them do."""
    found: list[dict[str, str]] = []
    for deviations in sorted((_deviations(world, inquiry) for world in inquiry.worlds), key=len):
        if not any(fewer.items() <= deviations.items() for fewer in found):
            found.append(deviations)
    return tuple(found[:_MOST_EXPLANATIONS])


def _findings(inquiry: Inquiry) -> Iterator[Finding]:
    expected = dict(inquiry.expected)
    skipped = _skipped(inquiry)
    for name, entry in ASSUMPTIONS.items():
        if not entry.is_switch:
            continue
        trust = entry.trust
        wanted = expected[name]
        if name in inquiry.odd:
            note = f"{_NO_CHOICE} {inquiry.odd[name]}"
            yield Finding(name, trust, wanted, (), "does not hold", note)
        elif name in inquiry.told:
            fitting = dict.fromkeys(world.assumed[name] for world in inquiry.worlds)
            yield _finding_of(name, trust, wanted, tuple(fitting), bool(entry.number))
        elif name in inquiry.lost:
            yield Finding(name, trust, wanted, (), "cannot be told", _LOST)
        elif name in inquiry.unseen:
            yield Finding(name, trust, wanted, (), "cannot be told", "no answer shows it")
        elif name in inquiry.unanswered:
            yield Finding(name, trust, wanted, (), "no answer", inquiry.unanswered[name])
        else:
            note = NOT_ASKED.get(name) or skipped.get(name) or _nothing_seen(inquiry)
            yield Finding(name, trust, wanted, (), "not asked", note)


def _finding_of(
    name: str, trust: str, expected: str, fitting: Sequence[str], is_number: bool
) -> Finding:
    fitting = tuple(sorted(fitting, key=lambda choice: choice != expected))
    bound = _bound_of(name, fitting)
    if expected not in fitting:
        return Finding(name, trust, expected, fitting, "does not hold", bound, bound)
    if len(fitting) == 1 and not bound:
        return Finding(name, trust, expected, fitting, "holds")
    note = bound or ("no answer shows it" if is_number else "")
    return Finding(name, trust, expected, fitting, "cannot be told", note, bound)


def _bound_of(name: str, fitting: Sequence[str]) -> str:
    """Return on which side of the number that was asked for all of *fitting* are, if on one."""
    asked = ASKED_AROUND.get(name)
    if asked is None:
        return ""
    sides = {(float(number) > asked) - (float(number) < asked) for number in fitting}
    said = _SIDES.get(frozenset(sides))
    return f"{said} {asked}" if said else ""


def _nothing_seen(inquiry: Inquiry) -> str:
    return "the run ended before" if inquiry.end else "no answer that was asked for shows it"


def _skipped(inquiry: Inquiry) -> Mapping[str, str]:
    return {
        name: inquiry.skipped[probe.name]
        for probe in PROBES
        if probe.name in inquiry.skipped
        for name in probe.entries
    }
