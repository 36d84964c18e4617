"""HTTP requests and answers as plain values, the JSON in them, and the forms of errors."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, Literal

from attrs import field, frozen

from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.assumptions import DEFAULTS, Assumptions

NOT_FOUND: Final = "Not found"
PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

# Raises TypeError or ValueError where a value has no form in JSON.
json_text: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

# As a constant it finds NaN and Infinity, which int refuses.
_DECODER: Final = json.JSONDecoder(parse_constant=int)

Sends = Literal["all", "half of the head", "half of the body", "nothing", "garbage"]
Ends = Literal["open", "closed", "reset"]


@frozen(slots=False)
class Request:
    """An HTTP request, with names of headers in lower case.

    Its *body* is None where it was larger than the sandbox reads, its *generation* where it begins
    in the present one (see `Service`). *reached_at* is the address that the connection came to.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    query: str = ""
    generation: int | None = None
    reached_at: str = "localhost"

    @cached_property
    def shop(self) -> str:
        """The shop that it names, in lower case."""
        return self.headers.get(SHOP_HEADER.lower(), "").strip().lower()


@frozen
class Answer:
    """An HTTP answer with names of headers in lower case, and how it goes out.

    *sends* says which part of it, *ends* what happens to the connection then. *parts* stand in
    place of the body where it is sent bit by bit, until the connection is closed.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    sends: Sends = "all"
    ends: Ends = "open"
    wait_seconds: float = 0.0
    seconds_per_byte: float = 0.0
    parts: AsyncIterator[str] | None = None


def json_from_bytes(raw: bytes) -> Any:
    """Read the JSON of a body; raises ValueError, which repeats nothing of it."""
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            json_text(value).encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"body: must be UTF-8: byte {error.start} is not") from None
    except UnicodeEncodeError:
        raise ValueError("body: must be valid Unicode: it holds a lone surrogate") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise ValueError(f"body: must be JSON: {error.msg} at {place}") from None
    except (ValueError, RecursionError):
        raise ValueError(
            "body: must be JSON without NaN, Infinity, numbers of thousands of digits, and deep"
            " nesting"
        ) from None
    return value


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body."""
    body = json_text(content).encode()
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})


def messages_answer(
    status: int, messages: Sequence[str], assumptions: Assumptions = DEFAULTS
) -> Answer:
    """Return an answer that lists *messages*, each as ``field: what is wrong``."""
    shape = assumptions["processed_body"] if status < 400 else "list"
    if shape == "list":
        return json_answer(status, {"errors": list(messages)})
    if shape in ("text", "error"):
        name = "errors" if shape == "text" else shape
        return json_answer(status, {name: "; ".join(messages)})
    by_field: dict[str, list[str]] = {}
    for message in messages:
        path, _, reason = message.partition(": ")
        by_field.setdefault(path, []).append(reason)
    return json_answer(status, {"errors": by_field})


def rate_limited_answer(seconds: int, why: str, assumptions: Assumptions) -> Answer:
    """Return the vendor's 429 for a shop that gets points again in that many seconds."""
    place = assumptions["rate_limited_body"]
    message = f"{why}; try again in {seconds} seconds"
    body = {"error": "Rate limit exceeded", "retry_after": seconds, "message": message}
    if place == "header":
        del body["retry_after"]
    return json_answer(429, body, {} if place == "body" else {"retry-after": str(seconds)})


def error_answer(
    status: int,
    error: str,
    assumptions: Assumptions = DEFAULTS,
    headers: Mapping[str, str] | None = None,
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
