"""`Stoq` and `AsyncStoq`: check an intent, send it, and tell what became of it."""

import json
import math
import os
from typing import Final, Self

from attrs import evolve

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp.errors import ConfigurationError, InvalidIntentError, UnusableInputError
from stoqapp.normalize import request_from_fields, shop_from
from stoqapp.outcomes import IntentCreated, created_from_answer
from stoqapp.rules import SHOP_HEADER, Violation, check_body
from stoqapp.transport import AsyncTransport, Transport, check_base_url
from stoqapp.version import __version__
from stoqapp.wire import body_from_request

BASE_URL: Final = "https://app.stoqapp.com/api/v1"
TIMEOUT_SECONDS: Final = 10.0

# The operation that the generated client knows as api.intents.create_intent; a test compares.
_PATH: Final = "/intents.json"


def _content_from(request: CreateIntentRequest) -> bytes:
    """Return the body of *request* as JSON, the very one that was checked."""
    body = body_from_request(request)
    violations = check_body(body)
    if violations:
        raise InvalidIntentError(violations)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _seconds_from(timeout: object) -> float:
    wanted = "timeout must be a positive, finite number of seconds, like 10.0"
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | str):
        raise ConfigurationError(f"{wanted}, not {type(timeout).__name__}")
    try:
        seconds = float(timeout)
    except (ValueError, OverflowError):
        raise ConfigurationError(wanted) from None
    if not 0 < seconds < math.inf:
        raise ConfigurationError(wanted)
    return seconds


class _Settings:
    """What both clients are told, looked at once."""

    def __init__(self, shop: str | None, base_url: str | None, timeout: float | None) -> None:
        environment = os.environ
        if shop is None:
            shop = environment.get("STOQ_SHOP")
        if shop is None:
            raise ConfigurationError("no shop: give one, like demo.myshopify.com, or set STOQ_SHOP")
        if base_url is None:
            base_url = environment.get("STOQ_BASE_URL", BASE_URL)
        try:
            self.shop = shop_from(shop).value
        except UnusableInputError as reason:
            violation = Violation("shop", "shop_domain", str(reason), "spec")
            raise InvalidIntentError([violation]) from None
        self.base_url = check_base_url(base_url)
        self.timeout_seconds = _seconds_from(
            environment.get("STOQ_TIMEOUT", TIMEOUT_SECONDS) if timeout is None else timeout
        )
        self.headers = {
            SHOP_HEADER: self.shop,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"stoqapp/{__version__}",
        }


class Stoq:
    """Puts customers on the waitlists of one shop. For many threads; use it with ``with``.

    Args:
        shop: The shop, as handle (``demo``), host name (``demo.myshopify.com``), or URL; else
            what ``STOQ_SHOP`` in the environment says.
        base_url: Where the API is, plain http for loopback addresses alone; else
            ``STOQ_BASE_URL``, else the vendor's server.
        timeout: Seconds to wait for a connection, and again for the answer; else
            ``STOQ_TIMEOUT``, else 10.

    Raises:
        InvalidIntentError: *shop* names no shop.
        ConfigurationError: There is no shop, or *base_url* or *timeout* is unusable.
    """

    def __init__(
        self,
        shop: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._settings = _Settings(shop, base_url, timeout)
        self._transport = Transport(self._settings.base_url, self._settings.timeout_seconds)

    @property
    def shop(self) -> str:
        """The shop's host name, as it is sent."""
        return self._settings.shop

    def create_intent(self, request: CreateIntentRequest) -> IntentCreated:
        """Check *request*, send it once, and return what the service says of the new intent.

        Raises:
            InvalidIntentError: It breaks rules; nothing was sent.
            NotSentError: It never left.
            OutcomeUnknownError: It left, and nobody can know what became of it.
            AnswerError: The service answered anything but 201; see `stoqapp.errors`.
        """
        content = _content_from(request)
        answer = self._transport.post(_PATH, self._settings.headers, content)
        return created_from_answer(answer)

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
            phone: The customer's number: with ``+`` or ``00`` and the country code in any
                punctuation, or national together with *country*.
            push: The customer's push token.
            channel: ``"email"``, ``"sms"`` or ``"push"``; may be left out when exactly one of
                *email*, *phone* and *push* is given.
            quantity: How many the customer wants, at least 1.
            market: The Shopify market of the intent: number or ``gid://shopify/Market/789``.
            name: The customer's name (the shop's plan must be standard or above).
            country: The customer's country, two letters (ISO 3166-1).
            country_code: Country code of the customer's phone number, sent as given.
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
        """Close the connections; what is under way ends first."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shop={self.shop!r}, base_url={self._settings.base_url!r})"


class AsyncStoq:
    """`Stoq` for asyncio: the same promises, for the tasks of one event loop.

    Args:
        shop: As for `Stoq`.
        base_url: As for `Stoq`.
        timeout: As for `Stoq`.

    Raises:
        InvalidIntentError: *shop* names no shop.
        ConfigurationError: There is no shop, or *base_url* or *timeout* is unusable.
    """

    def __init__(
        self,
        shop: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._settings = _Settings(shop, base_url, timeout)
        self._transport = AsyncTransport(self._settings.base_url, self._settings.timeout_seconds)

    @property
    def shop(self) -> str:
        """The shop's host name, as it is sent."""
        return self._settings.shop

    async def create_intent(self, request: CreateIntentRequest) -> IntentCreated:
        """Do as `Stoq.create_intent`."""
        content = _content_from(request)
        answer = await self._transport.post(_PATH, self._settings.headers, content)
        return created_from_answer(answer)

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
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shop={self.shop!r}, base_url={self._settings.base_url!r})"
