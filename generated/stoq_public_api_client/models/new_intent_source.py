# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from typing import Literal

NewIntentSource = Literal["api"]

NEW_INTENT_SOURCE_VALUES: set[NewIntentSource] = {
    "api",
}


def check_new_intent_source(value: str) -> NewIntentSource:
    if value in NEW_INTENT_SOURCE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {NEW_INTENT_SOURCE_VALUES!r}"
    )
