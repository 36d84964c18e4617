"""Bytes of a request into JSON, or a reason why not."""

import json
import re
from typing import Any, Final

# A string without its closing quote matches as well: otherwise a text of many escaped quotes
# would be scanned once for each of them.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")


class PayloadError(ValueError):
    """The bytes are not JSON that the sandbox reads. The message repeats none of them."""


def section(body: object, name: str) -> dict[str, Any]:
    """Return the object *name* of a body; empty where there is none, as another spec may allow."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _nesting(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def payload_from_bytes(raw: bytes, deepest: int = 100) -> Any:
    """Read JSON from the bytes of a body, nested up to *deepest* levels.

    Raises:
        PayloadError: They are not UTF-8 or not JSON, or something in them cannot be written
            as JSON again: half of a surrogate pair, a number beyond a double.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(f"must be UTF-8: byte {error.start} is not") from None
    # Before the reader sees it, whose own limit depends on the stack that is left.
    if _nesting(text) > deepest:
        raise PayloadError(f"must not be nested deeper than {deepest} levels")
    try:
        payload = json.loads(text)
    except json.JSONDecodeError as error:
        raise PayloadError(
            f"must be JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:
        raise PayloadError("must not hold an integer of thousands of digits") from None
    try:
        json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        raise PayloadError("must be valid Unicode: it holds half of a surrogate pair") from None
    except ValueError:
        raise PayloadError("must hold no NaN, Infinity or number beyond a double") from None
    return payload
