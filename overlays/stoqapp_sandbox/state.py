"""Where the sandbox keeps what it holds: in memory, or in a SQLite file that outlives it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

from attrs import define, field

from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

# "STOQ": marks the files that are ours.
_APPLICATION: Final = 0x53544F51
_VERSION: Final = 1
# An earlier sandbox may be on its way out.
_BUSY_SECONDS: Final = 3.0
_SCHEMA: Final = (
    "CREATE TABLE intents ("
    " seq INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, shop TEXT NOT NULL,"
    " customer_id INTEGER NOT NULL, variant TEXT NOT NULL, answer TEXT NOT NULL,"
    " request TEXT NOT NULL)",
    "CREATE INDEX intents_of_customers ON intents (shop, customer_id, variant)",
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, shop TEXT NOT NULL)",
    "CREATE TABLE contacts ("
    " shop TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, customer_id INTEGER NOT NULL,"
    " PRIMARY KEY (shop, name, value)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


class _Connection(sqlite3.Connection):
    def __del__(self) -> None:
        # Python 3.13 warns of one that nobody closed.
        with suppress(sqlite3.Error):
            self.close()


def _absolute(path: object) -> Path | None:
    if path is None:
        return None
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UnusableOptionError("state must be the path of a file, like stoq-sandbox.sqlite")
    try:
        # A relative one would move with the process's folder.
        return Path(text).absolute()
    except OSError:
        raise SandboxError(
            "state names a file below the current folder, which is gone: give a path from the root"
        ) from None


@define(eq=False)
class State:
    """A SQLite database, safe to use from several threads.

    A file is locked from `open` to `close`, so that no two sandboxes mistake it for theirs;
    while it is closed, each transaction opens it for itself. What a transaction wrote is on
    the disk when it ends.

    Attributes:
        path: The file; None keeps everything in memory.
    """

    path: Path | None = field(default=None, converter=_absolute)
    _lock: Lock = field(factory=Lock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)

    def open(self) -> None:
        """Take hold of the file.

        Raises:
            SandboxError: It cannot be used, or another sandbox uses it.
        """
        with self._lock:
            if self._connection is None:
                self._connection = self._connected()

    def close(self) -> None:
        """Let go of the file; what is in memory stays."""
        with self._lock:
            if self.path and self._connection:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hand out the connection for steps that count together or not at all.

        Raises:
            SandboxError: As `open` does, or the file is damaged or cannot take more.
        """
        with self._lock:
            connection = self._connection or self._connected()
            if self.path is None:
                self._connection = connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                if self.path and isinstance(error, sqlite3.Error):
                    raise self._refusal(error) from None
                raise
            finally:
                if connection is not self._connection:
                    connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self.path is None:
            return self._prepared(":memory:")
        try:
            # What customers sent is for nobody else on the machine. Only where there is no file:
            # to close one that is there would drop the locks that this process has on it.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            return self._prepared(self.path)
        except OSError as error:
            raise self.unusable(error.strerror or type(error).__name__) from None
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def unusable(self, reason: str) -> SandboxError:
        """Return the error for a file that cannot be used for that reason."""
        return SandboxError(
            f"the state file {self.path} cannot be used ({reason}): give the path of a file that"
            " a sandbox wrote, or of none yet in a folder that can be written to"
        )

    def _refusal(self, error: sqlite3.Error) -> SandboxError:
        # Those that Python's own module raises have no code.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return SandboxError(
                f"the state file {self.path} is in use, by another sandbox perhaps: end that"
                " one, or give each a file of its own"
            )
        return self.unusable(str(error))

    def _prepared(self, place: str | Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            place,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self._take_for_ours(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_for_ours(self, connection: sqlite3.Connection) -> None:
        """Write the tables into an empty file; refuse one that is another's.

        Raises:
            SandboxError: It holds something else, or was written by another version.
        """
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or tables):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application != _APPLICATION:
            raise SandboxError(
                f"the state file {self.path} is a database of another program: give another path"
            )
        elif version != _VERSION:
            raise SandboxError(
                f"the state file {self.path} was written by another version of stoqapp (its form"
                f" is {version}, this one reads {_VERSION}): give another path, or delete the file"
            )
