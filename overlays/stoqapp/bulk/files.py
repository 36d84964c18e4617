"""Files for people: rows to mend, every verdict, and STOQ's own import template."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from stoqapp.bulk.plan import Plan

_VERDICT: Final = ("line", "verdict", "reason", "shop", "body")
_TEMPLATE: Final = (
    *("SKU", "Email", "Phone", "Name", "Market", "Quantity"),
    *("GDPR confirmed", "Accepts marketing", "Language", "Date"),
)


def write_verdicts(path: Path, plan: Plan) -> None:
    """Write every verdict with its request, one JSON object a line."""
    with open_private(path) as file:
        for one in plan:
            row = {name: getattr(one, name) for name in _VERDICT}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_rejected(file: Path, plan: Plan) -> None:
    """Write the rows of *file* to mend beside it: their cells as they were, line and reason."""
    path = file.with_name(f"{file.name}.rejected.csv")
    rows = ([*texts, str(line), f"{why}: {advice}"] for line, why, advice, texts in plan.rejected())
    first = next(rows, None)
    if first is not None:
        head = [*plan.columns, "stoqapp line", "stoqapp reason"]
        _write_lines(path, chain([head, first], rows))
    elif path.exists():
        path.unlink()


def write_template(path: Path, plan: Plan) -> None:
    """Write what would be sent in STOQ's own import template."""
    _write_lines(path, _template_lines(plan))


def _template_lines(plan: Plan) -> Iterator[list[str]]:
    yield list(_TEMPLATE)
    for one in plan.waiting():
        intent, customer = (one.body or {})["intent"], (one.body or {})["customer"]
        agreed = customer.get("accepts_marketing")
        day = "" if one.date is None else datetime.fromtimestamp(one.date, UTC).strftime("%d/%m/%Y")
        phone = customer.get("phone", "")
        yield [
            str(intent["shopify_variant_id"]),
            customer.get("email", ""),
            f"+{phone}" if phone else "",
            customer.get("name", ""),
            str(intent.get("shopify_market_id", "")),
            str(intent["quantity"]),
            one.gdpr or "",
            "" if agreed is None else str(agreed).lower(),
            customer.get("locale", ""),
            day,
        ]


def _write_lines(path: Path, lines: Iterable[Iterable[str]]) -> None:
    with open_private(path) as file:
        csv.writer(file).writerows(lines)


def open_private(path: Path) -> Any:
    """Open a text file for writing that only its owner can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path.open("w", encoding="utf-8", newline="")
