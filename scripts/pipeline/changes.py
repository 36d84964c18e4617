"""Compare two specs: what changed, operation by operation, and for whom it is breaking."""

import json
from itertools import chain
from typing import Any, Literal, NamedTuple

from deepdiff import DeepDiff
from deepdiff.helper import notpresent
from jsonpointer import resolve_pointer

from pipeline.corrections import without_ignored_headers
from pipeline.exits import one_line

Class = Literal["breaking", "compatible", "prose"]
METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}
PROSE = {
    *("description", "summary", "title", "example", "examples", "deprecated", "externalDocs"),
    *("tags", "operationId", "default", "openapi", "info"),
}
WHOLE = "the whole file"
# How the names of fields, and of the items of a list, begin in what is compared.
FIELD = (".", "[")


class Change(NamedTuple):
    """One change.

    Attributes:
        operation: ``POST /intents.json``, or ``the whole file``.
        severity: Its class for those who call the operation today.
        text: ``new: request customer.tags (optional, array)``.
    """

    operation: str
    severity: Class
    text: str


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Return each change from `old` to `new`, with all ``$ref`` followed; [] if they are equal.

    Enums are compared as sets, parameters and answers by name.
    """
    compared = DeepDiff(_flat(old), _flat(new), view="tree", threshold_to_diff_deeper=0)
    found = []
    for entry in sorted(chain(*compared.values()), key=lambda entry: str(entry.path())):
        operation, *within = map(str, entry.path(output_format="list"))
        steps = within[1:]
        # A part of the operation, the dotted path of a field in it, and what is said of the field.
        part = "".join(within[:1])
        field = "".join(step for step in steps if step.startswith(FIELD)).lstrip(".")
        keyword = " ".join(step for step in steps if not step.startswith(FIELD))
        values = [None if each is notpresent else each for each in (entry.t1, entry.t2)]
        severity = _severity(part, field, keyword, *values)
        found.append(Change(operation, severity, _text(part, field, keyword, *values)))
    if not found and old != new:
        found.append(Change(WHOLE, "prose", "changed: written otherwise, with the same meaning"))
    return found


def worst(found: list[Change]) -> Class | None:
    """Return the class of all changes together; None where there is none."""
    # In the order of the alphabet, as it happens.
    return min((each.severity for each in found), default=None)


def _severity(part: str, field: str, keyword: str, old: Any, new: Any) -> Class:
    word, gone = keyword.partition(" ")[0], new is None
    if word in PROSE or word.startswith("x-"):
        return "prose"
    was, is_now = (set(str(side).split("|")) for side in (old, new))
    is_required = isinstance(new, dict) and new.get("required") is True
    is_answer, is_read = part.startswith("answer "), part.startswith("answer 2")
    # Whether it is breaking where callers send it, and where they are answered with it.
    table = {
        "": (gone or is_required, gone and bool(field or is_read)),
        "type": (not was <= is_now, not is_now <= was),
        "required": (new is True, new is not True),
        "format": (not gone, not gone),
        "enum": (gone, False),
        "media": (gone, False),
        "server": (True, True),
    }
    # The others are bounds, patterns and credentials.
    return "breaking" if table.get(word, (not gone, False))[is_answer] else "compatible"


def _text(part: str, field: str, keyword: str, old: Any, new: Any) -> str:
    where = " ".join(filter(None, (part, field, keyword))) or "operation"
    if old is not None and new is not None:
        return f"changed: {where}: {_short(old)} -> {_short(new)}"
    kind, value = ("gone", old) if new is None else ("new", new)
    if field and not keyword:
        needs = "required" if value.get("required") else "optional"
        return f"{kind}: {where} ({needs}, {value.get('type', 'of any type')})"
    is_told = value is not True and not isinstance(value, dict)
    return f"{kind}: {where}: {_short(value)}" if is_told else f"{kind}: {where}"


def _short(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), 160)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is stated, by operation and part."""
    whole = {"server": (document.get("servers") or [{}])[0].get("url")}
    whole |= {key: document[key] for key in ("openapi", "info")}
    flat: dict[str, Any] = {WHOLE: {"": whole}}
    schemes = document.get("components", {}).get("securitySchemes", {})
    for path, item in without_ignored_headers(document).get("paths", {}).items():
        stated = _inlined(item, document)
        for method in METHODS & stated.keys():
            operation = {"security": document.get("security", [])} | stated[method]
            names = {name for each in operation["security"] for name in each}
            own = {key: value for key, value in operation.items() if key in PROSE}
            own["credentials"] = {name: schemes.get(name) for name in names}
            parts = {"": own}
            for each in [*stated.get("parameters", []), *operation.get("parameters", [])]:
                parts[f"{each['in']} {each['name']}"] = _stated(each)
            if body := operation.get("requestBody"):
                media = dict.fromkeys(body["content"], True)
                parts["request"] = _stated(body) | {"media": media}
            for status, answer in operation.get("responses", {}).items():
                parts[f"answer {status}"] = _stated(answer)
            flat[f"{method.upper()} {path}"] = parts
    return flat


def _stated(part: dict[str, Any]) -> dict[str, Any]:
    """Return what is stated of a parameter, request body or answer."""
    own = {key: value for key, value in part.items() if key not in ("schema", "content", "headers")}
    media = next(iter(part.get("content", {}).values()), part)
    return _tree(media.get("schema", {})) | own


def _tree(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with a branch for each field and for items; lists of names become objects."""
    stated = dict(schema)
    named, required = stated.pop("properties", {}), stated.pop("required", [])
    if kinds := stated.pop("type", None):
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        stated["type"] = "|".join(sorted(kinds | {"null"} if stated.pop("nullable", 0) else kinds))
    if "enum" in stated:
        words = [each if isinstance(each, str) else json.dumps(each) for each in stated["enum"]]
        stated["enum"] = dict.fromkeys(words, True)
    for name in {*named, *required}:
        stated[f".{name}"] = _tree(named.get(name, {}))
        if name in required:
            stated[f".{name}"]["required"] = True
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
