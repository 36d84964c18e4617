"""What a request is answered that meets faults."""

import math
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from attrs import evolve

from stoqapp_sandbox.answers import (
    Answer,
    Delivery,
    error_answer,
    json_answer,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import DEFAULTS, NOT_FOUND, Assumptions
from stoqapp_sandbox.budget import Balance
from stoqapp_sandbox.faults import LATENCY, SCRIPTED, SHAPES, WITHOUT_BODY, Fault

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def answer_under(
    faults: Sequence[Fault],
    judged: Callable[[], Answer],
    balance: Balance,
    assumptions: Assumptions = DEFAULTS,
) -> Answer:
    """Return what a request is answered that meets *faults*, and how that goes out.

    Args:
        faults: As `Faults.take` gives them.
        judged: Judges the request, stores its intent, and returns the usual answer. Called
            unless a fault keeps the request from being judged.
        balance: What the shop has left.
        assumptions: What a scripted status looks like.
    """
    fault = next((fault for fault in faults if fault.kind is not LATENCY), None)
    wait = float(sum(fault.value for fault in faults if fault.kind is LATENCY))
    if fault is None:
        answer = judged()
        return evolve(answer, delivery=Delivery(wait_seconds=wait))
    if fault.kind.name == "status":
        answer = _scripted_answer(fault, balance, assumptions)
    elif fault.kind.stores:
        answer = judged()
    else:
        # Nobody hears it: a kind that keeps a request from being judged sends nothing.
        answer = error_answer(503, f"{fault.kind.name}: {fault.kind.summary}")
    if fault.kind.name == "odd-201" and answer.status == HTTPStatus.CREATED:
        answer = _reshaped(answer, fault.value)
    slow = fault.value if fault.kind.name == "slow-bytes" else 0.0
    delivery = evolve(fault.kind.delivery, wait_seconds=wait, seconds_per_byte=slow)
    return evolve(answer, delivery=delivery)


def _scripted_answer(fault: Fault, balance: Balance, assumptions: Assumptions) -> Answer:
    """Return the answer that a ``status`` asks for, with the usual body where it names none."""
    status = fault.value
    seconds = balance.seconds_left if fault.retry_after is None else fault.retry_after
    answer = _usual_answer(status, seconds, assumptions)
    if isinstance(fault.body, bytes):
        answer = Answer(status, fault.body, {"content-type": "text/plain; charset=utf-8"})
    elif fault.body is not None:
        answer = json_answer(status, fault.body)
    elif fault.shape is not None:
        answer = _reshaped(answer, fault.shape)
    headers = dict(answer.headers)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        if assumptions["rate_limited_body"] != "body":
            headers["retry-after"] = str(seconds)
        if assumptions["rate_headers"] == "shown":
            headers["x-ratelimit-remaining"] = "0"
    if status in _REDIRECTS:
        # Back to the endpoint, where a client that follows it is seen.
        headers["location"] = "?redirected"
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    if fault.retry_after_date is not None:
        # Rounded up, because a date holds whole seconds.
        date = math.ceil(time.time() + fault.retry_after_date)
        headers["retry-after"] = formatdate(date, usegmt=True)
    return Answer(status, answer.body, {**headers, **fault.headers})


def _reshaped(answer: Answer, shape: str) -> Answer:
    media_type, body_from = SHAPES[shape]
    headers = {**answer.headers, "content-type": media_type}
    return Answer(answer.status, body_from(answer.body), headers)


def _usual_answer(status: int, seconds: int, assumptions: Assumptions) -> Answer:
    if status in WITHOUT_BODY:
        return Answer(status, b"", {})
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return messages_answer(status, [SCRIPTED], assumptions)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        said = f"{SCRIPTED}; try again in {seconds} seconds"
        return rate_limited_answer(seconds, said, assumptions)
    if status == HTTPStatus.NOT_FOUND:
        return error_answer(status, NOT_FOUND, assumptions=assumptions)
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = SCRIPTED
    return error_answer(status, reason, assumptions=assumptions)
