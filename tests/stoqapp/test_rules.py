"""The rules: what passes, and what breaks. What they stand on is in test_spec."""

import copy
import json
import os
import pickle
import string
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from attrs import frozen
from conftest import email_request
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpointer import resolve_pointer

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoq_public_api_client.types import UNSET
from stoqapp import RULES, Violation, check, check_shop
from stoqapp.body import SECTIONS, body_from_request, plain
from stoqapp.rules import (
    FIELDS,
    SCHEMA,
    Field,
    check_body,
)

SPEC = json.loads((Path(__file__).parents[2] / "openapi.json").read_text("utf-8"))

VALID: dict[str, Any] = {
    "intent": {
        "shopify_variant_id": 4711,
        "shopify_product_id": 42,
        "shopify_market_id": 7,
        "channel": "sms",
        "quantity": 1,
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
        "accepts_marketing": True,
        "locale": "en",
        "shopify_market_id": 7,
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
DELETED = object()


def valid_body_but(path: str, value: object) -> dict[str, Any]:
    """Return a valid body with one place changed, or taken out."""
    body = copy.deepcopy(VALID)
    *sections, name = path.split(".")
    place = body[sections[0]] if sections else body
    if value is DELETED:
        del place[name]
    else:
        place[name] = value
    return body


def broken(body: object) -> list[tuple[str, str]]:
    return [(violation.rule, violation.path) for violation in check_body(body)]


def test_a_request_with_every_field_breaks_no_rule() -> None:
    """A request that uses every field in the way the schema declares it is fine."""
    assert check(CreateIntentRequest.from_dict(VALID)) == []


@pytest.mark.parametrize("path", ["intent", "customer", *(f.path for f in FIELDS if f.required)])
def test_required(path: str) -> None:
    """A missing required field is reported at its path, once."""
    assert broken(valid_body_but(path, DELETED)) == [("required", path)]


@pytest.mark.parametrize("path", ["product", *(f.path for f in FIELDS if not f.required)])
def test_optional_fields_may_be_missing(path: str) -> None:
    """A field that is not required may be left out, unless the channel needs it."""
    expected = [("channel_contact", path)] if path == "customer.phone" else []
    assert broken(valid_body_but(path, DELETED)) == expected


WRONG_TYPES: dict[str, list[Any]] = {
    "integer": [None, True, False, 1.0, "1", "１２", [], {}, b"1"],
    "string": [None, True, 1, 1.5, [], {}, b"us"],
    "boolean": [None, 0, 1, "true", [], {}],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field in FIELDS for value in WRONG_TYPES[field.type]],
    ids=lambda value: value.path if isinstance(value, Field) else repr(value),
)
def test_type(field: Field, value: object) -> None:
    """A value of another JSON type is reported at its path; `True` is no integer, 1 no boolean."""
    assert ("type", field.path) in broken(valid_body_but(field.path, value))


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", [None, 5, "x", [], object()])
def test_type_of_sections(section: str, value: object) -> None:
    """A section that is no object is reported once, and not as missing."""
    assert broken(valid_body_but(section, value)) == [("type", section)]


@pytest.mark.parametrize("value", [None, 5, "x", [], object(), Customer()])
def test_type_of_the_request(value: Any) -> None:
    """Something that is no request at all is told so."""
    assert [(violation.rule, violation.path) for violation in check(value)] == [("type", "")]


class Channel(StrEnum):
    SMS = "sms"


class Amount(IntEnum):
    TWO = 2


class Truth(IntEnum):
    YES = True


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("intent.channel", Channel.SMS, "sms"),
        ("intent.quantity", Amount.TWO, 2),
        ("intent.quantity", Truth.YES, 1),
        ("customer.name", type("Sub", (str,), {})("Ada"), "Ada"),
        ("customer.extra", type("Sub", (float,), {})(1.5), 1.5),
        ("customer.extra", type("Sub", (list,), {})([Amount.TWO]), [2]),
        ("customer.extra", type("Sub", (tuple,), {})([Amount.TWO]), [2]),
        ("customer.extra", OrderedDict({Channel.SMS: Amount.TWO}), {"sms": 2}),
        ("customer", OrderedDict(VALID["customer"]), VALID["customer"]),
        (Channel.SMS.value, Channel.SMS, "sms"),
    ],
)
def test_type_of_subclasses(path: str, value: object, expected: object) -> None:
    """A value of a subclass, such as an enum's, passes as what its base type holds."""
    body = valid_body_but(path, value)
    assert broken(body) == []
    assert strictly(valid_body_but(path, expected)) == strictly(plain(body))


def strictly(value: Any) -> Any:
    """Return *value* so that only what is equal, and of the same types, equals it."""
    if isinstance(value, dict):
        return type(value), {strictly(name): strictly(part) for name, part in value.items()}
    if isinstance(value, list):
        return type(value), [strictly(part) for part in value]
    return type(value), value


def raising(*_: object, **__: object) -> Any:
    raise ZeroDivisionError


EVIL_METHODS = """
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __len__ __iter__ __contains__ __bool__
    __getitem__ __str__ __repr__ __format__ __int__ __index__ __float__ __neg__ __reduce_ex__
    __getattribute__ keys values items get copy isspace isprintable
"""


class EvilType(type):
    __name__ = property(raising)
    __eq__ = __hash__ = __subclasscheck__ = __instancecheck__ = __str__ = __repr__ = raising


def evil(base: type, *args: Any) -> Any:
    """Return an instance of a subclass of *base*; whatever it or its class is asked raises."""
    methods = dict.fromkeys(EVIL_METHODS.split(), raising) | {"__class__": property(raising)}
    return EvilType("Evil", (base,), methods)(*args)


@pytest.mark.parametrize(
    ("path", "base", "value", "inner"),
    [
        ("intent.channel", str, "sms", None),
        ("intent.quantity", int, 2, None),
        ("customer.extra", float, 2.5, None),
        ("customer.extra", list, ["a"], str),
        ("customer.extra", dict, {"a": 1}, None),
        ("customer", dict, VALID["customer"], None),
        ("extra", list, [], None),
    ],
)
def test_no_method_of_a_value_is_called(
    path: str, base: type, value: Any, inner: type | None
) -> None:
    """A value whose own methods raise is judged, and sent, as what its base type holds."""
    held = [evil(inner, part) for part in value] if inner else value
    body = valid_body_but(path, evil(base, held))
    assert broken(body) == []
    assert strictly(valid_body_but(path, value)) == strictly(plain(body))


def test_no_method_of_what_a_request_holds_is_called() -> None:
    """The same goes for the fields and the additional properties of a model."""
    intent = NewIntent(**(VALID["intent"] | {"source": evil(str, "api")}))
    request = CreateIntentRequest(intent, Customer())
    request.customer.additional_properties = evil(dict, VALID["customer"])
    request["extra"] = evil(tuple, [evil(str, "a")])
    assert check(request) == []
    sent = {"intent": VALID["intent"], "customer": VALID["customer"], "extra": ["a"]}
    assert strictly(sent) == strictly(body_from_request(request))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", [("type", "")]),
        ("intent", [("type", "intent")]),
        ("customer.name", [("type", "customer.name")]),
        ("customer.extra", [("sendable", "customer.additional_properties")]),
        ("extra", [("sendable", "additional_properties")]),
    ],
)
def test_an_object_that_raises_is_a_violation(path: str, expected: list[tuple[str, str]]) -> None:
    """Something that JSON cannot hold is told by its type, and never asked."""
    body = valid_body_but(path, evil(object)) if path else evil(object)
    assert broken(body) == expected
    assert [v.message.rpartition(" ")[2] for v in check_body(body)] == ["Evil"]
    assert [v.message for v in check_shop(evil(object))] == ["must be a string, not Evil"]


class EvilName(str):
    __slots__ = ()
    __eq__ = raising

    def __hash__(self) -> int:
        return str.__hash__(self)


def test_names_are_not_compared_by_their_own_methods() -> None:
    """Names that raise when they are compared or hashed are read as the strings that they hold."""
    body = copy.deepcopy(VALID)
    body["customer"] = {EvilName(name): value for name, value in VALID["customer"].items()}
    assert broken(body) == []
    assert strictly(VALID) == strictly(plain(body))
    del body["customer"]
    body[EvilName("customer")] = {EvilName("phone"): "+1"}
    assert broken(body) == [("phone_digits", "customer.phone")]


class Moody(Customer):
    """A customer of somebody's own, with attributes that are computed."""

    @property
    def phone(self) -> Any:
        return raising()

    @phone.setter
    def phone(self, value: object) -> None: ...

    @property
    def additional_properties(self) -> Any:
        return raising()

    @additional_properties.setter
    def additional_properties(self, value: object) -> None: ...


def test_an_attribute_that_raises_is_a_violation() -> None:
    """A subclass of a model is read like the model; what it will not give is told by its path."""
    request = email_request()
    request.customer = Moody(email="ada@example.com")
    kind = "an attribute that cannot be read"
    assert check(request) == [
        Violation("customer.phone", "type", f"must be a string, not {kind}", "spec"),
        Violation(
            "customer.additional_properties", "sendable", f"must be a dict, not {kind}", "stoqapp"
        ),
    ]


def test_a_section_among_the_additional_properties() -> None:
    """A model among the additional properties, where its section is unset, is read as that."""
    request = email_request()
    request["product"] = Product(sku="LAMP")
    assert check(request) == []
    assert body_from_request(request)["product"] == {"sku": "LAMP"}
    request.customer["product"] = Product(sku="LAMP")
    assert [v.path for v in check(request)] == ["customer.additional_properties"]
    del request.customer["product"]
    request["product"] = Customer(name="Ada")
    assert [v.message for v in check(request)] == ["must be a Product, not Customer"]


def test_what_was_checked_is_what_is_sent() -> None:
    """The body is a copy: what becomes of the request later does not change it."""
    request = email_request()
    request.customer["extra"] = {"list": [1]}
    body = body_from_request(request)
    kept = copy.deepcopy(body)
    request.customer["extra"]["list"].append(raising)
    request.intent.channel = "sms"
    assert kept == body


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("intent.channel", "email", []),
        ("intent.channel", "sms", []),
        ("intent.channel", "push", []),
        ("intent.channel", "Email", [("enum", "intent.channel")]),
        ("intent.channel", "", [("enum", "intent.channel")]),
        ("intent.channel", "email\n", [("enum", "intent.channel")]),
        ("intent.source", "api", []),
        ("intent.source", "API", [("enum", "intent.source")]),
        ("intent.source", "web", [("enum", "intent.source")]),
    ],
)
def test_enum(path: str, value: str, expected: list[tuple[str, str]]) -> None:
    """Only the listed values pass."""
    assert broken(valid_body_but(path, value)) == expected


@pytest.mark.parametrize(
    ("country", "passes"),
    [
        ("us", True),
        ("az", True),
        ("zz", True),
        ("US", False),
        ("uS", False),
        ("us\n", False),
        ("\nus", False),
        (" us", False),
        ("u", False),
        ("usa", False),
        ("", False),
        ("u1", False),
        ("ùs", False),
        ("ｕｓ", False),
        ("ſs", False),
    ],
)
def test_pattern(country: str, passes: bool) -> None:
    """A country is exactly two of a-z, from end to end."""
    expected = [] if passes else [("pattern", "customer.country")]
    assert broken(valid_body_but("customer.country", country)) == expected


@pytest.mark.parametrize(
    ("channel", "contact"), [("email", "email"), ("sms", "phone"), ("push", "push")]
)
@pytest.mark.parametrize("value", [DELETED, "", " ", "\t\n", "\u200b", "\u00a0\ufeff"])
def test_channel_contact(channel: str, contact: str, value: object) -> None:
    """The contact that the channel needs must be there and hold something visible."""
    body = valid_body_but(f"customer.{contact}", value)
    body["intent"]["channel"] = channel
    assert ("channel_contact", f"customer.{contact}") in broken(body)


@pytest.mark.parametrize(
    ("channel", "contact"), [("email", "email"), ("sms", "phone"), ("push", "push")]
)
def test_channel_contact_needs_only_its_own(channel: str, contact: str) -> None:
    """The contacts of the other channels may be missing."""
    body = copy.deepcopy(VALID)
    body["intent"]["channel"] = channel
    body["customer"] = {contact: VALID["customer"][contact]}
    assert broken(body) == []


def test_channel_contact_of_a_wrong_type_is_reported_once() -> None:
    """A contact of a wrong type is a matter of its type alone."""
    assert broken(valid_body_but("customer.phone", 15550109999)) == [("type", "customer.phone")]


@pytest.mark.parametrize(
    ("phone", "rule"),
    [
        ("15550109999", None),
        ("447911123456", None),
        ("1234567", None),
        ("123456789012345", None),
        ("999999999999999", None),
        ("", "phone_digits"),
        ("+", "phone_digits"),
        ("+15550109999", "phone_digits"),
        ("+1", "phone_digits"),
        ("0 15", "phone_digits"),
        ("1 555 010 9999", "phone_digits"),
        ("1-555-010-9999", "phone_digits"),
        ("15550109999\n", "phone_digits"),
        ("１５５５０１０９９９９", "phone_digits"),
        ("1555010999x", "phone_digits"),
        ("٣١٥٥٥٠١٠٩٩", "phone_digits"),
        ("1555010999²", "phone_digits"),
        ("1", "phone_e164"),
        ("123456", "phone_e164"),
        ("1234567890123456", "phone_e164"),
        ("9" * 5000, "phone_e164"),
        ("0", "phone_e164"),
        ("0015550109999", "phone_e164"),
        ("05550109999", "phone_e164"),
    ],
)
def test_phone(phone: str, rule: str | None) -> None:
    """A phone is ASCII digits, says the vendor; 7 to 15 that begin with 1-9, say we; one breach."""
    body = valid_body_but("customer.phone", phone)
    body["intent"]["channel"] = "email"
    assert broken(body) == ([] if rule is None else [(rule, "customer.phone")])


@pytest.mark.parametrize(
    ("phone", "allowed"), [("{}5550109999", "123456789"), ("155501{}", "0123456789")]
)
def test_phone_one_by_one(phone: str, allowed: str) -> None:
    """Of ASCII, a phone number begins with a digit from 1 to 9, and goes on with 0 to 9."""
    body = copy.deepcopy(VALID)
    passing = set()
    for char in map(chr, range(128)):
        body["customer"]["phone"] = phone.format(char)
        if check_body(body) == []:
            passing.add(char)
    assert passing == set(allowed)


@pytest.mark.parametrize(
    "path",
    [
        "intent.shopify_variant_id",
        "intent.shopify_product_id",
        "intent.shopify_market_id",
        "customer.shopify_market_id",
    ],
)
@pytest.mark.parametrize(
    ("value", "passes"), [(1, True), (2**63 - 1, True), (0, False), (-1, False)]
)
def test_positive_id(path: str, value: int, passes: bool) -> None:
    """An id is a positive 64-bit integer."""
    assert broken(valid_body_but(path, value)) == ([] if passes else [("positive_id", path)])


def test_positive_id_beyond_64_bits() -> None:
    """An id beyond 64 bits is no id, and has no portable form in JSON either."""
    path = "intent.shopify_variant_id"
    assert broken(valid_body_but(path, 2**63)) == [("positive_id", path), ("sendable", path)]


@pytest.mark.parametrize(("value", "passes"), [(1, True), (2, True), (0, False), (-1, False)])
def test_positive_quantity(value: int, passes: bool) -> None:
    """A customer waits for at least one."""
    expected = [] if passes else [("positive_quantity", "intent.quantity")]
    assert broken(valid_body_but("intent.quantity", value)) == expected


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def doubled(levels: int) -> list[Any]:
    """Return a list that holds another one twice, and so on: small here, vast as JSON."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
WIDE_CYCLE: list[Any] = []
WIDE_CYCLE.extend([WIDE_CYCLE] * 9)


@pytest.mark.parametrize("section", ["", "intent", "customer", "product"])
@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("extra", "text", True),
        ("extra", "Zoë ☂ 😀", True),
        ("extra", None, True),
        ("extra", True, True),
        ("extra", 2**63 - 1, True),
        ("extra", -(2**63) + 1, True),
        ("extra", 1.5, True),
        ("extra", {"a": [1, {"b": (2, None)}]}, True),
        ("extra", nested(49), True),
        ("extra", doubled(12), True),
        ("", 1, True),
        ("additional_properties", {"a": 1}, True),
        ("extra", "\ud7ff\ue000", True),
        ("extra", "\ud800", False),
        ("extra", "middle \udabc", False),
        ("extra", "last \udfff", False),
        ("\udfff", 1, False),
        ("extra", ["\ud800"], False),
        ("extra", {"\ud800": 1}, False),
        ("extra", {"a": {1: 2}}, False),
        ("extra", {"a": 1, 2: 3}, False),
        (5, 1, False),
        ("extra", float("nan"), False),
        ("extra", float("inf"), False),
        ("extra", 2**63, False),
        ("extra", -(2**63), False),
        ("extra", [10**5000], False),
        ("extra", b"bytes", False),
        ("extra", UNSET, False),
        ("extra", object(), False),
        ("extra", {1, 2}, False),
        ("extra", nested(51), False),
        ("extra", CYCLE, False),
    ],
)
def test_sendable_extras(section: str, name: Any, value: object, passes: bool) -> None:
    """Properties that the schema does not list pass when JSON and UTF-8 can hold them."""
    body = copy.deepcopy(VALID)
    (body[section] if section else body)[name] = value
    path = f"{section}.additional_properties".removeprefix(".")
    assert broken(body) == ([] if passes else [("sendable", path)])
    if passes:
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(("path", "levels"), [("extra", 50), ("customer.extra", 49)])
def test_sendable_depth(path: str, levels: int) -> None:
    """There are at most 50 levels below the body, whatever they are made of."""
    section = path.removesuffix("extra")
    expected = [("sendable", f"{section}additional_properties")]
    for innermost in ([], {}, ()):
        value: Any = innermost
        for _ in range(levels - 1):
            value = {"a": value}
        assert broken(valid_body_but(path, value)) == []
        assert broken(valid_body_but(path, (value,))) == expected


TOO_MUCH = [Violation("", "sendable", "must not hold more than 10000 values", "stoqapp")]


def test_sendable_values() -> None:
    """There are at most 10,000 values in all, those that hold others among them."""
    others = len(VALID) + sum(map(len, VALID.values()))
    body = copy.deepcopy(VALID)
    body["product"]["extra"] = {"a": [1] * 4000, "b": dict.fromkeys(map(str, range(4000)), 1)}
    body["more"] = [None] * (10_000 - others - 8000 - 4)
    assert check_body(body) == []
    body["more"].append(None)
    assert check_body(body) == TOO_MUCH
    request = email_request()
    request.customer.additional_properties = body
    assert check(request) == TOO_MUCH


@pytest.mark.parametrize("path", ["", "extra", "customer", "customer.name", "customer.extra"])
@pytest.mark.parametrize("value", [WIDE_CYCLE, doubled(13), doubled(45), [{"a": doubled(45)}]])
def test_sendable_values_without_end(path: str, value: object) -> None:
    """A small object that would be vast as JSON is told so, at once."""
    assert check_body(valid_body_but(path, value) if path else value) == TOO_MUCH
    kind = "something with more than 10000 values in it"
    assert [v.message for v in check_shop(value)] == [f"must be a string, not {kind}"]


def test_sendable_fields() -> None:
    """Half of a surrogate pair has no bytes, in a declared field too."""
    assert broken(valid_body_but("customer.name", "a\ud800b")) == [("sendable", "customer.name")]


def test_sendable_fields_of_a_wrong_type_are_reported_once() -> None:
    """A value of a wrong type that has no form in JSON either is a matter of its type alone."""
    assert broken(valid_body_but("customer.name", float("nan"))) == [("type", "customer.name")]


@pytest.mark.parametrize(
    ("shop", "passes"),
    [
        ("demo.myshopify.com", True),
        ("Demo-2.myshopify.com", True),
        ("shop.example.com", True),
        ("a.b", True),
        ("a.1", False),
        (f"{'a' * 63}.example.com", True),
        (f"{'a' * 64}.example.com", False),
        (f"demo.{'a' * 63}", True),
        (f"demo.{'a' * 64}", False),
        (".".join(["a" * 49] * 5) + ".com", True),
        (".".join(["a" * 49] * 5) + ".shop", False),
        ("demo", False),
        ("demo.myshopify.com.", False),
        (".myshopify.com", False),
        ("demo..com", False),
        ("-demo.myshopify.com", False),
        ("demo-.myshopify.com", False),
        ("demo_1.myshopify.com", False),
        ("https://demo.myshopify.com", False),
        ("demo.myshopify.com/", False),
        ("demo.myshopify.com:443", False),
        ("demo.myshopify.com\n", False),
        ("demo.myshopify.com\r\nX-Evil: 1", False),
        (" demo.myshopify.com", False),
        ("dëmo.myshopify.com", False),
        ("127.0.0.1", False),
        ("", False),
        (None, False),
        (5, False),
    ],
)
def test_shop_domain(shop: object, passes: bool) -> None:
    """The value of the shop header is a plain host name and nothing else."""
    expected = [] if passes else [("shop_domain", "shop")]
    assert [(violation.rule, violation.path) for violation in check_shop(shop)] == expected


@pytest.mark.parametrize(
    ("shop", "allowed"),
    [
        ("{}x.example.com", string.ascii_letters + string.digits),
        ("x{}x.example.com", string.ascii_letters + string.digits + "-."),
        ("x{}.example.com", string.ascii_letters + string.digits),
        ("demo.{}", string.ascii_letters),
        ("demo.{}x", string.ascii_letters),
        ("demo.x{}x", string.ascii_letters + string.digits + "-."),
        ("demo.x{}", string.ascii_letters + string.digits),
    ],
)
def test_shop_domain_one_by_one(shop: str, allowed: str) -> None:
    """Of ASCII, each place of a host name takes the letters, digits and hyphens that it may."""
    chars = map(chr, range(128))
    assert {char for char in chars if check_shop(shop.format(char)) == []} == set(allowed)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("intent", DELETED, "is required: set it to a NewIntent"),
        ("customer", DELETED, "is required: set it to a Customer"),
        ("intent.quantity", DELETED, "is required: set it to an integer"),
        ("intent.source", DELETED, "is required: set it to a string"),
        ("product", [], "must be a Product, not list"),
        ("intent.quantity", "1", "must be an integer, not str"),
        ("customer.name", 5, "must be a string, not int"),
        ("customer.accepts_marketing", 1, "must be True or False, not int"),
        ("customer.name", None, "must be a string, not None (leave the field out instead)"),
        ("intent", None, "must be a NewIntent, not None"),
        ("intent.quantity", None, "must be an integer, not None"),
        ("product", None, "must be a Product, not None (leave the field out instead)"),
        ("intent.channel", "fax", "must be 'email' or 'sms' or 'push'"),
        ("customer.country", "US", "must be two lower-case letters from a to z, like 'us'"),
        (
            "customer.phone",
            DELETED,
            "is needed by channel 'sms': set it, or choose the channel of a contact that you have",
        ),
        (
            "customer.phone",
            "+1",
            "must be the country code and number in digits 0-9 alone, with no '+' and no spaces,"
            " like '15550109999'",
        ),
        (
            "customer.phone",
            "123456",
            "must be 7 to 15 digits that begin with the country code, so not with 0, like"
            " '15550109999'",
        ),
        (
            "intent.shopify_product_id",
            0,
            "must be a Shopify id: a whole number from 1 to 2^63 - 1",
        ),
        ("intent.quantity", 0, "must be at least 1"),
        ("customer.name", "\ud800", "must be valid Unicode: it holds half of a surrogate pair"),
        ("intent.quantity", 2**63, "must fit in 64 bits"),
        ("extra", float("nan"), "must be a finite number: JSON has no NaN and no infinity"),
        ("extra", nested(51), "must not be nested deeper than 50 levels"),
        ("extra", {1: 2}, "must have names that are strings"),
        ("extra", b"bytes", "must be something that JSON can hold, not bytes"),
        ("additional_properties", 5, "must be a dict, not int"),
    ],
)
def test_messages(path: str, value: object, message: str) -> None:
    """Each breach says what to do about it."""
    assert [v.message for v in check_body(valid_body_but(path, value))] == [message]


@pytest.mark.parametrize(
    ("shop", "message"),
    [
        (None, "must be a string, not NoneType"),
        ("https://x.com", "must be the shop's host name alone, like 'demo.myshopify.com'"),
    ],
)
def test_messages_of_the_shop(shop: object, message: str) -> None:
    """A shop that is no host name is told what to give, as the vendor's rule."""
    assert check_shop(shop) == [Violation("shop", "shop_domain", message, "spec")]


@pytest.mark.parametrize(("request_", "kind"), [(5, "int"), (None, "None")])
def test_message_of_the_request(request_: Any, kind: str) -> None:
    """Something that is no request is told what to give, as the vendor's rule."""
    message = f"must be a CreateIntentRequest, not {kind}"
    assert check(request_) == [Violation("", "type", message, "spec")]


def test_all_violations_at_once() -> None:
    """Every broken rule is reported in one go, in the order of RULES."""
    body = {
        "intent": {"shopify_variant_id": True, "shopify_product_id": 0, "channel": "sms",
                   "quantity": 0, "source": "web"},
        "customer": {"country": "US", "phone": "", "name": "\ud800"},
        "product": [],
    }  # fmt: skip
    assert broken(body) == [
        ("type", "product"),
        ("type", "intent.shopify_variant_id"),
        ("enum", "intent.source"),
        ("pattern", "customer.country"),
        ("channel_contact", "customer.phone"),
        ("phone_digits", "customer.phone"),
        ("positive_id", "intent.shopify_product_id"),
        ("positive_quantity", "intent.quantity"),
        ("sendable", "customer.name"),
    ]


def test_check_after_assignment() -> None:
    """A value that was assigned later is looked at like one that came with the constructor."""
    request = email_request()
    request.customer.country = "US"
    request.intent["extra"] = float("nan")
    assert [v.path for v in check(request)] == ["customer.country", "intent.additional_properties"]


def test_check_reads_what_would_be_sent() -> None:
    """An additional property with the name of an unset field is sent, so it is judged as such."""
    request = email_request()
    request.customer["country"] = "US"
    assert [violation.path for violation in check(request)] == ["customer.country"]


def test_check_of_broken_models() -> None:
    """Deleted attributes and foreign additional properties are reported, not raised."""
    request = email_request()
    del request.customer.email
    request.intent.additional_properties = None  # type: ignore[assignment]
    request.additional_properties = 5  # type: ignore[assignment]
    request.product = Product()
    del request.product.additional_properties
    assert [(v.rule, v.path) for v in check(request)] == [
        ("channel_contact", "customer.email"),
        ("sendable", "additional_properties"),
    ]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda request: pickle.loads(pickle.dumps(request))]
)
def test_copies_of_a_request_are_as_good(copied: Any) -> None:
    """A deep copy or a pickle of a request, with UNSETs of its own, is checked and read alike."""
    request = copied(email_request())
    assert check(request) == []
    assert body_from_request(email_request()) == body_from_request(request)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
contacts = st.sampled_from(
    ["ada@example.com", "15550109999", "0", "", " ", "+1", "us", "US", "us\n"]
)
values = json_values | contacts | st.sampled_from(["email", "sms", "push", "api", 0, 1, 2**70])


@frozen
class Recipe:
    """What `made` makes a hostile object of: Hypothesis could not bear to hold one itself."""

    make: Callable[..., Any]
    arguments: tuple[Any, ...]


def made(value: Any) -> Any:
    """Return *value* with every recipe in it carried out."""
    if isinstance(value, Recipe):
        return value.make(*map(made, value.arguments))
    if isinstance(value, dict):
        return {name: made(part) for name, part in value.items()}
    return [made(part) for part in value] if isinstance(value, list) else value


def recipes(make: Callable[..., Any], *arguments: st.SearchStrategy[Any]) -> Any:
    return st.builds(Recipe, st.just(make), st.tuples(*arguments))


names = st.text(max_size=3) | st.sampled_from([5, None, EvilName("email"), Channel.SMS])
hostile: st.SearchStrategy[Any] = st.recursive(
    recipes(evil, st.just(str), contacts)
    | recipes(evil, st.just(int), st.integers())
    | recipes(evil, st.just(float), st.floats())
    | recipes(evil, st.sampled_from([object, bytes, Exception]))
    | recipes(doubled, st.integers(0, 60))
    | recipes(WIDE_CYCLE.copy)
    | recipes(CYCLE.copy)
    | st.sampled_from([UNSET, Customer(), Customer, Channel.SMS]),
    lambda inner: (
        recipes(evil, st.sampled_from([list, tuple]), st.lists(inner, max_size=3))
        | recipes(evil, st.just(dict), st.dictionaries(names, inner, max_size=3))
        | st.lists(inner, max_size=3)
        | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)


def sections(model: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = [field.name for field in FIELDS if field.section == model]
    changed = st.dictionaries(st.sampled_from(names) | st.text(max_size=3), values, max_size=4)
    left_out = st.sets(st.sampled_from(names), max_size=2)
    return st.builds(
        lambda extra, gone: {
            name: value
            for name, value in (VALID[model] | extra).items()
            if name not in gone or name in extra
        },
        changed,
        left_out,
    )


def bodies_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {name: sections(name, values) | values for name in SECTIONS} | {"extra": values}
    return st.fixed_dictionaries({}, optional=parts)


bodies = bodies_of(values)


def sendable_body(body: object) -> bool:
    """Whether check_body finds no fault; and then, the body that is sent does have a form."""
    if check_body(body) != []:
        return False
    json.dumps(plain(body), ensure_ascii=False, allow_nan=False).encode("utf-8")
    return True


@given(bodies_of(values | hostile), st.dictionaries(names, hostile, max_size=2))
def test_check_never_raises(body: dict[str, Any], extras: dict[Any, Any]) -> None:
    """Whatever the models hold, check answers with a list of violations, and as for the body."""
    body, extras = made(body), made(extras)
    request = CreateIntentRequest(intent=UNSET, customer=UNSET)  # type: ignore[arg-type]
    for name, model in SECTIONS.items():
        if name in body:
            section = body[name]
            if type(section) is dict:
                built = object.__new__(model)
                built.additional_properties = {}
                for key, value in section.items():
                    if type(key) is str and key in model.__slots__:
                        setattr(built, key, value)
                    else:
                        built.additional_properties[key] = value
                section = built
            setattr(request, name, section)
    request.additional_properties = {"extra": body.get("extra")} | extras
    found = check(request)
    assert all(type(violation) is Violation for violation in found)
    assert sendable_body(body_from_request(request)) == (found == [])
    assert all(type(violation) is Violation for violation in check_body(body | extras))


BODIES = int(os.environ.get("STOQAPP_BODIES", "1000"))


@cache
def schema_judge() -> jsonschema_rs.Draft4Validator:
    return jsonschema_rs.Draft4Validator(resolve_pointer(SPEC, SCHEMA))


def prose_says(body: dict[str, Any]) -> bool:
    """Judge a body that fits the schema by the sentences of the spec, in words of their own."""
    customer = body["customer"]
    contact = customer.get(
        {"email": "email", "sms": "phone"}.get(body["intent"]["channel"], "push")
    )
    reachable = contact is not None and any(
        unicodedata.category(char)[0] not in "CZ" for char in contact
    )
    phone = customer.get("phone")
    if phone is None:
        return reachable
    return reachable and phone != "" and set(phone) <= set(string.digits)


@settings(max_examples=BODIES)
@given(bodies)
def test_an_independent_judge_agrees(body: dict[str, Any]) -> None:
    """check passes the bodies that a JSON Schema library and the prose pass, and no others."""
    found = check_body(body)
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return
    stated = [violation for violation in found if violation.origin == "spec"]
    assert (stated == []) == (schema_judge().is_valid(body) and prose_says(body))


@given(bodies)
def test_a_body_that_passes_can_be_sent(body: dict[str, Any]) -> None:
    """A body without violations has a form in JSON."""
    if check_body(body) == []:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")


@given(bodies)
def test_violations_repeat_no_value(body: dict[str, Any]) -> None:
    """No message, path or repr holds a string that the request held, unless it is a rule's own."""
    marker = "marker-of-a-person"
    planted = json.loads(
        json.dumps(body, default=lambda _: marker).replace("ada@example.com", marker)
    )
    planted.setdefault("customer", {})
    if isinstance(planted["customer"], dict):
        planted["customer"] |= {"email": [marker], "phone": marker, marker: {marker: object()}}
    assert marker not in repr(check_body(planted))


def test_names_of_rules() -> None:
    """Rules have names of their own, and those that go beyond the spec are marked as ours."""
    assert [(rule.name, rule.origin) for rule in RULES] == [
        ("required", "spec"),
        ("type", "spec"),
        ("enum", "spec"),
        ("pattern", "spec"),
        ("channel_contact", "spec"),
        ("phone_digits", "spec"),
        ("phone_e164", "stoqapp"),
        ("positive_id", "stoqapp"),
        ("positive_quantity", "stoqapp"),
        ("sendable", "stoqapp"),
        ("shop_domain", "spec"),
    ]


def test_the_body_is_what_the_generated_model_would_send() -> None:
    """Reading a request gives what its generated to_dict gives, where that one can."""
    request = CreateIntentRequest.from_dict(VALID)
    request["extra"] = 1
    request.customer["extra"] = {"a": 1}
    assert request.to_dict() == body_from_request(request)


def test_a_new_intent_needs_its_fields() -> None:
    """The generated constructor wants exactly the fields that the spec requires."""
    assert NewIntent(4711, 42, "email", 1, "api") == email_request().intent
