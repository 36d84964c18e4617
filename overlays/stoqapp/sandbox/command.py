"""The command ``stoqapp sandbox``: its arguments, and what runs on them."""

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

ENDED: Final = 0
FAILED: Final = 1

_LARGEST_PORT: Final = 65535
_EXIT_CODES: Final = """\
exit codes:
  0    ended by Ctrl-C (SIGINT) or SIGTERM, or printed what was asked for
  1    could not start; the message says why
  2    usage
"""


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    parser = commands.add_parser(
        "sandbox",
        help="run a local server that behaves as the service is known to",
        description="Run a local server that behaves as the service is known to, until stopped"
        " with Ctrl-C. Needs the extra: pip install 'stoqapp[sandbox]'.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="port to listen on (default: any free one)",
    )
    parser.add_argument(
        "--rate-limit",
        type=_rate_limit,
        metavar="POINTS/SECONDS",
        help="refuse what goes beyond so many points of a shop per window, like 360/60; an intent"
        " costs 2 (default: points are counted and shown, and nothing is refused)",
    )
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=CHOICE",
        help="take something else for granted about the service, like duplicate=409; may be given"
        " several times; --assume list prints what there is",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes and return the exit code."""
    from stoqapp.sandbox import SandboxError, serve

    if "list" in arguments.assume:
        print(_listed_assumptions())
        return ENDED
    try:
        serve(
            port=arguments.port,
            rate_limit=arguments.rate_limit,
            assume=assumed_from(arguments.assume),
        )
    except SandboxError as error:
        print(f"stoqapp sandbox: {error}", file=sys.stderr)
        return FAILED
    return ENDED


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= _LARGEST_PORT):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {_LARGEST_PORT}")
    return int(text)


def _rate_limit(text: str) -> tuple[int, float]:
    points, _, seconds = text.partition("/")
    try:
        return int(points), float(seconds)
    except ValueError:
        raise argparse.ArgumentTypeError("must be points and seconds, like 360/60") from None


def assumed_from(given: Sequence[str]) -> Mapping[str, str]:
    """Return what the arguments of ``--assume``, like ``duplicate=409``, say by name.

    Raises:
        SandboxError: One is not of that form.
    """
    from stoqapp.sandbox import SandboxError

    assumed = {}
    for one in given:
        name, equals, choice = one.partition("=")
        if not equals:
            raise SandboxError("--assume must be like duplicate=409; --assume list shows them all")
        assumed[name.strip()] = choice.strip()
    return assumed


def _listed_assumptions() -> str:
    from stoqapp.sandbox import ASSUMPTIONS

    lines = []
    for entry in ASSUMPTIONS:
        lines.append(f"{entry.name} ({entry.trust})")
        lines += textwrap.wrap(entry.about, 96, initial_indent="  ", subsequent_indent="  ")
        if entry.bounds:
            lines.append(f"    {entry.name}=N: {entry.bounds}; default {entry.default}")
        if entry.fixed:
            lines.append(f"    cannot be switched: {entry.fixed}")
        for choice, meaning in entry.choices.items():
            default = " (default)" if choice == entry.default else ""
            said = f"{entry.name}={choice}{default}: {meaning}"
            lines += textwrap.wrap(said, 96, initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)
