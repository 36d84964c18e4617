"""The list of people not to import: contacts, read from a file."""

from pathlib import Path

from attrs import evolve

from stoqapp.bulk.cells import cleaned
from stoqapp.bulk.judge import contact_key
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.read import ImportFileError, open_source
from stoqapp.errors import UnusableInputError
from stoqapp.readers import phone_from


def excluded_from_file(path: Path) -> frozenset[str]:
    """Return the contacts in *path*, as `stoqapp.bulk.judge.contact_key` has them.

    Read are the columns of e-mail addresses and phone numbers; a file of one column needs no
    header. Numbers need ``+`` and their country code.

    Raises:
        ImportFileError: There is no such column, or a cell in it is not a contact.
    """
    names = ColumnMapping()
    source = open_source(path, names.known)
    columns = [
        name for name in source.columns if names.field_of(name) in ("email", "phone", "contact")
    ]
    if not columns and len(source.columns) == 1:
        # No header: its line is a contact, too.
        columns = list(source.columns)
        source = evolve(source, header_line=source.header_line - 1)
    if not columns:
        raise ImportFileError(f"{path.name} has no column Email or Phone")
    found = set()
    for record in source:
        if record.fault:
            raise ImportFileError(f"line {record.line} of {path.name}: {record.fault}")
        for text in filter(None, (cleaned(record.cells.get(name, "")) for name in columns)):
            try:
                if "@" not in text:
                    # Without its country code, a number could be several people's.
                    text = phone_from(text if text.startswith(("+", "00")) else "")
                found.add(contact_key(text))
            except UnusableInputError:
                raise ImportFileError(
                    f"line {record.line} of {path.name} is neither an e-mail address nor a phone"
                    " number with '+' and country code"
                ) from None
    return frozenset(found)
