"""What an answer means. Pure: an `Answer` in, a result or an error out.

The status line decides. Whatever the body is (empty, HTML, cut, of another shape), a 201 is a
created intent and every other status is an error of its own class.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sized
from datetime import UTC
from typing import Any, Final

from attrs import field, frozen

from stoq_public_api_client.models import CreatedIntent
from stoqapp.errors import (
    Answer,
    AnswerError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    IntentRefusedError,
    NotFoundError,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
)
from stoqapp.normalize import Change

_REFUSALS: Final[Mapping[int, type[IntentRefusedError]]] = {
    200: ProcessedWithErrorsError,
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableIntentError,
}
_MOST_MESSAGES: Final = 100


def _count(values: Sized) -> str:
    return str(len(values))


@frozen
class IntentCreated:
    """The intent is on the list.

    Attributes:
        answer: The 201 as it came.
        intents: What the answer says of the intents, as far as it could be read. The schema
            leaves their fields open: ``intent["id"]`` where the service gives one.
        messages: What the service had to say besides; may repeat what the customer gave.
        changes: What `stoqapp.Stoq.subscribe` changed in its inputs before sending.
    """

    answer: Answer
    intents: tuple[CreatedIntent, ...] = field(default=(), repr=_count)
    messages: tuple[str, ...] = field(default=(), repr=_count)
    changes: tuple[Change, ...] = ()


def created_from_answer(answer: Answer) -> IntentCreated:
    """Return what a 201 says; anything in it that cannot be read is left out.

    Raises:
        AnswerError: The status is another one; which class, its docstring says.
    """
    content = _json_from(answer.body)
    messages = tuple(_messages_from(content))
    if answer.status != 201:
        raise _error_from(answer, content, messages)
    intents = content.get("intents") if isinstance(content, dict) else None
    return IntentCreated(
        answer,
        tuple(
            CreatedIntent.from_dict(intent)
            for intent in (intents if isinstance(intents, list) else [])
            if isinstance(intent, dict)
        ),
        messages,
    )


def _error_from(answer: Answer, content: Any, messages: tuple[str, ...]) -> AnswerError:
    status = answer.status
    if status == 429:
        return RateLimitedError(answer, messages, _retry_after_seconds(answer, content))
    if status in _REFUSALS:
        return _REFUSALS[status](answer, messages)
    if 400 <= status < 500:
        return IntentRefusedError(answer, messages)
    if 500 <= status < 600:
        return ServerError(answer, messages)
    return UnexpectedAnswerError(answer, messages)


def _json_from(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _messages_from(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    found = (text for key in ("errors", "error", "message") for text in _texts(content.get(key)))
    for _, text in zip(range(_MOST_MESSAGES), found, strict=False):
        yield text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from (f"{name}: {text}" for text in _texts(item))


def _retry_after_seconds(answer: Answer, content: Any) -> float | None:
    """Return the seconds from ``Retry-After`` (a number or an HTTP date), else from the body."""
    in_body = content.get("retry_after") if isinstance(content, dict) else None
    header = answer.headers.get("retry-after")
    for seconds in (_number(header), _seconds_until(header, answer), _number(in_body)):
        if seconds is not None and 0 <= seconds < math.inf:
            return seconds
    return None


def _number(said: Any) -> float | None:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        return float(said)
    except (ValueError, OverflowError):
        return None


def _seconds_until(date: str | None, answer: Answer) -> float | None:
    """Return the seconds from the answer's own ``Date`` to *date*: our clock may be wrong."""
    if date is None or "date" not in answer.headers:
        return None
    # dateutil takes 70 ms to import, which the calls that end well need not pay.
    from dateutil.parser import parse

    try:
        moment, now = (parse(text) for text in (date, answer.headers["date"]))
    except (ValueError, OverflowError):
        return None
    # RFC 9110: the form of HTTP date that names no zone (asctime) means GMT, too.
    return (moment.replace(tzinfo=UTC) - now.replace(tzinfo=UTC)).total_seconds()
