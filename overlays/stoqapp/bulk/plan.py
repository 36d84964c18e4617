"""From records to verdicts: what would be sent, what a person must mend, what is rightly left.

Pure: no clock, no network, no file that stays. Rows are kept in a temporary SQLite database that
has no name on disk, so that memory does not grow with the file.
"""

import json
import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from stoqapp.bulk.catalog import Catalog
from stoqapp.bulk.documents import ImportFileError, Line, Record
from stoqapp.bulk.judge import GONE, Choices, Judge, Kind, Verdict
from stoqapp.bulk.mapping import ColumnMapping

_TABLE: Final = """
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, record INTEGER, line, verdict TEXT, reason TEXT, advice TEXT,
    shop TEXT, body TEXT, cells TEXT, key BLOB, day_first REAL, month_first REAL, position REAL,
    gdpr TEXT
)
"""
# Dated rows first, oldest first; then the rest as in the file.
_ORDER: Final = "position IS NULL, position, id"
# One row of each key is sent: the oldest, unless the customer left the list since.
_ONE_OF_EACH_KEY: Final = f"""
UPDATE rows SET verdict = 'skip', reason = 'unsubscribed',
    advice = 'line ' || gone.line || ' says that they left'
FROM (
    SELECT key, line, max(coalesce(position, 9e99)) AS position FROM rows
    WHERE reason IN {GONE} AND key IS NOT NULL GROUP BY key
) AS gone
WHERE rows.key = gone.key AND verdict = 'send'
    AND (rows.position IS NULL OR rows.position <= gone.position);
UPDATE rows SET verdict = 'skip', reason = 'duplicate', advice = 'the same as line ' || same.line
FROM (
    SELECT id, first_value(line) OVER same AS line, row_number() OVER same AS place FROM rows
    WHERE verdict = 'send' WINDOW same AS (PARTITION BY key ORDER BY {_ORDER})
) AS same
WHERE rows.id = same.id AND same.place > 1;
CREATE INDEX waiting ON rows (shop, {_ORDER}) WHERE verdict = 'send';
"""


@frozen
class Planned:
    """An intent that waits to be sent: its row of the plan, its key, and the request."""

    row: int
    key: bytes
    line: Line
    shop: str
    body: dict[str, Any] = field(repr=False)


def plan(
    records: Iterable[Record],
    mapping: ColumnMapping,
    catalog: Catalog | None = None,
    choices: Choices | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> "Plan":
    """Return the verdicts of *records*, which are read once.

    Args:
        records: A `stoqapp.bulk.read.Source`, or records made otherwise.
        mapping: Which column is which field.
        catalog: The shop's variants; without one only ids of variant and product can be used.
        choices: What was decided for the whole file.
        columns: The columns' names, where *records* does not have them.

    Raises:
        ImportFileError: The mapping does not fit the columns, or dates read both ways.
    """
    names = tuple(getattr(records, "columns", ())) if columns is None else tuple(columns)
    judge = Judge(mapping, names, catalog, choices or Choices())
    return Plan(judge, records, names)


class Plan:
    """The verdicts of a file; iterating yields them in the order of the file.

    Attributes:
        close: Lets go of the rows now, and not only when the plan is collected.
    """

    def __init__(self, judge: Judge, records: Iterable[Record], columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.fields = judge.fields
        self.unknown = judge.unknown
        self.catalog = judge.catalog
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.close = weakref.finalize(self, self._rows.close)
        self._rows.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;" + _TABLE
        )
        self.records = 0
        self.dates = judge.choices.dates or judge.mapping.dates
        self._fill(judge, records)
        self._order(judge.choices.since)
        self._rows.executescript(_ONE_OF_EACH_KEY)

    def __iter__(self) -> Iterator[Verdict]:
        return self._verdicts("TRUE ORDER BY id")

    def _verdicts(self, where: str, values: Sequence[Any] = ()) -> Iterator[Verdict]:
        query = f"SELECT line, verdict, reason, advice, shop, body FROM rows WHERE {where}"
        for line, verdict, reason, advice, shop, body in self._rows.execute(query, values):
            said = json.loads(body) if body and verdict == "send" else None
            yield Verdict(line, verdict, reason, advice, shop, said)

    def counts(self) -> dict[tuple[Kind, str | None], int]:
        """Return how many verdicts there are, by verdict and reason; most first."""
        query = "SELECT verdict, reason, count(*) n FROM rows GROUP BY 1, 2 ORDER BY n DESC, 2"
        return {(verdict, reason): n for verdict, reason, n in self._rows.execute(query)}

    def examples(self, verdict: Kind, reason: str | None, limit: int = 5) -> list[Verdict]:
        """Return the first verdicts of one kind."""
        order = _ORDER if verdict == "send" else "id"
        where = f"verdict = ? AND reason IS ? ORDER BY {order} LIMIT ?"
        return list(self._verdicts(where, (verdict, reason, limit)))

    def waiting(self, shop: str, limit: int) -> list[Planned]:
        """Return the oldest intents of *shop* that wait to be sent."""
        query = (
            "SELECT id, key, line, body FROM rows WHERE verdict = 'send' AND shop = ?"
            f" ORDER BY {_ORDER} LIMIT ?"
        )
        found = self._rows.execute(query, (shop, limit)).fetchall()
        return [Planned(row, key, line, shop, json.loads(body)) for row, key, line, body in found]

    def take(self, counts: Mapping[str, int], limit: int | None = None) -> list[Planned]:
        """Mark so many of the oldest intents of each shop as taken; at most *limit* in all."""
        found: list[Planned] = []
        for shop, count in counts.items():
            found += self.waiting(shop, count if limit is None else min(count, limit - len(found)))
        self.mark((one.row, "taken", None, "") for one in found)
        return found

    def skip_known(self, is_known: Callable[[bytes], bool]) -> None:
        """Skip the intents whose keys are known to be on the list."""
        query = "SELECT id, key FROM rows WHERE verdict = 'send'"
        known = [row for row, key in self._rows.execute(query) if is_known(key)]
        self.mark((row, "skip", "sent_before", "an earlier import sent it") for row in known)

    def summary(self, outcomes: Mapping[str, int]) -> dict[str, int]:
        """Return what became of every verdict; the numbers add up to ``read``.

        Args:
            outcomes: How many intents had each state of an outcome in this run.
        """
        verdicts: Counter[str] = Counter()
        counts = self.counts()
        for (verdict, _), count in counts.items():
            verdicts[verdict] += count
        before = counts.get(("skip", "sent_before"), 0)
        sent, there = outcomes.get("sent", 0), outcomes.get("there", 0)
        return {
            "read": verdicts.total(),
            "sent": sent,
            "already_there": there + before,
            "rejected": verdicts["reject"],
            "skipped": verdicts["skip"] - before,
            "unknown": verdicts["taken"] - sent - there,
            "left": verdicts["send"],
        }

    def left(self) -> dict[str, int]:
        """Return how many intents wait to be sent, by shop."""
        query = "SELECT shop, count(*) FROM rows WHERE verdict = 'send' GROUP BY shop"
        return dict(self._rows.execute(query))

    def mark(self, rows: Iterable[tuple[int, str, str | None, str]]) -> None:
        """Set the verdict, reason and advice of rows: (row, verdict, reason, advice)."""
        self._rows.execute("BEGIN")
        self._rows.executemany(
            "UPDATE rows SET verdict = ?2, reason = ?3, advice = ?4 WHERE id = ?1", rows
        )
        self._rows.execute("COMMIT")

    def rejected(self) -> Iterator[tuple[Line, str, str, list[str]]]:
        """Yield the line, reason, advice and untouched cells of each row to mend, once a row."""
        query = (
            "SELECT line, group_concat(DISTINCT reason), group_concat(DISTINCT advice),"
            " max(cells) FROM rows WHERE verdict = 'reject' GROUP BY record ORDER BY record"
        )
        for line, reason, advice, texts in self._rows.execute(query):
            yield line, reason, advice, json.loads(texts)

    def template_rows(self) -> Iterator[tuple[dict[str, Any], float | None, str | None]]:
        """Yield the body, date and GDPR cell of each intent that waits to be sent, oldest first."""
        query = f"SELECT body, position, gdpr FROM rows WHERE verdict = 'send' ORDER BY {_ORDER}"
        for body, date, gdpr in self._rows.execute(query):
            yield json.loads(body), date, gdpr

    def _fill(self, judge: Judge, records: Iterable[Record]) -> None:
        self._rows.execute("BEGIN")
        self._rows.executemany(
            f"INSERT INTO rows VALUES (NULL{', ?' * 13})", self._judged(judge, records)
        )
        self._rows.execute("COMMIT")

    def _judged(self, judge: Judge, records: Iterable[Record]) -> Iterator[tuple[Any, ...]]:
        for record in records:
            self.records += 1
            texts = None
            for one, key, date, gdpr in judge.verdicts(record):
                if one.verdict != "skip" and texts is None:
                    texts = json.dumps([record.cells.get(name, "") for name in self.columns])
                yield (
                    self.records,
                    one.line,
                    one.verdict,
                    one.reason,
                    one.advice,
                    one.shop,
                    one.body and json.dumps(one.body),
                    texts,
                    key,
                    *(date or (None, None)),
                    None,
                    gdpr,
                )

    def _order(self, since: float | None) -> None:
        if self.dates is None:
            day, month, first = self._rows.execute(
                "SELECT max(month_first IS NULL AND day_first IS NOT NULL),"
                " max(day_first IS NULL AND month_first IS NOT NULL),"
                " (SELECT line FROM rows WHERE day_first != month_first LIMIT 1) FROM rows"
            ).fetchone()
            if first is not None and bool(day) == bool(month):
                raise ImportFileError(
                    f"the dates can be read in two ways (first on line {first}): add"
                    " --dayfirst or --monthfirst"
                )
            self.dates = "month-first" if month else "day-first"
        column = "month_first" if self.dates == "month-first" else "day_first"
        self._rows.execute(f"UPDATE rows SET position = {column}")
        if since is not None:
            self._rows.execute(
                "UPDATE rows SET verdict = 'skip', reason = 'before_since' WHERE verdict = 'send'"
                " AND position < ?",
                (since,),
            )
            self._rows.execute(
                "UPDATE rows SET verdict = 'reject', reason = 'date', advice = 'no date can be"
                " read, and --since needs one' WHERE verdict = 'send' AND position IS NULL"
            )
