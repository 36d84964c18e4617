"""What a request would put on the wire, read without the generated ``to_dict``.

``to_dict`` raises on a nested value that is no model, and writes the ``Unset`` placeholder
itself into the body once a request was pickled or deep-copied, because it compares by
identity. Reading here instead gives one snapshot that is both checked and sent.
"""

from typing import Any, Final

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoq_public_api_client.types import UNSET, Unset

# The operation that the generated client knows as api.intents.create_intent. Nothing else in this
# project says where it is, but scripts/corrections.json.
INTENTS_PATH: Final = "/intents.json"
SECTIONS: Final = {"intent": NewIntent, "customer": Customer, "product": Product}
EXTRAS: Final = "additional_properties"


def _names(model: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in model.__attrs_attrs__ if field.name != EXTRAS)


_NAMES: Final = {model: _names(model) for model in (CreateIntentRequest, *SECTIONS.values())}


def _object(value: object, model: type[Any]) -> Any:
    """Read one model into a dict of what is set; anything else comes back as it is."""
    if not isinstance(value, model):
        return value
    extras = getattr(value, EXTRAS, None)
    if isinstance(extras, dict):
        fields = dict(extras)
    else:
        fields = {} if extras is None else {EXTRAS: extras}
    for name in _NAMES[model]:
        field = getattr(value, name, UNSET)
        if not isinstance(field, Unset):
            fields[name] = field
    return fields


def body_from_request(request: CreateIntentRequest) -> Any:
    """Return the body that *request* stands for, as nested dicts ready for JSON.

    A field that is unset, or was deleted, is left out. A value of a wrong type stays where it
    is, for the rules to find; the result is a dict unless *request* is no
    `CreateIntentRequest`. Raises nothing.
    """
    body = _object(request, CreateIntentRequest)
    if body is request:
        return body
    for name, model in SECTIONS.items():
        if name in body:
            body[name] = _object(body[name], model)
    return body
