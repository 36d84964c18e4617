"""What can go wrong on purpose, and which requests it happens to; the table is ``faults.toml``.

The command line takes a fault as text, like ``status=503:times=2``. Python and HTTP take the same
words, with options as arguments or fields.
"""

import json
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

from attrs import define, evolve, field, frozen

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

_SCRIPTED: Final = "Scripted by the sandbox"
_WITHOUT_BODY: Final = (204, 304)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_LISTED: Final = ("times", "after", "every", "probability", "seen", "happened")
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")
_TABLE: Final = tomllib.loads(Path(__file__).with_name("faults.toml").read_text("utf-8"))


@frozen
class Kind:
    """A kind of fault; ``faults.toml`` explains the attributes."""

    name: str
    about: str
    value: str = ""
    stores: bool = True
    sends: Sends = "all"
    ends: Ends = "open"

    @property
    def written(self) -> str:
        """How it is written, like ``status=STATUS``."""
        return f"{self.name}={self.value}" if self.value else self.name

    @property
    def example(self) -> str:
        """Text for one, like ``status=503``."""
        return f"{self.name}={_TABLE['values'][self.value]['like']}" if self.value else self.name


KINDS: Final = {name: Kind(name, **row) for name, row in _TABLE["kinds"].items()}
# What each option does.
OPTIONS: Final[Mapping[str, str]] = {name: row["about"] for name, row in _TABLE["options"].items()}
# Media type and body of an odd 201, by shape.
SHAPES: Final[Mapping[str, tuple[str, bytes]]] = {
    name: (media_type, body.encode("latin-1"))
    for name, (media_type, body) in _TABLE["shapes"].items()
}


class FaultOptions(TypedDict, total=False):
    """The options of a fault; None stands for not given. Those behind `probability` need a status.

    Attributes:
        times: How many requests fail before it is over. By default one, and with ``every`` or
            ``probability`` as many as come.
        after: How many requests pass first.
        every: Of those that follow, every Nth fails.
        probability: Probability that an eligible request fails, above 0, at most 1.
        retry_after: Seconds for the header Retry-After.
        headers: Headers to add; they win over those that the sandbox sets.
        body: The answer's body: a str or bytes is sent as it is, anything else as JSON.
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

    kind: Kind
    written: str
    value: Any = None
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
    text = f"status={fault}" if isinstance(fault, int) and fault is not True else fault
    if not isinstance(text, str):
        raise UnusableOptionError(
            "fault: must be a status, like 503, or text, like 'reset-after-store'"
        )
    written, *rest = text.split(":")
    name, has_value, value = written.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise UnusableOptionError(f"{name!r} is not a fault; choose of {', '.join(KINDS)}")
    if bool(has_value) != bool(kind.value):
        wants = f"needs a value, like {kind.example}" if kind.value else "takes no value"
        raise UnusableOptionError(f"{name}: {wants}")
    words: dict[str, Any] = {}
    if has_value:
        numbers = [_number_or_text(one) for one in value.split("-")]
        words["value"] = numbers if name == "latency" else _number_or_text(value)
        _check(name, _TABLE["values"][kind.value], words["value"])
    said = [(option, _number_or_text(one)) for option, _, one in (p.partition("=") for p in rest)]
    for option, one in [*said, *(options or {}).items()]:
        if one is None:
            continue
        if option not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise UnusableOptionError(f"{option}: is not an option of a fault; choose of {known}")
        if option in words:
            raise UnusableOptionError(f"{option}: is given twice")
        row = _TABLE["options"][option]
        if row.get("of", name) != name:
            raise UnusableOptionError(f"{option}: goes only with the fault {row['of']}, not {name}")
        _check(option, row, one)
        words[option] = one
    if words.get("body") and words["value"] in _WITHOUT_BODY:
        raise UnusableOptionError(f"body: an answer with status {words['value']} has none")
    if not lasting and not words.keys() & {"times", "every", "probability"}:
        words["times"] = 1
    return Fault(kind, written, **words)


def _number_or_text(text: str) -> int | float | str:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return float(text) if number[1] else int(text)


def _check(name: str, row: Mapping[str, Any], given: object) -> None:
    """Raise UnusableOptionError unless what was *given* fits the schema of its *row*."""
    import jsonschema_rs

    # Bytes are sent as they are, and have no form in JSON.
    plain = "" if isinstance(given, bytes) else given
    try:
        is_right = jsonschema_rs.Draft4Validator(row["schema"]).is_valid(
            json.loads(json_text(plain).encode())
        )
    except (TypeError, ValueError, RecursionError):
        is_right = False
    if not is_right:
        raise UnusableOptionError(f"{name}: {row['says']}")


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
            if fault.value == "errors":
                body += answer.body.removeprefix(b"{").replace(b', "errors": []', b"")
            answer = evolve(answer, body=body, headers={"content-type": media_type})
        answer = evolve(answer, sends=fault.kind.sends, ends=fault.kind.ends)
    return answer


def scripted_answer(fault: Fault, seconds_left: int, assumptions: Assumptions) -> Answer:
    """Return the answer of a *fault* that stores nothing, usual where it names no more."""
    status = 503 if fault.value is None else fault.value
    seconds = seconds_left if fault.retry_after is None else fault.retry_after
    if status in _WITHOUT_BODY:
        answer = Answer(status, b"", {})
    elif status < 300:
        answer = messages_answer(status, [_SCRIPTED], assumptions)
    elif status == 429:
        said = f"{_SCRIPTED}; try again in {seconds} seconds"
        answer = rate_limited_answer(seconds, said, assumptions)
    else:
        reason = NOT_FOUND if status == 404 else PHRASES.get(status, _SCRIPTED)
        answer = error_answer(status, reason, assumptions=assumptions)
    headers, body = dict(answer.headers), answer.body
    if fault.body is not None:
        is_raw = isinstance(fault.body, str | bytes)
        headers["content-type"] = "text/plain; charset=utf-8" if is_raw else "application/json"
        text = fault.body if is_raw else json_text(fault.body)
        body = text.encode() if isinstance(text, str) else text
    if status in _REDIRECTS:
        # Back to the endpoint, where a client that follows it is seen.
        headers["location"] = "?redirected"
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    return Answer(status, body, headers | {n.lower(): v for n, v in fault.headers.items()})


class Faults:
    """The faults that wait, in order, at first those that are *lasting*.

    One thread at a time may `take`; others may do the rest meanwhile.
    """

    def __init__(self, lasting: Sequence[Fault] = ()) -> None:
        # Copies begin to count anew.
        self._waiting = [evolve(fault) for fault in lasting]

    def add(self, fault: Fault) -> None:
        """Let *fault* wait behind the others."""
        self._waiting.append(fault)

    def take(self) -> list[Fault]:
        """Return what the next request meets: latencies, and at most one other, the last.

        Those behind a fault that is due do not see the request.
        """
        waiting, struck = self._waiting, []
        for fault in [*waiting]:
            if not fault.meets():
                continue
            struck.append(fault)
            if fault.happened == fault.times:
                waiting.remove(fault)
            if fault.kind.name != "latency":
                break
        return struck

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults that wait, in order, each in values of JSON."""
        return [
            {"fault": fault.written} | {name: getattr(fault, name) for name in _LISTED}
            for fault in [*self._waiting]
        ]

    def clear(self) -> None:
        """Let none wait."""
        # The list that a request is just taking from stays as it is.
        self._waiting = []
