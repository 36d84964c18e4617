"""Read a request, made of the generated models or of dicts, as plain dicts."""

from typing import Any, Final

from attrs import fields

from stoq_public_api_client.types import UNSET, Unset

_EXTRAS: Final = "additional_properties"


def plain(value: Any) -> Any:
    """Return *value* with dicts for models, lists for tuples, and unset fields left out.

    Raises:
        RecursionError: *value* contains itself.
    """
    if isinstance(value, dict):
        # A model that was pickled or copied writes its own copy of UNSET into the dict.
        return {name: plain(part) for name, part in value.items() if not isinstance(part, Unset)}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(getattr(value, _EXTRAS, None), dict):
        return plain(_entries_of_model(value))
    return value


def _entries_of_model(model: Any) -> dict[str, Any]:
    try:
        return dict(model.to_dict())
    except (AttributeError, TypeError, ValueError):
        # A part has another type than the model declares; keep it for the rules to report.
        names = [attribute.name for attribute in fields(type(model)) if attribute.name != _EXTRAS]
        own: dict[str, Any] = plain({name: getattr(model, name, UNSET) for name in names})
        return {**model.additional_properties, **own}
