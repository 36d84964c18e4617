"""Where the sandbox keeps what it holds: in memory, or in a SQLite file that outlives it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

from attrs import define, field

_SCHEMA: Final = """
    CREATE TABLE intents (
        seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, shop TEXT NOT NULL,
        customer_id INTEGER NOT NULL, variant TEXT NOT NULL, answer TEXT NOT NULL,
        request TEXT NOT NULL
    );
    CREATE INDEX intents_of_customers ON intents (shop, customer_id, variant);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, shop TEXT NOT NULL);
    CREATE TABLE contacts (
        shop TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, customer_id INTEGER NOT NULL,
        PRIMARY KEY (shop, name, value)
    ) WITHOUT ROWID;
"""


class _Connection(sqlite3.Connection):
    def __del__(self) -> None:
        with suppress(sqlite3.Error):
            self.close()


@define(eq=False)
class State:
    """A SQLite database in memory, safe to use from several threads."""

    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hand out the connection for steps that count together or not at all."""
        with self._lock:
            connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connect(self) -> sqlite3.Connection:
        self._connection = connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.executescript(_SCHEMA)
        return connection
