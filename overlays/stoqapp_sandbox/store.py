"""The intents that the sandbox holds, and what makes one unique."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from sqlite3 import Connection
from typing import Any, Final

from attrs import define, field, frozen

from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp_sandbox.assumptions import DEFAULTS, Assumptions
from stoqapp_sandbox.payload import section
from stoqapp_sandbox.state import State

Intent = dict[str, Any]

# 2026-01-01, in seconds since 1970.
_SEEDED_SINCE: Final = 1_767_225_600
_NO_OR_YES: Final = {"no": False, "yes": True, "null": None}


@frozen
class Addition:
    """What became of a wish to store an intent.

    Attributes:
        intent: The intent as the service would answer it: the new one, or the one that was
            there already.
        is_new: Whether it was stored.
    """

    intent: Intent = field(repr=False)
    is_new: bool


@define(eq=False)
class Store:
    """Intents in a `State`, safe to use from several threads.

    Attributes:
        assumptions: What makes an intent unique, and what one looks like.
        state: Where they are kept.
        clock: Seconds since 1970, for the dates of an intent.
        seed: Makes ids that look like those of a busy service, and dates a second apart; the
            same seed makes the same ones. None counts from 1 and goes by the clock.
    """

    assumptions: Assumptions = DEFAULTS
    state: State = field(factory=State)
    clock: Callable[[], float] = time.time
    seed: int | None = None

    def add(self, shop: str, body: Any, request: Any = None) -> Addition:
        """Store the intent of a request, unless its customer already waits there.

        It is on the disk, where the state is a file, before this returns.

        Args:
            shop: Host name of the shop.
            body: The body of a request that has passed the schema, which may ask for less than
                today's.
            request: The body as it was received, where that is another one.
        """
        shop = shop.lower()
        wanted, customer = section(body, "intent"), section(body, "customer")
        channel, quantity = wanted.get("channel"), wanted.get("quantity")
        variant = wanted.get("shopify_variant_id")
        contacts = self._contacts(channel, customer)
        market = wanted.get("shopify_market_id")
        if market is None and self.assumptions["market"] == "customer":
            market = customer.get("shopify_market_id")
        with self.state.transaction() as connection:
            customer_id = self._customer_in(connection, shop, customer.get("id"), contacts)
            # Ids may have more digits than SQLite's integers.
            place = (shop, customer_id, str(variant))
            there = self._duplicate_in(connection, place, market, channel)
            now = self._now(connection)
            if there:
                seq, intent = there
                if self.assumptions["duplicate"] == "201-updated":
                    intent |= {"quantity": quantity, "updated_at": now}
                    connection.execute(
                        "UPDATE intents SET answer = ? WHERE seq = ?", (_text(intent), seq)
                    )
                return Addition(intent, is_new=False)
            intent_id = self._next_id(connection, "intents")
            intent = {
                "id": self._shown(intent_id),
                "channel": channel,
                "email": customer.get("email"),
                "phone": customer.get("phone"),
                "quantity": quantity,
                "source": wanted.get("source"),
                **self._type(),
                "shopify_variant_id": variant,
                "shopify_product_id": wanted.get("shopify_product_id"),
                "shopify_market_id": market,
                "customer_id": self._shown(customer_id),
                "created_at": now,
                "updated_at": now,
                "notified_at": None,
                "unsubscribed_at": None,
                "blocked_at": None,
                "optin_confirmed": _NO_OR_YES[self.assumptions["optin_confirmed"]],
                "accepts_marketing": customer.get(
                    "accepts_marketing", _NO_OR_YES[self.assumptions["accepts_marketing"]]
                ),
            }
            received = _text(body if request is None else request)
            connection.execute(
                "INSERT INTO intents (id, shop, customer_id, variant, answer, request)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (intent_id, *place, _text(intent), received),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO contacts VALUES (?, ?, ?, ?)",
                [(shop, *contact, customer_id) for contact in contacts],
            )
            return Addition(intent, is_new=True)

    def knows_customer(self, shop: str, customer_id: object) -> bool:
        """Whether *shop* got *customer_id* in an earlier answer."""
        with self.state.transaction() as connection:
            return _is_customer(connection, shop.lower(), customer_id)

    def received(self) -> list[dict[str, Any]]:
        """Return what was stored, oldest first: the intent's fields, ``shop`` and ``request``.

        ``request`` is the body as it was received. The list is a copy.

        Raises:
            SandboxError: The state file cannot be used.
        """
        with self.state.transaction() as connection:
            rows = connection.execute("SELECT answer, shop, request FROM intents ORDER BY seq")
            stored = rows.fetchall()
        try:
            return [
                {**json.loads(answer), "shop": shop, "request": json.loads(request)}
                for answer, shop, request in stored
            ]
        except (ValueError, TypeError, RecursionError):
            raise self.state.unusable("an intent in it is damaged") from None

    def clear(self) -> None:
        """Forget everything; ids begin anew."""
        with self.state.transaction() as connection:
            for table in ("intents", "customers", "contacts"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names are ours

    def _now(self, connection: Connection) -> str:
        seconds = self.clock()
        if self.seed is not None:
            (intents,) = connection.execute("SELECT coalesce(max(seq), 0) FROM intents").fetchone()
            seconds = _SEEDED_SINCE + intents
        now = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        return now.replace("+00:00", "Z")

    def _next_id(self, connection: Connection, table: str) -> int:
        query = f"SELECT max(id) FROM {table}"  # noqa: S608 - the names are ours
        (last,) = connection.execute(query).fetchone()
        if self.seed is None:
            return (last or 0) + 1
        drawn = Random(f"{self.seed} {table} {last}")  # noqa: S311 - nothing secret
        return int(last + drawn.randint(1, 99) if last else drawn.randint(10**6, 10**8))

    def _shown(self, number: int) -> str | int:
        return number if self.assumptions["ids"] == "number" else str(number)

    def _type(self) -> dict[str, str]:
        intent_type = self.assumptions["intent_type"]
        return {} if intent_type == "absent" else {"type": intent_type}

    def _contacts(self, channel: object, customer: dict[str, Any]) -> list[tuple[str, str]]:
        """Return by what the customer is known, as names and values of contacts."""
        rule = self.assumptions["same_customer"]
        names = [name for known, name in CONTACT_OF_CHANNEL.items() if known == channel]
        if rule == "any":
            names += [name for name in CONTACT_OF_CHANNEL.values() if name not in names]
        found = [
            (name, str(value).strip())
            for name in names
            if isinstance(value := customer.get(name), str | int)
        ]
        folded = rule != "exact"
        return [
            (name, value.lower() if folded and name == "email" else value)
            for name, value in found
            if value
        ]

    def _customer_in(
        self,
        connection: Connection,
        shop: str,
        named: object,
        contacts: list[tuple[str, str]],
    ) -> int:
        """Return the id of the customer, a new one where the shop has none that fits."""
        customer_id = None
        if named is not None and self.assumptions["customer_id"] != "ignored":
            customer_id = int(str(named)) if _is_customer(connection, shop, named) else None
        for contact in contacts:
            if customer_id is None:
                row = connection.execute(
                    "SELECT customer_id FROM contacts WHERE (shop, name, value) = (?, ?, ?)",
                    (shop, *contact),
                ).fetchone()
                customer_id = row and row[0]
        if customer_id is None:
            customer_id = self._next_id(connection, "customers")
            connection.execute("INSERT INTO customers VALUES (?, ?)", (customer_id, shop))
        return int(customer_id)

    def _duplicate_in(
        self, connection: Connection, place: tuple[str, int, str], market: Any, channel: Any
    ) -> tuple[int, Intent] | None:
        """Return the stored intent that leaves no room for another, or None."""
        unique = self.assumptions["unique"]
        if unique == "off":
            return None
        rows = connection.execute(
            "SELECT seq, answer FROM intents WHERE (shop, customer_id, variant) = (?, ?, ?)", place
        )
        for seq, answer in rows:
            intent: Intent = json.loads(answer)
            if (unique == "variant" or intent["shopify_market_id"] == market) and (
                unique != "channel" or intent["channel"] == channel
            ):
                return seq, intent
        return None


def _is_customer(connection: Connection, shop: str, named: object) -> bool:
    # Ids are written without zeros in front; no customer has one of more digits than this.
    if not re.fullmatch("[1-9][0-9]{0,17}", str(named)):
        return False
    return bool(
        connection.execute(
            "SELECT 1 FROM customers WHERE (id, shop) = (?, ?)", (int(str(named)), shop)
        ).fetchone()
    )


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
