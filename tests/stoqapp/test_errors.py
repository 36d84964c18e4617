"""Errors: what they say, what they carry from process to process, and what they never tell."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

import stoqapp
from stoqapp import (
    Answer,
    AnswerError,
    BudgetExhaustedError,
    ConfigurationError,
    InvalidIntentError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    StoqError,
    Violation,
)
from stoqapp.answers import created_from_answer, error_from_answer

PERSON = "ada@example.com"
UUID = "0af177ee-0000-4000-8000-0123456789ab"


def answered(status: int, request_id: str = UUID, **headers: str) -> AnswerError:
    """Return the error of an answer that repeats a person's address wherever it can."""
    body = {"errors": [f"{PERSON} already exists"], "retry_after": 5}
    given = {"x-request-id": request_id, "set-cookie": PERSON}
    given |= {name.replace("_", "-"): text for name, text in headers.items()}
    return error_from_answer(Answer(status, given, json.dumps(body).encode()), 0.0)


def after_a_call(error: StoqError) -> StoqError:
    error.attempts, error.waited_seconds = 3, 1.5
    error.carried_out, error.after_unknown = None, True
    return error


ERRORS = [
    ConfigurationError("base_url must be https"),
    InvalidIntentError([Violation("customer.email", "channel_contact", "is needed", "spec")]),
    NotSentError("nothing was sent: no network"),
    BudgetExhaustedError("nothing was sent: no room", {"retry_after": 30.5}),
    OutcomeUnknownError("the request was sent"),
    *map(answered, [302, 404, 418, 429, 500]),
    answered(503, retry_after="3"),
    answered(429, request_id=PERSON),
    after_a_call(answered(404)),
    after_a_call(answered(503, retry_after="3")),
]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def rebuilt(error: StoqError) -> StoqError:
    """Return *error* as the JSON result store of a task queue brings it back."""
    return type(error)(*json.loads(json.dumps(error.args)))


@every_error
@pytest.mark.parametrize(
    "copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
def test_errors_survive_copies(error: StoqError, copied: Callable[[Any], StoqError]) -> None:
    """A copy, also in another process, has all that the error has."""
    other = copied(error)
    assert type(other) is type(error)
    assert (str(other), repr(other), vars(other)) == (str(error), repr(error), vars(error))


@every_error
def test_errors_survive_a_json_result_store(error: StoqError) -> None:
    """Rebuilt from its args, an error says the same; only the service's own words are gone."""
    other = rebuilt(error)
    assert type(other) is type(error)
    assert (str(other), repr(other), other.to_dict()) == (str(error), repr(error), error.to_dict())
    assert other.args == rebuilt(other).args
    assert other.answer is None


@every_error
def test_errors_tell_nothing_of_a_person(error: StoqError) -> None:
    """No text, args or dict of an error holds what the service said, unless it is asked for."""
    texts = [str(error), repr(error), repr(error.args), json.dumps(error.to_dict())]
    assert str(error)
    assert PERSON not in " ".join([*texts, repr(error.answer)])
    if isinstance(error, AnswerError):
        assert [f"{PERSON} already exists"] == error.to_dict(personal_data=True)["messages"]


@pytest.mark.parametrize("kind", [StoqError, NotSentError, RateLimitedError, ServerError])
def test_odd_args_make_an_error_all_the_same(kind: type[StoqError]) -> None:
    """What a result store made of the args can be read or not, and never raises."""
    odd_state = {"status": "x", "retry_after": "soon"}
    for args in ((), ("text",), (5,), ("text", "text"), ("text", odd_state)):
        error = kind(*args)
        assert str(error) + repr(error)
        assert (error.status, error.retry_after) == (None, None)


def test_what_an_error_is_as_json() -> None:
    """A dict holds the class, the text and everything that a decision needs."""
    error = answered(429, retry_after="24")
    error.attempts, error.waited_seconds = 2, 0.5
    assert error.to_dict() == {
        "error": "RateLimitedError",
        "message": "STOQ answered 429: the shop's rate limit is reached. This attempt put"
        " nothing on the list. Send again after 24 seconds.",
        "carried_out": False,
        "after_unknown": False,
        "attempts": 2,
        "waited_seconds": 0.5,
        "status": 429,
        "retry_after": 24.0,
        "request_id": UUID,
        "is_duplicate": False,
    }
    said = {"path": "customer.email", "rule": "r", "message": "is needed", "origin": "spec"}
    assert InvalidIntentError([Violation(**said)]).to_dict()["violations"] == [said]


REQUEST_IDS: list[tuple[dict[str, str], str | None, str | None]] = [
    ({"x-request-id": UUID}, UUID, UUID),
    ({"x-request-id": PERSON}, PERSON, None),
    ({"request-id": "7"}, "7", None),
    ({"cf-ray": "8f2a-FRA"}, "8f2a-FRA", None),
    ({"x-request-id": "7" * 201}, None, None),
    ({}, None, None),
]


def test_request_ids() -> None:
    """An id in any form can be read; only a UUID is in a dict, since other text can be data."""
    for headers, request_id, told in REQUEST_IDS:
        error = error_from_answer(Answer(404, headers, b""), 0.0)
        for outcome in (error, created_from_answer(Answer(201, headers, b""), 0.0)):
            assert request_id == outcome.request_id
            assert told == outcome.to_dict()["request_id"]
            assert request_id == outcome.to_dict(personal_data=True)["request_id"]


def test_the_tree_of_errors_is_drawn_where_it_lives() -> None:
    """Every class of error is public, is in the drawing, and hangs where the drawing says."""
    drawing = (stoqapp.errors.__doc__ or "").split("::")[1].partition("`")[0]
    above, tree = {0: "Exception"}, {}
    for name in re.finditer(r"[A-Z]\w+Error\b", drawing):
        depth = (name.start() - drawing.rindex("\n", 0, name.start()) - 1) // 4
        tree[name[0]] = above[depth - 1]
        above[depth] = name[0]
    members = vars(stoqapp.errors).items()
    classes = {name: kind for name, kind in members if name.endswith("Error")}
    assert {name: kind.__bases__[0].__name__ for name, kind in classes.items()} == tree
    assert set(classes) <= set(stoqapp.__all__)
