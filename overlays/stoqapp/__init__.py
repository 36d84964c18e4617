"""An unofficial SDK for STOQ, the Shopify app for back-in-stock alerts.

`Stoq` and `AsyncStoq` put customers on the waitlist of a product variant. `check` says what is
wrong with a request before it is sent. Requests are made of the generated models in
`stoq_public_api_client.models`, or are plain dicts of the same form.
"""

from stoq_public_api_client.typed_dicts import (
    CreateIntentRequestDict,
    CustomerDict,
    NewIntentDict,
    ProductDict,
)
from stoqapp.answers import IntentCreated
from stoqapp.budget import Budget
from stoqapp.client import AsyncStoq, Stoq
from stoqapp.errors import (
    Answer,
    AnswerError,
    BadRequestError,
    BudgetExhaustedError,
    BudgetUnavailableError,
    ClientClosedError,
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
    ProxyAuthenticationError,
    RateLimitedError,
    ServerError,
    StoqError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UnprocessableIntentError,
    UnusableInputError,
)
from stoqapp.http.options import HttpOptions, Timeout
from stoqapp.log import AttemptReport
from stoqapp.readers import Change
from stoqapp.rules import RULES, Rule, Violation, check, check_shop
from stoqapp.version import __version__

__all__ = [
    "RULES",
    "Answer",
    "AnswerError",
    "AsyncStoq",
    "AttemptReport",
    "BadRequestError",
    "Budget",
    "BudgetExhaustedError",
    "BudgetUnavailableError",
    "Change",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "CreateIntentRequestDict",
    "CustomerDict",
    "ForbiddenError",
    "HttpOptions",
    "IntentCreated",
    "IntentRefusedError",
    "InvalidIntentError",
    "NewIntentDict",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PayloadTooLargeError",
    "ProcessedWithErrorsError",
    "ProductDict",
    "ProxyAuthenticationError",
    "RateLimitedError",
    "Rule",
    "ServerError",
    "Stoq",
    "StoqError",
    "Timeout",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "UnprocessableIntentError",
    "UnusableInputError",
    "Violation",
    "__version__",
    "check",
    "check_shop",
]
