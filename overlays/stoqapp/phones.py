"""Read phone numbers by the numbering plans of the phonenumbers library.

A number can be written in several ways, and the same digits can be two numbers. So every
possible reading is collected, and the one that the numbering plans know to be valid is taken.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from stoqapp.errors import ConfigurationError, UnusableInputError

try:
    import phonenumbers
    from phonenumbers import CountryCodeSource, PhoneNumber, PhoneNumberFormat
except ImportError:
    raise ConfigurationError(
        "phone numbers are read by the library phonenumberslite (or phonenumbers), which is not"
        " installed: run pip install 'stoqapp[phones]'"
    ) from None

_EXAMPLE: Final = "write it with '+' and the country code, like +15550109999"
# The punctuation that phonenumbers skips, without the slash, which can begin a second number.
_PUNCTUATION: Final = r" ().\[\]\-~\u2010-\u2015\u2053\u2212\u223c\u30fb\u30fc\u00b7\u2022"
_WRITTEN: Final = re.compile(rf"[(\[]?\+?[0-9{_PUNCTUATION}]*")
_FULL_WIDTH: Final = {char: char - 0xFEE0 for char in range(0xFF01, 0xFF5F)}
_TEL: Final = re.compile(r"tel:([^;]*)(?:;phone-context=(\+[^;]*))?", re.IGNORECASE)


def digits_from_number(given: str, country: str | None, country_code: str | None) -> str:
    """Return the digits of a phone number with its country code and no ``+``.

    Args:
        given: The number, see `stoqapp.readers.phone_from` for its forms.
        country: Where the customer is, two letters.
        country_code: Whose number it is: the country code in digits, with or without ``+`` or
            ``00``, also with the area that tells a country of several apart (``1-868``); or the
            country's two letters. Anything else is passed over.
    """
    text = _plain(given)
    if not _WRITTEN.fullmatch(text):
        raise UnusableInputError(
            "holds more than a number (letters, a slash, an extension, a second number?): give the"
            " number alone, like +15550109999"
        )
    code = _plain(country_code) if country_code else ""
    region = _region_of(country, code)
    readings = {_digits(number): number for number in _readings(text, region)}
    found = _meant(text, readings, region)
    if len(found) == 1:
        if code and not _has_code(readings[found[0]], found[0], code):
            raise UnusableInputError(
                "has another country code than the one beside it: correct one of the two, or leave"
                " the country code out"
            )
        return found[0]
    if len(readings) > 1:
        raise UnusableInputError(
            f"can be read as several numbers, with and without a country code: {_EXAMPLE}"
        )
    if region is None and not text.startswith(("+", "00")):
        if country or country_code:
            raise UnusableInputError(
                f"belongs to a country without a known numbering plan: {_EXAMPLE}"
            )
        raise UnusableInputError(f"does not say its country: {_EXAMPLE}, or give the country, too")
    raise UnusableInputError(f"is not a valid phone number: check its digits, and {_EXAMPLE}")


def _plain(given: str) -> str:
    """Return *given* with ASCII digits and blanks, and without characters that do not show."""
    text = given
    if not text.isascii():
        text = "".join(
            str(unicodedata.decimal(char, char))
            for char in text.translate(_FULL_WIDTH)
            if unicodedata.category(char) != "Cf"
        )
    text = " ".join(text.split())
    if tel := _TEL.fullmatch(text):
        number, context = tel.groups()
        text = f"{context}{number}" if context and not number.startswith("+") else number
    # A spreadsheet makes a decimal of a number without spaces.
    return re.sub(r"\A(\+?[0-9]{7,})\.0\Z", r"\1", text)


def _region_of(country: str | None, code: str) -> str | None:
    """Return the region whose numbering plan a national number follows."""
    region = country.upper() if country else None
    if re.fullmatch("[A-Za-z]{2}", code):
        region = code.upper()
    elif said := _code_digits(code):
        codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        regions = next(
            (codes[n] for n in (int(said[:size]) for size in (1, 2, 3)) if n in codes), ()
        )
        region = region if region in regions else next(iter(regions), region)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def _code_digits(code: str) -> str:
    return re.sub("[^0-9]", "", code).removeprefix("00")


def _has_code(number: PhoneNumber, digits: str, code: str) -> bool:
    """Whether *code* can be the country code of the number that *digits* are."""
    if re.fullmatch("[A-Za-z]{2}", code):
        return phonenumbers.country_code_for_region(code.upper()) in (0, number.country_code)
    said = _code_digits(code)
    is_right = said.startswith(str(number.country_code)) and digits.startswith(said)
    return is_right or not _WRITTEN.fullmatch(code)


def _readings(text: str, region: str | None) -> Iterator[PhoneNumber]:
    """Yield each possible number that *text* can be read as."""
    # "+44 (0)20" names the trunk prefix that is dialled at home.
    for one in {text, re.sub(r"\A([(\[]?\+[^(]*)\(0\)", r"\1", text)}:
        digits = re.sub("[^0-9]", "", one)
        forms: list[tuple[str, str | None]] = (
            [(digits, region)] if region and "+" not in text else []
        )
        if "+" in text or not digits.startswith("0"):
            forms.append((f"+{digits}", None))
        elif digits.startswith("00"):
            forms.append((f"+{digits[2:]}", None))
        for form, home in forms:
            try:
                number = phonenumbers.parse(form, home)
            except phonenumbers.NumberParseException:
                continue
            reason = phonenumbers.is_possible_number_with_reason(number)
            if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
                yield number


def _meant(text: str, readings: dict[str, PhoneNumber], region: str | None) -> list[str]:
    """Return those of the readings that can be meant, by the numbering plans."""
    if len(readings) == 1 and "+" in text:
        ((digits, number),) = readings.items()
        # Valid or reserved for fiction: both are taken, so the plans need not be asked.
        if not number.italian_leading_zero:
            return [digits]
    found = [digits for digits, number in readings.items() if phonenumbers.is_valid_number(number)]
    if len(found) > 1 and region:
        full = [digits for digits in found if _is_full_form(text, digits, region)]
        return full or _surest_at_home({digits: readings[digits] for digits in found}, region)
    # Numbers that are reserved for fiction are valid nowhere: they have to be written in full.
    return found or [
        digits
        for digits, number in readings.items()
        if not number.italian_leading_zero and _is_written_in_full(text, digits, region)
    ]


def _surest_at_home(found: dict[str, PhoneNumber], region: str) -> list[str]:
    """Return the most mobile of the numbers in *found*, if it is the only one and of *region*.

    Only a mobile number can be sent an SMS. So a mobile number of the customer's own country is
    meant, rather than the landline of another one that happens to have the same digits.
    """
    kinds = phonenumbers.PhoneNumberType
    home = phonenumbers.country_code_for_region(region)
    for kind in (kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE):
        alike = [one for one in found if phonenumbers.number_type(found[one]) == kind]
        if alike:
            return alike if len(alike) == 1 and found[alike[0]].country_code == home else []
    return []


def _is_full_form(text: str, digits: str, region: str) -> bool:
    """Whether *text* is the API's own form of a number of *region*.

    Where national numbers are written with a trunk prefix, digits without it that begin with the
    country's own code are not a national number.
    """
    return (
        bool(phonenumbers.ndd_prefix_for_region(region, True))
        and re.sub("[^0-9]", "", text) == digits
        and digits.startswith(str(phonenumbers.country_code_for_region(region)))
    )


def _is_written_in_full(text: str, digits: str, region: str | None) -> bool:
    """Whether *text* says the country code of the number that *digits* are."""
    typed = re.sub("[^0-9]", "", text)
    if "+" in text:
        return True
    if region is None:
        return typed == f"00{digits}"
    code = str(phonenumbers.country_code_for_region(region))
    # Of the area code 555, which North America keeps for fiction, the national form will do.
    if digits.startswith(code) and (typed == digits or digits.startswith("1555")):
        return True
    source = phonenumbers.parse(typed, region, keep_raw_input=True).country_code_source
    return bool(source == CountryCodeSource.FROM_NUMBER_WITH_IDD)


def _digits(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
