"""What the sandbox answers with."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from attrs import field, frozen


@frozen
class Delivery:
    """How an answer goes out.

    Attributes:
        sends: How much of it.
        ends: What becomes of the connection then. Where it is left open, all of the answer is sent.
        wait_seconds: How long before the first byte.
        seconds_per_byte: How long after each byte, where the connection is not left open.
    """

    sends: Literal["all", "half of the head", "half of the body", "nothing", "garbage"] = "all"
    ends: Literal["open", "closed", "reset"] = "open"
    wait_seconds: float = 0.0
    seconds_per_byte: float = 0.0


USUAL_DELIVERY: Final = Delivery()


@frozen
class Answer:
    """An HTTP answer.

    Attributes:
        status: The status code.
        body: The bytes of the body.
        headers: Headers, their names in lower case.
        delivery: How it goes out.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    delivery: Delivery = USUAL_DELIVERY


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body.

    Raises:
        TypeError, ValueError: *content* has no form in JSON.
    """
    body = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return Answer(status, body, {"content-type": "application/json", **(headers or {})})


def messages_answer(status: int, messages: Sequence[str]) -> Answer:
    """Return an answer that lists *messages*."""
    return json_answer(status, {"errors": list(messages)})


def rate_limited_answer(seconds_left: int, message: str) -> Answer:
    """Return the vendor's answer to who has no points left for *seconds_left* more seconds."""
    said = {"error": "Rate limit exceeded", "retry_after": seconds_left, "message": message}
    return json_answer(429, said, {"retry-after": str(seconds_left)})


def error_answer(status: int, error: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer with one reason."""
    return json_answer(status, {"error": error}, headers)
