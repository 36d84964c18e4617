"""Whatever a file holds, an import of it ends in verdicts that add up, or in one clear error."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_bulk_read import workbook

from stoqapp.bulk.catalog import catalog_from_file
from stoqapp.bulk.judge import Choices
from stoqapp.bulk.mapping import mapping_for
from stoqapp.bulk.plan import plan
from stoqapp.bulk.read import ImportFileError

WAITLISTS = Path(__file__).parents[3] / "examples" / "waitlists"
CATALOG = catalog_from_file(WAITLISTS / "catalog.products.json")
FILES = [file.read_bytes() for file in sorted(WAITLISTS.iterdir()) if file.suffix != ".md"]
CELLS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        ["a@example.com", "45100000000101", "LS-WHT-S", "4.51E+13", '"', '""', "\r", "03/09/2026",
         "1e999", "NaN", "+1 202 555 0147", "'", '="7"', "[", "{}", "Total", "99999999999999999999"]
    ),
)  # fmt: skip
TAGS = [
    *("<row>", "</row>", '<row r="0">', "<c>", "</c>", "<v>Email</v>", "<v>1e400</v>", "<v>-1</v>"),
    *('<c r="A1" t="str">', '<c r="ZZZZZ9" t="n">', '<c t="s">', '<c t="d">', '<c t="e">'),
]
HEADERS = ["Email", "Phone", "Variant ID", "SKU", "Product ID", "Date", "Quantity", "Country"]
CONTENTS = {
    "odd ends": st.sampled_from(
        [
            b"PK\x03\x04",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            workbook("<row><c><v>1</v></c></row>")[:400],
            b'{"data": [{"relationships": []}, 1, null]}',
            b"[" * 100_000,
            b'"' + b"x" * 200_000,
            b"Email,SKU\n" + b"," * 300_000,
        ]
    ),
    "bytes": st.binary(max_size=300),
    "a file with a part replaced": st.builds(
        lambda content, begin, count, part: content[:begin] + part + content[begin + count :],
        st.sampled_from(FILES),
        st.integers(0, max(map(len, FILES))),
        st.integers(0, 40),
        st.binary(max_size=20),
    ),
    "cells under columns that have a meaning": st.builds(
        lambda rows, delimiter: "\n".join(map(delimiter.join, [HEADERS, *rows])).encode(),
        st.lists(st.lists(CELLS, max_size=9), max_size=6),
        st.sampled_from([",", ";", "\t", "|"]),
    ),
    "a workbook": st.one_of(st.text(), st.lists(st.sampled_from(TAGS)).map("".join)).map(workbook),
}


@pytest.mark.parametrize("kind", CONTENTS)
@given(st.data())
def test_any_content(kind: str, data: st.DataObject) -> None:
    """A file of any content is planned, or refused in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        path.write_bytes(data.draw(CONTENTS[kind]))
        try:
            source, mapping = mapping_for(path)
            planned = plan(source, mapping, CATALOG, Choices(shop="demo.myshopify.com"))
        except ImportFileError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either way is right
            return
        verdicts = list(planned)
        assert planned.records <= len(verdicts)
        assert sum(planned.counts().values()) == len(verdicts)
        assert all(one.reason for one in verdicts if one.verdict != "send")
        planned.close()
