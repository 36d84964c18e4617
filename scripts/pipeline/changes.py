"""Compare two specs: what changed, operation by operation, and for whom it is breaking."""

import json
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
# How the names of fields, and of the items of a list, begin in what is compared.
FIELD = (".", "[")


@frozen
class Change:
    """One change, as it concerns those who call the operation.

    Attributes:
        operation: ``POST /intents.json``, or ``the whole file``.
        part: Of the operation: ``request``, ``answer 201``, ``header X-Shop``; empty for itself.
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
        word, gone = self.keyword.partition(" ")[0], self.kind == "gone"
        if word in PROSE or word.startswith("x-") or (self.operation == WHOLE and word != "server"):
            return "prose"
        was, is_now = (set(str(side).split("|")) for side in (self.old, self.new))
        is_required = isinstance(self.new, dict) and self.new.get("required") is True
        is_answer, is_read = self.part.startswith("answer "), self.part.startswith("answer 2")
        # Whether it is breaking where callers send it, and where they are answered with it.
        table = {
            "": (gone or is_required, gone and bool(self.field or is_read)),
            "type": (not was <= is_now, not is_now <= was),
            "required": (self.new is True, self.new is not True),
            "format": (not gone, not gone),
            "enum": (gone, False),
            "media": (gone, False),
        }
        # The others are bounds, patterns, servers and credentials.
        return "breaking" if table.get(word, (not gone, False))[is_answer] else "compatible"

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
            operation, *within = map(str, entry.path(output_format="list"))
            part, steps = "".join(within[:1]), within[1:]
            field = "".join(step for step in steps if step[:1] in FIELD).lstrip(".")
            keyword = " ".join(step for step in steps if step[:1] not in FIELD)
            was = None if kind == "new" else entry.t1
            is_now = None if kind == "gone" else entry.t2
            found.append(Change(operation, part, field, keyword, kind, was, is_now))
    if not found and old != new:
        found.append(Change(WHOLE, "", "", "written otherwise, with the same meaning", "changed"))
    return sorted(found, key=lambda each: (each.operation, each.part, each.field, each.keyword))


def worst(found: list[Change]) -> Class | None:
    """Return the class of all changes together; None where there is none."""
    # In the order of the alphabet, as it happens.
    return min((each.severity for each in found), default=None)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is stated, by operation and part."""
    whole = {"server": (document.get("servers") or [{}])[0].get("url")}
    whole |= {key: document[key] for key in ("openapi", "info") if key in document}
    flat: dict[str, Any] = {WHOLE: {"": whole}}
    for path, item in without_ignored_headers(document).get("paths", {}).items():
        stated = _inlined(item, document)
        for method in METHODS & stated.keys():
            shared = {"parameters": [], "security": document.get("security", []), **stated}
            flat[f"{method.upper()} {path}"] = dict(_parts(stated[method], shared, document))
    return flat


def _parts(
    operation: dict[str, Any], shared: dict[str, Any], document: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part of an operation, with what is stated of it."""
    own = {key: value for key, value in operation.items() if key in PROSE}
    schemes = document.get("components", {}).get("securitySchemes", {})
    required = operation.get("security", shared["security"])
    credentials = {name: schemes.get(name) for each in required for name in each}
    yield "", own | {"credentials": credentials}
    for parameter in [*shared["parameters"], *operation.get("parameters", [])]:
        yield f"{parameter['in']} {parameter['name']}", _stated(parameter)
    if body := operation.get("requestBody"):
        yield "request", _stated(body, media=dict.fromkeys(body["content"], True))
    for status, answer in operation.get("responses", {}).items():
        yield f"answer {status}", _stated(answer)


def _stated(part: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what is stated of a parameter, request body or answer."""
    own = {key: value for key, value in part.items() if key not in ("schema", "content", "headers")}
    media = next(iter(part.get("content", {}).values()), part)
    return _tree(media.get("schema", {})) | own | more


def _tree(schema: dict[str, Any], **more: bool) -> dict[str, Any]:
    """Return a schema with a branch for each field and for items; lists of names become objects."""
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
        stated[f".{name}"] = _tree(named.get(name, {}), **is_required)
    if isinstance(stated.get("items"), dict):
        stated["[]"] = _tree(stated.pop("items"))
    return stated


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
