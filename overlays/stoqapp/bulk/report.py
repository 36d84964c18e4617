"""One page about a ledger, to hand on: self-contained, and without personal data."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from stoqapp.bulk.ledger import Ledger

_PARTS: Final = 48
_TOP: Final = 20
_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886 }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.good { fill: #2a7d4f } .other { fill: #c2542d }
"""


def report_page(ledger: Ledger) -> str:
    """Return the page as HTML."""
    states = ledger.states()
    title = f"Import of a waitlist: {sum(states.values())} intents"
    names = {"sent": "sent", "there": "on the list already", "refused": "refused by STOQ"}
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table(("Outcome", "Intents"), ((names.get(s, s), n) for s, n in states.items())),
        "<h2>Over time</h2>",
        _bars(ledger.times(_PARTS)),
        "<h2>What did not end well</h2>",
        _table(
            ("Outcome", "Answer", "Reason", "Intents"),
            ((state, status or "none", error, n) for state, status, error, n in ledger.errors()),
        ),
        "<h2>Most wanted variants</h2>",
        _table(("Variant", "Title", "Intents"), ledger.top_variants(_TOP)),
        "<h2>Imports</h2>",
        _table(("File", "Began (UTC)", "Ended (UTC)", "Result"), map(_run, ledger.runs())),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n"
    )


def _run(run: tuple[str, float, float | None, dict[str, Any]]) -> tuple[str, str, str, str]:
    file, began, ended, summary = run
    said = ", ".join(f"{name} {count}" for name, count in summary.items())
    return file, _time(began), _time(ended), said or "did not end"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    cells = [list(row) for row in rows]
    if not cells:
        return "<p>None.</p>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    kind = ' class="number"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(str(value))}</td>"


def _bar(kind: str, place: int, top: float, height: float) -> str:
    return f'<rect class="{kind}" x="{place * 10}" y="{top:.1f}" width="8" height="{height:.1f}"/>'


def _bars(times: list[tuple[float, int, int]]) -> str:
    if not times:
        return "<p>None yet.</p>"
    most = max(good + other for _, good, other in times)
    drawn = []
    for place, (began, good, other) in enumerate(times):
        low, high = 100 * good / most, 100 * other / most
        drawn.append(
            f"<g><title>{_time(began)}: {good} on the list, {other} not</title>"
            f"{_bar('good', place, 100 - low, low)}"
            f"{_bar('other', place, 100 - low - high, high)}</g>"
        )
    said = f"{_time(times[0][0])} to {_time(times[-1][0])} (UTC), at most {most} in one part"
    return (
        f'<svg viewBox="0 0 {_PARTS * 10 + 10} 100" width="100%" height="160" role="img"'
        f' preserveAspectRatio="none" aria-label="Outcomes over time">{"".join(drawn)}</svg>'
        f"<p>{said}</p>"
    )
