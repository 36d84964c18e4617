"""The command ``stoqapp create``: options in, one intent, its outcome as text or JSON."""

import argparse
import json
import re
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final, get_args

from stoqapp.answers import IntentCreated
from stoqapp.cli.parser import Parser
from stoqapp.client import Stoq
from stoqapp.errors import (
    WORDS,
    IntentRefusedError,
    InvalidIntentError,
    RateLimitedError,
    ServerError,
    StoqError,
)
from stoqapp.inputs import INPUTS, Input
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.settings import MAX_RETRIES, TOTAL_TIMEOUT_SECONDS
from stoqapp.terminal import complain, mention, show

CREATED: Final = 0
FAILED: Final = 1
BROKEN_RULE: Final = 2
REFUSED: Final = 3
NOT_SENT: Final = 4
UNKNOWN: Final = 5
REFUSED_FOR_NOW: Final = 6
INTERRUPTED: Final = 130

EXIT_CODES: Final = """\
exit codes:
  0    created: the intent is on the list
  1    the command itself failed
  2    usage, or a broken rule: nothing was sent
  3    refused by the service (200 with errors, 4xx): nothing was created
  4    not sent: no connection was made, or the rate budget had no room in time
  5    outcome unknown: no answer, or a status that leaves it open (5xx, any other)
  6    refused for now (429, or 503 with Retry-After): not on the list; send again later
  130  interrupted (SIGINT or SIGTERM); the intent may be on the list
"""
_EXAMPLES: Final = """\
examples:
  stoqapp create --shop demo --variant 4711 --product 42 --email ada@example.com
  stoqapp create --shop demo --variant 4711 --product 42 --phone "+1 555 010 9999" --json
  printf 'ada@example.com' | stoqapp create --shop demo --variant 4711 --product 42 --email -
  stoqapp create --base-url http://127.0.0.1:8765/api/v1 --shop demo --variant 4711 \\
    --product 42 --email ada@example.com --max-retries 5 --retry-unknown

environment:
  STOQ_SHOP, STOQ_BASE_URL, STOQ_TIMEOUT  used where the option is not given
  STOQ_LOG                                debug, info, warning or error: logs on standard error

"""
# Arguments of `stoqapp.Stoq`, and what argparse is to know of their options.
_CLIENT_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "shop": {"help": "the shop: demo, demo.myshopify.com or URL ($STOQ_SHOP)"},
    "base_url": {"metavar": "URL", "help": "where the API is ($STOQ_BASE_URL)"},
    "timeout": {"metavar": "SECONDS", "help": "for each phase of an attempt ($STOQ_TIMEOUT)"},
    "total_timeout": {
        "metavar": "SECONDS",
        "default": TOTAL_TIMEOUT_SECONDS,
        "help": "for all attempts and waits together (default: %(default)g)",
    },
    "max_retries": {
        "metavar": "N",
        "type": int,
        "default": MAX_RETRIES,
        "help": "how often to retry what was certainly not carried out (default: %(default)s)",
    },
    "retry_unknown": {
        "action": "store_true",
        "help": "also retry what may have been carried out",
    },
}
_OPTIONS: Final = {
    name: f"--{name.replace('_', '-')}" for name in (*INPUTS, *_CLIENT_OPTIONS, "more")
}
_OPTION_OF_PATH: Final = _OPTIONS | {row.path: _OPTIONS[name] for name, row in INPUTS.items()}
# A name without an underscore is also a word of English, except at the beginning.
_PYTHON_NAME: Final = re.compile(
    rf"(?<![\w.])({'|'.join(name for name in _OPTIONS if '_' in name)})\b|\A(shop|timeout)\b"
)


def add_to(commands: Any) -> None:
    """Add the command to those of ``stoqapp``."""
    parser: Parser = commands.add_parser(
        "create",
        help="put one customer on the waitlist of one variant",
        description="Put one customer on the waitlist of one variant. The channel is inferred"
        " when only one contact is given. A contact that is '-' is read from standard input,"
        " one line.",
        usage="%(prog)s --variant ID --product ID (--email | --phone | --push) CONTACT [options]",
        epilog=_EXAMPLES + EXIT_CODES,
    )
    parser.set_defaults(run=run)
    for row in INPUTS.values():
        parser.add_argument(_OPTIONS[row.name], **_settings(row))
    parser.add_argument(
        "--more",
        metavar="FIELD=JSON",
        action="append",
        type=_field,
        default=[],
        help="another field of the API, by its path, like 'customer.locale=\"en\"'; repeatable",
    )
    for name, settings in _CLIENT_OPTIONS.items():
        parser.add_argument(_OPTIONS[name], **settings)
    parser.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    parser.add_argument(
        "--show-words",
        action="store_true",
        help="print what the service said, on standard error; it may repeat personal data",
    )


def _settings(row: Input) -> dict[str, Any]:
    """Return what argparse is to know of an input's option."""
    types = get_args(row.type) or (row.type,)
    if bool in types:
        return {"action": argparse.BooleanOptionalAction, "help": row.help}
    note = f" (default: {row.default})" if row.default is not None else ""
    settings: dict[str, Any] = {"help": f"{row.help}{' (required)' if row.required else note}"}
    if choices := [choice for part in types for choice in get_args(part)]:
        return settings | {"choices": choices, "type": str.lower}
    if row.name in CONTACT_OF_CHANNEL.values():
        return settings | {"type": _contact}
    return settings | ({"type": int} if int in types and str not in types else {})


def _contact(text: str) -> str:
    """Return *text*, or for ``-`` a line of standard input."""
    if text != "-":
        return text
    if line := sys.stdin.readline().strip() if sys.stdin else "":
        return line
    raise argparse.ArgumentTypeError("needs a line on standard input")


def _field(text: str) -> tuple[str, Any]:
    path, _, value = text.partition("=")
    try:
        return path, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be the path of a field and its value as JSON, like 'customer.locale=\"en\"'"
        ) from None


def run(arguments: argparse.Namespace) -> int:
    """Create the intent, print the outcome and return the exit code."""
    given = vars(arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Stoq(**{name: given[name] for name in _CLIENT_OPTIONS}) as stoq:
            fields = {name: given[name] for name in INPUTS}
            created = stoq.subscribe(**fields, more=dict(arguments.more))
    except StoqError as error:
        code, outcome = _outcome_of(error)
        text = _text_of(error)
        complain("stoqapp create", text)
        messages, report = error.messages, error.to_dict(personal_data=True) | {"message": text}
    except KeyboardInterrupt:
        code, outcome, messages = INTERRUPTED, "interrupted", ()
        text = "interrupted; the intent may be on the list"
        complain("stoqapp create", text)
        report = {"carried_out": None, "error": "KeyboardInterrupt", "message": text}
    else:
        code, outcome, messages = CREATED, "created", created.messages
        report = created.to_dict(personal_data=True)
        if not arguments.json:
            _print_created(created)
    finally:
        signal.signal(signal.SIGTERM, before)
    if messages and not arguments.show_words:
        mention("  --show-words prints what the service said")
    for message in messages if arguments.show_words else ():
        # Control characters could steer the terminal; repr() escapes them.
        mention(f"  the service said: {message!r}")
    if arguments.json:
        print_json({"outcome": outcome} | report)
    return code


def _outcome_of(error: StoqError) -> tuple[int, str]:
    """Return the exit code for *error*, and the word for it."""
    if error.carried_out is None:
        return UNKNOWN, "unknown"
    if isinstance(error, ValueError):
        return BROKEN_RULE, "invalid"
    if isinstance(error, RateLimitedError | ServerError):
        return REFUSED_FOR_NOW, "refused for now"
    if isinstance(error, IntentRefusedError):
        return REFUSED, "refused"
    return NOT_SENT, "not sent"


def _text_of(error: StoqError) -> str:
    """Return the text of *error* in the words of the command line."""
    text = str(error).removesuffix(WORDS)
    if isinstance(error, InvalidIntentError):
        faults = [
            f"\n  {_OPTION_OF_PATH.get(fault.path, fault.path)} {fault.message}"
            for fault in error.violations
        ]
        text = f"nothing was sent:{''.join(faults)}"
    return _PYTHON_NAME.sub(lambda found: _OPTIONS[found[0]], text)


def print_json(report: Mapping[str, Any]) -> None:
    """Print *report* as JSON."""
    try:
        text = json.dumps(report, indent=2, allow_nan=False)
    except (ValueError, RecursionError):
        # Of the report, only what the service said of the intents can be like that.
        text = json.dumps({**report, "intents": None}, indent=2)
    show(text)


def _print_created(created: IntentCreated) -> None:
    ids = [ascii(given).strip("'") for given in created.ids]
    show(f"created{': intent ' if ids else ''}{', '.join(ids)}")
    for change in created.changes:
        show(f"  {_OPTION_OF_PATH.get(change.path, change.path)}: {change.description}")
