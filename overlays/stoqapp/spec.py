"""Read what `openapi.json`, the vendor's file, states of the request that creates an intent.

Everything here is read from the file when this module is imported, so that a field, pattern or
server that the vendor changes is followed without an edit. Schemas are those of OpenAPI 3.0 and
3.1, with `$ref` and `allOf` resolved.
"""

import json
import re
from collections.abc import Mapping
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

_IN_WHEEL: Final = Path(__file__).with_name(FILE_NAME)
_IN_CHECKOUT: Final = Path(__file__).parents[2] / FILE_NAME


@frozen(slots=False)
class Schema:
    """A schema of the file.

    Attributes:
        keywords: What it states, without `$ref`, `allOf` and `nullable`, which are resolved.
        document: The file that it is part of.
    """

    keywords: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False, eq=False)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The JSON types that are allowed; empty where any is."""
        stated = self.keywords.get("type", ())
        return (stated,) if isinstance(stated, str) else tuple(stated)

    @cached_property
    def properties(self) -> dict[str, "Schema"]:
        """The schema of each property, by name."""
        return {
            name: _schema(part, self.document)
            for name, part in self.keywords.get("properties", {}).items()
        }

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
        return tuple(self.keywords.get("enum", ()))

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """The pattern of a string, where ``$`` is the very end, as in ECMAScript."""
        stated = self.keywords.get("pattern")
        if stated is None:
            return None
        ends = re.sub(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", lambda part: part[1] or r"\Z", stated)
        return re.compile(ends, re.ASCII)

    @property
    def description(self) -> str:
        """The vendor's words about it."""
        return str(self.keywords.get("description", ""))


@frozen(slots=False)
class Spec:
    """An OpenAPI document, as far as the request that creates an intent is concerned."""

    document: Mapping[str, Any]

    @cached_property
    def base_url(self) -> str:
        """URL of the first server, without a slash at its end."""
        return str(self.document["servers"][0]["url"]).rstrip("/")

    @cached_property
    def operation(self) -> Mapping[str, Any]:
        """The operation object of ``POST /intents.json``."""
        path_item = _resolved(self.document["paths"][INTENTS_PATH], self.document)
        return _resolved(path_item["post"], self.document)

    @cached_property
    def headers(self) -> dict[str, Mapping[str, Any]]:
        """The parameter object of each header of the operation, by name."""
        path_item = _resolved(self.document["paths"][INTENTS_PATH], self.document)
        listed = [*path_item.get("parameters", ()), *self.operation.get("parameters", ())]
        parameters = [_resolved(parameter, self.document) for parameter in listed]
        return {one["name"]: one for one in parameters if one["in"] == "header"}

    @cached_property
    def request(self) -> Schema:
        """The schema of the JSON body."""
        content = _resolved(self.operation["requestBody"], self.document)["content"]
        for media_type, described in content.items():
            if media_type.partition(";")[0].strip().lower() == "application/json":
                return _schema(described["schema"], self.document)
        raise KeyError("application/json")

    @cached_property
    def fields(self) -> dict[str, Schema]:
        """Every field below the body's sections by its dotted path, such as ``customer.email``."""
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
        """Return the vendor's description of a field or header; empty where there is none."""
        if place in self.headers:
            return str(self.headers[place].get("description", ""))
        schema = self.field(place)
        return schema.description if schema else ""


def _schema(stated: Mapping[str, Any], document: Mapping[str, Any]) -> Schema:
    keywords = dict(_resolved(stated, document))
    for part in keywords.pop("allOf", ()):
        keywords = _merged(_schema(part, document).keywords, keywords)
    if keywords.pop("nullable", False) and isinstance(keywords.get("type"), str):
        keywords["type"] = (keywords["type"], "null")
        if "enum" in keywords:
            keywords["enum"] = [*keywords["enum"], None]
    if "const" in keywords:
        keywords["enum"] = [keywords.pop("const")]
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusiveM{bound[1:]}"
        # OpenAPI 3.0 says with a boolean that the other bound is exclusive.
        if keywords.get(exclusive) is True and bound in keywords:
            keywords[exclusive] = keywords.pop(bound)
        elif isinstance(keywords.get(exclusive), bool):
            del keywords[exclusive]
    return Schema(keywords, document)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of both; those of *other* win, but for lists of what there is."""
    merged = {**one, **other}
    for keyword in one.keys() & other.keys() & {"properties", "required"}:
        both = (one[keyword], other[keyword])
        merged[keyword] = [*both[0], *both[1]] if keyword == "required" else both[0] | both[1]
    return merged


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
def document() -> dict[str, Any]:
    """Return the vendor's file, from the wheel or else from the root of the checkout."""
    place = _IN_WHEEL if _IN_WHEEL.is_file() else _IN_CHECKOUT
    read: dict[str, Any] = json.loads(place.read_text(encoding="utf-8-sig"))
    return read


SPEC: Final = Spec(document())
BASE_URL: Final = SPEC.base_url
