"""What ``stoqapp import`` prints: the preview, the progress, the summary."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from stoqapp.terminal import mention, show

_LINE_EVERY_SECONDS: Final = 10.0


@contextmanager
def progress(
    total: int, seconds: float, counts: Mapping[str, int], *, as_json: bool
) -> Iterator[Callable[[], None]]:
    """Show how far it is; yield what to call after each outcome. It takes *seconds* at least."""
    began = time.monotonic()

    def said() -> dict[str, Any]:
        done = sum(counts.values())
        gone = max(time.monotonic() - began, 0.001)
        rate = done / gone
        left = max((total - done) / rate if rate else 0.0, seconds - gone)
        ends = (datetime.now() + timedelta(seconds=left)).strftime("%Y-%m-%d %H:%M")
        return {"done": done, "total": total, "rate": round(rate, 1), "ends": ends, **counts}

    def text() -> str:
        outcomes = ", ".join(f"{name} {count}" for name, count in counts.items())
        now = said()
        return f"{now['done']}/{total}, {now['rate']}/s, ends {now['ends']}: {outcomes}"

    if not as_json and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        bar = BarColumn(bar_width=None)
        with Progress(bar, TextColumn("{task.description}"), console=Console(stderr=True)) as rich:
            task = rich.add_task("", total=total)
            yield lambda: rich.update(task, advance=1, description=text())
        return
    last = began

    def line() -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_SECONDS:
            last = time.monotonic()
            if as_json:
                show(json.dumps({"event": "progress", **said()}))
            else:
                mention(text())

    yield line


def summary_text(summary: Mapping[str, int]) -> str:
    """Return the summary as a line that adds up."""
    parts = [f"{name.replace('_', ' ')} {count}" for name, count in summary.items()]
    return f"{parts[0]} = {' + '.join(parts[1:])}"


def preview_text(said: Mapping[str, Any]) -> str:
    """Return what `stoqapp.bulk.preview.preview` says, for people."""
    read = said["read"]
    parted = read["delimiter"] and f"cells parted by {read['delimiter']!r}"
    about = [
        f"{said['rows']} rows",
        read["encoding"],
        parted,
        f"dates {read['dates']}",
        read["note"],
    ]
    lines = [f"{said['file']}: {', '.join(filter(None, about))}", f"columns ({said['mapping']}):"]
    lines += [f"  {column} = {target}" for column, target in said["columns"].items()]
    if said["unused_columns"]:
        lines.append(f"  not used: {', '.join(said['unused_columns'])}")
    for one in said["verdicts"]:
        lines.append(": ".join(filter(None, [f"{one['verdict']} {one['count']}", one["reason"]])))
        lines += [f"  {text}" for text in one["examples"]]
    if said["not_understood"]:
        lines.append("not understood:")
    for one in said["not_understood"]:
        lines.append(f"  {one['count']} x {one['field']} {one['text']!r}: {one['add']}")
    if said["in_stock_now"]:
        lines.append(f"{said['in_stock_now']} of the variants are in stock now")
    ends = datetime.now() + timedelta(seconds=said["seconds"])
    intents = f"{said['send']} intent{'s' * (said['send'] != 1)}"
    lines.append(f"would send {intents}, until {ends:%Y-%m-%d %H:%M}")
    return "\n".join([*lines, *said["notes"]])
