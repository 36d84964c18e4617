"""What the sandbox was sent, what it answered, and the intents that came of it: one SQLite table.

A request has a number, counted from 1. One that stored an intent also has the intent's id; any
other has a place among the refused ones. Of the refused, the newest 1,000 keep headers, bodies
and answers.
"""

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Final

from attrs import define, field

from stoqapp_sandbox.answers import Answer, Request, json_text
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

# "STOQ": marks the files that are ours.
_APPLICATION: Final = 0x53544F51
_VERSION: Final = 2
_BUSY_SECONDS: Final = 3.0
_REFUSED_KEPT: Final = 1000
_BATCH: Final = 200
_CONTACTS: Final = ("email", "phone", "push")
_PLACES: Final = ("variant", "market")
_SHOWN: Final = (
    "number, intent_id, at, method, path, shop, headers, body, status, answer_headers, answer"
    ", fault, intent"
)
_SCHEMA: Final = (
    """CREATE TABLE requests (
        number INTEGER PRIMARY KEY,
        intent_id INTEGER UNIQUE,
        refusal INTEGER UNIQUE,
        at REAL NOT NULL,
        method TEXT NOT NULL,
        path TEXT NOT NULL,
        shop TEXT NOT NULL,
        headers TEXT CHECK (headers IS NULL OR json_valid(headers)),
        body BLOB,
        status INTEGER,
        answer_headers TEXT CHECK (answer_headers IS NULL OR json_valid(answer_headers)),
        answer BLOB,
        fault TEXT,
        intent TEXT CHECK (intent IS NULL OR json_valid(intent)),
        customer INTEGER,
        variant TEXT,
        market TEXT,
        channel TEXT,
        email TEXT,
        phone TEXT,
        push TEXT
    )""",
    "CREATE INDEX places ON requests (shop, customer, variant) WHERE intent_id NOTNULL",
    *(
        f"CREATE INDEX {name}s ON requests (shop, {name}) WHERE {name} NOTNULL"
        for name in _CONTACTS
    ),
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)


@define
class Stored:
    """An intent, and what it is found by.

    Attributes:
        intent: The intent as the service shows it.
        customer: The number of its customer.
        contacts: What the customer is known by, by name of the contact.
    """

    intent: dict[str, Any] = field(repr=False)
    customer: int
    contacts: dict[str, str] = field(repr=False)


def _absolute(path: object) -> Path | None:
    if path is None:
        return None
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UnusableOptionError("state must be the path of a file, like stoq-sandbox.sqlite")
    try:
        # A relative path would move with the process's folder.
        return Path(text).absolute()
    except OSError:
        raise SandboxError(
            "state names a file below the current folder, which is gone: give a path from the root"
        ) from None


@define(eq=False)
class Store:
    """The table, in memory or in a file; safe to use from several threads.

    A file is locked from `open` to `close`, so that no two sandboxes use it. While it is closed,
    each transaction opens it for itself. What a transaction wrote is on the disk when it ends.

    Attributes:
        path: The file; None keeps everything in memory.
    """

    path: Path | None = field(default=None, converter=_absolute)
    _lock: RLock = field(factory=RLock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)

    def open(self) -> None:
        """Take hold of the file.

        Raises:
            SandboxError: It cannot be used, or another sandbox uses it.
        """
        with self._lock:
            self._connection = self._connection or self._connected()

    def close(self) -> None:
        """Let go of the file; what is in memory stays."""
        with self._lock:
            if self.path and self._connection:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let steps count together or not at all; the methods below belong in here.

        Raises:
            SandboxError: As `open` does, or the file is damaged or cannot take more.
        """
        with self._lock:
            was_open = self._connection is not None
            self.open()
            try:
                self._execute("BEGIN IMMEDIATE")
                yield
                self._execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._execute("ROLLBACK")
                if self.path and isinstance(error, sqlite3.Error):
                    raise self._refusal(error) from None
                raise
            finally:
                if not was_open:
                    self.close()

    # -- what a request needs to know --------------------------------------------------------

    def next_intent_id(self) -> int:
        """Return the id of the next intent."""
        return self._next("intent_id")

    def customer(self, shop: str, named: object, contacts: Mapping[str, str]) -> int | None:
        """Return the customer that the shop knows by that id, or by one of the contacts."""
        # Ids are written without leading zeros, and none has more digits than this.
        if re.fullmatch("[1-9][0-9]{0,17}", str(named)):
            found = self._first(
                "SELECT customer FROM requests"
                " WHERE shop = ? AND customer = ? AND intent_id NOTNULL",
                *(shop, int(str(named))),
            )
            if found:
                return int(found[0])
        for name, value in contacts.items():
            query = f"SELECT customer FROM requests WHERE shop = ? AND {name} = ? ORDER BY number"  # noqa: S608
            if found := self._first(query, shop, value):
                return int(found[0])
        return None

    def duplicate(
        self, unique: str, shop: str, stored: Stored
    ) -> tuple[int, dict[str, Any]] | None:
        """Return number and intent of the request that leaves no room for *stored*, or None.

        Args:
            unique: The choice for the assumption of that name.
            shop: Host name of the shop in lower case.
            stored: What would be stored.
        """
        variant, market = (_text(stored.intent[f"shopify_{name}_id"]) for name in _PLACES)
        found = self._first(
            "SELECT number, intent FROM requests"
            " WHERE shop = ? AND customer = ? AND variant = ? AND intent_id NOTNULL"
            " AND (? OR market IS ?) AND (? OR channel IS ?)",
            *(shop, stored.customer, variant),
            *(unique == "variant", market),
            *(unique != "channel", stored.intent["channel"]),
        )
        return found and (found[0], json.loads(found[1]))

    # -- writing -----------------------------------------------------------------------------

    def change(self, number: int, intent: Mapping[str, Any]) -> None:
        """Change the intent that the request *number* stored."""
        self._execute(
            "UPDATE requests SET intent = ? WHERE number = ?",
            json_text(intent),
            number,
        )

    def add(
        self,
        at: float,
        shop: str,
        request: Request,
        answer: Answer,
        fault: str | None,
        stored: Stored | None,
    ) -> None:
        """Add a request and what came of it.

        Args:
            at: Unix seconds.
            shop: Host name of the shop in lower case; empty where the request named none.
            request: The request as it came.
            answer: The answer; its status counts as received where its delivery sends it.
            fault: The fault that struck, as text.
            stored: The intent that it made.
        """
        row: dict[str, Any] = {
            "at": at,
            "method": request.method,
            "path": request.path,
            "shop": shop,
            "headers": json_text(request.headers),
            "body": request.body,
            "status": answer.status if answer.delivery.has_status else None,
            "answer_headers": json_text(answer.headers),
            "answer": answer.body,
            "fault": fault,
        }
        if stored is None:
            row["refusal"] = self._next("refusal")
            self._execute(
                "UPDATE requests SET headers = NULL, body = NULL, answer_headers = NULL,"
                " answer = NULL WHERE refusal = ?",
                row["refusal"] - _REFUSED_KEPT,
            )
        else:
            row |= {
                "intent_id": int(stored.intent["id"]),
                "intent": json_text(stored.intent),
                "customer": stored.customer,
                **{name: _text(stored.intent[f"shopify_{name}_id"]) for name in _PLACES},
                "channel": stored.intent["channel"],
                **stored.contacts,
            }
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO requests ({columns}) VALUES ({marks})"  # noqa: S608 - our names
        self._execute(query, *row.values())

    def clear(self) -> None:
        """Forget everything; numbers and ids begin anew."""
        self._execute("DELETE FROM requests")

    # -- reading -----------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return how many requests ``stored`` an intent, and how many were ``refused``."""
        stored, refused = self._first("SELECT max(intent_id), max(refusal) FROM requests")
        return {"stored": stored or 0, "refused": refused or 0}

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest requests, newest first, see `requests`."""
        return self._rows("ORDER BY number DESC LIMIT ?", limit)

    def requests(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return requests with a higher number than *after*, oldest first.

        Each has the columns of the table up to ``intent``, in types of Python.
        """
        return self._rows("WHERE number > ? ORDER BY number LIMIT ?", after, limit)

    def intents_json(self, after: int) -> tuple[int, list[str]]:
        """Return some intents that requests after *after* stored, as JSON, oldest first.

        Each has ``shop`` and ``request`` (the body as it came) beside its own fields. Returns
        the number of the last one, too; an empty list is the end.
        """
        rows = self._execute(
            "SELECT number, intent, shop, body FROM requests"
            " WHERE number > ? AND intent_id NOTNULL ORDER BY number LIMIT ?",
            *(after, _BATCH),
        ).fetchall()
        return rows[-1][0] if rows else after, [
            f'{intent[:-1]}, "shop": {json.dumps(shop)}, "request": {body.decode()}}}'
            for _, intent, shop, body in rows
        ]

    def _rows(self, which: str, *values: Any) -> list[dict[str, Any]]:
        names = _SHOWN.split(", ")
        rows = self._execute(f"SELECT {_SHOWN} FROM requests {which}", *values)  # noqa: S608
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _next(self, column: str) -> int:
        (last,) = self._first(f"SELECT max({column}) FROM requests")  # noqa: S608 - ours
        return (last or 0) + 1

    def _first(self, query: str, *values: Any) -> Any:
        return self._execute(query, *values).fetchone()

    def _execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        assert self._connection is not None  # noqa: S101 - within a transaction
        return self._connection.execute(query, values)

    # -- the file ----------------------------------------------------------------------------

    def _connected(self) -> sqlite3.Connection:
        if self.path is None:
            return self._prepared(":memory:")
        try:
            # What customers sent is for the owner alone. Only where there is no file: closing an
            # existing one would drop the locks that this process has on it.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            return self._prepared(self.path)
        except OSError as error:
            raise self._unusable(error.strerror or type(error).__name__) from None
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _unusable(self, reason: str) -> SandboxError:
        return SandboxError(
            f"the state file {self.path} cannot be used ({reason}): give the path of a file that"
            " a sandbox wrote, or of a new one in a folder that can be written to"
        )

    def _refusal(self, error: sqlite3.Error) -> SandboxError:
        # Errors that Python's own module raises have no code.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return SandboxError(
                f"the state file {self.path} is in use, perhaps by another sandbox: end that"
                " one, or give each a file of its own"
            )
        return self._unusable(str(error))

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
        """Make the table in an empty file; refuse a file that is not ours, or damaged."""
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
        else:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise self._unusable(f"it is damaged: {' '.join(found.split())}")
            connection.execute("SELECT max(number) FROM requests")


class _Connection(sqlite3.Connection):
    def __del__(self) -> None:
        # Python 3.13 warns of a connection that is collected open.
        with suppress(sqlite3.Error):
            self.close()


def _text(value: object) -> str | None:
    return None if value is None else str(value)
