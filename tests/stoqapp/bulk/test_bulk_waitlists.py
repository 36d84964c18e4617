"""The waitlists in examples/waitlists: every row ends as a careful person would want it."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from stoqapp.cli import main
from stoqapp.readers import country_from
from stoqapp.spec import SPEC

WAITLISTS = Path(__file__).parents[3] / "examples" / "waitlists"
SHOP = "lumen-lane.myshopify.com"

# What a person adds for each file, in the words of the command.
OPTIONS = {
    "01-stoq-template.csv": [
        *("--channel", "email"),
        *("--value", "market:United States=70000000001"),
    ],
    "02-stoq-requests.csv": [],
    "03-klaviyo-events.json": ["--match", "sku", "--exclude", "exclude.csv"],
    "04-backinstock-org.csv": [],
    "05-shopify-customers.csv": ["--channel", "email", "--map", "Waits for variant=variant"],
    "06-german-excel.csv": [
        *("--encoding", "cp1252"),
        *("--map", "Telefon=phone", "--map", "Vorname=first_name", "--map", "Nachname=last_name"),
        *("--map", "Land=country", "--map", "Artikelnr.=sku", "--map", "Menge=quantity"),
        *("--map", "Newsletter=accepts_marketing", "--map", "Datum=date"),
        *("--value", "country:Deutschland=de", "--value", "country:Australien=au"),
        *("--value", "country:Großbritannien=gb", "--value", "country:Österreich=at"),
        *("--value", "country:Schweiz=ch"),
    ],
    "07-unicode-text.txt": [],
    "08-duplicates.csv": ["--channel", "email"],
    "09-woocommerce-cwg.csv": [
        *("--match", "sku", "--channel", "email", "--map", "Product=product_title"),
        *("--map", "Product ID=-", "--map", "Variation ID=-"),
        *("--value", "status:cwg_subscribed=waiting", "--value", "status:cwg_mailsent=notified"),
        *("--value", "status:cwg_unsubscribed=unsubscribed"),
        *("--value", "status:cwg_doubleoptin=unconfirmed"),
    ],
    "10-titles-only.csv": [
        *("--match", "title", "--map", "Subscribed products=product_title"),
        *("--map", "Subscribed variants=variant_title", "--map", "Subscription time=date"),
        *("--map", "Email subscription=accepts_marketing", "--map", "Notification status=status"),
        *("--value", "status:Not notified=waiting", "--value", "status:Notified=notified"),
        *("--value", "accepts_marketing:Subscribed=true"),
        *("--value", "accepts_marketing:Not subscribed=false"),
        *("--value", "accepts_marketing:Unsubscribed=false"),
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the waitlists, and the working directory of the test."""
    copy = Path(shutil.copytree(WAITLISTS, tmp_path / "waitlists"))
    monkeypatch.chdir(copy)
    return copy


def _verdicts(name: str, *more: str) -> dict[Any, list[dict[str, Any]]]:
    words = ["import", name, "--shop", SHOP, "--plan", "--rows", "rows.jsonl", *more]
    assert main(words) == 0
    found = defaultdict(list)
    for line in Path("rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[row["line"]].append(row)
    return found


def _expected(name: str) -> dict[str, Any]:
    return json.loads(Path(f"{name}.expected.json").read_text(encoding="utf-8"))


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section in ("intent", "customer")
        for name, value in body[section].items()
        if name != "source"
    }


def _as_today(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what is sent of the fields that the API still has, with today's country codes."""
    return {
        path: country_from(value) if path == "customer.country" else value
        for path, value in fields.items()
        if SPEC.field(path)
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_every_row_of_a_waitlist_is_told_and_sent_only_as_it_should_be(
    name: str, folder: Path
) -> None:
    """No row is sent wrongly, none is missing, and the totals are those that are wanted."""
    catalog = ["--catalog", "catalog.products.json"]
    found = _verdicts(name, *catalog, *OPTIONS[name])
    expected = _expected(name)
    wanted = defaultdict(list)
    for row in expected["rows"]:
        wanted[row["line"]].append(row)

    assert set(wanted) == set(found)
    for line, rows in wanted.items():
        told = [(row["want"], row.get("fields") and _as_today(row["fields"])) for row in rows]
        assert told == [
            (row["verdict"], row["body"] and _fields(row["body"])) for row in found[line]
        ], f"line {line}"
    verdicts = [row["verdict"] for rows in found.values() for row in rows]
    totals = expected["totals"]
    counted = {verdict: verdicts.count(verdict) for verdict in ("send", "reject", "skip")}
    assert {verdict: totals[verdict] for verdict in counted} == counted


@pytest.mark.parametrize("catalog", ["catalog.bulk.jsonl", "catalog.matrixify.csv"])
def test_other_forms_of_the_catalog_name_the_same_variants(catalog: str, folder: Path) -> None:
    """Shopify's bulk JSONL and Matrixify's CSV lead to the ids that /products.json leads to."""
    name = "10-titles-only.csv"
    first = _verdicts(name, "--catalog", "catalog.products.json", *OPTIONS[name])
    other = _verdicts(name, "--catalog", catalog, *OPTIONS[name])

    def ids(rows: dict[Any, list[dict[str, Any]]]) -> list[Any]:
        return [row["body"] and row["body"]["intent"] for part in rows.values() for row in part]

    assert ids(first) == ids(other)


def test_a_product_export_without_ids_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shopify's product export has no ids, and the message says what has."""
    words = ["import", "02-stoq-requests.csv", "--shop", SHOP, "--plan", "--catalog"]
    assert main([*words, "catalog.shopify-product-export.csv"]) == 2
    assert "stoqapp catalog --shop" in capsys.readouterr().err


def test_a_near_miss_is_shown_and_not_taken(folder: Path) -> None:
    """A SKU without its zeros is rejected, and the SKU with zeros is named."""
    _verdicts("01-stoq-template.csv", "--catalog", "catalog.products.json")
    rejected = Path("01-stoq-template.csv.rejected.csv").read_text(encoding="utf-8")
    assert "731,oak.fan@example.com,,Odd Fan,,1,,,en,26/09/2026,5," in rejected
    assert "near: 00731" in rejected
