"""`Stoq` and `AsyncStoq`: check an intent, send it, and say what became of it."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Generic, Self, TypeVar, Unpack

from attrs import evolve

from stoq_public_api_client.models import CreateIntentRequest
from stoq_public_api_client.typed_dicts import CreateIntentRequestDict
from stoqapp.answers import IntentCreated
from stoqapp.body import INTENTS_PATH, body_from_request
from stoqapp.errors import Answer, InvalidIntentError
from stoqapp.http.options import HttpOptions, Timeout
from stoqapp.http.transport import AsyncTransport, Transport
from stoqapp.inputs import request_from_fields
from stoqapp.log import log_as_environment_says
from stoqapp.retry import AttemptReport, Plan, deliver, deliver_async, plan
from stoqapp.rules import check_plain
from stoqapp.settings import (
    MAX_RETRIES,
    TOTAL_TIMEOUT_SECONDS,
    BudgetOption,
    Changes,
    Settings,
    base_url_from,
    timeout_from,
    total_timeout_from,
)

Request = CreateIntentRequest | CreateIntentRequestDict
AnyTransport = TypeVar("AnyTransport", Transport, AsyncTransport)

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _content_from(request: Request) -> bytes:
    """Return the JSON of *request*: of the very body that was checked."""
    body = body_from_request(request)
    violations = check_plain(body)
    if violations:
        raise InvalidIntentError(violations)
    return _encode(body).encode()


class _Client(Generic[AnyTransport]):
    """What both clients share: their settings, and the connections that copies use, too."""

    _transport_class: type[AnyTransport]
    _transport: AnyTransport
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
        log_as_environment_says()
        http = HttpOptions() if http is None else http
        self._settings = Settings(
            shop=shop,
            base_url=base_url_from(base_url, http),
            http=http,
            timeout=timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            retry_unknown=retry_unknown,
            budget=budget,
            on_attempt=on_attempt,
            app_name=app_name,
            headers=headers,
        )
        self._transport = self._transport_class(self._settings.base_url + INTENTS_PATH, http)

    @property
    def shop(self) -> str:
        """The shop's host name, as it is sent."""
        return self._settings.shop

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """Return a copy with other options that uses the same connections.

        *shop*, *timeout*, *total_timeout*, *max_retries*, *retry_unknown*, *budget*,
        *on_attempt*, *app_name* and *headers* can be changed. Closing the copy or the original
        closes both.

        Raises:
            InvalidIntentError: *shop* does not name a shop.
            ConfigurationError: Another option is unusable.
        """
        other = object.__new__(type(self))
        other._settings = self._settings.changed(changes)
        other._transport = self._transport
        return other

    def _plan(self, total_timeout: float | None) -> Plan:
        settings = self._settings
        seconds = settings.total_timeout
        if total_timeout is not None:
            seconds = total_timeout_from(total_timeout)
        return plan(settings.policy, seconds)

    def _timeout(self, timeout: float | Timeout | None) -> Timeout:
        return self._settings.timeout if timeout is None else timeout_from(timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shop={self.shop!r}, base_url={self._settings.base_url!r})"


class Stoq(_Client[Transport]):
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

    _transport_class = Transport
    _sleep = staticmethod(time.sleep)

    def create_intent(
        self,
        request: Request,
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
        self._transport.check_open()
        content = _content_from(request)
        headers, timeouts = self._settings.request_headers, self._timeout(timeout)

        def post(seconds_left: float) -> Answer:
            return self._transport.post(headers, content, timeouts, seconds_left)

        return deliver(self._plan(total_timeout), post, self._sleep)

    def subscribe(
        self,
        *,
        variant: int | str,
        product: int | str,
        email: str | None = None,
        phone: str | None = None,
        push: str | None = None,
        channel: str | None = None,
        quantity: int = 1,
        market: int | str | None = None,
        name: str | None = None,
        country: str | None = None,
        country_code: str | None = None,
        accepts_marketing: bool | None = None,
        locale: str | None = None,
        customer_id: str | None = None,
        customer_market: int | str | None = None,
        shopify_customer_id: int | str | None = None,
        product_title: str | None = None,
        variant_title: str | None = None,
        variant_count: int | None = None,
        vendor: str | None = None,
        sku: str | None = None,
    ) -> IntentCreated:
        """Put one customer on the waitlist of one variant, from what you have in hand.

        ``None`` and blank text stand for "not given". What is given is brought into the API's
        form (`IntentCreated.changes` tells how) and refused where it is ambiguous.

        Args:
            variant: The variant: its number, digits, or ``gid://shopify/ProductVariant/123``.
            product: The variant's product: number, digits, or ``gid://shopify/Product/456``.
            email: The customer's address.
            phone: The customer's number: with ``+`` or ``00`` and the country code, or
                national together with *country*; blanks, hyphens, dots and brackets between.
            push: The customer's push token.
            channel: ``"email"``, ``"sms"`` or ``"push"``; may be left out when exactly one of
                *email*, *phone* and *push* is given.
            quantity: How many the customer wants, at least 1.
            market: The Shopify market of the intent: number or ``gid://shopify/Market/789``.
            name: The customer's name (the shop's plan must be standard or above).
            country: The customer's country, two letters (ISO 3166-1).
            country_code: Country code of the customer's phone number; refused where it is at
                odds with *phone*, else sent as given.
            accepts_marketing: Whether the customer agreed to the shop's emails.
            locale: The customer's locale.
            customer_id: The customer's STOQ id, from an earlier answer.
            customer_market: The Shopify market of the customer.
            shopify_customer_id: The customer's Shopify id: number or
                ``gid://shopify/Customer/123``.
            product_title: Title of the product. This and the fields below are needed only by
                shops with opt-in confirmation or alerts to the shop.
            variant_title: Title of the variant.
            variant_count: How many variants the product has.
            vendor: The product's vendor.
            sku: The variant's SKU.

        Raises:
            InvalidIntentError: An input is unusable or a rule is broken; nothing was sent.
            StoqError: As with `create_intent`.
        """
        request, changes = request_from_fields(
            variant=variant,
            product=product,
            email=email,
            phone=phone,
            push=push,
            channel=channel,
            quantity=quantity,
            market=market,
            name=name,
            country=country,
            country_code=country_code,
            accepts_marketing=accepts_marketing,
            locale=locale,
            customer_id=customer_id,
            customer_market=customer_market,
            shopify_customer_id=shopify_customer_id,
            product_title=product_title,
            variant_title=variant_title,
            variant_count=variant_count,
            vendor=vendor,
            sku=sku,
        )
        return evolve(self.create_intent(request), changes=changes)

    def close(self) -> None:
        """Close the connections. Closing again does nothing."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


async def _sleep_async(seconds: float) -> None:
    # Importing asyncio takes 40 ms, which a program without an event loop need not spend.
    import asyncio

    await asyncio.sleep(seconds)


class AsyncStoq(_Client[AsyncTransport]):
    """`Stoq` for asyncio: the same arguments and guarantees, for the tasks of event loops."""

    _transport_class = AsyncTransport
    _sleep = staticmethod(_sleep_async)

    async def create_intent(
        self,
        request: Request,
        *,
        timeout: float | Timeout | None = None,
        total_timeout: float | None = None,
    ) -> IntentCreated:
        """As `Stoq.create_intent`."""
        self._transport.check_open()
        content = _content_from(request)
        headers, timeouts = self._settings.request_headers, self._timeout(timeout)
        budget = self._settings.policy.budget

        async def post(seconds_left: float) -> Answer:
            return await self._transport.post(headers, content, timeouts, seconds_left)

        return await deliver_async(
            self._plan(total_timeout),
            post,
            self._sleep,
            budget_in_thread=budget is not None and budget.blocking_io,
        )

    async def subscribe(
        self,
        *,
        variant: int | str,
        product: int | str,
        email: str | None = None,
        phone: str | None = None,
        push: str | None = None,
        channel: str | None = None,
        quantity: int = 1,
        market: int | str | None = None,
        name: str | None = None,
        country: str | None = None,
        country_code: str | None = None,
        accepts_marketing: bool | None = None,
        locale: str | None = None,
        customer_id: str | None = None,
        customer_market: int | str | None = None,
        shopify_customer_id: int | str | None = None,
        product_title: str | None = None,
        variant_title: str | None = None,
        variant_count: int | None = None,
        vendor: str | None = None,
        sku: str | None = None,
    ) -> IntentCreated:
        """Do as `Stoq.subscribe`."""
        request, changes = request_from_fields(
            variant=variant,
            product=product,
            email=email,
            phone=phone,
            push=push,
            channel=channel,
            quantity=quantity,
            market=market,
            name=name,
            country=country,
            country_code=country_code,
            accepts_marketing=accepts_marketing,
            locale=locale,
            customer_id=customer_id,
            customer_market=customer_market,
            shopify_customer_id=shopify_customer_id,
            product_title=product_title,
            variant_title=variant_title,
            variant_count=variant_count,
            vendor=vendor,
            sku=sku,
        )
        return evolve(await self.create_intent(request), changes=changes)

    async def close(self) -> None:
        """Close the connections. Closing again does nothing."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
