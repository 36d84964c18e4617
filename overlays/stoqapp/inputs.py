"""The inputs of `subscribe`, each written once, and how they become a request.

The parameters of `prepare` are the table: an argument's name, its field, its reader and its help.
Both clients, the command line and the documentation take them from there.
"""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import cache, partial, wraps
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Final,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_type_hints,
)

from attrs import field, frozen

from stoq_public_api_client.typed_dicts import CreateIntentRequestDict, NewIntentDict
from stoqapp import readers
from stoqapp.errors import InvalidIntentError, UnusableInputError
from stoqapp.http.options import Timeout
from stoqapp.readers import Change, Reading
from stoqapp.rules import CHANNELS, Violation, judged
from stoqapp.spec import SPEC

if TYPE_CHECKING:
    from stoq_public_api_client.models.new_intent_channel import NewIntentChannel
else:
    # The models take a while to import, and are not needed for anything else here.
    NewIntentChannel = NewIntentDict.__annotations__["channel"]

P = ParamSpec("P")
R = TypeVar("R")
Client = TypeVar("Client")


@frozen
class Input:
    """What is written at a parameter of `prepare`.

    Attributes:
        path: The field of the request, such as ``customer.email``.
        read: Brings a value into the API's form.
        help: What to give, for people.
        beside: Other fields that the reader takes, too: as they were read, if they come before.
    """

    path: str
    read: Callable[..., Reading[Any]]
    help: str
    beside: tuple[str, ...] = ()


@frozen(kw_only=True)
class Row(Input):
    """An `Input` with the argument that it is written at.

    Attributes:
        name: The name of the argument.
        type: Its type.
        default: What an argument that is not given stands for; None for nothing.
        required: Whether it must be given.
    """

    name: str
    type: Any
    default: Any
    required: bool


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
        int | str,
        Input(
            "intent.shopify_variant_id",
            partial(readers.id_from, kind="ProductVariant"),
            "the variant: number or gid://shopify/ProductVariant/123",
        ),
    ],
    product: Annotated[
        int | str,
        Input(
            "intent.shopify_product_id",
            partial(readers.id_from, kind="Product"),
            "its product: number or gid://shopify/Product/456",
        ),
    ],
    email: Annotated[
        str | None, Input("customer.email", readers.email_from, "the customer's email address")
    ] = None,
    phone: Annotated[
        str | None,
        Input(
            "customer.phone",
            readers.phone_from,
            "the customer's phone number: with + and the country code, or national with the"
            " country or the country code beside it",
            beside=("customer.country", "customer.country_code"),
        ),
    ] = None,
    push: Annotated[
        str | None, Input("customer.push", readers.text_from, "the customer's push token")
    ] = None,
    channel: Annotated[
        NewIntentChannel | None,
        Input(
            "intent.channel",
            readers.channel_from,
            "email, sms or push; may be left out when one contact is given",
        ),
    ] = None,
    quantity: Annotated[
        int, Input("intent.quantity", readers.integer_from, "how many the customer wants")
    ] = 1,
    market: Annotated[
        int | str | None,
        Input(
            "intent.shopify_market_id",
            partial(readers.id_from, kind="Market"),
            "Shopify market of the intent: number or gid://shopify/Market/789",
        ),
    ] = None,
    name: Annotated[
        str | None,
        Input(
            "customer.name",
            readers.text_from,
            "the customer's name (the shop must be on the standard plan or above)",
        ),
    ] = None,
    country: Annotated[
        str | None,
        Input(
            "customer.country", readers.country_from, "the customer's country: two letters, like us"
        ),
    ] = None,
    country_code: Annotated[
        str | None,
        Input(
            "customer.country_code",
            readers.country_code_from,
            "country code of the customer's phone number, like 44",
            beside=("customer.phone",),
        ),
    ] = None,
    accepts_marketing: Annotated[
        bool | None,
        Input(
            "customer.accepts_marketing",
            Reading,
            "whether the customer agreed to the shop's emails",
        ),
    ] = None,
    locale: Annotated[
        str | None, Input("customer.locale", readers.text_from, "the customer's locale, like en")
    ] = None,
    customer_id: Annotated[
        str | None,
        Input(
            "customer.id",
            readers.stoq_customer_id,
            "the customer's id at STOQ, from an earlier answer",
        ),
    ] = None,
    customer_market: Annotated[
        int | str | None,
        Input(
            "customer.shopify_market_id",
            partial(readers.id_from, kind="Market"),
            "Shopify market of the customer: number or gid://shopify/Market/789",
        ),
    ] = None,
    shopify_customer_id: Annotated[
        int | str | None,
        Input(
            "customer.shopify_customer_id",
            readers.shopify_customer_id,
            "the customer's id at Shopify: number or gid://shopify/Customer/123",
        ),
    ] = None,
    product_title: Annotated[
        str | None,
        Input(
            "product.title",
            readers.text_from,
            "title of the product; this and the rest of the product is needed only by shops with"
            " opt-in confirmation or alerts to the shop",
        ),
    ] = None,
    variant_title: Annotated[
        str | None, Input("product.variant_title", readers.text_from, "title of the variant")
    ] = None,
    variant_count: Annotated[
        int | None,
        Input("product.variant_count", readers.integer_from, "how many variants the product has"),
    ] = None,
    vendor: Annotated[
        str | None, Input("product.vendor", readers.text_from, "vendor of the product")
    ] = None,
    sku: Annotated[
        str | None, Input("product.sku", readers.text_from, "SKU of the variant")
    ] = None,
    more: Annotated[
        Mapping[str, object] | None,
        "fields that have no argument yet, by their path and sent as given, like"
        ' {"customer.tags": ["vip"]}',
    ] = None,
    timeout: Annotated[
        float | Timeout | None, "seconds for each phase of an attempt; else the client's"
    ] = None,
    total_timeout: Annotated[
        float | None, "seconds for the call with all its attempts; else the client's"
    ] = None,
) -> Prepared:
    """Return the request that stands for what people have in hand.

    ``None``, blank text, NaN and pandas' NA stand for "not given".

    Raises:
        InvalidIntentError: An input is unusable; the violations name every one, and every rule
            that the rest breaks.
    """
    request = _Request(locals())
    for row in INPUTS.values():
        request.take(row)
    request.add(more or {})
    request.infer_channel()
    body = cast(CreateIntentRequestDict, request.body())
    return Prepared(body, request.changes(), timeout, total_timeout)


prepare.__qualname__ = "subscribe"  # as Python names it where an argument is wrong
_TYPES: Final = get_type_hints(prepare, include_extras=True)
_PARAMETERS: Final = inspect.signature(prepare).parameters
INPUTS: Final = {
    name: Row(
        path=said.path,
        read=said.read,
        help=said.help,
        beside=said.beside,
        name=name,
        type=get_args(_TYPES[name])[0],
        default=None if parameter.default is parameter.empty else parameter.default,
        required=parameter.default is parameter.empty,
    )
    for name, parameter in _PARAMETERS.items()
    for said in get_args(_TYPES[name])[1:]
    if isinstance(said, Input)
}


class _Request:
    """Reads the inputs of one request; keeps what was changed and what is unusable."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        values = {row.path: readers.as_python(arguments[row.name]) for row in INPUTS.values()}
        self._given = {path: one for path, one in values.items() if not readers.is_missing(one)}
        self._values: dict[str, Any] = {}
        self._changes: dict[str, str] = {}
        self._unusable: dict[str, str] = {}

    def take(self, row: Row) -> None:
        """Read the input of a row into the form that is sent."""
        given = self._given.get(row.path, row.default)
        if given is None:
            return
        if row.path in _GONE:
            if given != row.default:
                self._unusable[row.path] = "is not a field of the API any more: leave it out"
            return
        try:
            reading = row.read(given, *map(self._beside, row.beside))
        except UnusableInputError as reason:
            self._unusable[row.path] = str(reason)
            return
        self._values[row.path] = reading.value
        if reading.change:
            self._changes[row.path] = reading.change

    def add(self, more: Mapping[str, object]) -> None:
        """Take fields that have no argument, as they are."""
        for path, value in more.items():
            if path in self._given:
                self._unusable[path] = "is given twice: as an argument and in more"
            elif "." in path and SPEC.field(path):
                self._values[path] = self._given[path] = value
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
        if path in self._given or SPEC.field(path) is None:
            return
        given = [name for contact, name in _CHANNEL_OF.items() if contact in self._given]
        if len(given) == 1:
            self._values[path] = given[0]
            self._changes[path] = "inferred from the only contact given"
        elif given:
            self._unusable[path] = (
                f"could be {' or '.join(given)}, since several contacts are given: give the"
                " channel, too"
            )
        else:
            *others, last = (row.name for row in INPUTS.values() if row.path in _CHANNEL_OF)
            self._unusable[path] = (
                f"is not known without a contact: give {', '.join(others)} or {last}"
            )

    def body(self) -> dict[str, Any]:
        """Return the request as nested dicts.

        Raises:
            InvalidIntentError: An input is unusable.
        """
        body: dict[str, Any] = {name: {} for name in SPEC.request.required}
        for path, value in (_ONLY_CHOICES | self._values).items():
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

    def changes(self) -> tuple[Change, ...]:
        """Return what was changed in the inputs."""
        return tuple(Change(path, description) for path, description in self._changes.items())

    def _beside(self, path: str) -> Any:
        if path in self._unusable:
            return None
        return self._values.get(path, self._given.get(path))


# Where several channels need one contact, the contact alone means the first of them.
_CHANNEL_OF: Final = {
    contact: next(channel.name for channel in CHANNELS if channel.contact == contact)
    for contact in (channel.contact for channel in CHANNELS)
}
_GONE: Final = frozenset(row.path for row in INPUTS.values() if SPEC.field(row.path) is None)
# Required fields with one possible value, such as the source, are not asked for.
_ONLY_CHOICES: Final = {
    f"{section}.{name}": part.properties[name].enum[0]
    for section, part in SPEC.request.properties.items()
    for name in part.required
    if name in part.properties and len(part.properties[name].enum) == 1
}


def takes(
    prepare: Callable[P, Prepared],
) -> Callable[[Callable[[Client, Prepared], R]], Callable[Concatenate[Client, P], R]]:
    """Return a decorator that gives a method the parameters of *prepare*, and their help.

    The method itself takes what *prepare* returns.
    """
    kept = inspect.signature(prepare)
    plain_types = get_type_hints(prepare)
    parameters = [
        parameter.replace(annotation=plain_types[name])
        for name, parameter in kept.parameters.items()
    ]
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)

    def decorate(method: Callable[[Client, Prepared], R]) -> Callable[Concatenate[Client, P], R]:
        @wraps(method)
        def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return method(self, prepare(*args, **kwargs))

        @wraps(method)
        async def call_async(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return await cast(Any, method(self, prepare(*args, **kwargs)))

        chosen: Any = call_async if inspect.iscoroutinefunction(method) else call
        returned = inspect.signature(method).return_annotation
        chosen.__signature__ = inspect.Signature([itself, *parameters], return_annotation=returned)
        chosen.__doc__ = _documented(inspect.getdoc(method) or "")
        return cast(Callable[Concatenate[Client, P], R], chosen)

    return decorate


def _documented(doc: str) -> str:
    """Return a docstring with what each input is, before its section on errors."""
    summary, raises, errors = doc.partition("Raises:")
    return f"{summary}Args:\n{_arguments()}\n\n{raises}{errors}".rstrip()


@cache
def _arguments() -> str:
    said = {name: get_args(_TYPES[name])[1] for name in _PARAMETERS}
    return "\n".join(
        textwrap.fill(
            f"{name}: {words if isinstance(words, str) else words.help}",
            width=88,
            initial_indent="    ",
            subsequent_indent="        ",
        )
        for name, words in said.items()
    )
