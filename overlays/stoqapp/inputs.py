"""The inputs of `subscribe`, each written once, and how they become a request.

The parameters of `prepare` are the table: an argument's name, its field, its reader and its help.
Both clients, the command line and the documentation take them from there.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Final,
    NamedTuple,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_type_hints,
)

from attrs import field, frozen

from stoq_public_api_client.typed_dicts import CreateIntentRequestDict, NewIntentDict
from stoqapp.errors import InvalidIntentError, UnusableInputError
from stoqapp.http.options import Timeout
from stoqapp.readers import (
    Change,
    change_of,
    country_from,
    email_from,
    id_from,
    integer_from,
    lower_text_from,
    phone_from,
    present,
    shopify_customer_id,
    stoq_customer_id,
    text_from,
)
from stoqapp.rules import CHANNELS, CONTACT_OF_CHANNEL, Violation, judged
from stoqapp.spec import SPEC, kind_of

if TYPE_CHECKING:
    from stoq_public_api_client.models.new_intent_channel import NewIntentChannel
else:
    # The models take a while to import, and are not needed for anything else here.
    NewIntentChannel = NewIntentDict.__annotations__["channel"]

P = ParamSpec("P")
R = TypeVar("R")
Id = int | str
Text = str | None
_variant = partial(id_from, kind="ProductVariant")
_product = partial(id_from, kind="Product")
_market = partial(id_from, kind="Market")


class Input(NamedTuple):
    """A parameter of `prepare`, as it is written there.

    Attributes:
        name: The name of the argument.
        type: Its type.
        required: Whether it must be given.
        default: Its value if it is not given; None for nothing.
        path: The field of the request, such as ``customer.email``.
        read: Brings a value into the API's form.
        help: What to give, for people.
        beside: Other arguments that the reader takes, too.
    """

    name: str
    type: Any
    required: bool
    default: Any
    path: str
    read: Callable[..., Any]
    help: str
    beside: tuple[str, ...] = ()


@frozen
class Prepared:
    """A request made of inputs, and how long its call may take.

    Attributes:
        body: The request as `stoqapp.check` takes it.
        changes: What was changed in the inputs.
        timeout: As for the client; None for the client's own.
        total_timeout: As for the client; None for the client's own.
    """

    body: CreateIntentRequestDict = field(repr=False)
    changes: tuple[Change, ...] = ()
    timeout: float | Timeout | None = None
    total_timeout: float | None = None


def prepare(
    *,
    variant: Annotated[
        Id, "intent.shopify_variant_id", _variant, "number or gid://shopify/ProductVariant/123"
    ],
    product: Annotated[
        Id, "intent.shopify_product_id", _product, "number or gid://shopify/Product/456"
    ],
    email: Annotated[Text, "customer.email", email_from, "the customer's email address"] = None,
    phone: Annotated[
        Text,
        "customer.phone",
        phone_from,
        "international with +, or national if a country or country code is given",
        ("country", "country_code"),
    ] = None,
    push: Annotated[Text, "customer.push", text_from, "the customer's push token"] = None,
    channel: Annotated[
        NewIntentChannel | None,
        "intent.channel",
        lower_text_from,
        "email, sms or push; needed with several contacts",
    ] = None,
    quantity: Annotated[int, "intent.quantity", integer_from, "how many the customer wants"] = 1,
    market: Annotated[
        Id | None, "intent.shopify_market_id", _market, "the intent's market: number or gid"
    ] = None,
    name: Annotated[
        Text, "customer.name", text_from, "the customer's name (standard plan or above)"
    ] = None,
    country: Annotated[
        Text, "customer.country", country_from, "the customer's country, like us"
    ] = None,
    country_code: Annotated[
        Text, "customer.country_code", text_from, "country code of the phone, like 44"
    ] = None,
    accepts_marketing: Annotated[
        bool | None,
        "customer.accepts_marketing",
        text_from,
        "whether the customer agreed to the shop's emails",
    ] = None,
    locale: Annotated[Text, "customer.locale", text_from, "the customer's locale, like en"] = None,
    customer_id: Annotated[
        Text, "customer.id", stoq_customer_id, "the customer's id at STOQ, from an answer"
    ] = None,
    customer_market: Annotated[
        Id | None, "customer.shopify_market_id", _market, "the customer's market: number or gid"
    ] = None,
    shopify_customer_id: Annotated[
        Id | None,
        "customer.shopify_customer_id",
        shopify_customer_id,
        "number or gid://shopify/Customer/123",
    ] = None,
    product_title: Annotated[
        Text,
        "product.title",
        text_from,
        "title of the product, for shops with opt-in confirmation or alerts",
    ] = None,
    variant_title: Annotated[
        Text, "product.variant_title", text_from, "title of the variant"
    ] = None,
    variant_count: Annotated[
        int | None, "product.variant_count", integer_from, "how many variants the product has"
    ] = None,
    vendor: Annotated[Text, "product.vendor", text_from, "vendor of the product"] = None,
    sku: Annotated[Text, "product.sku", text_from, "SKU of the variant"] = None,
    more: Annotated[
        Mapping[str, object] | None,
        "other fields of the vendor's file, by their path and sent as given, like"
        ' {"customer.locale": "en"}',
    ] = None,
    timeout: Annotated[
        float | Timeout | None, "seconds for each phase of an attempt; else the client's"
    ] = None,
    total_timeout: Annotated[
        float | None, "seconds for the call with all its attempts; else the client's"
    ] = None,
) -> Prepared:
    """Return the request made of these inputs.

    ``None``, blank text, NaN and pandas' NA count as not given.

    Raises:
        InvalidIntentError: An input is unusable; the violations name every one, and every rule
            that the rest breaks.
    """
    given = locals()
    request = _Request()
    for row in INPUTS.values():
        if given[row.name] is not None:
            request.take(row, given)
    request.add(more or {})
    request.infer_channel()
    body = cast(CreateIntentRequestDict, request.body())
    return Prepared(body, tuple(request.changes), timeout, total_timeout)


prepare.__qualname__ = "subscribe"  # as Python names it where an argument is wrong
_DEFAULT: Final = prepare.__kwdefaults__ or {}
_SAID: Final = {
    name: get_args(said)
    for name, said in get_type_hints(prepare, include_extras=True).items()
    if name != "return"
}
INPUTS: Final = {
    name: Input(name, type_, name not in _DEFAULT, _DEFAULT.get(name), *said)
    for name, (type_, *said) in _SAID.items()
    if len(said) > 1
}
# Sent unless something else is given. Required fields with one possible value are not asked for.
_DEFAULTS: Final = {
    row.path: row.default
    for row in INPUTS.values()
    if row.path in SPEC.fields and row.default is not None
} | {path: schema.enum[0] for path, schema in SPEC.required.items() if len(schema.enum) == 1}
# Where several channels need one contact, the contact alone means the first of them.
_FIRST_CHANNEL: Final = {one.contact: one.name for one in reversed(CHANNELS)}


class _Request:
    """Reads the inputs of one request; keeps what was changed and what is unusable."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._values: dict[str, Any] = {}
        self._unusable: dict[str, str] = {}

    def take(self, row: Input, arguments: Mapping[str, Any]) -> None:
        """Read the input of a row into the form that is sent."""
        given = present(arguments[row.name])
        if given is None or given is row.default:
            return
        if row.path not in SPEC.fields:
            self._unusable[row.path] = "is not a field of the API any more: leave it out"
            return
        try:
            value = row.read(given, *(arguments[name] for name in row.beside))
        except UnusableInputError as reason:
            self._unusable[row.path] = str(reason)
            return
        self._values[row.path] = value
        if change := change_of(row.path, given, value):
            self.changes.append(change)

    def add(self, more: Mapping[str, object]) -> None:
        """Take other fields by their path, as they are."""
        if not isinstance(more, Mapping):
            self._unusable["more"] = f"must map paths of fields to values, not {kind_of(more)}"
            return
        for path, value in ((str(path), value) for path, value in more.items()):
            if path in self._values or path in self._unusable:
                self._unusable[path] = "is given twice: by itself and in more"
            elif "." in path and SPEC.field(path):
                self._values[path] = value
            else:
                from difflib import get_close_matches

                close = get_close_matches(path, SPEC.fields, 1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                self._unusable["more"] = (
                    "names a field that the API does not have: give the path of one, like"
                    f" 'customer.locale'{hint}"
                )

    def infer_channel(self) -> None:
        """Choose the channel of the only contact that is given, unless there is a channel."""
        path = "intent.channel"
        given = self._values.keys() | self._unusable
        if path in given or path not in SPEC.fields:
            return
        found = sorted(name for contact, name in _FIRST_CHANNEL.items() if contact in given)
        if len(found) == 1:
            self._values[path] = found[0]
            self.changes.append(Change(path, "inferred from the only contact given"))
        elif found:
            names = " or ".join(found)
            self._unusable[path] = f"is needed where several contacts are given: choose {names}"
        else:
            *others, last = dict.fromkeys(CONTACT_OF_CHANNEL.values())
            contacts = f"{', '.join(others)} or {last}"
            self._unusable[path] = f"cannot be inferred without a contact: give {contacts}"

    def body(self) -> dict[str, Any]:
        """Return the request as nested dicts; raise where an input is unusable."""
        body: dict[str, Any] = {name: {} for name in SPEC.request.required}
        for path, value in (_DEFAULTS | self._values).items():
            *sections, name = path.split(".")
            place = body
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = value
        if self._unusable:
            unusable = [
                Violation(path, "usable_input", message, "stoqapp")
                for path, message in self._unusable.items()
            ]
            broken = [broken for broken in judged(body)[0] if broken.path not in self._unusable]
            raise InvalidIntentError([*unusable, *broken])
        return body


def takes(
    prepare: Callable[P, Prepared],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Return a decorator that shows the inputs, for a method that hands them to *prepare*."""
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [
        parameter.replace(annotation=_SAID[name][0])
        for name, parameter in inspect.signature(prepare).parameters.items()
    ]

    def decorate(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        shown: Any = method
        returned = inspect.signature(method).return_annotation
        shown.__signature__ = inspect.Signature([itself, *parameters], return_annotation=returned)
        summary, raises, errors = (inspect.getdoc(method) or "").partition("Raises:")
        shown.__doc__ = f"{summary.rstrip()}\n\nArgs:\n{_arguments()}\n\n{raises}{errors}".rstrip()
        return cast(Callable[Concatenate[Any, P], R], shown)

    return decorate


def _arguments() -> str:
    """Return what each input is, as a docstring has it."""
    return "\n".join(
        textwrap.fill(
            f"{name}: {f'{said[3]} (``{said[1]}``)' if name in INPUTS else said[1]}",
            width=88,
            initial_indent="    ",
            subsequent_indent="        ",
        )
        for name, said in _SAID.items()
    )
