# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from typing import Literal

NewIntentChannel = Literal["email", "push", "sms"]

NEW_INTENT_CHANNEL_VALUES: set[NewIntentChannel] = {
    "email",
    "push",
    "sms",
}


def check_new_intent_channel(value: str) -> NewIntentChannel:
    if value in NEW_INTENT_CHANNEL_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {NEW_INTENT_CHANNEL_VALUES!r}"
    )
