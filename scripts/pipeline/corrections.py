"""Apply scripts/corrections.json, JSON Patches with a reason each, to a copy of the spec."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Literal

from jsonpatch import JsonPatch, JsonPatchException, apply_patch
from jsonpointer import JsonPointer, JsonPointerException, resolve_pointer

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
            if not (correction["name"] and correction["reason"] and correction["operations"]):
                raise ValueError("an empty value")  # noqa: TRY301
            JsonPatch(correction["operations"])
    except (TypeError, LookupError, ValueError, RunError, JsonPatchException) as error:
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
    result, removes = document, correction["operations"][-1]["op"] == "remove"
    for operation in correction["operations"]:
        kind, place = operation["op"], through_references(result, operation["path"])
        found = resolve_pointer(result, place, NOTHING)
        if found is NOTHING and removes and kind != "add":
            return document, "done already"
        if kind == "test" and isinstance(found, list) and operation["value"] in found:
            continue
        try:
            result = apply_patch(result, [operation | {"path": place}])
        except (JsonPatchException, JsonPointerException) as error:
            is_there = "nothing" if found is NOTHING else one_line(json.dumps(found), 120)
            wanted = f"expects {json.dumps(operation.get('value'))} and"
            wanted = wanted if kind == "test" else f"cannot {kind}:"
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
            if isinstance(holder, dict) and "parameters" in holder:
                holder["parameters"] = [
                    each
                    for each in holder["parameters"]
                    if each.get("in") != "header" or each["name"].lower() not in IGNORED_HEADERS
                ]
    return document


def through_references(document: Any, place: str) -> str:
    """Return `place` with each object that is a ``$ref`` replaced by what it refers to."""
    reached = ""
    for part in JsonPointer(place).parts:
        found = resolve_pointer(document, reached, None)
        while isinstance(found, dict) and "$ref" in found:
            reached = found["$ref"].removeprefix("#")
            found = resolve_pointer(document, reached, None)
        reached += pointer(part)
    return reached
