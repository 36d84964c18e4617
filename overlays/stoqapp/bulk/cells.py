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

from dateutil import parser
from email_validator import EmailNotValidError, validate_email
from iso3166 import countries_by_alpha3

from stoq_public_api_client.typed_dicts import CreateIntentRequestDict
from stoqapp.bulk.mapping import holds_contact, words
from stoqapp.errors import UnusableInputError
from stoqapp.inputs import INPUTS, prepare
from stoqapp.readers import country_from
from stoqapp.rules import CONTACT_OF_CHANNEL, LARGEST_ID, check
from stoqapp.spec import SPEC

_INVISIBLE: Final = " \x1a\t\r\n\u00a0\u200b\u2060\ufeff"
_APOSTROPHE_BEFORE: Final = tuple("+=@0123456789")
_SCIENTIFIC: Final = re.compile(r"([0-9])(?:[.,]([0-9]+))?[Ee]\+?([0-9]{1,2})")
_ID: Final = re.compile(
    r"([1-9][0-9]{0,18})(?:[.,]0+)?"
    r"|gid://shopify/(ProductVariant|Product|Market)/([1-9][0-9]{0,18})"
    r"|\$shopify:::\$default:::([1-9][0-9]{0,18})"
    r"|https?://[^?#\s]+\?(?:[^#\s]*&)?variant=([1-9][0-9]{0,18})(?:[&#]\S*)?"
)
_KINDS: Final = {"variant_id": "ProductVariant", "product_id": "Product", "market": "Market"}
_GROUPED_ID: Final = re.compile(r"[1-9][0-9]{0,2}(?:([., \u00a0\u202f'])[0-9]{3})(?:\1[0-9]{3})*")
_QUANTITY: Final = re.compile(r"\+?([0-9]{1,6})(?:[.,]0{1,2})?")
_NUMERIC_DATE: Final = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4}|(?<=[./])[0-9]{2})(?![0-9])(.*)", re.DOTALL
)
# Text that no reader here has looked at.
AS_GIVEN: Final = ("country_code", "locale", "customer_id", "shopify_customer_id")
# What every request holds; the ids, and the contact, are those of each row.
_DEFAULTS: Final = prepare(variant=1, product=1, email="ada@example.com").body["intent"]


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
    return "" if text in words("nothing") else text


def shopify_id(text: str, reason: str) -> int:
    """Return the id in *text*: digits, a global id, Klaviyo's, a link's ``?variant=``, ``.0``.

    Groups of three digits are taken together. *reason* says what is named: ``variant_id``,
    ``product_id`` or ``market``.
    """
    number = LARGEST_ID + 1
    if found := _ID.fullmatch(text):
        digits, kind, of_gid, of_klaviyo, of_link = found.groups()
        if kind not in (None, _KINDS[reason]) or (of_link and reason != "variant_id"):
            raise UnusableCell(reason, "is the id of something else")
        number = int(digits or of_gid or of_klaviyo or of_link)
    elif destroyed(text):
        raise UnusableCell(
            "id_destroyed", "a spreadsheet has rounded the id: export again, with ids as text"
        )
    elif _GROUPED_ID.fullmatch(text):
        number = int(re.sub("[^0-9]", "", text))
    if number > LARGEST_ID:
        raise UnusableCell(reason, "is not a Shopify id")
    return number


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
    longer = countries_by_alpha3.get(text.upper())
    try:
        return country_from(longer.alpha2 if longer else text)
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
    """Return the date in *text*; dots mean that the day comes first.

    Without an offset in the form of ISO 8601 it is UTC: the order of days is all that matters.
    """
    numeric = _NUMERIC_DATE.fullmatch(text)
    if numeric is None:
        day_first = month_first = _seconds(text)
    else:
        left, mark, right, year, rest = numeric.groups()
        year, clock = f"20{year}"[-4:], _clock(rest)
        day_first = _seconds(f"{year}-{right:0>2}-{left:0>2}{clock}") if int(right) < 13 else None
        month_first = _seconds(f"{year}-{left:0>2}-{right:0>2}{clock}") if int(left) < 13 else None
        month_first = day_first if mark == "." else month_first
    if day_first is None and month_first is None:
        raise UnusableCell("date", "is not a date")
    return Moment(day_first, month_first)


@lru_cache(maxsize=4096)
def _clock(text: str) -> str:
    """Return a time of day as ISO 8601 has it; there are few of them in a file."""
    found = _parsed(f"2000-01-01 {text}")
    if found is None:
        raise UnusableCell("date", "is not a date")
    return found.isoformat()[10:]


def _seconds(text: str) -> float | None:
    found = _parsed(text)
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _parsed(text: str) -> datetime | None:
    try:
        # Only what begins with the year is ISO 8601 here; "20260103" could be an id.
        if re.match("[0-9]{4}-", text):
            return datetime.fromisoformat(text.removesuffix(" UTC").strip())
    except ValueError:
        pass
    # A year of four digits says the order of what follows, a name the month.
    unordered = not re.match("[0-9]{4}", text)
    orders: Any = {
        "dayfirst": unordered,
        "yearfirst": unordered and not re.search("[A-Za-z]", text),
    }
    try:
        # Read twice, on another day and in another order: what the text leaves open would differ.
        first = parser.parse(text, default=datetime(2000, 1, 1), ignoretz=True)
        second = parser.parse(text, default=datetime(2001, 2, 2), ignoretz=True, **orders)
    except (ValueError, OverflowError, TypeError):
        return None
    return first if first == second else None


def email(text: str) -> str:
    """Return one e-mail address, its domain in lower case. The SDK reads what is before the @."""
    local, _, domain = text.rpartition("@")
    if "@" in local:
        raise UnusableCell("email", "holds several addresses: keep one, or make a row of each")
    return f"{local}@{_domain(domain)}"


@lru_cache(maxsize=4096)
def _domain(text: str) -> str:
    try:
        return validate_email(f"a@{text}", check_deliverability=False).domain
    except EmailNotValidError:
        raise UnusableCell("email", "is not an e-mail address") from None


def phone(text: str, *, has_country: bool, international: bool) -> str:
    """Return a number for the SDK to read.

    Digits alone are refused unless the row has a country or all numbers are *international*:
    ``4312345678`` is somebody in Manitoba, and somebody in Vienna.
    """
    if destroyed(text):
        raise UnusableCell(
            "phone_destroyed", "a spreadsheet has rounded the number: export again, as text"
        )
    text = unicodedata.normalize("NFKC", text)
    if "+" in text or text.startswith("00") or has_country:
        return text
    if international:
        return f"+{text}"
    raise UnusableCell(
        "phone",
        "the number does not say its country: add --set country=us, or --set phones=international"
        " if all numbers begin with their country code",
    )


def body_from(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request's body for the arguments of `stoqapp.Stoq.subscribe`, read and checked."""
    body: dict[str, Any] = {"intent": dict(_DEFAULTS)}
    is_plain = fields.keys().isdisjoint(AS_GIVEN)
    for name, value in fields.items():
        row = INPUTS[name]
        if value in (None, "") or row.path not in SPEC.fields:
            continue
        section, _, last = row.path.partition(".")
        try:
            read = row.read(value, *(fields.get(other) for other in row.beside))
        except UnusableInputError as error:
            raise UnusableCell(last, f"{row.path} {error}") from None
        body.setdefault(section, {})[last] = read
        is_plain = is_plain and (isinstance(read, int) or (read.isascii() and read.isprintable()))
    # What a reader here returns breaks a rule only by its characters.
    for path, _, message, _ in () if is_plain else check(cast(CreateIntentRequestDict, body)):
        raise UnusableCell(path.rpartition(".")[2], f"{path} {message}")
    return body


def masked(text: str) -> str:
    """Return *text* with what could be a contact made unreadable."""
    if holds_contact(text):
        return f"{text[:1]}***@***" if "@" in text else f"{text[:2]}***{text[-2:]}"
    return "".join(char if unicodedata.category(char)[0] != "C" else "?" for char in text)[:60]
