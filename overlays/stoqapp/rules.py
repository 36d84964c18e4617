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
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import frozen

from stoqapp.body import plain
from stoqapp.spec import SHOP_HEADER, SPEC, breaches, kind_of

if TYPE_CHECKING:
    from stoq_public_api_client.models import CreateIntentRequest
    from stoq_public_api_client.typed_dicts import CreateIntentRequestDict

Origin = Literal["spec", "stoqapp"]
Body = Mapping[str, Any]
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
# Texts that are compared as a whole: an address, ids, a token, codes.
_COMPARED: Final = frozenset(
    {
        "customer.id",
        "customer.email",
        "customer.push",
        "customer.country_code",
        "customer.locale",
        "customer.shopify_customer_id",
        "product.sku",
    }
)


@frozen
class Violation:
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


@frozen
class Quote:
    """Words of the vendor: the field or header that they describe, and the part that counts."""

    place: str
    words: str


@frozen
class Rule:
    """A rule that no schema states.

    Attributes:
        name: What `Violation.rule` carries.
        origin: Who states it, see `Violation.origin`.
        quotes: The vendor's words that it rests on.
        find: Takes a body in plain dicts and yields ``(path, message)`` for each breach.
    """

    name: str
    origin: Origin
    quotes: tuple[Quote, ...]
    find: Callable[[Body], Breaches]

    def violations(self, body: Body) -> list[Violation]:
        """Return every breach of this rule in *body*, which is in plain dicts."""
        return [Violation(path, self.name, text, self.origin) for path, text in self.find(body)]


@frozen
class Channel:
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

_RULES: list[Rule] = []
_Find = Callable[[Body], Breaches]


def _rule(origin: Origin, *quotes: Quote) -> Callable[[_Find], _Find]:
    def listed(find: _Find) -> _Find:
        _RULES.append(Rule(find.__name__, origin, quotes, find))
        return find

    return listed


def _section(body: Body, name: str) -> Body:
    section = body.get(name)
    return section if isinstance(section, dict) else {}


def _paths_of(type_: str) -> dict[str, dict[str, str]]:
    """Return the path of each field of a type, by section and name."""
    return {
        section: {
            name: f"{section}.{name}" for name, one in part.properties.items() if type_ in one.types
        }
        for section, part in SPEC.request.properties.items()
    }


_INTEGERS: Final = _paths_of("integer")
_TEXTS: Final = _paths_of("string")


def _present(
    body: Body, paths: dict[str, dict[str, str]], type_: type
) -> Iterator[tuple[str, Any]]:
    """Yield path and value of each field in *paths* that *body* has with a value of the type."""
    for section, names in paths.items():
        for name, value in _section(body, section).items():
            if name in names and isinstance(value, type_) and value is not True:
                yield names[name], value


@_rule("spec", *(Quote("intent.channel", channel.words) for channel in CHANNELS))
def channel_contact(body: Body) -> Breaches:
    """The customer can be reached on the channel, by a contact that is not blank."""
    chosen = _section(body, "intent").get("channel")
    for channel in CHANNELS:
        section, _, name = channel.contact.partition(".")
        if channel.name != chosen or not isinstance(body.get(section), dict):
            continue
        contact = body[section].get(name, "")
        if isinstance(contact, str) and not _VISIBLE.search(contact):
            message = f"is needed by channel {channel.name!r}: set it, or choose another channel"
            yield channel.contact, message


@_rule("spec", Quote("customer.phone", "with country code but without '+'"))
def phone_digits(body: Body) -> Breaches:
    """A phone number is its country code and number, in the digits 0-9 alone."""
    phone = _section(body, "customer").get("phone")
    if isinstance(phone, str) and not _DIGITS.fullmatch(phone):
        yield (
            "customer.phone",
            "must be the country code and number in digits 0-9 alone, with no '+' and no spaces,"
            " like '15550109999'",
        )


@_rule("stoqapp", Quote("customer.phone", "with country code"))
def phone_e164(body: Body) -> Breaches:
    """A phone number in digits has the length that ITU-T E.164 allows.

    There a country code begins with 1-9, and country code and number have at most 15 digits. The
    lower bound, 7 digits, is ours: the shortest numbers in use have as many.
    """
    phone = _section(body, "customer").get("phone")
    if not isinstance(phone, str) or not _DIGITS.fullmatch(phone):
        return
    if phone.startswith("0") or not 7 <= len(phone) <= 15:
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
def positive_id(body: Body) -> Breaches:
    """A Shopify id is a positive 64-bit integer."""
    for path, value in _present(body, _INTEGERS, int):
        if path.endswith("_id") and not 0 < value <= LARGEST_ID:
            yield path, "must be a Shopify id: a whole number from 1 to 2^63 - 1"


@_rule("stoqapp", Quote("intent.quantity", "The quantity of the Variant they want"))
def positive_quantity(body: Body) -> Breaches:
    """A customer waits for at least one item."""
    quantity = _section(body, "intent").get("quantity")
    if isinstance(quantity, int) and not isinstance(quantity, bool) and quantity < 1:
        yield "intent.quantity", "must be at least 1"


@_rule(
    "stoqapp",
    Quote("customer.email", "Customer email address"),
    Quote("customer.push", "Push notification token"),
)
def characters(body: Body) -> Breaches:
    """A text has no NUL, and one that is compared as a whole has no invisible character.

    A joiner between two letters that are not ASCII is part of how some scripts are written.
    """
    for path, text in _present(body, _TEXTS, str):
        if text.isascii() and text.isprintable():
            continue
        if "\x00" in text:
            yield path, "must not hold the character NUL"
        elif re.search("[\ud800-\udfff]", text):
            yield path, "must be valid Unicode: it holds half of a surrogate pair"
        elif path in _COMPARED and any(found[1] for found in _HIDDEN.finditer(text)):
            yield path, "must not hold invisible or control characters: type it again"


@_rule("spec", Quote(SHOP_HEADER, "The Shopify shop domain"))
def shop_domain(body: Body) -> Breaches:
    """The shop is the host name of a shop, since it is sent in a header.

    Labels of letters, digits and inner hyphens, at most 63 characters each and 253 in all
    (RFC 1123), at least two, the last beginning with a letter. Shopify's own hosts are not shops.
    """
    shop = body.get("shop")
    if not isinstance(shop, str):
        yield "shop", f"must be a string, not {kind_of(shop)}"
        return
    rest = "(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    host = rf"(?:[A-Za-z0-9]{rest}\.)+[A-Za-z]{rest}"
    shopify = r"(?:.*\.)?shopify\.com|(?:.*\.)?myshopify|myshopify\.com|.*\..*\.myshopify\.com"
    if (
        len(shop) > 253
        or not re.fullmatch(host, shop)
        or re.fullmatch(shopify, shop, re.IGNORECASE)
    ):
        yield "shop", "must be the shop's host name alone, like 'demo.myshopify.com'"


RULES: Final = tuple(_RULES)
_SHOP_DOMAIN: Final = next(rule for rule in RULES if rule.find is shop_domain)
_OF_BODY: Final = tuple(rule for rule in RULES if rule is not _SHOP_DOMAIN)


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
    violations = [
        Violation(path, keyword, message, "spec")
        for path, keyword, message in breaches(body, SPEC.request)
    ]
    if isinstance(body, dict):
        violations += [broken for rule in _OF_BODY for broken in rule.violations(body)]
    if violations:
        return violations, b""
    try:
        return [], _encode(body).encode()
    except (TypeError, ValueError, RecursionError):
        return [_UNSENDABLE], b""


def check_shop(shop: object) -> list[Violation]:
    """Return the rule that *shop* breaks as value of the shop header; empty when it is fine.

    Raises nothing, whatever *shop* is.
    """
    return _SHOP_DOMAIN.violations({"shop": shop})
