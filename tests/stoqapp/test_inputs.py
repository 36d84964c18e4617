"""What people have in hand, and what becomes of it."""

import inspect
from typing import Any

import pytest

from stoq_public_api_client.types import UNSET
from stoqapp import AsyncStoq, Change, InvalidIntentError, Stoq, UnusableInputError
from stoqapp.body import body_from_request
from stoqapp.inputs import (
    Reading,
    country_from,
    id_from,
    phone_from,
    request_from_fields,
    shop_from,
)
from stoqapp.rules import FIELDS, check, check_shop


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (123, "ProductVariant", 123),
        ("123", "ProductVariant", 123),
        (" 123\n", "Product", 123),
        ("gid://shopify/ProductVariant/123", "ProductVariant", 123),
        ("gid://shopify/Product/456", "Product", 456),
        ("gid://shopify/Market/789", "Market", 789),
        ("gid://shopify/Customer/5?shop=demo", "Customer", 5),
        (-1, "Product", -1),
    ],
)
def test_id_from(given: object, kind: Any, expected: int) -> None:
    """An id is read from a number, from digits and from a global id of its kind."""
    read = id_from(given, kind)
    assert expected == read.value
    assert (read.change is None) == (str(given) == str(expected))


@pytest.mark.parametrize(
    "given",
    [
        "gid://shopify/Product/123",
        "gid://shopify/ada@example.com/123",
        "gid://shopify/ProductVariant/",
        "gid://shopify/ProductVariant/12x",
        "gid://other/ProductVariant/12",
        "１２",
        "12.0",
        "-1",
        "LAMP-BLUE",
        "0007",
        "0",
        "gid://shopify/ProductVariant/0007",
        "12345678901234567890",
        True,
        12.0,
        b"12",
        ["12"],
    ],
)
def test_id_from_something_else(given: object) -> None:
    """What is no id of the kind is refused, with an example and without what was given."""
    with pytest.raises(UnusableInputError) as caught:
        id_from(given, "ProductVariant")
    message, example, _ = str(caught.value).partition("gid://shopify/ProductVariant/123")
    assert example
    assert str(given) not in message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("foo", "foo.myshopify.com"),
        ("foo-2", "foo-2.myshopify.com"),
        ("foo.myshopify.com", "foo.myshopify.com"),
        ("Foo.MyShopify.com", "foo.myshopify.com"),
        (" foo.myshopify.com\n", "foo.myshopify.com"),
        ("foo.myshopify.com.", "foo.myshopify.com"),
        ("foo.myshopify.com/", "foo.myshopify.com"),
        ("foo.myshopify.com:443", "foo.myshopify.com"),
        ("https://foo.myshopify.com/", "foo.myshopify.com"),
        ("HTTPS://foo.myshopify.com/products/lamp?variant=1#top", "foo.myshopify.com"),
        ("http://foo.myshopify.com:80", "foo.myshopify.com"),
        ("https://admin.shopify.com/store/foo", "foo.myshopify.com"),
        ("https://admin.shopify.com/store/foo/products/1?x=2", "foo.myshopify.com"),
        ("admin.shopify.com/store/foo", "foo.myshopify.com"),
        ("https://shop.example.com/", "shop.example.com"),
    ],
)
def test_shop_from(given: str, expected: str) -> None:
    """A shop is read from its handle, its host name and its URLs, and fits the header."""
    shop = shop_from(given)
    assert expected == shop.value
    assert (expected != given) == (shop.change is not None)
    assert check_shop(shop.value) == []


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "foo_bar",
        "-foo",
        "foo bar",
        "a\r\nX-Evil: 1",
        "https://foo.myshopify.com\r\n/",
        "https://foo.my\tshopify.com",
        "dëmo.myshopify.com",
        "https://user:secret@foo.myshopify.com",
        "https://foo.myshopify.com:8443",
        "https://foo.myshopify.com:x",
        "https://[::1",
        "https://",
        "ftp://foo.myshopify.com",
        "mailto:ada@example.com",
        "ada@example.com",
        "https://admin.shopify.com/",
        "https://admin.shopify.com/stores/foo",
        "127.0.0.1",
        None,
        5,
        b"foo",
    ],
)
def test_shop_from_something_else(given: object) -> None:
    """What names no shop is refused, with an example."""
    with pytest.raises(UnusableInputError, match=r"demo\.myshopify\.com"):
        shop_from(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("us", Reading("us")),
        ("US", Reading("us", "lower-cased")),
        (" Sa ", Reading("sa", "lower-cased")),
        (" us ", Reading("us", "surrounding space removed")),
    ],
)
def test_country_from(given: str, expected: Reading[str]) -> None:
    """A country code may come in any case."""
    assert expected == country_from(given)


@pytest.mark.parametrize("given", ["USA", "u", "", "United States", "u1", "ſs", "ＵＳ", None, 1])
def test_country_from_something_else(given: object) -> None:
    """What is not two letters is no country code."""
    with pytest.raises(UnusableInputError, match="two-letter code"):
        country_from(given)


@pytest.mark.parametrize(
    ("given", "country", "expected"),
    [
        ("+1 (555) 010-9999", None, "15550109999"),
        ("+15550109999", None, "15550109999"),
        ("+1.555.010.9999", "gb", "15550109999"),
        ("00447911123456", None, "447911123456"),
        ("0044 7911 123456", "us", "447911123456"),
        ("+44 (0)7911 123456", None, "447911123456"),
        ("＋１５５５０１０９９９９", None, "15550109999"),
        ("+1\u00a0555\u2011010\u20119999", None, "15550109999"),
        ("(555) 010-9999", "us", "15550109999"),
        ("5550109999", "us", "15550109999"),
        ("15550109999", "us", "15550109999"),
        ("07911 123456", "gb", "447911123456"),
        ("447911123456", "gb", "447911123456"),
        ("0501234567", "sa", "966501234567"),
        ("011 44 7911 123456", "us", "447911123456"),
        ("(+44) 20 7946 0958", None, "442079460958"),
        ("+1\u00b7555\u00b7010\u00b79999", None, "15550109999"),
        ("+1\t555 010 9999", None, "15550109999"),
        ("\u200e+1 555 010 9999\u200f", None, "15550109999"),
        ("447911123456", None, "447911123456"),
        ("966501234567", None, "966501234567"),
    ],
)
def test_phone_from(given: str, country: str | None, expected: str) -> None:
    """A phone number is read from + and 00 forms, from national ones, and from bare digits."""
    phone = phone_from(given, country)
    assert expected == phone.value
    assert (expected != given) == (phone.change is not None)


@pytest.mark.parametrize(
    ("given", "country", "reason"),
    [
        ("5550109999", None, "whose number"),
        ("2125550123", None, "whose number"),
        ("15550109999", None, "whose number"),
        ("07911123456", None, "whose number"),
        ("(555) 010-9999", None, "whose number"),
        ("", None, "whose number"),
        ("07911 123456", "uk", "ISO 3166-1"),
        ("4915112345678", "de", "with and without"),
        ("4915112345678", "us", "no possible"),
        ("12", "us", "no possible"),
        ("+0044791", None, "no possible"),
        ("+", None, "no possible"),
        ("00", None, "no possible"),
        ("+1555010999999999", None, "no possible"),
        ("+1 555 010 9999 ext. 5", None, "extension"),
        ("+1 555 010 9999/8", None, "second number"),
        ("0171 1234567/8", "de", "slash"),
        ("(+44", None, "more than a number"),
        ("+15550109999;ext=5", None, "extension"),
        ("1-800-FLOWERS", "us", "letters"),
        ("tel:+15550109999", None, "letters"),
        (15550109999, None, "quotes"),
        (None, None, "string"),
    ],
)
def test_phone_from_something_else(given: object, country: str | None, reason: str) -> None:
    """A number that is none, or could be several people's, is refused and never guessed."""
    with pytest.raises(UnusableInputError, match=reason) as caught:
        phone_from(given, country)
    if isinstance(given, str) and len(given) > 2:
        assert given not in str(caught.value).replace("+15550109999", "")


@pytest.mark.parametrize(
    "email",
    ["ada", "a@b.co, c@d.co", "a@b.co;c@d.co", "Ada <ada@example.com>", "a b@example.com", "a@b@c"],
)
def test_an_email_that_is_not_one_address(email: str) -> None:
    """What nobody would take for one address is refused, and not repeated."""
    assert [("usable_input", "customer.email")] == violations(email=email)
    with pytest.raises(InvalidIntentError) as caught:
        request_from_fields(variant=1, product=2, email=email)
    assert email not in str(caught.value).replace("like ada@example.com", "")


@pytest.mark.parametrize("number", [0, -5, 2**63, "-5"])
def test_a_customer_id_that_is_none(number: object) -> None:
    """A number that no Shopify id can be is refused in either form."""
    fields = {"email": "ada@example.com", "shopify_customer_id": number}
    assert [("usable_input", "customer.shopify_customer_id")] == violations(**fields)


def violations(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidIntentError) as caught:
        request_from_fields(**{"variant": 1, "product": 2} | fields)
    return [(violation.rule, violation.path) for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("contacts", "channel"),
    [
        ({"email": "ada@example.com"}, "email"),
        ({"phone": "+15550109999"}, "sms"),
        ({"push": "push-token"}, "push"),
        ({"email": "ada@example.com", "phone": "", "push": " "}, "email"),
        ({"email": "ada@example.com", "phone": "+15550109999", "channel": "sms"}, "sms"),
        ({"email": "ada@example.com", "channel": " EMAIL "}, "email"),
    ],
)
def test_channel(contacts: dict[str, Any], channel: str) -> None:
    """The channel is what was said, or that of the only contact given."""
    request, _ = request_from_fields(variant=1, product=2, **contacts)
    assert channel == request.intent.channel
    assert check(request) == []


@pytest.mark.parametrize(
    "contacts",
    [
        {},
        {"email": " "},
        {"email": "ada@example.com", "phone": "+15550109999"},
        {"email": "ada@example.com", "push": "push-token"},
        {"phone": "+15550109999", "push": "push-token"},
    ],
)
def test_channel_that_cannot_be_told(contacts: dict[str, Any]) -> None:
    """With no contact or several, the channel must be said."""
    assert violations(**contacts) == [("usable_input", "intent.channel")]


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("+1 555 010 9999", "1"),
        ("+1 555 010 9999", " +1 "),
        ("+1 555 010 9999", "001"),
        ("+1 555 010 9999", "us"),
        ("+1 555 010 9999", "CA"),
        ("+1 868 555 1234", "1-868"),
        ("+44 7911 123456", "＋４４"),
        ("+44 7911 123456", "GB"),
        ("+44 7911 123456", "XX"),
        ("+44 7911 123456", "United Kingdom"),
        (None, "1"),
    ],
)
def test_country_code(phone: str | None, code: str) -> None:
    """A country code that may be that of the phone number is sent as it was given."""
    request, _ = request_from_fields(
        variant=1, product=2, channel="push", push="token", phone=phone, country_code=code
    )
    assert code.strip() == request.customer.country_code


@pytest.mark.parametrize("code", ["1", "+4", "441", "0", "4479111234567", "us", "DE", "+", "00"])
def test_country_code_of_another_phone_number(code: str) -> None:
    """A country code at odds with the phone number's own is refused, wherever the customer is."""
    phone = {"phone": "+44 7911 123456", "country": "us"}
    expected = [("usable_input", "customer.country_code")]
    assert expected == violations(**phone, country_code=code)


def test_a_customer_may_be_abroad() -> None:
    """A phone number of another country than the customer's is no contradiction."""
    request, _ = request_from_fields(variant=1, product=2, phone="+44 7911 123456", country="US")
    assert ("us", "447911123456") == (request.customer.country, request.customer.phone)


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_nothing_stands_for_not_given(nothing: Any) -> None:
    """Every input but the ids may be nothing, and the request is that without the input."""
    optional = {name: nothing for name in EVERY_FIELD if name not in ("variant", "product")}
    given: dict[str, Any] = {"variant": 1, "product": 2, "push": "token"}
    assert request_from_fields(**given) == request_from_fields(**(optional | given))


def test_everything_wrong_is_told_at_once() -> None:
    """Unusable inputs and the rules that the rest breaks come in one error, each path once."""
    assert violations(
        variant="LAMP", product=0, phone="12", country="USA", quantity=0, accepts_marketing="yes"
    ) == [
        ("usable_input", "customer.country"),
        ("usable_input", "customer.phone"),
        ("usable_input", "intent.shopify_variant_id"),
        ("type", "customer.accepts_marketing"),
        ("positive_id", "intent.shopify_product_id"),
        ("positive_quantity", "intent.quantity"),
    ]


def test_changes_are_told() -> None:
    """What was changed is listed by path, without the values; what was not is not listed."""
    _, changes = request_from_fields(
        variant="gid://shopify/ProductVariant/1",
        product=2,
        email=" ada@example.com ",
        country="US",
        market="3",
        shopify_customer_id="4",
    )
    assert changes == (
        Change("customer.country", "lower-cased"),
        Change("customer.email", "surrounding space removed"),
        Change("intent.shopify_variant_id", "number taken out of a global id"),
        Change("intent.channel", "inferred from the only contact given"),
    )


EVERY_FIELD: dict[str, Any] = {
    "variant": "gid://shopify/ProductVariant/4711",
    "product": "42",
    "email": "ada@example.com",
    "phone": "(555) 010-9999",
    "push": "push-token",
    "channel": "sms",
    "quantity": 2,
    "market": "gid://shopify/Market/7",
    "name": "Ada Example",
    "country": "US",
    "country_code": "1",
    "accepts_marketing": False,
    "locale": "en",
    "customer_id": "1",
    "customer_market": 8,
    "shopify_customer_id": "gid://shopify/Customer/815",
    "product_title": "Lamp",
    "variant_title": "Blue",
    "variant_count": 3,
    "vendor": "Example",
    "sku": "LAMP-BLUE",
}


def test_every_field_of_the_spec_can_be_given() -> None:
    """subscribe has an argument for each field of the spec, and it arrives there."""
    request, _ = request_from_fields(**EVERY_FIELD)
    assert body_from_request(request) == {
        "intent": {
            "shopify_variant_id": 4711,
            "shopify_product_id": 42,
            "shopify_market_id": 7,
            "channel": "sms",
            "quantity": 2,
            "source": "api",
        },
        "customer": {
            "id": "1",
            "name": "Ada Example",
            "email": "ada@example.com",
            "phone": "15550109999",
            "push": "push-token",
            "country_code": "1",
            "country": "us",
            "accepts_marketing": False,
            "locale": "en",
            "shopify_market_id": 8,
            "shopify_customer_id": "815",
        },
        "product": {
            "variant_count": 3,
            "title": "Lamp",
            "variant_title": "Blue",
            "vendor": "Example",
            "sku": "LAMP-BLUE",
        },
    }
    sent = {
        f"{section}.{name}"
        for section, content in body_from_request(request).items()
        for name in content
    }
    assert sent == {field.path for field in FIELDS}
    assert check(request) == []


def test_no_product_is_sent_when_none_is_described() -> None:
    """The product section stays away unless one of its fields is given."""
    request, _ = request_from_fields(variant=1, product=2, email="ada@example.com")
    assert request.product is UNSET


def test_the_signatures_are_one() -> None:
    """subscribe takes the same arguments in both modes, those of request_from_fields."""
    signatures = [
        {
            name: (parameter.kind, parameter.default, parameter.annotation)
            for name, parameter in inspect.signature(function).parameters.items()
            if name != "self"
        }
        for function in (request_from_fields, Stoq.subscribe, AsyncStoq.subscribe)
    ]
    assert signatures[0] == signatures[1] == signatures[2]
    assert set(EVERY_FIELD) == set(signatures[0])


def test_the_repr_of_a_normal_input_is_silent() -> None:
    """What was made of an input can be printed without telling it."""
    assert "555" not in repr(phone_from("+1 555 010 9999"))
