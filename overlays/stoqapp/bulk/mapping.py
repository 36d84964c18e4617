"""Which column of a file is which field, and what its words mean: data, read from TOML.

A mapping has four tables: ``columns`` (column = field), ``values`` (field, text = value),
``constants`` (field = value for every row) and, in presets, ``requires``, the columns that tell
the format. The presets and the column names that need none are files in ``presets/``.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from stoqapp.bulk.read import ImportFileError, Source, open_source
from stoqapp.inputs import INPUTS
from stoqapp.spec import SPEC

LEFT_OUT: Final = "-"
STATUSES: Final = ("waiting", "notified", "unsubscribed", "unconfirmed", "blocked")
DATES: Final = ("day-first", "month-first")
_ONE_OF: Final = {"status": STATUSES, "phones": ("international",)}


def plain_name(name: str) -> str:
    """Return a column's name as names are compared: without case, ``_``, ``-`` and ``.``."""
    return " ".join(re.split(r"[\s_.\-]+", name.strip().casefold())).strip()


def holds_contact(text: str) -> bool:
    """Whether there can be an e-mail address or a phone number in *text*."""
    return "@" in text or sum(char.isdigit() for char in text) >= 6


@cache
def _shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((files("stoqapp.bulk") / "presets" / f"{name}.toml").read_text("utf-8"))


@cache
def presets() -> Mapping[str, "ColumnMapping"]:
    """Return the mappings that ship with this package, by name."""
    found = (file.name for file in (files("stoqapp.bulk") / "presets").iterdir())
    names = {name.removesuffix(".toml") for name in found} - {"own", "words"}
    return {name: _mapping_from(_shipped(name), name) for name in sorted(names)}


@cache
def _own_names() -> Mapping[str, str]:
    """Return the fields of the column names that need no preset, by name."""
    own = _shipped("own")["columns"]
    return {plain_name(name): target for target, names in own.items() for name in names}


@cache
def words(kind: str) -> frozenset[str]:
    """Return the words of one kind: ``nothing``, ``true``, ``false`` or ``totals``."""
    return frozenset(_shipped("words")[kind])


@frozen
class ColumnMapping:
    """What the columns and words of a file mean.

    Attributes:
        name: Of the preset or file, for people.
        columns: Field of each column, by `plain_name`; ``-`` leaves a column out.
        values: What a text stands for, by field and case-folded text.
        constants: Value of a field for every row that has none of its own.
        requires: Columns that tell the format.
        dates: ``day-first`` or ``month-first`` where the format says so.
    """

    name: str = "column names"
    columns: Mapping[str, str] = field(factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    constants: Mapping[str, Any] = field(factory=dict)
    requires: tuple[str, ...] = ()
    dates: str | None = None

    def field_of(self, column: str) -> str | None:
        """Return the field of *column*: by this mapping, else by the names that need none."""
        name = plain_name(column)
        # A name that comes again is the same field, unless it is mapped with its number.
        first = re.sub("#[0-9]+$", "", name)
        return self.columns.get(name) or self.columns.get(first) or _own_names().get(first)

    def known(self, columns: Iterable[str]) -> int:
        """Return how many of *columns* have a field here or in a preset."""
        names = {plain_name(column) for column in columns} - {""}
        every = {*self.columns, *_own_names()}
        for preset in presets().values():
            every |= preset.columns.keys()
        return len(names & every)

    def fields_of(self, columns: Sequence[str]) -> dict[str, str]:
        """Return the column of each field, by field.

        Raises:
            ImportFileError: Two columns have one field, or no column holds a contact.
        """
        by_field: dict[str, str] = {}
        for column in columns:
            target = self.field_of(column)
            # A column of a field that the API no longer has is not used.
            is_gone = target in INPUTS and SPEC.field(INPUTS[target].path) is None
            if target is None or target == LEFT_OUT or is_gone:
                continue
            if target in by_field:
                raise ImportFileError(
                    f"two columns stand for {target}: {by_field[target]!r} and {column!r};"
                    f" leave one out, like --map {column!r}=-"
                )
            by_field[target] = column
        contacts = {"email", "phone", "push", "contact"}
        if not contacts & {*by_field, *self.constants}:
            if any(map(holds_contact, columns)):
                raise ImportFileError(
                    "the first line holds somebody's contact: put a line with the columns' names"
                    " above it"
                )
            shown = ", ".join(repr(column) for column in columns[:20])
            raise ImportFileError(
                f"no column holds a contact; the columns are {shown}. Name one, like --map"
                " 'Customer e-mail=email'"
            )
        return by_field

    def merged(self, other: "ColumnMapping") -> "ColumnMapping":
        """Return this mapping with what *other* says on top."""
        values = {target: dict(table) for target, table in self.values.items()}
        for target, table in other.values.items():
            values.setdefault(target, {}).update(table)
        return evolve(
            self,
            columns={**self.columns, **other.columns},
            values=values,
            constants={**self.constants, **other.constants},
            dates=other.dates or self.dates,
        )

    def to_toml(self, columns: Sequence[str]) -> str:
        """Return the mapping as a TOML file, with the columns of one file by their own names."""
        said = {column: self.field_of(column) or LEFT_OUT for column in columns}
        tables: list[tuple[str, Mapping[str, Any]]] = [("columns", said)]
        tables += [(f"values.{target}", table) for target, table in self.values.items()]
        tables += [("constants", self.constants)] if self.constants else []
        lines = [f"dates = {json.dumps(self.dates)}", ""] if self.dates else []
        for title, table in tables:
            lines.append(f"[{title}]")
            lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]
            lines.append("")
        return "\n".join(lines)


def preset_for(columns: Iterable[str]) -> ColumnMapping | None:
    """Return the preset whose required columns are all among *columns*; the one with most."""
    names = {plain_name(column) for column in columns}
    fit = [one for one in presets().values() if set(map(plain_name, one.requires)) <= names]
    return max(fit, key=lambda preset: len(preset.requires), default=None)


def mapping_for(
    path: Path,
    given: Path | None = None,
    maps: Iterable[str] = (),
    values: Iterable[str] = (),
    constants: Iterable[str] = (),
    *,
    encoding: str | None = None,
) -> tuple[Source, ColumnMapping]:
    """Open the file *path*; return it with its mapping: a file or a preset, then the options.

    Args:
        path: The file to import.
        given: A mapping in TOML; else the preset that fits the columns.
        maps: ``COLUMN=FIELD``, as on the command line.
        values: ``FIELD:TEXT=VALUE``.
        constants: ``FIELD=VALUE``.
        encoding: Of the file, see `stoqapp.bulk.read.open_source`.

    Raises:
        ImportFileError: The file, the mapping or an option cannot be used.
    """
    meanings: dict[str, dict[str, str]] = {}
    for left, value in _parted(values, "--value", "FIELD:TEXT=VALUE, like country:Suisse=ch"):
        target, _, text = left.partition(":")
        meanings.setdefault(target.strip(), {})[text.strip()] = value
    columns = dict(_parted(maps, "--map", "COLUMN=FIELD"))
    options = _mapping_from({"columns": columns}, "--map")
    options = options.merged(_mapping_from({"values": meanings}, "--value"))
    said = dict(_parted(constants, "--set", "FIELD=VALUE"))
    options = options.merged(_mapping_from({"constants": said}, "--set"))
    base = None
    if given is not None:
        try:
            base = _mapping_from(tomllib.loads(given.read_text("utf-8")), str(given))
        except (OSError, tomllib.TOMLDecodeError, UnicodeError) as error:
            raise ImportFileError(f"the mapping {given} cannot be read: {error}") from None
    known = (base or ColumnMapping()).merged(options).known
    source = open_source(path, known, encoding=encoding)
    if lacking := options.columns.keys() - set(map(plain_name, source.columns)):
        raise ImportFileError(f"--map: {path.name} has no column {min(lacking)!r}")
    base = base or preset_for(source.columns) or ColumnMapping()
    return source, base.merged(options)


def _parted(given: Iterable[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    for text in given:
        left, equals, right = text.rpartition("=")
        if not (equals and left.strip()) or (":" in form and ":" not in left):
            raise ImportFileError(f"{option} must be {form}")
        yield left.strip(), right.strip()


def _mapping_from(table: Mapping[str, Any], name: str) -> ColumnMapping:
    """Return the mapping that *table*, read from TOML, holds."""
    unknown = table.keys() - {"about", "requires", "dates", "columns", "values", "constants"}
    columns, values, constants = (
        table.get(part, {}) for part in ("columns", "values", "constants")
    )
    tables = [columns, values, constants, *(values.values() if isinstance(values, dict) else ())]
    if unknown or not all(isinstance(one, dict) for one in tables):
        raise ImportFileError(
            f"{name}: a mapping has the tables columns, values.FIELD and constants, and dates"
        )
    dates = table.get("dates")
    if dates not in (None, *DATES):
        raise ImportFileError(f"{name}: dates must be {' or '.join(DATES)}")
    for target in (*columns.values(), *values, *constants):
        _check_field(target, name)
    said = [(target, value) for target, texts in values.items() for value in texts.values()]
    for target, value in (*said, *constants.items()):
        one_of = _ONE_OF.get(target)
        if not isinstance(value, str | int):
            raise ImportFileError(f"{name}: {target} must become a text, a number or true/false")
        if one_of and value not in one_of:
            raise ImportFileError(f"{name}: {target} must become {' or '.join(one_of)}")
    return ColumnMapping(
        name=name,
        columns={plain_name(column): target for column, target in columns.items()},
        values={
            target: {text.casefold(): value for text, value in entries.items()}
            for target, entries in values.items()
        },
        constants=constants,
        requires=tuple(table.get("requires", ())),
        dates=dates,
    )


def _check_field(given: object, name: str) -> None:
    fields = [one for one in _shipped("own")["columns"] if one != LEFT_OUT]
    if given not in (LEFT_OUT, *fields):
        close = difflib.get_close_matches(str(given), fields, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; the fields are {', '.join(fields)}"
        raise ImportFileError(f"{name}: {given!r} is not a field{hint}")
