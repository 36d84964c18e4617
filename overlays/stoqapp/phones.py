"""Phone numbers, read by the numbering plans of the phonenumbers library."""

import re
import unicodedata

import phonenumbers
from phonenumbers import PhoneNumber, ValidationResult

from stoqapp.errors import UnusableInputError


def digits_from_number(given: str, country: str | None) -> str:
    """Return the digits of a phone number with its country code and no ``+``.

    Args:
        given: The number, see `stoqapp.inputs.phone_from` for its forms.
        country: Whose number a national one is, two lower-case letters.

    Raises:
        UnusableInputError: It is no phone number, or could be several people's.
    """
    text = _plain(given)
    if not re.fullmatch(r"\+?[0-9 ().\u2010-\u2015-]*", text):
        raise UnusableInputError(
            "holds more than a number (letters, a slash, an extension, a second number?): give the"
            " number alone, like +15550109999"
        )
    if text.startswith(("+", "00")):
        number = _possible("+" + text[2:] if text.startswith("00") else text, None)
    elif country is None:
        number = _possible(f"+{text}", None) if re.fullmatch("[1-9][0-9]*", text) else None
        if number is None or not phonenumbers.is_valid_number(number):
            raise UnusableInputError(
                "does not say whose number it is: write it with '+' and the country code,"
                " like +15550109999, or give its country"
            )
    else:
        number = _national(text, country)
    if number is None:
        raise UnusableInputError(
            "is no possible phone number: check its digits, and write it with '+' and the"
            " country code, like +15550109999"
        )
    return _digits(number)


def _plain(given: str) -> str:
    """Return *given* without marks that nobody sees, and with blanks for the rarer separators."""
    # NFKC makes ASCII of the digits and signs that an East Asian keyboard gives.
    text = unicodedata.normalize("NFKC", given)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = re.sub(r"[\s\u00b7\u2022\u30fb]+", " ", text).strip()
    return re.sub(r"^\((\+[0-9 ]+)\)", r"\1", text)


def _national(text: str, country: str) -> PhoneNumber | None:
    region = country.upper()
    code = phonenumbers.country_code_for_region(region)
    if code == 0:
        raise UnusableInputError(
            "is a national number of a country whose numbering is not known: write it with '+'"
            " and the country code (and see that the country is an ISO 3166-1 code)"
        )
    carrying = _possible(f"+{text}", None)
    if carrying is not None and carrying.country_code != code:
        carrying = None
    readings: dict[str, PhoneNumber] = {}
    for number in (_possible(text, region), carrying):
        if number is not None:
            readings[_digits(number)] = number
    if len(readings) > 1:
        raise UnusableInputError(
            "can be read both with and without a country code: write it with '+' and the"
            " country code, like +15550109999"
        )
    return next(iter(readings.values()), None)


def begins_with_country_code(digits: str, code: str) -> bool:
    """Whether *code* can be the country code of the number that *digits* are.

    Args:
        digits: A possible number with its country code, as `digits_from_number` returns it.
        code: The country code in digits, with or without ``+`` or ``00``, also with the area
            that tells a country of several apart (``1-868``); or the country's two letters.
            Of anything else nobody can say that it is wrong.
    """
    number = _possible(f"+{digits}", None)
    if number is None:
        return True
    calling_code = str(number.country_code)
    text = _plain(code)
    if re.fullmatch("[A-Za-z]{2}", text):
        return phonenumbers.country_code_for_region(text.upper()) in (0, number.country_code)
    if not re.fullmatch(r"\+?[0-9 ().\u2010-\u2015-]*", text):
        return True
    said = re.sub("[^0-9]", "", text).removeprefix("00")
    return said.startswith(calling_code) and digits.startswith(said)


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def _possible(text: str, region: str | None) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    reason = phonenumbers.is_possible_number_with_reason(number)
    return number if reason == ValidationResult.IS_POSSIBLE else None
