"""What the sandbox was sent and answered: one table in SQLite, which is ``store.sql``."""

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from threading import RLock
from typing import Any, Final

from attrs import define, field, frozen

from stoqapp_sandbox.answers import Answer, Request, json_text
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_APPLICATION: Final = 0x53544F51
_VERSION: Final = 2
_BUSY_SECONDS: Final = 3.0
_BATCH: Final = 200
_SHOWN: Final = (
    *("number", "intent_id", "at", "method", "path", "shop", "headers", "body"),
    *("status", "answer_headers", "answer", "fault", "intent"),
)


@frozen
class Stored:
    """An intent, and what it is found by.

    Attributes:
        intent: The intent as the service shows it.
        text: The same as JSON.
        customer: The number of its customer.
        contacts: What the customer is known by, by name of the contact.
    """

    intent: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    customer: int
    contacts: Mapping[str, str] = field(repr=False)

    @property
    def id(self) -> int:
        """The number of the intent."""
        return int(self.intent["id"])

    @property
    def place(self) -> dict[str, str | None]:
        """Variant and market."""
        ids = {name: self.intent[f"shopify_{name}_id"] for name in ("variant", "market")}
        return {name: None if value is None else str(value) for name, value in ids.items()}


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
    """The table, in memory or in a file; safe to use from several threads.

    A file is locked from `open` to `close`, so that no two sandboxes use it; while it is closed,
    each `use` opens it for itself. What was added is on the disk when `add` returns.

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
        with self._lock, self._explained():
            self._connection = self._connection or self._connected()

    def close(self) -> None:
        """Let go of the file; what is in memory stays."""
        with self._lock:
            if self.path and self._connection:
                self._connection.close()
                self._connection = None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Keep other threads out for some steps; the methods below belong in here.

        Raises:
            SandboxError: As `open` does, or the file is damaged or cannot take more.
        """
        with self._lock, self._explained():
            was_open = self._connection is not None
            if not was_open:
                self.open()
            try:
                yield
            finally:
                if not was_open:
                    self.close()

    # -- intents -----------------------------------------------------------------------------

    def next_intent_id(self) -> int:
        """Return the id of the next intent."""
        return self._largest("intent_id") + 1

    def customer(self, shop: str, named: object, contacts: Mapping[str, str]) -> int | None:
        """Return the customer that the shop knows by that id, or by one of the contacts."""
        keys: dict[str, object] = dict(contacts)
        # Ids are written without leading zeros, and none has more digits than this.
        if re.fullmatch("[1-9][0-9]{0,17}", str(named)):
            keys = {"customer": int(str(named)), **keys}
        for column, value in keys.items():
            found = self._execute(
                f"SELECT customer FROM requests WHERE shop = ? AND {column} = ?"  # noqa: S608
                " AND intent_id NOTNULL ORDER BY number LIMIT 1",
                *(shop, value),
            ).fetchone()
            if found:
                return int(found[0])
        return None

    def duplicate(self, unique: str, shop: str, new: Stored) -> tuple[int, dict[str, Any]] | None:
        """Return number and intent of the request that leaves no room for *new*, or None.

        Args:
            unique: The choice for the assumption of that name.
            shop: Host name of the shop in lower case.
            new: What would be stored.
        """
        if unique == "off" or new.customer == new.id:
            # A new customer has no intent yet.
            return None
        found = self._execute(
            "SELECT number, intent FROM requests"
            " WHERE shop = ? AND customer = ? AND variant = ? AND intent_id NOTNULL"
            " AND (? OR market IS ?) AND (? OR channel IS ?)",
            *(shop, new.customer, new.place["variant"]),
            *(unique == "variant", new.place["market"]),
            *(unique != "channel", new.intent["channel"]),
        ).fetchone()
        return found and (found[0], json.loads(found[1]))

    def change(self, number: int, intent: Mapping[str, Any]) -> None:
        """Change the intent that the request *number* stored."""
        self._execute("UPDATE requests SET intent = ? WHERE number = ?", json_text(intent), number)

    # -- requests ----------------------------------------------------------------------------

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
            row["refusal"] = self._largest("refusal") + 1
        else:
            row |= {"intent_id": stored.id, "intent": stored.text, "customer": stored.customer}
            row |= {**stored.place, "channel": stored.intent["channel"], **stored.contacts}
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO requests ({columns}) VALUES ({marks})"  # noqa: S608 - our names
        self._execute(query, *row.values())

    def clear(self) -> None:
        """Forget everything; numbers and ids begin anew."""
        self._execute("DELETE FROM requests")

    def counts(self) -> dict[str, int]:
        """Return how many requests ``stored`` an intent, and how many were ``refused``."""
        return {"stored": self._largest("intent_id"), "refused": self._largest("refusal")}

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest requests, newest first, each with the columns of `_SHOWN`."""
        return self._rows("ORDER BY number DESC LIMIT ?", limit)

    def requests(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return requests with a higher number than *after*, oldest first, like `newest`."""
        return self._rows("WHERE number > ? ORDER BY number LIMIT ?", after, limit)

    def some_intents(self, after: int) -> list[dict[str, Any]]:
        """Return some of the requests after *after* that stored an intent, like `requests`."""
        query = "WHERE number > ? AND intent_id NOTNULL ORDER BY number LIMIT ?"
        return self._rows(query, after, _BATCH)

    def _rows(self, which: str, *values: Any) -> list[dict[str, Any]]:
        query = f"SELECT {', '.join(_SHOWN)} FROM requests {which}"  # noqa: S608 - our names
        return [dict(zip(_SHOWN, row, strict=True)) for row in self._execute(query, *values)]

    def _largest(self, column: str) -> int:
        query = f"SELECT max({column}) FROM requests"  # noqa: S608 - our names
        return self._execute(query).fetchone()[0] or 0

    def _execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        assert self._connection is not None  # noqa: S101 - within `use`
        return self._connection.execute(query, values)

    # -- the file ----------------------------------------------------------------------------

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
            factory=_Connection,
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
        return connection

    def _take_for_ours(self, connection: sqlite3.Connection) -> None:
        """Make the table in an empty file; refuse a file that is not ours, or damaged."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or tables):
            connection.execute("COMMIT")
            connection.executescript(
                files("stoqapp_sandbox").joinpath("store.sql").read_text("utf-8")
            )
            return
        if application != _APPLICATION:
            raise SandboxError(
                f"the state file {self.path} is a database of another program: give another path"
            )
        if version != _VERSION:
            raise SandboxError(
                f"the state file {self.path} was written by another version of stoqapp (its form"
                f" is {version}, this one reads {_VERSION}): give another path, or delete the file"
            )
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise self._unusable(f"it is damaged: {' '.join(found.split())}")
        connection.execute("SELECT max(number) FROM requests")
        connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors about the file into `SandboxError`."""
        try:
            yield
        except OSError as error:
            raise self._unusable(error.strerror or type(error).__name__) from None
        except sqlite3.Error as error:
            # Errors that Python's own module raises have no code.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise SandboxError(
                    f"the state file {self.path} is in use, perhaps by another sandbox: end that"
                    " one, or give each a file of its own"
                ) from None
            raise self._unusable(str(error)) from None

    def _unusable(self, reason: str) -> SandboxError:
        return SandboxError(
            f"the state file {self.path} cannot be used ({reason}): give the path of a file that"
            " a sandbox wrote, or of a new one in a folder that can be written to"
        )


class _Connection(sqlite3.Connection):
    def __del__(self) -> None:
        # Python 3.13 warns of a connection that is collected open.
        with suppress(sqlite3.Error):
            self.close()
