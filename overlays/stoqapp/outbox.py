"""Intents that wait to be sent: what a place that keeps them must do, and one that is a file.

`stoqapp.bulk.send.drain` empties any `Outbox`: the ledger of an import, `SqliteOutbox`, or a table
of your own. One drain at a time may work on a shop; a lock outside the outbox sees to that.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from attrs import field, frozen

from stoqapp.errors import ConfigurationError, StoqError
from stoqapp.readers import shop_from

State = Literal["sent", "there", "refused", "unknown"]


class OutboxError(StoqError):
    """The place that keeps the intents cannot be used: full, damaged, locked or read-only.

    What was sent and could not be written down counts as in flight, and is sent again later.
    """


@frozen
class Item:
    """An intent that is claimed: in flight until it is stored or released.

    Attributes:
        key: Names it in its outbox.
        shop: The shop's host name.
        body: The request, as `stoqapp.Stoq.create_intent` takes it.
    """

    key: Any
    shop: str
    body: Mapping[str, Any] = field(repr=False)


@frozen
class Outcome:
    """What became of an item.

    Attributes:
        key: Of the item.
        state: ``sent``, ``there`` (on the list already), ``refused`` or ``unknown``.
        status: Of the last answer, None without one.
        error: Name of the error's class, None for ``sent``.
        attempts: How often it was sent in this call.
    """

    key: Any
    state: State
    status: int | None = None
    error: str | None = None
    attempts: int = 1


class Outbox(Protocol):
    """Keeps intents until they are sent.

    What `claim` returns is marked in flight, durably, before it returns. After a crash an item
    that was in flight is claimed again: STOQ keeps one intent for a customer, a variant and a
    market, so sending it twice is safe. Methods raise `OutboxError` where they cannot write.
    """

    def claim(self, counts: Mapping[str, int]) -> Sequence[Item]:
        """Mark up to so many items of each shop in flight, and return them."""
        ...

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Write down, durably, what became of items."""
        ...

    def release(self, items: Sequence[Item]) -> None:
        """Let items wait again: they were not sent."""
        ...

    def left(self) -> Mapping[str, int]:
        """Return how many items wait, by shop."""
        ...


# What was deleted is overwritten: requests hold personal data.
_TABLES: Final = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, shop TEXT NOT NULL, body TEXT, state TEXT NOT NULL DEFAULT 'waiting',
    owner TEXT, status INTEGER, error TEXT, added REAL NOT NULL, ended REAL
);
CREATE INDEX IF NOT EXISTS outbox_open ON outbox (shop, id) WHERE ended IS NULL;
"""


def open_database(path: str | os.PathLike[str], tables: str) -> sqlite3.Connection:
    """Return a connection to a SQLite file whose commits survive a crash; make it if need be.

    Raises:
        sqlite3.Error: It cannot be used.
    """
    place = Path(path)
    place.touch(mode=0o600)
    database = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=20)
    database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {tables}")
    return database


class SqliteOutbox:
    """An outbox in a SQLite file, for one machine. Holds the requests until they are sent.

    Args:
        path: The file; made when it is not there.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self._database = open_database(path, _TABLES)
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(f"the outbox {path} cannot be used: {error}") from error
        self._lock = threading.Lock()
        # Tells what this object claimed from what a process that ended has left in flight.
        self._owner = os.urandom(8).hex()

    def add(self, shop: str, body: Mapping[str, Any]) -> int:
        """Keep a request for *shop*, and return its key."""
        values = (shop_from(shop).value, json.dumps(body), time.time())
        rows = self._do([("INSERT INTO outbox (shop, body, added) VALUES (?, ?, ?)", values)])
        return int(rows.lastrowid or 0)

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        """Do as `Outbox.claim`; oldest first."""
        query = (
            "UPDATE outbox SET state = 'in flight', owner = ?1 WHERE id IN (SELECT id FROM outbox"
            " WHERE shop = ?2 AND ended IS NULL AND (owner IS NULL OR owner != ?1) ORDER BY id"
            " LIMIT ?3) RETURNING id, shop, body"
        )
        rows: list[tuple[int, str, str]] = []
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                for shop, count in counts.items():
                    rows += self._database.execute(query, (self._owner, shop, count)).fetchall()
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return [Item(key, shop, json.loads(body)) for key, shop, body in sorted(rows)]

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Do as `Outbox.store`, and forget the requests; what is unknown waits again."""
        now = time.time()
        self._do(
            (
                "UPDATE outbox SET state = ?2, status = ?3, error = ?4, ended = ?5, owner = NULL,"
                " body = CASE WHEN ?5 IS NULL THEN body END WHERE id = ?1",
                (
                    one.key,
                    one.state,
                    one.status,
                    one.error,
                    None if one.state == "unknown" else now,
                ),
            )
            for one in outcomes
        )

    def release(self, items: Sequence[Item]) -> None:
        """Do as `Outbox.release`."""
        query = "UPDATE outbox SET state = 'waiting', owner = NULL WHERE id = ?"
        self._do((query, (item.key,)) for item in items)

    def left(self) -> dict[str, int]:
        """Do as `Outbox.left`; what a process that ended has left in flight counts."""
        query = "SELECT shop, count(*) FROM outbox WHERE ended IS NULL GROUP BY shop"
        with self._lock:
            return dict(self._database.execute(query))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _do(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> sqlite3.Cursor:
        with self._lock:
            try:
                cursor = self._database.execute("BEGIN IMMEDIATE")
                for query, values in statements:
                    cursor = self._database.execute(query, values)
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return cursor

    def _failed(self, error: sqlite3.Error) -> OutboxError:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        return OutboxError(f"the outbox cannot be used: {error}")
