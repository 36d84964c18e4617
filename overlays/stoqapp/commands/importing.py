"""The command ``stoqapp import``."""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stoqapp.commands import bulk_extra
from stoqapp.commands.progress import preview_text, progress, summary_text
from stoqapp.errors import ConfigurationError
from stoqapp.terminal import agreed, complain, mention, show

if TYPE_CHECKING:
    from stoqapp import AsyncStoq
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.plan import Plan

DONE: Final = 0
STOPPED: Final = 1
USAGE: Final = 2
TO_MEND: Final = 3
INTERRUPTED: Final = 130
LEDGER: Final = "stoqapp.ledger"
SHARE: Final = 0.9
EXTRA: Final = "Needs the extra: pip install 'stoqapp[bulk]'."
_COMMAND: Final = "stoqapp import"
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


def _date(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a date like 2026-01-31") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


_FLAG: Final[dict[str, Any]] = {"action": "store_true"}
_FILE: Final[dict[str, Any]] = {"type": Path, "metavar": "FILE"}
_DATES: Final[dict[str, Any]] = {"action": "store_const", "dest": "dates"}
_REPEATED: Final[dict[str, Any]] = {"action": "append", "default": []}
_OPTIONS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "--shop": ("the shop of rows that name none ($STOQ_SHOP)", {}),
    "--base-url": ("where the API is ($STOQ_BASE_URL)", {"metavar": "URL"}),
    "--plan": ("show the preview and stop", _FLAG),
    "--yes": ("do not ask before sending", _FLAG),
    "--json": ("print one JSON object a line: preview, progress, summary", _FLAG),
    "--encoding": ("of a text that is not UTF-8, like cp1252", {}),
    "--catalog": ("the shop's variants, see stoqapp catalog", _FILE),
    "--match": (
        "what says which variant (default: the id, else the SKU, else the titles)",
        {"choices": ("id", "sku", "title")},
    ),
    "--channel": (
        "for rows with an e-mail address and a phone number",
        {"choices": ("email", "sms", "both")},
    ),
    "--map": (
        "what a column is; '-' leaves it out; repeatable",
        _REPEATED | {"metavar": "COLUMN=FIELD"},
    ),
    "--value": (
        "what a text means, like status:Active=waiting; repeatable",
        _REPEATED | {"metavar": "FIELD:TEXT=VALUE"},
    ),
    "--set": (
        "a value for rows that have none, like country=us; repeatable",
        _REPEATED | {"metavar": "FIELD=VALUE"},
    ),
    "--mapping": ("a mapping in TOML (default: the preset that fits the columns)", _FILE),
    "--write-mapping": ("write the mapping that is used, as TOML", _FILE),
    "--exclude": ("people not to import: e-mail addresses and phone numbers", _FILE),
    "--since": ("leave out older rows, like 2026-01-31", {"type": _date, "metavar": "DATE"}),
    "--dayfirst": ("03/09/2026 is in September", _DATES | {"const": "day-first"}),
    "--monthfirst": ("03/09/2026 is in March", _DATES | {"const": "month-first"}),
    "--rows": ("write every verdict, with its request, as JSON Lines", _FILE),
    "--template": (
        "write what would be sent in STOQ's own import template, and stop; STOQ's upload of it"
        " takes dates, too",
        _FILE,
    ),
    "--share": (
        f"part of the rate budget to use, above 0 up to 1 (default: {SHARE}; a sandbox on this"
        " machine is not paced)",
        {"type": float},
    ),
    "--limit": ("send at most so many intents", {"type": _count, "metavar": "N"}),
    "--ledger": (f"the ledger (default: {LEDGER} beside FILE)", _FILE),
}


def add_to(commands: Any) -> None:
    """Add the command to those of ``stoqapp``; its arguments name a function as ``run``."""
    help_ = "put the people of a file on waitlists, and lose none"
    parser = commands.add_parser(
        "import",
        help=help_,
        description=f"{help_.capitalize()}. {EXTRA}",
        epilog=_EPILOG,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, .xlsx, JSON or JSON Lines")
    either = parser.add_mutually_exclusive_group()
    for option, (explanation, keywords) in _OPTIONS.items():
        group = either if option.endswith("first") else parser
        group.add_argument(option, help=explanation, **keywords)


@bulk_extra()
def _run(arguments: argparse.Namespace) -> int:
    with ExitStack() as stack:
        try:
            return _import(arguments, stack)
        except sqlite3.Error as error:
            complain(_COMMAND, f"a temporary file failed ({error}): set SQLITE_TMPDIR to a folder")
            return STOPPED


def _import(arguments: argparse.Namespace, stack: ExitStack) -> int:
    from stoqapp import AsyncStoq, Budget, HttpOptions
    from stoqapp.bulk.catalog import catalog_from_file
    from stoqapp.bulk.exclude import excluded_from_file
    from stoqapp.bulk.files import open_private, write_rejected, write_template, write_verdicts
    from stoqapp.bulk.judge import Choices
    from stoqapp.bulk.ledger import Ledger
    from stoqapp.bulk.mapping import mapping_for
    from stoqapp.bulk.plan import plan
    from stoqapp.bulk.preview import preview

    path = arguments.ledger or arguments.file.parent / LEDGER
    read = [getattr(arguments, name) for name in ("file", "mapping", "catalog", "exclude")]
    for option in ("rows", "template", "write_mapping", "ledger"):
        written = getattr(arguments, option)
        kept = read if option == "ledger" else [*read, path]
        if any(written and one and one.resolve() == written.resolve() for one in kept):
            name = option.replace("_", "-")
            raise ConfigurationError(f"--{name} would overwrite {written}: give another file")
    shop = arguments.shop or os.environ.get("STOQ_SHOP") or None
    # The client's own shop does not matter where a column names the shops.
    client = AsyncStoq(
        shop or "import.myshopify.com",
        base_url=arguments.base_url,
        http=HttpOptions(max_connections=_CONNECTIONS),
    )
    share = arguments.share
    if client.budget is not None or share is not None:
        share = SHARE if share is None else share
        try:
            client = client.with_options(budget=Budget(share=share))
        except ConfigurationError as error:
            raise ConfigurationError(f"--{error}") from None
    only_plan = arguments.plan or arguments.template is not None
    ledger = None
    if not only_plan or path.exists():
        ledger = stack.enter_context(Ledger(path, read_only=only_plan))
    options = (arguments.mapping, arguments.map, arguments.value, arguments.set)
    source, mapping = mapping_for(arguments.file, *options, encoding=arguments.encoding)
    choices = Choices(
        shop=shop and client.shop,
        channel=arguments.channel,
        match=arguments.match,
        excluded=excluded_from_file(arguments.exclude) if arguments.exclude else frozenset(),
        since=arguments.since,
        dates=arguments.dates,
        target=client.budget_key.partition("@")[2],
        salt=ledger.salt if ledger else b"",
    )
    catalog = catalog_from_file(arguments.catalog) if arguments.catalog else None
    planned = plan(source, mapping, catalog, choices)
    stack.callback(planned.close)
    if ledger is not None:
        ledger.load(planned, arguments.file.name)
    if arguments.limit is not None:
        planned.keep_oldest(arguments.limit)
    if arguments.write_mapping is not None:
        with open_private(arguments.write_mapping) as file:
            file.write(mapping.to_toml(source.columns))
    if arguments.rows is not None:
        write_verdicts(arguments.rows, planned)
    if earlier := write_rejected(arguments.file, planned, begins=True):
        mention(f"kept the rejects of an earlier run: {earlier}")
    said = preview(planned, source, mapping, share)
    show(json.dumps({"event": "preview", **said}) if arguments.json else preview_text(said))
    if arguments.template is not None:
        write_template(arguments.template, planned)
        mention(f"wrote {arguments.template}: upload it in STOQ, under Back in stock, Import")
    if only_plan or ledger is None:
        return DONE
    shops = planned.left()
    where = next(iter(shops)) if len(shops) == 1 else f"{len(shops)} shops"
    intents = f"{said['send']} intent{'s' * (said['send'] != 1)}"
    question = f"Send {intents} for {where} to {choices.target or 'STOQ'}?"
    if shops and not arguments.yes and not agreed(_COMMAND, question):
        return USAGE
    return _send(arguments, planned, ledger, client, (said["send"], said["seconds"]))


def _send(
    arguments: argparse.Namespace,
    plan: "Plan",
    ledger: "Ledger",
    client: "AsyncStoq",
    expected: tuple[int, float],
) -> int:
    from stoqapp.bulk.files import write_rejected
    from stoqapp.outbox import OutboxError

    counts: Counter[str] = Counter()
    interrupted = False
    failure = ""
    ledger.begin()
    with progress(*expected, counts, as_json=arguments.json) as advance:

        def on_outcome(_: Any, outcome: Any) -> None:
            counts["left" if outcome is None else outcome.state] += 1
            advance()

        try:
            stopped, interrupted = asyncio.run(_drain(ledger, client, on_outcome))
            failure = "; ".join(f"{shop}: {kind}".lstrip(": ") for shop, kind in stopped.items())
        except OutboxError as error:
            failure = str(error)
        except asyncio.CancelledError:
            interrupted = True
    summary = plan.summary()
    try:
        ledger.end(summary)
    except OutboxError as error:
        failure = failure or str(error)
    show(json.dumps({"event": "summary", **summary}) if arguments.json else summary_text(summary))
    write_rejected(arguments.file, plan)
    if failure:
        complain(_COMMAND, f"stopped: {failure}. Run the same command again to go on")
        return STOPPED
    if interrupted:
        complain(_COMMAND, "interrupted: run the same command again to go on")
        return INTERRUPTED
    return TO_MEND if summary["rejected"] or summary["unknown"] else DONE


async def _drain(ledger: "Ledger", client: "AsyncStoq", on_outcome: Any) -> tuple[Any, bool]:
    """Drain the ledger; a first signal lets what is in flight end, a second one does not.

    Return why it ended early, by shop, and whether a signal asked for it.
    """
    from stoqapp.bulk.send import drain_async

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task: Any = asyncio.current_task()
    signals: list[int] = []

    def interrupt(number: int, _: Any) -> None:
        signals.append(number)
        loop.call_soon_threadsafe(task.cancel if len(signals) > 1 else stop.set)
        if len(signals) == 1:
            mention("finishing what is in flight; press Ctrl-C again to end at once")

    before = {one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        async with client:
            drained = await drain_async(ledger, client, on_outcome=on_outcome, stop=stop)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return drained.stopped, bool(signals)
