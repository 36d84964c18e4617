"""What the service would have answered, if this or that were so: sandboxes in this process.

A `World` takes certain things for granted. It gets every request that the service gets, at no
cost and over no socket, so that its answers can be laid beside the real ones.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakSet

from attrs import define, field, frozen

from stoqapp.answers import created_from_answer
from stoqapp.errors import Answer, AnswerError
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.catalog import Catalog
from stoqapp_sandbox.errors import SandboxNotInstalledError

if TYPE_CHECKING:
    from stoqapp_sandbox.service import Service

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
class _Life:
    """What one service went through, for all worlds that differ in nothing that it asked for."""

    assumed: Assumed
    unseen: Sequence[Sent]
    steps: list[Step] = field(factory=list, init=False)
    log: list[Heard | None] = field(factory=list, init=False, repr=False)
    stored: Callable[[], list[dict[str, Any]]] = field(init=False, repr=False)
    _service: "Service" = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._service = _service(self.assumed)
        self.stored = lambda: json.loads("".join(self._service.intents_json()))
        for sent in self.unseen:
            _answer(self._service, sent)

    def take(self, step: Step) -> None:
        sent = step.request(self.log)
        heard = None
        if sent is not None and step.arrived:
            heard = Heard.of(_answer(self._service, sent), sent)
        self.steps.append(step)
        self.log.append(heard if step.answered else None)

    def is_of(self, world: "World") -> bool:
        """Whether *world* would have gone through just the same."""
        return (
            self.steps == world.steps
            and self.unseen == world.unseen
            and self.assumed == world.assumed
        )


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
    # Those of this world and of the worlds that come of it.
    _lives: WeakSet[_Life] = field(factory=WeakSet, kw_only=True, repr=False)
    _life: _Life | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.log = list(self._lived().log)

    def _lived(self) -> _Life:
        """Return a life that went through *steps*, and no further."""
        life = self._life
        if life is None or not life.is_of(self):
            life = next((one for one in self._lives if one.is_of(self)), None)
        if life is None and self._life is not None and self._life.steps == self.steps[:-1]:
            # Others that share it find it where it is then, or live anew.
            self._life.take(self.steps[-1])
            life = self._life if self._life.is_of(self) else None
        if life is None:
            life = _Life(self.assumed, self.unseen)
            for step in self.steps:
                life.take(step)
            self._lives.add(life)
        self._life = life
        return life

    def take(self, step: Step) -> None:
        """Go through one more *step*."""
        self.steps.append(step)
        self.log.append(self._lived().log[-1])

    def copy(self, assumed: Assumed | None = None) -> "World":
        """Return a world that went through the same, and takes *assumed* for granted as well."""
        changed = {**self.assumed, **(assumed or {})}
        return World(changed, list(self.steps), self.unseen, lives=self._lives)

    def stored(self) -> list[dict[str, Any]]:
        """Return the intents that it holds, see `Store.received`."""
        return self._lived().stored()

    def holds_the_same(self, other: "World") -> bool:
        """Whether both have stored the same intents."""
        return _lasting(self.stored()) == _lasting(other.stored())


def _lasting(stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    moments = ("created_at", "updated_at")
    return [{name: intent[name] for name in intent if name not in moments} for intent in stored]


class _Catalog(Catalog):
    """Knows every variant but the made-up ones."""

    def has_variant(self, shop: str, variant: object) -> bool:  # noqa: ARG002
        return variant not in NO_VARIANTS


def _stopped_clock() -> float:
    return 0.0


def check_installed() -> None:
    """Raise `SandboxNotInstalledError` where the extra ``[sandbox]`` is missing."""
    try:
        import stoqapp_sandbox.service  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stoqapp"):
            raise
        raise SandboxNotInstalledError(error.name or "") from error


def _service(assumed: Assumed) -> "Service":
    from stoqapp_sandbox.service import Service

    check_installed()
    known = {name: assumed[name] for name in Assumptions() if name in assumed}
    # No window of the rate budget ends while requests are compared.
    return Service(assume=known, clock=_stopped_clock, catalog=_Catalog())


def _answer(service: "Service", sent: Sent) -> Answer:
    answer = service.create_intent(sent.headers, sent.content)
    return Answer(answer.status, answer.headers, answer.body)


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
