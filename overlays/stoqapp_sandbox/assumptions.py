"""Everything that the sandbox takes for granted about the service, in one table.

`openapi.json` says little about answers. What fills the gaps stands here and nowhere else:
each entry says what it decides, who vouches for the default, what the service might do
instead, and which code rests on it. `Assumptions` is what that code asks.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Self

from attrs import Factory, field, frozen

from stoqapp_sandbox.errors import UnusableOptionError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z_-]{,30}")

Trust = Literal["vendor", "observed", "assumed"]

NOT_FOUND: Final = "Not found"
TEST_DOMAINS: Final = frozenset({"example.com", "mailinator.com"})


@frozen
class Bounds:
    """The numbers that an entry may have.

    Attributes:
        default: The number unless another is chosen.
        least: The smallest one.
        most: The largest one.
        whole: Whether fractions are refused.
    """

    default: int
    least: float
    most: float
    whole: bool = True

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.least:g} to {self.most:.10g}"


@frozen
class Assumption:
    """One thing taken for granted. It has choices or bounds.

    Attributes:
        name: What it is called, unique in `ASSUMPTIONS`.
        about: What it decides.
        trust: How far its default can be trusted: ``"vendor"`` where the vendor's documentation
            says so, ``"observed"`` where somebody saw the real service do it, ``"assumed"`` where
            nobody has said.
        used_in: The code that rests on it, as dotted names below ``stoqapp_sandbox``.
        choices: What the service may do, by name; the first one is the default.
        bounds: The numbers it may have.
    """

    name: str
    about: str
    trust: Trust
    used_in: tuple[str, ...]
    choices: Mapping[str, str] = field(factory=dict, kw_only=True)
    bounds: Bounds | None = field(default=None, kw_only=True)

    @property
    def default(self) -> str | float:
        """The choice or number that holds unless another is given."""
        return self.bounds.default if self.bounds else next(iter(self.choices))

    def value_from(self, given: object) -> str | float:
        """Return the choice or number that *given* names, a str or a number.

        Raises:
            UnusableOptionError: It names none; the message lists what can be given.
        """
        if self.bounds:
            return self._number_from(given, self.bounds)
        choice = given if isinstance(given, str) else repr(given)
        if choice not in self.choices:
            raise UnusableOptionError(
                f"assumption {self.name} must be one of {', '.join(self.choices)}"
            )
        return choice

    def _number_from(self, given: object, bounds: Bounds) -> float:
        try:
            if isinstance(given, bool) or not isinstance(given, str | int | float):
                raise TypeError  # noqa: TRY301
            number = int(given) if bounds.whole and isinstance(given, str) else float(given)
            if not bounds.least <= number <= bounds.most or (bounds.whole and number % 1):
                raise ValueError  # noqa: TRY301
        except (TypeError, ValueError, OverflowError):
            raise UnusableOptionError(f"assumption {self.name} must be {bounds}") from None
        return int(number) if number == math.floor(number) else number


_STATUS_BODIES: Final = {
    "errors": '{"errors": ["...", ...]}',
    "error": '{"error": "..."}',
    "message": '{"message": "..."}',
    "empty": "No body.",
}
_NO_YES: Final = {"no": "No.", "yes": "Yes."}
_TAKEN: Final = {
    "taken": "It is taken.",
    "200": "200 with errors, and nothing is stored.",
    "400": "400 with a message, and nothing is stored.",
    "422": "422 with a message, and nothing is stored.",
}
_CREATE: Final = ("service.Service.create_intent",)
_ADD: Final = ("store.Store.add",)
_SPEND: Final = ("budget.Budget.spend",)

ASSUMPTIONS: Final = (
    Assumption(
        "refused_status",
        "The status for a body or header that breaks the schema. The spec lists 400.",
        "assumed",
        _CREATE,
        choices={"400": "400", "422": "422, as Rails has it for what cannot be processed."},
    ),
    Assumption(
        "refused_body",
        "The body of that answer, and of every other 4xx that has messages for the fields, with"
        " all faults at once. The spec lists the 400 without a body.",
        "assumed",
        ("answers.messages_answer",),
        choices=_STATUS_BODIES,
    ),
    Assumption(
        "json_text",
        "The status for what is no JSON. Only UTF-8 without a byte order mark is read; NaN,"
        " Infinity, numbers beyond a double, integers of more digits than Python reads (4300)"
        " and halves of surrogate pairs are none; of a name that is there twice, the last counts.",
        "assumed",
        _CREATE,
        choices={"400": "400", "422": "422", "500": "500"},
    ),
    Assumption(
        "nesting",
        "JSON nested deeper than this is taken for no JSON; Ruby's own reader stops at 100.",
        "assumed",
        ("service.Service.create_intent", "payload.payload_from_bytes"),
        bounds=Bounds(100, 2, 200),
    ),
    Assumption(
        "body_limit",
        "A body of more bytes than this is answered 413.",
        "assumed",
        ("app.app_for",),
        bounds=Bounds(1024 * 1024, 1024, 64 * 1024 * 1024),
    ),
    Assumption(
        "content_type_parameters",
        "Which Content-Type passes; the spec's enum names the bare application/json.",
        "assumed",
        ("judge.Judge.header_faults",),
        choices={
            "taken": "The media type in any case, also with parameters (; charset=utf-8).",
            "refused": "What the enum names, to the letter.",
            "ignored": "Anything, and none at all.",
        },
    ),
    Assumption(
        "numbers",
        "What passes for an integer.",
        "assumed",
        ("judge.Judge.body_as_read",),
        choices={
            "strict": "Digits alone: 1.0 and 1e2 are none, as OpenAPI 3.0 has it, nor is true.",
            "integral": "1.0 and 1e2 as well.",
            "text": 'These, and digits in a string ("11"), as Rails reads them.',
        },
    ),
    Assumption(
        "missing_shop",
        "What a request without the shop's header is taken for.",
        "assumed",
        _CREATE,
        choices={
            "refused": "A required header that is missing (refused_status).",
            "unknown": "An unknown shop (unknown_shop).",
        },
    ),
    Assumption(
        "unknown_shop",
        "The status for a shop that is none. Every host name, in any case of letters, is a shop"
        " unless the sandbox is told which there are.",
        "observed",
        _CREATE,
        choices={"404": "404", "401": "401", "403": "403"},
    ),
    Assumption(
        "unknown_variant",
        "What happens to an intent for a variant that the shop does not have. Every variant"
        " exists unless the sandbox was given a catalog.",
        "observed",
        _CREATE,
        choices={
            "404": "404",
            "422": "422 with a message.",
            "200": "200 with errors.",
            "created": "It is created.",
        },
    ),
    Assumption(
        "wrong_product",
        "The same for a variant that belongs to another product than the request says.",
        "assumed",
        _CREATE,
        choices={
            "404": "404",
            "422": "422 with a message.",
            "200": "200 with errors.",
            "created": "It is created, with the product of the request.",
        },
    ),
    Assumption(
        "missing_variant",
        "What a body without the variant's id is answered. (An integrator saw a 404 for a body"
        " that held a SKU alone; the schema says that it is a bad request.)",
        "assumed",
        _CREATE,
        choices={
            "refused": "As any body that breaks the schema (refused_status).",
            "404": "404, as for a variant that is not found.",
        },
    ),
    Assumption(
        "id_range",
        "What becomes of an intent with an id that no variant, product or market can have: below"
        " 1, or beyond 64 bits. Where it is taken, it is an id like any other.",
        "assumed",
        _CREATE,
        choices=_TAKEN,
    ),
    Assumption(
        "least_quantity",
        "What becomes of an intent for less than one item.",
        "assumed",
        _CREATE,
        choices=_TAKEN,
    ),
    Assumption(
        "email_form",
        "What becomes of an intent whose customer.email is no address: without an @ between two"
        " other characters, or with a blank in it.",
        "assumed",
        _CREATE,
        choices=_TAKEN,
    ),
    Assumption(
        "name_plan",
        "What becomes of an intent with a customer.name; the spec says that it takes a shop on the"
        " standard plan or above. Where it is taken, the shop is on such a plan.",
        "assumed",
        _CREATE,
        choices=_TAKEN,
    ),
    Assumption(
        "broken_rule",
        "What a body is answered that fits the schema and breaks a rule stated in prose (the"
        " channel's contact, the form of a phone number).",
        "assumed",
        _CREATE,
        choices={
            "200": "200 with errors, and nothing is stored.",
            "400": "400 with messages, and nothing is stored.",
            "422": "422 with messages, and nothing is stored.",
            "created": "The intent is created all the same.",
        },
    ),
    Assumption(
        "test_addresses",
        "Whether an email address at a domain that the vendor's admin import blocks, like"
        f" {' or '.join(sorted(TEST_DOMAINS))}, is taken.",
        "assumed",
        _CREATE,
        choices={"taken": "It is.", "refused": "It is answered as a broken rule (broken_rule)."},
    ),
    Assumption(
        "unique",
        "What a customer can have but one intent for.",
        "vendor",
        _ADD,
        choices={
            "market": "A variant in a market, whatever the channel.",
            "variant": "A variant, whatever the market.",
            "channel": "A variant in a market over one channel.",
            "off": "Nothing: no intent is a duplicate.",
        },
    ),
    Assumption(
        "duplicate",
        "What an intent is answered that is there already.",
        "assumed",
        _CREATE,
        choices={
            "200": "200 with errors; the first stays as it is, also its quantity.",
            "400": "400 with a message; the first stays as it is.",
            "409": "409 with a message; the first stays as it is.",
            "422": "422 with a message; the first stays as it is.",
            "201": "201 with the first intent as it is.",
            "201-updated": "201 with the first intent, which has the new quantity from now on.",
        },
    ),
    Assumption(
        "duplicate_words",
        "In which words a duplicate is told. Clients can tell one only by them.",
        "assumed",
        _CREATE,
        choices={
            "waits": "That the customer already waits.",
            "taken": "The words of Rails: has already been taken.",
            "exists": "That the intent already exists.",
            "vague": "Words that could mean anything.",
        },
    ),
    Assumption(
        "processed_body",
        "What errors looks like in a 200. The spec says: a list of strings.",
        "vendor",
        ("answers.messages_answer",),
        choices={
            "list": '{"errors": ["...", ...]}',
            "text": '{"errors": "..."}, one string',
            "fields": '{"errors": {"customer.email": ["..."]}}, by field, as Rails has it',
            "error": '{"error": "..."}',
        },
    ),
    Assumption(
        "same_customer",
        "When two requests to a shop are from the same customer.",
        "assumed",
        _ADD,
        choices={
            "channel": "The contact that their channel uses is the same: the email in any case of"
            " letters, the phone, the push token.",
            "exact": "As before, and the case of letters counts in an email, too.",
            "any": "Any of their contacts is the same.",
        },
    ),
    Assumption(
        "customer_id",
        "What customer.id does.",
        "assumed",
        ("service.Service.create_intent", "store.Store.add"),
        choices={
            "known": "One that the shop got in an earlier answer names that customer, before any"
            " contact does; any other is passed over.",
            "ignored": "Nothing.",
            "404": "As the first, and one that the shop never got is answered 404.",
        },
    ),
    Assumption(
        "market",
        "Which market an intent is for. None is a market of its own.",
        "assumed",
        _ADD,
        choices={
            "intent": "intent.shopify_market_id; the customer's market plays no part.",
            "customer": "Where the intent names none, customer.shopify_market_id.",
        },
    ),
    Assumption(
        "created_intent",
        "What is told of a created intent.",
        "assumed",
        _CREATE,
        choices={
            "full": "The fields that the vendor documents for intents elsewhere; contacts come"
            " back as they were sent, ids of shop objects as integers.",
            "id": "Its id alone.",
        },
    ),
    Assumption(
        "created_errors",
        "What a 201 holds beside the intents.",
        "assumed",
        _CREATE,
        choices={"empty": "An empty list of errors.", "absent": "Nothing."},
    ),
    Assumption(
        "ids",
        "The type of STOQ's own ids (id, customer_id), which mean nothing.",
        "vendor",
        _ADD,
        choices={"text": "Strings.", "number": "Integers."},
    ),
    Assumption(
        "intent_type",
        "The type of an intent made over the API. It decides nothing.",
        "assumed",
        _ADD,
        choices={
            "back_in_stock": "back_in_stock",
            "preorder": "preorder",
            "absent": "The intent has no type.",
        },
    ),
    Assumption(
        "optin_confirmed",
        "Whether a new intent counts as confirmed by opt-in.",
        "assumed",
        _ADD,
        choices=_NO_YES,
    ),
    Assumption(
        "accepts_marketing",
        "What a customer accepts who was not asked.",
        "assumed",
        _ADD,
        choices={**_NO_YES, "null": "null: nobody knows."},
    ),
    Assumption(
        "error_body",
        "The body of an answer that is about no field: 404, 405, 413.",
        "observed",
        ("answers.error_answer",),
        choices={name: _STATUS_BODIES[name] for name in ("error", "errors", "message", "empty")},
    ),
    Assumption(
        "rate_limited_body",
        "Where a 429 says how many seconds are left.",
        "vendor",
        ("answers.rate_limited_answer",),
        choices={
            "both": "In the header Retry-After, and in its body as retry_after, beside error and"
            " message.",
            "header": "In the header alone.",
            "body": "In the body alone.",
        },
    ),
    Assumption(
        "rate_headers",
        "Whether answers carry X-RateLimit-Limit, -Remaining and -Reset.",
        "vendor",
        ("budget.Balance.headers",),
        choices={"shown": "All do.", "absent": "None does."},
    ),
    Assumption(
        "rate_points",
        "Points that a shop has in a window.",
        "vendor",
        _SPEND,
        bounds=Bounds(360, 1, 1_000_000_000),
    ),
    Assumption(
        "rate_window",
        "Seconds of a window.",
        "vendor",
        _SPEND,
        bounds=Bounds(60, 0.001, 86_400, whole=False),
    ),
    Assumption(
        "rate_read", "Points that a GET costs.", "vendor", _SPEND, bounds=Bounds(1, 0, 1_000_000)
    ),
    Assumption(
        "rate_write",
        "Points that a request with any other method costs.",
        "vendor",
        _SPEND,
        bounds=Bounds(2, 0, 1_000_000),
    ),
    Assumption(
        "rate_keyless",
        "Whether creating an intent costs points, though it needs no key.",
        "assumed",
        _SPEND,
        choices={
            "counts": "It does, also when it is refused for what it holds; requests that name no"
            " shop share one budget.",
            "free": "It does not.",
        },
    ),
    Assumption(
        "rate_window_start",
        "When a window begins.",
        "assumed",
        _SPEND,
        choices={
            "aligned": "At multiples of its length (full minutes), for all shops alike.",
            "request": "With a shop's first request after the last one ended.",
        },
    ),
    Assumption(
        "rate_enforced",
        "Whether a request beyond the points is refused (429), or points are only counted and"
        " shown. The service refuses; tests that are about something else need not hit it.",
        "assumed",
        _SPEND,
        choices=_NO_YES,
    ),
    Assumption(
        "rate_refused",
        "Whether a request costs points that is refused for want of them. It is not judged, and"
        " uses up no scripted answer.",
        "assumed",
        _SPEND,
        choices={"free": "It costs none.", "costs": "It costs what it would have cost."},
    ),
)

_BY_NAME: Final = {assumption.name: assumption for assumption in ASSUMPTIONS}


@frozen
class Assumptions:
    """What a sandbox takes for granted: a choice or number for each entry of `ASSUMPTIONS`."""

    _values: Mapping[str, str | float] = Factory(
        lambda: {entry.name: entry.default for entry in ASSUMPTIONS}
    )

    @classmethod
    def of(cls, given: Mapping[str, Any] | None = None) -> Self:
        """Return the defaults with what is *given* by name, like ``{"duplicate": "409"}``.

        A choice is given by its name (``409`` for ``"409"`` is fine), a number as such or as
        text.

        Raises:
            UnusableOptionError: An entry or a choice is unknown; the message lists those there are.
        """
        if not isinstance(given, Mapping | None):
            raise UnusableOptionError('assume must be like {"duplicate": "409"}')
        chosen = dict(cls()._values)
        for name, value in (given or {}).items():
            if name not in _BY_NAME:
                raise UnusableOptionError(
                    f"{_as_name(name)} is no assumption: there are {', '.join(chosen)}"
                )
            chosen[name] = _BY_NAME[name].value_from(value)
        return cls(chosen)

    def __getitem__(self, name: str) -> str:
        """Return the name of the choice for the entry *name*."""
        return str(self._values[name])

    def number(self, name: str) -> float:
        """Return the number of the entry *name*."""
        return float(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def keys(self) -> Iterator[str]:
        """Return the names, so that ``dict(assumptions)`` gives what `of` takes."""
        return iter(self)

    def report(self) -> dict[str, dict[str, Any]]:
        """Return the whole table by name, in values of JSON.

        Each entry has ``value``, ``default``, ``about`` and ``trust``; and ``choices`` (their
        meaning by name), or ``least`` and ``most``.
        """
        return {entry.name: self._report_of(entry) for entry in ASSUMPTIONS}

    def _report_of(self, entry: Assumption) -> dict[str, Any]:
        reported: dict[str, Any] = {
            "value": self._values[entry.name],
            "default": entry.default,
            "about": entry.about,
            "trust": entry.trust,
        }
        if entry.bounds:
            return reported | {"least": entry.bounds.least, "most": entry.bounds.most}
        return reported | {"choices": entry.choices}


def _as_name(given: object) -> str:
    """Return what was given as a name, or "what was given" where it may hold something else."""
    is_name = isinstance(given, str) and _NAME.fullmatch(given)
    return repr(given) if is_name else "what was given"


DEFAULTS: Final = Assumptions()
