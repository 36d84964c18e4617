"""What can go wrong on purpose, and which requests it happens to; the table is ``faults.toml``.

The command line takes a fault as text, like ``status=503:times=2``. Python and HTTP take the same
words, with options as arguments or fields.
"""

import json
import random
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypedDict

from attrs import define, field, frozen

from stoqapp_sandbox.answers import Delivery, json_text
from stoqapp_sandbox.errors import UnusableFaultError

SCRIPTED: Final = "Scripted by the sandbox"
WITHOUT_BODY: Final = (204, 304)

_TABLE: Final = tomllib.loads(files("stoqapp_sandbox").joinpath("faults.toml").read_text("utf-8"))
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")


@frozen
class Kind:
    """A kind of fault; ``faults.toml`` explains the attributes."""

    name: str
    about: str
    value: str
    stores: bool
    delivery: Delivery

    @property
    def written(self) -> str:
        """How it is written, like ``status=STATUS``."""
        return f"{self.name}={self.value}" if self.value else self.name


KINDS: Final = {
    name: Kind(
        name,
        row["about"],
        row.get("value", ""),
        row.get("stores", True),
        Delivery(row.get("sends", "all"), row.get("ends", "open")),
    )
    for name, row in _TABLE["kinds"].items()
}
# What each option does.
OPTIONS: Final[Mapping[str, str]] = {name: row["about"] for name, row in _TABLE["options"].items()}
# Media type and body of an odd 201, by shape.
SHAPES: Final[Mapping[str, tuple[str, bytes]]] = {
    name: (media_type, body.encode("latin-1"))
    for name, (media_type, body) in _TABLE["shapes"].items()
}
_SCHEDULE: Final = ("times", "after", "every", "probability")


class FaultOptions(TypedDict, total=False):
    """The options of a fault, as Python takes them; None stands for not given.

    Attributes:
        times: How many requests fail before it is over. By default one, and with ``every`` or
            ``probability`` as many as come.
        after: How many requests pass first.
        every: Of those that follow, every Nth fails.
        probability: Probability that an eligible request fails, above 0, at most 1.
        retry_after: Seconds for the header Retry-After of a status.
        headers: Headers to add to a status; they win over those that the sandbox sets.
        body: Body of a status: a str or bytes is sent as it is, anything else as JSON.
    """

    times: int | None
    after: int | None
    every: int | None
    probability: float | None
    retry_after: int | None
    headers: Mapping[str, str] | None
    body: Any


@frozen
class Fault:
    """What goes wrong, and when; see `FaultOptions`.

    Attributes:
        kind: What goes wrong.
        written: Kind and value as text, like ``latency=0.2``.
        value: The status, seconds or shape; for a latency the shortest and the longest wait.
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


def fault_from(
    fault: object, options: Mapping[str, object] | None = None, *, lasting: bool = False
) -> Fault:
    """Return the fault that is described, with everything in it checked.

    Args:
        fault: A status, or text: the kind, ``=`` and its value if it takes one, and options like
            ``:every=10``.
        options: Options by name; None stands for not given.
        lasting: Whether it goes on without end unless ``times`` is given. Otherwise it also needs
            ``every`` or ``probability`` to go on, and happens once without them.

    Raises:
        UnusableFaultError: The message says what is wrong, and where.
    """
    text = f"status={fault}" if isinstance(fault, int) and fault is not True else fault
    if not isinstance(text, str):
        raise UnusableFaultError(
            "fault: must be a status, like 503, or text, like 'reset-after-store'"
        )
    written, *rest = text.split(":")
    name, has_value, value = written.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise UnusableFaultError(f"{name!r} is not a fault; choose of {', '.join(KINDS)}")
    words: dict[str, Any] = {"value": _value_from(kind, value)} if has_value else {}
    said = [(option, _number_or_text(one)) for option, _, one in (p.partition("=") for p in rest)]
    for option, one in [*said, *(options or {}).items()]:
        if one is None:
            continue
        if option in words:
            raise UnusableFaultError(f"{option}: is given twice")
        words[option] = one
    _judge(kind, words)
    if not lasting and not words.keys() & {"times", "every", "probability"}:
        words["times"] = 1
    return Fault(kind, written, **words)


def _value_from(kind: Kind, text: str) -> Any:
    if kind.name != "latency":
        return _number_or_text(text)
    shortest, dash, longest = text.partition("-")
    return [_number_or_text(shortest), _number_or_text(longest if dash else shortest)]


def _number_or_text(text: str) -> int | float | str:
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return float(text) if number[1] else int(text)


@cache
def _schema_of(kind: Kind) -> Any:
    import jsonschema_rs

    properties = {
        name: row["schema"]
        for name, row in _TABLE["options"].items()
        if row.get("of", kind.name) == kind.name
    }
    schema: dict[str, Any] = {"properties": properties, "additionalProperties": False}
    if kind.value:
        properties["value"] = _TABLE["values"][kind.value]["schema"]
        schema["required"] = ["value"]
    return jsonschema_rs.Draft4Validator(schema)


def _judge(kind: Kind, words: Mapping[str, Any]) -> None:
    body, value = words.get("body"), words.get("value")
    if body and value in WITHOUT_BODY:
        raise UnusableFaultError(f"body: an answer with status {value} has none")
    # Bytes are sent as they are, and have no form in JSON.
    plain = {**words, "body": None} if isinstance(body, bytes) else words
    try:
        plain = json.loads(json_text(plain).encode())
    except (TypeError, ValueError, RecursionError):
        raise UnusableFaultError(
            f"{kind.name}: its options must have a form in JSON, and body may be bytes"
        ) from None
    error = next(_schema_of(kind).iter_errors(plain), None)
    if error is None:
        return
    name = str(next(iter(error.instance_path), "") or error.kind.value[0])
    if error.kind.name == "required":
        raise UnusableFaultError(f"{kind.name}: needs a value, like {kind.written}")
    if name == "value":
        says = _TABLE["values"][kind.value]["says"] if kind.value else "takes no value"
        raise UnusableFaultError(f"{kind.name}: {says}")
    if name not in OPTIONS:
        known = ", ".join(OPTIONS)
        raise UnusableFaultError(f"{name}: is not an option of a fault; choose of {known}")
    if not error.instance_path:
        raise UnusableFaultError(f"{name}: goes only with the fault status, not {kind.name}")
    raise UnusableFaultError(f"{name}: {_TABLE['options'][name]['says']}")


@define(eq=False)
class Waiting:
    """A fault that waits; how many requests it has *seen*, and with how many it *happened*."""

    fault: Fault
    seen: int = 0
    happened: int = 0
    # Seeded, so that a run can be repeated.
    _random: random.Random = field(factory=lambda: random.Random(0), init=False)  # noqa: S311

    def meets(self) -> bool:
        """Count one more request, and return whether it fails."""
        self.seen += 1
        turn = self.seen - self.fault.after
        due = turn >= 1 and turn % self.fault.every == 0
        if due and self._random.random() < self.fault.probability:
            self.happened += 1
            return True
        return False

    def wait_seconds(self) -> float:
        """Return how long this latency delays one answer."""
        return self._random.uniform(*self.fault.value)


@frozen
class Struck:
    """What one request meets.

    Attributes:
        fault: The fault; None where there is none but latencies.
        wait_seconds: The sum of the latencies.
        written: All of it as text; None where there is nothing.
    """

    fault: Fault | None = None
    wait_seconds: float = 0.0
    written: str | None = None


NOTHING: Final = Struck()


@define(eq=False)
class Faults:
    """The faults that wait, in order; after a `reset`, the *lasting* ones alone."""

    lasting: Iterable[Fault] = ()
    _waiting: list[Waiting] = field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def add(self, fault: Fault) -> None:
        """Let *fault* wait behind the others."""
        self._waiting.append(Waiting(fault))

    def take(self) -> Struck:
        """Return what the next request meets.

        Each latency that is due counts, and the first of the others that is due; those behind
        that one do not see the request.
        """
        wait_seconds, written = 0.0, []
        for waiting in list(self._waiting):
            if not waiting.meets():
                continue
            fault = waiting.fault
            written.append(fault.written)
            if waiting.happened == fault.times:
                self._waiting.remove(waiting)
            if fault.kind.name != "latency":
                return Struck(fault, wait_seconds, ", ".join(written))
            wait_seconds += waiting.wait_seconds()
        return Struck(None, wait_seconds, ", ".join(written)) if written else NOTHING

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults that wait, in order, each in values of JSON.

        These are ``fault`` (its text), ``times``, ``after``, ``every``, ``probability``, how many
        requests it has ``seen``, and with how many it ``happened``.
        """
        return [
            {
                "fault": waiting.fault.written,
                **{name: getattr(waiting.fault, name) for name in _SCHEDULE},
                "seen": waiting.seen,
                "happened": waiting.happened,
            }
            for waiting in list(self._waiting)
        ]

    def clear(self) -> None:
        """Let none wait."""
        self._waiting.clear()

    def reset(self) -> None:
        """Begin anew with the lasting ones alone."""
        self._waiting[:] = map(Waiting, self.lasting)
