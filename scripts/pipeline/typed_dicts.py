"""Write the request bodies as TypedDicts, from what the generator has parsed."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from openapi_python_client.parser import GeneratorData
from openapi_python_client.parser.properties import LiteralEnumProperty, ModelProperty
from openapi_python_client.parser.properties.list_property import ListProperty
from openapi_python_client.parser.properties.union import UnionProperty
from openapi_python_client.strings import in_double_quote_literal


def typed_dicts(data: GeneratorData) -> str:
    """Return a module with a TypedDict for each model that a JSON request holds.

    It is called as the model, with ``Dict`` at the end.
    """
    classes: dict[str, str] = {}
    # What refers to a model may be a copy of it that has no fields yet.
    models = {model.class_info.name: model for model in data.models}

    def type_of(prop: Any) -> str:
        if isinstance(prop, UnionProperty):
            return " | ".join(dict.fromkeys(map(type_of, prop.inner_properties)))
        if isinstance(prop, ListProperty):
            return f"list[{type_of(prop.inner_property)}]"
        if isinstance(prop, LiteralEnumProperty):
            return f"Literal[{', '.join(sorted(map(repr, prop.values)))}]"
        model = models.get(prop.class_info.name) if isinstance(prop, ModelProperty) else None
        if model is None or not (fields := fields_of(model)):
            return str(prop.get_type_string(no_optional=True, json=True).as_unembedded_code())
        name = f"{model.class_info.name}Dict"
        if name not in classes:
            # A model may hold itself.
            classes[name] = ""
            classes[name] = _class(name, model, [(field, type_of(field)) for field in fields])
        return name

    for collection in data.endpoint_collections_by_tag.values():
        for endpoint in collection.endpoints:
            for body in endpoint.bodies:
                if body.body_type == "json":
                    type_of(body.prop)
    names = "".join(f"    {name!r},\n" for name in sorted(classes))
    imports = "from typing import Any, Literal, NotRequired, TypedDict\n"
    return f"{imports}\n__all__ = (\n{names})\n\n" + "\n\n".join(classes.values())


def fields_of(model: ModelProperty) -> list[Any]:
    """Return the properties of a model."""
    return [*(model.required_properties or ()), *(model.optional_properties or ())]


def _class(name: str, model: ModelProperty, types: list[tuple[Any, str]]) -> str:
    lines, members = [f"class {name}(TypedDict):", *_docstring(model)], []
    for prop, kind in types:
        # Of a class that is not there yet, only the name can stand there.
        kind = repr(kind) if "Dict" in kind else kind
        kind = kind if prop.required else f"NotRequired[{kind}]"
        key = prop.name.get_untrusted_value()
        members.append((key, kind))
        lines += [f"    {key}: {kind}", *_docstring(prop)]
    if all(key.isidentifier() and not iskeyword(key) for key, _ in members):
        return "\n".join(lines) + "\n"
    listed = ", ".join(f"{key!r}: {kind}" for key, kind in members)
    return f"{name} = TypedDict({name!r}, {{{listed}}})\n"


def _docstring(prop: Any) -> list[str]:
    words = " ".join(prop.description.get_untrusted_value().split()) if prop.description else ""
    return [f'    """{in_double_quote_literal(words)}"""'] if words else []
