"""An unofficial SDK for STOQ, the Shopify app for back-in-stock alerts.

`Stoq` and `AsyncStoq` put customers on the waitlist of a product variant. `check` says what
is wrong with a request before it is sent. The generated models that requests are made of are
in `stoq_public_api_client.models`.
"""

from stoqapp.client import AsyncStoq, Stoq
from stoqapp.errors import (
    Answer,
    AnswerError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    IntentRefusedError,
    InvalidIntentError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    StoqError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
    UnusableInputError,
)
from stoqapp.normalize import Change
from stoqapp.outcomes import IntentCreated
from stoqapp.rules import RULES, Rule, Violation, check, check_shop
from stoqapp.version import __version__

__all__ = [
    "RULES",
    "Answer",
    "AnswerError",
    "AsyncStoq",
    "BadRequestError",
    "Change",
    "ConfigurationError",
    "ConflictError",
    "ForbiddenError",
    "IntentCreated",
    "IntentRefusedError",
    "InvalidIntentError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PayloadTooLargeError",
    "ProcessedWithErrorsError",
    "RateLimitedError",
    "Rule",
    "ServerError",
    "Stoq",
    "StoqError",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "UnprocessableIntentError",
    "UnusableInputError",
    "Violation",
    "__version__",
    "check",
    "check_shop",
]
