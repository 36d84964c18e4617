"""Say what a changed spec means for what is written by hand: rules, corrections, inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import corrections
from pipeline.changes import Change
from pipeline.exits import RunError, one_line
from stoqapp.inputs import INPUTS
from stoqapp.rules import RULES
from stoqapp.spec import ANNOTATIONS, CHECKED, INTENTS_PATH, SHOP_HEADER, Spec

OPERATION = f"POST {INTENTS_PATH}"


def lost_words(document: dict[str, Any]) -> list[tuple[list[str], str, str, str]]:
    """Return what rules quote and `document` lacks: their names, place, words, and words now."""
    if (spec := _readable(document)) is None:
        return []
    quoting = defaultdict(list)
    for rule in RULES:
        for quote in rule.quotes:
            if quote.words not in spec.words_at(quote.place):
                quoting[quote.place, quote.words].append(rule.name)
    return [
        (names, place, words, one_line(spec.words_at(place)) or "nothing")
        for (place, words), names in quoting.items()
    ]


def fitting(document: dict[str, Any], path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield each correction's name, what becomes of it, and whether it fits."""
    document = corrections.without_ignored_headers(document)
    for correction in corrections.load(path):
        try:
            document, state = corrections.apply(document, correction, "the new spec")
        except RunError as error:
            yield correction["name"], str(error), False
        else:
            yield correction["name"], state, True


def edits(found: list[Change], document: dict[str, Any], path: Path) -> Iterator[str]:
    """Yield what a person has to edit; what the schemas state needs no edit."""
    for names, place, _, _ in lost_words(document):
        yield (
            f"overlays/stoqapp/rules.py, {', '.join(names)}: see whether the rule and its"
            f" message still hold, and quote the new words for {place}"
        )
    for name, state, fits in fitting(document, path):
        if not fits:
            yield f"scripts/corrections.json, {name}: {state}"
    if spec := _readable(document):
        arguments = {row.path for row in INPUTS.values()}
        for place, schema in spec.required.items():
            # A field with one possible value is not asked for.
            if len(schema.enum) != 1 and place not in arguments:
                yield f"overlays/stoqapp/inputs.py: give {place}, which is required, a row"
    else:
        yield f"overlays/stoqapp/spec.py: say where {OPERATION} and its JSON body are now"
    for change in found:
        if change.operation == OPERATION and (edit := _edit_for(change)):
            yield edit


def _readable(document: dict[str, Any]) -> Spec | None:
    """Return the spec as the SDK reads it, None if it lacks what the SDK looks for."""
    spec = Spec(document)
    try:
        return spec if spec.request and spec.headers else None
    except (KeyError, StopIteration, TypeError):
        return None


def _edit_for(change: Change) -> str | None:
    word, _, value = change.keyword.partition(" ")
    if change.part == f"header {SHOP_HEADER}" and change.kind == "gone":
        return "overlays/stoqapp/spec.py: say in SHOP_HEADER what names the shop now"
    if change.part == "credentials" and change.kind == "new":
        return f"overlays/stoqapp/settings.py: give the clients an argument for {change.keyword}"
    if change.part.startswith(("header", "query", "cookie")) and change.severity == "breaking":
        return f"overlays/stoqapp/settings.py: send the {change.part} as the spec now asks"
    if (change.part, change.field, word) == ("request", "intent.channel", "enum"):
        what = "take out" if change.kind == "gone" else "add, with its quote,"
        return f"overlays/stoqapp/rules.py, CHANNELS: {what} the channel {value!r}"
    is_unchecked = word and word not in CHECKED | ANNOTATIONS and not word.startswith("x-")
    if change.part == "request" and change.kind != "gone" and is_unchecked:
        return f"overlays/stoqapp/spec.py: {change.field} states {word}, which is not checked"
    return None
