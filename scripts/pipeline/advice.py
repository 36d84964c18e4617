"""Say what a changed spec means for what is written by hand: rules, corrections, inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from pipeline import corrections
from pipeline.changes import Change
from pipeline.exits import RunError, one_line
from stoqapp.inputs import INPUTS
from stoqapp.rules import RULES
from stoqapp.spec import ANNOTATIONS, CHECKED, INTENTS_PATH, SHOP_HEADER, Spec

FITS = ("applied", "done already")


@frozen
class Lost:
    """A quote of one or more rules that the spec no longer has, and what it says there now."""

    rules: tuple[str, ...]
    place: str
    words: str
    now: str


def lost_words(document: dict[str, Any]) -> list[Lost]:
    """Return the words that rules quote and that `document` does not have at their place."""
    if (spec := _readable(document)) is None:
        return []
    quoting: dict[tuple[str, str], list[str]] = {}
    for rule in RULES:
        for quote in rule.quotes:
            if quote.words not in spec.words_at(quote.place):
                quoting.setdefault((quote.place, quote.words), []).append(rule.name)
    return [
        Lost(tuple(names), place, words, one_line(spec.words_at(place)) or "nothing")
        for (place, words), names in quoting.items()
    ]


def fitting(document: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    """Yield each correction's name, and ``applied``, ``done already`` or why it does not fit."""
    document = corrections.without_ignored_headers(document)
    for correction in corrections.load(path):
        try:
            document, state = corrections.apply(document, correction, "the new spec")
        except RunError as error:
            yield correction["name"], str(error)
        else:
            yield correction["name"], state


def edits(found: list[Change], document: dict[str, Any], path: Path) -> Iterator[str]:
    """Yield what a person has to edit; what the schemas state needs no edit."""
    operation = f"POST {INTENTS_PATH}"
    for lost in lost_words(document):
        yield (
            f"overlays/stoqapp/rules.py, {', '.join(lost.rules)}: see whether the rule and its"
            f" message still hold, and quote the new words for {lost.place}"
        )
    for name, state in fitting(document, path):
        if state not in FITS:
            yield f"scripts/corrections.json, {name}: {state}"
    if _readable(document) is None:
        yield f"overlays/stoqapp/spec.py: say where {operation} and its JSON body are now"
    for path_of_field in _required_without_argument(document):
        yield f"overlays/stoqapp/inputs.py: give {path_of_field}, which is required, a row"
    for change in found:
        if change.operation == operation:
            yield from _edits_for(change)


def _readable(document: dict[str, Any]) -> Spec | None:
    """Return the spec as the SDK reads it, None if it lacks what the SDK looks for."""
    spec = Spec(document)
    try:
        return spec if spec.request and spec.headers else None
    except (KeyError, TypeError):
        return None


def _required_without_argument(document: dict[str, Any]) -> list[str]:
    if (spec := _readable(document)) is None:
        return []
    rows = {row.path for row in INPUTS.values()}
    # A field with one possible value is not asked for.
    return [
        path for path, schema in spec.required.items() if len(schema.enum) != 1 and path not in rows
    ]


def _edits_for(change: Change) -> Iterator[str]:
    word = change.keyword.partition(" ")[0]
    if change.part == f"header {SHOP_HEADER}" and change.kind == "gone":
        yield "overlays/stoqapp/spec.py: say in SHOP_HEADER what names the shop now"
    elif change.part == "credentials" and change.kind == "new":
        yield f"overlays/stoqapp/settings.py: give the clients an argument for {change.keyword}"
    elif change.part.startswith(("header", "query", "cookie")) and change.severity == "breaking":
        yield f"overlays/stoqapp/settings.py: send the {change.part} as the spec now asks"
    elif change.part != "request":
        return
    elif (change.field, word) == ("intent.channel", "enum"):
        channel = change.keyword.partition(" ")[2]
        what = "take out" if change.kind == "gone" else "add, with its quote,"
        yield f"overlays/stoqapp/rules.py, CHANNELS: {what} the channel {channel!r}"
    elif change.kind == "gone":
        return
    elif word and word not in CHECKED | ANNOTATIONS and not word.startswith("x-"):
        yield f"overlays/stoqapp/spec.py: {change.field} states {word}, which is not checked"
