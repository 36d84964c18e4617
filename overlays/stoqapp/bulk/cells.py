"""From the text of a cell to a value: what spreadsheets and exports do to texts is undone.

Each function raises `UnusableCell` where a text means nothing, or more than one thing.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from attrs import frozen

from stoqapp.bulk.mapping import words
from stoqapp.errors import InvalidIntentError, UnusableInputError
from stoqapp.inputs import prepare
from stoqapp.readers import country_from
from stoqapp.rules import check

_INVISIBLE: Final = " \t\r\n\u00a0\u200b\u2060\ufeff"
_SCIENTIFIC: Final = re.compile(r"([0-9])(?:[.,]([0-9]+))?[Ee]\+?([0-9]{1,2})")
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:([., \u00a0\u202f'])[0-9]{3})(?:\1[0-9]{3})*")
_NUMERIC_DATE: Final = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|(?<=[./])[0-9]{2})(?![0-9])(.*)", re.DOTALL
)
_PLAIN_LOCAL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_CHANNELS: Final = ("email", "sms", "push")


class UnusableCell(Exception):  # noqa: N818 - it ends a row, not the program
    """A cell that a person must look at.

    Attributes:
        reason: One word for it, the same for all rows of its kind.
        advice: What is wrong, and what to do; without anybody's data.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@frozen
class Moment:
    """A date: the seconds since 1970 when the day is read first, and when the month is.

    The two are the same where a date can be read in one way only; one is None where only the
    other way gives a date.
    """

    day_first: float | None
    month_first: float | None


def cleaned(text: str) -> str:
    """Return *text* without outer blanks and what keeps a spreadsheet from reading it as a number.

    That is one apostrophe before ``+ = @`` or a digit, and ``="..."`` around the text. ``n/a``,
    ``NULL``, ``\\N`` and ``-`` are nothing.
    """
    text = text.strip(_INVISIBLE)
    if text[:1] == "'" and text[1:2] in tuple("+=@0123456789") and len(text) > 1:
        text = text[1:]
    if text[:2] == '="' and text[-1:] == '"' and len(text) > 2:
        text = text[2:-1]
    return "" if text in words("nothing") else text


def shopify_id(text: str, reason: str) -> int:
    """Return the id in *text*: digits, a global id, Klaviyo's, a link's ``?variant=``, ``.0``.

    Groups of three digits are taken together.
    """
    if plain := re.fullmatch(r"([1-9][0-9]{0,18})(?:[.,]0+)?", text):
        return int(plain[1])
    if destroyed(text):
        raise UnusableCell(
            "id_destroyed", "a spreadsheet has rounded the id: export again, with ids as text"
        )
    if _GROUPED.fullmatch(text) and text[0] != "0":
        return int(re.sub("[^0-9]", "", text))
    named = re.fullmatch(
        r"gid://shopify/(?:ProductVariant|Product|Market)/([1-9][0-9]{0,18})"
        r"|\$shopify:::\$default:::([1-9][0-9]{0,18})"
        r"|https?://[^?#\s]+\?(?:[^#\s]*&)?variant=([1-9][0-9]{0,18})(?:[&#]\S*)?",
        text,
    )
    if named is None:
        raise UnusableCell(reason, "is not a Shopify id")
    return int(next(filter(None, named.groups())))


def destroyed(text: str) -> tuple[str, int] | None:
    """Return the first digits and the length of a number that a spreadsheet rounded, else None."""
    found = _SCIENTIFIC.fullmatch(text)
    return (found[1] + (found[2] or ""), int(found[3]) + 1) if found else None


def quantity(text: str) -> int:
    """Return a number of items; blank is 1, and ``2.0`` or ``2,0`` is 2."""
    if not text:
        return 1
    found = re.fullmatch(r"\+?([0-9]{1,6})(?:[.,]0{1,2})?", text)
    if found is None or int(found[1]) < 1:
        raise UnusableCell("quantity", "the quantity is not a whole number from 1")
    return int(found[1])


def consent(text: str, said: Any) -> bool | None:
    """Return whether somebody agreed; None where the row does not say so."""
    word = str(text if said is None else said).casefold()
    if not word:
        return None
    for value in (True, False):
        if word in words(str(value).lower()):
            return value
    raise UnusableCell("boolean", "neither yes nor no; say what it means with --value")


def country(text: str, said: Any) -> str:
    """Return the code of a country given by two or three letters."""
    from iso3166 import countries_by_alpha3

    code = str(text if said is None else said)
    try:
        longer = countries_by_alpha3.get(code.upper())
        return country_from(longer.alpha2 if longer else code).value
    except UnusableInputError:
        raise UnusableCell(
            "country", "not a country's two or three letters; say it with --value"
        ) from None


def channels(text: str, said: Any) -> tuple[str, ...]:
    """Return the channels that a cell names, one or several."""
    word = str(text if said is None else said)
    try:
        named = json.loads(word) if word.startswith("[") else re.split(r"[,;+/|]", word)
    except ValueError:
        named = [word]
    found = tuple(dict.fromkeys(str(one).strip().casefold() for one in named))
    if not found or not set(found) <= set(_CHANNELS):
        raise UnusableCell("channel", "not email, sms or push; say what it means with --value")
    return found


@lru_cache(maxsize=4096)
def moment(text: str) -> Moment:
    """Return the date in *text*. Without a time zone it is UTC; dots mean the day comes first."""
    try:
        # Only what begins with the year is ISO 8601 here; "20260103" could be an id.
        if re.match("[0-9]{4}-", text):
            return _both(datetime.fromisoformat(text.removesuffix(" UTC").strip()))
    except ValueError:
        pass
    from dateutil import parser

    try:
        numeric = _NUMERIC_DATE.fullmatch(text)
        if numeric is None:
            # Read twice on other days: what the text leaves out would differ.
            first, second = (
                parser.parse(text, default=datetime(year, month, day), tzinfos=_offset)
                for year, month, day in ((2000, 1, 1), (2001, 2, 2))
            )
            if first != second:
                raise UnusableCell("date", "the date is not complete")
            return _both(first)
        left, mark, right, year, rest = numeric.groups()
        time = parser.parse(f"2000-01-01 {rest}", tzinfos=_offset)
    except (ValueError, OverflowError, TypeError):
        raise UnusableCell("date", "is not a date") from None
    whole = int(year) + (2000 if len(year) == 2 else 0)
    readings = [_date(time, whole, int(right), int(left))]
    readings.append(readings[0] if mark == "." else _date(time, whole, int(left), int(right)))
    if readings == [None, None]:
        raise UnusableCell("date", "is not a date")
    return Moment(*readings)


def _offset(name: str, seconds: int | None) -> int:  # noqa: ARG001 - as dateutil calls it
    """Take a time zone that has only a name for UTC: a day's order is all that matters."""
    return seconds or 0


def _date(time: datetime, year: int, month: int, day: int) -> float | None:
    try:
        return _both(time.replace(year=year, month=month, day=day)).day_first
    except ValueError:
        return None


def _both(moment: datetime) -> Moment:
    try:
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UnusableCell("date", "is not a date") from None
    return Moment(seconds, seconds)


def email(text: str) -> str:
    """Return one e-mail address, its domain in lower case."""
    local, _, domain = text.rpartition("@")
    # Nearly all: the domains of a file are few, so each is looked at once.
    if _PLAIN_LOCAL.fullmatch(local) and len(local) <= 64 and len(text) <= 254:
        return f"{local}@{_validated(f'a@{domain}')[2:]}"
    return _validated(text)


@lru_cache(maxsize=4096)
def _validated(text: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        return str(validate_email(text, check_deliverability=False).normalized)
    except EmailNotValidError:
        pass
    if text.count("@") > 1:
        raise UnusableCell("email", "holds several addresses: keep one, or make a row of each")
    raise UnusableCell("email", "is not an e-mail address")


def phone(text: str, *, has_country: bool, international: bool) -> str:
    """Return a number for the SDK to read.

    Digits alone are refused unless the row has a country or all numbers are *international*:
    ``4312345678`` is somebody in Manitoba, and somebody in Vienna.
    """
    if destroyed(text):
        raise UnusableCell(
            "phone_destroyed", "a spreadsheet has rounded the number: export again, as text"
        )
    text = re.sub(r"\.0+$", "", unicodedata.normalize("NFKC", text))
    if "+" in text or text.startswith("00") or has_country:
        return text
    if international:
        return f"+{text}"
    raise UnusableCell(
        "phone",
        "the number does not say its country: add --set country=us, or --set phones=international"
        " if all numbers begin with their country code",
    )


_REASONS: Final = {
    "customer.phone": "phone",
    "customer.email": "email",
    "customer.country": "country",
    "customer.country_code": "country",
    "intent.channel": "channel",
    "intent.quantity": "quantity",
}


def body_from(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's body for the arguments of `stoqapp.Stoq.subscribe`, read and checked."""
    try:
        body = prepare(**fields).body
        violations = check(body)
    except InvalidIntentError as error:
        violations = error.violations
    if violations:
        reason = _REASONS.get(violations[0].path, "rule")
        advice = "; ".join(f"{one.path} {one.message}" for one in violations)
        raise UnusableCell(reason, advice)
    return cast(dict[str, Any], body)


def masked(text: str) -> str:
    """Return *text* with what could be a contact made unreadable."""
    if "@" in text:
        return f"{text[:1]}***@***"
    if sum(char.isdigit() for char in text) >= 6:
        return f"{text[:2]}***{text[-2:]}"
    return "".join(char if unicodedata.category(char)[0] != "C" else "?" for char in text)[:60]
