"""Apply scripts/corrections.json, JSON Patches with a reason each, to a copy of the spec."""

import copy
import json
from pathlib import Path
from typing import Any

from attrs import field, frozen
from jsonpatch import JsonPatch, JsonPatchException, apply_patch
from jsonpointer import JsonPointer, JsonPointerException, resolve_pointer

from pipeline.exits import ROOT, Exit, RunError, one_line

CORRECTIONS = ROOT / "scripts" / "corrections.json"
IGNORED_HEADERS = {"accept", "authorization", "content-type"}


class Place(JsonPointer):
    """A JSON Pointer that follows each ``$ref`` on its way."""

    def to_last(self, doc: Any) -> tuple[Any, Any]:
        """Return what holds the place, and the last step to it."""
        holder = doc
        for part in self.parts[:-1]:
            holder = followed(self.walk(holder, part), doc)
        return holder, self.get_part(holder, self.parts[-1])


def followed(value: Any, document: Any) -> Any:
    """Return what a ``$ref`` leads to, or `value` itself if it is none."""
    while isinstance(value, dict) and "$ref" in value:
        value = resolve_pointer(document, value["$ref"].removeprefix("#"))
    return value


@frozen
class Correction:
    """A JSON Patch and its reason."""

    name: str
    reason: str
    operations: JsonPatch = field(converter=JsonPatch)

    def apply(self, document: Any, name: str) -> Any:
        """Return `document` with the correction; an equal one if it is done already.

        A ``test`` of a type also holds for a list of types with that one in it. A ``remove`` of
        what is gone is done already.
        """
        result = document
        for operation in self.operations:
            kind, place, wanted = operation["op"], operation["path"], operation.get("value")
            try:
                holder, last = Place(place).to_last(result)
                found = holder[last] if kind in ("test", "remove") else None
                if kind != "test" or not isinstance(found, list) or wanted not in found:
                    result = apply_patch(result, [operation], pointer_cls=Place)
            except (JsonPatchException, JsonPointerException, LookupError) as error:
                is_gone = isinstance(error, LookupError | JsonPointerException)
                if is_gone and any(each["op"] == "remove" for each in self.operations):
                    return document
                expected = json.dumps(wanted) if kind == "test" else f"to {kind}"
                raise RunError(
                    f"correction {self.name!r} does not fit {name}: at {place} it expects"
                    f" {expected}: {one_line(error, 200)}. Its reason was: {self.reason}"
                    " Decide anew, and edit scripts/corrections.json",
                    Exit.CORRECTION_DOES_NOT_FIT,
                ) from error
        return result


def load(path: Path = CORRECTIONS) -> list[Correction]:
    """Return the corrections in `path`: a JSON list of {name, reason, operations}."""
    try:
        return [Correction(**each) for each in json.loads(path.read_bytes())]
    except (TypeError, ValueError, JsonPatchException) as error:
        form = "a list of {name, reason, operations}, the operations a JSON Patch"
        raise RunError(f"{path} is not {form}: {error}", Exit.CORRECTION_DOES_NOT_FIT) from error


def corrected(document: Any, corrections: list[Correction], name: str) -> Any:
    """Return a copy of `document` with all `corrections` applied; stop where one does not fit."""
    result = without_ignored_headers(document)
    for correction in corrections:
        result = correction.apply(result, name)
    return result


def without_ignored_headers(document: Any) -> Any:
    """Return a copy of `document` without the header parameters that OpenAPI says to ignore.

    "If in is "header" and the name field is "Accept", "Content-Type" or "Authorization", the
    parameter definition SHALL be ignored" (OpenAPI, Parameter Object). The generator does not.
    """
    document = copy.deepcopy(document)
    for item in document.get("paths", {}).values():
        for holder in (item, *item.values()):
            if isinstance(holder, dict) and "parameters" in holder:
                stated = [(each, followed(each, document)) for each in holder["parameters"]]
                holder["parameters"] = [
                    each
                    for each, one in stated
                    if one["in"] != "header" or one["name"].lower() not in IGNORED_HEADERS
                ]
    return document
