"""What the sandbox was sent and answered: one table in SQLite, which is ``store.sql``."""

import json
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Final

from attrs import define, field

from stoqapp_sandbox.answers import Answer, Request, json_text
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_APPLICATION: Final = 0x53544F51
_VERSION: Final = 4
_BUSY_SECONDS: Final = 3.0
_SHOWN: Final = (
    *("number", "at", "method", "path", "shop", "headers", "body", "status"),
    *("answer_headers", "answer", "fault", "intent_id", "intent"),
)

# An intent to store, by column: ``intent_id``, ``intent`` as JSON, and what it is found by.
Stored = dict[str, Any]


def _absolute(path: object) -> Path | None:
    if path is None:
        return None
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UnusableOptionError("state must be the path of a file, like stoq-sandbox.sqlite")
    # A relative path would move with the process's folder.
    return Path(text).absolute()


@define(eq=False)
class Store:
    """The table, in memory or in a file; everything is done within `use`.

    A file is locked from `open` to `close`, so that no two sandboxes use it; while it is closed,
    each `use` opens it for itself. What was added is on the disk when `add` returns. `stored` and
    `refused` count the requests that stored an intent, and those that did not.
    """

    path: Path | None = field(default=None, converter=_absolute)
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
            except OSError as error:
                raise self._unusable(error.strerror or type(error).__name__) from None
            except sqlite3.Error as error:
                # Errors that Python's own module raises have no code.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                    raise SandboxError(
                        f"the state file {self.path} is in use, perhaps by another sandbox: end"
                        " that one, or give each a file of its own"
                    ) from None
                raise self._unusable(str(error)) from None
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
        self,
        at: float,
        shop: str,
        request: Request,
        answer: Answer,
        fault: str | None,
        stored: Stored | None,
    ) -> None:
        """Add a request that came *at* Unix seconds, what became of it, and what it *stored*."""
        row = {
            "number": self.stored + self.refused + 1,
            "at": at,
            "method": request.method,
            "path": request.path,
            "shop": shop,
            "headers": json_text(request.headers),
            "body": request.body,
            "status": answer.status if answer.is_received else None,
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
        """Forget everything; numbers and ids begin anew."""
        self._execute("DELETE FROM requests")
        self.stored = self.refused = 0

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest requests, newest first, each by column, without what is forgotten."""
        return self._rows("ORDER BY number DESC LIMIT ?", limit)

    def requests(
        self, after: int, limit: int, *, only_stored: bool = False
    ) -> list[dict[str, Any]]:
        """Return requests with a higher number than *after*, oldest first, like `newest`."""
        which = "AND intent_id NOTNULL" if only_stored else ""
        return self._rows(f"WHERE number > ? {which} ORDER BY number LIMIT ?", after, limit)

    def _rows(self, which: str, *values: int) -> list[dict[str, Any]]:
        query = f"SELECT {', '.join(_SHOWN)} FROM requests {which}"  # noqa: S608 - our names
        rows = [dict(zip(_SHOWN, row, strict=True)) for row in self._execute(query, values)]
        for row in rows:
            for name in ("headers", "answer_headers"):
                row[name] = row[name] and json.loads(row[name])
        return rows

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
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self._take_for_ours(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        if self.path is None:
            # In memory it stays open; Python 3.13 warns of a connection that is collected so.
            self._is_open = True
            weakref.finalize(self, connection.close)
        return connection

    def _take_for_ours(self, connection: sqlite3.Connection) -> None:
        """Make the table in an empty file; refuse a file that is not ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or tables):
            connection.execute("COMMIT")
            connection.executescript(Path(__file__).with_name("store.sql").read_text("utf-8"))
            return
        if (application, version) != (_APPLICATION, _VERSION):
            raise SandboxError(
                f"the state file {self.path} was not written by this version of the sandbox: give"
                " another path"
            )
        query = "SELECT count(intent_id), count(refusal) FROM requests"
        self.stored, self.refused = connection.execute(query).fetchone()
        connection.execute("COMMIT")

    def _unusable(self, reason: str) -> SandboxError:
        return SandboxError(
            f"the state file {self.path} cannot be used ({reason}): give the path of a file that"
            " a sandbox wrote, or of a new one in a folder that can be written to"
        )
