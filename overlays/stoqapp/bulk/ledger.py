"""What became of each intent of an import: one row each, in a SQLite file, without contacts.

A row's key is a salted hash of shop, channel, contact, variant and market. The one key finds
duplicates, resumes an import, and lets a later export send only what is new.
"""

import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Self

from stoqapp.bulk.plan import Plan
from stoqapp.outbox import Item, OutboxError, Outcome, SqliteFile

_APPLICATION_ID: Final = 0x53544F51
_TABLES: Final = f"""
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, file TEXT, began REAL, ended REAL, summary TEXT
);
CREATE TABLE IF NOT EXISTS intents (
    key BLOB PRIMARY KEY, shop TEXT, variant INTEGER, title TEXT, run INTEGER, line TEXT,
    state TEXT, status INTEGER, error TEXT, attempts INTEGER, began REAL, ended REAL
) WITHOUT ROWID;
"""
# What is on the list for certain.
DONE: Final = ("sent", "there")
# What an earlier run may have sent stays unknown while it is in flight again.
_MARK: Final = """
INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, 'in flight', NULL, NULL, 0, ?, NULL)
ON CONFLICT (key) DO UPDATE SET
    state = iif(state IN ('in flight', 'unknown'), 'unknown', 'in flight'),
    run = excluded.run, line = excluded.line, began = excluded.began
"""
_STORE: Final = """
UPDATE intents SET state = ?, status = ?, error = ?, attempts = attempts + ?, ended = ?
WHERE key = ?
"""


class Ledger(SqliteFile):
    """The ledger in a file; an outbox once a plan is loaded.

    Args:
        path: The file; made when it is not there, unless *read_only*.
        read_only: Only look: several may, also while an import runs.

    Raises:
        OutboxError: It is not a ledger, cannot be written, or another process works on it.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path: Path = Path(path)
        self._plan: Plan | None = None
        self._guard: sqlite3.Connection | None = None
        self.run: int = 0
        if read_only and not self.path.exists():
            raise OutboxError(f"there is no ledger {self.path}")
        try:
            with self._failing():
                self._guard = None if read_only else self._lock()
                self._check_ours(may_be_new=not read_only)
            super().__init__(path, _TABLES, read_only=read_only)
        except OutboxError:
            if self._guard is not None:
                self._guard.close()
            raise
        if not read_only:
            with self.step() as database:
                insert = "INTO about VALUES (?, ?)"
                database.execute(f"INSERT OR IGNORE {insert}", ("salt", os.urandom(32)))
                database.execute(f"INSERT OR REPLACE {insert}", ("pid", os.getpid()))
        self.salt: bytes = bytes(self.rows("SELECT value FROM about WHERE name = 'salt'")[0][0])

    def _lock(self) -> sqlite3.Connection:
        # The lock of a second file ends with the process, whatever ends it, and leaves readers in.
        guard = sqlite3.connect(f"{self.path}-lock", isolation_level=None, timeout=0)
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            guard.close()
            if "locked" not in str(error):
                raise
            with closing(sqlite3.connect(self.path)) as other:
                pid = other.execute("SELECT value FROM about WHERE name = 'pid'").fetchone()
            raise OutboxError(
                f"process {pid[0] if pid else '?'} works on the ledger {self.path}: wait for it,"
                " or give another --ledger"
            ) from None
        return guard

    def _check_ours(self, *, may_be_new: bool) -> None:
        if may_be_new and not (self.path.exists() and self.path.stat().st_size):
            return
        with closing(sqlite3.connect(self.path)) as looking:
            found = looking.execute("PRAGMA application_id").fetchone()[0]
        if found != _APPLICATION_ID:
            raise OutboxError(f"{self.path} is not a ledger of stoqapp")

    def load(self, plan: Plan, file: str) -> None:
        """Take the intents of *plan* to send, and skip those that are on the list already.

        Args:
            plan: Made with this ledger's `salt`.
            file: Its file's name, for people.
        """
        query = f"SELECT 1 FROM intents WHERE key = ? AND state IN {DONE}"
        plan.skip_known(lambda key: bool(self.rows(query, (key,))))
        self._plan, self._file = plan, file

    def begin(self) -> None:
        """Note that sending begins."""
        with self.step() as database:
            values = (self._file, time.time())
            cursor = database.execute("INSERT INTO runs (file, began) VALUES (?, ?)", values)
            self.run = int(cursor.lastrowid or 0)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Note that sending ended, with counts for the report."""
        with self.step() as database:
            database.execute(
                "UPDATE runs SET ended = ?, summary = ? WHERE id = ?",
                (time.time(), json.dumps(summary), self.run),
            )

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        """Do as `stoqapp.outbox.Outbox.claim`; the oldest rows first."""
        found = self._loaded().oldest(counts)
        now = time.time()
        if found:
            with self.step() as database:
                rows = (
                    (one.key, one.shop, one.variant, one.title, self.run, str(one.line), now)
                    for one in found
                )
                database.executemany(_MARK, rows)
            self._loaded().mark((one.row, "taken", None, "") for one in found)
        return [Item((one.row, one.key), str(one.shop), one.body) for one in found]

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Do as `stoqapp.outbox.Outbox.store`."""
        now = time.time()
        with self.step() as database:
            database.executemany(
                _STORE, ((o.state, o.status, o.error, o.attempts, now, o.key[1]) for o in outcomes)
            )
        self._loaded().mark(
            (o.key[0], "reject", "refused", f"STOQ refused it: {o.status} {o.error}")
            if o.state == "refused"
            else (o.key[0], o.state, None, "")
            for o in outcomes
        )

    def release(self, items: Sequence[Item]) -> None:
        """Do as `stoqapp.outbox.Outbox.release`; what an earlier run may have sent is unknown."""
        query = "DELETE FROM intents WHERE key = ? AND state = 'in flight'"
        with self.step() as database:
            database.executemany(query, ((item.key[1],) for item in items))
        self._loaded().mark((item.key[0], "send", None, "") for item in items)

    def left(self) -> dict[str, int]:
        """Do as `stoqapp.outbox.Outbox.left`."""
        return self._loaded().left()

    def states(self) -> dict[str, int]:
        """Return how many intents are in each state."""
        return dict(self.rows("SELECT state, count(*) FROM intents GROUP BY state ORDER BY state"))

    def refused(self) -> list[dict[str, Any]]:
        """Return what the service refused and did not take since, with each row's place."""
        names = ("file", "line", "shop", "variant", "status", "error")
        rows = self.rows(
            f"SELECT {', '.join(names)} FROM intents JOIN runs ON runs.id = run"
            " WHERE state = 'refused' ORDER BY run, intents.began"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Close the file; another process may have it then."""
        super().close()
        if self._guard is not None:
            self._guard.close()

    def purge(self) -> None:
        """Close the ledger and delete its files, which forgets what was sent."""
        self.close()
        for end in ("", "-wal", "-shm", "-lock"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _loaded(self) -> Plan:
        if self._plan is None:
            raise OutboxError("no plan is loaded: call load(plan, file) first")
        return self._plan
