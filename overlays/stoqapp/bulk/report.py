"""One page about a ledger, to hand on: self-contained, and without personal data."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from stoqapp.bulk.ledger import DONE, Ledger

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886 }
.bar { background: linear-gradient(#2a7d4f 0 0) no-repeat 0 / var(--part) }
"""
_OUTCOMES: Final = """
SELECT CASE state WHEN 'there' THEN 'on the list already' WHEN 'refused' THEN 'refused by STOQ'
    ELSE state END, count(*) FROM intents GROUP BY state ORDER BY state
"""
# In at most 48 equal parts of the time.
_TIMES: Final = f"""
WITH span AS (SELECT min(ended) first, max((max(ended) - min(ended)) / 47, 1) width FROM intents)
SELECT datetime(first + width * CAST((ended - first) / width AS INT), 'unixepoch') part,
    count(*) FILTER (WHERE state IN {DONE}), count(*) FILTER (WHERE state NOT IN {DONE})
FROM intents, span WHERE ended IS NOT NULL GROUP BY part ORDER BY part
"""
_FAILURES: Final = f"""
SELECT state, coalesce(status, 'none'), coalesce(error, ''), count(*) n FROM intents
WHERE state NOT IN {DONE} GROUP BY 1, 2, 3 ORDER BY n DESC
"""
_VARIANTS: Final = f"""
SELECT variant, max(title), count(*) n FROM intents WHERE state IN {DONE}
GROUP BY variant ORDER BY n DESC, variant LIMIT 20
"""
_RUNS: Final = """
SELECT file, datetime(began, 'unixepoch'), coalesce(datetime(ended, 'unixepoch'), ''),
    coalesce(summary, '{"did not end": ""}') FROM runs ORDER BY id
"""


def report_page(ledger: Ledger) -> str:
    """Return the page as HTML."""
    title = f"Import of a waitlist: {sum(ledger.states().values())} intents"
    times = ledger.rows(_TIMES)
    most = max((good for _, good, _ in times), default=0) or 1
    runs = [(*run, _told(json.loads(summary))) for *run, summary in ledger.rows(_RUNS)]
    parts = [
        f"<h1>{title}</h1>",
        _table(("Outcome", "Intents"), ledger.rows(_OUTCOMES)),
        "<h2>Over time</h2>",
        _table(
            ("From (UTC)", "On the list", "Not"),
            times,
            [f' class="bar" style="--part: {100 * good / most:.0f}%"' for _, good, _ in times],
        ),
        "<h2>What did not end well</h2>",
        _table(("Outcome", "Answer", "Reason", "Intents"), ledger.rows(_FAILURES)),
        "<h2>Most wanted variants</h2>",
        _table(("Variant", "Title", "Intents"), ledger.rows(_VARIANTS)),
        "<h2>Imports</h2>",
        _table(("File", "Began (UTC)", "Ended (UTC)", "Result"), runs),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _told(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}".strip() for name, count in summary.items())


def _table(heads: Iterable[str], rows: list[Any], second: list[str] | None = None) -> str:
    """Return a table; *second* has the attributes of each row's second cell."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{second[line] if second and place == 1 else ''}>{escape(str(value))}</td>"
            for place, value in enumerate(row)
        )
        + "</tr>"
        for line, row in enumerate(rows)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
