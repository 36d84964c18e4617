"""What can go wrong on purpose, and which requests it happens to; the table is ``faults.toml``.

The command line takes a fault as text, like ``status=503:times=2``. Python and HTTP take the same
words, with options as arguments or fields.
"""

import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

from attrs import asdict, define, evolve, field, frozen
from attrs.filters import include

from stoqapp_sandbox.answers import (
    NOT_FOUND,
    PHRASES,
    Answer,
    Ends,
    Sends,
    error_answer,
    json_text,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.schemas import fits, plain

_SCRIPTED: Final = "Scripted by the sandbox"
_WITHOUT_BODY: Final = (204, 304)
_LISTED: Final = include("times", "after", "every", "probability", "seen", "happened")
_TABLE: Final = tomllib.loads(Path(__file__).with_name("faults.toml").read_text("utf-8"))


@frozen
class Word:
    """A kind of fault, or an option of one; ``faults.toml`` explains the attributes."""

    name: str
    about: str
    schema: dict[str, Any] = field(factory=lambda: {"enum": [""]})
    says: str = "takes no value"
    written: str = ""
    example: str = ""
    of: str = ""
    stores: bool = True
    sends: Sends = "all"
    ends: Ends = "open"


KINDS: Final = {
    name: Word(name, **{"written": name, "example": name, **row})
    for name, row in _TABLE["kinds"].items()
}
OPTIONS: Final = {name: Word(name, **row) for name, row in _TABLE["options"].items()}
# Media type and body of an odd 201, by shape.
SHAPES: Final[Mapping[str, tuple[str, bytes]]] = {
    name: (media_type, body.encode("latin-1"))
    for name, (media_type, body) in _TABLE["shapes"].items()
}


class FaultOptions(TypedDict, total=False):
    """The options of a fault; None stands for not given.

    Attributes:
        times: How many requests fail, then it is over; 1 unless this, ``every`` or
            ``probability`` is given.
        after: How many requests pass first.
        every: Of those that follow, every Nth fails.
        probability: The probability of each failure, above 0, at most 1.
        retry_after: For a status, the seconds in the header Retry-After.
        headers: For a status, more headers; they win over the usual ones.
        body: For a status, a str or bytes that is sent as it is, or anything else as JSON.
    """

    times: int | None
    after: int | None
    every: int | None
    probability: float | None
    retry_after: int | None
    headers: Mapping[str, str] | None
    body: Any


@define(eq=False)
class Fault:
    """What goes wrong, and when (see `FaultOptions`), and with how many requests it *happened*.

    *written* is kind and value as text, *value* the status, seconds or shape; for a latency one
    or two waits in seconds, between which chance decides.
    """

    kind: Word
    written: str
    value: Any
    times: int | None = None
    after: int = 0
    every: int = 1
    probability: float = 1.0
    retry_after: int | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    seen: int = field(default=0, init=False)
    happened: int = field(default=0, init=False)
    # Seeded, so that a run can be repeated.
    draw: random.Random = field(factory=lambda: random.Random(0), init=False)  # noqa: S311

    def meets(self) -> bool:
        """Count one more request, and return whether it fails."""
        self.seen += 1
        turn = self.seen - self.after
        is_due = turn >= 1 and turn % self.every == 0
        fails = is_due and self.draw.random() < self.probability
        self.happened += fails
        return fails


def fault_from(
    fault: object, options: Mapping[str, object] | None = None, *, lasting: bool = False
) -> Fault:
    """Return the fault that a status or text like ``latency=2:every=10`` and *options* describe.

    One that is *lasting* goes on without end unless ``times`` is given. Raises
    UnusableOptionError, which says what is wrong, and where.
    """
    text = f"status={fault}" if type(fault) is int else fault
    if not isinstance(text, str):
        raise UnusableOptionError(
            "fault: must be a status, like 503, or text, like 'reset-after-store'"
        )
    written, *rest = text.split(":")
    name, _, value = written.partition("=")
    if name not in KINDS:
        raise UnusableOptionError(f"{name!r} is not a fault; choose from {', '.join(KINDS)}")
    seconds = [plain(one) for one in value.split("-")]
    said = {word: plain(one) for word, _, one in (part.partition("=") for part in rest)}
    given = {name: seconds if name == "latency" else plain(value), **said}
    given |= {option: one for option, one in (options or {}).items() if one is not None}
    for word, one in given.items():
        row, wrong = KINDS[name] if word == name else OPTIONS.get(word), ""
        if row is None:
            wrong = f"is not an option of a fault; choose from {', '.join(OPTIONS)}"
        elif row.of not in ("", name):
            wrong = f"goes only with the fault {row.of}"
        elif not fits(one, row.schema):
            wrong = row.says
        if wrong:
            raise UnusableOptionError(f"fault {written}: {word} {wrong}")
    status = given.pop(name)
    if given.get("body") and status in _WITHOUT_BODY:
        raise UnusableOptionError(f"fault {written}: an answer with that status has no body")
    if not lasting and not given.keys() & {"times", "every", "probability"}:
        given["times"] = 1
    return Fault(KINDS[name], written, status, **given)


def delivery(answer: Answer, struck: Sequence[Fault]) -> Answer:
    """Return the answer to a judged request, or `scripted_answer`, as it goes out."""
    for fault in struck:
        if fault.kind.name == "latency":
            wait_seconds = answer.wait_seconds + fault.draw.uniform(fault.value[0], fault.value[-1])
            answer = evolve(answer, wait_seconds=wait_seconds)
        elif fault.kind.name == "slow-bytes":
            answer = evolve(answer, seconds_per_byte=fault.value)
        elif fault.kind.name == "odd-201" and answer.status == 201:
            media_type, body = SHAPES[fault.value]
            answer = evolve(answer, body=body, headers={"content-type": media_type})
        answer = evolve(answer, sends=fault.kind.sends, ends=fault.kind.ends)
    return answer


def scripted_answer(fault: Fault, seconds_left: int, assumptions: Assumptions) -> Answer:
    """Return the answer of a *fault* that stores nothing, usual where it names no more."""
    status = fault.value or 503
    if status == 429:
        seconds = seconds_left if fault.retry_after is None else fault.retry_after
        usual = rate_limited_answer(seconds, _SCRIPTED, assumptions)
    elif status < 300:
        usual = messages_answer(status, [_SCRIPTED], assumptions)
    else:
        reason = NOT_FOUND if status == 404 else PHRASES.get(status, _SCRIPTED)
        usual = error_answer(status, reason, assumptions)
    headers, body = dict(usual.headers), usual.body
    if status in _WITHOUT_BODY:
        headers, body = {}, b""
    elif isinstance(fault.body, str | bytes):
        headers["content-type"] = "text/plain; charset=utf-8"
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    elif fault.body is not None:
        headers["content-type"], body = "application/json", json_text(fault.body).encode()
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    return Answer(status, body, headers | {n.lower(): v for n, v in fault.headers.items()})


class Faults(list[Fault]):
    """The faults that wait, in order. One thread at a time may `take`; others may add to them."""

    def take(self) -> list[Fault]:
        """Return what the next request meets: latencies, and at most one other, the last.

        Those behind a fault that is due do not see the request.
        """
        struck = []
        for fault in [*self]:
            if not fault.meets():
                continue
            struck.append(fault)
            if fault.happened == fault.times:
                self.remove(fault)
            if fault.kind.name != "latency":
                break
        return struck

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults, in order, each in values of JSON."""
        return [{"fault": one.written, **asdict(one, filter=_LISTED)} for one in [*self]]
