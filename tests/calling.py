"""A request that breaks no rule, what tests rest on, and a caller for both kinds of client."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, IntentCreated, Stoq
from stoqapp.spec import SPEC


def rests_on(place: str, **stated: Any) -> pytest.MarkDecorator:
    """Skip where openapi.json no longer has the field or header, or states something else of it."""
    schema = SPEC.field(place)
    keywords = schema.keywords if schema else SPEC.headers.get(place)
    is_so = keywords is not None and stated.items() <= keywords.items()
    return pytest.mark.skipif(not is_so, reason=f"openapi.json has changed: {place} {stated}")


def email_request(**customer: Any) -> CreateIntentRequest:
    """Return a request that breaks no rule."""
    intent = NewIntent(4711, 42, "email", quantity=1, source="api")
    return CreateIntentRequest(
        intent=intent, customer=Customer(**({"email": "ada@example.com"} | customer))
    )


class Caller:
    """Calls one method of a client that lives for just that call, in one of the two modes.

    Does not wait between attempts: what a client would have waited is in `waits`.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.waits: list[float] = []

    def __repr__(self) -> str:
        return self.mode

    def create_intent(
        self, request: CreateIntentRequest, call: Mapping[str, Any] | None = None, **client: Any
    ) -> IntentCreated:
        return self._call(lambda stoq: stoq.create_intent(request, **call or {}), **client)

    def subscribe(self, fields: dict[str, Any], **client: Any) -> IntentCreated:
        return self._call(lambda stoq: stoq.subscribe(**fields), **client)

    def _call(self, call: Callable[[Any], Any], **client: Any) -> IntentCreated:
        # Its requests cannot be made, and so it cannot be imported, where the spec has lost or
        # gained a field that they need: what test_spec says of that must be heard all the same.
        from record_cassettes import SHOP

        settings = {"shop": SHOP, "budget": None, "max_retries": 0} | client
        if self.mode == "sync":
            with Stoq(**settings) as stoq:
                stoq._sleep = self.waits.append
                return call(stoq)

        async def do_not_wait(seconds: float) -> None:
            self.waits.append(seconds)

        async def in_loop() -> IntentCreated:
            async with AsyncStoq(**settings) as stoq:
                stoq._sleep = do_not_wait
                return await call(stoq)

        return asyncio.run(in_loop())
