"""How a file is read: encodings, delimiters, headers, JSON and workbooks."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from listing import csv_of, planned, verdicts

from stoqapp.bulk.catalog import catalog_from_file
from stoqapp.bulk.exclude import excluded_from_file
from stoqapp.bulk.mapping import (
    ColumnMapping,
    mapping_for,
    preset_for,
    presets,
)
from stoqapp.bulk.plan import plan
from stoqapp.bulk.read import ImportFileError, open_source

HEAD = "Email,Variant ID,Name"
ROW = "ada@example.com,45100000000201,Zoë"


def _names(folder: Path, content: bytes, **options: Any) -> list[str]:
    plan = planned(folder, content, **options)
    return [one.body["customer"]["name"] for one in plan.waiting()]


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}\n{ROW}\n".encode(),
        f"\ufeff{HEAD}\n{ROW}\n".encode(),
        f"{HEAD}\r\n{ROW}".encode("utf-16"),
        f"{HEAD}\r{ROW}\r".encode(),
        f"sep=;\n{HEAD}\n{ROW}\n".replace(",", ";").encode(),
        f"{HEAD}\n{ROW}\n".replace(",", "\t").encode(),
        f"{HEAD}\n{ROW}\n".replace(",", "|").encode(),
        f"Export of today,,\n\nmade by hand\n{HEAD}\n{ROW}\n".encode(),
        f"{HEAD},,\n{ROW},,\n".encode(),
        f"{HEAD}\r\n{ROW}\n\n\x1a".encode(),
    ],
)
def test_forms_of_a_csv_file(content: bytes, tmp_path: Path) -> None:
    """Byte order marks, delimiters, line ends and lines above the header change nothing."""
    assert ["Zoë"] == _names(tmp_path, content)


def test_a_file_that_is_not_utf8_is_refused_until_an_encoding_is_given(tmp_path: Path) -> None:
    """The message shows the line, and its cell as the usual code pages have it."""
    content = f"{HEAD}\n{ROW}\n".encode("cp1252")
    with pytest.raises(ImportFileError, match=r"line 2 .*--encoding.*cp1252: Zoë; cp1250: Zoë"):
        _names(tmp_path, content)
    assert ["Zoë"] == _names(tmp_path, content, encoding="cp1252")
    with pytest.raises(ImportFileError, match="cp1252: oë@; cp1250"):
        _names(tmp_path, "Email\nzoë@example.com".encode("cp1252"))
    with pytest.raises(ImportFileError, match="cp932: 再入荷"):
        _names(tmp_path, "Email,再入荷".encode("cp932"))
    with pytest.raises(ImportFileError, match="no encoding 'klingon'"):
        _names(tmp_path, content, encoding="klingon")
    with pytest.raises(ImportFileError, match=r"line 2 of list\.csv is not ascii: give another"):
        _names(tmp_path, content, encoding="ascii")
    with pytest.raises(ImportFileError, match="utf-16-le"):
        _names(tmp_path, content.decode("cp1252").encode("utf-16-le"))


def test_rows_whose_cells_cannot_be_told_apart_are_rejects(tmp_path: Path) -> None:
    """Too many cells, and quotes that do not match, reject their rows and no others."""
    rows = [
        HEAD,
        "ada@example.com,45100000000201,Lovelace, Ada",
        '"bo@example.com,45100000000201,Bo',
        'cy@example.com,45100000000201,"Cy"',
        'di@example.com,45100000000201,"Di,\nDee, and, others"',
        'ed@example.com,45100000000201,"Ed',
        "fy@example.com,45100000000201,Fy",
        'gi@example.com,45100000000201,Gi"',
    ]
    found = verdicts(tmp_path, "\n".join(rows).encode())
    told = [(one.line, one.verdict, one.reason) for one in found]
    assert [
        (2, "reject", "cells"),
        (3, "reject", "cells"),
        (5, "send", None),
        (7, "reject", "cells"),
    ] == told
    assert "lines 3 to 4" in found[1].advice
    assert "whole rows" in found[3].advice


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    """A row is named by the physical line where it begins, also after quoted line breaks."""
    content = f"Title\n{HEAD}\n{ROW.replace('Zoë', chr(34) + 'a' + chr(10) + 'b' + chr(34))}\n,,x\n"
    found = verdicts(tmp_path, content.encode())
    assert [3, 5] == [one.line for one in found]


def test_json_lines(tmp_path: Path) -> None:
    """Each object is a row; numbers keep their digits, and a broken line is a reject."""
    lines = [
        json.dumps({"email": "ada@example.com", "variant_id": 45100000000201, "name": None}),
        "{nonsense",
        "[]",
        json.dumps({"email": "bo@example.com", "variant_id": 45100000000101, "name": "Bo"}),
        "7",
    ]
    found = verdicts(tmp_path, "\n".join(lines).encode())
    told = [(one.line, one.verdict) for one in found]
    assert [(1, "send"), (2, "reject"), (4, "send"), (5, "reject")] == told


def test_request_bodies(tmp_path: Path) -> None:
    """Bodies of requests can be imported, and are sent as they are."""
    whole = {
        "intent": {
            "shopify_variant_id": 45100000000201,
            "shopify_product_id": 8450000000012,
            "channel": "email",
            "quantity": 3,
            "source": "api",
        },
        "customer": {"email": "ada@example.com", "name": "Ada", "accepts_marketing": False},
        "product": {"title": "Oak Stool"},
    }
    for document in (whole, [whole], {"requests": [whole]}):
        (found,) = verdicts(tmp_path, json.dumps(document).encode(), catalog=None)
        assert whole == found.body


def test_klaviyo_bodies(tmp_path: Path) -> None:
    """Bodies of Klaviyo's own subscriptions are read: channels, profile, catalog id."""
    profile = {"email": "ada@example.com", "phone_number": "+12025550147"}
    body = {
        "data": {
            "type": "back-in-stock-subscription",
            "attributes": {
                "channels": ["EMAIL", "SMS"],
                "profile": {"data": {"type": "profile", "attributes": profile}},
            },
            "relationships": {
                "variant": {"data": {"id": "$shopify:::$default:::45100000000201"}},
            },
        }
    }
    found = verdicts(tmp_path, json.dumps(body).encode())
    assert ["email", "sms"] == [one.body["intent"]["channel"] for one in found]


def workbook(rows: str) -> bytes:
    """Return an .xlsx whose one sheet has these rows."""
    spreadsheet = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    files = {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r"'
        f' Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{spreadsheet}" xmlns:r="{office}"><sheets>'
        '<sheet name="Waiting" sheetId="1" r:id="r"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r"'
        f' Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{spreadsheet}"><sheetData>{rows}'
        "</sheetData></worksheet>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as workbook:
        for name, text in files.items():
            workbook.writestr(name, text)
    return packed.getvalue()


def test_workbooks(tmp_path: Path) -> None:
    """Numbers and truth values of a sheet are read as they are shown; the sheet is named."""

    def cell(place: str, value: str, kind: str = "str") -> str:
        return f'<c r="{place}" t="{kind}"><v>{value}</v></c>'

    head = [cell("A2", "Email"), cell("B2", "Variant ID"), cell("C2", "Accepts marketing")]
    row = [
        cell("A4", "ada@example.com"),
        cell("B4", "45100000000201", "n"),
        cell("C4", "1", "b"),
    ]
    sheet = f'<row r="2">{"".join(head)}</row><row r="4">{"".join(row)}</row>'
    content = workbook(sheet)
    empty, found = verdicts(tmp_path, content)
    assert (3, "empty") == (empty.line, empty.reason)
    assert (4, True) == (found.line, found.body["customer"]["accepts_marketing"])
    source = open_source(tmp_path / "list.csv", ColumnMapping().known)
    assert "'Waiting'" in source.note
    assert 2 == source.header_line


ROWS = f"{HEAD}\n{ROW}\n".encode()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "is empty"),
        (b"\n\n", {}, "is empty"),
        (b"PK\x03\x04broken", {}, "not a workbook"),
        (workbook(""), {}, "the first sheet of list.csv is empty"),
        (b"{", {}, "neither JSON nor JSON Lines"),
        (b"a,b\n1,2\n", {}, "no column holds a contact.*'a', 'b'"),
        (b"Email,E-mail\n", {}, "two columns stand for email: 'Email' and 'E-mail'"),
        (b"Email,Email\n", {}, "'Email' and 'Email#2'"),
        (b"ada@example.com,Ada Lovelace\n", {}, "^the first line holds somebody's contact"),
        (ROWS, {"maps": ["Email"]}, "--map must be COLUMN=FIELD"),
        (ROWS, {"maps": ["Email=e_mail"]}, "^--map: 'e_mail' is not a field; did you mean email"),
        (ROWS, {"maps": ["Mail=email"]}, "list.csv has no column 'mail'"),
        (ROWS, {"values": ["status=waiting"]}, "--value must be FIELD:TEXT=VALUE"),
        (ROWS, {"values": ["status:Active=active"]}, "must become waiting or notified"),
        (ROWS, {"constants": ["country"]}, "--set must be FIELD=VALUE"),
        (ROWS, {"constants": ["phones=national"]}, "^--set: phones must become international"),
        (ROWS, {"mapping": "[columns]\nEmail = 7"}, r"m\.toml: 7 is not a field"),
        (ROWS, {"mapping": "[columns"}, r"m\.toml cannot be read"),
        (ROWS, {"mapping": "[colums]\nEmail = 'email'"}, "a mapping has the tables columns"),
        (ROWS, {"mapping": "values = 3"}, "a mapping has the tables columns"),
        (ROWS, {"mapping": "dates = 'ymd'"}, "dates must be day-first or month-first"),
        (ROWS, {"mapping": "[constants]\nquantity = 1.5"}, "quantity must become a text"),
    ],
)
def test_what_cannot_be_used(
    content: bytes, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """One line says what is wrong with a file, an option or a mapping; nothing is planned."""
    path, given = tmp_path / "list.csv", None
    path.write_bytes(content)
    if "mapping" in options:
        given = tmp_path / "m.toml"
        given.write_text(options["mapping"], encoding="utf-8")
    lists = {name: options.get(name, ()) for name in ("maps", "values", "constants")}
    with pytest.raises(ImportFileError, match=message):
        plan(*mapping_for(path, given, **lists))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """What is not there, and what can be read once at most, is refused."""
    for place, told in (("absent.csv", "cannot be read: No such"), ("", "is a folder, a pipe")):
        with pytest.raises(ImportFileError, match=told):
            open_source(tmp_path / place, ColumnMapping().known)


def test_a_mapping_that_was_written_says_the_same(tmp_path: Path) -> None:
    """What --write-mapping writes can be read, and means what the options meant."""
    path, written = tmp_path / "list.csv", tmp_path / "m.toml"
    path.write_bytes(csv_of(["Email", "Wer", "Wann", 'Odd "name"', "Status"]))
    options = ["Wer=name", "Wann=-"], ["status:Ja, noch=waiting"], ["country=de"]
    source, mapping = mapping_for(path, None, *options)
    written.write_text(mapping.to_toml(source.columns), encoding="utf-8")
    _, read = mapping_for(path, written)
    assert mapping.fields_of(source.columns) == read.fields_of(source.columns)
    assert (mapping.values, mapping.constants) == (read.values, read.constants)


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_found_by_the_columns_that_it_requires(name: str) -> None:
    """Each preset that ships is chosen for its own columns."""
    preset = presets()[name]
    assert preset.requires
    assert preset == preset_for([*preset.requires, *preset.columns])


def test_restock_supporter(tmp_path: Path) -> None:
    """A variant of 0 is the only one of its product; a number has its country code beside it."""
    content = csv_of(
        ["ProductID", "VariationID", "type", "email", "code", "tel"],
        ["8450000000012", "0", "EMAIL", "ada@example.com", "", ""],
        ["8450000000011", "45100000000101", "SMS", "", "1", "2025550147"],
        ["8450000000011", "0", "EMAIL", "bo@example.com", "", ""],
    )
    first, second, third = verdicts(tmp_path, content)
    assert 45100000000201 == first.body["intent"]["shopify_variant_id"]
    assert "12025550147" == second.body["customer"]["phone"]
    assert "no_product" == third.reason


def test_a_catalog_of_sku_and_ids(tmp_path: Path) -> None:
    """A plain CSV of SKU, variant id and product id is a catalog; so are Matrixify's rows."""
    path = tmp_path / "catalog.csv"
    path.write_bytes(csv_of(["SKU", "Variant ID", "Product ID"], ["A", "4711", "42"]))
    assert [4711] == [one.id for one in catalog_from_file(path).with_sku("a")]
    head = ["ID", "Title", "Variant ID", "Option1 Value", "Option2 Value"]
    product = [["42", "Shirt", "", "", ""], ["42", "", "4711", "S", "Blue"]]
    path.write_bytes(csv_of(head, *product))
    variant = catalog_from_file(path).by_id[4711]
    assert ("Shirt", "S / Blue") == (variant.product_title, variant.title)
    path.write_bytes(csv_of(["SKU", "Variant ID", "Product ID"], ["A", "4.7E+3", "42"]))
    with pytest.raises(ImportFileError, match=r"line 2 of the catalog"):
        catalog_from_file(path)
    path.write_text('{"products": [{"id": 1}]}', encoding="utf-8")
    with pytest.raises(ImportFileError, match=r"neither a page of /products.json"):
        catalog_from_file(path)


def test_exclusions(tmp_path: Path) -> None:
    """Contacts are read from columns that hold some, or from a file of one column."""
    path = tmp_path / "exclude.csv"
    path.write_bytes(csv_of(["Phone", "Why"], ["+44 20 7946 0018", "asked"], ["", "nobody"]))
    assert {"442079460018"} == excluded_from_file(path)
    path.write_text("Ada@example.com\n+12025550147\n", encoding="utf-8")
    assert {"ada@example.com", "12025550147"} == excluded_from_file(path)
    path.write_bytes(csv_of(["Phone"], ["2025550147"]))
    with pytest.raises(ImportFileError, match="line 2"):
        excluded_from_file(path)
    path.write_bytes(csv_of(["Name", "Why"], ["Ada", "asked"]))
    with pytest.raises(ImportFileError, match="no column Email or Phone"):
        excluded_from_file(path)
