"""A budget in a SQLite file, for all processes of a machine."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stoqapp.budget.forks import FORK_GUARD
from stoqapp.budget.plan import (
    CLOSED,
    FOREIGN,
    IDLE_SHOPS_LOOKED_AT,
    LONGEST_IO_SECONDS,
    Plan,
    put,
    put_foreign,
)
from stoqapp.errors import BudgetUnavailableError, ConfigurationError
from stoqapp.headers import WRITE_POINTS

if TYPE_CHECKING:
    from pyrate_limiter import SQLiteBucket


class _Connection(sqlite3.Connection):
    """A connection that leaves the end of a transaction to `SqliteStore`."""

    def commit(self) -> None:
        """Do nothing: ``SQLiteBucket`` commits in the middle of what must be one step."""

    def __del__(self) -> None:
        # Refused where opening it failed.
        with suppress(sqlite3.Error):
            self.close()


class SqliteStore:
    """The logs in a SQLite file: a table for each shop, and one that lists the shops.

    Each step is one ``BEGIN IMMEDIATE`` transaction, so that processes take turns. The clock is
    the machine's.
    """

    blocking_io = True
    name = "sqlite"

    def __init__(self, plan: Plan, path: str | os.PathLike[str]) -> None:
        self._plan = plan
        self._path = _usable_path(path)
        self.clock: Callable[[], float] | None = None
        self.lock = threading.RLock()
        self._connection: _Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False
        try:
            self._connect(time.monotonic() + LONGEST_IO_SECONDS)
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise ConfigurationError(
                f"the budget's file {self._path} cannot be used ({error}): give the path of a"
                " SQLite file, or of none yet in a folder that can be written to"
            ) from error
        FORK_GUARD.add(self)

    def before_fork(self) -> None:
        """Let go of the connection; the next step on either side opens one of its own."""
        self._disconnect()

    def take(self, shop: str, io_seconds: float) -> int:
        """Do as `Store.take`."""
        with self._transaction(io_seconds) as connection:
            now_ms = self._now_ms()
            held_from, held_until = self._hold_of(connection, shop, now_ms)
            # A hold from the future was made before the clock was set back.
            if held_from <= now_ms < held_until:
                return held_until - now_ms
            bucket = self._bucket(connection, shop, now_ms)
            waits_ms = put(bucket, shop, now_ms)
            if not waits_ms:
                connection.execute(
                    "UPDATE stoqapp_shops SET used_ms = ? WHERE shop = ?", (now_ms, shop)
                )
            return waits_ms

    def give_back(self, shop: str, age_ms: int, io_seconds: float) -> None:
        """Do as `Store.give_back`."""
        with self._transaction(io_seconds) as connection:
            now_ms = self._now_ms()
            self._hold_of(connection, shop, now_ms)
            table = _table(shop)
            connection.execute(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}"  # noqa: S608
                " WHERE name != ? AND item_timestamp <= ? ORDER BY item_timestamp DESC LIMIT ?)",
                (FOREIGN, now_ms - age_ms, WRITE_POINTS),
            )

    def learn(self, shop: str, remaining: int, resets_in_ms: int, io_seconds: float) -> None:
        """Do as `Store.learn`."""
        with self._transaction(io_seconds) as connection:
            now_ms = self._now_ms()
            self._hold_of(connection, shop, now_ms)
            bucket = self._bucket(connection, shop, now_ms)
            put_foreign(bucket, self._plan, now_ms, remaining, resets_in_ms)

    def hold(self, shop: str, hold_ms: int, io_seconds: float) -> None:
        """Do as `Store.hold`."""
        with self._transaction(io_seconds) as connection:
            now_ms = self._now_ms()
            held_from, held_until = self._hold_of(connection, shop, now_ms)
            until = max(held_until if held_from <= now_ms else 0, now_ms + hold_ms)
            connection.execute(
                "UPDATE stoqapp_shops SET held_from_ms = ?, held_until_ms = ? WHERE shop = ?",
                (now_ms, until, shop),
            )

    def close(self) -> None:
        """Do as `Store.close`."""
        with self.lock:
            self._closed = True
            self._disconnect()

    def _now_ms(self) -> int:
        return int((self.clock or time.time)() * 1000)

    def _hold_of(self, connection: _Connection, shop: str, now_ms: int) -> tuple[int, int]:
        """Return from when until when *shop* is on hold; make its table if it has none."""
        row: tuple[int, int] | None = connection.execute(
            "SELECT held_from_ms, held_until_ms FROM stoqapp_shops WHERE shop = ?", (shop,)
        ).fetchone()
        if row is not None:
            return row
        from pyrate_limiter import SQLiteQueries

        idle = connection.execute(
            "SELECT shop FROM stoqapp_shops WHERE used_ms < ? AND held_until_ms < ? LIMIT ?",
            (now_ms - self._plan.interval_ms, now_ms, IDLE_SHOPS_LOOKED_AT),
        ).fetchall()
        for (other,) in idle:
            connection.execute(f"DROP TABLE {_table(other)}")
            connection.execute("DELETE FROM stoqapp_shops WHERE shop = ?", (other,))
        table = _table(shop)
        connection.execute(SQLiteQueries.CREATE_BUCKET_TABLE.format(table=table))
        connection.execute(
            SQLiteQueries.CREATE_INDEX_ON_TIMESTAMP.format(
                index_name=f"{table}_by_time", table_name=table
            )
        )
        connection.execute("INSERT INTO stoqapp_shops VALUES (?, 0, 0, ?)", (shop, now_ms))
        return 0, 0

    def _bucket(self, connection: _Connection, shop: str, now_ms: int) -> "SQLiteBucket":
        from pyrate_limiter import SQLiteBucket

        table = _table(shop)
        # Points from the future were taken before the clock was set back: they count from now.
        connection.execute(
            f"UPDATE {table} SET item_timestamp = ? WHERE item_timestamp > ?",  # noqa: S608
            (now_ms, now_ms),
        )
        bucket = SQLiteBucket([self._plan.rate()], connection, table)
        bucket.leak(now_ms)
        return bucket

    @contextmanager
    def _transaction(self, io_seconds: float) -> Iterator[_Connection]:
        ends = time.monotonic() + io_seconds
        if not self.lock.acquire(timeout=max(0.0, io_seconds)):
            raise BudgetUnavailableError(
                "nothing was sent: the budget's file was in use by this process's other calls for"
                " as long as this call could wait"
            )
        try:
            if self._closed:
                raise BudgetUnavailableError(CLOSED)
            try:
                connection = self._connection or self._connect(ends)
                connection.execute(f"PRAGMA busy_timeout = {_ms_until(ends)}")
                if self._file != _identity(self._path):
                    raise FileNotFoundError("deleted or replaced while in use")  # noqa: TRY301
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                raise BudgetUnavailableError(
                    f"nothing was sent: the budget's file cannot be used ({error}); the next call"
                    " opens it anew"
                ) from error
            except BaseException:
                # A bare rollback may be refused, too; without a connection nothing stays open.
                self._disconnect()
                raise
        finally:
            self.lock.release()

    def _connect(self, ends: float) -> _Connection:
        connection = self._connection = sqlite3.connect(
            self._path,
            timeout=_ms_until(ends) / 1000,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        _to_wal(connection, ends)
        # Points that a power failure loses are free again by the time that power is back.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS stoqapp_shops (shop TEXT PRIMARY KEY,"
            " held_from_ms INTEGER, held_until_ms INTEGER, used_ms INTEGER) WITHOUT ROWID"
        )
        connection.execute("COMMIT")
        self._file = _identity(self._path)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _usable_path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigurationError(
            "the budget's path must be that of a file, like stoq-budget.sqlite"
        )
    text = os.fspath(path)
    if not isinstance(text, str) or "\0" in text or text == ":memory:":
        raise ConfigurationError(
            "the budget's path must be text that names a file; for this process alone, use Budget()"
        )
    # A relative one would move with the process's folder.
    return Path(text).absolute()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _table(shop: str) -> str:
    """Return a name for the shop's table in which nothing needs quoting."""
    return f"stoqapp_points_{shop.encode().hex()}"


def _ms_until(ends: float) -> int:
    return max(1, int((ends - time.monotonic()) * 1000))


def _to_wal(connection: sqlite3.Connection, ends: float) -> None:
    """Switch to write-ahead logging, which SQLite refuses at once while another switches."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
            time.sleep(0.005)
        else:
            return
