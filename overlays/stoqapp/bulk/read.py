"""From a file to records: CSV in any common form, JSON and workbooks.

Nothing is guessed: bytes that are not UTF-8 and begin with no byte order mark need an encoding,
and a row whose cells cannot be told apart becomes a record with a fault.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from stoqapp.bulk.documents import ImportFileError, Record, json_records, text_of

# Longest first: UTF-32's mark begins with that of UTF-16.
_MARKS: Final = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_CODE_PAGES: Final = ("cp1252", "cp1250", "cp1251", "mac_roman")
_DELIMITERS: Final = ",;\t|"
_HEADER_WITHIN: Final = 20


@frozen
class Source:
    """A file that was looked at, and can be read as often as needed.

    Attributes:
        path: The file.
        form: What it is.
        columns: The names of the columns; a name that comes again has ``#2`` appended.
        encoding: Of a text, None for a workbook.
        delimiter: Of the cells of a CSV file, else None.
        header_line: The line with the columns' names, None where records carry names.
        note: What a person should know of how the file is read, or "".
    """

    path: Path
    form: Literal["csv", "json", "workbook"]
    columns: tuple[str, ...]
    encoding: str | None = None
    delimiter: str | None = None
    header_line: int | None = None
    note: str = ""

    def __iter__(self) -> Iterator[Record]:
        with _reading(self.path):
            if self.form == "json":
                yield from json_records(self.path, self.encoding or "utf-8")
            elif self.form == "workbook":
                rows = islice(enumerate(_sheet(self.path)[0], 1), self.header_line, None)
                yield from (self._record(line, row) for line, row in rows)
            else:
                yield from self._csv_records()

    def _csv_records(self) -> Iterator[Record]:
        taken: list[str] = []

        def kept(lines: Iterable[str]) -> Iterator[str]:
            for text in lines:
                taken.append(text)
                yield text

        with text_of(self.path, self.encoding or "utf-8") as lines:
            skipped = self.header_line or 0
            reader = csv.reader(
                kept(islice(lines, skipped, None)), delimiter=self.delimiter or ",", strict=True
            )
            while True:
                began = skipped + reader.line_num + 1
                taken.clear()
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    ended = skipped + reader.line_num
                    fault = f"the quotes of lines {began} to {ended} do not match"
                    yield Record(began, {self.columns[0]: "".join(taken)}, fault)
                    continue
                yield self._record(began, row)

    def _record(self, line: int, row: Sequence[str]) -> Record:
        columns = self.columns
        cells = dict(zip(columns, row, strict=False))
        if len(row) < len(columns):
            cells |= dict.fromkeys(columns[len(row) :], "")
        elif len(row) > len(columns) and any(cell.strip() for cell in row[len(columns) :]):
            joined = (self.delimiter or ",").join(row)
            fault = f"has {len(row)} cells, and the header {len(columns)}"
            return Record(line, {columns[0]: joined}, fault)
        elif self.delimiter and any(self._swallows(cell) for cell in row if "\n" in cell):
            return Record(line, cells, "a quoted cell holds whole rows: a quote is missing")
        return Record(line, cells)

    def _swallows(self, cell: str) -> bool:
        most = len(self.columns) - 1
        return most > 0 and any(
            part.count(self.delimiter or ",") >= most for part in cell.split("\n")
        )


def open_source(
    path: Path, known: Callable[[Sequence[str]], int], *, encoding: str | None = None
) -> Source:
    """Look at *path*, and return how its records are read.

    Args:
        path: The file.
        known: Says how many of some column names it knows.
        encoding: Of a text that has neither a byte order mark nor UTF-8, like ``cp1252``.

    Raises:
        ImportFileError: The file cannot be read, is empty, or its encoding is not known.
    """
    with _reading(path):
        with path.open("rb") as file:
            head = file.read(4096)
        if not head.strip():
            raise ImportFileError(f"{path.name} is empty")
        if head.startswith(_WORKBOOKS):
            return _open_workbook(path, known)
        encoding = _encoding(path, head, encoding)
        with text_of(path, encoding) as lines:
            first = next((text for text in lines if text.strip()), "").lstrip()
        if first.startswith(("{", "[{", "[\n", "[\r")) or first.strip() == "[":
            return _open_json(path, encoding)
        return _open_csv(path, known, encoding)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror or error}") from None


def _encoding(path: Path, head: bytes, given: str | None) -> str:
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if given is None and mark is None and b"\x00" in head:
        raise ImportFileError(
            f"{path.name} looks like UTF-16 without a byte order mark: give --encoding utf-16-le"
        )
    chosen = given or mark or "utf-8"
    number = 0
    try:
        with text_of(path, chosen) as lines:
            for number, _ in enumerate(lines, 1):  # noqa: B007 - told in the message
                pass
    except LookupError:
        raise ImportFileError(f"Python knows no encoding {given!r}; try cp1252") from None
    except UnicodeError:
        if chosen.startswith("utf-8"):
            raise ImportFileError(_not_utf8(path)) from None
        raise ImportFileError(
            f"{path.name} cannot be read as {chosen}, somewhere after line {number}: give another"
            " --encoding"
        ) from None
    return chosen


def _not_utf8(path: Path) -> str:
    """Return a message that shows the first cell that is not UTF-8 as code pages have it."""
    number, line, place = 0, b"", 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):  # noqa: B007 - told in the message
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                place = error.start
                break
    ends = f"[{_DELIMITERS}\r\n]".encode()
    cell = re.split(ends, line[:place])[-1] + re.split(ends, line[place:])[0]
    shown = (f"{page}: {cell.decode(page, 'replace').strip()[:40]}" for page in _CODE_PAGES)
    return (
        f"line {number} of {path.name} is not UTF-8. Choose the encoding that shows its cell"
        f" right, like --encoding cp1252: {'; '.join(shown)}"
    )


def _open_csv(path: Path, known: Callable[[Sequence[str]], int], encoding: str) -> Source:
    with text_of(path, encoding) as lines:
        top = list(islice(lines, 200))
    declared = re.fullmatch('"?sep=(.)"?', top[0].strip()) if top else None
    start = 1 if declared else 0
    rows: list[tuple[int, int, int, str, list[str]]] = []
    for delimiter in declared[1] if declared else _DELIMITERS:
        reader = csv.reader(top[start:], delimiter=delimiter)
        with suppress(csv.Error):
            for row in islice(reader, _HEADER_WITHIN):
                if any(row):
                    names = known(row)
                    wide = 0 if names else len(row)
                    rows.append((names, wide, -reader.line_num, delimiter, row))
    if not rows:
        raise ImportFileError(f"{path.name} has no header line")
    _, _, line, delimiter, header = max(rows, key=lambda found: found[:3])
    return Source(path, "csv", _unique(header), encoding, delimiter, header_line=start - line)


def _unique(header: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for place, cell in enumerate(header, 1):
        name = cell.strip() or f"column {place}"
        count = sum(1 for other in names if other == name or other.startswith(f"{name}#"))
        names.append(f"{name}#{count + 1}" if count else name)
    return tuple(names)


def _open_json(path: Path, encoding: str) -> Source:
    columns: dict[str, None] = {}
    for record in json_records(path, encoding):
        columns |= dict.fromkeys(record.cells)
    if not columns:
        raise ImportFileError(f"{path.name} holds no records")
    return Source(path, "json", tuple(columns), encoding)


def _open_workbook(path: Path, known: Callable[[Sequence[str]], int]) -> Source:
    rows, note = _sheet(path)
    top = list(islice(rows, _HEADER_WITHIN))
    ranks = [(known(row), -place) for place, row in enumerate(top) if any(row)]
    if not ranks:
        raise ImportFileError(f"the first sheet of {path.name} is empty")
    place = -max(ranks)[1]
    return Source(path, "workbook", _unique(top[place]), header_line=place + 1, note=note)


def _sheet(path: Path) -> tuple[Iterator[list[str]], str]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise ImportFileError("workbooks need the extra: pip install 'stoqapp[bulk]'") from None
    try:
        workbook = CalamineWorkbook.from_path(path)
        sheet = workbook.get_sheet_by_index(0)
        names = workbook.sheet_names
    except (CalamineError, IndexError, ValueError) as error:
        raise ImportFileError(
            f"{path.name} is not a workbook that can be read ({error}): save it as .xlsx or CSV"
        ) from None
    rows = ([_cell(value) for value in row] for row in sheet.iter_rows())
    return rows, f"sheet {names[0]!r} is read, the first of {len(names)}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    # A spreadsheet keeps 15 digits of a number; what is longer has lost some.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)
