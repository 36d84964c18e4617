"""The list of people not to import: contacts, read from a file."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from stoqapp.bulk.cells import cleaned
from stoqapp.bulk.judge import contact_key
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.read import ImportFileError, Record, open_source
from stoqapp.errors import UnusableInputError
from stoqapp.readers import country_from, phone_from


def excluded_from_file(path: Path, *, encoding: str | None = None) -> frozenset[str]:
    """Return the contacts in *path*, as `stoqapp.bulk.judge.contact_key` has them.

    Read are the columns of e-mail addresses and phone numbers; a file of one column needs no
    header. A country column says whose the national numbers are.

    Raises:
        ImportFileError: There is no such column, or a cell in it is not a contact.
    """
    names = ColumnMapping()
    source = open_source(path, names.known, encoding=encoding)
    fields = {name: names.field_of(name) for name in source.columns}
    columns = [name for name, one in fields.items() if one in ("email", "phone", "contact")]
    country = next((name for name, one in fields.items() if one == "country"), None)
    records: Iterable[Record] = source
    if not columns and len(source.columns) == 1:
        # No header: its line is a contact, too.
        columns = list(source.columns)
        first = Record(source.header_line or 1, {columns[0]: columns[0]})
        records = chain([first], source)
    if not columns:
        raise ImportFileError(f"{path.name} has no column Email or Phone")
    found = set()
    for record in records:
        if record.fault:
            raise ImportFileError(f"line {record.line} of {path.name}: {record.fault}")
        whose = cleaned(record.cells[country]) if country else None
        for text in filter(None, (cleaned(record.cells.get(name, "")) for name in columns)):
            found.add(_contact(text, whose, path, record.line))
    return frozenset(found)


def _contact(text: str, country: str | None, path: Path, line: object) -> str:
    if "@" in text:
        return contact_key(text)
    try:
        whose = country_from(country).value if country else None
        return phone_from(text, whose).value
    except UnusableInputError:
        raise ImportFileError(
            f"line {line} of {path.name} is neither an e-mail address nor a phone number with"
            " '+' and country code"
        ) from None
