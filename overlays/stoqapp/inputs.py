"""From what people have in hand to what the API wants.

Each function takes one input, returns it in the API's form together with what it changed,
and raises `UnusableInputError` where the input names nothing, or could name more than one thing: it
never guesses. Nothing that a person could be known by is in a message.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from attrs import field, frozen

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoq_public_api_client.types import UNSET
from stoqapp.errors import InvalidIntentError, UnusableInputError
from stoqapp.rules import LARGEST_ID, Violation, check, check_shop

T = TypeVar("T")
Kind = Literal["ProductVariant", "Product", "Market", "Customer"]

_STRIPPED: Final = "surrounding space removed"
# What nobody would call one address is refused; whether mail arrives there, only mail can tell.
_ADDRESS: Final = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_KINDS: Final = ("ProductVariant", "Product", "Market", "Customer")


@frozen
class Reading(Generic[T]):
    """An input in the API's form.

    Attributes:
        value: What to send.
        change: What was done to the input, without its value; None when it was taken as it is.
    """

    value: T = field(repr=False)
    change: str | None = None


@frozen
class Change:
    """What was done to one input: the field's path, and the description (``"lower-cased"``)."""

    path: str
    description: str


def id_from(given: object, kind: Kind) -> Reading[int]:
    """Return the number in *given*: an integer, its digits, or a ``gid://shopify/KIND/123``.

    Digits that begin with 0 are refused, since Shopify writes no id so and a SKU looks like it.

    Raises:
        UnusableInputError: It is none of these, or the global id of something else than a *kind*.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        return Reading(given)
    wanted = f"give the number, or a global id like gid://shopify/{kind}/123"
    if not isinstance(given, str):
        raise UnusableInputError(f"must be a Shopify id, not {type(given).__name__}: {wanted}")
    text = given.strip()
    if re.fullmatch("[1-9][0-9]{0,18}", text):
        return Reading(int(text), None if text == given else _STRIPPED)
    gid = re.fullmatch(r"gid://shopify/([A-Za-z]+)/([1-9][0-9]{0,18})(?:\?.*)?", text)
    if gid is None and re.fullmatch("0[0-9]*", text):
        raise UnusableInputError(f"begins with a zero, which no Shopify id does (a SKU?): {wanted}")
    if gid is None:
        raise UnusableInputError(f"is no Shopify id: {wanted}")
    if gid[1] != kind:
        named = f"a {gid[1]}" if gid[1] in _KINDS else "something else"
        raise UnusableInputError(f"is the global id of {named}, where a {kind} is needed: {wanted}")
    return Reading(int(gid[2]), "number taken out of a global id")


def shop_from(given: object) -> Reading[str]:
    """Return the host name of a shop given as handle, host name, shop URL or admin URL.

    Raises:
        UnusableInputError: No shop can be read from it.
    """
    wanted = "give the shop's host name, like demo.myshopify.com"
    if not isinstance(given, str):
        raise UnusableInputError(f"must be a string, not {type(given).__name__}: {wanted}")
    text = given.strip()
    # urlsplit would drop line breaks and tabs without a word.
    if not text.isascii() or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise UnusableInputError(f"holds characters that no host name has: {wanted}")
    if re.fullmatch("[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", text):
        host = f"{text}.myshopify.com"
    else:
        host = _host_from_url(text, wanted)
    host = host.lower().removesuffix(".")
    if check_shop(host):
        raise UnusableInputError(f"is no shop: {wanted}")
    return Reading(host, None if host == given else "host name of the shop taken")


def _host_from_url(text: str, wanted: str) -> str:
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        default_port = url.port in (None, 80, 443)
    except ValueError:
        raise UnusableInputError(f"is no shop: {wanted}") from None
    if url.scheme not in ("http", "https") or "@" in url.netloc or not default_port:
        raise UnusableInputError(f"is no plain shop URL: {wanted}")
    host = url.hostname or ""
    if host != "admin.shopify.com":
        return host
    store = re.match("/store/([A-Za-z0-9][A-Za-z0-9-]*)(?:/|$)", url.path)
    if store is None:
        raise UnusableInputError(f"is an admin address without a store: {wanted}")
    return f"{store[1]}.myshopify.com"


def country_from(given: object) -> Reading[str]:
    """Return a two-letter country code in lower case.

    Raises:
        UnusableInputError: It is not two letters from A to Z.
    """
    wanted = "give the two-letter code (ISO 3166-1 alpha-2), like us"
    if not isinstance(given, str):
        raise UnusableInputError(f"must be a string, not {type(given).__name__}: {wanted}")
    code = _lower_cased(given)
    if not re.fullmatch("[a-z]{2}", code.value):
        raise UnusableInputError(f"is no country code: {wanted}")
    return code


def phone_from(given: object, country: str | None = None) -> Reading[str]:
    """Return a phone number as the API has it: country code and number, digits alone.

    Read are ``+`` and ``00`` forms; a national number when *country* (two lower-case letters)
    says whose, also when the digits carry that country's code already. Blanks, hyphens, dots
    and brackets may stand in between; not a slash, which can begin a second number.
    Bare digits without a country are taken for the API's own form when the numbering plans
    know such a number; else they could be anybody's (``2125550123``).

    Raises:
        UnusableInputError: It is no phone number, or more than one.
    """
    if not isinstance(given, str):
        raise UnusableInputError(
            f"must be a string, not {type(given).__name__}: write it in quotes"
        )
    # The numbering plans take 30 ms to load, which who has no phone number need not pay.
    from stoqapp.phones import digits_from_number

    digits = digits_from_number(given, country)
    return Reading(digits, None if digits == given else "digits with the country code taken")


class _Intake:
    """Takes the inputs of one request one by one; keeps what was changed and what is unusable."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.violations: list[Violation] = []

    def take(self, path: str, given: object, read: Callable[[Any], Reading[Any]]) -> Any:
        """Return what *read* makes of *given*, and ``UNSET`` where that is nothing."""
        if _is_nothing(given):
            return UNSET
        try:
            normal = read(given)
        except UnusableInputError as reason:
            self.violations.append(Violation(path, "usable_input", str(reason), "stoqapp"))
            return UNSET
        if normal.change:
            self.changes.append(Change(path, normal.change))
        return normal.value


def _is_nothing(given: object) -> bool:
    return given is None or (isinstance(given, str) and not given.strip())


def _text_from(given: object) -> Reading[Any]:
    if not isinstance(given, str) or given == given.strip():
        return Reading(given)
    return Reading(given.strip(), _STRIPPED)


def _lower_cased(given: str) -> Reading[str]:
    text = _text_from(given)
    lower = text.value.lower()
    return text if lower == text.value else Reading(lower, "lower-cased")


def _country_code_from(given: object, phone: object) -> Reading[Any]:
    if isinstance(given, str) and isinstance(phone, str):
        from stoqapp.phones import begins_with_country_code

        if not begins_with_country_code(phone, given):
            raise UnusableInputError(
                "is not the country code that the phone number has: correct one of the two, or"
                " leave this one out"
            )
    return _text_from(given)


def _email_from(given: object) -> Reading[Any]:
    text = _text_from(given)
    if isinstance(text.value, str) and not _ADDRESS.fullmatch(text.value):
        raise UnusableInputError(
            "is not one email address: give the address alone, like ada@example.com"
        )
    return text


def _customer_id_from(given: object) -> Reading[str]:
    number = id_from(given, "Customer").value
    if not 1 <= number <= LARGEST_ID:
        raise UnusableInputError("is no Shopify id: ids are whole numbers from 1 to 2^63 - 1")
    digits = str(number)
    return Reading(digits, None if digits == given else "digits of the id taken")


def _channel_from(given: object) -> Reading[Any]:
    return _lower_cased(given) if isinstance(given, str) else Reading(given)


def _channel_of(contacts: dict[str, object]) -> Reading[str]:
    given = [channel for channel, contact in contacts.items() if not _is_nothing(contact)]
    if len(given) == 1:
        return Reading(given[0], "inferred from the only contact given")
    if not given:
        raise UnusableInputError("cannot be told without a contact: give email, phone or push")
    raise UnusableInputError(
        f"could be {' or '.join(given)}, since several contacts are given: give the channel, too"
    )


def request_from_fields(
    *,
    variant: int | str,
    product: int | str,
    email: str | None = None,
    phone: str | None = None,
    push: str | None = None,
    channel: str | None = None,
    quantity: int = 1,
    market: int | str | None = None,
    name: str | None = None,
    country: str | None = None,
    country_code: str | None = None,
    accepts_marketing: bool | None = None,
    locale: str | None = None,
    customer_id: str | None = None,
    customer_market: int | str | None = None,
    shopify_customer_id: int | str | None = None,
    product_title: str | None = None,
    variant_title: str | None = None,
    variant_count: int | None = None,
    vendor: str | None = None,
    sku: str | None = None,
) -> tuple[CreateIntentRequest, tuple[Change, ...]]:
    """Return the request that stands for what people have in hand, and what was changed.

    The arguments are explained at `stoqapp.Stoq.subscribe`. Of the request's rules only those
    are looked at here that can be reported together with an unusable input.

    Raises:
        InvalidIntentError: An input is unusable; the violations name every one of them, and
            every rule that the rest breaks.
    """
    intake = _Intake()
    take = intake.take
    contacts = {"email": email, "sms": phone, "push": push}
    region = take("customer.country", country, country_from)
    digits = take("customer.phone", phone, lambda given: phone_from(given, region or None))
    customer = Customer(
        id=take("customer.id", customer_id, _text_from),
        name=take("customer.name", name, _text_from),
        email=take("customer.email", email, _email_from),
        phone=digits,
        push=take("customer.push", push, _text_from),
        country_code=take(
            "customer.country_code", country_code, lambda given: _country_code_from(given, digits)
        ),
        country=region,
        accepts_marketing=take("customer.accepts_marketing", accepts_marketing, Reading),
        locale=take("customer.locale", locale, _text_from),
        shopify_market_id=take(
            "customer.shopify_market_id", customer_market, lambda given: id_from(given, "Market")
        ),
        shopify_customer_id=take(
            "customer.shopify_customer_id", shopify_customer_id, _customer_id_from
        ),
    )
    intent = NewIntent(
        shopify_variant_id=take(
            "intent.shopify_variant_id", variant, lambda given: id_from(given, "ProductVariant")
        ),
        shopify_product_id=take(
            "intent.shopify_product_id", product, lambda given: id_from(given, "Product")
        ),
        channel=(
            take("intent.channel", contacts, _channel_of)
            if _is_nothing(channel)
            else take("intent.channel", channel, _channel_from)
        ),
        quantity=take("intent.quantity", 1 if _is_nothing(quantity) else quantity, Reading),
        source="api",
        shopify_market_id=take(
            "intent.shopify_market_id", market, lambda given: id_from(given, "Market")
        ),
    )
    details = Product(
        variant_count=take("product.variant_count", variant_count, Reading),
        title=take("product.title", product_title, _text_from),
        variant_title=take("product.variant_title", variant_title, _text_from),
        vendor=take("product.vendor", vendor, _text_from),
        sku=take("product.sku", sku, _text_from),
    )
    request = CreateIntentRequest(intent=intent, customer=customer)
    if details != Product():
        request.product = details
    if intake.violations:
        unusable = {violation.path for violation in intake.violations}
        broken = [violation for violation in check(request) if violation.path not in unusable]
        raise InvalidIntentError([*intake.violations, *broken])
    return request, tuple(intake.changes)
