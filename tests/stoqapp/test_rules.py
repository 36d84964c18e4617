"""The rules: what passes, and what breaks."""

import copy
import json
import pickle
import string
import unicodedata
from collections.abc import Callable
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from conftest import email_request
from hypothesis import given
from hypothesis import strategies as st

from stoq_public_api_client.models import CreateIntentRequest, NewIntent, Product
from stoqapp import RULES, Violation, check, check_shop
from stoqapp.readers import country_from
from stoqapp.rules import CHANNELS, judged
from stoqapp.spec import SPEC

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
        "country": country_from("us").value,
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
FIELDS = [f"{section}.{name}" for section, part in VALID.items() for name in part]
REQUIRED = [
    f"{section}.{name}"
    for section, part in SPEC.request.properties.items()
    for name in part.required
]


def valid_body_but(path: str, value: object) -> Any:
    """Return a valid body with one place changed, or taken out."""
    body = copy.deepcopy(VALID)
    *sections, name = path.split(".")
    place = body[sections[0]] if sections else body
    if value is DELETED:
        del place[name]
    else:
        place[name] = value
    return body


def broken(body: Any) -> list[tuple[str, str]]:
    return [(violation.rule, violation.path) for violation in check(body)]


def test_a_request_with_every_field_breaks_no_rule() -> None:
    """A request that uses every field as the schema declares it is fine, as model and as dict."""
    assert [] == check(CreateIntentRequest.from_dict(VALID))
    assert [] == broken(VALID)


@pytest.mark.parametrize("path", [*SPEC.request.required, *REQUIRED])
def test_required(path: str) -> None:
    """A missing required field is reported at its path, once."""
    assert [("required", path)] == broken(valid_body_but(path, DELETED))


@pytest.mark.parametrize("path", ["product", *sorted(set(FIELDS) - set(REQUIRED))])
def test_optional_fields_may_be_missing(path: str) -> None:
    """A field that is not required may be left out, unless the channel needs it."""
    expected = [("channel_contact", path)] if path == "customer.phone" else []
    assert expected == broken(valid_body_but(path, DELETED))


WRONG_TYPES: dict[str, list[Any]] = {
    "integer": [None, True, False, 1.0, "1", "１２", [], {}, b"1"],
    "string": [None, True, 1, 1.5, [], {}, b"us"],
    "boolean": [None, 0, 1, "true", [], {}],
}


@pytest.mark.parametrize("path", FIELDS)
def test_type(path: str) -> None:
    """A value of another JSON type is reported; `True` is not an integer, 1 not a boolean."""
    schema = SPEC.field(path)
    assert schema is not None
    for value in WRONG_TYPES[schema.types[0]]:
        assert ("type", path) in broken(valid_body_but(path, value)), value


@pytest.mark.parametrize("section", ["intent", "customer", "product"])
@pytest.mark.parametrize("value", [None, 5, "x", [], object()])
def test_type_of_sections(section: str, value: object) -> None:
    """A section that is not an object is reported once, and not as missing."""
    assert [("type", section)] == broken(valid_body_but(section, value))


@pytest.mark.parametrize("value", [None, 5, "x", [], object()])
def test_type_of_the_request(value: Any) -> None:
    """Something other than a request is reported as that."""
    assert [("type", "")] == broken(value)


class Channel(StrEnum):
    SMS = "sms"


class Amount(IntEnum):
    TWO = 2


@pytest.mark.parametrize(
    ("path", "value", "sent"),
    [
        ("intent.channel", Channel.SMS, "sms"),
        ("intent.quantity", Amount.TWO, 2),
        ("customer.extra", (Amount.TWO, Channel.SMS), [2, "sms"]),
    ],
)
def test_members_of_enums_are_sent_as_their_values(path: str, value: object, sent: object) -> None:
    """A member of a string or integer enum passes, and is sent as its value."""
    violations, content = judged(valid_body_but(path, value))
    assert ([], valid_body_but(path, sent)) == (violations, json.loads(content))


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("intent.channel", "email", None),
        ("intent.channel", "push", None),
        ("intent.channel", "Email", "enum"),
        ("intent.channel", "", "enum"),
        ("intent.channel", "email\n", "enum"),
        ("intent.source", "API", "enum"),
        ("customer.country", "az", None),
        ("customer.country", "US", "pattern"),
        ("customer.country", "us\n", "pattern"),
        ("customer.country", " us", "pattern"),
        ("customer.country", "usa", "pattern"),
        ("customer.country", "", "pattern"),
        ("customer.country", "ùs", "pattern"),
        ("customer.country", "ｕｓ", "pattern"),
        ("intent.shopify_variant_id", 1, None),
        ("intent.shopify_variant_id", 2**63 - 1, None),
        ("intent.shopify_variant_id", 2**63, "positive_id"),
        ("intent.shopify_product_id", 0, "positive_id"),
        ("intent.shopify_market_id", -1, "positive_id"),
        ("customer.shopify_market_id", 0, "positive_id"),
        ("intent.quantity", 2, None),
        ("intent.quantity", 0, "positive_quantity"),
        ("intent.quantity", -1, "positive_quantity"),
        ("customer.phone", "447911123456", None),
        ("customer.phone", "1234567", None),
        ("customer.phone", "123456789012345", None),
        ("customer.phone", "+", "phone_digits"),
        ("customer.phone", "+15550109999", "phone_digits"),
        ("customer.phone", "1 555 010 9999", "phone_digits"),
        ("customer.phone", "15550109999\n", "phone_digits"),
        ("customer.phone", "１５５５０１０９９９９", "phone_digits"),
        ("customer.phone", "1555010999²", "phone_digits"),
        ("customer.phone", "123456", "phone_e164"),
        ("customer.phone", "1234567890123456", "phone_e164"),
        ("customer.phone", "0015550109999", "phone_e164"),
        ("customer.email", "ada@exam\u00adple.com", "characters"),
        ("customer.email", "ada@example.com\x00", "characters"),
        ("customer.email", "ada\u200c@example.com", "characters"),
        ("customer.email", "ada@نامه\u200cای.example", None),
        ("customer.push", "to\u200bken", "characters"),
        ("customer.locale", "en\u2060", "characters"),
        ("customer.shopify_customer_id", "81\u200e5", "characters"),
        ("customer.name", "Ada\u200d", None),
        ("customer.name", "A\x00da", "characters"),
        ("customer.name", "Ada\x00", "characters"),
        ("customer.name", "a\ud800b", "characters"),
        ("product.title", "👩\u200d🚀 lamp\n", None),
        ("product.title", "lamp\x00", "characters"),
    ],
)
def test_values(path: str, value: object, rule: str | None) -> None:
    """A value that breaks one rule is reported once, at its path."""
    assert ([] if rule is None else [(rule, path)]) == broken(valid_body_but(path, value))


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_channel_contact(channel: Any) -> None:
    """The contact that the channel needs is there and not blank; the others may be missing."""
    _, _, contact = channel.contact.partition(".")
    body = valid_body_but("intent.channel", channel.name)
    body["customer"] = {contact: VALID["customer"][contact]}
    assert [] == broken(body)
    for blank in ("", " ", "\t\n", "\u200b", "\u00a0\ufeff"):
        body["customer"][contact] = blank
        assert ("channel_contact", channel.contact) in broken(body)
    body["customer"] = {}
    assert [("channel_contact", channel.contact)] == broken(body)


def test_channel_contact_of_a_wrong_type_is_reported_once() -> None:
    """A contact of a wrong type is a matter of its type alone."""
    assert [("type", "customer.phone")] == broken(valid_body_but("customer.phone", 15550109999))


CYCLE: list[Any] = []
CYCLE.append([CYCLE])
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize("path", ["extra", "intent.extra", "customer.extra"])
@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("Zoë ☂ 😀", True),
        (None, True),
        (1.5, True),
        ({"a": [1, {"b": (2, None)}]}, True),
        ("\ud800", False),
        ({"\ud800": 1}, False),
        (float("nan"), False),
        (float("inf"), False),
        ([10**5000], False),
        (b"bytes", False),
        ({(1, 2): 3}, False),
        (object(), False),
        (CYCLE, False),
        (DEEP, False),
    ],
)
def test_sendable(path: str, value: object, passes: bool) -> None:
    """Properties that the schema does not list pass when JSON and UTF-8 can hold them."""
    assert ([] if passes else [("sendable", "")]) == broken(valid_body_but(path, value))


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
        (".".join(["a" * 49] * 5) + ".com", True),
        (".".join(["a" * 49] * 5) + ".shop", False),
        ("demo", False),
        ("demo.myshopify.com.", False),
        ("demo..com", False),
        ("-demo.myshopify.com", False),
        ("demo_1.myshopify.com", False),
        ("https://demo.myshopify.com", False),
        ("demo.myshopify.com:443", False),
        ("demo.myshopify.com\n", False),
        ("demo.myshopify.com\r\nX-Evil: 1", False),
        ("dëmo.myshopify.com", False),
        ("127.0.0.1", False),
        ("myshopify.com", False),
        ("demo.myshopify", False),
        ("shopify.com", False),
        ("admin.shopify.com", False),
        ("www.demo.myshopify.com", False),
        ("", False),
        (None, False),
        (5, False),
    ],
)
def test_shop_domain(shop: object, passes: bool) -> None:
    """The value of the shop header is the host name of a shop and nothing else."""
    expected = [] if passes else [("shop_domain", "shop", "spec")]
    assert expected == [(found.rule, found.path, found.origin) for found in check_shop(shop)]


@pytest.mark.parametrize(
    ("shop", "allowed"),
    [
        ("{}x.example.com", string.ascii_letters + string.digits),
        ("x{}x.example.com", string.ascii_letters + string.digits + "-."),
        ("x{}.example.com", string.ascii_letters + string.digits),
        ("demo.{}", string.ascii_letters),
        ("demo.x{}x", string.ascii_letters + string.digits + "-."),
    ],
)
def test_shop_domain_one_by_one(shop: str, allowed: str) -> None:
    """Of ASCII, each place of a host name takes the letters, digits and hyphens that it may."""
    chars = map(chr, range(128))
    assert set(allowed) == {char for char in chars if check_shop(shop.format(char)) == []}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("intent", DELETED, "is required: set it to a dict or its model"),
        ("intent.quantity", DELETED, "is required: set it to an integer"),
        ("product", [], "must be a dict or its model, not list"),
        ("intent.quantity", "1", "must be an integer, not str"),
        ("customer.accepts_marketing", 1, "must be True or False, not int"),
        ("customer.name", None, "must be a string, not None (leave the field out instead)"),
        ("intent.quantity", None, "must be an integer, not None"),
        ("intent.channel", "fax", "must be 'email' or 'sms' or 'push'"),
        ("customer.country", "US", "must be two lower-case letters from a to z, like 'us'"),
        (
            "customer.phone",
            DELETED,
            "is needed by channel 'sms': set it, or choose another channel",
        ),
        (
            "customer.phone",
            "+1",
            "must be the country code and number in digits 0-9 alone, with no '+' and no spaces,"
            " like '15550109999'",
        ),
        (
            "intent.shopify_product_id",
            0,
            "must be a Shopify id: a whole number from 1 to 2^63 - 1",
        ),
        ("intent.quantity", 0, "must be at least 1"),
    ],
)
def test_messages(path: str, value: object, message: str) -> None:
    """Each breach says what to do about it."""
    assert [message] == [violation.message for violation in check(valid_body_but(path, value))]


def test_all_violations_at_once() -> None:
    """Every broken rule is reported in one go: the schema's in its order, then the others."""
    body: Any = {
        "intent": {"shopify_variant_id": True, "shopify_product_id": 0, "channel": "sms",
                   "quantity": 0, "source": "web"},
        "customer": {"country": "US", "phone": "", "name": "\ud800"},
        "product": [],
    }  # fmt: skip
    assert broken(body) == [
        ("type", "intent.shopify_variant_id"),
        ("enum", "intent.source"),
        ("pattern", "customer.country"),
        ("type", "product"),
        ("channel_contact", "customer.phone"),
        ("phone_digits", "customer.phone"),
        ("positive_id", "intent.shopify_product_id"),
        ("positive_quantity", "intent.quantity"),
        ("characters", "customer.name"),
    ]


def test_check_reads_what_would_be_sent() -> None:
    """Later assignments count, and so does an additional property named like an unset field."""
    request = email_request()
    request.intent.quantity = 0
    request.customer["country"] = "US"
    assert [("pattern", "customer.country"), ("positive_quantity", "intent.quantity")] == [
        (violation.rule, violation.path) for violation in check(request)
    ]


def test_check_of_broken_models() -> None:
    """Sections of another type and deleted attributes are reported, not raised."""
    request = email_request()
    del request.customer.email
    request.product = [Product()]  # type: ignore[assignment]
    assert [("type", "product"), ("channel_contact", "customer.email")] == [
        (violation.rule, violation.path) for violation in check(request)
    ]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda request: pickle.loads(pickle.dumps(request))]
)
def test_copies_of_a_request_are_as_good(copied: Callable[[Any], Any]) -> None:
    """A deep copy or a pickle of a request, with UNSETs of its own, is sent like the original."""
    assert judged(email_request()) == judged(copied(email_request()))


def test_models_and_dicts_can_be_mixed() -> None:
    """A section may be a dict in a model, or a model in a dict."""
    intent = NewIntent(4711, 42, "email", quantity=1, source="api")
    mixed: Any = {"intent": intent, "customer": {"email": "ada@example.com"}}
    request = CreateIntentRequest(intent=intent, customer={"email": "ada@example.com"})  # type: ignore[arg-type]
    assert judged(mixed) == judged(request)
    assert [] == judged(mixed)[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
values = json_values | st.sampled_from(
    [
        *("ada@example.com", "15550109999", "0", "", " ", "+1", "us", "US", "us\n"),
        *("email", "sms", "push", "api", 0, 1, 2**70),
    ]
)


def sections(name: str) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(list(VALID[name]))
    return st.builds(
        lambda changed, gone: {
            key: value
            for key, value in (VALID[name] | changed).items()
            if key not in gone or key in changed
        },
        st.dictionaries(names | st.text(max_size=3), values, max_size=4),
        st.sets(names, max_size=2),
    )


bodies = st.fixed_dictionaries(
    {}, optional={name: sections(name) | values for name in VALID} | {"extra": values}
)


@cache
def schema_judge() -> jsonschema_rs.Draft4Validator:
    return jsonschema_rs.Draft4Validator(dict(SPEC.request.keywords))


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
    return reachable and (phone is None or (phone != "" and set(phone) <= set(string.digits)))


@given(bodies)
def test_an_independent_judge_agrees(body: dict[str, Any]) -> None:
    """check passes the bodies that a JSON Schema library and the prose pass, and no others."""
    violations, content = judged(body)
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        assert violations != []
        return
    stated = [violation for violation in violations if violation.origin == "spec"]
    assert (schema_judge().is_valid(body) and prose_says(body)) == (stated == [])
    if not violations:
        assert body == json.loads(content)


@given(bodies)
def test_violations_repeat_no_value(body: dict[str, Any]) -> None:
    """No violation holds a string that the request held."""
    marker = "marker-of-a-person"
    planted = json.loads(
        json.dumps(body, default=lambda _: marker).replace("ada@example.com", marker)
    )
    customer = {"email": [marker], "phone": marker, marker: {marker: object()}}
    planted["customer"] = VALID["customer"] | customer
    assert marker not in repr(check(planted))


def test_rules_beyond_the_spec_are_marked_as_ours() -> None:
    """The origin of a rule says whether the vendor states it."""
    assert [(rule.name, rule.origin) for rule in RULES] == [
        ("channel_contact", "spec"),
        ("phone_digits", "spec"),
        ("phone_e164", "stoqapp"),
        ("positive_id", "stoqapp"),
        ("positive_quantity", "stoqapp"),
        ("characters", "stoqapp"),
        ("shop_domain", "spec"),
    ]
    assert [Violation("customer.country", "pattern", "", "spec")] == [
        Violation(found.path, found.rule, "", found.origin)
        for found in check(valid_body_but("customer.country", "US"))
    ]
