"""Write the request bodies of an OpenAPI document as TypedDicts."""

from __future__ import annotations

import keyword
import re
from typing import Any

from jsonpointer import resolve_pointer

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

IMPORTS = "from typing import Any, Literal, NotRequired, TypedDict\n"


def typed_dicts(document: dict[str, Any]) -> str:
    """Return a module with a TypedDict for each JSON object that a request of `document` holds.

    A schema's class is called by its title, or else by its name among the components, or else by
    the operation or object that it stands in, and ends in ``Dict``.
    """
    return _Writer(document).module()


class _Writer:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._names: dict[int, str] = {}
        self._classes: dict[str, str] = {}

    def module(self) -> str:
        for path, item in self._document.get("paths", {}).items():
            for method, operation in item.items():
                if isinstance(operation, dict) and "requestBody" in operation:
                    body = self._resolved(operation["requestBody"])[0]
                    name = _class_name(operation.get("operationId", f"{method} {path}"))
                    for media, content in body.get("content", {}).items():
                        if media.partition(";")[0].endswith("json"):
                            self._type(content.get("schema", {}), f"{name}Body")
        names = "".join(f"    {name!r},\n" for name in sorted(self._classes))
        return f"{IMPORTS}\n__all__ = (\n{names})\n\n" + "\n\n".join(self._classes.values())

    def _resolved(self, schema: Any) -> tuple[dict[str, Any], str | None]:
        """Return what `schema` refers to, and the last name on the way."""
        name = None
        while isinstance(schema, dict) and "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = resolve_pointer(self._document, schema["$ref"].removeprefix("#"))
        return (schema if isinstance(schema, dict) else {}), name

    def _type(self, schema: Any, fallback: str) -> str:
        schema, component = self._resolved(schema)
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        branches = schema.get("oneOf") or schema.get("anyOf")
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            types = [f"Literal[{', '.join(map(repr, values))}]"]
        elif "allOf" in schema and len(schema["allOf"]) == 1:
            types = [self._type(schema["allOf"][0], fallback)]
        elif branches:
            types = [self._type(each, f"{fallback}{n}") for n, each in enumerate(branches, 1)]
        elif "properties" in schema:
            types = [self._class(schema, schema.get("title") or component or fallback)]
            types += ["None"] * ("null" in kinds)
        elif "array" in kinds:
            types = [f"list[{self._type(schema.get('items', {}), f'{fallback}Item')}]"]
            types += [SCALARS[kind] for kind in kinds if kind in SCALARS]
        else:
            types = [SCALARS.get(kind, "dict[str, Any]") for kind in kinds] or ["Any"]
        types += ["None"] * bool(schema.get("nullable"))
        return " | ".join(dict.fromkeys(types))

    def _class(self, schema: dict[str, Any], title: str) -> str:
        if name := self._names.get(id(schema)):
            # A class that is still being written holds itself: only its name can stand there.
            return name if name in self._classes else repr(name)
        name = f"{_class_name(title)}Dict"
        while name in self._names.values():
            name += "_"
        self._names[id(schema)] = name
        required = schema.get("required", [])
        fields: dict[str, tuple[str, str]] = {}
        for field, value in schema["properties"].items():
            kind = self._type(value, _class_name(f"{title} {field}"))
            kind = kind if field in required else f"NotRequired[{kind}]"
            fields[field] = (kind, _words(self._resolved(value)[0].get("description")))
        self._classes[name] = _written(name, _words(schema.get("description")), fields)
        return name


def _written(name: str, words: str, fields: dict[str, tuple[str, str]]) -> str:
    if not all(field.isidentifier() and not keyword.iskeyword(field) for field in fields):
        members = ", ".join(f"{field!r}: {kind}" for field, (kind, _) in fields.items())
        return f"{name} = TypedDict({name!r}, {{{members}}})\n"
    lines = [f"class {name}(TypedDict):", f'    """{words}"""' if words else ""]
    for field, (kind, text) in fields.items():
        lines += [f"    {field}: {kind}", f'    """{text}"""' if text else ""]
    return "\n".join([*lines, "" if fields else "    pass"]) + "\n"


def _words(text: Any) -> str:
    """Return a description on one line, ready to stand between triple quotes."""
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return line.replace("\\", "\\\\").replace('"', '\\"')


def _class_name(text: str) -> str:
    words = re.findall("[A-Za-z0-9]+", text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"Model{name}"
