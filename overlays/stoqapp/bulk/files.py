"""Files for people: rows to mend, every verdict, and STOQ's own import template."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from filecmp import cmp
from itertools import chain
from pathlib import Path
from typing import Any, Final

from stoqapp.bulk.plan import Plan
from stoqapp.bulk.read import ImportFileError

_VERDICT: Final = ("line", "verdict", "reason", "shop", "body")
_TEMPLATE: Final = (
    *("SKU", "Email", "Phone", "Name", "Market", "Quantity"),
    *("GDPR confirmed", "Accepts marketing", "Language", "Date"),
)


def write_verdicts(path: Path, plan: Plan) -> None:
    """Write every verdict with its request, one JSON object a line."""
    with open_private(path) as file:
        for one in plan:
            row = {name: getattr(one, name) or None for name in _VERDICT}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_rejected(file: Path, plan: Plan, *, begins: bool = False) -> Path | None:
    """Write the rows of *file* to mend beside it: their cells as they were, line and reason.

    When a run *begins*, what is there from an earlier one, and may be mended by now, is kept with
    ``.bak`` at its end; return where.
    """
    path = file.with_name(f"{file.name}.rejected.csv")
    new = Path(f"{path}.new")
    rows = ([*texts, str(line), f"{why}: {advice}"] for line, why, advice, texts in plan.rejected())
    first = next(rows, None)
    if first:
        head = [*plan.columns, "stoqapp line", "stoqapp reason"]
        _write_lines(new, chain([head, first], rows))
    kept = None
    if begins and path.exists() and not (first and cmp(path, new, shallow=False)):
        kept = path.replace(f"{path}.bak")
    if first:
        new.replace(path)
    else:
        path.unlink(missing_ok=True)
    return kept


def write_template(path: Path, plan: Plan) -> None:
    """Write what would be sent in STOQ's own import template."""
    _write_lines(path, _template_lines(plan))


def _template_lines(plan: Plan) -> Iterator[list[str]]:
    yield list(_TEMPLATE)
    for one in plan.waiting():
        intent, customer = one.body["intent"], one.body["customer"]
        agreed = customer.get("accepts_marketing")
        day = "" if one.date is None else datetime.fromtimestamp(one.date, UTC).strftime("%d/%m/%Y")
        phone = customer.get("phone", "")
        yield [
            str(one.variant),
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
    """Open a text file for writing that only its owner can read.

    Raises:
        ImportFileError: It cannot be written.
    """
    try:
        path.touch(mode=0o600)
        path.chmod(0o600)
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ImportFileError(
            f"{path} cannot be written ({error.strerror}): work in a folder that you may write to"
        ) from None
