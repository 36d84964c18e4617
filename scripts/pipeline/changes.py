"""Compare two specs: what changed, operation by operation, and for whom it is breaking."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen
from deepdiff import DeepDiff
from jsonpointer import resolve_pointer

from pipeline.corrections import without_ignored_headers
from pipeline.exits import one_line

Class = Literal["breaking", "compatible", "prose"]
METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}
PROSE = {
    *("description", "summary", "title", "example", "examples", "deprecated", "externalDocs"),
    *("tags", "operationId", "default"),
}
WHOLE = "the whole file"


@frozen
class Change:
    """One change, as it concerns those who call the operation.

    Attributes:
        operation: ``POST /intents.json``, or ``the whole file``.
        part: Of the operation: ``request``, ``answer 201``, ``header X-Shop``, ``credentials``…
        field: Dotted path within the part, ``customer.tags[]``; empty for the part itself.
        keyword: What was said of the field: ``pattern``, ``enum fax``; empty for all of it.
        kind: ``new``, ``gone`` or ``changed``.
        old, new: The values, None where there is none.
    """

    operation: str
    part: str
    field: str
    keyword: str
    kind: str
    old: Any = None
    new: Any = None

    @property
    def severity(self) -> Class:
        """The class of the change for those who call the operation today."""
        word, sent = self.keyword.partition(" ")[0], not self.part.startswith("answer ")
        if self.operation == WHOLE:
            return "breaking" if word == "server" else "prose"
        if word in PROSE or word.startswith("x-"):
            return "prose"
        if word == "type":
            was, is_now = (set(str(side or "").split("|")) for side in (self.old, self.new))
            return "compatible" if (was <= is_now if sent else is_now <= was) else "breaking"
        if word == "required":
            is_breaking = (self.new is True) == sent
        elif word == "enum":
            is_breaking = sent and self.kind != "new"
        elif self.part == "credentials":
            is_breaking = self.kind != "gone"
        elif word and self.part != "request media":
            # A bound, a pattern, a format.
            is_breaking = self.kind != "gone" and (sent or word == "format")
        elif self.field or sent:
            stated = self.new.get("", self.new) if isinstance(self.new, dict) else {}
            is_breaking = self.kind == "gone" or (sent and stated.get("required") is True)
        else:
            is_breaking = self.kind == "gone" and self.part.startswith("answer 2")
        return "breaking" if is_breaking else "compatible"

    def __str__(self) -> str:
        where = " ".join(filter(None, [self.part, self.field, self.keyword])) or "operation"
        if self.kind == "changed" and self.old != self.new:
            return f"changed: {where}: {_short(self.old)} -> {_short(self.new)}"
        value = self.old if self.kind == "gone" else self.new
        if self.field and not self.keyword:
            needs = "required" if value.get("required") else "optional"
            return f"{self.kind}: {where} ({needs}, {value.get('type', 'of any type')})"
        is_told = value not in (None, True) and not isinstance(value, dict)
        return f"{self.kind}: {where}: {_short(value)}" if is_told else f"{self.kind}: {where}"


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Return each change from `old` to `new`, with all ``$ref`` followed; [] if they are equal.

    Enums are compared as sets, parameters and answers by name.
    """
    found = []
    compared = DeepDiff(_flat(old), _flat(new), view="tree", threshold_to_diff_deeper=0)
    for report, entries in compared.items():
        kind = {"added": "new", "removed": "gone"}.get(report.rpartition("_")[2], "changed")
        for entry in entries:
            path = [str(each) for each in entry.path(output_format="list")]
            operation, part, field = (*path, "", "")[:3]
            was = None if kind == "new" else entry.t1
            is_now = None if kind == "gone" else entry.t2
            keyword = " ".join(path[3:])
            found.append(Change(operation, part, field, keyword, kind, was, is_now))
    # A field that is new or gone stands for those below it.
    whole = {(c.operation, c.part, c.kind, c.field) for c in found if c.field and not c.keyword}
    for each in list(found):
        above = (each.field[: mark.start()] for mark in re.finditer(r"\.|\[", each.field))
        if any((each.operation, each.part, each.kind, field) in whole for field in above):
            found.remove(each)
    if not found and old != new:
        found.append(Change(WHOLE, "written otherwise, with the same meaning", "", "", "changed"))
    return sorted(found, key=lambda each: (each.operation, each.part, each.field, each.keyword))


def worst(found: list[Change]) -> Class | None:
    """Return the class of all changes together; None where there is none."""
    classes: tuple[Class, ...] = ("breaking", "compatible", "prose")
    return next((each for each in classes if each in {c.severity for c in found}), None)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is stated, by operation, part, field and keyword."""
    whole = {"server": (document.get("servers") or [{}])[0].get("url")}
    whole |= {key: document[key] for key in ("openapi", "info") if key in document}
    flat: dict[str, Any] = {WHOLE: {"": {"": whole}}}
    for path, item in without_ignored_headers(document).get("paths", {}).items():
        stated = _inlined(item, document)
        for method in METHODS & stated.keys():
            shared = {"parameters": [], "security": document.get("security", []), **stated}
            flat[f"{method.upper()} {path}"] = dict(_parts(stated[method], shared, document))
    return flat


def _parts(
    operation: dict[str, Any], shared: dict[str, Any], document: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part of an operation, with what is stated of each of its fields."""
    yield "", {"": {key: value for key, value in operation.items() if key in PROSE}}
    for parameter in [*shared["parameters"], *operation.get("parameters", [])]:
        yield f"{parameter['in']} {parameter['name']}", _stated(parameter)
    if body := operation.get("requestBody"):
        yield "request", _stated(body)
        yield "request media", {"": dict.fromkeys(body["content"], True)}
    for status, answer in operation.get("responses", {}).items():
        yield f"answer {status}", _stated(answer)
    schemes = document.get("components", {}).get("securitySchemes", {})
    required = operation.get("security", shared["security"])
    yield "credentials", {"": {name: schemes.get(name) for each in required for name in each}}


def _stated(part: dict[str, Any]) -> dict[str, Any]:
    """Return what is stated of each field of a parameter, request body or answer."""
    own = {key: value for key, value in part.items() if key not in ("schema", "content", "headers")}
    media = next(iter(part.get("content", {}).values()), part)
    fields = dict(_fields(media.get("schema", {})))
    return fields | {"": fields[""] | own}


def _fields(
    schema: dict[str, Any], path: str = "", **more: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each field of a schema, with what is stated of it; lists of names become objects."""
    stated = dict(schema)
    named, required = stated.pop("properties", {}), stated.pop("required", [])
    stated |= more
    if kinds := stated.pop("type", None):
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        stated["type"] = "|".join(sorted(kinds | {"null"} if stated.pop("nullable", 0) else kinds))
    if "enum" in stated:
        words = [each if isinstance(each, str) else json.dumps(each) for each in stated["enum"]]
        stated["enum"] = dict.fromkeys(words, True)
    for name in {*named, *required}:
        is_required = {"required": True} if name in required else {}
        yield from _fields(named.get(name, {}), f"{path}.{name}".lstrip("."), **is_required)
    if isinstance(stated.get("items"), dict):
        yield from _fields(stated.pop("items"), f"{path}[]")
    yield path, stated


def _inlined(value: Any, document: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return `value` with references followed, as far as they do not lead back."""
    if isinstance(value, list):
        return [_inlined(item, document, within) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(target := value.get("$ref"), str):
        if target in within:
            return {"recursive": target}
        found = resolve_pointer(document, target.removeprefix("#"))
        return _inlined(found, document, (*within, target))
    return {key: _inlined(item, document, within) for key, item in value.items()}


def _short(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 160)
