"""Phone numbers as people write them, and the digits that are sent."""

import sys

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoqapp import ConfigurationError, UnusableInputError
from stoqapp.readers import phone_from


@pytest.mark.parametrize(
    ("given", "country", "code", "expected"),
    [
        # With "+", whatever the country.
        ("+1 (555) 010-9999", None, None, "15550109999"),
        ("+447700900123", None, None, "447700900123"),
        ("＋１５５５０１０９９９９", None, None, "15550109999"),
        ("+49\u2212171\u22121234567", None, None, "491711234567"),
        ("+1\t555 010 9999", None, None, "15550109999"),
        ("\u200e+1 555 010 9999\u200f", None, None, "15550109999"),
        ("(+44) 20 7946 0958", None, None, "442079460958"),
        ("+44 (0)7911 123456", None, None, "447911123456"),
        ("+48 (0)512 345 678", None, None, "48512345678"),
        ("+39 06 1234 5678", None, None, "390612345678"),
        ("tel:+49-171-1234567", None, None, "491711234567"),
        ("tel:0171-1234567;phone-context=+49", None, None, "491711234567"),
        # With the international prefix of the country, or 00.
        ("00447911123456", None, None, "447911123456"),
        ("0044 7911 123456", "us", None, "447911123456"),
        ("0039 06 12345678", "de", None, "390612345678"),
        ("00 1 555 010 9999", "de", None, "15550109999"),
        ("011 44 7911 123456", "us", None, "447911123456"),
        ("0011 65 8123 4567", "au", None, "6581234567"),
        ("001 65 8123 4567", "hk", None, "6581234567"),
        ("010 65 8123 4567", "jp", None, "6581234567"),
        ("8 10 44 7911 123456", "ru", None, "447911123456"),
        # The API's own form.
        ("447911123456", None, None, "447911123456"),
        ("491711234567", "de", None, "491711234567"),
        ("491711234567", "de", "49", "491711234567"),
        ("62812345678", "id", None, "62812345678"),
        ("62215550123", "id", None, "62215550123"),
        ("447911123456", "gb", None, "447911123456"),
        ("447700900123", "gb", None, "447700900123"),
        ("15550109999", "us", None, "15550109999"),
        ("4741234567", "us", None, "4741234567"),
        ("4915112345678", "us", None, "4915112345678"),
        ("5511912345678", "br", None, "5511912345678"),
        # National, with the country or the country code.
        ("(555) 010-9999", "us", None, "15550109999"),
        ("07911 123456", "gb", None, "447911123456"),
        ("07911 123456", "UK", None, "447911123456"),
        ("07911 123456", None, "44", "447911123456"),
        ("07911 123456", "us", "44", "447911123456"),
        ("07911 123456", None, "gb", "447911123456"),
        ("1 868 291 1234", None, "1-868", "18682911234"),
        ("٠١٠١٢٣٤٥٦٧٨", "eg", None, "201012345678"),
        ("1711234567", "de", None, "491711234567"),
        ("1711234567.0", "de", None, "491711234567"),
        ("010 1234 5678", "kr", None, "821012345678"),
        ("8 916 123-45-67", "ru", None, "79161234567"),
        ("06 12345678", "it", None, "390612345678"),
        ("0 11 91234-5678", "br", None, "5511912345678"),
        ("15550109999", "cn", None, "8615550109999"),
        ("2015550123", "us", None, "12015550123"),
    ],
)
def test_phone_from(given: str, country: str | None, code: str | None, expected: str) -> None:
    """A number is read in each form that says whose it is, and the valid reading is taken."""
    assert expected == phone_from(given, country, code)


@pytest.mark.parametrize(
    ("given", "country", "reason"),
    [
        ("5550109999", None, "not say its country"),
        ("15550109999", None, "not say its country"),
        ("07911123456", None, "not say its country"),
        ("", None, "not say its country"),
        ("07911 123456", "aq", "without a known numbering plan"),
        ("07911 123456", "zz", "not say its country"),
        ("33612345678", "de", "several numbers"),
        ("12", "us", "not a valid"),
        ("079 474 381", "ch", "not a valid"),
        ("41079474381", "ch", "not a valid"),
        ("07700 900123", "gb", "not a valid"),
        ("1711234567.05", "ch", "several|not a valid"),
        ("4.91712E+11", "de", "letters"),
        ("+", None, "not a valid"),
        ("+1555010999999999", None, "not a valid"),
        ("+1 555 010 9999 ext. 5", None, "extension"),
        ("+1 555 010 9999/8", None, "second number"),
        ("+1 555 010 9999, +1 555 010 9998", None, "second number"),
        ("0171 1234567/8", "de", "slash"),
        ("1-800-FLOWERS", "us", "letters"),
        ("447911123456\x00", "gb", "more than a number"),
        (15550109999.0, None, "quotes"),
        (None, None, "string"),
        (phonenumbers.parse("+15550109999"), None, "PhoneNumberFormat.E164"),
    ],
)
def test_phone_from_something_else(given: object, country: str | None, reason: str) -> None:
    """What is not a number, or could be several people's, is refused and never guessed."""
    with pytest.raises(UnusableInputError, match=reason) as caught:
        phone_from(given, country)
    if isinstance(given, str) and len(given) > 2:
        assert given not in str(caught.value).replace("+15550109999", "")


def test_the_country_code_beside_a_number() -> None:
    """A number with another country code than the one beside it is refused."""
    for code in ("44", " +44 ", "0044", "＋４４", "GB", "gg", "XX", "Britain"):
        assert "447911123456" == phone_from("+44 7911 123456", None, code)
    for code in ("1", "+4", "441", "0", "us", "DE", "+", "00"):
        with pytest.raises(UnusableInputError, match="correct one of the two"):
            phone_from("+44 7911 123456", None, code)


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS - {"AC", "TA"})


def test_a_number_of_each_country() -> None:
    """A country's example number is read from each way that it is written in."""
    mobile = phonenumbers.PhoneNumberType.MOBILE
    forms = phonenumbers.PhoneNumberFormat
    for region in REGIONS:
        number = phonenumbers.example_number_for_type(region, mobile)
        number = number or phonenumbers.example_number(region)
        expected = phonenumbers.format_number(number, forms.E164)[1:]
        for form in (forms.E164, forms.INTERNATIONAL, forms.RFC3966):
            assert expected == phone_from(phonenumbers.format_number(number, form))
        assert expected == phone_from(f"00{expected}")
        assert expected == phone_from(expected, region)
        national = phonenumbers.format_number(number, forms.NATIONAL)
        assert expected == phone_from(national, region)


@example("00950100000", "AD")
@given(st.text("0123456789", min_size=5, max_size=15), st.sampled_from(REGIONS))
def test_no_number_is_made_that_no_plan_knows(typed: str, region: str) -> None:
    """What is made of national digits is valid, or what was typed in full, or of the code 555."""
    try:
        digits = phone_from(typed, region)
    except UnusableInputError:
        return
    number = phonenumbers.parse(f"+{digits}")
    # As in +44 (0)7700 900123, of which the zero goes.
    trunk = f"00{number.country_code}0{number.national_number}"
    in_full = typed.endswith(digits) or typed == trunk
    assert phonenumbers.is_valid_number(number) or in_full or digits.startswith("1555")


def test_without_a_library_of_numbering_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without phonenumbers, a phone number is refused with the command that installs it."""
    monkeypatch.delitem(sys.modules, "stoqapp.phones", raising=False)
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'stoqapp\[phones\]'"):
        phone_from("+1 555 010 9999")
