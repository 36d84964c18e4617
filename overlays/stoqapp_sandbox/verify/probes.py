"""What is sent, of which assumptions each answer tells, and what is not asked and why.

Each entry of `stoqapp_sandbox.assumptions.ASSUMPTIONS` is in a look of one of the `PROBES` or in
`NOT_ASKED`. Nobody but the customer that the user gave is put on a list.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

from attrs import field, frozen

from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.cassettes import SHOP, STAND_INS
from stoqapp_sandbox.verify import signs
from stoqapp_sandbox.verify.signs import Sign
from stoqapp_sandbox.verify.worlds import NO_VARIANTS, Log, Sent, Step, World

_NO_CUSTOMER: Final = "stoqapp-verify-made-up"
_NO_SHOP: Final = "stoqapp-verify-no-shop"
_ANOTHER: Final = "another entry, if the service keeps duplicates"


@frozen
class Subject:
    """On whose behalf is asked: a shop, a variant, and a customer.

    Attributes:
        headers: Of each request, the shop's among them.
        variant: Shopify id.
        product: Shopify id.
        email: The customer's.
        phone: The customer's, digits alone.
        push: The customer's token.
        market: Shopify id of a market of the shop.
    """

    headers: Mapping[str, str] = field(repr=False)
    variant: int
    product: int
    email: str = field(repr=False)
    phone: str | None = field(default=None, repr=False)
    push: str | None = field(default=None, repr=False)
    market: int | None = None

    def intent(self, **changed: Any) -> dict[str, Any]:
        """Return the intent of a valid body with some fields *changed*."""
        wanted = {"shopify_variant_id": self.variant, "shopify_product_id": self.product}
        return {**wanted, "channel": "email", "quantity": 1, "source": "api", **changed}

    def body(self, intent: Mapping[str, Any] | None = None, **customer: Any) -> dict[str, Any]:
        """Return a body, by default one that the service has every reason to take."""
        return {
            "intent": self.intent() if intent is None else dict(intent),
            "customer": {"email": self.email, **customer},
        }

    def sent(self, content: Any, **headers: str | None) -> Sent:
        """Return a request with that body; *headers* replace the usual ones, None drops one."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {name: named.get(name, value) for name, value in self.headers.items()}
        return Sent(raw, {name: value for name, value in lines.items() if value is not None})

    @property
    def contacts(self) -> list[tuple[str, dict[str, Any]]]:
        """The channels by which the customer can be reached beside email, and their contacts."""
        found = [("sms", {"phone": self.phone}), ("push", {"push": self.push})]
        return [(channel, contact) for channel, contact in found if all(contact.values())]


# Stands for the customer in what is written down.
MADE_UP: Final = Subject(
    headers={SHOP_HEADER: SHOP, "Content-Type": "application/json"},
    variant=int(STAND_INS["shopify_variant_id"]),
    product=int(STAND_INS["shopify_product_id"]),
    email=str(STAND_INS["email"]),
    phone=str(STAND_INS["phone"]),
    push=str(STAND_INS["push"]),
    market=int(STAND_INS["shopify_market_id"]),
)


@frozen
class Look:
    """One way of looking at an answer.

    Attributes:
        about: The entries that it tells of.
        sign: What is looked at.
        beside: Other entries that the sign depends on, where they are not known yet.
        numbers: For an entry with bounds: which numbers may be behind what was seen, given the
            expected one. The expected one is among them.
    """

    about: tuple[str, ...]
    sign: Sign
    beside: tuple[str, ...] = ()
    numbers: Callable[[float, Hashable], Sequence[float]] | None = None


@frozen
class Ask:
    """A request, and what to look at in its answer.

    Attributes:
        request: What to send for a subject, given the answers so far; None where they lack what
            it needs.
        looks: In this order.
    """

    request: Callable[[Subject, Log], Sent | None]
    looks: tuple[Look, ...]


@frozen
class Probe:
    """A few requests that belong together.

    Attributes:
        name: What it is called on the command line.
        says: What is sent.
        leaves: What it may leave on the waitlist.
        asks: The requests.
        needs: Probes that must have gone before.
        lacks: Says which option the subject lacks, if it lacks one.
        burdens: Why it is sent only when it is named; None where it is harmless.
        only_new: Whether it tells something only of a customer who was not on the list before.
    """

    name: str
    says: str
    leaves: str
    asks: tuple[Ask, ...]
    needs: tuple[str, ...] = ()
    lacks: Callable[[Subject], str | None] = field(default=lambda _subject: None)
    burdens: str | None = None
    only_new: bool = False

    @property
    def entries(self) -> set[str]:
        """The assumptions that it tells of."""
        return {name for ask in self.asks for look in ask.looks for name in look.about}


@cache
def _example() -> Log:
    """Return what the sandbox answers to the first request, made up."""
    return World({}, [Step(lambda _log: MADE_UP.sent(MADE_UP.body()))]).log


def _documented() -> frozenset[str]:
    """Return the fields that the sandbox gives an intent: those that the vendor documents."""
    return frozenset(signs.last(_example()).intent)


def shown(ask: Ask) -> Sent:
    """Return *ask* as it would be sent for a made-up customer, to be written down.

    Raises:
        LookupError: It needs more than that customer has.
    """
    sent = ask.request(MADE_UP, _example())
    if sent is None:
        raise LookupError("the made-up customer lacks something that a probe needs")
    return sent


def _content(
    body: Callable[[Subject], Any], **headers: str | None
) -> Callable[[Subject, Log], Sent]:
    return lambda subject, _log: subject.sent(body(subject), **headers)


def _first(subject: Subject) -> dict[str, Any]:
    return subject.body()


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: part for key, part in body.items() if key != name}


def _other_contact(subject: Subject, _log: Log) -> Sent:
    channel, contact = subject.contacts[0]
    return subject.sent(subject.body(subject.intent(channel=channel), **contact))


def _known_customer(subject: Subject, log: Log) -> Sent | None:
    """Name the first intent's customer by id, and reach them where nobody was reached before."""
    known = next((h.intent.get("customer_id") for h in log if h and h.status == 201), None)
    if known is None:
        return None
    [*_, (channel, contact)] = subject.contacts
    wanted = subject.intent(channel=channel)
    if len(subject.contacts) == 1:
        wanted |= {"shopify_market_id": subject.market}
    customer = {"id": str(known), **contact}
    return subject.sent({"intent": wanted, "customer": customer})


def _no_variant(subject: Subject) -> dict[str, int]:
    """Name a variant that nobody has, another one for each of the subject's.

    A service that takes it once would call it a duplicate the next time.
    """
    return {"shopify_variant_id": NO_VARIANTS[subject.variant % len(NO_VARIANTS)]}


def _with_quantity(subject: Subject, quantity: object) -> dict[str, Any]:
    return subject.body(subject.intent(quantity=quantity))


def _nested(subject: Subject, levels: int) -> dict[str, Any]:
    inner: Any = 0
    for _ in range(levels - 1):
        inner = [inner]
    return {**subject.body(), "stoqapp_verify": inner}


def _padded(subject: Subject, size: int) -> bytes:
    return json.dumps(subject.body()).encode().ljust(size)


def _lacks_contact(subject: Subject) -> str | None:
    return None if subject.contacts else "--phone or --push"


def _lacks_two_contacts(subject: Subject) -> str | None:
    if len(subject.contacts) > 1 or (subject.contacts and subject.market):
        return None
    return "--phone and --push" if subject.market is None else "--phone or --push"


def _lacks_market(subject: Subject) -> str | None:
    return None if subject.market else "--market"


def _around(asked: float) -> Callable[[float, Hashable], Sequence[float]]:
    """Return the limits that a request of *asked* and one of a little more tell apart."""
    return lambda expected, _seen: tuple(dict.fromkeys((expected, asked, asked - 1, 2 * asked)))


def _number_seen(expected: float, seen: Hashable) -> Sequence[float]:
    # One that was not seen stands for all others, so that what nobody told is not taken as told.
    other = seen if isinstance(seen, int) and seen > 0 else expected + 1
    return (expected,) if other == expected else (expected, other)


NESTING: Final = 100
BODY_BYTES: Final = 1024 * 1024
# The limits that are asked for by a request of that much, and one of a little more. Of any other
# limit, all that shows is on which side it is.
ASKED_AROUND: Final = {"nesting": NESTING, "body_limit": BODY_BYTES}

_REFUSED: Final = ("refused_status",)
_REFUSED_BODY: Final = ("refused_body",)
_DUPLICATE: Final = ("duplicate", "unique", "processed_body", "refused_body")
_JSON_BODY: Final = (*_DUPLICATE, *_REFUSED)
_RATE: Final = (
    Look(("rate_headers",), signs.rate_headers),
    Look(("rate_points",), signs.limit, numbers=_number_seen),
)
_COST: Final = Look(("rate_keyless", "rate_write"), signs.cost, numbers=_number_seen)

CREATED: Final = Ask(
    _content(_first),
    (
        Look(("created_intent",), signs.intent_names(_documented), ("intent_type",)),
        Look(("intent_type",), signs.of_intent("type")),
        Look(("created_errors",), signs.has_errors),
        Look(("ids",), signs.id_type),
        Look(("optin_confirmed",), signs.of_intent("optin_confirmed")),
        Look(("accepts_marketing",), signs.of_intent("accepts_marketing")),
        *_RATE,
    ),
)
_DUPLICATE_LOOKS: Final = (
    Look(("duplicate",), signs.quantity, ("unique",)),
    Look(("processed_body", "refused_body"), signs.refusal_shape),
    Look(("duplicate_words",), signs.words),
)
# What the first request tells where the customer waits already.
WAITING: Final = Ask(_content(_first), (*_DUPLICATE_LOOKS, *_RATE))

PROBES: Final = (
    Probe("created", "the intent itself", "one entry, for the email address", (CREATED,)),
    Probe(
        "schema",
        "the same without a customer, which breaks the schema",
        "nothing",
        (
            Ask(
                _content(lambda subject: _without(subject.body(), "customer")),
                (
                    Look(_REFUSED, signs.status),
                    Look(_REFUSED_BODY, signs.refusal_shape, ("processed_body",)),
                ),
            ),
        ),
    ),
    Probe(
        "json",
        "a body that breaks off in the middle",
        "nothing",
        (
            Ask(
                _content(lambda _subject: b'{"intent": {"channel": "em'),
                (Look(("json_text",), signs.status),),
            ),
        ),
    ),
    Probe(
        "unknown_shop",
        "the intent, for a made-up shop",
        "nothing",
        (
            Ask(
                _content(_first, **{SHOP_HEADER.replace("-", "_"): _NO_SHOP}),
                (
                    Look(("unknown_shop",), signs.status),
                    Look(("error_body",), signs.refusal_shape),
                ),
            ),
        ),
    ),
    Probe(
        "missing_shop",
        "the intent, without the shop's header",
        "nothing",
        (
            Ask(
                _content(_first, **{SHOP_HEADER.replace("-", "_"): None}),
                (
                    Look(
                        ("missing_shop",),
                        signs.fate,
                        (*_REFUSED, *_REFUSED_BODY, "unknown_shop", "error_body"),
                    ),
                ),
            ),
        ),
    ),
    Probe(
        "missing_variant",
        "the intent, without the variant's id",
        "nothing",
        (
            Ask(
                _content(
                    lambda subject: subject.body(_without(subject.intent(), "shopify_variant_id"))
                ),
                (
                    Look(
                        ("missing_variant",),
                        signs.fate,
                        (*_REFUSED, *_REFUSED_BODY, "error_body"),
                    ),
                ),
            ),
        ),
    ),
    Probe(
        "broken_rule",
        "the channel email, and no address",
        "an entry that names no customer, if the service takes it",
        (
            Ask(
                _content(lambda subject: {"intent": subject.intent(), "customer": {}}),
                (
                    Look(("broken_rule",), signs.status),
                    Look(("processed_body", "refused_body"), signs.refusal_shape),
                    _COST,
                ),
            ),
        ),
    ),
    Probe(
        "duplicate",
        "the intent again, for two items",
        _ANOTHER,
        (
            Ask(
                _content(partial(_with_quantity, quantity=2)),
                _DUPLICATE_LOOKS,
            ),
        ),
        needs=("created",),
    ),
    Probe(
        "least_quantity",
        "the intent again, for no items",
        _ANOTHER,
        (
            Ask(
                _content(partial(_with_quantity, quantity=0)),
                (Look(("least_quantity",), signs.echo, _JSON_BODY),),
            ),
        ),
        needs=("created", "duplicate"),
    ),
    Probe(
        "content_type",
        "the intent again, as application/json; charset=utf-8, and as text/plain",
        _ANOTHER,
        tuple(
            Ask(
                _content(_first, Content_Type=kind),
                (Look(("content_type_parameters",), signs.echo, _JSON_BODY),),
            )
            for kind in ("application/json; charset=utf-8", "text/plain")
        ),
        needs=("created", "duplicate"),
    ),
    Probe(
        "numbers",
        'the intent again, for 1.0 items, and for "1"',
        _ANOTHER,
        tuple(
            Ask(
                _content(partial(_with_quantity, quantity=quantity)),
                (Look(("numbers",), signs.echo, _JSON_BODY),),
            )
            for quantity in (1.0, "1")
        ),
        needs=("created", "duplicate"),
    ),
    Probe(
        "nesting",
        f"the intent again, with lists in lists: {NESTING} levels, and one more",
        _ANOTHER,
        tuple(
            Ask(
                _content(partial(_nested, levels=levels)),
                (
                    Look(
                        ("nesting",),
                        signs.echo,
                        (*_JSON_BODY, "json_text"),
                        numbers=_around(NESTING),
                    ),
                ),
            )
            for levels in (NESTING, NESTING + 1)
        ),
        needs=("created", "duplicate"),
    ),
    Probe(
        "customer_id",
        "the intent again, with a made-up id of the customer",
        _ANOTHER,
        (
            Ask(
                _content(lambda subject: subject.body(id=_NO_CUSTOMER)),
                (Look(("customer_id",), signs.fate, (*_DUPLICATE, "error_body")),),
            ),
        ),
        needs=("created", "duplicate"),
    ),
    Probe(
        "market",
        "the intent again, with the market of the customer, then with that of the intent",
        "one or two entries in that market",
        (
            Ask(
                _content(lambda subject: subject.body(shopify_market_id=subject.market)),
                (Look(("market",), signs.fate, _DUPLICATE),),
            ),
            Ask(
                _content(
                    lambda subject: subject.body(subject.intent(shopify_market_id=subject.market))
                ),
                (Look(("unique",), signs.fate, (*_DUPLICATE, "market")),),
            ),
        ),
        needs=("created", "duplicate"),
        lacks=_lacks_market,
        only_new=True,
    ),
    Probe(
        "letter_case",
        "the intent again, with the address in the other case of letters",
        "an entry for the address so written, if that is another customer to the service",
        (
            Ask(
                _content(lambda subject: subject.body(email=subject.email.swapcase())),
                (Look(("same_customer",), signs.fate, (*_DUPLICATE, "customer_id")),),
            ),
        ),
        needs=("created", "duplicate"),
        only_new=True,
    ),
    Probe(
        "other_contact",
        "the same customer over another channel, with both contacts",
        "an entry for the phone number or the push token",
        (
            Ask(
                _other_contact,
                (Look(("same_customer", "unique"), signs.fate, (*_DUPLICATE, "customer_id")),),
            ),
        ),
        needs=("created", "duplicate"),
        lacks=_lacks_contact,
        only_new=True,
    ),
    Probe(
        "known_customer",
        "the customer over another channel, by the id that the first answer told",
        "an entry for the phone number or the push token",
        (
            Ask(
                _known_customer,
                (
                    Look(
                        ("customer_id", "unique"),
                        signs.fate,
                        (*_DUPLICATE, "same_customer", "market"),
                    ),
                ),
            ),
        ),
        needs=("created", "duplicate"),
        lacks=_lacks_two_contacts,
        only_new=True,
    ),
    Probe(
        "body_limit",
        "the intent again, filled up with a megabyte of blanks, and one blank more",
        _ANOTHER,
        tuple(
            Ask(
                _content(partial(_padded, size=size)),
                (
                    Look(
                        ("body_limit",),
                        signs.echo,
                        (*_JSON_BODY, "error_body"),
                        numbers=_around(BODY_BYTES),
                    ),
                ),
            )
            for size in (BODY_BYTES, BODY_BYTES + 1)
        ),
        needs=("created", "duplicate"),
        burdens="it sends two megabytes; ask for it with --only body_limit",
    ),
    Probe(
        "unknown_variant",
        "the intent, for a made-up variant",
        "one entry for that variant, if the service takes it",
        (
            Ask(
                _content(lambda subject: subject.body(subject.intent(**_no_variant(subject)))),
                (Look(("unknown_variant",), signs.status),),
            ),
        ),
    ),
)

_NEEDS_POINTS: Final = "it would use up the points that the shop's storefront needs"

NOT_ASKED: Final = {
    "wrong_product": "the customer waits for the variant by then, and a refusal could mean that",
    "test_addresses": "it takes somebody else's address",
    "id_range": "no variant has such an id, so a refusal could mean that",
    "email_form": "it may leave an entry that nobody can be reached by",
    "name_plan": "it may change the name that the shop has of the customer",
    "rate_limited_body": _NEEDS_POINTS,
    "rate_enforced": _NEEDS_POINTS,
    "rate_refused": _NEEDS_POINTS,
    "rate_read": "only intents are sent, and no intent is read",
    "rate_window": "answers tell when a window ends, not when it began; to see it takes minutes",
    "rate_window_start": "it takes minutes, and a shop that nobody else uses meanwhile",
}
