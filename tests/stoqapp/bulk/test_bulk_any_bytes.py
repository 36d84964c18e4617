"""Whatever a file holds, an import of it ends in verdicts that add up, or in one clear error."""

import tempfile
from pathlib import Path

from hypothesis import example, given
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
    st.text(max_size=12),
    st.sampled_from(
        ["a@example.com", "45100000000101", "LS-WHT-S", "4.51E+13", '"', '""', "\r", "03/09/2026",
         "1e999", "NaN", "+1 202 555 0147", "'", '="7"', "[", "{}", "Total", "99999999999999999999"]
    ),
)  # fmt: skip
TAGS = [
    *("<row>", "</row>", '<row r="0">', "<c>", "</c>", "<v>Email</v>", "<v>1e400</v>", "<v>-1</v>"),
    *('<c r="A1" t="str">', '<c r="ZZZZZ9" t="n">', '<c t="s">', '<c t="d">', '<c t="e">'),
]
SHEETS = st.lists(st.sampled_from(TAGS)).map("".join)
HEADERS = ["Email", "Phone", "Variant ID", "SKU", "Product ID", "Date", "Quantity", "Country"]


def _verdicts(content: bytes) -> None:
    """Plan a file of these bytes; raises only what a person is shown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        path.write_bytes(content)
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


@given(st.binary(max_size=300))
@example(b"PK\x03\x04")
@example(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
@example(b'{"data": [{"relationships": []}, 1, null]}')
@example(b"[" * 100_000)
@example(b'"' + b"x" * 200_000)
@example(b"Email,SKU\n" + b"," * 300_000)
def test_any_bytes(content: bytes) -> None:
    """Bytes of no known form."""
    _verdicts(content)


@given(st.sampled_from(FILES), st.data())
def test_damaged_files(content: bytes, data: st.DataObject) -> None:
    """A waitlist with a part replaced, as a broken transfer or editor leaves it."""
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(len(content), begin + 40)))
    _verdicts(content[:begin] + data.draw(st.binary(max_size=20)) + content[end:])


@given(st.lists(st.lists(CELLS, max_size=9), max_size=6), st.sampled_from([",", ";", "\t", "|"]))
def test_any_cells(rows: list[list[str]], delimiter: str) -> None:
    """Cells of any text under columns that have a meaning."""
    text = "\n".join(delimiter.join(row) for row in [HEADERS, *rows])
    _verdicts(text.encode("utf-8", "surrogatepass"))


@given(st.one_of(st.text(), SHEETS), st.booleans())
def test_any_workbook(sheet: str, damaged: bool) -> None:
    """A workbook whose sheet is anything, or whose end is missing."""
    content = workbook(sheet)
    _verdicts(content[: len(content) // 2] if damaged else content)
