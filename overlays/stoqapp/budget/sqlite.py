"""A budget in a SQLite file, for all processes of a machine."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet, finalize

from stoqapp.budget.log import EMPTY, Change, T, log_from_text, text_from_log
from stoqapp.errors import BudgetUnavailableError, ConfigurationError

_OPEN_SECONDS: Final = 20.0


class SqliteStore:
    """The logs in a SQLite file, a row for each shop.

    Each step is one ``BEGIN IMMEDIATE`` transaction, so that processes take turns.
    """

    blocking_io = True
    name = "sqlite"

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        try:
            # A relative path would change its meaning with the process's folder.
            self._path = Path(path).absolute()
            with _lock:
                _stores.add(self)
                self._connect(_OPEN_SECONDS)
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            self.close()
            raise ConfigurationError(
                f"the budget's file {path!r} cannot be used ({error}): give the path of a SQLite"
                " file, or a new path in a folder that can be written to"
            ) from error

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:
        """Change the log of *shop* in one transaction and return the result of *change*."""
        deadline = time.monotonic() + io_seconds
        if not _lock.acquire(timeout=io_seconds):
            raise BudgetUnavailableError(
                "nothing was sent: other calls of this process used the budget's file for as long"
                " as this call could wait; retry later"
            )
        try:
            connection = self._connection or self._connect(io_seconds)
            left_ms = max(1, int((deadline - time.monotonic()) * 1000))
            connection.execute(f"PRAGMA busy_timeout = {left_ms}")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                # The file is locked from here on, however long it took.
                now_ms = int(self._clock() * 1000)
                row = connection.execute(
                    "SELECT log FROM stoqapp_logs WHERE shop = ?", (shop,)
                ).fetchone()
                log = EMPTY if row is None else log_from_text(row[0])
                changed, result = change(log, now_ms)
                if changed is not log:
                    connection.execute(
                        "INSERT OR REPLACE INTO stoqapp_logs VALUES (?, ?)",
                        (shop, text_from_log(changed)),
                    )
                return result
        except (sqlite3.Error, ValueError) as error:
            self.close()
            raise BudgetUnavailableError(
                f"nothing was sent: the budget's file {self._path} cannot be used ({error}); the"
                " next call opens it again. If it is damaged, stop what uses it and delete it: it"
                " holds only counts of the last minute"
            ) from error
        finally:
            _lock.release()

    def close(self) -> None:
        """Close the file."""
        with _lock, suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection = None
                self._close_connection()

    def _connect(self, timeout: float) -> sqlite3.Connection:
        connection = self._connection = sqlite3.connect(
            self._path, timeout=timeout, isolation_level=None, check_same_thread=False
        )
        # Without the lock: this can run anywhere, also while the thread holds another one.
        self._close_connection = finalize(self, connection.close)
        # SQLite refuses at once while another process switches the mode: then that one does it.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        # Points that a power failure loses count no more when power is back.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS stoqapp_logs (shop TEXT PRIMARY KEY, log TEXT)"
        )
        return connection


# One lock for all files, so that a fork can wait for it. A connection must not pass a fork, not
# even to be closed on the other side (sqlite.org/howtocorrupt.html, section 2.6).
_lock: Final = threading.RLock()
_stores: Final[WeakSet[SqliteStore]] = WeakSet()


def _close_before_fork() -> None:
    _lock.acquire()
    for store in _stores:
        store.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_close_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release
    )
