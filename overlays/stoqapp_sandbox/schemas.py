"""What people give as text, in Python or as JSON, judged by JSON Schemas."""

import json
import re
from typing import Any, Final

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,19})?")


def plain(text: str) -> Any:
    """Return the number that a text is, or else the text."""
    return json.loads(text) if _NUMBER.fullmatch(text) else text


def fits(given: object, schema: dict[str, Any]) -> bool:
    """Return whether *given* has a form in JSON, or is bytes, and fits *schema*."""
    import jsonschema_rs

    text = "" if isinstance(given, bytes) else given
    try:
        in_json = json.loads(json.dumps(text, allow_nan=False, ensure_ascii=False).encode())
        return jsonschema_rs.Draft4Validator(schema).is_valid(in_json)
    except (TypeError, ValueError, RecursionError):
        return False
