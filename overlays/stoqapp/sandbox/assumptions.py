"""Everything that the sandbox takes for granted about the service, in one table.

`openapi.json` says little about answers. What fills the gaps stands here and nowhere else:
each entry says what is taken for granted, who says so, and which code rests on it.
"""

from typing import Final, Literal

from attrs import field, frozen

Trust = Literal["vendor", "observed", "assumed"]


@frozen
class Assumption:
    """One thing taken for granted.

    Attributes:
        name: What it is called, unique in `ASSUMPTIONS`.
        assumed: How the service is taken to behave.
        trust: ``"vendor"`` where the vendor's documentation says so, ``"observed"`` where an
            integrator tried it against the real service, ``"assumed"`` where nobody has said.
        used_in: The code that rests on it, as dotted names below ``stoqapp.sandbox``.
        value: The constant that the code reads, where there is one.
    """

    name: str
    assumed: str
    trust: Trust
    used_in: tuple[str, ...]
    value: int | str | bool | None = field(default=None, kw_only=True)


REFUSED_STATUS: Final = 400
BROKEN_RULE_STATUS: Final = 200
DUPLICATE_STATUS: Final = 200
UNKNOWN_SHOP_STATUS: Final = 404
NOT_FOUND: Final = "Not found"
LARGEST_BODY_BYTES: Final = 1024 * 1024
DEEPEST_NESTING: Final = 100
INTENT_TYPE: Final = "back_in_stock"
OPTIN_CONFIRMED: Final = False
ACCEPTS_MARKETING: Final = False
POINTS_PER_WINDOW: Final = 360
WINDOW_SECONDS: Final = 60
READ_POINTS: Final = 1
WRITE_POINTS: Final = 2

ASSUMPTIONS: Final = (
    Assumption(
        "refused_body",
        "A body or header that breaks the schema is answered 400, which the spec lists without"
        ' a body; here it is {"errors": [...]}, like the 200, with every fault at once.',
        "assumed",
        ("service.Service.create_intent",),
        value=REFUSED_STATUS,
    ),
    Assumption(
        "json_text",
        "Only UTF-8 without a byte order mark is read; NaN, Infinity, numbers beyond a double,"
        " integers of more digits than Python reads (4300) and halves of surrogate pairs are"
        " refused (400); of a name that is there twice, the last one counts.",
        "assumed",
        ("payload.payload_from_bytes",),
    ),
    Assumption(
        "nesting",
        "JSON nested deeper than this is refused (400), which is where Ruby's own reader stops.",
        "assumed",
        ("payload.payload_from_bytes",),
        value=DEEPEST_NESTING,
    ),
    Assumption(
        "body_limit",
        "A body of more bytes than this is answered 413.",
        "assumed",
        ("app.app_for",),
        value=LARGEST_BODY_BYTES,
    ),
    Assumption(
        "content_type_parameters",
        "A media type with parameters (application/json; charset=utf-8) and in any case is"
        " taken, though the spec's enum names the bare one.",
        "assumed",
        ("judge.Judge.header_faults",),
    ),
    Assumption(
        "numbers",
        "1.0 and 1e2 are no integers, as OpenAPI 3.0 has it, and neither is true.",
        "assumed",
        ("judge.Judge.body_faults",),
    ),
    Assumption(
        "unknown_shop",
        "Every host name is a shop that uses STOQ, in any case of letters. Anything else in the"
        " header is an unknown shop.",
        "observed",
        ("service.Service.create_intent",),
        value=UNKNOWN_SHOP_STATUS,
    ),
    Assumption(
        "unknown_variant",
        "Every variant and product id exists. (The service was seen to answer 404 for a variant"
        " that it does not know.)",
        "assumed",
        ("service.Service.create_intent",),
    ),
    Assumption(
        "missing_variant",
        "A body without the ids is judged by the schema (400). (The service was seen to answer"
        " 404 to a body that held a SKU alone.)",
        "assumed",
        ("judge.Judge.body_faults",),
    ),
    Assumption(
        "broken_rule",
        "A body that fits the schema and breaks a rule stated in prose (the channel's contact,"
        " the form of a phone number) is answered 200 with errors, and nothing is stored.",
        "assumed",
        ("service.Service.create_intent",),
        value=BROKEN_RULE_STATUS,
    ),
    Assumption(
        "unique",
        "One customer has one intent for a variant in a market, whatever its channel.",
        "vendor",
        ("store.Store.add",),
    ),
    Assumption(
        "duplicate",
        "An intent that is there already is answered 200 with errors; the first stays as it is,"
        " also its quantity.",
        "assumed",
        ("service.Service.create_intent",),
        value=DUPLICATE_STATUS,
    ),
    Assumption(
        "same_customer",
        "Within a shop, two requests are from the same customer when the contact that their"
        " channel uses is the same: the email in any case of letters, the phone, the push token.",
        "assumed",
        ("store.Store.add",),
    ),
    Assumption(
        "customer_id",
        "A customer.id that the shop got in an earlier answer names that customer, before any"
        " contact does; any other is passed over.",
        "assumed",
        ("store.Store.add",),
    ),
    Assumption(
        "market",
        "intent.shopify_market_id is the market; no market is a market of its own, and the"
        " customer's market plays no part.",
        "assumed",
        ("store.Store.add",),
    ),
    Assumption(
        "created_intent",
        "The created intent has the fields that the vendor documents for intents elsewhere;"
        " contacts come back as they were sent, ids of shop objects as integers, and ids of"
        " STOQ's own as strings that mean nothing.",
        "assumed",
        ("store.Store.add",),
    ),
    Assumption(
        "intent_type",
        "The type of an intent made over the API.",
        "assumed",
        ("store.Store.add",),
        value=INTENT_TYPE,
    ),
    Assumption(
        "optin_confirmed",
        "A new intent is not confirmed by opt-in.",
        "assumed",
        ("store.Store.add",),
        value=OPTIN_CONFIRMED,
    ),
    Assumption(
        "accepts_marketing",
        "What a customer accepts who was not asked.",
        "assumed",
        ("store.Store.add",),
        value=ACCEPTS_MARKETING,
    ),
    Assumption(
        "error_body",
        'Answers without messages of their own are {"error": "..."}, as the 404 was seen to be.',
        "observed",
        ("answers.error_answer",),
        value=NOT_FOUND,
    ),
    Assumption(
        "rate_limited_body",
        "A 429 carries Retry-After in seconds, and error, retry_after and message in its body.",
        "vendor",
        ("answers.rate_limited_answer",),
    ),
    Assumption(
        "rate_points",
        "Points that a shop has in a window.",
        "vendor",
        ("budget.Budget.spend",),
        value=POINTS_PER_WINDOW,
    ),
    Assumption(
        "rate_window",
        "Seconds of a window.",
        "vendor",
        ("budget.Budget.spend",),
        value=WINDOW_SECONDS,
    ),
    Assumption(
        "rate_read",
        "Points that a GET costs.",
        "vendor",
        ("budget.Budget.spend",),
        value=READ_POINTS,
    ),
    Assumption(
        "rate_write",
        "Points that a request with any other method costs.",
        "vendor",
        ("budget.Budget.spend",),
        value=WRITE_POINTS,
    ),
    Assumption(
        "rate_keyless",
        "Creating an intent costs points too, though it needs no key, and so does a request that"
        " is refused for what it holds; requests that name no shop share one budget.",
        "assumed",
        ("budget.Budget.spend",),
    ),
    Assumption(
        "rate_window_start",
        "Windows are fixed and the same for all shops: they begin at full minutes.",
        "assumed",
        ("budget.Budget.spend",),
    ),
    Assumption(
        "rate_counted_only",
        "Points are counted and shown; a request beyond them is refused (429) only by a sandbox"
        " that was given a rate limit, which may have other points and another window.",
        "assumed",
        ("budget.Budget.spend", "server.Sandbox", "server.serve"),
    ),
    Assumption(
        "rate_refused_is_free",
        "A request that is refused for want of points costs none, is not judged, and uses up no"
        " scripted answer.",
        "assumed",
        ("budget.Budget.spend", "app.app_for"),
    ),
)
