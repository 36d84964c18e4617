"""What a cell may hold, and what becomes of it."""

from pathlib import Path
from typing import Any

import pytest
from listing import csv_of, of_row, planned, verdicts

from stoqapp.bulk.read import ImportFileError
from stoqapp.readers import country_from

SMS = {"Email": "(no column)"}


def _sent(verdict: Any, path: str) -> Any:
    section, name = path.split(".")
    assert verdict.verdict == "send", verdict
    return verdict.body[section].get(name)


@pytest.mark.parametrize(
    "text",
    [
        "45100000000101",
        " 45100000000101 ",
        "'45100000000101",
        '="45100000000101"',
        "45100000000101.0",
        "45,100,000,000,101",
        "45 100 000 000 101",
        "45.100.000.000.101",
        "gid://shopify/ProductVariant/45100000000101",
        "$shopify:::$default:::45100000000101",
        "https://demo.example/products/shirt?variant=45100000000101",
        "https://demo.example/products/shirt?a=b&variant=45100000000101#top",
    ],
)
def test_forms_of_an_id(text: str, tmp_path: Path) -> None:
    """An id is read in every form that exports and people give it."""
    verdict = of_row(tmp_path, {"Variant ID": text})
    assert _sent(verdict, "intent.shopify_variant_id") == 45100000000101
    assert _sent(verdict, "intent.shopify_product_id") == 8450000000011
    assert _sent(verdict, "product.variant_count") == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"Variant ID": "4.51E+13"}, "id_destroyed"),
        ({"Variant ID": "4,51E+13"}, "id_destroyed"),
        ({"Variant ID": "4.51E+13", "Product title": "Linen Shirt"}, "id_destroyed"),
        ({"Variant ID": "4.52E+13", "Product title": "Oak Stool"}, "id_destroyed"),
        ({"Variant ID": "AB-1"}, "variant_id"),
        ({"Variant ID": "045100000000101"}, "variant_id"),
        ({"Variant ID": "451"}, "variant_unknown"),
        ({"Variant ID": "39990000000901", "SKU": "AB-1"}, "variant_unknown"),
        ({"Variant ID": "45100000000101", "SKU": "00731"}, "variant_conflict"),
        ({"Variant ID": "45100000000101", "Product ID": "8450000000012"}, "product_mismatch"),
        ({"Variant ID": "45100000000101", "Product ID": "6990000000901"}, "product_mismatch"),
        ({"Product ID": "gid://shopify/ProductVariant/8450000000012"}, "product_id"),
        ({"Product ID": "https://demo.example/stool?variant=8450000000012"}, "product_id"),
        ({"Variant ID": "", "SKU": "731"}, "sku_unknown"),
        ({"Variant ID": "", "SKU": "TWO"}, "sku_ambiguous"),
        ({"Variant ID": ""}, "no_product"),
        ({"Variant ID": "", "Product title": "Linen Shirt"}, "no_product"),
        ({"Variant ID": "", "Product title": "Linen Shirts"}, "title_unknown"),
        ({"Email": "ada@example.com; bo@example.com"}, "email"),
        ({"Email": "ada@example..com"}, "email"),
        ({"Email": "Ada <ada@example.com>"}, "email"),
        ({"Email": "NULL", "Phone": "-"}, "no_contact"),
        ({**SMS, "Phone": "4,47701E+11", "Country": "gb"}, "phone_destroyed"),
        ({**SMS, "Phone": "4312345678"}, "phone"),
        ({**SMS, "Phone": "12345", "Country": "us"}, "phone"),
        ({**SMS, "Phone": "03023125015"}, "phone"),
        ({"Email": "ada@example.com", "Phone": "+12025550147"}, "channel"),
        ({"Quantity": "0"}, "quantity"),
        ({"Quantity": "two"}, "quantity"),
        ({"Accepts marketing": "maybe"}, "boolean"),
        ({"Country": "Suisse"}, "country"),
        ({"Market": "Switzerland"}, "market"),
        ({"Channel": "whatsapp"}, "channel"),
        ({"Channel": "sms"}, "no_phone"),
        ({"Status": "Paused"}, "unknown_status"),
        ({"Status": ""}, "unknown_status"),
        ({"Shop": "not a shop!"}, "shop"),
    ],
)
def test_what_a_person_must_mend(row: dict[str, str], reason: str, tmp_path: Path) -> None:
    """A cell that means nothing, or more than one thing, rejects its row and says why."""
    verdict = of_row(tmp_path, row)
    assert ("reject", reason) == (verdict.verdict, verdict.reason)
    assert verdict.advice


@pytest.mark.parametrize(
    ("row", "path", "value"),
    [
        ({"Variant ID": "", "SKU": "ab-1"}, "intent.shopify_variant_id", 45100000000101),
        ({"Variant ID": "", "SKU": "'00731"}, "intent.shopify_variant_id", 45100000000102),
        (
            {"Variant ID": "", "SKU": "TWO", "Product title": "wool  THROW"},
            "intent.shopify_variant_id",
            45100000000301,
        ),
        (
            {"Variant ID": "4.51E+13", "Product title": "Oak Stool"},
            "intent.shopify_variant_id",
            45100000000201,
        ),
        (
            {
                "Variant ID": "4.51E+13", "Product ID": "8.45E+12",
                "Product title": "Linen Shirt", "Variant title": "White / M",
            },
            "intent.shopify_variant_id",
            45100000000102,
        ),
        ({"Variant ID": "4.51E+13", "SKU": "AB-1"}, "intent.shopify_variant_id", 45100000000101),
        (
            {"Variant ID": "", "Product ID": "8450000000012"},
            "intent.shopify_variant_id",
            45100000000201,
        ),
        ({"Email": "ADA@EXAMPLE.COM"}, "customer.email", "ADA@example.com"),
        ({"Email": "ada@exämple.com"}, "customer.email", "ada@exämple.com"),
        ({**SMS, "Phone": "12025550147.0", "Country": "USA"}, "customer.phone", "12025550147"),
        ({**SMS, "Phone": "020 7946 0018", "Country": "UK"}, "customer.phone", "442079460018"),
        ({**SMS, "Phone": "020 7946 0018", "Country": "44"}, "customer.phone", "442079460018"),
        ({"Quantity": ""}, "intent.quantity", 1),
        ({"Quantity": "2,0"}, "intent.quantity", 2),
        ({"Accepts marketing": ""}, "customer.accepts_marketing", None),
        ({"Accepts marketing": "WAHR"}, "customer.accepts_marketing", True),
        ({"Accepts marketing": "0.0"}, "customer.accepts_marketing", False),
        ({"Country": "DEU"}, "customer.country", country_from("de")),
        ({"Country": "\\N"}, "customer.country", None),
        ({"First name": "Ada", "Last name": "N/A"}, "customer.name", "Ada"),
        ({"Name": "Jo\nLee"}, "customer.name", "Jo Lee"),
        ({"Market": "gid://shopify/Market/7"}, "intent.shopify_market_id", 7),
    ],
)  # fmt: skip
def test_what_is_sent(row: dict[str, str], path: str, value: Any, tmp_path: Path) -> None:
    """What a spreadsheet or an export did to a value is undone, and nothing is added."""
    assert value == _sent(of_row(tmp_path, row), path)


def test_numbers_without_a_plus_are_taken_where_all_are_international(tmp_path: Path) -> None:
    """One decision for the file says that every number begins with its country code."""
    row = {**SMS, "Phone": "4312345678"}
    verdict = of_row(tmp_path, row, constants=["phones=international"])
    assert _sent(verdict, "customer.phone") == "4312345678"
    verdict = of_row(tmp_path, {**SMS, "Phone": "2025550147"}, constants=["country=us"])
    assert _sent(verdict, "customer.phone") == "12025550147"


@pytest.mark.parametrize(
    ("channel", "sent"),
    [("email", ["email"]), ("sms", ["sms"]), ("both", ["email", "sms"])],
)
def test_both_contacts(channel: str, sent: list[str], tmp_path: Path) -> None:
    """A row with both contacts goes where the file's one choice says, by that contact alone."""
    content = csv_of(
        ["Email", "Phone", "Variant ID"], ["ada@example.com", "+12025550147", "45100000000201"]
    )
    found = verdicts(tmp_path, content, channel=channel)
    assert sent == [_sent(one, "intent.channel") for one in found]
    assert all(len(one.body["customer"]) == 1 for one in found)


@pytest.mark.parametrize(
    ("row", "given", "expected"),
    [
        ({"Status": "Active"}, "status:active=waiting", ("send", None)),
        ({"Status": "Sent"}, "status:Sent=notified", ("skip", "notified")),
        ({"Status": "Left"}, "status:Left=unsubscribed", ("skip", "unsubscribed")),
        ({"Status": "New"}, "status:New=unconfirmed", ("skip", "unconfirmed")),
        ({"Notified at": "2026-01-02"}, "", ("skip", "notified")),
        ({"Notified at": "2026-01-02", "Date": "2026-01-03"}, "", ("send", None)),
        ({"Unsubscribed at": "2026-01-02"}, "", ("skip", "unsubscribed")),
        ({"Unsubscribed at": "0000-00-00 00:00:00"}, "", ("send", None)),
        ({"Unsubscribed": "TRUE"}, "", ("skip", "unsubscribed")),
        ({"Notified": "no", "Unsubscribed": "0"}, "", ("send", None)),
        ({"Notified": "yes"}, "", ("skip", "notified")),
        (
            {"Notified": "yes", "Notified at": "2026-01-02", "Date": "3 Jan 2026"},
            "",
            ("send", None),
        ),
        ({"Notified": "3"}, "", ("reject", "notified")),
        ({"Email": "", "Variant ID": ""}, "", ("skip", "empty")),
        ({"Email": "Email", "Variant ID": "Variant ID"}, "", ("skip", "header")),
        ({"Email": "Total: 8", "Variant ID": "", "Quantity": "8"}, "", ("skip", "totals")),
    ],
)
def test_who_waits(
    row: dict[str, str], given: str, expected: tuple[str, str | None], tmp_path: Path
) -> None:
    """Only who is known to wait is sent."""
    verdict = of_row(tmp_path, row, *filter(None, [given]))
    assert expected == (verdict.verdict, verdict.reason)


@pytest.mark.parametrize(
    ("dates", "reason"), [("day-first", None), ("month-first", "notified"), (None, "notified")]
)
def test_who_signed_up_again(dates: str | None, reason: str | None, tmp_path: Path) -> None:
    """Somebody waits again if they signed up after they were notified, as the dates are read."""
    content = csv_of(
        ["Email", "Variant ID", "Date", "Notified at"],
        ["ada@example.com", "45100000000201", "03/09/2026", "04/08/2026"],
        ["bo@example.com", "45100000000201", "25/12/2026", ""],
    )
    assert reason == verdicts(tmp_path, content, dates=dates)[0].reason


def test_who_is_excluded(tmp_path: Path) -> None:
    """Somebody on the list of exclusions is skipped, by either contact."""
    row = {"Phone": "+1 (202) 555-0147"}
    for contact in ("ada@example.com", "12025550147"):
        verdict = of_row(tmp_path, row, channel="email", excluded=frozenset([contact]))
        assert ("skip", "excluded") == (verdict.verdict, verdict.reason)


DATES = ["Email", "Variant ID", "Date"]


def _dated(*dates: str) -> bytes:
    rows = [[f"p{n}@example.com", "45100000000201", date] for n, date in enumerate(dates)]
    return csv_of(DATES, *rows)


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["03/09/2026", "25/08/2026"], [1, 0]),
        (["09/03/2026", "08/25/2026"], [1, 0]),
        (["03.10.2026", "04.09.2026"], [1, 0]),
        (["2026-09-03 10:00", "2026-09-03T09:00:00Z", "", "2026-09-02"], [3, 1, 0, 2]),
        (["Sep 3, 2026", "2 Sep 2026", "yesterday"], [1, 0, 2]),
        (["05/05/2026", "04/04/2026"], [1, 0]),
        (["03-09-26", "3 9 2025", "26-03-09", "2026/03/09", "3-Sep-25"], [4, 3, 0, 1, 2]),
        (["03/09/26 12:00", "25/08/26 13:00"], [1, 0]),
    ],
)
def test_the_oldest_go_first(dates: list[str], order: list[int], tmp_path: Path) -> None:
    """Dates order what is sent; rows without one go last, as in the file."""
    plan = planned(tmp_path, _dated(*dates))
    sent = [one.body["customer"]["email"] for one in plan.waiting()]
    assert [f"p{n}@example.com" for n in order] == sent


def test_dates_that_read_both_ways_need_a_decision(tmp_path: Path) -> None:
    """A file whose dates can be read in two ways is refused, until one is chosen."""
    with pytest.raises(ImportFileError, match=r"line 2.*--dayfirst or --monthfirst"):
        planned(tmp_path, _dated("03/09/2026", "04/08/2026"))
    with pytest.raises(ImportFileError, match="--dayfirst"):
        planned(tmp_path, _dated("03/09/2026", "25/08/2026", "08/25/2026"))
    plan = planned(tmp_path, _dated("03/09/2026", "04/08/2026"), dates="month-first")
    assert [2, 3] == [one.line for one in plan.waiting()]


def test_only_what_is_new_enough(tmp_path: Path) -> None:
    """With --since older rows are skipped, and a row without a date is a reject."""
    found = verdicts(tmp_path, _dated("2026-01-01", "2026-02-01", ""), since=1769817600.0)
    assert ["before_since", None, "date"] == [one.reason for one in found]


def test_the_oldest_of_equal_rows_is_sent(tmp_path: Path) -> None:
    """Of rows for the same person and variant the oldest goes out, and the others name its line."""
    content = csv_of(
        DATES,
        ["ada@example.com", "45100000000201", "2026-01-02"],
        ["ADA@example.com", "45100000000201", "2026-01-01"],
        ["ada@example.com", "45100000000101", "2026-01-03"],
    )
    found = verdicts(tmp_path, content)
    assert ["skip", "send", "send"] == [one.verdict for one in found]
    assert "the same as line 3" == found[0].advice


@pytest.mark.parametrize(
    ("left", "expected"),
    [("2026-01-01", "send"), ("2026-01-03", "skip"), ("", "skip")],
)
def test_who_left_is_not_sent_by_another_row(left: str, expected: str, tmp_path: Path) -> None:
    """Somebody who signed up and then left is skipped; who came back after leaving is sent."""
    content = csv_of(
        [*DATES, "Status"],
        ["ada@example.com", "45100000000201", "2026-01-02", "in"],
        ["ada@example.com", "45100000000201", left, "out"],
    )
    found = verdicts(tmp_path, content, "status:in=waiting", "status:out=unsubscribed")
    assert [expected, "skip"] == [one.verdict for one in found]


@pytest.mark.parametrize("channel", ["email", "sms", "both"])
def test_who_left_is_not_sent_by_another_contact(channel: str, tmp_path: Path) -> None:
    """Somebody who left with an address and a number is skipped by either, and counts once."""
    content = csv_of(
        ["Email", "Phone", "Variant ID", "Status"],
        ["ada@example.com", "+12025550147", "45100000000201", "out"],
        ["ada@example.com", "", "45100000000201", "in"],
        ["", "+12025550147", "45100000000201", "in"],
    )
    meaning = ("status:in=waiting", "status:out=unsubscribed")
    found = verdicts(tmp_path, content, *meaning, channel=channel)
    assert [(2, "skip"), (3, "skip"), (4, "skip")] == [(one.line, one.verdict) for one in found]


def test_without_a_catalog_both_ids_are_needed(tmp_path: Path) -> None:
    """Nothing can be looked up, so a SKU, or an id alone, is a reject that names the catalog."""
    row = {"Variant ID": "4711", "Product ID": "42"}
    assert "send" == of_row(tmp_path, row, catalog=None).verdict
    for lacking in ({"Variant ID": "4711"}, {"Variant ID": "", "SKU": "AB-1"}):
        assert "no_product" == of_row(tmp_path, lacking, catalog=None).reason
