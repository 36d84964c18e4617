"""`Stoq` and `AsyncStoq`: check an intent, send it, and say what became of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from attrs import evolve

from stoqapp.answers import IntentCreated, created_from_answer
from stoqapp.budget import Budget
from stoqapp.errors import InvalidIntentError
from stoqapp.http.options import HttpOptions, Timeout
from stoqapp.inputs import prepare, takes
from stoqapp.log import AttemptReport, log_as_environment_says
from stoqapp.retry import Plan, deliver, deliver_async, plan
from stoqapp.rules import judged
from stoqapp.settings import (
    MAX_RETRIES,
    TOTAL_TIMEOUT_SECONDS,
    BudgetOption,
    Changes,
    Settings,
    timeout_from,
    total_timeout_from,
)
from stoqapp.spec import INTENTS_PATH

if TYPE_CHECKING:
    from stoq_public_api_client.models import CreateIntentRequest
    from stoq_public_api_client.typed_dicts import CreateIntentRequestDict


class _Client:
    """What both clients share: their settings, and the connections that copies use, too."""

    _transport_kind: str
    _transport: Any
    _settings: Settings

    def __init__(
        self,
        shop: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | Timeout | None = None,
        total_timeout: float | None = TOTAL_TIMEOUT_SECONDS,
        max_retries: int = MAX_RETRIES,
        retry_unknown: bool = False,
        budget: BudgetOption = "auto",
        http: HttpOptions | None = None,
        on_attempt: Callable[[AttemptReport], object] | None = None,
        app_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        http = HttpOptions() if http is None else http
        options = {name: given for name, given in locals().items() if name != "self"}
        log_as_environment_says()
        self._settings = Settings(**options)
        # Imported here: httpcore and asyncio take a while to load.
        from stoqapp.http import transport

        connect = getattr(transport, self._transport_kind)
        self._transport = connect(self._settings.base_url + INTENTS_PATH, http)

    @property
    def shop(self) -> str:
        """The shop's host name, as it is sent."""
        return self._settings.shop

    @property
    def budget(self) -> Budget | None:
        """What paces the calls, None for no pacing."""
        return self._settings.pacer

    @property
    def budget_key(self) -> str:
        """What the shop is called in `budget`."""
        return self._settings.budget_key

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """Return a copy with other options that uses the same connections.

        *shop*, *timeout*, *total_timeout*, *max_retries*, *retry_unknown*, *budget*,
        *on_attempt*, *app_name* and *headers* can be changed. Closing the copy or the original
        closes both.

        Raises:
            InvalidIntentError: *shop* does not name a shop.
            ConfigurationError: Another option is unusable.
            TypeError: Another option cannot be changed.
        """
        if unknown := changes.keys() - Changes.__optional_keys__:
            raise TypeError(f"with_options cannot change {', '.join(sorted(unknown))}")
        other = object.__new__(type(self))
        other._settings = evolve(self._settings, **changes)
        other._transport = self._transport
        return other

    def _steps(
        self,
        request: "CreateIntentRequest | CreateIntentRequestDict",
        timeout: float | Timeout | None,
        total_timeout: float | None,
    ) -> tuple[Plan[IntentCreated], Callable[[float], Any]]:
        """Return the steps of a call, and the function that sends it."""
        self._transport.check_open()
        settings = self._settings
        violations, content = judged(request)
        if violations:
            raise InvalidIntentError(violations)
        phases = settings.timeout if timeout is None else timeout_from(timeout)
        seconds = settings.total_timeout
        if total_timeout is not None:
            seconds = total_timeout_from(total_timeout)
        post = partial(self._transport.send, settings.request_headers, content, phases)
        return plan(settings, seconds, created_from_answer), post

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shop={self.shop!r}, base_url={self._settings.base_url!r})"


class Stoq(_Client):
    """Puts customers on the waitlists of one shop. Thread-safe; use it in a ``with`` block.

    Args:
        shop: The shop, as handle (``demo``), host name (``demo.myshopify.com``), or URL; else
            ``STOQ_SHOP`` from the environment.
        base_url: Where the API is; else ``STOQ_BASE_URL``, else the vendor's server. Plain http
            is for loopback addresses only.
        timeout: Seconds for each phase of an attempt, or a `Timeout` that sets them one by one;
            else ``STOQ_TIMEOUT``, else 10. The wait for a free connection is not a phase: it
            takes as long as the call may.
        total_timeout: Seconds for a call with all its attempts and waits, the wait for the rate
            budget included. None for no deadline: use it for bulk sending.
        max_retries: How many attempts may follow the first one. A call is retried only where that
            is safe: it was not sent, or refused for now (429, or 503 with ``Retry-After``).
        retry_unknown: Also retry what may have been carried out (no answer, 500, 502, ...). Safe
            if the vendor keeps its word that there is one intent per customer, variant and
            market: then the second request meets the first one's intent.
        budget: What paces the calls. ``"auto"`` is ``"shared"``, but does not pace calls to a
            loopback address, such as a sandbox. ``"shared"`` is one budget for all clients of
            the process. Your own `Budget` can span processes and machines. None turns pacing off.
        http: Proxy, certificates, connections; see `HttpOptions`.
        on_attempt: Called with an `AttemptReport` after each attempt, for metrics.
        app_name: Name and version of your application, for the ``User-Agent``: ``my-shop/2.1``.
        headers: Headers to send with each request, besides those that the client sets.

    Raises:
        InvalidIntentError: *shop* does not name a shop.
        ConfigurationError: There is no shop, or another option is unusable.
    """

    _transport_kind = "Transport"

    def create_intent(
        self,
        request: "CreateIntentRequest | CreateIntentRequestDict",
        *,
        timeout: float | Timeout | None = None,
        total_timeout: float | None = None,
    ) -> IntentCreated:
        """Check *request*, send it, and return what the service says of the new intent.

        Args:
            request: A `CreateIntentRequest`, or a dict of the same form.
            timeout: For this call, instead of the client's.
            total_timeout: For this call, instead of the client's; ``math.inf`` for no deadline.

        Raises:
            InvalidIntentError: The request breaks rules; nothing was sent.
            NotSentError: The request never left, also because the rate budget had no room.
            BudgetUnavailableError: The budget's file or Redis failed; nothing was sent.
            OutcomeUnknownError: The request left, and whether it arrived is unknown.
            AnswerError: The service did not answer with 201; see `stoqapp.errors`.
            ClientClosedError: The client is closed; nothing was sent.
            ConfigurationError: A timeout, or a proxy or certificate that the environment names, is
                unusable; nothing was sent.
        """
        steps, post = self._steps(request, timeout, total_timeout)
        return deliver(steps, post)

    @takes(prepare)
    def subscribe(self, **inputs: Any) -> IntentCreated:
        """Put one customer on the waitlist of one variant, from what you have in hand.

        ``None``, blank text, NaN and pandas' NA count as not given. Other input is brought into
        the API's form (`IntentCreated.changes` lists how), and refused if it is ambiguous.

        Raises:
            InvalidIntentError: An input is unusable or a rule is broken; nothing was sent.
            StoqError: As with `create_intent`.
        """
        prepared = prepare(**inputs)
        created = self.create_intent(
            prepared.body, timeout=prepared.timeout, total_timeout=prepared.total_timeout
        )
        return evolve(created, changes=prepared.changes)

    def close(self) -> None:
        """Close the connections. Closing again does nothing."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncStoq(_Client):
    """`Stoq` for asyncio: the same arguments and guarantees, for the tasks of event loops."""

    _transport_kind = "AsyncTransport"

    async def create_intent(
        self,
        request: "CreateIntentRequest | CreateIntentRequestDict",
        *,
        timeout: float | Timeout | None = None,
        total_timeout: float | None = None,
    ) -> IntentCreated:
        """As `Stoq.create_intent`."""
        steps, post = self._steps(request, timeout, total_timeout)
        return await deliver_async(steps, post)

    @takes(prepare)
    async def subscribe(self, **inputs: Any) -> IntentCreated:
        """As `Stoq.subscribe`, with the same arguments and errors."""
        prepared = prepare(**inputs)
        created = await self.create_intent(
            prepared.body, timeout=prepared.timeout, total_timeout=prepared.total_timeout
        )
        return evolve(created, changes=prepared.changes)

    async def close(self) -> None:
        """Close the connections. Closing again does nothing."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
