"""The commands ``stoqapp catalog`` and ``stoqapp ledger``."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from stoqapp.commands import bulk_extra
from stoqapp.commands.importing import DONE, EXTRA, LEDGER, USAGE
from stoqapp.errors import ConfigurationError
from stoqapp.terminal import complain, show

_EPILOG: Final = """\
examples:
  {}

exit codes:
  0    done
  1    the command failed: the message says why
  2    usage, or a file that cannot be used
"""


def add_catalog_to(commands: Any) -> None:
    """Add ``catalog`` to the commands of ``stoqapp``; its arguments name a function as ``run``."""
    help_ = "write a shop's published variants to a file"
    catalog = commands.add_parser(
        "catalog",
        help=help_,
        description=f"{help_.capitalize()}, for stoqapp import --catalog. {EXTRA}",
        epilog=_EPILOG.format("stoqapp catalog --shop demo -o catalog.jsonl"),
    )
    catalog.set_defaults(run=_run_catalog)
    catalog.add_argument("--shop", required=True, help="the shop: demo, demo.myshopify.com or URL")
    catalog.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="the catalog to write"
    )
    catalog.add_argument("--storefront-url", metavar="URL", help="in place of https://SHOP")


def add_ledger_to(commands: Any) -> None:
    """Add ``ledger`` to the commands of ``stoqapp``; its arguments name a function as ``run``."""
    examples = ("show", "show --html report.html", f"rejected --ledger {LEDGER}")
    help_ = "look at what became of an import"
    ledger = commands.add_parser(
        "ledger",
        help=help_,
        description=f"{help_.capitalize()}. {EXTRA}",
        epilog=_EPILOG.format("\n  ".join(f"stoqapp ledger {one}" for one in examples)),
    )
    ledger.set_defaults(run=_run_ledger)
    ledger.add_argument(
        "action",
        choices=("show", "rejected", "purge"),
        help="show: print how many intents are in each state; rejected: print the rows that STOQ"
        " refused; purge: delete the ledger, which forgets what was sent",
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
    ledger.add_argument("--yes", action="store_true", help="purge needs it")


def _refuse_foreign(path: Path, begins: bytes) -> None:
    """Refuse to overwrite a file that does not begin as the one to be written does."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(begins)) != begins:
                raise ConfigurationError(f"would overwrite {path}: give another file")


@bulk_extra()
def _run_catalog(arguments: argparse.Namespace) -> int:
    from stoqapp.bulk.catalog import pages_of_shop
    from stoqapp.readers import shop_from

    _refuse_foreign(arguments.output, b'{"products"')
    storefront = arguments.storefront_url or f"https://{shop_from(arguments.shop)}"
    partial = arguments.output.with_name(f"{arguments.output.name}.part")
    products = variants = 0
    with partial.open("w", encoding="utf-8") as file:
        for page in pages_of_shop(storefront.rstrip("/")):
            file.write(json.dumps({"products": page}) + "\n")
            products += len(page)
            variants += sum(len(product["variants"]) for product in page)
    partial.replace(arguments.output)
    show(f"{variants} variants of {products} published products in {arguments.output}")
    return DONE


@bulk_extra()
def _run_ledger(arguments: argparse.Namespace) -> int:
    from stoqapp.bulk.ledger import Ledger

    if arguments.action == "purge":
        if not arguments.yes:
            complain("stoqapp ledger", "a later import could send rows again: give --yes, too")
            return USAGE
        # Refused where there is none.
        Ledger(arguments.ledger, read_only=True).close()
        Ledger(arguments.ledger).purge()
        show(f"deleted {arguments.ledger}")
        return DONE
    with Ledger(arguments.ledger, read_only=True) as ledger:
        if arguments.action == "rejected":
            for row in ledger.refused():
                told = "{file} line {line}: {shop} variant {variant}: {status} {error}"
                show(json.dumps(row) if arguments.json else told.format(**row))
        elif arguments.html is not None:
            from stoqapp.bulk.report import report_page

            _refuse_foreign(arguments.html, b"<!doctype html>")
            arguments.html.write_text(report_page(ledger), encoding="utf-8")
            show(f"wrote {arguments.html}")
        else:
            states = ledger.states()
            lines = [f"{state}: {count}" for state, count in states.items()]
            show(json.dumps(states) if arguments.json else "\n".join(lines) or "empty")
    return DONE
