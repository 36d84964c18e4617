"""The commands ``stoqapp catalog`` and ``stoqapp ledger``."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stoqapp.commands.common import DONE, LEDGER, USAGE, complaints, parser_for
from stoqapp.terminal import complain, show

if TYPE_CHECKING:
    from stoqapp.bulk.ledger import Ledger

_EXIT_CODES: Final = """\
exit codes:
  0    done
  1    the command failed: the message says why
  2    usage, or a file that cannot be used
"""
_CATALOG_EXAMPLES: Final = """\
examples:
  stoqapp catalog --shop demo -o catalog.jsonl

"""
_LEDGER_EXAMPLES: Final = """\
examples:
  stoqapp ledger show
  stoqapp ledger show --html report.html
  stoqapp ledger rejected --ledger stoqapp.ledger

"""


def add_catalog_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``catalog`` to the commands of ``stoqapp``; its arguments name a function as ``run``."""
    catalog = parser_for(
        commands,
        "catalog",
        "write a shop's published variants to a file",
        _CATALOG_EXAMPLES + _EXIT_CODES,
    )
    catalog.set_defaults(run=_run_catalog)
    catalog.add_argument("--shop", required=True, help="the shop: demo, demo.myshopify.com or URL")
    catalog.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="where to"
    )
    catalog.add_argument("--storefront-url", metavar="URL", help="in place of https://SHOP")


def add_ledger_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add ``ledger`` to the commands of ``stoqapp``; its arguments name a function as ``run``."""
    ledger = parser_for(
        commands, "ledger", "look at what became of an import", _LEDGER_EXAMPLES + _EXIT_CODES
    )
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


def _run_catalog(arguments: argparse.Namespace) -> int:
    with complaints("stoqapp catalog") as codes:
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
    with complaints("stoqapp ledger") as codes:
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
