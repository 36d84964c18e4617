"""The command line ``stoqapp``: arguments in, exit code out."""

import argparse
import difflib
import json
import re
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any, Final, NoReturn, get_args

from attrs import asdict

from stoqapp.answers import IntentCreated
from stoqapp.client import Stoq
from stoqapp.errors import (
    AnswerError,
    ConfigurationError,
    IntentRefusedError,
    InvalidIntentError,
    RateLimitedError,
    ServerError,
    StoqError,
    UnusableInputError,
)
from stoqapp.inputs import INPUTS, Row
from stoqapp.settings import MAX_RETRIES, TOTAL_TIMEOUT_SECONDS
from stoqapp.terminal import complain, output, show
from stoqapp.version import __version__

CREATED: Final = 0
BROKEN_RULE: Final = 2
REFUSED: Final = 3
NOT_SENT: Final = 4
UNKNOWN: Final = 5
TURNED_AWAY: Final = 6
INTERRUPTED: Final = 130

_EXIT_CODES: Final = """\
exit codes:
  0    created: the intent is on the list
  1    the command itself failed
  2    usage, or a broken rule: nothing was sent
  3    refused by the service (200 with errors, 4xx): not on the list
  4    not sent: no connection came about, or the rate budget had no room in time
  5    outcome unknown: no answer, or one that does not tell (5xx, any other status)
  6    turned away for now (429, or 503 with Retry-After): not on the list; send again later
  130  interrupted; the intent may be on the list
"""
_ENVIRONMENT: Final = """\
environment:
  STOQ_SHOP, STOQ_BASE_URL, STOQ_TIMEOUT  stand in for the options that are not given
  STOQ_LOG                                debug, info, warning or error: logs on standard error

"""


_OPTION_OF_PATH: Final = {
    row.path: f"--{row.name.replace('_', '-')}" for row in INPUTS.values()
} | {"shop": "--shop", "more": "more"}


# Arguments of `stoqapp.Stoq` that its errors name, and that are options here.
_ARGUMENT: Final = re.compile(r"(?<![\w.-])(base_url|total_timeout|max_retries)(?![\w=])")


class _UsageError(Exception):
    def __init__(self, command: str, message: str) -> None:
        super().__init__(message)
        self.command = command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(self.prog, _without_values(message))

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ARG002 - always stdout
        # argparse's own fails in Python 3.11.2 where nobody takes what is printed.
        show(message, end="")


def _without_values(message: str) -> str:
    """Return what argparse's *message* says without what was typed, which can be personal.

    Only the kinds of message that are known to repeat no value are passed on.
    """
    if re.fullmatch("the following arguments are required: command", message):
        return "give a command: create, sandbox or verify"
    if re.match("argument command: ", message):
        return "no such command: give create, sandbox or verify"
    if re.fullmatch("the following arguments are required: [a-z, -]+", message):
        return message.replace("the following arguments are required", "required")
    about = re.fullmatch("argument (--[a-z/ -]+): (.*)", message, re.DOTALL)
    if about is None:
        return "the arguments cannot be read"
    option, fault = about.groups()
    if fault == "expected one argument":
        return f"{option}: needs a value; one that begins with '-' is given as {option}=VALUE"
    if fault.startswith("ignored explicit argument"):
        return f"{option}: takes no value"
    # So begin the messages of our own types, and none of argparse's.
    ours = fault.startswith("must be ")
    return f"{option}: {fault if ours else 'cannot be used as it is given'}"


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
        description="Put one customer on the waitlist of one variant. The channel is inferred"
        " from the contact, where just one of --email, --phone and --push is given.",
        epilog=_ENVIRONMENT + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    create.set_defaults(run=_create)
    create.add_argument("--shop", help="the shop: demo, demo.myshopify.com or URL ($STOQ_SHOP)")
    for row in INPUTS.values():
        _add_option(create, row)
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
    for command in sorted(entry_points(group="stoqapp.commands"), key=attrgetter("name")):
        command.load()(commands)
    return parser


def _add_option(command: argparse.ArgumentParser, row: Row) -> None:
    option = _OPTION_OF_PATH[row.path]
    if bool in (row.type, *get_args(row.type)):
        command.add_argument(option, action=argparse.BooleanOptionalAction, help=row.help)
        return
    number = str not in get_args(row.type) and int in (row.type, *get_args(row.type))
    more = " (required)" if row.required else ""
    if row.default is not None:
        more = f" (default: {row.default})"
    command.add_argument(
        option,
        type=_whole_number if number else str,
        metavar="N" if number else None,
        required=row.required,
        help=row.help + more,
    )


def _arguments_from(words: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        command = f"{parser.prog} {arguments.command}"
        raise _UsageError(command, _unknown(unknown, list(vars(arguments))))
    return arguments


def _unknown(words: Sequence[str], known: Sequence[str]) -> str:
    """Return what to say of *words* that mean nothing; values among them are not repeated."""
    for word in words:
        if typed := re.match("--([a-z][a-z-]*)(?==|$)", word):
            close = difflib.get_close_matches(typed[1].replace("-", "_"), known, 1)
            hint = f" (--{close[0].replace('_', '-')}?)" if close else ""
            return f"unknown option --{typed[1]}{hint}"
    option = any(word.startswith("-") for word in words)
    return "unknown option" if option else "a stray argument: every value belongs to an option"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: the process's arguments) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    finally:
        # What is still buffered would be written, and could fail, when the interpreter ends.
        with output(sys.stdout):
            pass
        with output(sys.stderr):
            pass


def _run(words: Sequence[str]) -> int:
    try:
        arguments = _arguments_from(words)
        return int(arguments.run(arguments))
    except _UsageError as error:
        complain(error.command, f"{error}; see {error.command} --help")
        if "--json" in words:
            report = {"outcome": "invalid", "carried_out": False, "error": "UsageError"}
            _print_json(report | {"message": str(error), "attempts": 0})
        return BROKEN_RULE
    except KeyboardInterrupt:
        return INTERRUPTED


def _create(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in INPUTS}
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
        complain("stoqapp create", _text_of(error))
        if arguments.json:
            _print_json(_report_of_error(error, outcome))
        return code
    except KeyboardInterrupt:
        message = "interrupted; the intent may be on the list"
        complain("stoqapp create", message)
        if arguments.json:
            report = {"outcome": "interrupted", "carried_out": None, "error": "KeyboardInterrupt"}
            _print_json(report | {"message": message})
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
    if isinstance(error, InvalidIntentError | ConfigurationError | UnusableInputError):
        return BROKEN_RULE, "invalid"
    if isinstance(error, RateLimitedError | ServerError):
        return TURNED_AWAY, "turned away"
    if isinstance(error, IntentRefusedError):
        return REFUSED, "refused"
    return NOT_SENT, "not sent"


def _text_of(error: StoqError) -> str:
    if not isinstance(error, InvalidIntentError):
        said = str(error).replace(".messages", "messages in --json")
        return _ARGUMENT.sub(lambda name: f"--{name[0].replace('_', '-')}", said)
    faults = [
        f"{_OPTION_OF_PATH.get(violation.path, violation.path)} {violation.message}"
        for violation in error.violations
    ]
    return "\n  ".join(["nothing was sent:", *faults])


def _report_of_error(error: StoqError, outcome: str) -> dict[str, Any]:
    report: dict[str, Any] = {
        "outcome": outcome,
        "carried_out": error.carried_out,
        "error": type(error).__name__,
        "message": str(error),
        "attempts": error.attempts,
    }
    if isinstance(error, InvalidIntentError):
        report["violations"] = [asdict(violation) for violation in error.violations]
    if isinstance(error, AnswerError):
        report |= {
            "status": error.status,
            "messages": error.messages,
            "retry_after_seconds": error.retry_after,
        }
    return report


def _report_of_created(created: IntentCreated) -> dict[str, Any]:
    return {
        "outcome": "created",
        "carried_out": True,
        "status": created.answer.status,
        "attempts": created.attempts,
        "confirmed_by_duplicate": created.confirmed_by_duplicate,
        "intents": created.intents,
        "messages": created.messages,
        "changes": [asdict(change) for change in created.changes],
    }


def _print_json(report: dict[str, Any]) -> None:
    try:
        text = json.dumps(report, indent=2, allow_nan=False)
    except (ValueError, RecursionError):
        # Of the report, only what the service said of the intents can be like that.
        text = json.dumps(report | {"intents": None}, indent=2)
    show(text)


def _print_created(created: IntentCreated) -> None:
    ids = [ascii(intent["id"]).strip("'") for intent in created.intents if "id" in intent]
    lines = [f"created{': intent ' if ids else ''}{', '.join(ids)}"]
    lines += [
        f"  {_OPTION_OF_PATH.get(change.path, change.path)}: {change.description}"
        for change in created.changes
    ]
    if created.messages:
        lines.append(f"  the service said more, in {len(created.messages)} message(s): see --json")
    show("\n".join(lines))
