"""A request that breaks no rule, what tests rest on, and clients of both modes."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    """A client of one of the two modes, behind one blocking interface."""

    def __init__(
        self, stoq: Any, threads: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self.stoq, self._threads, self._loop = stoq, threads, loop

    def begin(self, call: Callable[[Any], Any]) -> Future[Any]:
        """Begin a call: in a thread of its own, or as a task of the client's event loop."""
        if self._loop is None:
            return self._threads.submit(call, self.stoq)

        async def in_loop() -> Any:
            return await call(self.stoq)

        return asyncio.run_coroutine_threadsafe(in_loop(), self._loop)

    def do(self, call: Callable[[Any], Any]) -> Any:
        return call(self.stoq) if self._loop is None else self.begin(call).result()

    def create_intent(self, request: CreateIntentRequest, **call: Any) -> IntentCreated:
        created: IntentCreated = self.do(lambda stoq: stoq.create_intent(request, **call))
        return created

    def outcome(self, **options: Any) -> Outcome:
        stoq = self.stoq.with_options(**options) if options else self.stoq
        return outcome_of(lambda: self.do(lambda _: stoq.create_intent(email_request())))

    def close(self) -> None:
        self.do(lambda stoq: stoq.close())


class Caller:
    """Makes clients of one of the two modes; *waits* is the fixture of that name."""

    def __init__(self, mode: str, waits: Sequence[float] = ()) -> None:
        self.mode, self.waits = mode, waits

    @contextmanager
    def client(self, base_url: str | None = None, **client: Any) -> Iterator[Session]:
        settings: dict[str, Any] = {"shop": SHOP, "budget": None, "max_retries": 0} | client
        with asyncio.Runner() as runner, ThreadPoolExecutor(32) as threads:
            loop = runner.get_loop() if self.mode == "async" else None
            kind = Stoq if loop is None else AsyncStoq
            session = Session(kind(base_url=base_url, **settings), threads, loop)
            if loop is not None:
                threads.submit(loop.run_forever)
            try:
                yield session
            finally:
                session.close()
                if loop is not None:
                    loop.call_soon_threadsafe(loop.stop)

    def create_intent(self, request: CreateIntentRequest, **client: Any) -> IntentCreated:
        with self.client(**client) as session:
            return session.create_intent(request)

    def outcome(self, base_url: str | None = None, **client: Any) -> Outcome:
        with self.client(base_url, **client) as session:
            return session.outcome()
