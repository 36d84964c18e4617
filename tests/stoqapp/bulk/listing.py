"""Short ways to plan a file that a test writes."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stoqapp.bulk.catalog import Catalog, Variant
from stoqapp.bulk.judge import Choices, Verdict
from stoqapp.bulk.mapping import mapping_for
from stoqapp.bulk.plan import Plan, plan

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
    *given: str,
    catalog: Catalog | None = CATALOG,
    encoding: str | None = None,
    constants: Sequence[str] = (),
    maps: Sequence[str] = (),
    **choices: Any,
) -> Plan:
    """Plan a file that holds *content*; *given* are ``FIELD:TEXT=VALUE``."""
    path = folder / "list.csv"
    path.write_bytes(content)
    source, mapping = mapping_for(path, None, maps, given, constants, encoding=encoding)
    return plan(source, mapping, catalog, Choices(**{"shop": SHOP} | choices))


def verdicts(folder: Path, content: bytes, *given: str, **options: Any) -> list[Verdict]:
    """Return the verdicts of a file that holds *content*."""
    return list(planned(folder, content, *given, **options))


def of_row(folder: Path, row: dict[str, str], *given: str, **options: Any) -> Verdict:
    """Return the one verdict of one row."""
    whole = {"Email": "ada@example.com", "Variant ID": "45100000000201"} | row
    used = {name: text for name, text in whole.items() if text != "(no column)"}
    (verdict,) = verdicts(folder, csv_of(list(used), list(used.values())), *given, **options)
    return verdict


def request(number: int, domain: str = "example.com") -> dict[str, Any]:
    """Return the body of a request for one person."""
    intent = {"shopify_variant_id": 4711, "shopify_product_id": 42, "channel": "email"}
    return {
        "intent": intent | {"quantity": 1, "source": "api"},
        "customer": {"email": f"person{number}@{domain}"},
    }
