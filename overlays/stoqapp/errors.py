"""What can go wrong with a call, under one root.

::

    StoqError
    ├── ConfigurationError            an argument of the client is unusable
    ├── UnusableInputError            an input of stoqapp.inputs means nothing, or too much
    ├── ClientClosedError             the client was used after close()
    ├── InvalidIntentError            our rules are broken; nothing was sent
    ├── NotSentError                  the request never left
    ├── BudgetUnavailableError        the file or Redis of a rate budget fails; nothing was sent
    ├── OutcomeUnknownError           it left, and no status line came back
    └── AnswerError                   an answer came, and it is not "created"
        ├── IntentRefusedError        the service said no
        │   ├── ProcessedWithErrorsError   200
        │   ├── BadRequestError            400
        │   ├── UnauthorizedError          401
        │   ├── ForbiddenError             403
        │   ├── NotFoundError              404
        │   ├── ConflictError              409
        │   ├── PayloadTooLargeError       413
        │   └── UnprocessableIntentError   422
        ├── RateLimitedError          429
        ├── ServerError               5xx
        └── UnexpectedAnswerError     any other status

Every error says in `StoqError.carried_out` whether the intent can be on the list. Texts and
``repr`` hold neither a body nor anything that the service said, since that may repeat a
person's data; the service's words are in `AnswerError.messages`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from stoqapp.rules import Violation

# What makes a repetition safe; the vendor's word, in the description of the operation.
UNIQUE: Final = "STOQ keeps one intent for a customer, a variant and a market"


@frozen
class Answer:
    """An HTTP answer as it came.

    Attributes:
        status: The number in the status line.
        headers: By lower-case name; repeated ones are joined with ``", "``.
        body: The content, decoded if it was compressed, cut at the transport's cap.
        complete: False where the body was cut, broke off, or could not be decoded.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True


class StoqError(Exception):
    """Root of everything that this package raises for a call.

    Attributes:
        carried_out: False where this call certainly put nothing on the list, None where nobody
            can know.
        after_unknown: Whether an earlier attempt of the call may have been carried out, whatever
            this error says of the last one.
        attempts: How often the request was sent, or tried to be.
        waited_seconds: Seconds spent waiting between attempts and for the rate budget.
        answer: The last answer as it came, None where there was none.
    """

    carried_out: bool | None = False
    after_unknown: bool = False
    attempts: int = 0
    waited_seconds: float = 0.0
    answer: Answer | None = None

    @property
    def status(self) -> int | None:
        """The number in the status line of the answer, None without one."""
        return None if self.answer is None else self.answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, by lower-case name; empty without one."""
        return {} if self.answer is None else self.answer.headers

    @property
    def body(self) -> bytes:
        """The answer's body, see `Answer.body`; empty without one."""
        return b"" if self.answer is None else self.answer.body


class ConfigurationError(StoqError, ValueError):
    """An argument of the client, or of the command line, is unusable."""


class ClientClosedError(StoqError):
    """The client was used after it was closed, so nothing was sent; make a new one."""


class UnusableInputError(StoqError, ValueError):
    """An input that has no form in the API; the message says why."""


class InvalidIntentError(StoqError, ValueError):
    """The request breaks rules, so nothing was sent.

    Attributes:
        violations: Every broken rule, see `stoqapp.rules`.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = list(violations)

    def __str__(self) -> str:
        said = "; ".join(
            f"{violation.path or 'request'} {violation.message}" for violation in self.violations
        )
        return f"nothing was sent: {said}"


class NotSentError(StoqError):
    """The request never left: the name, the connection, TLS or a proxy failed before it.

    Sending again is safe.
    """


class BudgetUnavailableError(StoqError):
    """The place that holds a shared rate budget cannot be used, or was closed; nothing was sent.

    The cause is chained (``__cause__``).
    """


class OutcomeUnknownError(StoqError):
    """The request left, and what came back, if anything, breaks off before the headers end.

    The intent may be on the list or not. To find out, send it again: `UNIQUE`.
    """

    carried_out = None


def _after(seconds: float | None) -> str:
    return "a minute" if seconds is None else f"{seconds:g} seconds"


class AnswerError(StoqError):
    """The service answered, and the answer is not "created".

    Attributes:
        messages: What the service said, read from the body's ``errors``, ``error`` or
            ``message``. May repeat what the customer gave: do not log it.
        retry_after: Seconds until the service will listen again, None where it did not say.
    """

    answer: Answer
    advice = "see .messages for what the service said"

    def __init__(
        self, answer: Answer, messages: Sequence[str] = (), retry_after: float | None = None
    ) -> None:
        # Not to args, which tools that report errors print.
        super().__init__()
        self.answer = answer
        self.messages = tuple(messages)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.answer, self.messages, self.retry_after), self.__dict__

    def __str__(self) -> str:
        said = f"STOQ answered {self.status}: {self.advice}"
        earlier = "; an earlier attempt of this call may have put the intent on the list"
        return said + earlier if self.after_unknown else said

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status={self.status}, messages={len(self.messages)})"


class IntentRefusedError(AnswerError):
    """The service refused the intent; it is not on the list because of this call."""

    advice = "the intent was refused; .messages holds what the service said"


class ProcessedWithErrorsError(IntentRefusedError):
    """200: processed, but with errors, and no intent created."""

    advice = (
        "processed, but with errors, so no intent was created; .messages holds what the service"
        " said (a customer who already waits for the variant is answered so, too)"
    )


class BadRequestError(IntentRefusedError):
    """400: the service could not use the request."""

    advice = "the service could not use the request; .messages may say which part"


class UnauthorizedError(IntentRefusedError):
    """401: the service wants to know who asks."""

    advice = (
        "not authorized, although this endpoint takes no API key; check the shop's domain, and"
        " that the shop has STOQ installed"
    )


class ForbiddenError(IntentRefusedError):
    """403: the service, or something before it, does not let this request through."""

    advice = "forbidden; check that the shop's STOQ plan allows this, and what stands in between"


class NotFoundError(IntentRefusedError):
    """404: the shop, the product or the variant is unknown to the service."""

    advice = (
        "not found; check that the shop has STOQ installed, that variant and product are ids of"
        " that shop (not SKUs), and that base_url is the API's"
    )


class ConflictError(IntentRefusedError):
    """409: the intent is at odds with what the service already holds."""

    advice = "the intent is at odds with what the service holds; see .messages"


class PayloadTooLargeError(IntentRefusedError):
    """413: the request is too large."""

    advice = "the request is too large; shorten its texts"


class UnprocessableIntentError(IntentRefusedError):
    """422: the service understood the request and will not take it."""

    advice = "the service understood the request and will not take it; see .messages"


class RateLimitedError(AnswerError):
    """429: the shop's budget of points is used up; nothing was put on the list."""

    @property
    def advice(self) -> str:  # type: ignore[override]
        """What to do, and when."""
        return f"the shop's rate budget is used up; send again after {_after(self.retry_after)}"


class ServerError(AnswerError):
    """5xx: trouble at the service, or at a proxy before it.

    A 503 that says when to come back (``Retry-After``) was certainly not carried out; of the
    others nobody can know.
    """

    def __init__(
        self, answer: Answer, messages: Sequence[str] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(answer, messages, retry_after)
        self._turned_away = answer.status == 503 and retry_after is not None
        self.carried_out = False if self._turned_away else None

    @property
    def advice(self) -> str:  # type: ignore[override]
        """What to do, and when."""
        if self._turned_away:
            return f"the service takes nothing now; send again after {_after(self.retry_after)}"
        return (
            "trouble at the service, which may have taken the intent all the same; to send it"
            f" again is safe: {UNIQUE}"
        )


class UnexpectedAnswerError(AnswerError):
    """Any status that the API gives no meaning to, redirects among them (none is followed)."""

    carried_out = None
    advice = (
        "a status without a meaning for this API; check base_url, and what stands between you and"
        " the service"
    )
