"""What `openapi.json`, the vendor's file, states of the request that creates an intent.

It is read when this module is imported, so that a field, pattern or server that the vendor changes
is followed without an edit. OpenAPI 3.0 and 3.1 are read, with `$ref` resolved.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property, reduce
from operator import getitem
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from attrs import field, frozen

FILE_NAME: Final = "openapi.json"
# The operation that this SDK calls, and the header that names the shop.
INTENTS_PATH: Final = "/intents.json"
SHOP_HEADER: Final = "X-Shopify-Shop-Domain"

_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_ARTICLE: Final = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "True or False",
    "array": "a list",
    "object": "a dict or its model",
    "null": "None",
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
_EXCLUSIVE: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
# The keywords of a schema that are checked, and those that state nothing about the value.
CHECKED: Final = frozenset(
    {"type", "nullable", "required", "properties", "items", "enum", "const", "pattern", *_BOUNDS}
)
ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "example", "examples", "deprecated", "format", "$comment"}
)

_IN_WHEEL: Final = Path(__file__).with_name(FILE_NAME)
_IN_CHECKOUT: Final = Path(__file__).parents[2] / FILE_NAME


@frozen(slots=False)
class Schema:
    """A schema of the file.

    Attributes:
        keywords: What it states, such as ``"maxLength"``.
        document: The file that it is part of.
    """

    keywords: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False, eq=False)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The JSON types that are allowed; empty where any is."""
        stated = self.keywords.get("type", ())
        types = (stated,) if isinstance(stated, str) else tuple(stated)
        return (*types, "null") if types and self.keywords.get("nullable") else types

    @cached_property
    def properties(self) -> dict[str, "Schema"]:
        """The schema of each property, by name."""
        stated = self.keywords.get("properties", {})
        return {name: _schema(part, self.document) for name, part in stated.items()}

    @cached_property
    def items(self) -> "Schema | None":
        """The schema of each item of an array."""
        stated = self.keywords.get("items")
        return _schema(stated, self.document) if isinstance(stated, Mapping) else None

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names of the properties that must be there."""
        return tuple(self.keywords.get("required", ()))

    @cached_property
    def enum(self) -> tuple[Any, ...]:
        """The values that are allowed; empty where none are listed."""
        one = [self.keywords["const"]] if "const" in self.keywords else []
        return tuple(self.keywords.get("enum", one))

    @cached_property
    def bounds(self) -> dict[str, float]:
        """The bounds of a number, and of how long a string or array is, by keyword."""
        bounds = {
            keyword: self.keywords[keyword] for keyword in _BOUNDS if keyword in self.keywords
        }
        for exclusive, inclusive in _EXCLUSIVE.items():
            # OpenAPI 3.0 says with a boolean that the other bound is exclusive.
            if isinstance(bounds.get(exclusive), bool) and bounds.pop(exclusive):
                bounds[exclusive] = bounds.pop(inclusive)
        return bounds

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """The pattern of a string. Its ``$`` is the very end, and its ``\\d`` is 0-9."""
        stated = self.keywords.get("pattern")
        if stated is None:
            return None
        escapes_and_classes = r"(\\.|\[(?:\\.|[^\]\\])*\])|\$"
        ends = re.sub(escapes_and_classes, lambda part: part[1] or r"\Z", stated)
        return re.compile(ends, re.ASCII)


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
    def headers(self) -> dict[str, Mapping[str, Any]]:
        """The parameter object of each header of the operation, by name."""
        listed = [_resolved(one, self.document) for one in self.operation["parameters"]]
        return {one["name"]: one for one in listed if one["in"] == "header"}

    @cached_property
    def request(self) -> Schema:
        """The schema of the JSON body."""
        content = _resolved(self.operation["requestBody"], self.document)["content"]
        of_json = (part for name, part in content.items() if name.startswith("application/json"))
        return _schema(next(of_json)["schema"], self.document)

    @cached_property
    def fields(self) -> dict[str, Schema]:
        """Every field of the body's sections by its path, such as ``customer.email``."""
        return {
            f"{section}.{name}": schema
            for section, part in self.request.properties.items()
            for name, schema in part.properties.items()
        }

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


def _schema(stated: Mapping[str, Any], document: Mapping[str, Any]) -> Schema:
    return Schema(_resolved(stated, document), document)


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


@cache
def _python_types(types: tuple[str, ...]) -> tuple[type, ...]:
    return tuple(python for type_ in types for python in _PYTHON_TYPES[type_])


def _has_type(value: object, types: tuple[str, ...]) -> bool:
    wanted = _python_types(types)
    if isinstance(value, bool):
        return not wanted or bool in wanted
    return not wanted or isinstance(value, wanted)


def kind_of(value: object) -> str:
    """Return what to call a value of a wrong type."""
    return "None" if value is None else type(value).__name__


def breaches(value: Any, schema: Schema, path: str = "") -> list[tuple[str, str, str]]:
    """Return path, keyword and message of each thing in *value* that *schema* does not allow."""
    found: list[tuple[str, str, str]] = []
    _judge(value, schema, path, False, found)
    return found


def _judge(
    value: Any, schema: Schema, path: str, optional: bool, found: list[tuple[str, str, str]]
) -> None:
    if not _has_type(value, schema.types):
        leave_out = " (leave the field out instead)" if value is None and optional else ""
        message = f"must be {_wanted(schema)}, not {kind_of(value)}{leave_out}"
        found.append((path, "type", message))
        return
    if schema.enum and value not in schema.enum:
        found.append((path, "enum", f"must be {' or '.join(map(repr, schema.enum))}"))
    if isinstance(value, dict):
        below = f"{path}." if path else ""
        for name in schema.required:
            if name not in value:
                message = f"is required: set it to {_wanted(schema.properties.get(name))}"
                found.append((below + name, "required", message))
        for name, part in value.items():
            if name in schema.properties:
                optional = name not in schema.required
                _judge(part, schema.properties[name], below + name, optional, found)
        return
    if schema.pattern and isinstance(value, str) and not schema.pattern.search(value):
        pattern = schema.keywords["pattern"]
        message = _PATTERN_IN_WORDS.get(pattern, f"must match the pattern {pattern}")
        found.append((path, "pattern", message))
    for keyword, bound in schema.bounds.items():
        types, holds, message = _BOUNDS[keyword]
        size = len(value) if isinstance(value, str | list) else value
        if isinstance(value, types) and not holds(size, bound):
            found.append((path, "bounds", message.format(bound)))
    if isinstance(value, list) and schema.items:
        for index, item in enumerate(value):
            _judge(item, schema.items, f"{path}[{index}]", False, found)


def _wanted(schema: Schema | None) -> str:
    types = schema.types if schema else ()
    return " or ".join(_ARTICLE[type_] for type_ in types) or "a value"


@cache
def document() -> dict[str, Any]:
    """Return the vendor's file, from the wheel or else from the root of the checkout."""
    place = _IN_WHEEL if _IN_WHEEL.is_file() else _IN_CHECKOUT
    read: dict[str, Any] = json.loads(place.read_text(encoding="utf-8-sig"))
    return read


SPEC: Final = Spec(document())
BASE_URL: Final = SPEC.base_url
