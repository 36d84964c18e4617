"""Answers that somebody asked for in advance, given instead of judging the request."""

import re
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from attrs import define, field

from stoqapp.sandbox.answers import (
    Answer,
    error_answer,
    json_answer,
    messages_answer,
    rate_limited_answer,
)
from stoqapp.sandbox.assumptions import NOT_FOUND
from stoqapp.sandbox.budget import Balance

_SCRIPTED: Final = "Scripted by the sandbox"
_WITHOUT_BODY: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")


@define
class Fault:
    """What was asked for.

    Attributes:
        status: Status code, 200 to 599.
        times: How many requests get it.
        headers: Headers to add, their names in lower case.
        body: What was asked for as body; None for the usual one of the status.
    """

    status: int
    times: int
    headers: dict[str, str]
    body: Any = field(default=None, repr=False)


@define(eq=False)
class Faults:
    """The queue of what was asked for, safe to use from several threads."""

    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _queue: deque[Fault] = field(factory=deque, init=False, repr=False)

    def add(self, fault: Fault) -> int:
        """Put *fault* at the end; return how many answers are waiting."""
        with self._lock:
            self._queue.append(fault)
            return sum(waiting.times for waiting in self._queue)

    def take(self) -> Fault | None:
        """Return the fault that the next request gets, or None, and use it up once."""
        with self._lock:
            if not self._queue:
                return None
            fault = self._queue[0]
            fault.times -= 1
            if not fault.times:
                self._queue.popleft()
            return fault

    def clear(self) -> None:
        """Forget what was asked for."""
        with self._lock:
            self._queue.clear()


def fault_from(
    status: object, times: object = 1, headers: object = None, body: object = None
) -> Fault:
    """Return the fault that is described, with everything in it checked.

    Raises:
        ValueError: Something in it cannot be answered; the message says what.
    """
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("status: must be an integer from 200 to 599")
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise ValueError("times: must be an integer of at least 1")
    if headers is None:
        headers = {}
    if not isinstance(headers, Mapping):
        raise ValueError("headers: must be an object of names and values")  # noqa: TRY004
    checked = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError("headers: each name must be a token of HTTP, like 'Retry-After'")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"headers.{name}: must be a string of visible ASCII, like '24', with no space"
                " at its ends"
            )
        if name.lower() in _FRAMING:
            raise ValueError(f"headers.{name}: is set by the server, from the body")
        checked[name.lower()] = value
    if status in _WITHOUT_BODY and body not in (None, "", b""):
        raise ValueError(f"body: an answer with status {status} has none")
    if not isinstance(body, str | bytes):
        try:
            json_answer(status, body)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"body: has no form in JSON: {type(error).__name__}") from None
    elif isinstance(body, str):
        try:
            body = body.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("body: must be valid Unicode") from None
    return Fault(status, times, checked, body)


def scripted_answer(fault: Fault, balance: Balance) -> Answer:
    """Return the answer that *fault* asks for, with the usual body where it names none."""
    answer = _usual_answer(fault.status, balance)
    if isinstance(fault.body, bytes):
        answer = Answer(fault.status, fault.body, {"content-type": "text/plain; charset=utf-8"})
    elif fault.body is not None:
        answer = json_answer(fault.status, fault.body)
    if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
        limits = {"retry-after": str(balance.seconds_left), "x-ratelimit-remaining": "0"}
        answer = Answer(answer.status, answer.body, {**answer.headers, **limits})
    return Answer(answer.status, answer.body, {**answer.headers, **fault.headers})


def _usual_answer(status: int, balance: Balance) -> Answer:
    if status in _WITHOUT_BODY:
        return Answer(status, b"", {})
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return messages_answer(status, [_SCRIPTED])
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = balance.seconds_left
        return rate_limited_answer(seconds, f"{_SCRIPTED}; try again in {seconds} seconds")
    if status == HTTPStatus.NOT_FOUND:
        return error_answer(status, NOT_FOUND)
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = _SCRIPTED
    return error_answer(status, reason)
