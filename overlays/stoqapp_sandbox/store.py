"""What the sandbox was sent and answered: one table in SQLite, which is ``store.sql``."""

import json
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from threading import RLock
from typing import Any, Final

from attrs import define, field
from attrs.converters import optional

from stoqapp_sandbox.answers import Answer, Request, json_text
from stoqapp_sandbox.errors import SandboxError

# What marks a file as ours: application_id and user_version.
_MARKS: Final = (0x53544F51, 4)
_BUSY_SECONDS: Final = 3.0

# An intent to store, by column: ``intent_id``, ``intent`` as JSON, and what it is found by.
Stored = dict[str, Any]


def _absolute(path: str | PathLike[str]) -> Path:
    # A relative path would move with the process's folder.
    return Path(path).absolute()


@define(eq=False)
class Store:
    """The table, in memory or in a file; everything is done within `use`.

    A file is locked from `open` to `close`, so that no two sandboxes use it; while it is closed,
    each `use` opens it for itself. What was added is on the disk when `add` returns. `stored` and
    `refused` count the requests that stored an intent, and those that did not.
    """

    path: Path | None = field(default=None, converter=optional(_absolute))
    stored: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    _is_open: bool = field(default=False, init=False)
    _lock: RLock = field(factory=RLock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)

    def open(self) -> None:
        """Take hold of the file; raises as `use` does."""
        with self.use():
            self._is_open = True

    def close(self) -> None:
        """Let go of the file; what is in memory stays."""
        with self._lock:
            self._is_open = False
            if self.path and self._connection:
                self._connection.close()
                self._connection = None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keep other threads out for some steps; raises SandboxError where the file is unusable."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connected()
                yield
            except (OSError, sqlite3.Error) as error:
                reason = getattr(error, "strerror", None) or str(error)
                # Errors that Python's own module raises have no code.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                    reason = "it is in use, perhaps by another sandbox: end that one"
                raise SandboxError(
                    f"the state file {self.path} cannot be used ({reason}): give the path of a new"
                    " file, or of one that a sandbox wrote, in a folder that can be written to"
                ) from None
            finally:
                if not self._is_open:
                    self.close()

    def customer(self, shop: str, named: object, contacts: Mapping[str, str]) -> int | None:
        """Return the customer that the shop knows by that id, or by one of the contacts."""
        # SQLite compares the column's integers with text as numbers.
        by_id = {} if named is None else {"customer": str(named)}
        for column, value in {**by_id, **contacts}.items():
            query = (
                f"SELECT customer FROM requests WHERE shop = ? AND {column} = ?"  # noqa: S608
                " AND intent_id NOTNULL ORDER BY number LIMIT 1"
            )
            if found := self._execute(query, (shop, value)).fetchone():
                return int(found[0])
        return None

    def duplicate(self, unique: str, new: Stored) -> tuple[int, dict[str, Any]] | None:
        """Return number and intent of the request that leaves no room for *new*, or None."""
        if unique == "off" or new["customer"] == new["intent_id"]:
            # A new customer has no intent yet.
            return None
        query = (
            "SELECT number, intent FROM requests WHERE shop = :shop AND customer = :customer"
            " AND variant = :variant AND intent_id NOTNULL"
        )
        query += "" if unique == "variant" else " AND market IS :market"
        query += " AND channel IS :channel" if unique == "channel" else ""
        found = self._execute(query, new).fetchone()
        return found and (found[0], json.loads(found[1]))

    def change(self, number: int, intent: Mapping[str, Any]) -> None:
        """Change the intent that the request *number* stored."""
        query = "UPDATE requests SET intent = ? WHERE number = ?"
        self._execute(query, (json_text(intent), number))

    def add(
        self, at: float, request: Request, answer: Answer, fault: str | None, stored: Stored | None
    ) -> None:
        """Add a request that came *at* Unix seconds, what became of it, and what it *stored*."""
        row = {
            "number": self.stored + self.refused + 1,
            "at": at,
            "method": request.method,
            "path": request.path,
            "shop": request.shop,
            "headers": json_text(request.headers),
            "body": request.body,
            "status": None if answer.sends in ("nothing", "garbage") else answer.status,
            "answer_headers": json_text(answer.headers),
            "answer": answer.body,
            "fault": fault,
            **(stored or {"refusal": self.refused + 1}),
        }
        places = ", ".join("?" * len(row))
        query = f"INSERT INTO requests ({', '.join(row)}) VALUES ({places})"  # noqa: S608
        self._execute(query, tuple(row.values()))
        if stored is None:
            self.refused += 1
        else:
            self.stored += 1

    def clear(self) -> None:
        """Forget everything; numbers and ids start over."""
        self._execute("DELETE FROM requests")
        self.stored = self.refused = 0

    def newest(self, limit: int) -> list[sqlite3.Row]:
        """Return the newest requests, newest first, each by column, without what is forgotten."""
        query = "SELECT * FROM requests ORDER BY number DESC LIMIT ?"
        return self._execute(query, (limit,)).fetchall()

    def requests(self, after: int, limit: int) -> list[sqlite3.Row]:
        """Return requests with a higher number than *after*, oldest first, like `newest`."""
        query = "SELECT * FROM requests WHERE number > ? ORDER BY number LIMIT ?"
        return self._execute(query, (after, limit)).fetchall()

    def intents(self, after: int, limit: int) -> list[sqlite3.Row]:
        """Return number, intent, shop and body of those of `requests` that stored an intent."""
        query = (
            "SELECT number, intent, shop, body FROM requests"
            " WHERE number > ? AND intent_id NOTNULL ORDER BY number LIMIT ?"
        )
        return self._execute(query, (after, limit)).fetchall()

    def _execute(
        self, query: str, values: tuple[Any, ...] | Mapping[str, Any] = ()
    ) -> sqlite3.Cursor:
        assert self._connection is not None  # noqa: S101 - within `use`
        return self._connection.execute(query, values)

    def _connected(self) -> sqlite3.Connection:
        if self.path:
            # What customers sent is for the owner alone. Only where there is no file: closing an
            # existing one would drop the locks that this process has on it.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self.path or ":memory:",
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self._take_for_ours(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        # One in memory stays open; Python 3.13 warns of a connection that is collected so.
        weakref.finalize(self, connection.close)
        return connection

    def _take_for_ours(self, connection: sqlite3.Connection) -> None:
        """Make the table in an empty file; refuse a file that is not ours."""
        *marks, parts = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        connection.execute("COMMIT")
        if not any((*marks, parts)):
            connection.executescript(Path(__file__).with_name("store.sql").read_text("utf-8"))
        elif tuple(marks) != _MARKS:
            raise SandboxError(
                f"the state file {self.path} was not written by this version of the sandbox: give"
                " another path"
            )
        query = "SELECT count(intent_id), count(refusal) FROM requests"
        self.stored, self.refused = connection.execute(query).fetchone()
