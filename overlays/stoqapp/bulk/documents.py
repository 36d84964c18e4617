"""Records, and the JSON documents that some files hold them in.

Read are one JSON document, JSON Lines, request bodies, and pages of Klaviyo's Events API.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO

from attrs import frozen

from stoqapp.errors import StoqError

_LARGEST_DOCUMENT: Final = 200_000_000
_JSON_TEXT: Final = {True: "true", False: "false", None: ""}

Line = int | str


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


def text_of(path: Path, encoding: str) -> TextIO:
    """Open a text; its lines keep their ends."""
    return path.open(encoding=encoding, newline="")


def documents(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    """Yield each JSON document of a file, with its line: the one that it is, or one a line.

    A line that is not JSON yields a ``ValueError`` in place of a document. Numbers stay the text
    that they are in the file.

    Raises:
        ImportFileError: The file is one document, and is not JSON or too large.
    """
    with text_of(path, encoding) as lines:
        first = next((text for text in lines if text.strip()), "")
    if isinstance(_document(first), ValueError):
        if path.stat().st_size > _LARGEST_DOCUMENT:
            raise ImportFileError(f"{path.name} is too large for one JSON document")
        with text_of(path, encoding) as file:
            whole = _document("".join(file))
        if isinstance(whole, ValueError):
            raise ImportFileError(f"{path.name} is neither JSON nor JSON Lines: {whole}")
        yield 1, whole
        return
    with text_of(path, encoding) as lines:
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield number, _document(text)


def _document(text: str) -> Any:
    try:
        return json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object
        )
    except RecursionError:
        return ValueError("it is nested too deeply")
    except ValueError as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        return ValueError(f"{getattr(error, 'msg', error)}{place}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice in one object")
    return found


def json_records(path: Path, encoding: str) -> Iterator[Record]:
    """Yield the records of a JSON file; a name within an object has dots: ``customer.email``."""
    for number, document in documents(path, encoding):
        if isinstance(document, ValueError):
            yield Record(number, {}, f"is not JSON: {document}")
            continue
        entries = document if isinstance(document, list) else [document]
        for place, entry in enumerate(chain.from_iterable(map(_entries, entries)), number):
            if not isinstance(entry, dict):
                yield Record(place, {}, "is not a JSON object")
                continue
            # What `--rows` writes wraps the body that would be sent.
            body = entry.get("body")
            if isinstance(body, dict) and "verdict" in entry:
                entry = {"shop": entry.get("shop"), **body}
            cells = dict(_cells(entry, ""))
            yield Record(cells.get("id", place) if "profile" in entry else place, cells)


def _entries(document: Any) -> Sequence[Any]:
    """Return the records of a document: a Klaviyo page's events, each with its profile."""
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        return [document]
    included = document.get("included")
    profiles = {
        other.get("id"): other.get("attributes")
        for other in (included if isinstance(included, list) else [])
        if isinstance(other, dict) and other.get("type") == "profile"
        if isinstance(other.get("id"), str)
    }
    return [_with_profile(event, profiles) for event in document["data"]]


def _with_profile(event: Any, profiles: dict[Any, Any]) -> Any:
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
    elif value is None or isinstance(value, bool):
        yield name, _JSON_TEXT[value]
    else:
        yield name, json.dumps(value, ensure_ascii=False)
