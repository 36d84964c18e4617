"""What became of each intent of an import: one row each, in a SQLite file, without contacts.

A row's key is a salted hash of shop, channel, contact, variant and market. The one key finds
duplicates, resumes an import, and lets a later export send only what is new.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from attrs import frozen

from stoqapp.bulk.plan import Plan, Planned
from stoqapp.outbox import Item, OutboxError, Outcome, open_database

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, file TEXT, began REAL, ended REAL, summary TEXT
);
CREATE TABLE IF NOT EXISTS titles (variant INTEGER PRIMARY KEY, title TEXT);
CREATE TABLE IF NOT EXISTS intents (
    key BLOB PRIMARY KEY, shop TEXT, variant INTEGER, channel TEXT, run INTEGER, line TEXT,
    state TEXT, earlier INTEGER, status INTEGER, error TEXT, attempts INTEGER, began REAL,
    ended REAL
) WITHOUT ROWID;
"""
_APPLICATION_ID: Final = 0x53544F51
# What is on the list for certain.
_DONE: Final = ("sent", "there")
_MARK: Final = """
INSERT INTO intents VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'in flight', 0, NULL, NULL, 0, ?7, NULL)
ON CONFLICT (key) DO UPDATE SET
    earlier = earlier OR state IN ('in flight', 'unknown'),
    state = 'in flight', run = ?5, line = ?6, began = ?7
"""


class LedgerError(OutboxError):
    """The ledger cannot be used; the message says why, and what to do."""


@frozen
class Refused:
    """A row that the service refused: where it stands, and what was answered."""

    file: str
    line: str
    shop: str
    variant: int
    status: int | None
    error: str | None


class Ledger:
    """The ledger in a file; an outbox once a plan is loaded.

    Args:
        path: The file; made when it is not there, unless *read_only*.
        read_only: Only look: several may, also while an import runs.

    Raises:
        LedgerError: It is no ledger, cannot be written, or another process works on it.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._mutex = threading.Lock()
        self._plan: Plan | None = None
        self._claimed: dict[bytes, Planned] = {}
        self._budget_of_items: int | None = None
        self._guard: sqlite3.Connection | None = None
        self.run = 0
        if read_only and not self.path.exists():
            raise LedgerError(f"there is no ledger {self.path}")
        with self._failing():
            if read_only:
                self._database = sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True)
            else:
                self._guard = self._lock()
                self._database = open_database(self.path, "")
            self._check_ours(read_only=read_only)
            if not read_only:
                self._database.executescript(_TABLES)
                self._write_about()
            query = "SELECT value FROM about WHERE name = 'salt'"
            self.salt = bytes(self._database.execute(query).fetchone()[0])

    def _lock(self) -> sqlite3.Connection:
        # The lock of a second file ends with the process, whatever ends it, and leaves readers in.
        guard = sqlite3.connect(f"{self.path}-lock", isolation_level=None, timeout=0)
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            guard.close()
            if "locked" not in str(error):
                raise
            with sqlite3.connect(self.path) as other:
                pid = other.execute("SELECT value FROM about WHERE name = 'pid'").fetchone()
            other.close()
            raise LedgerError(
                f"process {pid[0] if pid else '?'} works on the ledger {self.path}: wait for it,"
                " or give another --ledger"
            ) from None
        return guard

    def _check_ours(self, *, read_only: bool) -> None:
        empty = not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        ours = self._database.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID
        if not ours and (read_only or not empty):
            raise LedgerError(f"{self.path} is not a ledger of stoqapp")
        if empty and not read_only:
            self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")

    def _write_about(self) -> None:
        with self._step():
            insert = "INTO about VALUES (?, ?)"
            self._database.execute(f"INSERT OR IGNORE {insert}", ("salt", os.urandom(32)))
            self._database.execute(f"INSERT OR REPLACE {insert}", ("pid", os.getpid()))

    def load(self, plan: Plan, file: str, *, limit: int | None = None) -> None:
        """Take the intents of *plan* to send, and skip those that are on the list already.

        Args:
            plan: Made with this ledger's `salt`.
            file: Its file's name, for people.
            limit: How many to send at most.
        """
        query = f"SELECT state FROM intents WHERE key = ? AND state IN {_DONE}"
        with self._failing():
            plan.skip_known(lambda key: bool(self._database.execute(query, (key,)).fetchone()))
        self._plan = plan
        self._file = file
        self._budget_of_items = limit

    def begin(self) -> None:
        """Note that sending begins."""
        with self._step():
            values = (self._file, time.time())
            cursor = self._database.execute("INSERT INTO runs (file, began) VALUES (?, ?)", values)
            self.run = int(cursor.lastrowid or 0)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Note that sending ended, with counts for the report."""
        with self._step():
            self._database.execute(
                "UPDATE runs SET ended = ?, summary = ? WHERE id = ?",
                (time.time(), json.dumps(summary), self.run),
            )

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        """Do as `stoqapp.outbox.Outbox.claim`; the oldest rows first."""
        plan = self._loaded()
        found: list[Planned] = []
        for shop, count in counts.items():
            room = count if self._budget_of_items is None else min(count, self._budget_of_items)
            taken = plan.waiting(shop, room)
            plan.mark((one.row, "taken", None, "") for one in taken)
            if self._budget_of_items is not None:
                self._budget_of_items -= len(taken)
            found += taken
        if found:
            now = time.time()
            with self._step():
                self._database.executemany(_MARK, (self._marks(one, now) for one in found))
                titles = filter(None, map(self._title, found))
                self._database.executemany("INSERT OR IGNORE INTO titles VALUES (?, ?)", titles)
        self._claimed |= {one.key: one for one in found}
        return [Item(one.key, one.shop, one.body) for one in found]

    def _marks(self, one: Planned, now: float) -> tuple[Any, ...]:
        intent = one.body["intent"]
        variant, channel = intent["shopify_variant_id"], intent["channel"]
        return one.key, one.shop, variant, channel, self.run, str(one.line), now

    def _title(self, one: Planned) -> tuple[int, str] | None:
        product = one.body.get("product", {})
        titles = [product[name] for name in ("title", "variant_title") if product.get(name)]
        variant = one.body["intent"]["shopify_variant_id"]
        return (variant, " / ".join(titles)) if titles else None

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Do as `stoqapp.outbox.Outbox.store`."""
        now = time.time()
        query = (
            "UPDATE intents SET state = ?2, status = ?3, error = ?4, attempts = attempts + ?5,"
            " ended = ?6 WHERE key = ?1"
        )
        with self._step():
            self._database.executemany(
                query,
                ((o.key, o.state, o.status, o.error, o.attempts, now) for o in outcomes),
            )
        told = [(self._claimed.pop(one.key), one) for one in outcomes]
        self._loaded().mark(
            (planned.row, "reject", "refused", f"STOQ refused it: {one.status} {one.error}")
            for planned, one in told
            if one.state == "refused"
        )

    def release(self, items: Sequence[Item]) -> None:
        """Do as `stoqapp.outbox.Outbox.release`; what an earlier call may have sent is unknown."""
        with self._step():
            for item in items:
                key = (item.key,)
                self._database.execute(
                    "UPDATE intents SET state = 'unknown' WHERE key = ? AND earlier", key
                )
                self._database.execute("DELETE FROM intents WHERE key = ? AND NOT earlier", key)
        planned = [self._claimed.pop(item.key) for item in items]
        self._loaded().mark((one.row, "send", None, "") for one in planned)
        if self._budget_of_items is not None:
            self._budget_of_items += len(planned)

    def left(self) -> dict[str, int]:
        """Do as `stoqapp.outbox.Outbox.left`; a *limit* does not count."""
        return self._loaded().left()

    def state_of(self, key: bytes) -> str | None:
        """Return what became of an intent: a state of an outcome, ``in flight``, or None."""
        found = self._rows("SELECT state FROM intents WHERE key = ?", (key,))
        return next((state for (state,) in found), None)

    def states(self) -> dict[str, int]:
        """Return how many intents are in each state."""
        return dict(self._rows("SELECT state, count(*) FROM intents GROUP BY state ORDER BY state"))

    def refused(self) -> Iterator[Refused]:
        """Yield what the service refused and did not take since."""
        yield from (
            Refused(*row)
            for row in self._rows(
                "SELECT file, line, shop, variant, status, error FROM intents JOIN runs"
                " ON runs.id = run WHERE state = 'refused' ORDER BY run, intents.began"
            )
        )

    def runs(self) -> list[tuple[str, float, float | None, dict[str, Any]]]:
        """Return file, begin, end and summary of each import, oldest first."""
        rows = self._rows("SELECT file, began, ended, summary FROM runs ORDER BY id")
        return [(file, began, ended, json.loads(text or "{}")) for file, began, ended, text in rows]

    def errors(self) -> list[tuple[str, int | None, str, int]]:
        """Return state, status, error's name and count of what did not end well; most first."""
        return list(
            self._rows(
                "SELECT state, status, coalesce(error, ''), count(*) n FROM intents"
                " WHERE state NOT IN ('sent', 'there') GROUP BY 1, 2, 3 ORDER BY n DESC"
            )
        )

    def times(self, parts: int) -> list[tuple[float, int, int]]:
        """Return begin, count on the list and count of others of equal parts of the time."""
        ends = next(iter(self._rows("SELECT min(ended), max(ended) FROM intents")))
        if ends[0] is None:
            return []
        width = max((ends[1] - ends[0]) / parts, 1.0)
        query = (
            "SELECT CAST((ended - ?1) / ?2 AS INT) part, count(*) FILTER (WHERE state IN"
            f" {_DONE}), count(*) FILTER (WHERE state NOT IN {_DONE}) FROM intents"
            " WHERE ended IS NOT NULL GROUP BY part ORDER BY part"
        )
        rows = self._rows(query, (ends[0], width))
        return [(ends[0] + part * width, on_list, others) for part, on_list, others in rows]

    def top_variants(self, limit: int) -> list[tuple[int, str, int]]:
        """Return the variants that most intents on the list are for: id, title, count."""
        return list(
            self._rows(
                "SELECT variant, coalesce(title, ''), count(*) n FROM intents"
                f" LEFT JOIN titles USING (variant) WHERE state IN {_DONE}"
                " GROUP BY variant ORDER BY n DESC, variant LIMIT ?",
                (limit,),
            )
        )

    def close(self) -> None:
        """Close the file; another process may have it then."""
        self._database.close()
        if self._guard is not None:
            self._guard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _loaded(self) -> Plan:
        if self._plan is None:
            raise LedgerError("no plan is loaded: call load(plan, file) first")
        return self._plan

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterable[Any]:
        with self._failing(), self._mutex:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _step(self) -> Iterator[None]:
        with self._failing(), self._mutex:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
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
            raise LedgerError(
                f"the ledger {self.path} cannot be used: {error}. Nothing is lost: mend that, and"
                " run the same command again"
            ) from error
