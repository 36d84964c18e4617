"""What the service would have answered, if this or that were so: sandboxes in this process.

A `World` takes certain things for granted. It gets every request that the service gets, at no
cost and over no socket, so that its answers can be laid beside the real ones.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import define, field, frozen

from stoqapp.errors import Answer, AnswerError
from stoqapp.outcomes import created_from_answer
from stoqapp.rules import SHOP_HEADER
from stoqapp.sandbox.assumptions import Assumptions
from stoqapp.sandbox.catalog import Catalog
from stoqapp.sandbox.errors import SandboxNotInstalledError
from stoqapp.wire import INTENTS_PATH

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

Assumed = Mapping[str, str]

# Shopify's ids have more digits.
NO_VARIANTS: Final = range(1_000_000, 2_000_000)


@frozen
class Sent:
    """A request to create an intent, as it goes out.

    Attributes:
        content: The bytes of the body, which may be no JSON.
        headers: Those that are sent; no shop's among them is a request without a shop.
    """

    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@frozen
class Heard:
    """An answer, and what can be read in it.

    Attributes:
        answer: As it came.
        messages: What it says, see `stoqapp.AnswerError.messages`.
        content: Its body as JSON; None where it is none.
        shop: The shop that the request named, whose points it cost.
    """

    answer: Answer
    messages: tuple[str, ...] = field(repr=False)
    content: Any = field(repr=False)
    shop: str | None

    @classmethod
    def of(cls, answer: Answer, sent: Sent) -> Self:
        """Return what can be read in the answer to *sent*."""
        try:
            messages = created_from_answer(answer, time.time()).messages
        except AnswerError as error:
            messages = error.messages
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        return cls(answer, messages, content, sent.headers.get(SHOP_HEADER))

    @property
    def status(self) -> int:
        """The number in the status line."""
        return self.answer.status

    @property
    def intent(self) -> Mapping[str, Any]:
        """The first intent of the answer; empty where it has none."""
        intents = self.content.get("intents") if isinstance(self.content, dict) else None
        first = intents[0] if isinstance(intents, list) and intents else None
        return first if isinstance(first, dict) else {}


# One entry for each request that was sent; None where no answer came.
Log = Sequence[Heard | None]
Request = Callable[[Log], Sent | None]


@frozen
class Step:
    """A request that was sent.

    Attributes:
        request: What it is, given the answers before it; None where they lack what it needs.
        arrived: Whether the service got it.
        answered: Whether an answer came.
    """

    request: Request = field(repr=False)
    arrived: bool = True
    answered: bool = True


@define(eq=False)
class World:
    """A service of which everything is known.

    Attributes:
        assumed: What it does, by the names of the sandbox's assumptions.
        steps: What it was sent.
        unseen: Requests that it got before the first of *steps*.
        log: What it answered to *steps*.
    """

    assumed: Assumed
    steps: list[Step] = field(factory=list)
    unseen: Sequence[Sent] = ()
    log: list[Heard | None] = field(factory=list, init=False, repr=False)
    _app: "ASGIApp" = field(init=False, repr=False)
    _stored: Callable[[], list[dict[str, Any]]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._app, self._stored = _service(self.assumed)
        asyncio.run(self._relive())

    async def _relive(self) -> None:
        for sent in self.unseen:
            await _answer(self._app, sent)
        for step in self.steps:
            await self._live(step)

    async def _live(self, step: Step) -> None:
        sent = step.request(self.log)
        heard = None
        if sent is not None and step.arrived:
            heard = Heard.of(await _answer(self._app, sent), sent)
        self.log.append(heard if step.answered else None)

    def take(self, step: Step) -> None:
        """Go through one more *step*."""
        self.steps.append(step)
        asyncio.run(self._live(step))

    def copy(self, assumed: Assumed | None = None) -> "World":
        """Return a world that went through the same, and takes *assumed* for granted as well."""
        return World({**self.assumed, **(assumed or {})}, list(self.steps), self.unseen)

    def holds_the_same(self, other: "World") -> bool:
        """Whether both have stored the same intents."""
        return _lasting(self._stored()) == _lasting(other._stored())


def _lasting(stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    moments = ("created_at", "updated_at")
    return [{name: intent[name] for name in intent if name not in moments} for intent in stored]


class _Catalog(Catalog):
    """Knows every variant but the made-up ones."""

    def has_variant(self, shop: str, variant: object) -> bool:  # noqa: ARG002
        return variant not in NO_VARIANTS


def _stopped_clock() -> float:
    return 0.0


@cache
def _rooms() -> tuple[Any, ...]:
    try:
        from stoqapp.sandbox.app import app_for
        from stoqapp.sandbox.budget import Budget
        from stoqapp.sandbox.service import Service
        from stoqapp.sandbox.spec import operation_from_spec, spec
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stoqapp"):
            raise
        raise SandboxNotInstalledError(error.name or "") from error
    return operation_from_spec(spec()), Service, Budget, app_for


def _service(assumed: Assumed) -> tuple["ASGIApp", Callable[[], list[dict[str, Any]]]]:
    operation, service_class, budget_class, app_for = _rooms()
    assumptions = Assumptions.of(assumed)
    # No window of the rate budget ends while requests are compared.
    budget = budget_class(assumptions, clock=_stopped_clock)
    service = service_class(operation, assumptions, budget=budget, catalog=_Catalog())
    return app_for(service), service.store.received


def check_installed() -> None:
    """Raise `SandboxNotInstalledError` where the extra ``[sandbox]`` is missing."""
    _rooms()


async def _answer(app: "ASGIApp", sent: Sent) -> Answer:
    path = f"{_rooms()[0].base_path}{INTENTS_PATH}"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in sent.headers.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    incoming: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": sent.content, "more_body": False},
    ]
    outgoing: list[Message] = []

    async def receive() -> "Message":
        return incoming.pop()

    async def send(message: "Message") -> None:
        outgoing.append(message)

    await app(scope, receive, send)
    start, *parts = outgoing
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))


def spread(worlds: Sequence[World], choices: Mapping[str, Sequence[str]]) -> list[World]:
    """Return *worlds* in each combination of *choices*; one that is so already is used itself."""
    combinations = [
        dict(zip(choices, values, strict=True)) for values in product(*choices.values())
    ]
    return [
        world if assumed.items() <= world.assumed.items() else world.copy(assumed)
        for world in worlds
        for assumed in combinations
    ]
