"""What the sandbox has seen, cut down to what a person can look at; nothing here decides."""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Final

from attrs import asdict, define, evolve, field, frozen

from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp_sandbox.budget import Balance
from stoqapp_sandbox.payload import section

NEWEST: Final = 20
TOP: Final = 5

_LONGEST_TEXT: Final = 120
_MOST_REASONS: Final = 20


@frozen
class Waiting:
    """An intent on the waitlist.

    Ids and the quantity are text, since JavaScript's numbers cannot hold all of them; no text
    is longer than 120 characters.

    Attributes:
        id: The intent's id.
        at: When it was created, as its ``created_at``.
        contact: What its channel uses: email address, phone number or push token.
        title: Title of the product, where the request gave one.
    """

    id: str
    at: str
    shop: str
    channel: str
    contact: str = field(repr=False)
    name: str | None = field(repr=False)
    product: str
    variant: str
    market: str | None
    quantity: str
    title: str | None


@frozen
class Refusal:
    """A request that was answered with anything but 201, or not at all.

    Attributes:
        number: Its place among the refused ones, from 1.
        at: Unix seconds.
        status: The answer's status, None where the caller heard none.
        what: Method and path.
        reasons: The messages of the answer; they may repeat what was sent.
    """

    number: int
    at: float
    status: int | None
    what: str
    shop: str
    channel: str | None
    product: str | None
    variant: str | None
    reasons: tuple[str, ...] = field(repr=False)


@define(eq=False)
class Watch:
    """What someone who watches the journal is told; its events belong to the loop that watches.

    Attributes:
        changed: Set on every change, and when the watch is over.
        over: Set when there is nothing more to watch for.
    """

    changed: asyncio.Event = field(factory=asyncio.Event)
    over: asyncio.Event = field(factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)

    def tell(self, *events: asyncio.Event) -> None:
        """Set *events*, from whatever thread."""
        # A loop that has just been closed takes its watchers along.
        with suppress(RuntimeError):
            for event in events:
                self._loop.call_soon_threadsafe(event.set)


@define(eq=False)
class Journal:
    """Counts, and the newest of each kind; safe to use from several threads.

    Its size is bounded but for the counts, which have an entry for each shop, product and
    channel that the store holds.
    """

    clock: Callable[[], float] = time.time
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _newest: deque[Waiting] = field(factory=lambda: deque(maxlen=NEWEST), init=False, repr=False)
    _refusals: deque[Refusal] = field(factory=lambda: deque(maxlen=NEWEST), init=False, repr=False)
    _balances: OrderedDict[str, Balance] = field(factory=OrderedDict, init=False, repr=False)
    _stored: int = field(default=0, init=False)
    _refused: int = field(default=0, init=False)
    _shops: Counter[str] = field(factory=Counter, init=False, repr=False)
    _products: Counter[str] = field(factory=Counter, init=False, repr=False)
    _channels: Counter[str] = field(factory=Counter, init=False, repr=False)
    _watches: set[Watch] = field(factory=set, init=False, repr=False)

    def stored(self, shop: str, intent: Mapping[str, Any], body: object) -> None:
        """Note an intent that was stored, with the body of the request that asked for it."""
        customer, channel = section(body, "customer"), intent["channel"]
        contacts = [name for known, name in CONTACT_OF_CHANNEL.items() if known == channel]
        market, title = intent["shopify_market_id"], section(body, "product").get("title")
        waiting = Waiting(
            id=_clipped(intent["id"]),
            at=intent["created_at"],
            shop=_clipped(shop.lower()),
            channel=_clipped(channel),
            contact=_clipped(customer.get(contacts[0]) if contacts else None),
            name=_clipped(customer["name"]) if customer.get("name") else None,
            product=_clipped(intent["shopify_product_id"]),
            variant=_clipped(intent["shopify_variant_id"]),
            market=None if market is None else _clipped(market),
            quantity=_clipped(intent["quantity"]),
            title=_clipped(title) if title else None,
        )
        with self._lock:
            self._stored += 1
            self._newest.appendleft(waiting)
            self._shops[waiting.shop] += 1
            self._products[waiting.product] += 1
            self._channels[waiting.channel] += 1
        self._tell()

    def updated(self, intent: Mapping[str, Any]) -> None:
        """Note the quantity of an intent that was stored already."""
        with self._lock:
            for place, waiting in enumerate(self._newest):
                if waiting.id == _clipped(intent["id"]):
                    self._newest[place] = evolve(waiting, quantity=_clipped(intent["quantity"]))
        self._tell()

    def refused(
        self, status: int | None, what: str, shop: str, body: Any, reasons: tuple[str, ...]
    ) -> None:
        """Note a request that was answered with anything but 201, or not at all.

        Args:
            status: The answer's status, None where the caller heard none.
            what: Method and path of the request.
            shop: What its headers name as the shop.
            body: Its JSON; anything but an intent's body is passed over.
            reasons: What the answer said.
        """
        intent = body.get("intent") if isinstance(body, dict) else None

        def part(name: str) -> str | None:
            value = intent.get(name) if isinstance(intent, dict) else None
            return _clipped(value) if isinstance(value, str | int) else None

        with self._lock:
            self._refused += 1
            self._refusals.appendleft(
                Refusal(
                    number=self._refused,
                    at=self.clock(),
                    status=status,
                    what=_clipped(what),
                    shop=_clipped(shop),
                    channel=part("channel"),
                    product=part("shopify_product_id"),
                    variant=part("shopify_variant_id"),
                    reasons=tuple(map(_clipped, reasons[:_MOST_REASONS])),
                )
            )
        self._tell()

    def spent(self, shop: str, balance: Balance) -> None:
        """Note what *shop* has left of its rate budget."""
        shop = _clipped(shop.lower())
        with self._lock:
            self._balances[shop] = balance
            self._balances.move_to_end(shop, last=False)
            while len(self._balances) > NEWEST:
                self._balances.popitem()
        self._tell()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._stored = self._refused = 0
            for kept in (self._newest, self._refusals, self._balances):
                kept.clear()
            for counter in (self._shops, self._products, self._channels):
                counter.clear()
        self._tell()

    def view(self) -> dict[str, Any]:
        """Return all of it as one JSON object.

        ``now`` (Unix seconds), ``stored`` and ``refused`` (counts), ``waiting`` (`Waiting`) and
        ``refusals`` (`Refusal`), the newest 20 of each, newest first; ``shops``, ``products``
        and ``channels``, each with the number of different ones in ``all`` and the 5 that come
        first in ``top`` as ``[name, intents]``; ``budgets``, the shops that asked last, with
        ``points``, ``points_left`` and ``resets_at`` (Unix seconds).
        """
        with self._lock:
            return {
                "now": self.clock(),
                "stored": self._stored,
                "refused": self._refused,
                "waiting": [asdict(waiting) for waiting in self._newest],
                "refusals": [asdict(refusal) for refusal in self._refusals],
                "shops": _ranking(self._shops),
                "products": _ranking(self._products),
                "channels": _ranking(self._channels),
                "budgets": [
                    {
                        "shop": shop,
                        "points": balance.points,
                        "points_left": balance.points_left,
                        "resets_at": balance.resets_at,
                    }
                    for shop, balance in self._balances.items()
                ],
            }

    @property
    def watchers(self) -> int:
        """How many are in `watched` now."""
        return len(self._watches)

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Give a watch for the running loop; the first change is told at once."""
        watch = Watch()
        watch.changed.set()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def end(self) -> None:
        """Tell those in `watched` now that it is over; others may watch later."""
        for watch in tuple(self._watches):
            watch.tell(watch.over, watch.changed)

    def _tell(self) -> None:
        for watch in tuple(self._watches):
            watch.tell(watch.changed)


def _clipped(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _ranking(counter: Counter[str]) -> dict[str, Any]:
    return {"all": len(counter), "top": counter.most_common(TOP)}
