"""Apply scripts/corrections.json, JSON Patches with a reason each, to a copy of the spec."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal

import jsonpatch
import jsonpointer

from pipeline.document import parsed, pointer
from pipeline.exits import Exit, RunError, one_line, shown

NOTHING = object()
IGNORED_HEADERS = {"accept", "authorization", "content-type"}

State = Literal["applied", "done already"]


def load(path: Path) -> list[dict[str, Any]]:
    """Return the corrections in `path`: a JSON list of {name, reason, operations}."""
    try:
        corrections: list[dict[str, Any]] = parsed(path.read_bytes(), shown(path))
        for correction in corrections:
            texts = [correction["name"], correction["reason"]]
            operations = correction["operations"]
            if not operations or not all(isinstance(text, str) for text in texts):
                raise ValueError  # noqa: TRY301
            jsonpatch.JsonPatch(operations)
    except (TypeError, LookupError, ValueError, RunError, jsonpatch.JsonPatchException) as error:
        form = "a list of {name, reason, operations}, the operations a JSON Patch"
        raise RunError(Exit.CORRECTION, f"{shown(path)} is not {form}: {error}") from error
    return corrections


def corrected(document: Any, corrections: list[dict[str, Any]], name: str) -> Any:
    """Return a copy of `document` with all `corrections` applied; stop where one does not fit."""
    result = without_ignored_headers(document)
    for correction in corrections:
        result, _ = apply(result, correction, name)
    return result


def apply(document: Any, correction: dict[str, Any], name: str) -> tuple[Any, State]:
    """Return `document` with one correction, and whether that changed anything.

    Places are looked up through ``$ref``. A ``test`` of a type also holds for a list of types
    with that one in it. A ``remove`` of what is gone is done already.
    """
    result = document
    for operation in correction["operations"]:
        place = through_references(result, operation["path"])
        found = jsonpointer.resolve_pointer(result, place, NOTHING)
        kind, expected = operation["op"], operation.get("value")
        if kind == "remove" and found is NOTHING:
            return document, "done already"
        among = kind == "test" and place.endswith("/type") and isinstance(found, list)
        if among and expected in found:
            continue
        try:
            result = jsonpatch.apply_patch(result, [operation | {"path": place}])
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
            removes = correction["operations"][-1]["op"] == "remove"
            if removes and kind == "test" and found is NOTHING:
                return document, "done already"
            is_there = "nothing" if found is NOTHING else one_line(json.dumps(found), 120)
            wanted = f"expects {json.dumps(expected)} and" if kind == "test" else f"cannot {kind}:"
            raise RunError(
                Exit.CORRECTION,
                f"correction {correction['name']!r} does not fit {name}: at {place} it {wanted}"
                f" finds {is_there}. Its reason was: {correction['reason']} Decide anew, and edit"
                " scripts/corrections.json",
            ) from error
    return result, "applied" if result != document else "done already"


def without_ignored_headers(document: Any) -> Any:
    """Return a copy of `document` without the header parameters that OpenAPI says to ignore.

    "If in is "header" and the name field is "Accept", "Content-Type" or "Authorization", the
    parameter definition SHALL be ignored" (OpenAPI, Parameter Object). The generator does not.
    """
    document = copy.deepcopy(document)
    for item in document.get("paths", {}).values():
        for holder in (item, *item.values()):
            if isinstance(holder, dict) and isinstance(holder.get("parameters"), list):
                holder["parameters"] = [
                    each
                    for each in holder["parameters"]
                    if each.get("in") != "header"
                    or str(each.get("name")).lower() not in IGNORED_HEADERS
                ]
    return document


def through_references(document: Any, place: str) -> str:
    """Return `place` with each object that is a ``$ref`` replaced by what it refers to."""
    reached = ""
    parts = jsonpointer.JsonPointer(place).parts
    for part in parts:
        found = jsonpointer.resolve_pointer(document, reached, None)
        while isinstance(found, dict) and isinstance(found.get("$ref"), str):
            reached = found["$ref"][1:]
            found = jsonpointer.resolve_pointer(document, reached, None)
        reached += pointer(part)
    return reached
