"""From the text of a cell to a value: what spreadsheets and exports do to texts is undone.

Each function raises `UnusableCell` where a text means nothing, or more than one thing.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from stoq_public_api_client.typed_dicts import CreateIntentRequestDict
from stoqapp.bulk.mapping import words
from stoqapp.errors import InvalidIntentError, UnusableInputError
from stoqapp.inputs import INPUTS, prepare
from stoqapp.readers import country_from, present
from stoqapp.rules import CONTACT_OF_CHANNEL, LARGEST_ID, check

_INVISIBLE: Final = " \t\r\n\u00a0\u200b\u2060\ufeff"
_SCIENTIFIC: Final = re.compile(r"([0-9])(?:[.,]([0-9]+))?[Ee]\+?([0-9]{1,2})")
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:([., \u00a0\u202f'])[0-9]{3})(?:\1[0-9]{3})*")
_NUMERIC_DATE: Final = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|(?<=[./])[0-9]{2})(?![0-9])(.*)", re.DOTALL
)
_PLAIN_LOCAL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_DIGITS: Final = re.compile(r"([1-9][0-9]{0,18})(?:[.,]0+)?")
_NAMED_ID: Final = re.compile(
    r"gid://shopify/(?:ProductVariant|Product|Market)/([1-9][0-9]{0,18})"
    r"|\$shopify:::\$default:::([1-9][0-9]{0,18})"
    r"|https?://[^?#\s]+\?(?:[^#\s]*&)?variant=([1-9][0-9]{0,18})(?:[&#]\S*)?"
)
_QUANTITY: Final = re.compile(r"\+?([0-9]{1,6})(?:[.,]0{1,2})?")
_APOSTROPHE_BEFORE: Final = tuple("+=@0123456789")
_NOTHING: Final = words("nothing")


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


class Moment(NamedTuple):
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
    if text[:1] == "'" and text[1:2] in _APOSTROPHE_BEFORE:
        text = text[1:]
    if text[:2] == '="' and text[-1:] == '"' and len(text) > 2:
        text = text[2:-1]
    return "" if text in _NOTHING else text


def shopify_id(text: str, reason: str) -> int:
    """Return the id in *text*: digits, a global id, Klaviyo's, a link's ``?variant=``, ``.0``.

    Groups of three digits are taken together.
    """
    if plain := _DIGITS.fullmatch(text):
        number = int(plain[1])
    elif destroyed(text):
        raise UnusableCell(
            "id_destroyed", "a spreadsheet has rounded the id: export again, with ids as text"
        )
    elif _GROUPED.fullmatch(text) and text[0] != "0":
        number = int(re.sub("[^0-9]", "", text))
    elif named := _NAMED_ID.fullmatch(text):
        number = int(next(filter(None, named.groups())))
    else:
        number = LARGEST_ID + 1
    if number > LARGEST_ID:
        raise UnusableCell(reason, "is not a Shopify id")
    return number


def market(text: str) -> int:
    """Return the id of a market."""
    return shopify_id(text, "market")


def destroyed(text: str) -> tuple[str, int] | None:
    """Return the first digits and the length of a number that a spreadsheet rounded, else None."""
    found = _SCIENTIFIC.fullmatch(text)
    return (found[1] + (found[2] or ""), int(found[3]) + 1) if found else None


def quantity(text: str) -> int:
    """Return a number of items; ``2.0`` and ``2,0`` are 2."""
    found = _QUANTITY.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise UnusableCell("quantity", "the quantity is not a whole number from 1")
    return int(found[1])


def consent(text: str) -> bool:
    """Return whether somebody agreed."""
    for value in (True, False):
        if text.casefold() in words(str(value).lower()):
            return value
    raise UnusableCell("boolean", "neither yes nor no; say what it means with --value")


def country(text: str) -> str:
    """Return the code of a country given by two or three letters."""
    from iso3166 import countries_by_alpha3

    try:
        longer = countries_by_alpha3.get(text.upper())
        return country_from(longer.alpha2 if longer else text).value
    except UnusableInputError:
        raise UnusableCell(
            "country", "not a country's two or three letters; say it with --value"
        ) from None


def channels(text: str) -> tuple[str, ...]:
    """Return the channels that a cell names, one or several."""
    try:
        named = json.loads(text) if text.startswith("[") else re.split(r"[,;+/|]", text)
    except ValueError:
        named = [text]
    found = tuple(dict.fromkeys(str(one).strip().casefold() for one in named))
    if not found or not set(found) <= set(CONTACT_OF_CHANNEL):
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
# What differs from row to row: read by itself. The rest has few values in a file.
_OF_THE_ROW: Final = (
    *("variant", "product", *CONTACT_OF_CHANNEL.values(), "name"),
    *("product_title", "variant_title", "vendor", "sku", "variant_count"),
)


def body_from(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's body for the arguments of `stoqapp.Stoq.subscribe`, read and checked."""
    rest = ((name, value) for name, value in fields.items() if name not in _OF_THE_ROW)
    body = {section: dict(values) for section, values in _common(tuple(rest)).items()}
    plain = True
    for name in _OF_THE_ROW:
        if (given := present(fields.get(name))) is None:
            continue
        row = INPUTS[name]
        try:
            value = row.read(given, *(fields.get(other) for other in row.beside)).value
        except UnusableInputError as fault:
            raise _unusable(row.path, str(fault)) from None
        section, _, leaf = row.path.partition(".")
        body.setdefault(section, {})[leaf] = value
        plain = plain and (isinstance(value, int) or (value.isascii() and value.isprintable()))
    # What the readers return breaks a rule only by its characters.
    if not plain and (broken := check(cast(CreateIntentRequestDict, body))):
        raise _unusable(broken[0].path, broken[0].message)
    return body


@lru_cache(maxsize=4096)
def _common(fields: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    """Return the body that many rows share: what is of the row itself is not true yet."""
    try:
        body = prepare(variant=1, product=1, **dict(fields)).body
        broken = check(body)
    except InvalidIntentError as error:
        broken = list(error.violations)
    for one in broken:
        if one.rule != "channel_contact":
            raise _unusable(one.path, one.message)
    return cast(Mapping[str, Any], body)


def _unusable(path: str, message: str) -> UnusableCell:
    return UnusableCell(_REASONS.get(path, "rule"), f"{path} {message}")


def masked(text: str) -> str:
    """Return *text* with what could be a contact made unreadable."""
    if "@" in text:
        return f"{text[:1]}***@***"
    if sum(char.isdigit() for char in text) >= 6:
        return f"{text[:2]}***{text[-2:]}"
    return "".join(char if unicodedata.category(char)[0] != "C" else "?" for char in text)[:60]
