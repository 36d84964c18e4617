"""HTTP requests and answers as plain values, and the JSON in them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NoReturn

from attrs import field, frozen

from stoqapp_sandbox.assumptions import DEFAULTS, Assumptions

_DEEPEST: Final = 100
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@frozen
class Request:
    """An HTTP request.

    Attributes:
        method: Like ``"POST"``.
        path: Path without the query.
        headers: By lower-case name; repeated ones joined with ``", "``.
        body: None where it was larger than the sandbox reads.
        query: What follows the ``?``.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    query: str = ""


@frozen
class Delivery:
    """How an answer goes out.

    Attributes:
        sends: Which part of it.
        ends: What happens to the connection then.
        wait_seconds: Delay before the first byte.
        seconds_per_byte: Delay after each byte; 0 sends all at once.
    """

    sends: Literal["all", "half of the head", "half of the body", "nothing", "garbage"] = "all"
    ends: Literal["open", "closed", "reset"] = "open"
    wait_seconds: float = 0.0
    seconds_per_byte: float = 0.0

    @property
    def has_status(self) -> bool:
        """Whether the caller receives the status line."""
        return self.sends not in ("nothing", "garbage")


USUAL_DELIVERY: Final = Delivery()


@frozen
class Answer:
    """An HTTP answer.

    Attributes:
        status: The status code.
        body: The bytes of the body.
        headers: By lower-case name.
        delivery: How it goes out.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    delivery: Delivery = USUAL_DELIVERY


class UnreadableJsonError(ValueError):
    """The bytes are not JSON that the sandbox reads. The message repeats none of them."""


def json_from_bytes(raw: bytes) -> Any:
    """Read the JSON of a body.

    Raises:
        UnreadableJsonError: The bytes are not UTF-8, not JSON, nested deeper than 100 levels,
            or hold what cannot be written as JSON again.
    """
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
        if b"\\u" in raw:
            json_text(value).encode("utf-8")
    except UnreadableJsonError:
        raise
    except UnicodeDecodeError as error:
        raise UnreadableJsonError(f"must be UTF-8: byte {error.start} is not") from None
    except UnicodeEncodeError:
        raise UnreadableJsonError("must be valid Unicode: it holds a lone surrogate") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UnreadableJsonError(f"must be JSON: {error.msg} at {place}") from None
    except ValueError:
        raise UnreadableJsonError("must hold no number that is too large") from None
    except RecursionError:
        raise UnreadableJsonError(f"must not be nested deeper than {_DEEPEST} levels") from None
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST and _is_deeper(value, _DEEPEST):
        raise UnreadableJsonError(f"must not be nested deeper than {_DEEPEST} levels")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableJsonError(f"must be JSON, which has no {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError
    return number


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value]
    while layer and levels:
        layer = [
            inner
            for outer in layer
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        levels -= 1
    return any(isinstance(one, list | dict) for one in layer)


def json_text(value: Any) -> str:
    """Return *value* as JSON.

    Raises:
        TypeError, ValueError: It has no form in JSON.
    """
    return _ENCODER.encode(value)


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body; raises as `json_text` does."""
    body = json_text(content).encode("utf-8")
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})


def messages_answer(
    status: int, messages: Sequence[str], assumptions: Assumptions = DEFAULTS
) -> Answer:
    """Return an answer that lists *messages*, each as ``field: what is wrong``."""
    shape = assumptions["processed_body"] if status < 400 else "list"
    if shape in ("text", "error"):
        name = "errors" if shape == "text" else shape
        return json_answer(status, {name: "; ".join(messages)})
    if shape == "list":
        return json_answer(status, {"errors": list(messages)})
    by_field: dict[str, list[str]] = {}
    for message in messages:
        path, _, reason = message.partition(": ")
        by_field.setdefault(path, []).append(reason)
    return json_answer(status, {"errors": by_field})


def rate_limited_answer(
    seconds_left: int, message: str, assumptions: Assumptions = DEFAULTS
) -> Answer:
    """Return the vendor's 429 for a shop that gets points again in *seconds_left* seconds."""
    place = assumptions["rate_limited_body"]
    body = {"error": "Rate limit exceeded", "retry_after": seconds_left, "message": message}
    if place == "header":
        del body["retry_after"]
    return json_answer(429, body, {} if place == "body" else {"retry-after": str(seconds_left)})


def error_answer(
    status: int,
    error: str,
    headers: Mapping[str, str] | None = None,
    assumptions: Assumptions = DEFAULTS,
) -> Answer:
    """Return an answer with one reason that is about no field."""
    shape = assumptions["error_body"]
    if shape == "empty":
        return Answer(status, b"", headers or {})
    return json_answer(status, {shape: [error] if shape == "errors" else error}, headers)


def messages_in(body: bytes) -> list[str]:
    """Return the reasons that a JSON answer names, whichever of the usual forms it has."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(content, dict):
        return []
    named = content.get("errors") or content.get("error") or content.get("message") or []
    if isinstance(named, dict):
        return [f"{path}: {reason}" for path, reason in named.items()]
    return [str(one) for one in (named if isinstance(named, list) else [named])]
