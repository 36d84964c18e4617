"""What people see before anything is sent: numbers and examples, with contacts masked."""

import re
from typing import Any, Final

from stoqapp.bulk.cells import masked
from stoqapp.bulk.judge import Verdict
from stoqapp.bulk.mapping import LEFT_OUT, STATUSES, ColumnMapping
from stoqapp.bulk.plan import Plan
from stoqapp.bulk.read import Source
from stoqapp.headers import POINTS_PER_WINDOW, WINDOW_SECONDS, WRITE_POINTS
from stoqapp.rules import CONTACT_OF_CHANNEL

EXAMPLES: Final = 5
_FIRST: Final = "verdict = ? AND reason IS ? ORDER BY row LIMIT ?"
_READ: Final = ("form", "encoding", "delimiter", "header_line", "note")
# What a budget keeps its points beyond a window.
_SLACK: Final = 1.03
NOTES: Final = (
    "A shop with opt-in confirmation or alerts may send a mail for each intent.",
    "The API takes no date and no 'GDPR confirmed': rows go out oldest first instead."
    " STOQ's own upload takes both; --template writes a file for it.",
)
_MAY_TELL_WHO_LEFT: Final = re.compile("stat|notif|subscri|opt.?(in|out)|sent|active", re.I)
_UNUSED: Final = (
    "The column {0!r} is not used. If it says who waits no more, name it, like --map {0!r}=status."
)
# A person chooses: pasted as it is, none of them is taken.
_VALUES: Final = {
    "status": "|".join(STATUSES),
    "country": "COUNTRY",
    "market": "ID",
    "channel": "email|sms|push",
    "accepts_marketing": "true|false",
    "notified": "yes|no",
    "unsubscribed": "yes|no",
}


def preview(
    plan: Plan, source: Source, mapping: ColumnMapping, share: float | None
) -> dict[str, Any]:
    """Return the preview of a plan as JSON has it; texts are for people.

    Args:
        plan: What would happen.
        source: The file.
        mapping: That the plan was made with.
        share: Of the rate budget, None where nothing is paced.
    """
    left = plan.left()
    used = {column: target for target, column in plan.fields.items()}
    unused = [
        name for name in source.columns if name not in used and mapping.field_of(name) != LEFT_OUT
    ]
    longest = max(0, max(left.values(), default=0) - 1)
    windows = 0 if share is None else longest // (int(POINTS_PER_WINDOW * share) // WRITE_POINTS)
    return {
        "file": source.path.name,
        "read": {name: getattr(source, name) for name in _READ} | {"dates": plan.dates},
        "mapping": mapping.name,
        "columns": used,
        "unused_columns": unused,
        "rows": plan.records,
        "verdicts": [
            {
                "verdict": verdict,
                "reason": reason,
                "count": count,
                "examples": [*map(_example, plan.find(_FIRST, verdict, reason, EXAMPLES))],
            }
            for (verdict, reason), count in plan.counts().items()
        ],
        "not_understood": [
            {"field": target, "text": masked(text), "count": count, "add": _advice(target, text)}
            for target, texts in plan.unknown.items()
            for text, count in texts.most_common(20)
        ],
        "in_stock_now": _in_stock(plan),
        "send": sum(left.values()),
        "seconds": windows * WINDOW_SECONDS * _SLACK,
        "notes": [
            *(_UNUSED.format(name) for name in unused if _MAY_TELL_WHO_LEFT.search(name)),
            *NOTES,
        ],
    }


def _example(one: Verdict) -> str:
    if not one.body:
        return ": ".join(filter(None, [f"line {one.line}", one.advice]))
    intent, customer = one.body["intent"], one.body["customer"]
    channel = intent["channel"]
    contact = "***" if channel == "push" else masked(customer[CONTACT_OF_CHANNEL[channel]])
    what = f"{intent['quantity']} of variant {one.variant} {one.title}"
    return f"line {one.line}: {channel} {contact}: {what}".strip()


def _advice(target: str, text: str) -> str:
    if target == "date":
        return "such a row goes last"
    return f"--value '{target}:{masked(text)}={_VALUES.get(target, 'VALUE')}'"


def _in_stock(plan: Plan) -> int | None:
    """Return how many variants that people wait for are in stock now, None if it is not known."""
    if plan.catalog is None or all(one.available is None for one in plan.catalog.by_id.values()):
        return None
    found = {one.variant for one in plan.waiting()}
    return sum(bool(one.available) for one in plan.catalog.by_id.values() if one.id in found)
