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
person's data, so its words are in `AnswerError.messages` and in `StoqError.answer` only: never
in ``str()``, ``repr()``, ``args`` or a log.

An error survives pickling with everything it holds. It also survives being rebuilt as
``cls(*error.args)``, which is how the JSON result store of a task queue brings it back: then
`StoqError.answer` and `AnswerError.messages` are gone, and the rest is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict, field, frozen

from stoqapp.headers import loggable_id, request_id_from_headers
from stoqapp.rules import Violation

# Why it is safe to send an intent again: the vendor's word, in the operation's description.
UNIQUE: Final = "STOQ keeps one intent per customer, variant and market"

# What an error carries in ``args``, and the types that each value may have there.
_STATE: Final[Mapping[str, tuple[type, ...]]] = {
    "carried_out": (bool, type(None)),
    "after_unknown": (bool,),
    "attempts": (int,),
    "waited_seconds": (int, float),
    "status": (int, type(None)),
    "retry_after": (int, float, type(None)),
    "request_id": (str, type(None)),
    "is_duplicate": (bool,),
}

_LONGEST_SECONDS: Final = 366 * 86_400.0


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
        carried_out: False if this call certainly put nothing on the list, None if unknown.
        after_unknown: Whether an earlier attempt of this call may have been carried out,
            whatever the last one ended in.
        attempts: How many times the request was sent, or tried to be.
        waited_seconds: Time spent waiting between attempts and for the rate budget.
        answer: The last answer, None without one.
        status: The number in its status line, None without an answer.
        retry_after: Seconds to wait before the next try, None if not known.
        request_id: The id that the service gave the request, in any form, None without one.
        is_duplicate: Whether the service refused the intent because it already has it. This is
            what a second click on the same button gets.
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

    def __init__(self, message: str = "", state: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self._message = str(message)
        # A result store may have turned the state, or a value of it, into text.
        given = state if isinstance(state, Mapping) else {}
        for name, types in _STATE.items():
            if isinstance(given.get(name, ...), types):
                setattr(self, name, given[name])

    @property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What the error can be rebuilt from: values of JSON, without anyone's data."""
        # What has its default is left out.
        known = vars(self)
        return str(self), {name: value for name, value in self._state().items() if name in known}

    def _state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in _STATE}
        if self.retry_after is not None:
            # A longer wait means the same, and its digits could be a phone number's.
            state["retry_after"] = min(self.retry_after, _LONGEST_SECONDS)
        return state | {"request_id": loggable_id(self.request_id)}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, vars(self)

    def __str__(self) -> str:
        return self._message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers by lower-case name; empty without an answer."""
        return {} if self.answer is None else self.answer.headers

    @property
    def body(self) -> bytes:
        """The answer's body, see `Answer.body`; empty without an answer."""
        return b"" if self.answer is None else self.answer.body

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the error as values of JSON.

        Args:
            personal_data: Include what the service said (``messages``) and its request id in
                any form, both of which may repeat what the customer gave.
        """
        named = {"error": type(self).__name__, "message": str(self), **self._state()}
        return named | {"request_id": self.request_id} if personal_data else named


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
        self.violations = [
            fault if isinstance(fault, Violation) else Violation(**fault) for fault in violations
        ]
        faults = [f"{fault.path or 'request'} {fault.message}" for fault in self.violations]
        super().__init__(f"nothing was sent: {'; '.join(faults)}", state)

    @property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """As with `StoqError`, with the violations instead of the text."""
        return list(map(asdict, self.violations)), super().args[1]

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the error as values of JSON, the violations included."""
        violations = list(map(asdict, self.violations))
        return super().to_dict(personal_data=personal_data) | {"violations": violations}


class NotSentError(StoqError):
    """The request never left: the host name, the connection, TLS or a proxy failed first.

    Sending again is safe.
    """


class BudgetExhaustedError(NotSentError):
    """The shop's rate budget has no room before ``total_timeout`` ends. Nothing was sent.

    `StoqError.retry_after` holds the seconds until there is room.
    """


class BudgetUnavailableError(StoqError):
    """The file or Redis that holds a rate budget failed, or was closed. Nothing was sent.

    The cause is chained (``__cause__``).
    """


class OutcomeUnknownError(StoqError):
    """The request was sent, and no status line came back.

    The intent may be on the list or not. To find out, send it again: `UNIQUE`.
    """

    carried_out = None


def _seconds(retry_after: float | None) -> str:
    return "a minute" if retry_after is None else f"{retry_after:g} seconds"


class AnswerError(StoqError):
    """The service answered, but not with "created".

    Attributes:
        messages: What the service said, from the body's ``errors``, ``error`` or ``message``.
            May repeat what the customer gave: do not log it. Empty after a rebuild from ``args``.
    """

    messages: tuple[str, ...] = ()
    advice = "see .messages for what the service said"

    def __init__(
        self,
        message: str = "",
        state: Mapping[str, Any] | None = None,
        *,
        answer: Answer | None = None,
        messages: Sequence[str] = (),
    ) -> None:
        super().__init__(message, state)
        self.answer, self.messages = answer, tuple(messages)
        if answer is not None:
            self.status = answer.status
            self.request_id = request_id_from_headers(answer.headers)

    def __str__(self) -> str:
        text = f"STOQ answered {self.status}: {self.advice}"
        earlier = "; an earlier attempt of this call may have put the intent on the list"
        return text + earlier if self.after_unknown else text

    def to_dict(self, *, personal_data: bool = False) -> dict[str, Any]:
        """Return the error as values of JSON; *personal_data* includes ``messages``."""
        messages = {"messages": list(self.messages)} if personal_data else {}
        return super().to_dict(personal_data=personal_data) | messages


class IntentRefusedError(AnswerError):
    """The service refused the intent. This attempt did not put it on the list."""

    advice = "the intent was refused; .messages holds what the service said"


class ProcessedWithErrorsError(IntentRefusedError):
    """200: processed with errors, and no intent was created."""

    advice = (
        "processed with errors, so no intent was created; .messages holds what the service said"
        " (STOQ also answers this way for a duplicate, see .is_duplicate)"
    )


class BadRequestError(IntentRefusedError):
    """400: the service could not read the request."""

    advice = "the service could not read the request; .messages may say which part"


class UnauthorizedError(IntentRefusedError):
    """401: the service wants credentials."""

    advice = (
        "not authorized, although this endpoint takes no API key; check the shop's domain, and"
        " that the shop has STOQ installed"
    )


class ForbiddenError(IntentRefusedError):
    """403: the service, or a proxy in front of it, blocked the request."""

    advice = "forbidden; check that the shop's STOQ plan allows this, and that no proxy blocks it"


class NotFoundError(IntentRefusedError):
    """404: the service does not know the shop, the product or the variant."""

    advice = (
        "not found; check that the shop has STOQ installed, that variant and product are ids of"
        " that shop (not SKUs), and that base_url is the API's"
    )


class ProxyAuthenticationError(IntentRefusedError):
    """407: a proxy in between asks for a user name and a password."""

    advice = (
        "a proxy in between asks for a user name and a password; give them in the proxy's URL,"
        " like http://name:password@host:3128"
    )


class ConflictError(IntentRefusedError):
    """409: the intent conflicts with what the service holds."""

    advice = "the intent conflicts with what the service holds; see .messages"


class PayloadTooLargeError(IntentRefusedError):
    """413: the request is too large."""

    advice = "the request is too large; shorten its texts"


class UnprocessableIntentError(IntentRefusedError):
    """422: the service read the request and rejects what it says."""

    advice = "the service read the request and rejects what it says; see .messages"


class RateLimitedError(AnswerError):
    """429: the shop's rate limit is reached. Nothing was put on the list."""

    @property
    def advice(self) -> str:  # type: ignore[override]
        """What to do, and when."""
        return f"the shop's rate limit is reached; send again after {_seconds(self.retry_after)}"


class ServerError(AnswerError):
    """5xx: a failure at the service, or at a proxy in front of it.

    A 503 with ``Retry-After`` was certainly not carried out. After any other, the outcome is
    unknown.
    """

    carried_out = None

    @property
    def advice(self) -> str:  # type: ignore[override]
        """What to do, and when."""
        if self.status == 503 and self.retry_after is not None:
            return f"the service is unavailable; send again after {_seconds(self.retry_after)}"
        return (
            "the service failed, and may have taken the intent all the same; sending it again is"
            f" safe: {UNIQUE}"
        )


class UnexpectedAnswerError(AnswerError):
    """A status that has no meaning in this API, such as a redirect. Redirects are not followed."""

    carried_out = None
    advice = (
        "this status has no meaning in this API; check base_url, and any proxy between you and"
        " the service"
    )
