"""Compare two specs: what changed, operation by operation, and for whom it is breaking."""

from __future__ import annotations

import json
from typing import Any, Literal

from attrs import frozen
from deepdiff import DeepDiff
from jsonpointer import resolve_pointer

from pipeline.corrections import without_ignored_headers
from pipeline.exits import one_line

Class = Literal["breaking", "compatible", "prose"]
METHODS = ("get", "put", "post", "patch", "delete", "head", "options", "trace")
PROSE = {
    *("description", "summary", "title", "example", "examples", "deprecated", "externalDocs"),
    *("tags", "operationId", "default"),
}
WHOLE = "the whole file"
KINDS = {
    "dictionary_item_added": "new",
    "dictionary_item_removed": "gone",
    "values_changed": "changed",
    "type_changes": "changed",
}


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
            return "breaking" if self.part == "server" else "prose"
        if word in PROSE or word.startswith("x-") or self.part in PROSE:
            return "prose"
        if not self.part:
            return "compatible" if self.kind == "new" else "breaking"
        if self.part == "credentials":
            return "compatible" if self.kind == "gone" else "breaking"
        if not self.field and not word and not sent:
            is_lost = self.kind == "gone" and self.part.startswith("answer 2")
            return "breaking" if is_lost else "compatible"
        if not word:
            is_demand = isinstance(self.new, dict) and self.new.get("required") is True and sent
            return "compatible" if self.kind == "new" and not is_demand else "breaking"
        if word == "required":
            return "breaking" if (self.new is True) == sent else "compatible"
        if word == "enum":
            return "compatible" if self.kind == "new" or not sent else "breaking"
        if word == "type":
            was, is_now = (set(str(side or "").split("|")) for side in (self.old, self.new))
            return "compatible" if (was <= is_now if sent else is_now <= was) else "breaking"
        if sent:
            return "compatible" if self.kind == "gone" else "breaking"
        return "breaking" if word == "format" and self.kind != "gone" else "compatible"

    def __str__(self) -> str:
        where = " ".join(filter(None, [self.part, self.field, self.keyword])) or "operation"
        if self.kind == "changed" and self.old != self.new:
            return f"changed: {where}: {_short(self.old)} -> {_short(self.new)}"
        value = self.old if self.kind == "gone" else self.new
        told = f"{self.kind}: {where}"
        if self.field and not self.keyword and isinstance(value, dict):
            needs = "required" if value.get("required") else "optional"
            return f"{told} ({needs}, {value.get('type', 'of any type')})"
        return (
            told if value in (None, True) or isinstance(value, dict) else f"{told}: {_short(value)}"
        )


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Return each change from `old` to `new`, with all ``$ref`` followed; [] if they are equal.

    Enums are compared as sets, parameters and answers by name.
    """
    found = []
    compared = DeepDiff(_flat(old), _flat(new), view="tree", threshold_to_diff_deeper=0)
    for kind, entries in compared.items():
        for entry in entries:
            operation, *path = map(str, entry.path(output_format="list"))
            sides = {"old": entry.t1, "new": entry.t2}
            sides.pop({"new": "old", "gone": "new"}.get(KINDS[kind], ""), None)
            each_side = [(path, sides)]
            if path[-1:] == ["properties"]:
                # An object without fields that gets some, or the other way round.
                [(side, fields)] = sides.items()
                each_side = [([*path, name], {side: field}) for name, field in fields.items()]
            for place, values in each_side:
                found.append(Change(operation, *_place(place), KINDS[kind], **values))
    if not found and old != new:
        found.append(Change(WHOLE, "written otherwise, with the same meaning", "", "", "changed"))
    return sorted(found, key=lambda each: (each.operation, each.part, each.field, each.keyword))


def _place(path: list[str]) -> tuple[str, str, str]:
    """Return the part, the field and the keyword that `path` leads to."""
    names: list[str] = []
    rest: list[str] = []
    parts = iter(path[1:])
    for part in parts:
        if part == "properties":
            names, rest = [*names, next(parts)], []
        elif part == "items":
            names, rest = [*names, "[]"], []
        else:
            rest.append(part)
    return path[0] if path else "", ".".join(names).replace(".[]", "[]"), " ".join(rest)


def worst(found: list[Change]) -> Class | None:
    """Return the class of all changes together; None where there is none."""
    classes: tuple[Class, ...] = ("breaking", "compatible", "prose")
    return next((each for each in classes if each in {c.severity for c in found}), None)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return the operations of a spec in the form in which they are compared."""
    whole = {"server": (document.get("servers") or [{}])[0].get("url")}
    whole |= {key: document[key] for key in ("openapi", "info") if key in document}
    operations: dict[str, Any] = {WHOLE: whole}
    schemes = document.get("components", {}).get("securitySchemes", {})
    for path, item in without_ignored_headers(document).get("paths", {}).items():
        for method in METHODS:
            if method not in item:
                continue
            stated = _inlined(item[method], document)
            shared = _inlined(item.get("parameters", []), document)
            flat = {key: value for key, value in stated.items() if key in PROSE}
            for each in [*shared, *stated.get("parameters", [])]:
                flat[f"{each['in']} {each['name']}"] = each
            if "requestBody" in stated:
                body = dict(stated["requestBody"])
                content = body.pop("content", {})
                flat["request"] = {**_schema(content), **body}
                flat["request media"] = dict.fromkeys(content, True)
            for status, answer in stated.get("responses", {}).items():
                content = answer.get("content", {})
                schema = _schema(content)
                flat[f"answer {status}"] = {**schema, "description": answer.get("description")}
            required = stated.get("security", document.get("security", []))
            names = [name for each in required for name in each]
            flat["credentials"] = {name: schemes.get(name, {}) for name in names}
            operations[f"{method.upper()} {path}"] = flat
    return operations


def _inlined(value: Any, document: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return `value` with references followed; a schema's lists of names become objects."""
    if isinstance(value, list):
        return [_inlined(item, document, within) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(target := value.get("$ref"), str):
        if target in within:
            return {"recursive": target}
        return _inlined(resolve_pointer(document, target[1:]), document, (*within, target))
    flat = {key: _inlined(item, document, within) for key, item in value.items()}
    if isinstance(kinds := value.get("type"), str | list):
        kinds = [kinds] if isinstance(kinds, str) else kinds
        flat["type"] = "|".join(sorted({*kinds, *["null"] * bool(flat.pop("nullable", False))}))
    if isinstance(value.get("enum"), list):
        flat["enum"] = {
            each if isinstance(each, str) else json.dumps(each): True for each in value["enum"]
        }
    if isinstance(value.get("required"), list):
        for name in flat.pop("required"):
            flat.setdefault("properties", {}).setdefault(name, {})["required"] = True
    return flat


def _schema(content: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = next(iter(content.values()), {"schema": {}}).get("schema", {})
    return schema


def _short(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 160)
