"""What the sandbox answers with."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from attrs import field, frozen

from stoqapp_sandbox.assumptions import DEFAULTS, Assumptions


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


def messages_answer(
    status: int, messages: Sequence[str], assumptions: Assumptions = DEFAULTS
) -> Answer:
    """Return an answer that lists *messages*, each as ``field: what is wrong``."""
    listed = list(messages)
    if status >= 400:
        return _in_shape(status, listed, assumptions["refused_body"])
    shape = assumptions["processed_body"]
    if shape == "text":
        return json_answer(status, {"errors": "; ".join(listed)})
    if shape == "fields":
        by_field: dict[str, list[str]] = {}
        for message in listed:
            path, _, said = message.partition(": ")
            by_field.setdefault(path, []).append(said)
        return json_answer(status, {"errors": by_field})
    return _in_shape(status, listed, "error" if shape == "error" else "errors")


def rate_limited_answer(
    seconds_left: int, message: str, assumptions: Assumptions = DEFAULTS
) -> Answer:
    """Return the vendor's answer to who has no points left for *seconds_left* more seconds."""
    told = assumptions["rate_limited_body"]
    retry_after = {} if told == "header" else {"retry_after": seconds_left}
    said = {"error": "Rate limit exceeded", **retry_after, "message": message}
    headers = {} if told == "body" else {"retry-after": str(seconds_left)}
    return json_answer(429, said, headers)


def error_answer(
    status: int,
    error: str,
    headers: Mapping[str, str] | None = None,
    assumptions: Assumptions = DEFAULTS,
) -> Answer:
    """Return an answer with one reason that is about no field."""
    answer = _in_shape(status, [error], assumptions["error_body"])
    return Answer(status, answer.body, {**answer.headers, **(headers or {})})


def _in_shape(status: int, messages: list[str], shape: str) -> Answer:
    if shape == "empty":
        return Answer(status, b"", {})
    return json_answer(status, {shape: messages if shape == "errors" else "; ".join(messages)})
