"""The command ``stoqapp import``."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from stoqapp.commands.common import (
    DONE,
    INTERRUPTED,
    LEDGER,
    STOPPED,
    TO_MEND,
    USAGE,
    complaints,
    parser_for,
)
from stoqapp.commands.progress import preview_text, progress, summary_text
from stoqapp.terminal import complain, mention, show

if TYPE_CHECKING:
    from stoqapp import AsyncStoq
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.plan import Plan
    from stoqapp.bulk.read import Source
    from stoqapp.bulk.send import Drained

SHARE: Final = 0.9
_CONNECTIONS: Final = 100
_EPILOG: Final = """\
examples:
  stoqapp import waitlist.csv --shop demo --plan
  stoqapp import waitlist.csv --shop demo --catalog catalog.jsonl --share 0.5
  stoqapp import waitlist.csv --shop demo --map "Var ID=variant" --value status:Active=waiting

exit codes:
  0    every row was sent, was on the list already, or was rightly skipped; or only planned
  1    stopped early: the message says why; run the same command again to go on
  2    usage, or a file that cannot be used: nothing was sent
  3    done, and some rows need a person: see FILE.rejected.csv and stoqapp ledger rejected
  130  interrupted; run the same command again to go on
"""
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


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name a function as ``run``."""
    help_ = "put the people of a file on waitlists, and lose none"
    parser = parser_for(commands, "import", help_, _EPILOG)
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


def _run_import(arguments: argparse.Namespace) -> int:
    with complaints("stoqapp import") as codes, ExitStack() as stack:
        codes.append(_import(arguments, stack))
    return codes[-1]


def _import(arguments: argparse.Namespace, stack: ExitStack) -> int:
    from stoqapp import AsyncStoq, Budget, HttpOptions
    from stoqapp.bulk.files import open_private, write_rejected, write_template, write_verdicts
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.preview import preview

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
        write_verdicts(arguments.rows, plan)
    write_rejected(arguments.file, plan)
    said = preview(plan, source, mapping, share)
    show(json.dumps({"event": "preview", **said}) if arguments.json else preview_text(said))
    if arguments.template is not None:
        write_template(arguments.template, plan)
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
    from stoqapp.bulk.documents import ImportFileError
    from stoqapp.bulk.exclude import excluded_from_file
    from stoqapp.bulk.judge import Choices
    from stoqapp.bulk.plan import plan
    from stoqapp.bulk.read import open_source

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
    from stoqapp.bulk.files import write_rejected
    from stoqapp.bulk.ledger import LedgerError

    total = sum(plan.left().values())
    counts: Counter[str] = Counter()
    interrupted = False
    failure = ""
    ledger.begin()
    total = min(total, arguments.limit or total)
    with progress(total, seconds, counts, as_json=arguments.json) as advance:

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
    write_rejected(arguments.file, plan)
    show(json.dumps({"event": "summary", **summary}) if arguments.json else summary_text(summary))
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
