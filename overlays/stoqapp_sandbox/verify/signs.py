"""What two answers are compared by. No sign holds a customer's data.

Each function takes the answers so far, the last of which is an answer, and returns something
that `agrees` can compare; None is "not told". Where an answer is laid beside an earlier one, its
place in the log stands for it, so that ids and words need not be the same at the service and in
the sandbox.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from stoqapp.answers import says_duplicate
from stoqapp_sandbox.cassettes import TEXT_FIELDS
from stoqapp_sandbox.verify.worlds import Heard, Log

Sign = Callable[[Log], Hashable]

_DIGITS: Final = re.compile("[0-9]+")
_WORDS: Final = {
    "waits": re.compile(r"\balready wait", re.IGNORECASE),
    "taken": re.compile(r"\bbeen taken\b", re.IGNORECASE),
    "exists": re.compile(r"\balready exists\b", re.IGNORECASE),
}
_RATE_HEADERS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_POINTS: Final = re.compile("[0-9]{1,9}")


def last(log: Log) -> Heard:
    """Return the last answer of *log*.

    Raises:
        LookupError: None came.
    """
    heard = log[-1]
    if heard is None:
        raise LookupError("no answer came")
    return heard


def agrees(seen: Hashable, predicted: Hashable) -> bool:
    """Whether what was seen can be what was predicted; what was not told can be anything."""
    if isinstance(seen, tuple) and isinstance(predicted, tuple) and len(seen) == len(predicted):
        return all(map(agrees, seen, predicted))
    return seen is None or seen == predicted


def status(log: Log) -> int:
    """The number in the status line."""
    return last(log).status


def shape(log: Log) -> str:
    """The form of the body, texts and names of no known kind left out."""
    return shape_of(last(log))


def shape_of(heard: Heard) -> str:
    """Return the form of a body, like ``{"errors": ["..."]}``."""
    if not heard.answer.body:
        return "no body"
    return "no JSON" if heard.content is None else _form(heard.content, TEXT_FIELDS | {"intents"})


def _form(value: Any, names: frozenset[str]) -> str:
    if isinstance(value, Mapping):
        # A name that is not known may be a customer's.
        forms = {
            f'"{name}"' if name in names else "...": _form(part, frozenset())
            for name, part in sorted(value.items(), key=lambda pair: pair[0] in names)
        }
        return f"{{{', '.join(f'{name}: {form}' for name, form in sorted(forms.items()))}}}"
    if isinstance(value, list):
        return f"[{', '.join(sorted({_form(part, names) for part in value}))}]"
    kinds = {str: '"..."', bool: "true or false", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def refusal_shape(log: Log) -> str | None:
    """`shape` of what is no 201; None of a 201."""
    return None if status(log) == 201 else shape(log)


def words(log: Log) -> str | None:
    """Which words for a duplicate are used; None where there are none at all."""
    return _words_of(last(log))


def _words_of(heard: Heard) -> str | None:
    if heard.status == 201 or not heard.messages:
        return None
    said = " ".join(heard.messages)
    known = next((name for name, pattern in _WORDS.items() if pattern.search(said)), None)
    return known or ("other words" if says_duplicate(heard.messages) else "vague")


def _first(log: Log, alike: Callable[[Heard], bool]) -> int | None:
    return next((n for n, heard in enumerate(log[:-1]) if heard and alike(heard)), None)


def _identity(log: Log, name: str) -> int | str | None:
    """Return which earlier answer named the same *name* first, or that none did."""
    value = last(log).intent.get(name)
    if value is None:
        return None
    before = _first(log, lambda heard: str(heard.intent.get(name)) == str(value))
    return "new" if before is None else before


def _place(log: Log, alike: Callable[[Heard], bool]) -> int | None:
    heard = last(log)
    same = (heard.status, shape_of(heard))
    return _first(log, lambda other: (other.status, shape_of(other)) == same and alike(other))


def fate(log: Log) -> Hashable:
    """What became of the intent: the ids, as told, that came before; or what it was refused as."""
    heard = last(log)
    if heard.status == 201:
        return 201, _identity(log, "id"), _identity(log, "customer_id")
    before = _place(log, lambda other: _words_of(other) == _words_of(heard))
    return ("new", heard.status) if before is None else ("as", before)


def echo(log: Log) -> Hashable:
    """As `fate`, but a refusal is first looked for among those in the very same words."""
    heard = last(log)
    if heard.status == 201:
        return fate(log)
    before = _place(log, lambda other: _masked(other.messages) == _masked(heard.messages))
    return fate(log) if before is None else ("same words", before)


def _masked(messages: Sequence[str]) -> list[str]:
    return [_DIGITS.sub("#", message) for message in messages]


def quantity(log: Log) -> Hashable:
    """`status`, and the quantity of the intent that is told, with its identity."""
    return status(log), _identity(log, "id"), last(log).intent.get("quantity")


def intent_names(documented: Callable[[], frozenset[str]]) -> Sign:
    """Return a sign that says which of the *documented* fields a created intent has."""
    return lambda log: frozenset(last(log).intent) & documented()


def of_intent(name: str) -> Sign:
    """Return a sign that says what a field of the created intent holds; None without it."""

    def sign(log: Log) -> str | None:
        intent = last(log).intent
        return repr(intent[name]) if name in intent else None

    return sign


def id_type(log: Log) -> str | None:
    """The type of the intent's id."""
    found = last(log).intent.get("id")
    return None if found is None else type(found).__name__


def has_errors(log: Log) -> bool | None:
    """Whether a 201 has a list of errors beside the intents."""
    content = last(log).content
    return "errors" in content if isinstance(content, dict) else None


def rate_headers(log: Log) -> int:
    """How many of the three headers of the rate limit the answer has."""
    return sum(name in last(log).answer.headers for name in _RATE_HEADERS)


def _points(heard: Heard, name: str) -> int | None:
    said = heard.answer.headers.get(name, "").strip()
    return int(said) if _POINTS.fullmatch(said) else None


def limit(log: Log) -> int | None:
    """The points of a window."""
    return _points(last(log), "x-ratelimit-limit")


def cost(log: Log) -> int | None:
    """The points that one request cost: the least between two answers of one window.

    Others may spend from the same shop, which can only make it more.
    """
    shop = last(log).shop
    spent = []
    # A request without an answer may have cost points, or not.
    for before, after in pairwise(heard for heard in log if heard is None or heard.shop == shop):
        if before is None or after is None:
            continue
        left = [_points(heard, "x-ratelimit-remaining") for heard in (before, after)]
        ends = {heard.answer.headers.get("x-ratelimit-reset") for heard in (before, after)}
        if len(ends) == 1 and left[0] is not None and left[1]:
            spent.append(left[0] - left[1])
    return min((points for points in spent if points >= 0), default=None)
