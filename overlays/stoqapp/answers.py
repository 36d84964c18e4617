"""What an answer means. Pure: an `Answer` in, an `IntentCreated` or an error out.

The status line decides. Whatever the body is (empty, HTML, cut off, of another shape), a 201 is
a created intent, and every other status is an error of its own class.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from attrs import field, frozen

from stoqapp.errors import Answer, AnswerError, class_of_status
from stoqapp.headers import (
    answered_at,
    loggable_id,
    moment_from,
    rate_limit_from_headers,
    request_id_from_headers,
)
from stoqapp.readers import Change

# The statuses that can mean "already on the list", and the words. Assumed: the vendor says that an
# intent is unique, but not how a second one is answered.
_DUPLICATE_STATUSES: Final = (200, 400, 409, 422)
_MOST_MESSAGES: Final = 100
_DEEPEST_MESSAGE: Final = 10
# More seconds mean the same, and their digits could be a phone number's.
_MOST_SECONDS: Final = 366 * 86_400.0
# Patterns are compiled when they are first used, not by every import.
_DUPLICATE: Final = (
    r"(?i)\bduplicate\b|\balready (exists|waits|waiting|taken|subscribed)\b|\bbeen taken\b"
)
_NO_DUPLICATE: Final = (
    r"(?i)\b(no|not|never|without|isn't)\b[^.]{0,20}\b(duplicate|already|been taken)\b"
    r"|\bshop\b[^.]{0,20}\balready\b"
)


@frozen
class IntentCreated:
    """The intent is on the list.

    Attributes:
        answer: The answer, as it came.
        intents: The intents in it, with all their fields as the service wrote them. Empty if the
            body could not be read.
        messages: What the service said besides. May repeat what the customer gave.
        changes: What `stoqapp.Stoq.subscribe` changed in its inputs before it sent them.
        attempts: How many times the request was sent.
        waited_seconds: Time spent waiting between attempts and for the rate budget.
        confirmed_by_duplicate: Whether the last answer was not a 201 but a duplicate error, after
            an attempt whose outcome was unknown. That attempt created the intent.
    """

    answer: Answer
    intents: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    messages: tuple[str, ...] = field(default=(), repr=False)
    changes: tuple[Change, ...] = ()
    attempts: int = 1
    waited_seconds: float = 0.0
    confirmed_by_duplicate: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the intents that have one, as text."""
        given = [intent.get("id") for intent in self.intents]
        return tuple(str(id_) for id_ in given if type(id_) in (str, int) and id_ != "")

    @property
    def id(self) -> str | None:
        """The first intent's id, None if the service gave none."""
        return next(iter(self.ids), None)

    @property
    def created_at(self) -> datetime | None:
        """The first intent's ``created_at`` with its zone (else UTC); None if there is none."""
        text = self.intents[0].get("created_at") if self.intents else None
        return _created_at(text) if isinstance(text, str) else None

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request, in any form; None without one."""
        return request_id_from_headers(self.answer.headers)

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the outcome as values of JSON, the ids of the intents included.

        Args:
            personal_data: Include what the service said (``intents``, ``messages``) and its
                request id in any form, all of which may repeat what the customer gave.
        """
        told = {
            "carried_out": True,
            "status": self.answer.status,
            "ids": list(self.ids),
            "created_at": self.created_at.isoformat() if self.created_at else None,
            "request_id": loggable_id(self.request_id),
            "attempts": self.attempts,
            "waited_seconds": self.waited_seconds,
            "confirmed_by_duplicate": self.confirmed_by_duplicate,
            "changes": [change._asdict() for change in self.changes],
        }
        if personal_data:
            said = {"intents": list(map(dict, self.intents)), "messages": list(self.messages)}
            told |= said | {"request_id": self.request_id}
        return told


def created_from_answer(answer: Answer, now: float) -> IntentCreated:
    """Return what a 201 says. Parts that cannot be read are left out.

    Args:
        answer: An answer of any status.
        now: Our clock in Unix seconds, for a date in an answer that has no ``Date`` of its own.

    Raises:
        AnswerError: The status is not 201; which class, the tree in `stoqapp.errors` says.
    """
    if answer.status != 201:
        raise error_from_answer(answer, now)
    content = json_from(answer.body)
    listed = content.get("intents")
    intents = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    return IntentCreated(answer, tuple(intents), _messages_in(content))


def error_from_answer(answer: Answer, now: float) -> AnswerError:
    """Return the error that stands for an answer of an unwanted status, to be raised."""
    content = json_from(answer.body)
    messages = _messages_in(content)
    error = class_of_status(answer.status)(answer=answer, messages=messages)
    error.retry_after = _retry_after(answer, content, now)
    error.is_duplicate = answer.status in _DUPLICATE_STATUSES and any(
        re.search(_DUPLICATE, message) and not re.search(_NO_DUPLICATE, message)
        for message in messages
    )
    if answer.status == 503 and error.retry_after is not None:
        error.carried_out = False
    return error


def json_from(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*, an empty one if it holds none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _messages_in(content: dict[str, Any]) -> tuple[str, ...]:
    given = [content.get(name) for name in ("errors", "error", "message")]
    return tuple(islice(_texts_in(given), _MOST_MESSAGES))


def _texts_in(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth < _DEEPEST_MESSAGE:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            for text in _texts_in(item, depth + 1):
                yield f"{name}: {text}" if isinstance(value, dict) else text


def _created_at(text: str) -> datetime | None:
    """Return the moment that a service wrote as *text*, None if it leaves out a part of it."""
    # Takes 20 ms to import, which only a caller who asks for the date has to spend.
    from dateutil.parser import parse

    try:
        # What the text leaves out is taken from the default, and then the two differ.
        first, second = (
            parse(text, default=default, tzinfos=_zone_from)
            for default in (datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 2, 2, 2, tzinfo=UTC))
        )
    except (ValueError, OverflowError):
        return None
    return first if first == second else None


def _zone_from(name: str | None, offset: int | None) -> int:
    if offset is None and name is not None:
        raise ValueError("a zone's name, such as EST, can mean several zones")
    return offset or 0


def _retry_after(answer: Answer, content: dict[str, Any], now: float) -> float | None:
    """Return how long to wait: by ``Retry-After``, else the body, else the rate limit's reset.

    The vendor documents the last two for its 429 alone, so they do not count for other statuses.
    """
    header = answer.headers.get("retry-after", "")
    seconds = _longest_in(header)
    if seconds is None and (moment := moment_from(header)):
        seconds = moment.timestamp() - answered_at(answer.headers, now)
    if answer.status == 429 and (seconds is None or seconds < 0):
        seconds = _longest_in(str(content.get("retry_after")))
        if seconds is None:
            seconds = rate_limit_from_headers(answer.headers, now).resets_in_seconds
    return None if seconds is None or seconds < 0 else min(seconds, _MOST_SECONDS)


def _longest_in(text: str) -> float | None:
    """Return the seconds in *text*; the most, if the header came more than once."""
    parts = [part.strip() for part in text.split(",")]
    are_numbers = all(re.fullmatch(r"[0-9]{1,300}(\.[0-9]+)?", part) for part in parts)
    return max(map(float, parts)) if are_numbers else None
