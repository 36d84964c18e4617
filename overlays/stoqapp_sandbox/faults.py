"""What can go wrong on purpose, and how it is asked for.

The same fault can be written as text (``reset-after-store:every=10``), which is what the command
line takes, and as text and fields (``fault_from("reset-after-store", {"every": 10})``).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from attrs import asdict, field, frozen

from stoqapp.readers import shop_from
from stoqapp_sandbox.answers import USUAL_DELIVERY, Delivery, json_answer
from stoqapp_sandbox.errors import UnusableFaultError

SCRIPTED: Final = "Scripted by the sandbox"
WITHOUT_BODY: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")


@frozen
class Kind:
    """A kind of fault.

    Attributes:
        name: What it is called.
        summary: What happens.
        value: What stands behind ``=``, None for a kind that takes no value.
        stores: Whether the request is judged, and its intent stored, all the same.
        delivery: How the answer goes out.
    """

    name: str
    summary: str
    value: Literal["STATUS", "SECONDS", "SHAPE"] | None = None
    stores: bool = True
    delivery: Delivery = USUAL_DELIVERY

    @property
    def written(self) -> str:
        """How it is written, like ``latency=SECONDS``."""
        return f"{self.name}={self.value}" if self.value else self.name


LATENCY: Final = Kind(
    "latency", "the answer comes that much later, also that of another fault", "SECONDS"
)
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("status", "answered with that status; nothing is stored", "STATUS", stores=False),
        LATENCY,
        Kind("odd-201", "stored, and the 201 has a body of that shape", "SHAPE"),
        Kind(
            "reset-before-store",
            "the connection is reset; nothing is stored",
            stores=False,
            delivery=Delivery("nothing", "reset"),
        ),
        Kind(
            "reset-after-store",
            "stored, and the connection is reset without an answer",
            delivery=Delivery("nothing", "reset"),
        ),
        Kind(
            "close-before-store",
            "the connection is closed in order; nothing is stored",
            stores=False,
            delivery=Delivery("nothing", "closed"),
        ),
        Kind(
            "close-after-store",
            "stored, and the connection is closed in order without an answer",
            delivery=Delivery("nothing", "closed"),
        ),
        Kind(
            "reset-in-head",
            "stored, and the connection is reset after half of the answer's head",
            delivery=Delivery("half of the head", "reset"),
        ),
        Kind(
            "reset-in-body",
            "stored, and the connection is reset after half of the answer's body",
            delivery=Delivery("half of the body", "reset"),
        ),
        Kind(
            "truncated-body",
            "stored, and half of the promised body comes, then an orderly end",
            delivery=Delivery("half of the body", "closed"),
        ),
        Kind(
            "slow-bytes",
            "stored, and the answer comes byte by byte, so far apart",
            "SECONDS",
            delivery=Delivery("all", "closed"),
        ),
        Kind(
            "garbage",
            "stored, and the answer is no HTTP",
            delivery=Delivery("garbage", "closed"),
        ),
    )
}


def _beside_errors(usual: bytes) -> bytes:
    return json.dumps({**json.loads(usual or b"{}"), "errors": [SCRIPTED]}).encode()


# What a body can be instead of the usual one: its media type, and a function of the usual one.
SHAPES: Final[Mapping[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "empty": ("application/json", lambda _: b""),
    "html": ("text/html", lambda _: b"<!doctype html><title>Scripted by the sandbox</title>"),
    "not-utf8": ("application/json", lambda _: b'{"intents": [{"id": "\xff"}]}'),
    "null": ("application/json", lambda _: b'{"intents": null}'),
    "list": ("application/json", lambda _: b'[{"id": "1"}]'),
    "strings": ("application/json", lambda _: b'{"intents": ["1"]}'),
    "errors": ("application/json", _beside_errors),
}


@frozen
class Schedule:
    """Which requests meet a fault, of those that no fault before it has taken.

    Attributes:
        times: How many meet it before it is over; None is without end.
        after: How many go by first.
        every: Of those that follow, each so-manieth meets it.
        probability: The chance that one meets it whose turn it is, above 0, at most 1.
        seed: Of the randomness; the same seed makes the same choices.
        variant: Only requests for this variant count.
        shop: Only requests of the shop with this host name count.
    """

    times: int | None = None
    after: int = 0
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    variant: int | None = None
    shop: str | None = None


@frozen
class Fault:
    """What goes wrong, and when.

    Attributes:
        kind: What goes wrong.
        value: The status, seconds or shape that goes with the kind.
        schedule: When.
        shape: Of the body of a ``status``, see `SHAPES`.
        headers: Headers to add to a ``status``, their names in lower case.
        body: Body of a ``status``: bytes as they are, anything else as JSON; None for the usual.
        retry_after: Seconds for the header Retry-After of a ``status``.
        retry_after_date: Like it, and the header holds the date that is so many seconds ahead.
    """

    kind: Kind
    value: Any = None
    schedule: Schedule = Schedule()
    shape: str | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    retry_after: int | None = None
    retry_after_date: int | None = None

    @property
    def written(self) -> str:
        """The kind and its value as text, like ``latency=0.2``."""
        return self.kind.name if self.value is None else f"{self.kind.name}={self.value}"


_SCHEDULE_FIELDS: Final = tuple(asdict(Schedule()))
_STATUS_FIELDS: Final = ("retry_after", "retry_after_date", "shape", "headers", "body")
_REPEATING: Final = ("times", "every", "probability")
_RANGES: Final = {
    "times": (1, 10**9),
    "after": (0, 10**9),
    "every": (1, 10**9),
    "seed": (0, 10**9),
    "variant": (1, 2**63 - 1),
    "retry_after": (0, 10**9),
    "retry_after_date": (0, 10**9),
}
# The options that text can hold, and what each does.
OPTIONS: Final[Mapping[str, str]] = {
    "times": "so many requests meet it, then it is over (without it: no end)",
    "after": "so many requests go by first",
    "every": "of those that follow, each so-manieth meets it",
    "probability": "the chance of a request to meet it whose turn it is, above 0, at most 1",
    "seed": "a number; the same one draws the same chances (default: 0)",
    "variant": "only requests for this variant count, a number",
    "shop": "only requests of this shop count, demo or demo.myshopify.com",
    "shape": "of a status: its body is of that SHAPE",
    "retry-after": "of a status: its Retry-After is so many seconds",
    "retry-after-date": "of a status: its Retry-After is the date so many seconds ahead",
}


def fault_from(
    fault: object, fields: Mapping[str, object] | None = None, *, lasting: bool = False
) -> Fault:
    """Return the fault that is described, with everything in it checked.

    Args:
        fault: A status, or text: the kind, ``=`` and its value if it has one, and options like
            ``:every=10``, see `KINDS` and `OPTIONS`.
        fields: The options, those that text cannot hold as well; None stands for not given.
        lasting: Whether it goes on without end where no number of times is given. Otherwise it
            does so only with ``every`` or ``probability``, and happens once without them.

    Raises:
        UnusableFaultError: No fault can be made of it; the message says what is wrong, and where.
    """
    kind, value, written = _parts_from(fault)
    given = {name: what for name, what in (fields or {}).items() if what is not None}
    if twice := sorted(given.keys() & written.keys()):
        raise UnusableFaultError(f"{twice[0]}: is given twice")
    given |= written
    _check_names(kind, given)
    if not lasting and not any(name in given for name in _REPEATING):
        given["times"] = 1
    schedule = _schedule_from(given)
    if kind.name != "status":
        return Fault(kind, _value_of(kind, value), schedule)
    status: int = _value_of(kind, value)
    made = Fault(
        kind,
        status,
        schedule,
        shape=_shape(given["shape"], "shape") if "shape" in given else None,
        headers=_headers_from(given.get("headers", {})),
        body=_body_from(given.get("body")),
        retry_after=_whole("retry_after", given),
        retry_after_date=_whole("retry_after_date", given),
    )
    if made.retry_after is not None and made.retry_after_date is not None:
        raise UnusableFaultError("retry_after_date: goes only without retry_after")
    if made.shape is not None and made.body is not None:
        raise UnusableFaultError("body: goes only without shape")
    if status in WITHOUT_BODY and (
        made.shape not in (None, "empty") or made.body not in (None, b"")
    ):
        raise UnusableFaultError(f"body: an answer with status {status} has none")
    return made


def _parts_from(fault: object) -> tuple[Kind, object, dict[str, object]]:
    """Return the kind, its value, and the options that stand in the text."""
    if isinstance(fault, int) and not isinstance(fault, bool):
        return KINDS["status"], fault, {}
    if not isinstance(fault, str):
        raise UnusableFaultError(
            "fault: must be a status, like 503, or text, like 'reset-after-store'"
        )
    first, *rest = fault.split(":")
    name, equals, value = first.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise UnusableFaultError(f"{name!r} is no fault; there are {', '.join(KINDS)}")
    options: dict[str, object] = {}
    for number, part in enumerate(rest, start=2):
        option, with_value, text = part.partition("=")
        if option not in OPTIONS or not with_value:
            raise UnusableFaultError(
                f"part {number}, {part!r}: must be one of {', '.join(OPTIONS)}, with a value, like"
                " times=2"
            )
        option = option.replace("-", "_")
        if option in options:
            raise UnusableFaultError(f"part {number}, {part!r}: {option} is given twice")
        options[option] = text if option in ("shop", "shape") else _number_or_text(text)
    if not equals:
        return kind, None, options
    return kind, value if kind.value == "SHAPE" else _number_or_text(value), options


def _number_or_text(text: str) -> int | float | str:
    if not (number := _NUMBER.fullmatch(text)):
        return text
    return float(text) if number[1] else int(text)


def _check_names(kind: Kind, given: Mapping[str, object]) -> None:
    if unknown := [name for name in given if name not in (*_SCHEDULE_FIELDS, *_STATUS_FIELDS)]:
        known = ", ".join((*_SCHEDULE_FIELDS, *_STATUS_FIELDS))
        raise UnusableFaultError(f"{unknown[0]}: is no option of a fault; there are {known}")
    if kind.name != "status":
        for name in _STATUS_FIELDS:
            if name in given:
                raise UnusableFaultError(
                    f"{name}: goes only with the fault status, not {kind.name}"
                )


def _value_of(kind: Kind, value: object) -> Any:
    if kind.value is None:
        if value is not None:
            raise UnusableFaultError(f"{kind.name}: takes no value")
        return None
    if value is None:
        raise UnusableFaultError(f"{kind.name}: needs a value, like {kind.written}")
    if kind.value == "SHAPE":
        return _shape(value, kind.name)
    if kind.value == "STATUS":
        if not isinstance(value, int) or not 200 <= value <= 599:
            raise UnusableFaultError("status: must be an integer from 200 to 599")
        return value
    if not isinstance(value, int | float) or value is True or not 0 < value <= 10**9:
        raise UnusableFaultError(f"{kind.name}: must be a number of seconds from 0 to 10^9, not 0")
    return value


def _shape(value: object, name: str) -> str:
    if not isinstance(value, str) or value not in SHAPES:
        raise UnusableFaultError(f"{name}: must be one of {', '.join(SHAPES)}")
    return value


def _schedule_from(given: Mapping[str, object]) -> Schedule:
    schedule: dict[str, Any] = {
        name: _whole(name, given) for name in _RANGES if name in _SCHEDULE_FIELDS and name in given
    }
    if "probability" in given:
        chance = given["probability"]
        if not isinstance(chance, int | float) or isinstance(chance, bool) or not 0 < chance <= 1:
            raise UnusableFaultError("probability: must be a number above 0, at most 1")
        schedule["probability"] = chance
    if "shop" in given:
        try:
            schedule["shop"] = shop_from(given["shop"]).value
        except ValueError as reason:
            raise UnusableFaultError(f"shop: {reason}") from None
    return Schedule(**schedule)


def _whole(name: str, given: Mapping[str, object]) -> int | None:
    if name not in given:
        return None
    value, (lowest, highest) = given[name], _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise UnusableFaultError(f"{name}: must be an integer from {lowest} to {highest}")
    return value


def _headers_from(headers: object) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise UnusableFaultError("headers: must be an object of names and values")
    checked = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise UnusableFaultError(
                "headers: each name must be a token of HTTP, like 'Retry-After'"
            )
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise UnusableFaultError(
                f"headers.{name}: must be a string of visible ASCII, like '24', with no space"
                " at its ends"
            )
        if name.lower() in _FRAMING:
            raise UnusableFaultError(f"headers.{name}: is set by the server, from the body")
        checked[name.lower()] = value
    return checked


def _body_from(body: object) -> object:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        try:
            return body.encode("utf-8")
        except UnicodeEncodeError:
            raise UnusableFaultError("body: must be valid Unicode") from None
    try:
        json_answer(200, body)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnusableFaultError(f"body: has no form in JSON: {type(error).__name__}") from None
    return body
