"""What can go wrong with a call, under one root.

::

    StoqError
    ├── ConfigurationError            a client option is unusable
    ├── UnusableInputError            one input cannot be read; see stoqapp.inputs
    ├── InvalidIntentError            the request breaks rules; nothing was sent
    ├── ClientClosedError             the client was used after close(); nothing was sent
    ├── BudgetUnavailableError        the budget's file or Redis failed; nothing was sent
    ├── NotSentError                  no connection, or it failed before the request
    │   └── BudgetExhaustedError      no room in the rate budget before the deadline
    ├── OutcomeUnknownError           sent, but no status line came back
    └── AnswerError                   answered, but not with "created"
        ├── IntentRefusedError        the service refused the intent
        │   ├── ProcessedWithErrorsError   200
        │   ├── BadRequestError            400
        │   ├── UnauthorizedError          401
        │   ├── ForbiddenError             403
        │   ├── NotFoundError              404
        │   ├── ProxyAuthenticationError   407
        │   ├── ConflictError              409
        │   ├── PayloadTooLargeError       413
        │   └── UnprocessableIntentError   422
        ├── RateLimitedError          429
        ├── ServerError               5xx
        └── UnexpectedAnswerError     any other status

`StoqError.carried_out` says whether the intent can be on the list. The service may repeat a
person's data, so its words are in `StoqError.messages` and in `StoqError.answer` only: never
in ``str()``, ``repr()``, ``args`` or a log.

An error survives pickling with everything it holds. It also survives being rebuilt as
``cls(*error.args)``, which is how the JSON result store of a task queue brings it back: then
`StoqError.answer` and `StoqError.messages` are gone, and the rest is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from stoqapp.headers import loggable_id, request_id_from_headers
from stoqapp.rules import Violation

# Why it is safe to send an intent again: the vendor's word, in the operation's description.
UNIQUE: Final = "STOQ keeps one intent per customer, variant and market"
# The end of the text of a refusal.
WORDS: Final = " .messages holds what the answer said."

# What an error carries in ``args``.
_STATE: Final = (
    *("carried_out", "after_unknown", "attempts", "waited_seconds"),
    *("status", "retry_after", "request_id", "is_duplicate"),
)


@frozen
class Answer:
    """An HTTP answer, as it came.

    Attributes:
        status: The number in the status line.
        headers: By lower-case name; repeated ones are joined with ``", "``.
        body: The content, decompressed, and cut off at 1 MiB.
        complete: False if the body was cut off or could not be decompressed.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True


class StoqError(Exception):
    """Root of all errors that a call raises.

    Args:
        message: What happened, and what to do.
        state: Attributes to set, by name; see `args`.

    Attributes:
        carried_out: False if this call certainly put nothing on the list, None if unknown. Of
            5xx answers, only a 503 with ``Retry-After`` is certain.
        after_unknown: Whether an earlier attempt of this call may have been carried out,
            whatever the last one ended in.
        attempts: How many times the request was sent, or tried to be.
        waited_seconds: Time spent waiting between attempts and for the rate budget.
        answer: The answer, None without one.
        status: The number in its status line, None without an answer.
        retry_after: Seconds to wait before the next try, None if not known.
        request_id: The id that the service gave the request, in any form, None without one.
        is_duplicate: Whether the service refused the intent because it already has it. This is
            what a second click on the same button gets.
        messages: What the service said, from the body's ``errors``, ``error`` or ``message``.
            May repeat what the customer gave: do not log it. Empty after a rebuild from ``args``.
    """

    carried_out: bool | None = False
    after_unknown: bool = False
    attempts: int = 0
    waited_seconds: float = 0.0
    answer: Answer | None = None
    status: int | None = None
    retry_after: float | None = None
    request_id: str | None = None
    is_duplicate: bool = False
    messages: tuple[str, ...] = ()

    def __init__(self, message: str = "", state: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        # A result store may have turned the state, or a value of it, into text.
        given = state if isinstance(state, Mapping) else {}
        for name in given.keys() & set(_STATE):
            if name == "request_id" or not isinstance(given[name], str):
                setattr(self, name, given[name])

    @property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Values of JSON that the error can be rebuilt from, without personal data."""
        return str(self), self._state()

    def _state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in _STATE}
        return state | {"request_id": loggable_id(self.request_id)}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args[:1], vars(self)

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the error as values of JSON.

        Args:
            personal_data: Include what the service said (``messages``) and its request id in
                any form, both of which may repeat what the customer gave.
        """
        told = {"error": type(self).__name__, "message": str(self), **self._state()}
        if personal_data:
            told |= {"request_id": self.request_id, "messages": list(self.messages)}
        return told


class ConfigurationError(StoqError, ValueError):
    """An option of the client, or of the command line, is unusable."""


class ClientClosedError(StoqError):
    """The client was used after it was closed. Nothing was sent; make a new client."""


class UnusableInputError(StoqError, ValueError):
    """An input has no form in the API; the message says why."""


class InvalidIntentError(StoqError, ValueError):
    """The request breaks rules. Nothing was sent.

    Attributes:
        violations: Every broken rule, see `stoqapp.rules`.
    """

    def __init__(
        self,
        violations: Iterable[Violation | Mapping[str, Any]] = (),
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.violations: list[Violation] = [
            fault if isinstance(fault, Violation) else Violation(**fault) for fault in violations
        ]
        faults = [f"{fault.path or 'request'} {fault.message}" for fault in self.violations]
        super().__init__(f"nothing was sent: {'; '.join(faults)}", state)

    @property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """As with `StoqError`, with the violations instead of the text."""
        return [one._asdict() for one in self.violations], super().args[1]

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the error as values of JSON, the violations included."""
        violations = [one._asdict() for one in self.violations]
        return super().to_dict(personal_data=personal_data) | {"violations": violations}


class NotSentError(StoqError):
    """The request never left: the host name, the connection, TLS or a proxy failed first.

    Sending again is safe.

    Attributes:
        is_lasting: Whether a retry would fail in the same way, so that the call made none: a
            proxy wants a password, or a test double refused the request.
    """

    is_lasting: bool = False


class BudgetExhaustedError(NotSentError):
    """The shop's rate budget has no room before ``total_timeout`` ends. Nothing was sent.

    `StoqError.retry_after` holds the seconds until there is room.
    """


class BudgetUnavailableError(StoqError):
    """The file or Redis that holds a rate budget failed. Nothing was sent.

    The cause is chained (``__cause__``).
    """


class OutcomeUnknownError(StoqError):
    """The request was sent, and no status line came back.

    The intent may be on the list. Sending it again is safe: STOQ keeps one intent per customer,
    variant and market.
    """

    carried_out: bool | None = None


class AnswerError(StoqError):
    """The service answered, but not with "created".

    The docstring of each class is a part of its message: what the status means and what to do.
    """

    def __init__(
        self,
        message: str = "",
        state: Mapping[str, Any] | None = None,
        *,
        answer: Answer | None = None,
        messages: Sequence[str] = (),
    ) -> None:
        super().__init__(message, state)
        self.messages: tuple[str, ...] = tuple(messages)
        if answer is not None:
            self.answer: Answer | None = answer
            self.status: int | None = answer.status
            self.request_id: str | None = request_id_from_headers(answer.headers)

    def __str__(self) -> str:
        # python -OO leaves the docstrings out.
        meaning = " ".join((type(self).__doc__ or "").split()).partition(": ")[2]
        if self.is_duplicate:
            meaning = "the customer is on the list already."
        text = f"STOQ answered {self.status}: {meaning}"
        if self.after_unknown:
            text += " An earlier attempt of this call may have put the intent on the list."
        elif self.carried_out is None:
            text += f" The intent may be on the list. Sending it again is safe: {UNIQUE}."
        if self.retry_after is not None:
            text += f" Send again after {self.retry_after:g} seconds."
        is_plain_refusal = isinstance(self, IntentRefusedError) and not self.is_duplicate
        return text + WORDS if is_plain_refusal else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class IntentRefusedError(AnswerError):
    """4xx: the service refused the intent."""


class ProcessedWithErrorsError(IntentRefusedError):
    """200: processed with errors, so no intent was created."""


class BadRequestError(IntentRefusedError):
    """400: the service could not read the request."""


class UnauthorizedError(IntentRefusedError):
    """401: not authorized, although this endpoint takes no API key.

    Check the shop's domain, and that the shop has STOQ installed.
    """


class ForbiddenError(IntentRefusedError):
    """403: forbidden. Check that the shop's STOQ plan allows this, and that no proxy blocks it."""


class NotFoundError(IntentRefusedError):
    """404: the service does not know the shop, the product or the variant.

    Check that the shop has STOQ installed, that variant and product are ids of that shop (not
    SKUs), and that base_url is the API's.
    """


class ProxyAuthenticationError(IntentRefusedError):
    """407: a proxy asks for a user name and a password.

    Give them in the proxy's URL, like http://name:password@host:3128.
    """


class ConflictError(IntentRefusedError):
    """409: the intent conflicts with what the service holds."""


class PayloadTooLargeError(IntentRefusedError):
    """413: the request is too large. Shorten its texts."""


class UnprocessableIntentError(IntentRefusedError):
    """422: the service read the request and rejected its content."""


class RateLimitedError(AnswerError):
    """429: the shop's rate limit is reached. This attempt put nothing on the list."""


class ServerError(AnswerError):
    """5xx: the service failed, or a proxy in front of it."""

    carried_out: bool | None = None


class UnexpectedAnswerError(AnswerError):
    """Any other status: this API does not define it. Redirects are not followed.

    Check base_url, and any proxy between you and the service.
    """

    carried_out: bool | None = None


_CLASS_OF_STATUS: Final[Mapping[int, type[AnswerError]]] = {
    200: ProcessedWithErrorsError,
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    407: ProxyAuthenticationError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableIntentError,
    429: RateLimitedError,
}
_CLASS_OF_HUNDRED: Final[Mapping[int, type[AnswerError]]] = {4: IntentRefusedError, 5: ServerError}


def class_of_status(status: int) -> type[AnswerError]:
    """Return the class of error that stands for a status other than 201."""
    by_hundred = _CLASS_OF_HUNDRED.get(status // 100, UnexpectedAnswerError)
    return _CLASS_OF_STATUS.get(status, by_hundred)
