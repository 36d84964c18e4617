# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

"""Contains all the data models used in inputs/outputs"""

from .create_intent_request import CreateIntentRequest
from .created_intent import CreatedIntent
from .customer import Customer
from .intents_created import IntentsCreated
from .new_intent import NewIntent
from .new_intent_channel import NewIntentChannel
from .new_intent_source import NewIntentSource
from .processed_with_errors import ProcessedWithErrors
from .product import Product

__all__ = (
    "CreateIntentRequest",
    "CreatedIntent",
    "Customer",
    "IntentsCreated",
    "NewIntent",
    "NewIntentChannel",
    "NewIntentSource",
    "ProcessedWithErrors",
    "Product",
)
