"""The intents that the sandbox holds, and what makes one unique."""

import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

from attrs import define, field

from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.sandbox.assumptions import ACCEPTS_MARKETING, INTENT_TYPE, OPTIN_CONFIRMED

Intent = dict[str, Any]

_FOLDED: Final = {"email": str.lower}


@define(eq=False)
class Store:
    """Intents in memory, safe to use from several threads.

    Attributes:
        clock: Seconds since 1970, for the dates of an intent.
    """

    clock: Callable[[], float] = time.time
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _received: list[dict[str, Any]] = field(factory=list, init=False, repr=False)
    _taken: set[tuple[Any, ...]] = field(factory=set, init=False, repr=False)
    _customer_of: dict[tuple[str, ...], str] = field(factory=dict, init=False, repr=False)
    _customer_ids: set[tuple[str, str]] = field(factory=set, init=False, repr=False)

    def add(self, shop: str, body: dict[str, Any]) -> Intent | None:
        """Store the intent of a request, unless its customer already waits there.

        Args:
            shop: Host name of the shop.
            body: The body of a request that has passed the schema and the rules.

        Returns:
            The intent as the service would answer it, or None for a duplicate.
        """
        shop = shop.lower()
        wanted, customer = body["intent"], body["customer"]
        contact = CONTACT_OF_CHANNEL[wanted["channel"]]
        fold = _FOLDED.get(contact, str)
        contact_key = (shop, contact, fold(customer[contact].strip()))
        with self._lock:
            customer_id = customer.get("id")
            if customer_id is None or (shop, customer_id) not in self._customer_ids:
                customer_id = self._customer_of.get(contact_key)
            if customer_id is None:
                customer_id = str(len(self._customer_ids) + 1)
            market = wanted.get("shopify_market_id")
            key = (shop, customer_id, wanted["shopify_variant_id"], market)
            if key in self._taken:
                return None
            now = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
            created_at = now.replace("+00:00", "Z")
            intent: Intent = {
                "id": str(len(self._received) + 1),
                "channel": wanted["channel"],
                "email": customer.get("email"),
                "phone": customer.get("phone"),
                "quantity": wanted["quantity"],
                "source": wanted["source"],
                "type": INTENT_TYPE,
                "shopify_variant_id": wanted["shopify_variant_id"],
                "shopify_product_id": wanted["shopify_product_id"],
                "shopify_market_id": market,
                "customer_id": customer_id,
                "created_at": created_at,
                "updated_at": created_at,
                "notified_at": None,
                "unsubscribed_at": None,
                "blocked_at": None,
                "optin_confirmed": OPTIN_CONFIRMED,
                "accepts_marketing": customer.get("accepts_marketing", ACCEPTS_MARKETING),
            }
            self._taken.add(key)
            self._customer_of.setdefault(contact_key, customer_id)
            self._customer_ids.add((shop, customer_id))
            self._received.append({**intent, "shop": shop, "request": body})
            return intent

    def received(self) -> list[dict[str, Any]]:
        """Return what was stored, oldest first: the intent's fields, ``shop`` and ``request``.

        ``request`` is the body as it was received. The list is a copy.
        """
        with self._lock:
            return deepcopy(self._received)

    def clear(self) -> None:
        """Forget everything; ids begin anew."""
        with self._lock:
            self._received.clear()
            self._taken.clear()
            self._customer_of.clear()
            self._customer_ids.clear()
