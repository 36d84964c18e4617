"""Read one input at a time into the form that the API asks for.

Each reader returns what to send, and raises `UnusableInputError` for an input that means nothing
or could mean several things. No message repeats the input.
"""

import operator
import re
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from stoqapp.errors import UnusableInputError
from stoqapp.rules import INVISIBLE, JOINERS, LARGEST_ID, check_shop
from stoqapp.spec import SPEC

Kind = Literal["ProductVariant", "Product", "Market", "Customer"]

_OUTSIDE: Final = re.compile(rf"\A[\s{INVISIBLE}{JOINERS}]+|[\s{INVISIBLE}{JOINERS}]+\Z")
_ID: Final = re.compile(r"([1-9][0-9]{0,18})|gid://shopify/([A-Za-z]+)/([1-9][0-9]{0,18})(?:\?.*)?")
_ALIASES: Final = {"uk": "gb"}

# ISO 3166-1 alpha-2, and xk (Kosovo), which is in use though not assigned.
_CODES: Final = """
    ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs
    bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee
    eg eh er es et fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm
    hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc
    li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na
    nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw
    sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to
    tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws xk ye yt za zm zw
"""
COUNTRIES: Final = frozenset(_CODES.split())
# Of ASCII, an unquoted local part takes what RFC 5322 calls atext; a domain takes letters, digits
# and inner hyphens. Beyond ASCII, both take what is visible, as RFC 6531 allows.
_ATEXT: Final = r"[^\s\x00-\x20\x22(),.:;<>@\[\\\]\x7f]"
_DOT: Final = "[.\u3002\uff0e\uff61]"
_LABEL: Final = rf"(?!-)(?:[A-Za-z0-9-]|(?!{_DOT})[^\s\x00-\x7f]){{1,63}}(?<!-)"
_ADDRESS: Final = re.compile(
    rf"({_ATEXT}+(?:\.{_ATEXT}+)*)@(?:{_LABEL}{_DOT})+(?![0-9]+\Z|[A-Za-z]\Z){_LABEL}"
)


class Change(NamedTuple):
    """What was done to one input: the field's path, and the description (``"lower-cased"``)."""

    path: str
    description: str


def change_of(path: str, given: object, read: object) -> Change | None:
    """Return how a text was changed into what was read from it; None if it was taken as it is."""
    if not isinstance(given, str) or given == str(read):
        return None
    text = _trimmed(given)
    if text == str(read):
        only_space = text == given.strip()
        what = f"surrounding {'space' if only_space else 'invisible characters'} removed"
    else:
        what = "lower-cased" if text.lower() == read else "brought into the API's form"
    return Change(path, what)


def present(given: Any) -> Any:
    """Return *given* with Python's value for a NumPy scalar, and None for "not given".

    None, blank text, NaN, and pandas' NA and NaT count as not given.
    """
    if hasattr(given, "dtype"):
        # An array of several values is left to the rules.
        with suppress(AttributeError, TypeError, ValueError):
            given = given.item()
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, str):
        return given if _trimmed(given) else None
    # The missing values are not equal to themselves; pandas' NA answers with itself.
    unequal = given != given
    return None if unequal is True or unequal is given else given


def integer_from(given: Any) -> Any:
    """Return an integer of any library as Python's; anything else is left to the rules."""
    if isinstance(given, str | bool | float):
        return given
    try:
        return operator.index(given)
    except TypeError:
        return given


def text_from(given: Any) -> Any:
    """Return text without the space and the invisible characters around it."""
    return _trimmed(given) if isinstance(given, str) else given


def lower_text_from(given: Any) -> Any:
    """Do as `text_from`, and return text in lower case."""
    return _trimmed(given).lower() if isinstance(given, str) else given


def id_from(given: object, kind: Kind) -> int:
    """Return the number in *given*: an integer, its digits, or a ``gid://shopify/KIND/123``.

    Digits that begin with 0 are refused: they are likelier a SKU.

    Raises:
        UnusableInputError: It has another form, or is the global id of something else.
    """
    wanted = f"give the number, or a global id like gid://shopify/{kind}/123"
    number = integer_from(given)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    if isinstance(number, float):
        raise UnusableInputError(
            f"must be a Shopify id, not float, which does not hold every id exactly: {wanted}"
            " (in pandas, read the column with dtype 'Int64')"
        )
    text = _trimmed(_string(given, "a Shopify id", wanted))
    found = _ID.fullmatch(text)
    if found is None and re.fullmatch("0[0-9]*", text):
        raise UnusableInputError(
            f"begins with a zero, unlike a Shopify id (is it a SKU?): {wanted}"
        )
    if found is None:
        raise UnusableInputError(f"is not a Shopify id: {wanted}")
    digits, named, number_of_gid = found.groups()
    if named and named != kind:
        what = f"a {named}" if named in get_args(Kind) else "something else"
        raise UnusableInputError(f"must be the id of a {kind}, not of {what}: {wanted}")
    return int(digits or number_of_gid)


def shopify_customer_id(given: object) -> str:
    """Return the digits of a customer's id at Shopify."""
    number = id_from(given, "Customer")
    if not 1 <= number <= LARGEST_ID:
        raise UnusableInputError("is not a Shopify id: ids are whole numbers from 1 to 2^63 - 1")
    return str(number)


def stoq_customer_id(given: Any) -> Any:
    """Return a customer's id at STOQ."""
    text = text_from(given)
    if str(text).lower().startswith("gid://"):
        raise UnusableInputError(
            "must be the customer's id at STOQ, from an earlier answer: give a Shopify id as"
            " shopify_customer_id"
        )
    return text


def shop_from(given: object) -> str:
    """Return the host name of a shop given as handle, host name, shop URL or admin URL.

    Raises:
        UnusableInputError: No shop can be read from it.
    """
    wanted = "give the shop's host name, like demo.myshopify.com"
    text = _trimmed(_string(given, "a string", wanted))
    # urlsplit would drop line breaks and tabs silently.
    if not text.isascii() or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise UnusableInputError(f"has characters that a host name cannot have: {wanted}")
    if re.fullmatch("[A-Za-z0-9-]+", text):
        host = f"{text}.myshopify.com"
    else:
        try:
            url = urlsplit(text if "://" in text else f"https://{text}")
            is_plain = url.scheme in ("http", "https") and url.port in (None, 80, 443)
        except ValueError:
            raise UnusableInputError(f"does not name a shop: {wanted}") from None
        if not is_plain or "@" in url.netloc:
            raise UnusableInputError(f"is not a plain shop URL: {wanted}")
        host = (url.hostname or "").removesuffix(".")
        if host == "admin.shopify.com":
            _, store, name, *_ = [*url.path.split("/"), "", ""]
            host = f"{name}.myshopify.com" if store == "store" else host
    host = host.lower()
    if check_shop(host):
        raise UnusableInputError(f"does not name a shop: {wanted}")
    return host


def country_from(given: object) -> str:
    """Return a country's two-letter code, in the case that `openapi.json` asks for.

    Raises:
        UnusableInputError: It is not a code of ISO 3166-1.
    """
    wanted = "give the two-letter code (ISO 3166-1 alpha-2), like us"
    text = _trimmed(_string(given, "a string", wanted))
    schema = SPEC.fields.get("customer.country")
    accepts = schema.pattern.search if schema and schema.pattern else bool
    if not accepts("us") and not accepts("US"):
        # The file asks for another kind of code, which only its pattern knows.
        return text
    code = _ALIASES.get(text.lower(), text.lower())
    if code not in COUNTRIES:
        raise UnusableInputError(f"is not a country code: {wanted}")
    return code if accepts("us") else code.upper()


def email_from(given: Any) -> Any:
    """Return an email address; its local part and its domain may be international.

    Raises:
        UnusableInputError: It is not exactly one address, by the form of RFC 5321 without quotes.
    """
    text = text_from(given)
    if isinstance(text, str):
        found = _ADDRESS.fullmatch(text)
        # The limits are in octets.
        if not found or len(found[1].encode()) > 64 or len(text.encode()) > 254:
            raise UnusableInputError(
                "is not an email address: give one address alone, like ada@example.com"
            )
    return text


def phone_from(given: object, country: object = None, country_code: object = None) -> str:
    """Return a phone number as the API has it: country code and number, digits alone.

    The number can be written with ``+`` or the international prefix of its country, in the API's
    own form, or nationally if *country* (two letters) or *country_code* says whose it is.

    Raises:
        UnusableInputError: It is not a phone number, could be several, or has another code than
            *country_code*.
        ConfigurationError: No library of numbering plans is installed.
    """
    wanted = (
        "write it in quotes"
        if isinstance(given, int | float)
        else "give its international form, like +15550109999 (phonenumbers writes it with"
        " format_number(number, PhoneNumberFormat.E164))"
    )
    text = _string(given, "a string", wanted)
    # The numbering plans take 30 ms to load, and many requests have no phone number.
    from stoqapp.phones import digits_from_number

    try:
        region = None if present(country) is None else country_from(country)
    except UnusableInputError:
        region = None
    code = country_code if isinstance(country_code, str) else None
    return digits_from_number(text, region, code)


def _string(given: object, what: str, wanted: str) -> str:
    if not isinstance(given, str):
        raise UnusableInputError(f"must be {what}, not {type(given).__name__}: {wanted}")
    return given


def _trimmed(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text.strip()
    return _OUTSIDE.sub("", text)
