"""From a file to records: CSV in any common form, JSON and workbooks.

Nothing is guessed: bytes that are not UTF-8 and begin with no byte order mark need an encoding,
and a row whose cells cannot be told apart becomes a record with a fault. Of JSON, one document,
JSON Lines, request bodies, and pages of Klaviyo's Events API are read.
"""

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from attrs import frozen
from python_calamine import CalamineError, CalamineWorkbook

from stoqapp.errors import StoqError

_MARKS: Final = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_CODE_PAGES: Final = ("cp1252", "cp1250", "cp1251", "cp932", "mac_roman")
_DELIMITERS: Final = ",;\t|"
_HEADER_WITHIN: Final = 20

Line = int | str
Known = Callable[[Sequence[str]], int]


class ImportFileError(StoqError, ValueError):
    """A file, a mapping or an option of an import cannot be used; nothing was sent."""


@frozen
class Record:
    """One row of a file.

    Attributes:
        line: The physical line where it begins; the event's id in Klaviyo's pages.
        cells: The text of each column, by the column's name.
        fault: Why the row cannot be told apart into cells, None where it can.
    """

    line: Line
    cells: dict[str, str]
    fault: str | None = None


@frozen
class Source:
    """A file that was looked at, and can be read as often as needed.

    Attributes:
        path: The file.
        form: What it is.
        columns: The names of the columns; a name that comes again has ``#2`` appended.
        encoding: Of a text.
        delimiter: Of the cells of a CSV file, else "".
        header_line: The line with the columns' names, 0 where records carry names.
        note: What a person should know of how the file is read, or "".
    """

    path: Path
    form: Literal["csv", "json", "workbook"]
    columns: tuple[str, ...]
    encoding: str = ""
    delimiter: str = ""
    header_line: int = 0
    note: str = ""

    def __iter__(self) -> Iterator[Record]:
        with _reading(self.path):
            if self.form == "json":
                yield from _json_records(self.path, self.encoding)
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

        with _text_of(self.path, self.encoding) as lines:
            text = kept(islice(lines, self.header_line, None))
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            while True:
                began = self.header_line + reader.line_num + 1
                taken.clear()
                try:
                    yield self._record(began, next(reader))
                except StopIteration:
                    return
                except csv.Error:
                    ended = self.header_line + reader.line_num
                    fault = f"the quotes of lines {began} to {ended} do not match"
                    yield Record(began, {self.columns[0]: "".join(taken)}, fault)

    def _record(self, line: int, row: Sequence[str]) -> Record:
        columns, delimiter = self.columns, self.delimiter
        if any(cell.strip() for cell in row[len(columns) :]):
            fault = f"has {len(row)} cells, and the header {len(columns)}"
            return Record(line, {columns[0]: (delimiter or ",").join(row)}, fault)
        cells = dict.fromkeys(columns, "") | dict(zip(columns, row, strict=False))
        # A row has at least a number or an address.
        lines = (part for cell in row if "\n" in cell for part in cell.split("\n"))
        rows = (part for part in lines if delimiter and re.search("[@0-9]", part))
        if any(0 < len(columns) - 1 <= part.count(delimiter) for part in rows):
            return Record(line, cells, "a quoted cell holds whole rows: a quote is missing")
        return Record(line, cells)


def open_source(path: Path, known: Known, *, encoding: str | None = None) -> Source:
    """Look at *path*, and return how its records are read.

    Args:
        path: The file.
        known: Says how many of some column names it knows.
        encoding: Of a text that has neither a byte order mark nor UTF-8, like ``cp1252``.

    Raises:
        ImportFileError: The file cannot be read, is empty, or its encoding is not known.
    """
    with _reading(path):
        if path.exists() and not path.is_file():
            raise ImportFileError(f"{path} is a folder, a pipe or a device: give a file")
        with path.open("rb") as file:
            head = file.read(4096)
        if not head.strip():
            raise ImportFileError(f"{path.name} is empty")
        if head.startswith(_WORKBOOKS):
            return _open_workbook(path, known)
        encoding = _encoding(path, head, encoding)
        with _text_of(path, encoding) as lines:
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


def _text_of(path: Path, encoding: str) -> TextIO:
    """Open a text; its lines keep their ends."""
    return path.open(encoding=encoding, newline="")


def _encoding(path: Path, head: bytes, given: str | None) -> str:
    mark = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if given is None and mark is None and b"\x00" in head[:2]:
        raise ImportFileError(
            f"{path.name} looks like UTF-16 without a byte order mark: give --encoding utf-16-le"
        )
    chosen = given or mark or "utf-8"
    number = 1
    try:
        decoder = codecs.getincrementaldecoder(chosen)()
        with _text_of(path, chosen), path.open("rb") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - told in the message
                decoder.decode(line)
        decoder.decode(b"", final=True)
    except LookupError:
        raise ImportFileError(f"Python knows no encoding {given!r}; try cp1252") from None
    except UnicodeError as error:
        remedy = "give another --encoding"
        if isinstance(error, UnicodeDecodeError) and chosen.startswith("utf-8"):
            remedy = _as_code_pages(error.object, error.start)
        raise ImportFileError(f"line {number} of {path.name} is not {chosen}: {remedy}") from None
    return chosen


def _as_code_pages(line: bytes, place: int) -> str:
    """Return what to do, with the cell of *line* at *place* as code pages have it."""
    ends = f"[{_DELIMITERS}\r\n]".encode()
    cell = re.split(ends, line[:place])[-1] + re.split(ends, line[place:])[0]
    if b"@" in cell:
        # Enough of an address to see the letter.
        cell = line[max(0, place - 1) : place + 2]
    shown = (f"{page}: {cell.decode(page, 'replace').strip()[:40]}" for page in _CODE_PAGES)
    return (
        "save it as UTF-8, or for the list itself choose the encoding that shows its cell right,"
        f" like --encoding cp1252: {'; '.join(shown)}"
    )


def _open_csv(path: Path, known: Known, encoding: str) -> Source:
    with _text_of(path, encoding) as lines:
        top = list(islice(lines, 200))
    declared = re.fullmatch('"?sep=(.)"?', "".join(top[:1]).strip())
    start = 1 if declared else 0
    rows: list[tuple[int, int, int, str, list[str]]] = []
    for delimiter in declared[1] if declared else _DELIMITERS:
        reader = csv.reader(top[start:], delimiter=delimiter)
        with suppress(csv.Error):
            for row in filter(any, islice(reader, _HEADER_WITHIN)):
                names = known(row)
                rows.append((names, 0 if names else len(row), -reader.line_num, delimiter, row))
    if not rows:
        raise ImportFileError(f"{path.name} has no header line")
    _, _, line, delimiter, header = max(rows, key=lambda found: found[:3])
    return Source(path, "csv", _unique(header), encoding, delimiter, start - line)


def _unique(header: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for place, cell in enumerate(header, 1):
        name = cell.strip() or f"column {place}"
        count = sum(other == name or other.startswith(f"{name}#") for other in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return tuple(names)


def _open_json(path: Path, encoding: str) -> Source:
    columns: dict[str, None] = {}
    for record in _json_records(path, encoding):
        columns |= dict.fromkeys(record.cells)
    if not columns:
        raise ImportFileError(f"{path.name} holds no records")
    return Source(path, "json", tuple(columns), encoding)


def _open_workbook(path: Path, known: Known) -> Source:
    rows, note = _sheet(path)
    top = list(islice(rows, _HEADER_WITHIN))
    ranks = [(known(row), -place) for place, row in enumerate(top) if any(row)]
    if not ranks:
        raise ImportFileError(f"the first sheet of {path.name} is empty: put the list there")
    place = -max(ranks)[1]
    return Source(path, "workbook", _unique(top[place]), header_line=place + 1, note=note)


def _sheet(path: Path) -> tuple[Iterator[list[str]], str]:
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
    return str(value)


def documents(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    """Yield each JSON document of a file, with its line: the one that it is, or one a line.

    A line that is not JSON yields a ``ValueError`` in place of a document. Numbers stay the text
    that they are in the file.

    Raises:
        ImportFileError: The file is one document, and is not JSON.
    """
    with _text_of(path, encoding) as lines:
        first = next((text for text in lines if text.strip()), "")
    if not isinstance(_document(first), ValueError):
        with _text_of(path, encoding) as lines:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield number, _document(text)
        return
    whole = _document(path.read_text(encoding))
    if isinstance(whole, ValueError):
        raise ImportFileError(f"{path.name} is neither JSON nor JSON Lines: {whole}")
    yield 1, whole


def _document(text: str) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError:
        return ValueError("it is nested too deeply")
    except ValueError as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        return ValueError(f"{getattr(error, 'msg', error)}{place}")


def _json_records(path: Path, encoding: str) -> Iterator[Record]:
    """Yield the records of a JSON file; a name within an object has dots: ``customer.email``."""
    for number, document in documents(path, encoding):
        entries = document if isinstance(document, list) else [document]
        for place, entry in enumerate(chain.from_iterable(map(_entries, entries)), number):
            if not isinstance(entry, dict):
                is_json = not isinstance(entry, ValueError)
                fault = "is not a JSON object" if is_json else f"is not JSON: {entry}"
                yield Record(place, {}, fault)
                continue
            cells = dict(_cells(entry, ""))
            yield Record(cells.get("id", place) if "profile" in entry else place, cells)


def _entries(document: Any) -> Sequence[Any]:
    """Return the records of a document: a Klaviyo page's events, each with its profile."""
    if isinstance(document, dict) and len(document) == 1:
        # {"subscribers": [...]}
        (only,) = document.values()
        if isinstance(only, list) and "data" not in document:
            return only
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        return [document]
    included = document.get("included")
    profiles = {
        str(other.get("id")): other.get("attributes")
        for other in (included if isinstance(included, list) else [])
        if isinstance(other, dict) and other.get("type") == "profile"
    }
    return [_with_profile(event, profiles) for event in document["data"]]


def _with_profile(event: Any, profiles: dict[str, Any]) -> Any:
    try:
        profile = profiles.get(event["relationships"]["profile"]["data"]["id"])
    except (TypeError, KeyError):
        profile = None
    return {**event, "profile": profile or {"email": None}} if isinstance(event, dict) else event


def _cells(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _cells(part, f"{name}.{key}" if name else key)
    elif isinstance(value, str):
        yield name, value
    else:
        yield name, "" if value is None else json.dumps(value, ensure_ascii=False)
