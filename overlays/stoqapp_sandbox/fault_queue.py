"""The faults that wait, and which requests meet them."""

import random
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from attrs import asdict, define, field

from stoqapp_sandbox.faults import LATENCY, Fault
from stoqapp_sandbox.payload import PayloadError, payload_from_bytes, section


@define(eq=False)
class _Waiting:
    """A fault and what became of it so far."""

    fault: Fault
    seen: int = 0
    happened: int = 0
    chance: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Not for secrets: what is wanted is that it can be repeated.
        self.chance = random.Random(self.fault.schedule.seed)  # noqa: S311

    @property
    def over(self) -> bool:
        return self.happened == self.fault.schedule.times

    def meets(self, shop: str, raw: bytes, as_read: Callable[[Any], Any]) -> bool:
        schedule = self.fault.schedule
        if schedule.shop not in (None, shop.lower()):
            return False
        if schedule.variant is not None and schedule.variant != _variant_from(raw, as_read):
            return False
        self.seen += 1
        turn = self.seen - schedule.after
        if turn < 1 or turn % schedule.every or self.chance.random() >= schedule.probability:
            return False
        self.happened += 1
        return True


@define(eq=False)
class Faults:
    """The faults that wait, safe to use from several threads.

    Attributes:
        lasting: Those that it begins with, and begins anew with after `reset`.
    """

    lasting: Sequence[Fault] = ()
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _waiting: list[_Waiting] = field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def add(self, fault: Fault) -> None:
        """Let *fault* wait behind the others."""
        with self._lock:
            self._waiting.append(_Waiting(fault))

    def take(
        self, shop: str, raw: bytes, as_read: Callable[[Any], Any] = lambda body: body
    ) -> list[Fault]:
        """Return the faults that the next request meets.

        They are asked in the order in which they came. Each latency that is due is met, and the
        first of the others that is due; those behind that one do not see the request.

        Args:
            shop: Host name of the shop.
            raw: The bytes of the body.
            as_read: Returns a body as the judge reads it, see `Judge.body_as_read`.
        """
        with self._lock:
            met = []
            for waiting in list(self._waiting):
                if not waiting.meets(shop, raw, as_read):
                    continue
                met.append(waiting.fault)
                if waiting.over:
                    self._waiting.remove(waiting)
                if waiting.fault.kind is not LATENCY:
                    break
            return met

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults that wait, in order.

        Each as ``fault`` (its text), its schedule, and how many requests it has ``seen`` and
        with how many it has ``happened``.
        """
        with self._lock:
            return [
                {
                    "fault": waiting.fault.written,
                    **asdict(waiting.fault.schedule),
                    "seen": waiting.seen,
                    "happened": waiting.happened,
                }
                for waiting in self._waiting
            ]

    def clear(self) -> None:
        """Let nothing wait."""
        with self._lock:
            self._waiting.clear()

    def reset(self) -> None:
        """Forget what was asked for since the beginning."""
        with self._lock:
            self._waiting[:] = map(_Waiting, self.lasting)


def _variant_from(raw: bytes, as_read: Callable[[Any], Any]) -> Any:
    try:
        body = as_read(payload_from_bytes(raw))
    except PayloadError:
        return None
    return section(body, "intent").get("shopify_variant_id")
