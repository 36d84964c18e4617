"""Short ways to plan a file that a test writes."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stoqapp.bulk.catalog import Catalog, Variant
from stoqapp.bulk.judge import Choices, Verdict
from stoqapp.bulk.mapping import ColumnMapping, mapping_from_options, preset_for
from stoqapp.bulk.plan import Plan, plan
from stoqapp.bulk.read import open_source

SHOP = "demo.myshopify.com"
CATALOG = Catalog(
    [
        Variant(45100000000101, 8450000000011, "AB-1", "White / S", "Linen Shirt", "Lane", True),
        Variant(45100000000102, 8450000000011, "00731", "White / M", "Linen Shirt", "Lane", False),
        Variant(45100000000201, 8450000000012, "TWO", "", "Oak Stool"),
        Variant(45100000000301, 8450000000013, "TWO", "Grey", "Wool Throw"),
    ]
)


def csv_of(*rows: Sequence[str]) -> bytes:
    """Return rows as a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def planned(
    folder: Path,
    content: bytes,
    *,
    options: ColumnMapping | None = None,
    catalog: Catalog | None = CATALOG,
    encoding: str | None = None,
    **choices: Any,
) -> Plan:
    """Plan a file that holds *content*."""
    path = folder / "list.csv"
    path.write_bytes(content)
    options = options or ColumnMapping()
    source = open_source(path, options.known, encoding=encoding)
    mapping = (preset_for(source.columns) or ColumnMapping()).merged(options)
    return plan(source, mapping, catalog, Choices(**{"shop": SHOP} | choices))


def verdicts(folder: Path, content: bytes, **options: Any) -> list[Verdict]:
    """Return the verdicts of a file that holds *content*."""
    return list(planned(folder, content, **options))


def of_row(folder: Path, row: dict[str, str], *given: str, **choices: Any) -> Verdict:
    """Return the one verdict of one row; *given* are ``FIELD:TEXT=VALUE``."""
    whole = {"Email": "ada@example.com", "Variant ID": "45100000000201"} | row
    used = {name: text for name, text in whole.items() if text != "(no column)"}
    options = mapping_from_options((), given, choices.pop("constants", ()))
    content = csv_of(list(used), list(used.values()))
    (verdict,) = verdicts(folder, content, options=options, **choices)
    return verdict
