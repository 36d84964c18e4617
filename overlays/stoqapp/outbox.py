"""Intents that wait to be sent: what a place that keeps them must do, and one that is a file.

`stoqapp.bulk.send.drain` empties any `Outbox`: the ledger of an import, `SqliteOutbox`, or a table
of your own. Only one drain at a time may work on a shop: hold a lock outside the outbox.
"""

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote

from attrs import asdict, field, frozen

from stoqapp.errors import StoqError
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
        """Mark up to *counts* items of each shop in flight, and return them."""
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


class SqliteFile:
    """A SQLite file that threads share and whose commits survive a crash; made if need be.

    Args:
        path: The file.
        tables: Statements that make what is missing.
        read_only: Only look, at a file that is there.

    Raises:
        OutboxError: The file cannot be used; as from all methods.
    """

    def __init__(
        self, path: str | os.PathLike[str], tables: str, *, read_only: bool = False
    ) -> None:
        self.path: Path = Path(path)
        self._mutex = threading.Lock()
        with self._failing():
            if read_only:
                place = f"file:{quote(str(self.path))}?mode=ro"
                self._database = sqlite3.connect(place, uri=True, check_same_thread=False)
                weakref.finalize(self, self._database.close)
                return
            self.path.touch(mode=0o600)
            self._database = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=20
            )
            weakref.finalize(self, self._database.close)
            self._database.executescript(
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {tables}"
            )

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return what *query* finds."""
        with self._failing(), self._mutex:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def step(self) -> Iterator[sqlite3.Connection]:
        """Commit what is done in here, durably, or nothing of it."""
        with self._failing(), self._mutex:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OutboxError(
                f"{self.path} cannot be used: {error}. Nothing is lost: correct that first"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()


# What was deleted is overwritten: requests hold personal data.
_TABLES: Final = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, shop TEXT NOT NULL, body TEXT, state TEXT NOT NULL DEFAULT 'waiting',
    owner TEXT, status INTEGER, error TEXT, added REAL NOT NULL, ended REAL
);
CREATE INDEX IF NOT EXISTS outbox_open ON outbox (shop, id) WHERE ended IS NULL;
"""


class SqliteOutbox(SqliteFile):
    """An outbox in a SQLite file, for one machine. Holds the requests until they are sent.

    Args:
        path: The file; made when it is not there.

    Raises:
        OutboxError: The file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, _TABLES)
        # Tells what this object claimed from what a process that ended has left in flight.
        self._owner = os.urandom(8).hex()

    def add(self, shop: str, body: Mapping[str, Any]) -> int:
        """Keep a request for *shop*, and return its key."""
        values = (shop_from(shop), json.dumps(body), time.time())
        with self.step() as database:
            query = "INSERT INTO outbox (shop, body, added) VALUES (?, ?, ?)"
            return int(database.execute(query, values).lastrowid or 0)

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        """Do as `Outbox.claim`; oldest first."""
        query = (
            "UPDATE outbox SET state = 'in flight', owner = ? WHERE id IN (SELECT id FROM outbox"
            " WHERE shop = ? AND ended IS NULL AND (owner IS NULL OR owner != ?) ORDER BY id"
            " LIMIT ?) RETURNING id, shop, body"
        )
        rows: list[tuple[int, str, str]] = []
        with self.step() as database:
            for shop, count in counts.items():
                rows += database.execute(query, (self._owner, shop, self._owner, count)).fetchall()
        return [Item(key, shop, json.loads(body)) for key, shop, body in sorted(rows)]

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Do as `Outbox.store`, and forget the requests; what is unknown waits again."""
        now = time.time()
        query = (
            "UPDATE outbox SET state = :state, status = :status, error = :error, owner = NULL,"
            " ended = iif(:state = 'unknown', NULL, :now),"
            " body = iif(:state = 'unknown', body, NULL) WHERE id = :key"
        )
        with self.step() as database:
            database.executemany(query, (asdict(one) | {"now": now} for one in outcomes))

    def release(self, items: Sequence[Item]) -> None:
        """Do as `Outbox.release`."""
        query = "UPDATE outbox SET state = 'waiting', owner = NULL WHERE id = ?"
        with self.step() as database:
            database.executemany(query, ((item.key,) for item in items))

    def left(self) -> dict[str, int]:
        """Do as `Outbox.left`; what a process that ended has left in flight counts."""
        return dict(
            self.rows("SELECT shop, count(*) FROM outbox WHERE ended IS NULL GROUP BY shop")
        )
