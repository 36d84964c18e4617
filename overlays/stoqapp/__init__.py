"""An unofficial SDK for STOQ, the Shopify app for back-in-stock alerts.

`Stoq` and `AsyncStoq` put customers on the waitlist of a product variant. `check` says what
is wrong with a request before it is sent. The generated models that requests are made of are
in `stoq_public_api_client.models`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from stoqapp.version import __version__

if TYPE_CHECKING:
    from stoqapp.answers import IntentCreated
    from stoqapp.budget import Budget
    from stoqapp.client import AsyncStoq, Stoq
    from stoqapp.delivery import AttemptReport
    from stoqapp.errors import (
        Answer,
        AnswerError,
        BadRequestError,
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
        RateLimitedError,
        ServerError,
        StoqError,
        UnauthorizedError,
        UnexpectedAnswerError,
        UnprocessableIntentError,
        UnusableInputError,
    )
    from stoqapp.http.options import HttpOptions, Timeout
    from stoqapp.inputs import Change
    from stoqapp.rules import RULES, Rule, Violation, check, check_shop

# httpx takes most of the time that importing this package would take (over 200 ms where rich and
# click are installed), and a program that only parses its arguments need not pay that.
_ROOM_OF: Final = {
    "budget": ("Budget",),
    "client": ("AsyncStoq", "Stoq"),
    "delivery": ("AttemptReport",),
    "errors": (
        "Answer",
        "AnswerError",
        "BadRequestError",
        "BudgetUnavailableError",
        "ClientClosedError",
        "ConfigurationError",
        "ConflictError",
        "ForbiddenError",
        "IntentRefusedError",
        "InvalidIntentError",
        "NotFoundError",
        "NotSentError",
        "OutcomeUnknownError",
        "PayloadTooLargeError",
        "ProcessedWithErrorsError",
        "RateLimitedError",
        "ServerError",
        "StoqError",
        "UnauthorizedError",
        "UnexpectedAnswerError",
        "UnprocessableIntentError",
        "UnusableInputError",
    ),
    "inputs": ("Change",),
    "answers": ("IntentCreated",),
    "rules": ("RULES", "Rule", "Violation", "check", "check_shop"),
    "http.options": ("HttpOptions", "Timeout"),
}
_ROOM_OF_NAME: Final = {name: room for room, names in _ROOM_OF.items() for name in names}

__all__ = [
    "RULES",
    "Answer",
    "AnswerError",
    "AsyncStoq",
    "AttemptReport",
    "BadRequestError",
    "Budget",
    "BudgetUnavailableError",
    "Change",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ForbiddenError",
    "HttpOptions",
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


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _ROOM_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM_OF_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
