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

from stoqapp.bulk.catalog import Catalog
from stoqapp.bulk.judge import GONE, Choices, Judge, Kind, Verdict
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.read import ImportFileError, Line, Record

_TABLE: Final = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;
CREATE TABLE rows (
    row INTEGER PRIMARY KEY, record INTEGER, line, verdict TEXT, reason TEXT, advice TEXT,
    shop TEXT, body TEXT, key BLOB, gdpr TEXT, cells TEXT, day_first REAL, month_first REAL,
    date REAL, title TEXT
)
"""
_VERDICT: Final = "line, verdict, reason, advice, shop, body, key, date, gdpr, title, row"
# Dated rows first, oldest first; then the rest as in the file.
_ORDER: Final = "date IS NULL, date, row"
_ORDER_OF_DAY: Final = """
SELECT max(month_first IS NULL AND day_first IS NOT NULL),
    max(day_first IS NULL AND month_first IS NOT NULL),
    (SELECT line FROM rows WHERE day_first != month_first LIMIT 1)
FROM rows
"""
_SINCE: Final = """
UPDATE rows SET verdict = iif(date IS NULL, 'reject', 'skip'),
    reason = iif(date IS NULL, 'date', 'before_since'),
    advice = iif(date IS NULL, 'no date can be read, and --since needs one', '')
WHERE verdict = 'send' AND (date IS NULL OR date < ?)
"""
# One row of each key is sent: the oldest, unless the customer left the list since.
_ONE_OF_EACH_KEY: Final = f"""
UPDATE rows SET verdict = 'skip', reason = 'unsubscribed',
    advice = 'line ' || gone.line || ' says that they left'
FROM (
    SELECT key, line, max(coalesce(date, 9e99)) AS date FROM rows
    WHERE reason IN {GONE} AND key IS NOT NULL GROUP BY key
) AS gone
WHERE rows.key = gone.key AND verdict = 'send'
    AND (rows.date IS NULL OR rows.date <= gone.date);
DELETE FROM rows WHERE verdict = 'gone';
UPDATE rows SET verdict = 'skip', reason = 'duplicate', advice = 'the same as line ' || same.line
FROM (
    SELECT row, first_value(line) OVER same AS line, row_number() OVER same AS place FROM rows
    WHERE verdict = 'send' WINDOW same AS (PARTITION BY key ORDER BY {_ORDER})
) AS same
WHERE rows.row = same.row AND same.place > 1;
CREATE INDEX waiting ON rows (shop, {_ORDER}) WHERE verdict = 'send';
"""
# What each verdict is in the summary; some are given while rows are sent.
_SUMMARY: Final = {
    "sent": "sent",
    "there": "already_there",
    "reject": "rejected",
    "skip": "skipped",
    "taken": "unknown",
    "unknown": "unknown",
    "send": "left",
}
_SUMMARY_OF_REASON: Final = {"sent_before": "already_there", "limit": "left"}


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
    choices = choices or Choices()
    return Plan(Judge(mapping, names, catalog, choices), records)


class Plan:
    """The verdicts of a file; iterating yields them in the order of the file.

    Attributes:
        columns: The names of the columns.
        fields: The column of each field.
        unknown: Of each field, how often each text comes that means nothing to us.
        catalog: The catalog that it was made with.
        dates: ``day-first`` or ``month-first``.
        records: How many records were read.
        close: Lets go of the rows now, and not only when the plan is collected.
    """

    def __init__(self, judge: Judge, records: Iterable[Record]) -> None:
        self.columns: tuple[str, ...] = judge.columns
        self.fields: dict[str, str] = judge.fields
        self.unknown: dict[str, Counter[str]] = judge.unknown
        self.catalog: Catalog | None = judge.catalog
        self.records: int = 0
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.close: Callable[[], object] = weakref.finalize(self, self._rows.close)
        self._rows.executescript(_TABLE)
        self._write(
            f"INSERT INTO rows VALUES (NULL{', ?' * 12}, NULL, ?)", self._judged(judge, records)
        )
        self.dates: str = judge.dates or self._order_of_day()
        self._rows.execute(f"UPDATE rows SET date = {self.dates.replace('-', '_')}")
        if judge.choices.since is not None:
            self._rows.execute(_SINCE, (judge.choices.since,))
        self._rows.executescript(_ONE_OF_EACH_KEY)

    def _judged(self, judge: Judge, records: Iterable[Record]) -> Iterator[tuple[Any, ...]]:
        for record in records:
            self.records += 1
            texts = json.dumps([record.cells.get(name, "") for name in self.columns])
            for one, date in judge.verdicts(record):
                yield (
                    *(self.records, one.line, one.verdict, one.reason, one.advice, one.shop),
                    *(json.dumps(one.body), one.key, one.gdpr),
                    None if one.verdict == "skip" else texts,
                    *(date or (None, None)),
                    one.title,
                )

    def _order_of_day(self) -> str:
        """Return which of day and month comes first: what some dates can be read as alone."""
        day, month, line = self._rows.execute(_ORDER_OF_DAY).fetchone()
        if line is not None and bool(day) == bool(month):
            raise ImportFileError(
                f"the dates can be read in two ways (first on line {line}): add"
                " --dayfirst or --monthfirst"
            )
        return "month-first" if month else "day-first"

    def __iter__(self) -> Iterator[Verdict]:
        return self.find("TRUE ORDER BY row")

    def find(self, where: str, *values: object) -> Iterator[Verdict]:
        """Yield the verdicts that an SQL condition holds for; its names are a verdict's."""
        found = self._rows.execute(f"SELECT {_VERDICT} FROM rows WHERE {where}", values)
        for line, verdict, reason, advice, shop, body, *rest in found:
            said = json.loads(body) if verdict == "send" else {}
            yield Verdict(line, verdict, reason, advice, shop, said, *rest)

    def waiting(self) -> Iterator[Verdict]:
        """Yield what waits to be sent, oldest first."""
        return self.find(f"verdict = 'send' ORDER BY {_ORDER}")

    def oldest(self, counts: Mapping[str, int]) -> list[Verdict]:
        """Return so many of the oldest intents of each shop that wait to be sent."""
        query = f"verdict = 'send' AND shop = ? ORDER BY {_ORDER} LIMIT ?"
        return [one for counted in counts.items() for one in self.find(query, *counted)]

    def keep_oldest(self, count: int) -> None:
        """Leave all but the oldest *count* intents for another time."""
        oldest = f"SELECT row FROM rows WHERE verdict = 'send' ORDER BY {_ORDER} LIMIT ?"
        self._rows.execute(
            "UPDATE rows SET verdict = 'skip', reason = 'limit'"
            f" WHERE verdict = 'send' AND row NOT IN ({oldest})",
            (count,),
        )

    def skip_known(self, is_known: Callable[[bytes], bool]) -> None:
        """Skip the intents whose keys are known to be on the list."""
        waiting = self._rows.execute("SELECT row, key FROM rows WHERE verdict = 'send'")
        known = [row for row, key in waiting if is_known(key)]
        self.mark((row, "skip", "sent_before", "an earlier import sent it") for row in known)

    def mark(self, rows: Iterable[tuple[int, str, str | None, str]]) -> None:
        """Set the verdict, reason and advice of rows: (row, verdict, reason, advice)."""
        query = "UPDATE rows SET verdict = ?, reason = ?, advice = ? WHERE row = ?"
        self._write(query, ((*verdict, row) for row, *verdict in rows))

    def _write(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        self._rows.execute("BEGIN")
        self._rows.executemany(query, rows)
        self._rows.execute("COMMIT")

    def counts(self) -> dict[tuple[Kind, str | None], int]:
        """Return how many verdicts there are, by verdict and reason; most first."""
        query = "SELECT verdict, reason, count(*) n FROM rows GROUP BY 1, 2 ORDER BY n DESC, 2"
        return {(verdict, reason): n for verdict, reason, n in self._rows.execute(query)}

    def left(self) -> dict[str, int]:
        """Return how many intents wait to be sent, by shop."""
        query = "SELECT shop, count(*) FROM rows WHERE verdict = 'send' GROUP BY shop"
        return dict(self._rows.execute(query))

    def summary(self) -> dict[str, int]:
        """Return what became of every verdict; the numbers add up to ``read``."""
        summary = {"read": 0} | dict.fromkeys(_SUMMARY.values(), 0)
        for (verdict, reason), count in self.counts().items():
            name = _SUMMARY_OF_REASON.get(reason or "", _SUMMARY[verdict])
            summary["read"] += count
            summary[name] += count
        return summary

    def rejected(self) -> Iterator[tuple[Line, str, str, list[str]]]:
        """Yield the line, reason, advice and untouched cells of each row to mend, once a row."""
        query = (
            "SELECT line, group_concat(DISTINCT reason), group_concat(DISTINCT advice),"
            " max(cells) FROM rows WHERE verdict = 'reject' GROUP BY record ORDER BY record"
        )
        for line, reason, advice, texts in self._rows.execute(query):
            yield line, reason, advice, json.loads(texts)
