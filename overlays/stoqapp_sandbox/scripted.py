"""The answers that faults put in place of the usual ones."""

from http import HTTPStatus
from typing import Final

from stoqapp_sandbox.answers import (
    Answer,
    error_answer,
    json_text,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.faults import SCRIPTED, SHAPES, WITHOUT_BODY, Fault

NOT_FOUND: Final = "Not found"

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def scripted_answer(fault: Fault, seconds_left: int, assumptions: Assumptions) -> Answer:
    """Return what a ``status`` asks for, with the usual answer where it names no more.

    *seconds_left* are those until the window of the rate limit ends.
    """
    status: int = fault.value
    seconds = seconds_left if fault.retry_after is None else fault.retry_after
    answer = _usual_answer(status, seconds, assumptions)
    headers, body = dict(answer.headers), answer.body
    if isinstance(fault.body, str | bytes):
        headers["content-type"] = "text/plain; charset=utf-8"
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    elif fault.body is not None:
        headers["content-type"], body = "application/json", json_text(fault.body).encode()
    if status in _REDIRECTS:
        # Back to the endpoint, where a client that follows it is seen.
        headers["location"] = "?redirected"
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    return Answer(status, body, headers | {n.lower(): v for n, v in fault.headers.items()})


def odd_created(answer: Answer, shape: str) -> Answer:
    """Return a 201 with a body of that shape in place of its own; any other answer as it is."""
    if answer.status != HTTPStatus.CREATED:
        return answer
    media_type, body = SHAPES[shape]
    if shape == "errors":
        body += answer.body.removeprefix(b"{").replace(b', "errors": []', b"")
    return Answer(answer.status, body, {"content-type": media_type})


def _usual_answer(status: int, seconds: int, assumptions: Assumptions) -> Answer:
    if status in WITHOUT_BODY:
        return Answer(status, b"", {})
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return messages_answer(status, [SCRIPTED], assumptions)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        said = f"{SCRIPTED}; try again in {seconds} seconds"
        return rate_limited_answer(seconds, said, assumptions)
    reason = NOT_FOUND if status == HTTPStatus.NOT_FOUND else _PHRASES.get(status, SCRIPTED)
    return error_answer(status, reason, assumptions=assumptions)
