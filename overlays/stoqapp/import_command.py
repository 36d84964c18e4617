"""The commands ``stoqapp import``, ``stoqapp catalog`` and ``stoqapp ledger``."""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from stoqapp.terminal import complain, mention, show

if TYPE_CHECKING:
    from stoqapp import AsyncStoq
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.plan import Plan
    from stoqapp.bulk.read import Source
    from stoqapp.bulk.send import Drained

DONE: Final = 0
STOPPED: Final = 1
USAGE: Final = 2
TO_MEND: Final = 3
INTERRUPTED: Final = 130
LEDGER: Final = "stoqapp.ledger"
SHARE: Final = 0.9
_ROW: Final = ("line", "verdict", "reason", "shop", "body")
_LINE_EVERY_SECONDS: Final = 10.0
_CONNECTIONS: Final = 100
_EXAMPLES: Final = {
    "import": """\
examples:
  stoqapp import waitlist.csv --shop demo --plan
  stoqapp import waitlist.csv --shop demo --catalog catalog.jsonl --share 0.5
  stoqapp import waitlist.csv --shop demo --map "Var ID=variant" --value status:Active=waiting
""",
    "catalog": """\
examples:
  stoqapp catalog --shop demo -o catalog.jsonl
""",
    "ledger": """\
examples:
  stoqapp ledger show
  stoqapp ledger show --html report.html
  stoqapp ledger rejected --ledger stoqapp.ledger
""",
}
_SHORT_EXIT_CODES: Final = """\
exit codes:
  0    done
  1    the command failed: the message says why
  2    usage, or a file that cannot be used
"""
_EXIT_CODES: Final = """\
exit codes:
  0    every row was sent, was on the list already, or was rightly skipped; or only planned
  1    stopped early: the message says why; run the same command again to go on
  2    usage, or a file that cannot be used: nothing was sent
  3    done, and some rows need a person: see FILE.rejected.csv and stoqapp ledger rejected
  130  interrupted; run the same command again to go on
"""


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the commands to those of ``stoqapp``; their arguments name a function as ``run``."""
    _add_import(commands)
    catalog = _parser(commands, "catalog", "write a shop's published variants to a file")
    catalog.set_defaults(run=_run_catalog)
    catalog.add_argument("--shop", required=True, help="the shop: demo, demo.myshopify.com or URL")
    catalog.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="where to"
    )
    catalog.add_argument("--storefront-url", metavar="URL", help="in place of https://SHOP")
    ledger = _parser(commands, "ledger", "look at what became of an import")
    ledger.set_defaults(run=_run_ledger)
    ledger.add_argument(
        "action",
        choices=("show", "rejected", "purge"),
        help="counts; rows that STOQ refused; delete the ledger, which forgets what was sent",
    )
    ledger.add_argument(
        "--ledger",
        type=Path,
        default=Path(LEDGER),
        metavar="FILE",
        help="the ledger (default: %(default)s)",
    )
    ledger.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="with show: write one page, without personal data, to hand on",
    )
    ledger.add_argument("--json", action="store_true", help="print JSON")
    ledger.add_argument("--yes", action="store_true", help="with purge: do not ask")


_FLAGS: Final = {
    "--plan": "show the preview and stop",
    "--yes": "do not ask before sending",
    "--json": "print one JSON object a line: preview, progress, summary",
    "--dayfirst": "03/09/2026 is in September",
    "--monthfirst": "03/09/2026 is in March",
}
_REPEATED: Final = {
    "--map": ("COLUMN=FIELD", "what a column is; '-' leaves it out; repeatable"),
    "--value": ("FIELD:TEXT=VALUE", "what a text means, like status:Active=waiting; repeatable"),
    "--set": ("FIELD=VALUE", "a value for rows that have none, like country=us; repeatable"),
}
_FILES: Final = {
    "--catalog": "the shop's variants, see stoqapp catalog",
    "--exclude": "people not to import: e-mail addresses and phone numbers",
    "--mapping": "a mapping in TOML (default: the preset that fits the columns)",
    "--write-mapping": "write the mapping that is used, as TOML",
    "--template": "write what would be sent in STOQ's own import template, and stop; STOQ's upload"
    " of it takes dates, too",
    "--rows": "write every verdict, with its request, as JSON Lines",
    "--ledger": f"the ledger (default: {LEDGER} beside FILE)",
}
_OTHERS: Final[dict[str, dict[str, Any]]] = {
    "--shop": {"help": "the shop of rows that name none ($STOQ_SHOP)"},
    "--base-url": {"help": "where the API is ($STOQ_BASE_URL)"},
    "--encoding": {"help": "of a text that is not UTF-8, like cp1252"},
    "--match": {
        "choices": ("id", "sku", "title"),
        "help": "what says which variant (default: the id, else the SKU, else the titles)",
    },
    "--channel": {
        "choices": ("email", "sms", "both"),
        "help": "for rows with an e-mail address and a phone number",
    },
    "--since": {"metavar": "DATE", "help": "leave out older rows, like 2026-01-31"},
    "--share": {
        "type": float,
        "help": f"part of the rate budget to use, above 0 up to 1 (default: {SHARE}; a sandbox on"
        " this machine is not paced)",
    },
    "--limit": {"type": int, "metavar": "N", "help": "send at most so many intents"},
}


def _add_import(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = _parser(commands, "import", "put the people of a file on waitlists, and lose none")
    parser.set_defaults(run=_run_import)
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, .xlsx, JSON or JSON Lines")
    for option, keywords in _OTHERS.items():
        parser.add_argument(option, **keywords)
    for option, explanation in _FLAGS.items():
        parser.add_argument(option, action="store_true", help=explanation)
    for option, explanation in _FILES.items():
        parser.add_argument(option, type=Path, metavar="FILE", help=explanation)
    for option, (form, explanation) in _REPEATED.items():
        parser.add_argument(option, action="append", default=[], metavar=form, help=explanation)


def _parser(commands: Any, name: str, help_: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_,
        description=f"{help_.capitalize()}. Needs the extra: pip install 'stoqapp[bulk]'.",
        epilog=f"{_EXAMPLES[name]}\n{_EXIT_CODES if name == 'import' else _SHORT_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


@contextmanager
def _complaints(command: str) -> Iterator[list[int]]:
    """Print what goes wrong, and put the exit code into the list."""
    from stoqapp.errors import ConfigurationError, InvalidIntentError, StoqError

    codes: list[int] = []
    try:
        yield codes
    except StoqError as error:
        from stoqapp.bulk.read import ImportFileError

        complain(command, str(error))
        usage = isinstance(error, ImportFileError | ConfigurationError | InvalidIntentError)
        codes.append(USAGE if usage else STOPPED)
    except ModuleNotFoundError as error:
        complain(command, f"{error.name} is missing: pip install 'stoqapp[bulk]'")
        codes.append(USAGE)
    except OSError as error:
        complain(command, f"{error.filename} cannot be written: {error.strerror}")
        codes.append(STOPPED)
    except sqlite3.Error as error:
        complain(command, f"a temporary file failed ({error}): set SQLITE_TMPDIR to a folder")
        codes.append(STOPPED)


def _run_import(arguments: argparse.Namespace) -> int:
    with _complaints("stoqapp import") as codes, ExitStack() as stack:
        codes.append(_import(arguments, stack))
    return codes[-1]


def _import(arguments: argparse.Namespace, stack: ExitStack) -> int:
    from stoqapp import AsyncStoq, Budget, HttpOptions
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.preview import open_private, preview, template_lines, write_lines

    shop = arguments.shop or os.environ.get("STOQ_SHOP") or None
    # The client's own shop does not matter where a column names the shops.
    client = AsyncStoq(
        shop or "import.myshopify.com",
        base_url=arguments.base_url,
        http=HttpOptions(max_connections=_CONNECTIONS),
    )
    if client.budget is not None or arguments.share is not None:
        share = SHARE if arguments.share is None else arguments.share
        client = client.with_options(budget=Budget(share=share))
    else:
        share = None
    path = arguments.ledger or arguments.file.parent / LEDGER
    only_plan = arguments.plan or arguments.template is not None
    ledger = None
    if not only_plan or path.exists():
        ledger = stack.enter_context(Ledger(path, read_only=only_plan))
    source, mapping, plan = _planned(arguments, client, shop and client.shop, ledger)
    stack.callback(plan.close)
    if ledger is not None:
        ledger.load(plan, arguments.file.name, limit=arguments.limit)
    if arguments.write_mapping is not None:
        with open_private(arguments.write_mapping) as file:
            file.write(mapping.to_toml(source.columns))
    if arguments.rows is not None:
        _write_rows(arguments.rows, plan)
    _write_rejected(arguments.file, plan)
    said = preview(plan, source, mapping, share)
    show(json.dumps({"event": "preview", **said}) if arguments.json else _preview_text(said))
    if arguments.template is not None:
        write_lines(arguments.template, template_lines(plan))
        mention(f"wrote {arguments.template}: upload it in STOQ, under Back in stock, Import")
    if only_plan or ledger is None:
        return DONE
    if said["send"] and not _agreed(arguments, plan, client):
        return USAGE
    return _send(arguments, plan, ledger, client, said["seconds"])


def _planned(
    arguments: argparse.Namespace, client: "AsyncStoq", shop: str | None, ledger: "Ledger | None"
) -> "tuple[Source, Any, Plan]":
    from stoqapp.bulk import mapping as mappings
    from stoqapp.bulk.catalog import catalog_from_file
    from stoqapp.bulk.cells import UnusableCell, moment
    from stoqapp.bulk.exclude import excluded_from_file
    from stoqapp.bulk.judge import Choices
    from stoqapp.bulk.plan import plan
    from stoqapp.bulk.read import ImportFileError, open_source

    options = mappings.mapping_from_options(arguments.map, arguments.value, arguments.set)
    given = arguments.mapping and mappings.mapping_from_file(arguments.mapping)
    known = given.merged(options) if given else options
    source = open_source(arguments.file, known.known, encoding=arguments.encoding)
    base = given or mappings.preset_for(source.columns) or mappings.ColumnMapping()
    mapping = base.merged(options)
    since = None
    if arguments.since is not None:
        try:
            since = moment(arguments.since).day_first
        except UnusableCell:
            raise ImportFileError("--since must be a date like 2026-01-31") from None
    if arguments.dayfirst and arguments.monthfirst:
        raise ImportFileError("give --dayfirst or --monthfirst, not both")
    first = "day-first" if arguments.dayfirst else "month-first" if arguments.monthfirst else None
    choices = Choices(
        shop=shop,
        channel=arguments.channel,
        match=arguments.match,
        excluded=excluded_from_file(arguments.exclude) if arguments.exclude else frozenset(),
        since=since,
        dates=first,
        target=client.budget_key.partition("@")[2],
        **({"salt": ledger.salt} if ledger else {}),
    )
    catalog = catalog_from_file(arguments.catalog) if arguments.catalog else None
    return source, mapping, plan(source, mapping, catalog, choices)


def _write_rows(path: Path, plan: "Plan") -> None:
    from stoqapp.bulk.preview import open_private

    with open_private(path) as file:
        for one in plan:
            row = {name: getattr(one, name) for name in _ROW}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_rejected(file: Path, plan: "Plan") -> None:
    from stoqapp.bulk.preview import write_lines

    path = file.with_name(f"{file.name}.rejected.csv")
    lines = (
        [*texts, str(line), f"{reason}: {advice}"]
        for line, reason, advice, texts in plan.rejected()
    )
    first = next(lines, None)
    if first is not None:
        head = [*plan.columns, "stoqapp line", "stoqapp reason"]
        write_lines(path, (line for part in ([head, first], lines) for line in part))
    else:
        path.unlink(missing_ok=True)


def _agreed(arguments: argparse.Namespace, plan: "Plan", client: "AsyncStoq") -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        complain("stoqapp import", "nothing was sent: add --yes to send without being asked")
        return False
    left = plan.left()
    count = min(sum(left.values()), arguments.limit or sum(left.values()))
    where = next(iter(left)) if len(left) == 1 else f"{len(left)} shops"
    target = client.budget_key.partition("@")[2] or "STOQ"
    mention(f"Send {count} intents for {where} to {target}? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _send(
    arguments: argparse.Namespace,
    plan: "Plan",
    ledger: "Ledger",
    client: "AsyncStoq",
    seconds: float,
) -> int:
    from stoqapp.bulk.ledger import LedgerError

    total = sum(plan.left().values())
    counts: Counter[str] = Counter()
    interrupted = False
    failure = ""
    ledger.begin()
    total = min(total, arguments.limit or total)
    with _progress(arguments, total, seconds, counts) as advance:

        def on_outcome(_: Any, outcome: Any) -> None:
            counts["left" if outcome is None else outcome.state] += 1
            advance()

        try:
            drained, interrupted = asyncio.run(_drain(ledger, client, on_outcome))
            failure = "; ".join(
                f"{shop}: {kind}" if shop else kind for shop, kind in drained.stopped.items()
            )
        except LedgerError as error:
            failure = str(error)
        except asyncio.CancelledError:
            interrupted = True
    summary = _summary(plan, counts)
    try:
        ledger.end(summary)
    except LedgerError as error:
        failure = failure or str(error)
    _write_rejected(arguments.file, plan)
    show(json.dumps({"event": "summary", **summary}) if arguments.json else _summary_text(summary))
    if failure:
        complain("stoqapp import", f"stopped: {failure}. Run the same command again to go on")
        return STOPPED
    if interrupted:
        complain("stoqapp import", "interrupted: run the same command again to go on")
        return INTERRUPTED
    return TO_MEND if summary["rejected"] or summary["unknown"] else DONE


async def _drain(
    ledger: "Ledger", client: "AsyncStoq", on_outcome: Callable[[Any, Any], None]
) -> "tuple[Drained, bool]":
    """Drain the ledger; a first signal lets what is in flight end, a second one does not."""
    from stoqapp.bulk.send import drain_async

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = cast("asyncio.Task[Any]", asyncio.current_task())

    # What the next signal does: the first stops, every other one ends.
    actions: Iterator[Callable[[], object]] = chain([stop.set], repeat(task.cancel))

    def interrupt(*_: Any) -> None:
        action = next(actions)
        if action == stop.set:
            mention("finishing what is in flight; press Ctrl-C again to end at once")
        loop.call_soon_threadsafe(action)

    before = {one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    asked = False
    try:
        async with client:
            drained = await drain_async(ledger, client, on_outcome=on_outcome, stop=stop)
        asked = stop.is_set() and not drained.stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return drained, asked


@contextmanager
def _progress(
    arguments: argparse.Namespace, total: int, seconds: float, counts: Mapping[str, int]
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

    if not arguments.json and sys.stderr.isatty():
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
            if arguments.json:
                show(json.dumps({"event": "progress", **said()}))
            else:
                mention(text())

    yield line


def _summary(plan: "Plan", counts: Mapping[str, int]) -> dict[str, int]:
    """Return what became of every verdict; the numbers add up to ``read``."""
    verdicts: Counter[str] = Counter()
    before = 0
    for (verdict, reason), count in plan.counts().items():
        verdicts[verdict] += count
        before += count if reason == "sent_before" else 0
    sent, there = counts.get("sent", 0), counts.get("there", 0)
    return {
        "read": verdicts.total(),
        "sent": sent,
        "already_there": there + before,
        "rejected": verdicts["reject"],
        "skipped": verdicts["skip"] - before,
        "unknown": verdicts["taken"] - sent - there,
        "left": verdicts["send"],
    }


def _summary_text(summary: Mapping[str, int]) -> str:
    parts = [f"{name.replace('_', ' ')} {count}" for name, count in summary.items()]
    return f"{parts[0]} = {' + '.join(parts[1:])}"


def _preview_text(said: Mapping[str, Any]) -> str:
    read = said["read"]
    about = [f"{said['rows']} rows", read["encoding"], read["delimiter"] and "cells parted by "]
    about[-1] = about[-1] and about[-1] + repr(read["delimiter"])
    about += [read["dates"] and f"dates {read['dates']}", read["note"]]
    lines = [f"{said['file']}: {', '.join(filter(None, about))}", f"columns ({said['mapping']}):"]
    lines += [f"  {column} = {target}" for column, target in said["columns"].items()]
    if said["unused_columns"]:
        lines.append(f"  not used: {', '.join(said['unused_columns'])}")
    for one in said["verdicts"]:
        lines.append(": ".join(filter(None, [f"{one['verdict']} {one['count']}", one["reason"]])))
        lines += [f"  {text}" for text in map(_example, one["examples"])]
    if said["not_understood"]:
        lines.append("not understood:")
    for one in said["not_understood"]:
        lines.append(f"  {one['field']} {one['text']!r}, {one['count']} times: {one['add']}")
    if said["in_stock_now"]:
        lines.append(f"{said['in_stock_now']} of the variants are in stock now")
    ends = datetime.now() + timedelta(seconds=said["seconds"])
    lines.append(f"would send {said['send']} intents, until {ends:%Y-%m-%d %H:%M}")
    return "\n".join([*lines, *said["notes"]])


def _example(one: Mapping[str, Any]) -> str:
    if "intent" not in one:
        return ": ".join(filter(None, [f"line {one['line']}", one["advice"]]))
    intent = one["intent"]
    what = f"{intent['quantity']} of variant {intent['variant']} {intent['product']}".strip()
    return f"line {one['line']}: {intent['channel']} {intent['contact']}: {what}"


def _run_catalog(arguments: argparse.Namespace) -> int:
    with _complaints("stoqapp catalog") as codes:
        from stoqapp.bulk.catalog import pages_of_shop
        from stoqapp.readers import shop_from

        storefront = arguments.storefront_url or f"https://{shop_from(arguments.shop).value}"
        partial = arguments.output.with_name(f"{arguments.output.name}.part")
        products = variants = 0
        with partial.open("w", encoding="utf-8") as file:
            for page in pages_of_shop(storefront.rstrip("/")):
                file.write(page.text + "\n")
                products, variants = products + page.products, variants + page.variants
        partial.replace(arguments.output)
        show(f"{variants} variants of {products} published products in {arguments.output}")
        codes.append(DONE)
    return codes[-1]


def _run_ledger(arguments: argparse.Namespace) -> int:
    with _complaints("stoqapp ledger") as codes:
        from stoqapp.bulk.ledger import Ledger

        if arguments.action == "purge":
            codes.append(_purge(arguments))
            return codes[-1]
        with Ledger(arguments.ledger, read_only=True) as ledger:
            if arguments.action == "rejected":
                _show_refused(ledger, as_json=arguments.json)
            elif arguments.html is not None:
                from stoqapp.bulk.report import report_page

                arguments.html.write_text(report_page(ledger), encoding="utf-8")
                show(f"wrote {arguments.html}")
            else:
                states = ledger.states()
                lines = [f"{state}: {count}" for state, count in states.items()]
                show(json.dumps(states) if arguments.json else "\n".join(lines) or "empty")
        codes.append(DONE)
    return codes[-1]


def _show_refused(ledger: "Ledger", *, as_json: bool) -> None:
    from attrs import asdict

    for one in ledger.refused():
        show(
            json.dumps(asdict(one))
            if as_json
            else f"{one.file} line {one.line}: {one.shop} variant {one.variant}:"
            f" {one.status} {one.error}"
        )


def _purge(arguments: argparse.Namespace) -> int:
    from stoqapp.bulk.ledger import Ledger

    if not arguments.yes:
        complain("stoqapp ledger", "a later import could send rows again: add --yes to delete it")
        return USAGE
    # Whoever works on it has it locked.
    Ledger(arguments.ledger).close()
    for end in ("", "-wal", "-shm", "-lock"):
        Path(f"{arguments.ledger}{end}").unlink(missing_ok=True)
    show(f"deleted {arguments.ledger}")
    return DONE
