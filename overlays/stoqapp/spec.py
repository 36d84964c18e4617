"""What `openapi.json`, the vendor's file, states of the request that creates an intent.

It is read when this module is imported, so that a field, pattern or server that the vendor changes
is followed without an edit. OpenAPI 3.0 and 3.1 are read, with `$ref` resolved.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import cached_property, reduce
from operator import getitem
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from attrs import frozen

FILE_NAME: Final = "openapi.json"
# The operation that this SDK calls, and the header that names the shop.
INTENTS_PATH: Final = "/intents.json"
SHOP_HEADER: Final = "X-Shopify-Shop-Domain"

# What each type is in Python, and in words.
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "integer": ((int,), "an integer"),
    "number": ((int, float), "a number"),
    "string": ((str,), "a string"),
    "boolean": ((bool,), "True or False"),
    "array": ((list,), "a list"),
    "object": ((dict,), "a dict or its model"),
    "null": ((type(None),), "None"),
}
# Patterns that can be said in words; of others the message shows the pattern.
_PATTERN_IN_WORDS: Final = {
    "^[a-z]{2}$": "must be two lower-case letters from a to z, like 'us'",
    "^[A-Z]{2}$": "must be two upper-case letters from A to Z, like 'US'",
}
_NUMBER: Final = (int, float)
_BOUNDS: Final[Mapping[str, tuple[Any, Callable[[Any, Any], bool], str]]] = {
    "minimum": (_NUMBER, operator.ge, "must be at least {}"),
    "maximum": (_NUMBER, operator.le, "must be at most {}"),
    "exclusiveMinimum": (_NUMBER, operator.gt, "must be more than {}"),
    "exclusiveMaximum": (_NUMBER, operator.lt, "must be less than {}"),
    "minLength": (str, operator.ge, "must have at least {} characters"),
    "maxLength": (str, operator.le, "must have at most {} characters"),
    "minItems": (list, operator.ge, "must have at least {} items"),
    "maxItems": (list, operator.le, "must have at most {} items"),
}
# The keywords of a schema that are checked, and those that state nothing about the value.
CHECKED: Final = frozenset(
    {"type", "nullable", "required", "properties", "items", "enum", "const", "pattern", *_BOUNDS}
)
ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "example", "examples", "deprecated", "format", "$comment"}
)


class Schema:
    """A schema of the file.

    Attributes:
        keywords: What it states, such as ``"maxLength"``.
        types: The JSON types that are allowed; empty where any is.
        python_types: The same as Python has them.
        in_words: The same for people.
        required: Names of the properties that must be there.
        enum: The values that are allowed; empty where none are listed.
        bounds: The bounds of a number, and of how long a string or array is, by keyword.
        pattern: The pattern of a string. Its ``$`` is the very end, and its ``\\d`` is 0-9.
    """

    def __init__(self, stated: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        self._document = document
        self.keywords: Mapping[str, Any] = _resolved(stated, document)
        keywords = self.keywords
        types = keywords.get("type", ())
        types = (types,) if isinstance(types, str) else tuple(types)
        self.types: tuple[str, ...] = types
        if types and keywords.get("nullable"):
            self.types = (*types, "null")
        self.python_types: tuple[type, ...] = tuple(
            python for type_ in self.types for python in _TYPES[type_][0]
        )
        self.in_words = " or ".join(_TYPES[type_][1] for type_ in self.types) or "a value"
        self.required: tuple[str, ...] = tuple(keywords.get("required", ()))
        only = (keywords["const"],) if "const" in keywords else ()
        self.enum: tuple[Any, ...] = tuple(keywords.get("enum", only))
        self.bounds: dict[str, Any] = {name: keywords[name] for name in _BOUNDS if name in keywords}
        for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            # OpenAPI 3.0 says with a boolean that the other bound is exclusive.
            if isinstance(self.bounds.get(exclusive), bool) and self.bounds.pop(exclusive):
                self.bounds[exclusive] = self.bounds.pop(bound)
        escapes_and_classes = r"(\\.|\[(?:\\.|[^\]\\])*\])|\$"
        stated_pattern = keywords.get("pattern")
        self.pattern: re.Pattern[str] | None = stated_pattern and re.compile(
            re.sub(escapes_and_classes, lambda part: part[1] or r"\Z", stated_pattern), re.ASCII
        )

    @cached_property
    def properties(self) -> dict[str, "Schema"]:
        """The schema of each property, by name."""
        stated = self.keywords.get("properties", {})
        return {name: Schema(part, self._document) for name, part in stated.items()}

    @cached_property
    def items(self) -> "Schema | None":
        """The schema of each item of an array."""
        stated = self.keywords.get("items")
        return Schema(stated, self._document) if isinstance(stated, Mapping) else None


@frozen(slots=False)
class Spec:
    """An OpenAPI document, as far as it describes how an intent is created."""

    document: Mapping[str, Any]

    @cached_property
    def base_url(self) -> str:
        """URL of the first server, without a slash at its end."""
        return str(self.document["servers"][0]["url"]).rstrip("/")

    @cached_property
    def operation(self) -> Mapping[str, Any]:
        """The operation object of ``POST /intents.json``."""
        path_item = _resolved(self.document["paths"][INTENTS_PATH], self.document)
        own = path_item["post"]
        parameters = [*path_item.get("parameters", []), *own.get("parameters", [])]
        return {**own, "parameters": parameters}

    @cached_property
    def parameters(self) -> list[Mapping[str, Any]]:
        """The parameter objects of the operation."""
        return [_resolved(one, self.document) for one in self.operation["parameters"]]

    @cached_property
    def headers(self) -> dict[str, Mapping[str, Any]]:
        """Those of `parameters` that are headers, by name."""
        return {one["name"]: one for one in self.parameters if one["in"] == "header"}

    @cached_property
    def request(self) -> Schema:
        """The schema of the JSON body."""
        content = _resolved(self.operation["requestBody"], self.document)["content"]
        of_json = (part for name, part in content.items() if name.startswith("application/json"))
        return Schema(next(of_json)["schema"], self.document)

    @cached_property
    def fields(self) -> dict[str, Schema]:
        """Every field of the body's sections by its path, such as ``customer.email``."""
        return {
            f"{section}.{name}": schema
            for section, part in self.request.properties.items()
            for name, schema in part.properties.items()
        }

    @cached_property
    def required(self) -> dict[str, Schema]:
        """Those of `fields` that their section must have."""
        sections = self.request.properties.items()
        paths = [f"{section}.{name}" for section, part in sections for name in part.required]
        return {path: self.fields[path] for path in paths if path in self.fields}

    def field(self, path: str) -> Schema | None:
        """Return the schema at a dotted path of any depth; None where the file has none."""
        schema: Schema | None = self.request
        for name in path.split("."):
            schema = schema.properties.get(name) if schema else None
        return schema

    def words_at(self, place: str) -> str:
        """Return the vendor's description of a field or header; empty without one."""
        schema = self.field(place)
        described = schema.keywords if schema else self.headers.get(place, {})
        return str(described.get("description", ""))


def _resolved(part: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a `$ref` within the document leads to, with what stands beside the `$ref`."""
    seen: list[str] = []
    while "$ref" in part:
        reference = part["$ref"]
        if not reference.startswith("#/") or reference in seen:
            raise ValueError(f"{FILE_NAME}: {reference} leads to no part of the file")
        seen.append(reference)
        steps = unquote(reference.removeprefix("#/")).split("/")
        names = (step.replace("~1", "/").replace("~0", "~") for step in steps)
        beside = {name: value for name, value in part.items() if name != "$ref"}
        part = {**reduce(getitem, names, document), **beside}
    return part


_ANYTHING: Final = Schema({}, {})


def breaches(
    value: Any, schema: Schema, path: str = "", *, optional: bool = False
) -> list[tuple[str, str, str]]:
    """Return path, keyword and message of each thing in *value* that *schema* does not allow."""
    types = schema.python_types
    if types and (bool not in types if isinstance(value, bool) else not isinstance(value, types)):
        leave_out = " (leave the field out instead)" if value is None and optional else ""
        message = f"must be {schema.in_words}, not {kind_of(value)}{leave_out}"
        return [(path, "type", message)]
    found = []
    if schema.enum and value not in schema.enum:
        found.append((path, "enum", f"must be {' or '.join(map(repr, schema.enum))}"))
    if isinstance(value, dict):
        below = f"{path}." if path else ""
        for name in schema.required:
            if name not in value:
                wanted = schema.properties.get(name, _ANYTHING).in_words
                found.append((below + name, "required", f"is required: set it to {wanted}"))
        for name, part in value.items():
            if inner := schema.properties.get(name):
                optional = name not in schema.required
                found += breaches(part, inner, below + name, optional=optional)
        return found
    if schema.pattern and isinstance(value, str) and not schema.pattern.search(value):
        pattern = schema.keywords["pattern"]
        message = _PATTERN_IN_WORDS.get(pattern, f"must match the pattern {pattern}")
        found.append((path, "pattern", message))
    for keyword, bound in schema.bounds.items():
        bounded, holds, message = _BOUNDS[keyword]
        size = len(value) if isinstance(value, str | list) else value
        if isinstance(value, bounded) and not holds(size, bound):
            found.append((path, "bounds", message.format(bound)))
    if isinstance(value, list) and schema.items:
        for index, item in enumerate(value):
            found += breaches(item, schema.items, f"{path}[{index}]")
    return found


def kind_of(value: object) -> str:
    """Return what to call a value of a wrong type."""
    return "None" if value is None else type(value).__name__


_IN_WHEEL: Final = Path(__file__).with_name(FILE_NAME)
_IN_CHECKOUT: Final = Path(__file__).parents[2] / FILE_NAME
_FILE: Final = _IN_WHEEL if _IN_WHEEL.is_file() else _IN_CHECKOUT
SPEC: Final = Spec(json.loads(_FILE.read_text(encoding="utf-8-sig")))
BASE_URL: Final = SPEC.base_url
