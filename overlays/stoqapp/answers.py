"""What an answer means. Pure: an `Answer` in, a result or an error out.

The status line decides. Whatever the body is (empty, HTML, cut, of another shape), a 201 is a
created intent and every other status is an error of its own class.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Sized
from itertools import islice
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
from stoqapp.headers import rate_limit_from_headers, seconds_from_http_date
from stoqapp.inputs import Change

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
_DEEPEST_MESSAGE: Final = 10
_SECONDS: Final = re.compile(r"[0-9]{1,300}(\.[0-9]{1,300})?")
_MOST_SECONDS: Final = 1e300
_DUPLICATE: Final = re.compile(
    r"\bduplicate\b|\balready (exists|waits|waiting|taken|subscribed)\b|\bbeen taken\b",
    re.IGNORECASE,
)
_NO_DUPLICATE: Final = re.compile(
    r"\b(no|not|never|without|isn't)\b[^.]{0,20}\b(duplicate|already|been taken)\b"
    r"|\bshop\b[^.]{0,20}\balready\b",
    re.IGNORECASE,
)


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
        attempts: How often the request was sent.
        waited_seconds: Seconds spent waiting between attempts and for the rate budget.
        confirmed_by_duplicate: The answer is no 201: an earlier attempt went without an answer,
            and a later one was told that the intent is there already.
    """

    answer: Answer
    intents: tuple[CreatedIntent, ...] = field(default=(), repr=_count)
    messages: tuple[str, ...] = field(default=(), repr=_count)
    changes: tuple[Change, ...] = ()
    attempts: int = 1
    waited_seconds: float = 0.0
    confirmed_by_duplicate: bool = False


def created_from_answer(answer: Answer, now: float) -> IntentCreated:
    """Return what a 201 says; anything in it that cannot be read is left out.

    Args:
        answer: The answer, of any status.
        now: Our clock, Unix seconds; used for moments that the answer names without its own date.

    Raises:
        AnswerError: The status is another one; which class, its docstring says.
    """
    content = _json_from(answer.body)
    messages = tuple(islice(_messages_from(content), _MOST_MESSAGES))
    if answer.status != 201:
        retry_after = _retry_after_seconds(answer, content, now)
        raise _error_class(answer.status)(answer, messages, retry_after)
    intents = content.get("intents") if isinstance(content, dict) else None
    read = map(_intent_from, intents if isinstance(intents, list) else [])
    return IntentCreated(answer, tuple(intent for intent in read if intent), messages)


def says_duplicate(messages: Sequence[str]) -> bool:
    """Whether the words of a refusal mean that the intent is there already.

    Assumed: the vendor says only that an intent is unique, not how a second one is answered.
    """
    return any(
        _DUPLICATE.search(message) and not _NO_DUPLICATE.search(message) for message in messages
    )


def _error_class(status: int) -> type[AnswerError]:
    if status in _REFUSALS:
        return _REFUSALS[status]
    if status == 429:
        return RateLimitedError
    if 400 <= status < 500:
        return IntentRefusedError
    if 500 <= status < 600:
        return ServerError
    return UnexpectedAnswerError


def _intent_from(content: Any) -> CreatedIntent | None:
    # A 201 is never an error, also when a later spec gives the model fields to fail on.
    try:
        return CreatedIntent.from_dict(content) if isinstance(content, dict) else None
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _json_from(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _messages_from(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key in ("errors", "error", "message"):
            yield from _texts(content.get(key))


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth < _DEEPEST_MESSAGE:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            for text in _texts(item, depth + 1):
                yield f"{name}: {text}" if isinstance(value, dict) else text


def _retry_after_seconds(answer: Answer, content: Any, now: float) -> float | None:
    """Return how long to wait: by ``Retry-After``, else the body, else the rate limit's reset.

    The last two are the vendor's, for its 429. With any other status the header alone counts.
    """
    header = answer.headers.get("retry-after", "")
    said = [_longest_of(header), _seconds_until(header, answer, now)]
    if answer.status == 429:
        in_body = content.get("retry_after") if isinstance(content, dict) else None
        said.append(_longest_of(in_body) if isinstance(in_body, str) else _number(in_body))
        said.append(rate_limit_from_headers(answer.headers, now).resets_in_seconds)
    return next((wait for wait in said if wait is not None and wait >= 0), None)


def _longest_of(said: str) -> float | None:
    """Return the seconds that a text names; the most, where a header came more than once."""
    parts = [part.strip() for part in said.split(",")]
    if not all(map(_SECONDS.fullmatch, parts)):
        return None
    return max(map(float, parts))


def _number(said: Any) -> float | None:
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if abs(said) <= _MOST_SECONDS else None


def _seconds_until(date: str, answer: Answer, now: float) -> float | None:
    """Return the seconds until an HTTP date, by the answer's own ``Date`` if it has one."""
    moment = seconds_from_http_date(date)
    if moment is None:
        return None
    sent = seconds_from_http_date(answer.headers.get("date", ""))
    return moment - (now if sent is None else sent)
