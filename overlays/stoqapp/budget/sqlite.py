"""A budget in a SQLite file, for all processes of a machine."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from stoqapp.budget.forks import guard
from stoqapp.budget.log import (
    EMPTY,
    Allowance,
    Change,
    T,
    ends_ms,
    log_from_text,
    text_from_log,
)
from stoqapp.errors import BudgetUnavailableError, ConfigurationError

_OPEN_SECONDS: Final = 20.0
_MAKE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS stoqapp_logs (shop TEXT PRIMARY KEY, log TEXT, ends_ms INTEGER)
"""
_FORGET_IDLE_SHOPS: Final = """
DELETE FROM stoqapp_logs WHERE shop IN (SELECT shop FROM stoqapp_logs WHERE ends_ms < ? LIMIT 10)
"""


class SqliteStore:
    """The logs in a SQLite file, a row for each shop.

    Each step is one ``BEGIN IMMEDIATE`` transaction, so that processes take turns.
    """

    blocking_io = True
    name = "sqlite"

    def __init__(
        self, allowance: Allowance, path: str | os.PathLike[str], clock: Callable[[], float]
    ) -> None:
        self._connection: sqlite3.Connection | None = None
        self._path = _usable_path(path)
        self._allowance = allowance
        self._clock = clock
        self._lock = threading.RLock()
        self._file: tuple[int, int] | None = None
        try:
            self._connect(time.monotonic() + _OPEN_SECONDS)
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise ConfigurationError(
                f"the budget's file {self._path} cannot be used ({error}): give the path of a"
                " SQLite file, or a new path in a folder that can be written to"
            ) from error
        guard(self, self._lock)

    def __del__(self) -> None:
        self._disconnect()

    def before_fork(self) -> None:
        """Close the connection; the next step on either side opens its own.

        A connection must not pass a fork, not even to be closed on the other side
        (sqlite.org/howtocorrupt.html, section 2.6).
        """
        self._disconnect()

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:
        """Change the log of *shop* in one transaction and return the result of *change*."""
        with self._transaction(io_seconds) as connection:
            row = connection.execute(
                "SELECT log FROM stoqapp_logs WHERE shop = ?", (shop,)
            ).fetchone()
            # The lock is held from here on, however long it took to get it.
            now_ms = int(self._clock() * 1000)
            log = EMPTY if row is None else log_from_text(row[0])
            changed, result = change(log, now_ms)
            if changed is not log:
                if row is None:
                    connection.execute(_FORGET_IDLE_SHOPS, (now_ms,))
                connection.execute(
                    "INSERT OR REPLACE INTO stoqapp_logs VALUES (?, ?, ?)",
                    (shop, text_from_log(changed), ends_ms(changed, self._allowance)),
                )
            return result

    def close(self) -> None:
        """Close the file; twice is fine."""
        with self._lock:
            self._disconnect()

    @contextmanager
    def _transaction(self, io_seconds: float) -> Iterator[sqlite3.Connection]:
        deadline = time.monotonic() + io_seconds
        if not self._lock.acquire(timeout=io_seconds):
            raise BudgetUnavailableError(
                "nothing was sent: other calls of this process used the budget's file for as long"
                " as this call could wait; retry later"
            )
        try:
            connection = self._connection or self._connect(deadline)
            connection.execute(f"PRAGMA busy_timeout = {_ms_until(deadline)}")
            if self._file != _identity(self._path):
                raise FileNotFoundError("deleted or replaced while in use")  # noqa: TRY301
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError, ValueError) as error:
            self._disconnect()
            raise BudgetUnavailableError(
                f"nothing was sent: the budget's file {self._path} cannot be used ({error}); the"
                " next call opens it again. If it is damaged, delete it: it holds only counts of"
                " the last minute"
            ) from error
        except BaseException:
            # A rollback could fail, too. Closing the connection always ends the transaction.
            self._disconnect()
            raise
        finally:
            self._lock.release()

    def _connect(self, deadline: float) -> sqlite3.Connection:
        connection = self._connection = sqlite3.connect(
            self._path,
            timeout=_ms_until(deadline) / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        _use_write_ahead_log(connection, deadline)
        # Points that a power failure loses count no more when power is back.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_MAKE_TABLE)
        self._file = _identity(self._path)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _usable_path(path: Any) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text or text == ":memory:":
        raise ConfigurationError(
            "the budget's path must be text that names a file, like stoq-budget.sqlite; for this"
            " process alone, use Budget()"
        )
    # A relative path would change its meaning with the process's folder.
    return Path(text).absolute()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _ms_until(deadline: float) -> int:
    return max(1, int((deadline - time.monotonic()) * 1000))


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    """Switch the file's mode. SQLite refuses at once while another process switches it."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return
