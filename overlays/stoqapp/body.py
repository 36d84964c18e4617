"""What a request would put on the wire, read without the generated ``to_dict``.

``to_dict`` raises on a nested value that is no model, and writes the ``Unset`` placeholder
itself into the body once a request was pickled or deep-copied, because it compares by
identity. What is read here is a copy in plain types: what was checked is what is sent, whatever
becomes of the request's own objects, and whatever their methods do.
"""

from typing import Any, Final

from attrs import frozen

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoq_public_api_client.types import UNSET, Unset

# The operation that the generated client knows as api.intents.create_intent. Nothing else in this
# project says where it is, but scripts/corrections.json.
INTENTS_PATH: Final = "/intents.json"
SECTIONS: Final = {"intent": NewIntent, "customer": Customer, "product": Product}
EXTRAS: Final = "additional_properties"
DEEPEST: Final = 50
MOST_VALUES: Final = 10_000


def _names(model: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in model.__attrs_attrs__ if field.name != EXTRAS)


_NAMES: Final = {model: _names(model) for model in (CreateIntentRequest, *SECTIONS.values())}
_name_of_type: Final = type.__dict__["__name__"].__get__


@frozen
class Unsendable:
    """Stands in a body for something that JSON cannot hold, or that is too much to send.

    Attributes:
        kind: What it is: the name of its type, as a rule.
        fault: What to do about it, as `stoqapp.rules.Violation.message` has it.
    """

    kind: str
    fault: str


TOO_MUCH: Final = Unsendable(
    f"something with more than {MOST_VALUES} values in it",
    f"must not hold more than {MOST_VALUES} values",
)


def plain(value: object) -> Any:
    """Return *value* copied into exact ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``.

    An instance of a subclass (an enum's member, a template's safe string, an ordered dict)
    becomes what its base type holds, whatever its own methods say; a tuple becomes a list.
    Anything else becomes an `Unsendable`, as does a container deeper than `DEEPEST` levels; all
    of it becomes `TOO_MUCH` where it has more than `MOST_VALUES` values. Raises nothing, and
    takes time in proportion to what is read, at most so many values.
    """
    return _read(value, None)


def body_from_request(request: object) -> Any:
    """Return the body that *request* stands for, in plain types (see `plain`).

    A field that is unset, or was deleted, is left out. A value of a wrong type stays where it
    is, for the rules to find; the result is a dict where *request* is a `CreateIntentRequest` or
    a dict like one, and not `TOO_MUCH`. Raises nothing.
    """
    return _read(request, CreateIntentRequest)


def _read(value: object, model: type[Any] | None) -> Any:
    reading = _Reading()
    body = reading.read(value, 0, model)
    return TOO_MUCH if reading.is_too_much else body


class _Reading:
    """Reads the values of one body, until there are too many."""

    def __init__(self) -> None:
        self._values_left = MOST_VALUES

    @property
    def is_too_much(self) -> bool:
        """Whether there were more values than a body may have."""
        return self._values_left < 0

    def read(self, value: Any, depth: int, model: type[Any] | None = None) -> Any:
        """Return *value* as plain; *depth* is how deep it lies, *model* what may stand there."""
        # isinstance and == would ask the value or its class, which may answer or raise anything.
        type_ = type(value)
        if issubclass(type_, str):
            return str.__str__(value)
        if value is None or type_ is bool or type_ is Unsendable:
            return value
        if issubclass(type_, int):
            return int.__int__(value)
        if issubclass(type_, float):
            return float.__float__(value)
        if model is not None and issubclass(type_, model):
            return self._read_entries(_entries_of_model(value, model), type_, depth, model)
        if issubclass(type_, dict):
            return self._read_entries(list(dict.items(value)), type_, depth)
        for base in (list, tuple):
            if issubclass(type_, base):
                return self._read_items(list(base.__iter__(value)), type_, depth)
        return _not_json(_kind_of(type_))

    def _read_items(self, items: list[Any], type_: type[Any], depth: int) -> Any:
        return self._excess(items, type_, depth) or [self.read(item, depth + 1) for item in items]

    def _read_entries(
        self,
        entries: list[tuple[Any, Any]],
        type_: type[Any],
        depth: int,
        model: type[Any] | None = None,
    ) -> Any:
        if excess := self._excess(entries, type_, depth):
            return excess
        named = [(str.__str__(n), value) for n, value in entries if issubclass(type(n), str)]
        models = SECTIONS if model is CreateIntentRequest else {}
        body = {name: self.read(value, depth + 1, models.get(name)) for name, value in named}
        if len(named) < len(entries):
            body[EXTRAS] = Unsendable(_kind_of(type_), "must have names that are strings")
        return body

    def _excess(self, parts: list[Any], type_: type[Any], depth: int) -> Unsendable | None:
        """Count the *parts* of a container; return its stand-in where they are not to be read."""
        if depth > DEEPEST:
            return Unsendable(_kind_of(type_), f"must not be nested deeper than {DEEPEST} levels")
        self._values_left -= len(parts)
        return TOO_MUCH if self.is_too_much else None


def _not_json(kind: str) -> Unsendable:
    return Unsendable(kind, f"must be something that JSON can hold, not {kind}")


def _kind_of(type_: type[Any]) -> str:
    # A metaclass may have an idea of __name__ of its own, and a name may be more than a str.
    return str.__str__(_name_of_type(type_))


def _entries_of_model(value: Any, model: type[Any]) -> list[tuple[Any, Any]]:
    extras = _attribute(value, EXTRAS)
    entries = []
    if issubclass(type(extras), dict):
        entries = list(dict.items(extras))
    elif extras is not None and not issubclass(type(extras), Unset):
        entries = [(EXTRAS, extras)]
    for name in _NAMES[model]:
        field = _attribute(value, name)
        if not issubclass(type(field), Unset):
            entries.append((name, field))
    return entries


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name, UNSET)
    except Exception:  # noqa: BLE001 - a subclass may make anything of an attribute
        return _not_json("an attribute that cannot be read")
