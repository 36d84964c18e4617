"""The rules: what passes, and what breaks."""

import copy
import json
import pickle
import string
import unicodedata
from enum import IntEnum, StrEnum
from typing import Any

import jsonschema_rs
import pytest
from calling import email_request, rests_on
from hypothesis import given
from hypothesis import strategies as st

from stoq_public_api_client.models import CreateIntentRequest, Product
from stoqapp import RULES, check, check_shop
from stoqapp.readers import country_from
from stoqapp.rules import CHANNELS, judged
from stoqapp.spec import SPEC

VALUES: dict[str, Any] = {
    "customer.email": "ada@example.com",
    "customer.phone": "15550109999",
    "customer.country": country_from("us"),
    "intent.channel": "sms",
    "intent.source": "api",
}
OF_TYPE: dict[str, Any] = {"integer": 3, "string": "text", "boolean": True, "array": ["text"]}
VALID: dict[str, Any] = {
    section: {
        name: VALUES.get(f"{section}.{name}", OF_TYPE[schema.types[0]])
        for name, schema in part.properties.items()
    }
    for section, part in SPEC.request.properties.items()
}
DELETED = object()


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


def test_required() -> None:
    """A missing required field is reported at its path, once; others only if the channel asks."""
    needed = {*SPEC.request.required, *SPEC.required}
    for path in [*SPEC.request.properties, *SPEC.fields]:
        expected = [("required", path)] if path in needed else []
        if path == "customer.phone":
            expected = [("channel_contact", path)]
        assert expected == broken(valid_body_but(path, DELETED)), path


WRONG_TYPES: dict[str, list[Any]] = {
    "integer": [True, 1.0, "1", "１２", [], {}, b"1"],
    "string": [True, 1, 1.5, [], {}, b"us"],
    "boolean": [0, 1, "true", [], {}],
    "array": [True, 1, "text", {}],
}


def test_type() -> None:
    """A value of another JSON type is reported; `True` is not an integer, 1 not a boolean."""
    for path, schema in SPEC.fields.items():
        for value in WRONG_TYPES[schema.types[0]]:
            assert ("type", path) in broken(valid_body_but(path, value)), (path, value)
    # A contact of a wrong type is a matter of its type alone.
    for value in (None, 15550109999):
        assert [("type", "customer.phone")] == broken(valid_body_but("customer.phone", value))


@pytest.mark.parametrize("value", [None, 5, "x", [], object()])
def test_type_of_sections(value: Any) -> None:
    """A section, or a request, that is not an object is reported once, and not as missing."""
    assert [("type", "")] == broken(value)
    for section in VALID:
        assert [("type", section)] == broken(valid_body_but(section, value))


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
    ("path", "rule", "values"),
    [
        ("intent.channel", "enum", ["Email", "", "email\n"]),
        ("intent.source", "enum", ["API"]),
        ("customer.country", "", [country_from("az")]),
        pytest.param(
            "customer.country",
            "pattern",
            ["US", "us\n", " us", "usa", "", "ùs", "ｕｓ"],
            marks=rests_on("customer.country", pattern="^[a-z]{2}$"),
        ),
        ("intent.shopify_variant_id", "", [1, 2**63 - 1]),
        ("intent.shopify_variant_id", "positive_id", [2**63]),
        ("intent.shopify_product_id", "positive_id", [0]),
        ("intent.shopify_market_id", "positive_id", [-1]),
        ("customer.shopify_market_id", "positive_id", [0]),
        ("intent.quantity", "positive_quantity", [0, -1]),
        ("customer.phone", "", ["447911123456", "1234567", "123456789012345"]),
        (
            "customer.phone",
            "phone_digits",
            ["+15550109999", "15550109999\n", "１５５５０１０９９９９"],
        ),
        ("customer.phone", "phone_e164", ["123456", "1234567890123456", "0015550109999"]),
        ("customer.email", "", ["ada@نامه\u200cای.example"]),
        ("customer.email", "characters", ["ada@exam\u00adple.com", "ada\u200c@example.com"]),
        ("customer.push", "characters", ["to\u200bken"]),
        ("customer.country_code", "characters", ["1\u2060"]),
        ("customer.shopify_customer_id", "characters", ["81\u200e5"]),
        ("customer.name", "", ["Ada\u200d"]),
        ("customer.name", "characters", ["A\x00da", "Ada\x00", "a\ud800b"]),
        ("product.title", "", ["👩\u200d🚀 lamp\n"]),
    ],
)
def test_values(path: str, rule: str, values: list[object]) -> None:
    """A value that breaks a rule is reported once, at its path."""
    for value in values:
        assert [(rule, path)] * bool(rule) == broken(valid_body_but(path, value)), value


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_channel_contact(channel: Any) -> None:
    """The contact that the channel needs is there and not blank; the others may be missing."""
    _, _, contact = channel.contact.partition(".")
    # Equal to the channel's name, but another string.
    body = valid_body_but("intent.channel", "".join([*channel.name]))
    body["customer"] = {contact: VALID["customer"][contact]}
    assert [] == broken(body)
    for blank in ("", " ", "\t\n", "\u200b", "\u00a0\ufeff"):
        body["customer"][contact] = blank
        assert ("channel_contact", channel.contact) in broken(body)
    body["customer"] = {}
    assert [("channel_contact", channel.contact)] == broken(body)


CYCLE: list[Any] = []
CYCLE.append([CYCLE])
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize("path", ["extra", "customer.extra"])
def test_sendable(path: str) -> None:
    """Properties that the schema does not list pass when JSON and UTF-8 can hold them."""
    for value in ("Zoë ☂ 😀", None, 1.5, {"a": [1, {"b": (2, None)}]}):
        assert [] == broken(valid_body_but(path, value))
    wrong = ["\ud800", {"\ud800": 1}, float("nan"), [10**5000], b"", {(1, 2): 3}, object()]
    for value in (*wrong, CYCLE, DEEP):
        assert [("sendable", "")] == broken(valid_body_but(path, value))


SHOPS = f"""
    demo.myshopify.com Demo-2.myshopify.com shop.example.com a.b 1.b.c a1.b-2.c3
    {"a" * 63}.example.com {".".join(["a" * 49] * 5)}.com
"""
NO_SHOPS = f"""
    a.1 demo demo.myshopify.com. demo..com -demo.myshopify.com demo-.example.com a.b-
    demo_1.myshopify.com https://demo.myshopify.com demo.myshopify.com:443 dëmo.myshopify.com
    127.0.0.1 myshopify.com demo.myshopify shopify.com admin.shopify.com www.demo.myshopify.com
    {"a" * 64}.example.com {".".join(["a" * 49] * 5)}.shop
"""


def test_shop_domain() -> None:
    """The value of the shop header is the host name of a shop and nothing else."""
    for shop in SHOPS.split():
        assert check_shop(shop) == [], shop
    unsplit = ["demo.myshopify.com\n", "demo.myshopify.com\r\nX-Evil: 1", "de mo.com", "", None, 5]
    for wrong in [*NO_SHOPS.split(), *unsplit]:
        [found] = check_shop(wrong)
        assert ("shop_domain", "shop", "spec") == (found.rule, found.path, found.origin), wrong


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("intent.quantity", DELETED, "is required: set it to an integer"),
        ("product", [], "must be a dict or its model, not list"),
        ("customer.email", None, "must be a string, not None (leave the field out instead)"),
        ("intent.quantity", None, "must be an integer, not None"),
        ("intent.channel", "fax", "must be 'email' or 'sms' or 'push'"),
        (
            "customer.phone",
            DELETED,
            "is needed by channel 'sms': set it, or choose another channel",
        ),
    ],
)
def test_messages(path: str, value: object, message: str) -> None:
    """Each breach says what to do about it."""
    [violation] = check(valid_body_but(path, value))
    assert violation.message.startswith(message)


def test_all_violations_at_once() -> None:
    """Every broken rule is reported in one go: the schema's in its order, then the others."""
    body: Any = {
        "intent": {"shopify_variant_id": True, "shopify_product_id": 0, "channel": "sms",
                   "quantity": 0, "source": "web"},
        "customer": {"country": "U", "phone": "", "name": "\ud800"},
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
    """Later assignments count, also wrong ones, and so do additional properties."""
    request = email_request()
    request.intent.quantity = 0
    request.customer["country"] = "U"
    expected = [("pattern", "customer.country"), ("positive_quantity", "intent.quantity")]
    assert expected == broken(request)
    torn: Any = email_request()
    torn.product = [Product()]
    del torn.customer.email
    assert [("type", "product"), ("channel_contact", "customer.email")] == broken(torn)


def test_other_forms_of_a_request_are_as_good() -> None:
    """Copies, with UNSETs of their own, and dicts in models or models in dicts are sent alike."""
    request = email_request()
    contact: Any = {"email": "ada@example.com"}
    others = [
        copy.deepcopy(request),
        pickle.loads(pickle.dumps(request)),
        {"intent": request.intent, "customer": contact},
        CreateIntentRequest(intent=request.intent, customer=contact),
    ]
    violations, content = judged(request)
    assert violations == []
    assert [content] * 4 == [judged(other)[1] for other in others]
    # A field that is set as an additional property counts, too.
    others[3]["product"] = {"sku": "LAMP"}
    assert {"sku": "LAMP"} == json.loads(judged(others[3])[1])["product"]


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


SCHEMA = jsonschema_rs.Draft4Validator(
    {**SPEC.request.keywords, "components": SPEC.document.get("components", {})}
)


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
    assert (SCHEMA.is_valid(body) and prose_says(body)) == (stated == [])
    if not violations:
        assert body == json.loads(content)


def test_what_a_violation_holds() -> None:
    """It says whether the vendor states the rule, and no string that the request held."""
    marker = "marker-of-a-person"
    customer = {"email": [marker], "phone": marker, marker: {marker: object()}, "country": marker}
    found = check({**VALID, "customer": {**VALID["customer"], **customer}, marker: object()})
    assert marker not in repr(found)
    stated = [rule.name for rule in RULES if rule.origin == "spec"]
    assert ["channel_contact", "phone_digits", "shop_domain"] == stated
    assert "spec" == check(valid_body_but("customer.country", "U"))[0].origin
