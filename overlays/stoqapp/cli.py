"""The command line ``stoqapp``: arguments in, exit code out."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from attrs import asdict

from stoqapp.client import Stoq
from stoqapp.errors import (
    AnswerError,
    BudgetUnavailableError,
    ConfigurationError,
    IntentRefusedError,
    InvalidIntentError,
    NotSentError,
    RateLimitedError,
    StoqError,
)
from stoqapp.outcomes import IntentCreated
from stoqapp.sandbox import command as sandbox
from stoqapp.settings import MAX_RETRIES, TOTAL_TIMEOUT_SECONDS
from stoqapp.verify import command as verify
from stoqapp.version import __version__

CREATED: Final = 0
FAILED: Final = 1
BROKEN_RULE: Final = 2
REFUSED: Final = 3
NOT_SENT: Final = 4
UNKNOWN: Final = 5
RATE_LIMITED: Final = 6
INTERRUPTED: Final = 130

_EXIT_CODES: Final = """\
exit codes:
  0    created: the intent is on the list
  1    the command itself failed
  2    usage, or a broken rule: nothing was sent
  3    refused by the service (200 with errors, 4xx): not on the list
  4    not sent: no connection came about
  5    outcome unknown: no answer, or one that does not tell (5xx, any other status)
  6    rate limited: not on the list; send again later
  130  interrupted; the intent may be on the list
"""

_TEXT_OPTIONS: Final = {
    "variant": "the variant: number or gid://shopify/ProductVariant/123 (required)",
    "product": "its product: number or gid://shopify/Product/456 (required)",
    "email": "the customer's email address",
    "phone": "the customer's phone number, with + and country code, or national with --country",
    "push": "the customer's push token",
    "channel": "email, sms or push; may be left out when one contact is given",
    "market": "Shopify market of the intent: number or gid://shopify/Market/789",
    "name": "the customer's name",
    "country": "the customer's country, two letters",
    "country-code": "country code of the customer's phone number",
    "locale": "the customer's locale",
    "customer-id": "the customer's STOQ id, from an earlier answer",
    "customer-market": "Shopify market of the customer",
    "shopify-customer-id": "the customer's Shopify id, number or gid",
    "product-title": "title of the product",
    "variant-title": "title of the variant",
    "vendor": "the product's vendor",
    "sku": "the variant's SKU",
}
_NUMBER_OPTIONS: Final = {
    "quantity": "how many the customer wants (default: 1)",
    "variant-count": "how many variants the product has",
}


class _UsageError(Exception):
    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser = parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(self, message)


def _without_values(message: str, words: Sequence[str]) -> str:
    """Return argparse's *message* without what was typed, which can be a person's data."""
    values = {part for word in words for part in (word, word.partition("=")[2])}
    for value in sorted(values, key=len, reverse=True):
        if value and not value.startswith("-"):
            message = message.replace(value, "...")
    return message


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(
        prog="stoqapp",
        description="Put customers on the back-in-stock waitlists of STOQ (unofficial).",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stoqapp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    create = commands.add_parser(
        "create",
        help="put one customer on the waitlist of one variant",
        description="Put one customer on the waitlist of one variant.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    create.set_defaults(run=_create)
    create.add_argument("--shop", help="the shop: demo, demo.myshopify.com or URL ($STOQ_SHOP)")
    for name, explanation in _TEXT_OPTIONS.items():
        create.add_argument(f"--{name}", required="(required)" in explanation, help=explanation)
    for name, explanation in _NUMBER_OPTIONS.items():
        create.add_argument(f"--{name}", type=_whole_number, metavar="N", help=explanation)
    create.add_argument(
        "--accepts-marketing",
        action=argparse.BooleanOptionalAction,
        help="whether the customer agreed to the shop's emails",
    )
    create.add_argument("--base-url", help="where the API is ($STOQ_BASE_URL)")
    create.add_argument("--timeout", metavar="SECONDS", help="time to wait ($STOQ_TIMEOUT)")
    create.add_argument(
        "--total-timeout",
        default=TOTAL_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="time for all attempts and waits together (default: %(default)g)",
    )
    create.add_argument(
        "--max-retries",
        type=_whole_number,
        default=MAX_RETRIES,
        metavar="N",
        help="how often to try again what was certainly not carried out (default: %(default)s)",
    )
    create.add_argument(
        "--retry-unknown",
        action="store_true",
        help="try again what may have been carried out, too",
    )
    create.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    sandbox.add_to(commands)
    verify.add_to(commands)
    return parser


def _arguments_from(words: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        options = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        what = f"unknown option {', '.join(options)}" if options else "a stray argument"
        parser.error(f"{what}; see stoqapp {arguments.command} --help")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: the process's arguments) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _arguments_from(words)
    except _UsageError as error:
        error.parser.print_usage(sys.stderr)
        print(f"{error.parser.prog}: {_without_values(str(error), words)}", file=sys.stderr)
        return BROKEN_RULE
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED


def _create(arguments: argparse.Namespace) -> int:
    names = [name.replace("-", "_") for name in (*_TEXT_OPTIONS, *_NUMBER_OPTIONS)]
    given = {name: getattr(arguments, name) for name in (*names, "accepts_marketing")}
    fields = {name: value for name, value in given.items() if value is not None}
    try:
        with Stoq(
            arguments.shop,
            base_url=arguments.base_url,
            timeout=arguments.timeout,
            total_timeout=arguments.total_timeout,
            max_retries=arguments.max_retries,
            retry_unknown=arguments.retry_unknown,
        ) as stoq:
            created = stoq.subscribe(**fields)
    except StoqError as error:
        code, outcome = _outcome_of(error)
        print(f"stoqapp create: {error}", file=sys.stderr)
        if arguments.json:
            _print_json(_report_of_error(error, outcome))
        return code
    except KeyboardInterrupt:
        print("stoqapp create: interrupted; the intent may be on the list", file=sys.stderr)
        return INTERRUPTED
    if arguments.json:
        _print_json(_report_of_created(created))
    else:
        _print_created(created)
    return CREATED


def _outcome_of(error: StoqError) -> tuple[int, str]:
    """Return the exit code for *error*, and the word for it."""
    if error.carried_out is None:
        return UNKNOWN, "unknown"
    if isinstance(error, InvalidIntentError | ConfigurationError):
        return BROKEN_RULE, "invalid"
    if isinstance(error, NotSentError | BudgetUnavailableError):
        return NOT_SENT, "not sent"
    if isinstance(error, RateLimitedError):
        return RATE_LIMITED, "rate limited"
    if isinstance(error, IntentRefusedError):
        return REFUSED, "refused"
    return UNKNOWN, "unknown"


def _report_of_error(error: StoqError, outcome: str) -> dict[str, Any]:
    report: dict[str, Any] = {
        "outcome": outcome,
        "carried_out": error.carried_out,
        "error": type(error).__name__,
        "attempts": error.attempts,
    }
    if isinstance(error, InvalidIntentError):
        report["violations"] = [asdict(violation) for violation in error.violations]
    if isinstance(error, AnswerError):
        report |= {"status": error.status, "messages": error.messages}
    return report


def _report_of_created(created: IntentCreated) -> dict[str, Any]:
    return {
        "outcome": "created",
        "carried_out": True,
        "status": created.answer.status,
        "attempts": created.attempts,
        "confirmed_by_duplicate": created.confirmed_by_duplicate,
        "intents": [intent.to_dict() for intent in created.intents],
        "messages": created.messages,
        "changes": [asdict(change) for change in created.changes],
    }


def _print_json(report: dict[str, Any]) -> None:
    print(json.dumps(report, indent=2))


def _print_created(created: IntentCreated) -> None:
    ids = [str(intent["id"]) for intent in created.intents if "id" in intent]
    print(f"created{': intent ' if ids else ''}{', '.join(ids)}")
    for change in created.changes:
        print(f"  {change.path}: {change.deed}")
    if created.messages:
        print(f"  the service said more, in {len(created.messages)} message(s): see --json")
