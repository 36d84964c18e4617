"""Apply scripts/corrections.json, JSON Patches with a reason each, to a copy of the spec."""

import copy
import json
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import min_len
from jsonpatch import JsonPatch, JsonPatchException, apply_patch
from jsonpointer import JsonPointer, JsonPointerException, resolve_pointer

from pipeline.exits import Exit, RunError, one_line, shown

IGNORED_HEADERS = {"accept", "authorization", "content-type"}

State = Literal["applied", "done already"]


class Place(JsonPointer):
    """A JSON Pointer that follows each ``$ref`` on its way."""

    def to_last(self, doc: Any) -> tuple[Any, Any]:
        """Return what holds the place, and the last step to it."""
        holder = doc
        for part in self.parts[:-1]:
            holder = self.walk(holder, part)
            while isinstance(holder, dict) and "$ref" in holder:
                holder = resolve_pointer(doc, holder["$ref"].removeprefix("#"))
        return holder, self.get_part(holder, self.parts[-1])


@frozen
class Correction:
    """A JSON Patch and its reason."""

    name: str
    reason: str
    operations: list[dict[str, Any]] = field(validator=min_len(1))

    def apply(self, document: Any, name: str) -> tuple[Any, State]:
        """Return `document` with the correction, and whether that changed anything.

        A ``test`` of a type also holds for a list of types with that one in it. A ``remove`` of
        what is gone is done already.
        """
        result, removes = document, self.operations[-1]["op"] == "remove"
        for operation in self.operations:
            kind, place = operation["op"], operation["path"]
            try:
                holder, last = Place(place).to_last(result)
                found = holder[last] if kind in ("test", "remove") else None
                if kind == "test" and isinstance(found, list) and operation.get("value") in found:
                    continue
                result = apply_patch(result, [operation], pointer_cls=Place)
            except (JsonPatchException, JsonPointerException, LookupError) as error:
                if removes and isinstance(error, LookupError | JsonPointerException):
                    return document, "done already"
                wanted = json.dumps(operation.get("value")) if kind == "test" else f"to {kind}"
                raise RunError(
                    Exit.CORRECTION,
                    f"correction {self.name!r} does not fit {name}: at {place} it expects"
                    f" {wanted}: {one_line(error, 200)}. Its reason was: {self.reason}"
                    " Decide anew, and edit scripts/corrections.json",
                ) from error
        return result, "applied" if result != document else "done already"


def load(path: Path) -> list[Correction]:
    """Return the corrections in `path`: a JSON list of {name, reason, operations}."""
    try:
        corrections = [Correction(**each) for each in json.loads(path.read_bytes())]
        for correction in corrections:
            JsonPatch(correction.operations)
    except (TypeError, ValueError, JsonPatchException) as error:
        form = "a list of {name, reason, operations}, the operations a JSON Patch"
        raise RunError(Exit.CORRECTION, f"{shown(path)} is not {form}: {error}") from error
    return corrections


def corrected(document: Any, corrections: list[Correction], name: str) -> Any:
    """Return a copy of `document` with all `corrections` applied; stop where one does not fit."""
    result = without_ignored_headers(document)
    for correction in corrections:
        result, _ = correction.apply(result, name)
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
                holder["parameters"] = [
                    each
                    for each in holder["parameters"]
                    if each.get("in") != "header" or each["name"].lower() not in IGNORED_HEADERS
                ]
    return document
