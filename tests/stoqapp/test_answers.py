"""What an answer means, by its status line and headers, whatever its body is."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoqapp import Answer, AnswerError, errors
from stoqapp.answers import created_from_answer
from stoqapp.headers import RateLimit, rate_limit_from_headers

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
    b'{"intents": ["1", null, 5]}',
    b'{"intents": {"id": "1"}}',
    b'{"errors": null}',
]


def test_a_201_is_created_whatever_its_body() -> None:
    """No body makes an error of a 201; what cannot be read stays in the answer."""
    for body in ODD_BODIES:
        created = created_from_answer(answer(201, body), NOW)
        assert (created.intents, created.messages) == ((), ())
        assert created.answer.body == body


@pytest.mark.parametrize(
    ("statuses", "kind", "carried_out"),
    [
        ([200], errors.ProcessedWithErrorsError, False),
        ([400], errors.BadRequestError, False),
        ([401], errors.UnauthorizedError, False),
        ([403], errors.ForbiddenError, False),
        ([404], errors.NotFoundError, False),
        ([407], errors.ProxyAuthenticationError, False),
        ([409], errors.ConflictError, False),
        ([413], errors.PayloadTooLargeError, False),
        ([422], errors.UnprocessableIntentError, False),
        ([402, 418, 499], errors.IntentRefusedError, False),
        ([429], errors.RateLimitedError, False),
        ([500, 503, 520, 599], errors.ServerError, None),
        ([100, 202, 204, 302, 600, 999], errors.UnexpectedAnswerError, None),
    ],
)
def test_every_other_status_is_an_error_of_its_class(
    statuses: list[int], kind: type[AnswerError], carried_out: bool | None
) -> None:
    """Each status gives its class of error, with the answer in it, whatever its body is."""
    for came in (answer(status, body) for status in statuses for body in [*ODD_BODIES, b"{}"]):
        error = error_from(came)
        assert type(error) is kind
        assert (error.status, error.answer, error.carried_out) == (came.status, came, carried_out)


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ({"errors": ["a", "b"]}, ("a", "b")),
        ({"errors": "a"}, ("a",)),
        ({"errors": None}, ()),
        ({}, ()),
        ({"errors": {"email": ["is bad", "is taken"]}}, ("email: is bad", "email: is taken")),
        ({"errors": [{"detail": "a"}, ["b"], 5]}, ("detail: a", "b")),
        ({"message": "c", "errors": ["a"], "error": "b"}, ("a", "b", "c")),
        ({"errors": ["a"] * 1000}, ("a",) * 100),
        (["a"], ()),
        # What is nested deeper than ten levels is not read.
        ({"errors": json.loads("[" * 9 + '"a"' + "]" * 9)}, ("a",)),
        ({"errors": json.loads("[" * 10 + '"a"' + "]" * 10)}, ()),
    ],
)
def test_messages_are_read_leniently(content: Any, messages: tuple[str, ...]) -> None:
    """The service's words are found under each of the three names, whatever their shape."""
    assert messages == error_from(answer(200, content)).messages


YEAR = 366 * 86_400.0
DATE = "Sun, 06 Nov 2033 08:49:37 GMT"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer(429, {"retry_after": 9}, retry_after="24", x_ratelimit_reset="2014800007"), 24.0),
        (answer(429, retry_after="0"), 0.0),
        (answer(429, retry_after="0.5"), 0.5),
        (answer(429, retry_after="30, 20"), 30.0),
        (answer(429, retry_after="9999999999999"), YEAR),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:50:07 GMT", date=DATE), 30.0),
        (answer(429, retry_after="2033-11-06T08:50:07Z", date=DATE), 30.0),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:50:07 GMT", date="soon"), 79807.0),
        (answer(429, retry_after="Sun, 06 Nov 2033 08:49:07 GMT", date=DATE), None),
        (answer(429, {"retry_after": 9}, retry_after="soon"), 9.0),
        (answer(429, {"retry_after": "9.5"}), 9.5),
        (answer(429, {"retry_after": 23.700000000000003}), 23.700000000000003),
        *[(answer(429, {"retry_after": odd}), None) for odd in (True, [9], float("inf"), -5, {})],
        *[
            (answer(429, retry_after=odd), None)
            for odd in ("-5", "inf", "nan", "9" * 400, "1e20", "1_0", "٣")
        ],
        (answer(429, x_ratelimit_reset="2014879807", date=DATE), 30.0),
        (answer(429, x_ratelimit_reset="2014800007"), 7.0),
        (answer(429), None),
    ],
)
def test_retry_after(given: Answer, seconds: float | None) -> None:
    """The wait comes from Retry-After, a number or a date, and else from the body."""
    error = error_from(given)
    assert seconds == error.retry_after
    assert ("" if seconds is None else f"Send again after {seconds:g} seconds") in str(error)


@pytest.mark.parametrize(
    ("given", "carried_out"),
    [
        (answer(503, retry_after="3"), False),
        (answer(503, retry_after="Sun, 06 Nov 2033 08:49:07 GMT", date=DATE), None),
        (answer(503, {"retry_after": 3}), None),
        (answer(503, x_ratelimit_reset="2014800007"), None),
        (answer(500, retry_after="3"), None),
        (answer(504, retry_after="3"), None),
    ],
)
def test_only_the_header_says_that_a_503_was_turned_away(
    given: Answer, carried_out: bool | None
) -> None:
    """A body can be from anything behind the gate; the text agrees with carried_out."""
    error = error_from(given)
    assert carried_out is error.carried_out
    assert ("may be on the list" in str(error)) is (carried_out is None)


@pytest.mark.parametrize(
    ("intents", "ids"),
    [
        ([{"id": "9", "quantity": 1}, "odd", {"id": "10"}], ("9", "10")),
        ([{"id": 9, "status": "a word of a later version"}], ("9",)),
        ([{"email": PERSON}, {"id": None}, {"id": True}, {"id": ""}, {"id": "9"}], ("9",)),
        ([], ()),
    ],
)
def test_what_a_201_says(intents: list[Any], ids: tuple[str, ...]) -> None:
    """The ids are text, whatever else is odd; intents that can be read are kept, and messages."""
    outcome = created_from_answer(answer(201, {"intents": intents, "errors": ["careful"]}), NOW)
    assert (ids, next(iter(ids), None)) == (outcome.ids, outcome.id)
    assert [intent for intent in intents if intent != "odd"] == list(outcome.intents)
    assert outcome.messages == ("careful",)


SEPTEMBER = datetime(2026, 9, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-09-01T10:00:00.000Z", SEPTEMBER),
        ("2026-09-01 10:00:00 UTC", SEPTEMBER),
        ("2026-09-01 12:00:00 +0200", SEPTEMBER.astimezone(timezone(timedelta(hours=2)))),
        ("2026-09-01T10:00:00", SEPTEMBER),
        ("Tue, 01 Sep 2026 10:00:00 GMT", SEPTEMBER),
        ("2026-09-01T12:00:00+02:00", SEPTEMBER.astimezone(timezone(timedelta(hours=2)))),
        ("Sep 1, 2026 10:00 AM", SEPTEMBER),
        ("2026-09-01 10:00:00 EST", None),
        ("Tue, 01 Sep 2026 10:00:00 CEST", None),
        ("2026-02-30T10:00:00Z", None),
        ("2026-09", None),
        ("2026-09-01", None),
        ("10", None),
        ("9" * 400, None),
        (1788256800, None),
    ],
)
def test_created_at(text: object, moment: datetime | None) -> None:
    """A date has a zone, in whatever form a service writes it; a guess is never made."""
    given = answer(201, {"intents": [{"created_at": text}]})
    assert moment == created_from_answer(given, NOW).created_at


def test_what_a_created_intent_is_as_json() -> None:
    """A dict holds what a log may hold; what the service said is there when it is asked for."""
    intent = {"id": 9, "email": PERSON, "created_at": "2026-09-01T10:00:00Z"}
    outcome = created_from_answer(answer(201, {"intents": [intent], "errors": [PERSON]}), NOW)
    told = {
        "carried_out": True,
        "status": 201,
        "ids": ["9"],
        "created_at": "2026-09-01T10:00:00+00:00",
        "request_id": None,
        "attempts": 1,
        "waited_seconds": 0.0,
        "confirmed_by_duplicate": False,
        "changes": [],
    }
    assert told == outcome.to_dict()
    words = {"intents": [intent], "messages": [PERSON]}
    assert told | words == json.loads(json.dumps(outcome.to_dict(personal_data=True)))
    assert PERSON not in repr(outcome)


SAY_DUPLICATE = [
    "customer: already waits for this variant",
    "Intent Already exists",
    "Duplicate intent",
    "Email has been taken",
]
SAY_ANOTHER_THING = [
    "mistaken identity",
    "this item is already in stock",
    "customer already unsubscribed",
    "has been refused",
    "No duplicate found, but the email is invalid",
    "Shop already exists under another domain",
]


def test_duplicates() -> None:
    """A refusal that says that the intent is there already is marked as a duplicate."""
    for message in SAY_DUPLICATE + SAY_ANOTHER_THING:
        for status in (200, 202, 400, 404, 409, 422, 429, 500):
            error = error_from(answer(status, {"errors": ["other", message]}))
            # No other answer says anything of an intent that is there.
            expected = status in (200, 400, 409, 422) and message in SAY_DUPLICATE
            assert expected is error.is_duplicate, (status, message)


SENT = 1_800_000_000.0
SENT_DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
NOTHING = RateLimit(None, None, None)
NAMES = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "date"]


@pytest.mark.parametrize(
    ("date", "ours", "seconds"),
    [
        (SENT_DATE, SENT + 3600, 24.0),
        ("Friday, 15-Jan-27 08:00:00 GMT", 0.0, 24.0),
        ("Fri Jan 15 08:00:00 2027", 0.0, 24.0),
        ("", SENT + 0.5, 23.5),
        ("soon", SENT + 0.5, 23.5),
        ("Fri, 15 Jan 2027 08:01:00 GMT", SENT, 0.0),
    ],
)
def test_the_rate_limit(date: str, ours: float, seconds: float) -> None:
    """Headers are read as the vendor means them; the reset, from the answer's own date in any form,
    and else by our clock."""
    headers = dict(zip(NAMES, ("360", " 358\t", "1800000024", date), strict=True))
    assert RateLimit(360, 358, seconds) == rate_limit_from_headers(headers, ours)


GARBAGE = ["", " ", "text", "-1", "+1", "1.5", "1e3", "0x10", "nan", "inf", "１２", "1,2", "1 2"]
GARBAGE += ["1_000", "1\n2", "360, 360", "9" * 13, "9" * 5000]


def test_a_rate_limit_that_is_none() -> None:
    """What is not a plain number, too many points, and a window of over a day are not known."""
    for said in GARBAGE:
        headers = dict.fromkeys(NAMES[:3], said)
        assert rate_limit_from_headers(headers, SENT) == NOTHING
    for name, most in zip(NAMES, (10**9, 10**9, 1_800_086_400), strict=False):
        assert rate_limit_from_headers({name: str(most), "date": SENT_DATE}, SENT) != NOTHING
        assert rate_limit_from_headers({name: str(most + 1), "date": SENT_DATE}, SENT) == NOTHING


VALUES = st.text(max_size=20) | st.integers().map(str) | st.floats().map(str) | st.just(SENT_DATE)


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES), st.floats(-1e12, 1e12))
def test_any_headers(headers: dict[str, str], now: float) -> None:
    """Whatever the headers hold, reading them gives numbers in range or None."""
    reading: Any = rate_limit_from_headers(headers, now)
    assert reading.limit is None or 0 <= reading.limit <= 10**9
    assert reading.remaining is None or 0 <= reading.remaining <= 10**9
    assert reading.resets_in_seconds is None or 0 <= reading.resets_in_seconds <= 86_400
