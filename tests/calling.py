"""A request that breaks no rule, what tests rest on, and a caller for both kinds of client."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, IntentCreated, Stoq, StoqError
from stoqapp.spec import SPEC
from stoqapp_sandbox.cassettes import SHOP

Outcome = IntentCreated | StoqError


def frozen_spec() -> dict[str, Any]:
    """Return the vendor's document as it once was, for tests that change it themselves."""
    page = Path(__file__).parent / "scripts" / "pages" / "create-an-intent.md"
    block = page.read_text("utf-8").partition("```json\n")[2].partition("\n```")[0]
    found: dict[str, Any] = json.loads(block)
    return found


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


def outcome_of(call: Callable[[], IntentCreated]) -> Outcome:
    try:
        return call()
    except StoqError as error:
        return error


class Session:
    """One client for several calls, in one of the two modes, behind one blocking interface.

    Does not wait between attempts: what it would have waited is in *waits*.
    """

    def __init__(self, mode: str, waits: list[float], **client: Any) -> None:
        async def do_not_wait(seconds: float) -> None:
            waits.append(seconds)

        settings: dict[str, Any] = {"shop": SHOP, "budget": None, "max_retries": 0} | client
        self._runner = asyncio.Runner() if mode == "async" else None
        self.stoq: Any = AsyncStoq(**settings) if self._runner else Stoq(**settings)
        self.stoq._sleep = do_not_wait if self._runner else waits.append

    def do(self, call: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return call(self.stoq)

        async def in_loop() -> Any:
            return await call(self.stoq)

        return self._runner.run(in_loop())

    def outcome(self, **client: Any) -> Outcome:
        stoq = self.stoq.with_options(**client) if client else self.stoq
        return outcome_of(lambda: self.do(lambda _: stoq.create_intent(email_request())))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.do(lambda stoq: stoq.close())
        if self._runner is not None:
            self._runner.close()


class Caller:
    """Makes clients of one of the two modes, or calls one method of a client for just that call."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.waits: list[float] = []

    def client(self, base_url: str | None = None, **client: Any) -> Session:
        return Session(self.mode, self.waits, base_url=base_url, **client)

    def create_intent(
        self, request: CreateIntentRequest, call: Mapping[str, Any] | None = None, **client: Any
    ) -> IntentCreated:
        with self.client(**client) as session:
            created: IntentCreated = session.do(
                lambda stoq: stoq.create_intent(request, **call or {})
            )
        return created

    def subscribe(self, fields: dict[str, Any], **client: Any) -> IntentCreated:
        with self.client(**client) as session:
            created: IntentCreated = session.do(lambda stoq: stoq.subscribe(**fields))
        return created

    def outcome(self, base_url: str | None = None, **client: Any) -> Outcome:
        with self.client(base_url, **client) as session:
            return session.outcome()
