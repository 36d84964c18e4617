"""The rules of an intent: those that ``openapi.json`` states and the generator drops.

The generated models accept anything. The rules here look at what a request would send and
report every breach at once. Each rule is one function, listed in `RULES`, and names the
places of ``openapi.json`` that it stands on; a test fails when the text there changes. Rules
that go beyond the vendor's words have the origin ``"stoqapp"``.

A rule only looks: it changes nothing, reads no file and sends nothing. For turning what
people have in hand into what the rules ask for, see `stoqapp.inputs`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from attrs import frozen

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp.body import (
    EXTRAS,
    INTENTS_PATH,
    SECTIONS,
    TOO_MUCH,
    Unsendable,
    body_from_request,
    plain,
)

Origin = Literal["spec", "stoqapp"]
Body = Mapping[str, object]

OPERATION: Final = f"/paths/{INTENTS_PATH.replace('/', '~1')}/post"
SCHEMA: Final = f"{OPERATION}/requestBody/content/application~1json/schema"
SHOP_HEADER: Final = "X-Shopify-Shop-Domain"


@frozen
class Violation:
    """One broken rule.

    Attributes:
        path: Where, as a dotted path into the request (``customer.email``), or ``shop``.
        rule: Name of the rule, one of those in `RULES`.
        message: What to do about it. Holds no value of the request.
        origin: ``"spec"`` where the vendor states the rule, ``"stoqapp"`` where only we do.
    """

    path: str
    rule: str
    message: str
    origin: Origin


@frozen
class Source:
    """The place that a rule stands on: a JSON Pointer into ``openapi.json``, and what is there."""

    pointer: str
    text: object


@frozen
class Rule:
    """A named rule.

    Attributes:
        name: What `Violation.rule` carries.
        origin: Who states it, see `Violation.origin`.
        sources: The places of ``openapi.json`` that it comes from.
        find: Takes a body in plain types, as `stoqapp.body` gives it, and yields
            ``(path, message)`` for each breach.
    """

    name: str
    origin: Origin
    sources: tuple[Source, ...]
    find: Callable[[Body], Iterator[tuple[str, str]]]

    def violations(self, body: Body) -> list[Violation]:
        """Return every breach of this rule in *body*, which is in plain types."""
        return [Violation(path, self.name, text, self.origin) for path, text in self.find(body)]


@frozen
class Field:
    """A field of the request body, as the schema in ``openapi.json`` declares it."""

    section: str
    name: str
    type: Literal["integer", "string", "boolean"]
    required: bool = False
    enum: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def path(self) -> str:
        """Dotted path of the field, as violations name it."""
        return f"{self.section}.{self.name}"

    @property
    def pointer(self) -> str:
        """JSON Pointer of the field's schema in ``openapi.json``."""
        return f"{SCHEMA}/properties/{self.section}/properties/{self.name}"


# The channels there are, and the field of the customer that each one reaches them by.
CONTACT_OF_CHANNEL: Final = {"email": "email", "sms": "phone", "push": "push"}

FIELDS: Final = (
    Field("intent", "shopify_variant_id", "integer", required=True),
    Field("intent", "shopify_product_id", "integer", required=True),
    Field("intent", "shopify_market_id", "integer"),
    Field("intent", "channel", "string", required=True, enum=tuple(CONTACT_OF_CHANNEL)),
    Field("intent", "quantity", "integer", required=True),
    Field("intent", "source", "string", required=True, enum=("api",)),
    Field("customer", "id", "string"),
    Field("customer", "name", "string"),
    Field("customer", "email", "string"),
    Field("customer", "phone", "string"),
    Field("customer", "push", "string"),
    Field("customer", "country_code", "string"),
    Field("customer", "country", "string", pattern="^[a-z]{2}$"),
    Field("customer", "accepts_marketing", "boolean"),
    Field("customer", "locale", "string"),
    Field("customer", "shopify_market_id", "integer"),
    Field("customer", "shopify_customer_id", "string"),
    Field("product", "variant_count", "integer"),
    Field("product", "title", "string"),
    Field("product", "variant_title", "string"),
    Field("product", "vendor", "string"),
    Field("product", "sku", "string"),
)
REQUIRED_SECTIONS: Final = ("intent", "customer")

_FIELD_OF: Final = {
    section: {field.name: field for field in FIELDS if field.section == section}
    for section in SECTIONS
}
_REQUIRED_FIELDS: Final = tuple(field for field in FIELDS if field.required)
_ENUM_FIELDS: Final = tuple(field for field in FIELDS if field.enum)
_PATTERN_FIELDS: Final = tuple(field for field in FIELDS if field.pattern)
_ID_FIELDS: Final = tuple(
    field for field in FIELDS if field.type == "integer" and field.name.endswith("_id")
)
_PYTHON_TYPE: Final = {"integer": int, "string": str, "boolean": bool}
_ARTICLE: Final = {"integer": "an integer", "string": "a string", "boolean": "True or False"}
LARGEST_ID: Final = 2**63 - 1


def _section(body: Body, name: str) -> Mapping[str, Any]:
    section = body.get(name)
    return section if isinstance(section, dict) else {}


def _has_type(value: object, type_: str) -> bool:
    return type(value) is _PYTHON_TYPE[type_]


def _present(body: Body, fields: tuple[Field, ...]) -> Iterator[tuple[Field, Any]]:
    """Yield each of *fields* that *body* holds with a value of the declared type."""
    for field in fields:
        section = _section(body, field.section)
        if field.name in section and _has_type(section[field.name], field.type):
            yield field, section[field.name]


def _is_blank(text: str) -> bool:
    return not any(char.isprintable() and not char.isspace() for char in text)


def required(body: Body) -> Iterator[tuple[str, str]]:
    """Every field that the schema lists under ``required`` is there."""
    for name in REQUIRED_SECTIONS:
        if name not in body:
            yield name, f"is required: set it to a {SECTIONS[name].__name__}"
    for field in _REQUIRED_FIELDS:
        section = body.get(field.section)
        if isinstance(section, dict) and field.name not in section:
            yield field.path, f"is required: set it to {_ARTICLE[field.type]}"


def type_(body: Body) -> Iterator[tuple[str, str]]:
    """Every field has the JSON type that the schema declares; ``True`` is no integer."""
    for name, model in SECTIONS.items():
        if name in body and not isinstance(body[name], dict):
            wrong = _type_name(body[name], required=name in REQUIRED_SECTIONS)
            yield name, f"must be a {model.__name__}, not {wrong}"
    for name, fields in _FIELD_OF.items():
        for key, value in _section(body, name).items():
            if (field := fields.get(key)) and not _has_type(value, field.type):
                wrong = _type_name(value, required=field.required)
                yield field.path, f"must be {_ARTICLE[field.type]}, not {wrong}"


def _type_name(value: object, *, required: bool) -> str:
    if value is None:
        return "None" if required else "None (leave the field out instead)"
    return _kind(value)


def _kind(value: object) -> str:
    return value.kind if isinstance(value, Unsendable) else type(value).__name__


def enum(body: Body) -> Iterator[tuple[str, str]]:
    """A field with listed values holds one of them."""
    for field, value in _present(body, _ENUM_FIELDS):
        if value not in field.enum:
            yield field.path, f"must be {' or '.join(map(repr, field.enum))}"


def pattern(body: Body) -> Iterator[tuple[str, str]]:
    """A field with a pattern matches it from end to end: no final newline, no other script."""
    for field, value in _present(body, _PATTERN_FIELDS):
        # fullmatch, because "$" alone also matches before a final line break.
        if not re.fullmatch(field.pattern, value):
            yield field.path, "must be two lower-case letters from a to z, like 'us'"


def channel_contact(body: Body) -> Iterator[tuple[str, str]]:
    """The customer can be reached on the channel: email, sms → phone, push, and not blank."""
    channel = _section(body, "intent").get("channel")
    contact = CONTACT_OF_CHANNEL.get(channel) if isinstance(channel, str) else None
    customer = body.get("customer")
    if contact is None or not isinstance(customer, dict):
        return
    value = customer.get(contact, "")
    if isinstance(value, str) and _is_blank(value):
        yield (
            f"customer.{contact}",
            f"is needed by channel {channel!r}: set it, or choose the channel of a contact"
            " that you have",
        )


def phone_digits(body: Body) -> Iterator[tuple[str, str]]:
    """A phone number is its country code and number, in digits 0-9 alone, with no ``+``."""
    phone = _section(body, "customer").get("phone")
    if isinstance(phone, str) and not _is_digits(phone):
        yield (
            "customer.phone",
            "must be the country code and number in digits 0-9 alone, with no '+' and no spaces,"
            " like '15550109999'",
        )


def phone_e164(body: Body) -> Iterator[tuple[str, str]]:
    """A phone number in digits is one that the numbering plan ITU-T E.164 has room for.

    There a country code begins with 1-9, and it has 15 digits at most with the number. The least,
    7 digits, are our own bound: the shortest numbers in use have as many.
    """
    phone = _section(body, "customer").get("phone")
    if not isinstance(phone, str) or not _is_digits(phone):
        return
    if phone[0] == "0" or not 7 <= len(phone) <= 15:
        yield (
            "customer.phone",
            "must be 7 to 15 digits that begin with the country code, so not with 0, like"
            " '15550109999'",
        )


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def positive_id(body: Body) -> Iterator[tuple[str, str]]:
    """A Shopify id is a positive 64-bit integer."""
    for field, value in _present(body, _ID_FIELDS):
        if not 0 < value <= LARGEST_ID:
            yield field.path, "must be a Shopify id: a whole number from 1 to 2^63 - 1"


def positive_quantity(body: Body) -> Iterator[tuple[str, str]]:
    """A customer waits for at least one item."""
    for field, value in _present(body, (_FIELD_OF["intent"]["quantity"],)):
        if value < 1:
            yield field.path, "must be at least 1"


def sendable(body: Body) -> Iterator[tuple[str, str]]:
    """Everything has a form in JSON and UTF-8, also properties that the schema does not list.

    Nothing lies deeper than `stoqapp.body.DEEPEST` levels. Nor are there more than
    `stoqapp.body.MOST_VALUES` values, which `check_body` tells before all else: a list that holds
    itself, or another one twice and that again another twice, would have no end.
    """
    for name, value in body.items():
        if name not in SECTIONS and (fault := _extra_fault(name, value)):
            yield EXTRAS, fault
    for section, fields in _FIELD_OF.items():
        for name, value in _section(body, section).items():
            if field := fields.get(name):
                if _has_type(value, field.type) and (fault := _json_fault(value)):
                    yield field.path, fault
            elif fault := _extra_fault(name, value):
                # The name may be anything a caller put there, so the path does not repeat it.
                yield f"{section}.{EXTRAS}", fault


def _extra_fault(name: object, value: object) -> str | None:
    if name == EXTRAS and not isinstance(value, dict):
        return f"must be a dict, not {_kind(value)}"
    return _json_fault({name: value})


def _json_fault(value: object) -> str | None:
    if isinstance(value, Unsendable):
        return value.fault
    if isinstance(value, str):
        # A lone surrogate is the one thing in a str that UTF-8 has no bytes for.
        if re.search("[\ud800-\udfff]", value):
            return "must be valid Unicode: it holds half of a surrogate pair"
    elif isinstance(value, int):
        if not -LARGEST_ID <= value <= LARGEST_ID:
            return "must fit in 64 bits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "must be a finite number: JSON has no NaN and no infinity"
    elif isinstance(value, dict | list):
        parts = (*value.keys(), *value.values()) if isinstance(value, dict) else value
        return next(filter(None, map(_json_fault, parts)), None)
    return None


def shop_domain(body: Body) -> Iterator[tuple[str, str]]:
    """The shop is a host name and no more, because it goes out in a header.

    Labels of letters, digits and inner hyphens, at most 63 characters each and 253 in all
    (RFC 1123), at least two, the last beginning with a letter; so no URL, no port, no address,
    no space, no line break.
    """
    shop = body.get("shop")
    if not isinstance(shop, str):
        yield "shop", f"must be a string, not {_kind(shop)}"
        return
    rest = "(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if len(shop) > 253 or not re.fullmatch(rf"(?:[A-Za-z0-9]{rest}\.)+[A-Za-z]{rest}", shop):
        yield "shop", "must be the shop's host name alone, like 'demo.myshopify.com'"


def _schema_source(path: str, text: object) -> Source:
    return Source(f"{SCHEMA}{path}", text)


_CHANNEL: Final = _schema_source(
    "/properties/intent/properties/channel/description",
    "The notification channel (email requires customer.email, sms requires customer.phone,"
    " push requires customer.push)",
)
_PHONE: Final = _schema_source(
    "/properties/customer/properties/phone/description",
    "Customer phone number with country code but without '+' (required if channel is sms)",
)
_SHOP: Final = Source(
    f"{OPERATION}/parameters/0/description",
    "The Shopify shop domain (e.g. 'restock-rocket-demo.myshopify.com')",
)

_SHOP_DOMAIN: Final = Rule("shop_domain", "spec", (_SHOP,), shop_domain)

RULES: Final = (
    Rule(
        "required",
        "spec",
        (
            _schema_source("/required", list(REQUIRED_SECTIONS)),
            _schema_source(
                "/properties/intent/required",
                ["shopify_variant_id", "shopify_product_id", "channel", "quantity", "source"],
            ),
        ),
        required,
    ),
    Rule(
        "type",
        "spec",
        (
            *(_schema_source(f"/properties/{name}/type", "object") for name in SECTIONS),
            *(Source(f"{field.pointer}/type", field.type) for field in FIELDS),
        ),
        type_,
    ),
    Rule(
        "enum",
        "spec",
        tuple(Source(f"{field.pointer}/enum", list(field.enum)) for field in FIELDS if field.enum),
        enum,
    ),
    Rule(
        "pattern",
        "spec",
        tuple(
            Source(f"{field.pointer}/pattern", field.pattern) for field in FIELDS if field.pattern
        ),
        pattern,
    ),
    Rule(
        "channel_contact",
        "spec",
        (
            _CHANNEL,
            _schema_source(
                "/properties/customer/properties/email/description",
                "Customer email address (required if channel is email)",
            ),
            _PHONE,
            _schema_source(
                "/properties/customer/properties/push/description",
                "Push notification token (required if channel is push)",
            ),
        ),
        channel_contact,
    ),
    Rule("phone_digits", "spec", (_PHONE,), phone_digits),
    Rule("phone_e164", "stoqapp", (_PHONE,), phone_e164),
    Rule(
        "positive_id",
        "stoqapp",
        tuple(
            Source(f"{field.pointer}/description", text)
            for field, text in zip(
                _ID_FIELDS,
                (
                    "The ID for the Shopify Variant",
                    "The ID for the Shopify Product",
                    "The ID for the Shopify Market (for multi-market stores)",
                    "Customer's Shopify Market ID for multi-market stores",
                ),
                strict=True,
            )
        ),
        positive_id,
    ),
    Rule(
        "positive_quantity",
        "stoqapp",
        (
            _schema_source(
                "/properties/intent/properties/quantity/description",
                "The quantity of the Variant they want",
            ),
        ),
        positive_quantity,
    ),
    Rule(
        "sendable",
        "stoqapp",
        (Source(f"{OPERATION}/requestBody/required", True),),
        sendable,
    ),
    _SHOP_DOMAIN,
)


def check(request: CreateIntentRequest) -> list[Violation]:
    """Return every rule that *request* breaks, in the order of `RULES`; empty when it is fine.

    How the request came about, and what was assigned to it since, makes no difference. Raises
    nothing, whatever the request holds.
    """
    return check_plain(body_from_request(request))


def check_body(body: object) -> list[Violation]:
    """Return every rule that *body*, a request as nested dicts ready for JSON, breaks.

    Raises nothing, whatever *body* is.
    """
    return check_plain(plain(body))


def check_plain(body: object) -> list[Violation]:
    """Do as `check_body` for a *body* that `stoqapp.body` has read."""
    if body is TOO_MUCH:
        return [Violation("", "sendable", TOO_MUCH.fault, "stoqapp")]
    if not isinstance(body, dict):
        message = f"must be a {CreateIntentRequest.__name__}, not {_type_name(body, required=True)}"
        return [Violation("", "type", message, "spec")]
    return [
        violation
        for rule in RULES
        if rule is not _SHOP_DOMAIN
        for violation in rule.violations(body)
    ]


def check_shop(shop: object) -> list[Violation]:
    """Return the rule that *shop* breaks as value of the shop header; empty when it is fine.

    Raises nothing, whatever *shop* is.
    """
    return _SHOP_DOMAIN.violations({"shop": plain(shop)})
