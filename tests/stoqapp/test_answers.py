"""What each answer means: the status line decides, whatever the body is."""

import json
import pickle
from typing import Any

import pytest

import stoqapp
from stoqapp import (
    Answer,
    AnswerError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    IntentRefusedError,
    InvalidIntentError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    StoqError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
    Violation,
)
from stoqapp.answers import created_from_answer

PERSON = "ada@example.com"
NOW = 2014800000.0


def answer(status: int, content: Any = b"", **headers: str) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def error_from(given: Answer) -> AnswerError:
    with pytest.raises(AnswerError) as caught:
        created_from_answer(given, NOW)
    return caught.value


ODD_BODIES = [
    b"",
    b"<html>Created</html>",
    b"\xff\xfe\x00",
    b"{",
    b"null",
    b"5",
    b"[" * 100_000,
    b'{"intents": ' + b"9" * 5000 + b"}",
    b'{"intents": null}',
    b'{"intents": ["1", null, 5]}',
    b'{"intents": {"id": "1"}}',
    b'{"errors": null}',
    b'["1"]',
]


@pytest.mark.parametrize("body", ODD_BODIES)
def test_a_201_is_created_whatever_its_body(body: bytes) -> None:
    """No body makes an error of a 201; what cannot be read stays in the answer."""
    created = created_from_answer(answer(201, body), NOW)
    assert (created.intents, created.messages) == ((), ())
    assert created.answer.body == body


def test_what_a_201_says() -> None:
    """The intents that can be read are given, and the errors beside them."""
    content = {"intents": [{"id": "9", "quantity": 1}, "odd"], "errors": ["careful"], "more": 1}
    created = created_from_answer(answer(201, content), NOW)
    assert list(created.intents) == [{"id": "9", "quantity": 1}]
    assert created.messages == ("careful",)


@pytest.mark.parametrize(
    ("status", "kind", "carried_out"),
    [
        (200, ProcessedWithErrorsError, False),
        (400, BadRequestError, False),
        (401, UnauthorizedError, False),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (409, ConflictError, False),
        (413, PayloadTooLargeError, False),
        (422, UnprocessableIntentError, False),
        (402, IntentRefusedError, False),
        (418, IntentRefusedError, False),
        (499, IntentRefusedError, False),
        (429, RateLimitedError, False),
        (500, ServerError, None),
        (503, ServerError, None),
        (520, ServerError, None),
        (599, ServerError, None),
        (100, UnexpectedAnswerError, None),
        (202, UnexpectedAnswerError, None),
        (204, UnexpectedAnswerError, None),
        (302, UnexpectedAnswerError, None),
        (600, UnexpectedAnswerError, None),
        (999, UnexpectedAnswerError, None),
    ],
)
@pytest.mark.parametrize("body", [*ODD_BODIES, b'{"errors": ["no"]}'])
def test_every_other_status_is_an_error_of_its_class(
    status: int, kind: type[AnswerError], carried_out: bool | None, body: bytes
) -> None:
    """Each status gives its class of error, with the answer in it, whatever its body is."""
    error = error_from(answer(status, body, x_request_id="7"))
    assert type(error) is kind
    assert (error.status, error.body, error.carried_out) == (status, body, carried_out)
    assert error.headers["x-request-id"] == "7"


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ({"errors": ["a", "b"]}, ("a", "b")),
        ({"errors": "a"}, ("a",)),
        ({"errors": None}, ()),
        ({}, ()),
        (
            {"errors": {"email": ["is invalid", "is taken"]}},
            ("email: is invalid", "email: is taken"),
        ),
        ({"errors": [{"detail": "a"}, ["b"], 5]}, ("detail: a", "b")),
        ({"error": "Not found"}, ("Not found",)),
        ({"error": "a", "message": "b"}, ("a", "b")),
        ({"message": "b", "errors": ["a"]}, ("a", "b")),
        ({"errors": ["a"] * 1000}, ("a",) * 100),
        (["a"], ()),
        ("a", ()),
    ],
)
def test_messages_are_read_leniently(content: Any, messages: tuple[str, ...]) -> None:
    """The service's words are found under each of the three names, whatever their shape."""
    assert messages == error_from(answer(200, content)).messages


DATE = "Sun, 06 Nov 2033 08:49:37 GMT"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer(429, retry_after="24"), 24.0),
        (answer(429, retry_after="0"), 0.0),
        (answer(429, {"retry_after": 9}, retry_after="24"), 24.0),
        (answer(429, {"retry_after": 9}), 9.0),
        (answer(429, {"retry_after": "9.5"}), 9.5),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:50:07 GMT", date=DATE), 30.0),
        (answer(429, retry_after="Sunday, 06-Nov-33 08:50:07 GMT", date=DATE), 30.0),
        (answer(429, retry_after="Sun Nov  6 08:50:07 2033", date=DATE), 30.0),
        (answer(429, retry_after="2033-11-06T08:50:07Z", date=DATE), 30.0),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:50:07 GMT", date="soon"), 79807.0),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:49:07 GMT", date=DATE), None),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:50:07 GMT"), 79807.0),
        (answer(429, {"retry_after": 9}, retry_after="soon"), 9.0),
        (answer(429, {"retry_after": True}), None),
        (answer(429, {"retry_after": [9]}), None),
        (answer(429, retry_after="-5"), None),
        (answer(429, retry_after="inf"), None),
        (answer(429, retry_after="nan"), None),
        (answer(429, retry_after="9" * 400), None),
        (answer(429, retry_after="1e20"), None),
        (answer(429, {"retry_after": 23.700000000000003}), 23.700000000000003),
        (answer(429, {"retry_after": float("inf")}), None),
        (answer(429, retry_after="30, 20"), 30.0),
        (answer(429, retry_after="9999999999999"), 9999999999999.0),
        (answer(429, retry_after="1_0"), None),
        (answer(429, retry_after="٣"), None),
        (answer(429, retry_after="0.5"), 0.5),
        (answer(429, x_ratelimit_reset="2014879807", date=DATE), 30.0),
        (answer(429, x_ratelimit_reset="2014800007"), 7.0),
        (answer(429, retry_after="24", x_ratelimit_reset="2014800007"), 24.0),
        (answer(429), None),
    ],
)
def test_retry_after(given: Answer, seconds: float | None) -> None:
    """The wait comes from Retry-After, a number or a date, and else from the body."""
    error = error_from(given)
    assert isinstance(error, RateLimitedError)
    assert seconds == error.retry_after
    assert ("a minute" if seconds is None else f"{seconds:g} seconds") in str(error)


@pytest.mark.parametrize(
    ("given", "carried_out", "said"),
    [
        (answer(503, retry_after="3"), False, "send again after 3 seconds"),
        (answer(503, {"retry_after": 3}), None, "may have taken"),
        (answer(503, x_ratelimit_reset="2014800007"), None, "may have taken"),
        (answer(503), None, "may have taken"),
        (answer(500, retry_after="3"), None, "may have taken"),
    ],
)
def test_only_the_header_says_that_a_503_was_turned_away(
    given: Answer, carried_out: bool | None, said: str
) -> None:
    """A body can be from anything behind the gate; the text agrees with carried_out."""
    error = error_from(given)
    assert (error.carried_out, said in str(error)) == (carried_out, True)


def errors() -> list[StoqError]:
    violation = Violation("customer.email", "channel_contact", "is needed", "spec")
    said = {"errors": [f"{PERSON} is taken"], "retry_after": 5}
    statuses = [200, 302, 400, 401, 403, 404, 409, 413, 418, 422, 429, 500]
    return [
        InvalidIntentError([violation]),
        NotSentError("nothing was sent: no network"),
        OutcomeUnknownError("sent, and no answer"),
        *(error_from(answer(status, said, set_cookie=PERSON)) for status in statuses),
    ]


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error: StoqError) -> None:
    """Every error survives pickling with all that it carries."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), repr(copy), vars(copy)) == (str(error), repr(error), vars(error))
    assert copy.carried_out is error.carried_out


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
def test_errors_say_what_to_do_and_nothing_personal(error: StoqError) -> None:
    """The text of an error is there, and holds nothing that the service said."""
    assert str(error)
    told = str(error) + repr(error) + repr(getattr(error, "answer", "")) + repr(error.args)
    assert PERSON not in told


def test_the_tree_of_errors_is_drawn_where_it_lives() -> None:
    """Every class of error is public, is in the drawing, and hangs where the drawing says."""
    drawing = (stoqapp.errors.__doc__ or "").split("::")[1]
    tree: dict[str, str] = {}
    above: list[str] = []
    for line in drawing.splitlines():
        stem, _, rest = line[4:].rpartition("── ")
        name = rest.split()[0] if rest.split() else ""
        if name.endswith("Error"):
            depth = (len(stem) + 3) // 4 if stem else 0
            tree[name] = above[depth - 1] if depth else "Exception"
            above[depth:] = [name]
    classes = {
        name: value
        for name, value in vars(stoqapp.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {name: value.__bases__[0].__name__ for name, value in classes.items()} == tree
    assert set(classes) <= set(stoqapp.__all__)


def test_the_repr_of_a_created_intent_is_silent() -> None:
    """What was created can be printed without telling who the customer is."""
    content = {"intents": [{"email": PERSON}], "errors": [PERSON]}
    created = created_from_answer(answer(201, content), NOW)
    assert PERSON not in repr(created)
    assert "intents=1" in repr(created)
