"""`Stoq` and `AsyncStoq`: check an intent, deliver it, and tell what became of it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar, Unpack

from attrs import evolve

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp.answers import IntentCreated
from stoqapp.body import INTENTS_PATH, body_from_request
from stoqapp.budget import Budget
from stoqapp.delivery import AttemptReport, deliver, deliver_async, plan
from stoqapp.errors import InvalidIntentError
from stoqapp.http.options import HttpOptions, Timeout
from stoqapp.http.transport import AsyncTransport, Transport
from stoqapp.inputs import request_from_fields
from stoqapp.log import listen_to_environment
from stoqapp.rules import check_plain
from stoqapp.settings import (
    MAX_RETRIES,
    TOTAL_TIMEOUT_SECONDS,
    Changes,
    Options,
    settings_from,
)

AnyTransport = TypeVar("AnyTransport", Transport, AsyncTransport)


def _content_from(request: CreateIntentRequest) -> bytes:
    """Return the body of *request* as JSON, the very one that was checked."""
    body = body_from_request(request)
    violations = check_plain(body)
    if violations:
        raise InvalidIntentError(violations)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class _Client(Generic[AnyTransport]):
    """What both clients have in common: their settings, and the pool that copies share."""

    _transport_class: type[AnyTransport]
    _transport: AnyTransport

    def __init__(
        self,
        shop: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | Timeout | None = None,
        total_timeout: float | None = TOTAL_TIMEOUT_SECONDS,
        max_retries: int = MAX_RETRIES,
        retry_unknown: bool = False,
        budget: Budget | Literal["shared"] | None = "shared",
        http: HttpOptions | None = None,
        on_attempt: Callable[[AttemptReport], object] | None = None,
    ) -> None:
        listen_to_environment()
        options = Options(
            shop=shop,
            base_url=base_url,
            timeout=timeout,
            total_timeout=total_timeout,
            max_retries=max_retries,
            retry_unknown=retry_unknown,
            budget=budget,
            http=http,
            on_attempt=on_attempt,
        )
        self._settings = settings = settings_from(options)
        # Copies keep to it, whatever the environment says by then.
        self._options = evolve(
            options, shop=settings.shop, base_url=settings.base_url, timeout=settings.timeout
        )
        self._transport = self._transport_class(
            self._settings.base_url + INTENTS_PATH, self._settings.http
        )

    @property
    def shop(self) -> str:
        """The shop's host name, as it is sent."""
        return self._settings.shop

    def with_options(self, **changes: Unpack[Changes]) -> Self:
        """Return a copy with other options that uses the same connections.

        Any of *shop*, *timeout*, *total_timeout*, *max_retries*, *retry_unknown*, *budget* and
        *on_attempt* can be changed. Closing the copy or the original closes both.

        Raises:
            InvalidIntentError: *shop* names no shop.
            ConfigurationError: Another option is unusable.
        """
        unknown = set(changes) - Changes.__optional_keys__
        if unknown:
            raise TypeError(f"with_options cannot change {', '.join(sorted(unknown))}")
        other = object.__new__(type(self))
        other._options = evolve(self._options, **changes)
        other._settings = settings_from(other._options)
        other._transport = self._transport
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shop={self.shop!r}, base_url={self._settings.base_url!r})"


class Stoq(_Client[Transport]):
    """Puts customers on the waitlists of one shop. For many threads; use it with ``with``.

    Args:
        shop: The shop, as handle (``demo``), host name (``demo.myshopify.com``), or URL; else
            what ``STOQ_SHOP`` in the environment says.
        base_url: Where the API is, plain http for loopback addresses alone; else
            ``STOQ_BASE_URL``, else the vendor's server.
        timeout: Seconds for each phase of an attempt but the wait for a connection of the pool,
            which takes as long as the call has; or a `Timeout` that tells them apart; else
            ``STOQ_TIMEOUT``, else 10.
        total_timeout: Seconds for a call with all its attempts and waits, those for the rate
            budget included; None for no end, which is right where many calls wait in turn.
        max_retries: How often a call is tried again, where that is safe: it was not sent, or was
            turned away (429, or 503 with ``Retry-After``).
        retry_unknown: Also try again what may have been carried out (no answer, 500, 502, ...).
            Safe as far as the vendor keeps its word that there is one intent for a customer, a
            variant and a market: the second request then finds the first one's.
        budget: What paces the calls: ``"shared"`` is one budget for all clients of the process,
            a `Budget` of yours can span processes and machines, None turns pacing off.
        http: Proxy, certificates, connections; see `HttpOptions`.
        on_attempt: Called with an `AttemptReport` after each one, for metrics.

    Raises:
        InvalidIntentError: *shop* names no shop.
        ConfigurationError: There is no shop, or another argument is unusable.
    """

    _transport_class = Transport
    _sleep = staticmethod(time.sleep)

    def create_intent(self, request: CreateIntentRequest) -> IntentCreated:
        """Check *request*, deliver it, and return what the service says of the new intent.

        Raises:
            InvalidIntentError: It breaks rules; nothing was sent.
            NotSentError: It never left.
            OutcomeUnknownError: It left, and nobody can know what became of it.
            AnswerError: The service answered anything but 201; see `stoqapp.errors`.
            ConfigurationError: A proxy or certificates that the environment names are unusable.
        """
        self._transport.check_open()
        content = _content_from(request)
        settings = self._settings

        def post(seconds_left: float) -> Any:
            return self._transport.post(settings.headers, content, settings.timeout, seconds_left)

        return deliver(plan(settings.terms), post, self._sleep)

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
        """Close the connections; a second time does nothing."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncStoq(_Client[AsyncTransport]):
    """`Stoq` for asyncio: the same promises and arguments, for the tasks of an event loop."""

    _transport_class = AsyncTransport
    _sleep = staticmethod(asyncio.sleep)

    async def create_intent(self, request: CreateIntentRequest) -> IntentCreated:
        """Do as `Stoq.create_intent`."""
        self._transport.check_open()
        content = _content_from(request)
        settings = self._settings
        budget = settings.terms.budget

        async def post(seconds_left: float) -> Any:
            return await self._transport.post(
                settings.headers, content, settings.timeout, seconds_left
            )

        in_thread = budget is not None and budget.blocking_io
        return await deliver_async(plan(settings.terms), post, self._sleep, in_thread=in_thread)

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
        """Close the connections; a second time does nothing."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
