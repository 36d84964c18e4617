"""Check a request against what `openapi.json` states, in its schemas and in prose.

The generated models accept anything. `check` reports every breach at once, and changes nothing.
What the schemas state is read from the file (`stoqapp.spec`). What the file says in prose, and
what we add to it, is one function each below, under the sentence that it enforces; a test
compares the sentence with the file. Rules that go beyond the vendor's words have the origin
``"stoqapp"``.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stoqapp.body import plain
from stoqapp.spec import SHOP_HEADER, SPEC, breaches, kind_of

if TYPE_CHECKING:
    from stoq_public_api_client.models import CreateIntentRequest
    from stoq_public_api_client.typed_dicts import CreateIntentRequestDict

Origin = Literal["spec", "stoqapp"]
Fields = Mapping[str, Any]
Breaches = Iterator[tuple[str, str]]

LARGEST_ID: Final = 2**63 - 1
# Characters that do not show, except NUL, which is refused anywhere. The joiners are part of how
# some scripts are written, and the selectors of how an emoji is.
INVISIBLE: Final = (
    r"\x01-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb"
)
JOINERS: Final = r"\u200c\u200d"
_UNSEEN: Final = rf"\x00{INVISIBLE}{JOINERS}\ufe00-\ufe0f\U000e0000-\U000e0fff"
_VISIBLE: Final = re.compile(rf"[^\s{_UNSEEN}]")
_LETTER: Final = rf"[^\x00-\x7f{_UNSEEN}]"
_HIDDEN: Final = re.compile(rf"(?<={_LETTER})[{JOINERS}](?={_LETTER})|([{_UNSEEN}])")
_DIGITS: Final = re.compile("[0-9]+")
_E164: Final = re.compile("[1-9][0-9]{6,14}")
_LABEL_REST: Final = "(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"(?:[A-Za-z0-9]{_LABEL_REST}\.)+[A-Za-z]{_LABEL_REST}")
_SHOPIFY: Final = re.compile(
    r"(?:.*\.)?shopify\.com|(?:.*\.)?myshopify|myshopify\.com|.*\..*\.myshopify\.com", re.IGNORECASE
)
_TEXTS: Final = {path for path, field in SPEC.fields.items() if "string" in field.types}
_IDS: Final = {
    path for path, field in SPEC.fields.items() if "integer" in field.types and path.endswith("_id")
}
# Texts that are compared as a whole: an address, ids, a token, codes.
_CUSTOMERS: Final = ("id", "email", "push", "country_code", "locale", "shopify_customer_id")
_COMPARED: Final = {"product.sku", *(f"customer.{name}" for name in _CUSTOMERS)}


class Violation(NamedTuple):
    """One broken rule.

    Attributes:
        path: Where, as a dotted path into the request (``customer.email``), or ``shop``; empty
            for the request as a whole.
        rule: Name of the rule: one of `RULES`, ``required``, ``type``, ``enum``, ``pattern`` or
            ``bounds`` for what a schema states, or ``usable_input`` for an input of
            `stoqapp.Stoq.subscribe`.
        message: What to do about it. Holds no value of the request.
        origin: ``"spec"`` where the vendor states the rule, ``"stoqapp"`` where only we do.
    """

    path: str
    rule: str
    message: str
    origin: Origin


class Quote(NamedTuple):
    """Words of the vendor: the field or header that they describe, and the part that counts."""

    place: str
    words: str


class Rule(NamedTuple):
    """A rule that no schema states.

    Attributes:
        name: What `Violation.rule` carries.
        origin: Who states it, see `Violation.origin`.
        quotes: The vendor's words that it rests on.
        find: Takes what `fields_of` returns, and yields ``(path, message)`` for each breach.
    """

    name: str
    origin: Origin
    quotes: tuple[Quote, ...]
    find: Callable[[Fields], Breaches]

    def violations(self, fields: Fields) -> list[Violation]:
        """Return every breach of this rule in *fields*, which `fields_of` returned."""
        return [Violation(path, self.name, text, self.origin) for path, text in self.find(fields)]


class Channel(NamedTuple):
    """A channel, the field that it needs, and the vendor's words for that."""

    name: str
    contact: str
    words: str


# Where several channels need one field, that field alone means the first of them.
CHANNELS: Final = (
    Channel("email", "customer.email", "email requires customer.email"),
    Channel("sms", "customer.phone", "sms requires customer.phone"),
    Channel("push", "customer.push", "push requires customer.push"),
)
CONTACT_OF_CHANNEL: Final = {one.name: one.contact.removeprefix("customer.") for one in CHANNELS}


def _rule(origin: Origin, *quotes: Quote) -> Callable[[Callable[[Fields], Breaches]], Rule]:
    return lambda find: Rule(find.__name__, origin, quotes, find)


def fields_of(body: object) -> Fields:
    """Return what a body in plain dicts holds: its sections, and their fields by dotted path."""
    sections = body if isinstance(body, dict) else {}
    fields = dict(sections)
    for section, inner in sections.items():
        if isinstance(inner, dict):
            fields |= {f"{section}.{name}": value for name, value in inner.items()}
    return fields


@_rule("spec", *(Quote("intent.channel", channel.words) for channel in CHANNELS))
def channel_contact(fields: Fields) -> Breaches:
    """The customer can be reached on the channel, by a contact that is not blank."""
    chosen = fields.get("intent.channel")
    for channel in CHANNELS:
        contact = fields.get(channel.contact, "")
        if (
            channel.name == chosen
            and isinstance(fields.get("customer"), dict)
            and isinstance(contact, str)
            and not _VISIBLE.search(contact)
        ):
            message = f"is needed by channel {channel.name!r}: set it, or choose another channel"
            yield channel.contact, message


@_rule("spec", Quote("customer.phone", "with country code but without '+'"))
def phone_digits(fields: Fields) -> Breaches:
    """A phone number is its country code and number, in the digits 0-9 alone."""
    phone = fields.get("customer.phone")
    if isinstance(phone, str) and not _DIGITS.fullmatch(phone):
        yield (
            "customer.phone",
            "must be the country code and number in digits 0-9 alone, with no '+' and no spaces,"
            " like '15550109999'",
        )


@_rule("stoqapp", Quote("customer.phone", "with country code"))
def phone_e164(fields: Fields) -> Breaches:
    """A phone number in digits has the length that ITU-T E.164 allows.

    There a country code begins with 1-9, and country code and number have at most 15 digits. The
    lower bound, 7 digits, is ours: the shortest numbers in use have as many.
    """
    phone = fields.get("customer.phone")
    if isinstance(phone, str) and _DIGITS.fullmatch(phone) and not _E164.fullmatch(phone):
        yield (
            "customer.phone",
            "must be 7 to 15 digits that begin with the country code, so not with 0, like"
            " '15550109999'",
        )


@_rule(
    "stoqapp",
    Quote("intent.shopify_variant_id", "The ID for the Shopify Variant"),
    Quote("intent.shopify_product_id", "The ID for the Shopify Product"),
)
def positive_id(fields: Fields) -> Breaches:
    """A Shopify id is a positive 64-bit integer."""
    for path, value in fields.items():
        is_id = path in _IDS and isinstance(value, int) and not isinstance(value, bool)
        if is_id and not 0 < value <= LARGEST_ID:
            yield path, "must be a Shopify id: a whole number from 1 to 2^63 - 1"


@_rule("stoqapp", Quote("intent.quantity", "The quantity of the Variant they want"))
def positive_quantity(fields: Fields) -> Breaches:
    """A customer waits for at least one item."""
    quantity = fields.get("intent.quantity", 1)
    if isinstance(quantity, int) and not isinstance(quantity, bool) and quantity < 1:
        yield "intent.quantity", "must be at least 1"


@_rule(
    "stoqapp",
    Quote("customer.email", "Customer email address"),
    Quote("customer.push", "Push notification token"),
)
def characters(fields: Fields) -> Breaches:
    """A text has no NUL, and one that is compared as a whole has no invisible character.

    A joiner between two letters that are not ASCII is part of how some scripts are written.
    """
    for path, text in fields.items():
        if path not in _TEXTS or not isinstance(text, str):
            continue
        if text.isascii() and text.isprintable():
            continue
        if "\x00" in text:
            yield path, "must not hold the character NUL"
        elif re.search("[\ud800-\udfff]", text):
            yield path, "must be valid Unicode: it holds half of a surrogate pair"
        elif path in _COMPARED and any(found[1] for found in _HIDDEN.finditer(text)):
            yield path, "must not hold invisible or control characters: type it again"


@_rule("spec", Quote(SHOP_HEADER, "The Shopify shop domain"))
def shop_domain(fields: Fields) -> Breaches:
    """The shop is the host name of a shop, since it is sent in a header.

    Labels of letters, digits and inner hyphens, at most 63 characters each and 253 in all
    (RFC 1123), at least two, the last beginning with a letter. Shopify's own hosts are not shops.
    """
    shop = fields.get("shop")
    if not isinstance(shop, str):
        yield "shop", f"must be a string, not {kind_of(shop)}"
    elif len(shop) > 253 or not _HOST.fullmatch(shop) or _SHOPIFY.fullmatch(shop):
        yield "shop", "must be the shop's host name alone, like 'demo.myshopify.com'"


_OF_BODY: Final = (
    channel_contact,
    phone_digits,
    phone_e164,
    positive_id,
    positive_quantity,
    characters,
)
RULES: Final = (*_OF_BODY, shop_domain)
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_UNSENDABLE: Final = Violation(
    "",
    "sendable",
    "must hold only what JSON can: dicts with names, lists that do not contain themselves, valid"
    " Unicode, finite numbers, True, False and None",
    "stoqapp",
)


def check(request: "CreateIntentRequest | CreateIntentRequestDict") -> list[Violation]:
    """Return every rule that *request* breaks; empty when it can be sent.

    *request* is a model, or a dict like the JSON body. First come the violations of what the
    schemas state, then those of `RULES`. Raises nothing.
    """
    return judged(request)[0]


def judged(request: object) -> tuple[list[Violation], bytes]:
    """Return what `check` does, and the JSON that was checked; empty where there are violations."""
    try:
        body = plain(request)
    except RecursionError:
        return [_UNSENDABLE], b""
    violations = [Violation(*found, "spec") for found in breaches(body, SPEC.request)]
    fields = fields_of(body)
    violations += [broken for rule in _OF_BODY for broken in rule.violations(fields)]
    try:
        return violations, b"" if violations else _encode(body).encode()
    except (TypeError, ValueError, RecursionError):
        return [_UNSENDABLE], b""


def check_shop(shop: object) -> list[Violation]:
    """Return the rule that *shop* breaks as value of the shop header; empty when it is fine.

    Raises nothing, whatever *shop* is.
    """
    return shop_domain.violations({"shop": shop})
