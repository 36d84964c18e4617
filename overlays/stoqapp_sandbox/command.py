"""The command ``stoqapp sandbox``: its arguments, and what runs on them."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoqapp.terminal import complain, show
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES

ENDED: Final = 0
FAILED: Final = 1
USAGE: Final = 2

_LARGEST_PORT: Final = 65535
_EXAMPLES: Final = """\
examples:
  stoqapp sandbox --port 8765
  stoqapp sandbox --rate-limit 360/60 --fault reset-after-store:every=10
  stoqapp sandbox --state sandbox.sqlite --assume duplicate=409

"""
_EXIT_CODES: Final = """\
exit codes:
  0    ended by Ctrl-C (SIGINT) or SIGTERM, once its line was printed; or printed what was
       asked for
  1    could not start; the message says why
  2    usage: an option, or what it was given, cannot be used
"""


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    parser = commands.add_parser(
        "sandbox",
        help="run a local stand-in for the service",
        description="Run a local stand-in for the service, until stopped with Ctrl-C. Needs the"
        " extra: pip install 'stoqapp[sandbox]'.",
        epilog=f"{_EXAMPLES}{_faults_help()}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default: %(default)s, this machine alone; with 0.0.0.0 the"
        " network can reach it)",
    )
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
        help="answer 429 beyond so many points of a shop per window, like 360/60; an intent costs"
        " 2 (default: points are not counted)",
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="keep requests and intents in this SQLite file, over restarts (default: in memory)",
    )
    parser.add_argument(
        "--shops",
        action="append",
        metavar="SHOP,...",
        help="the only shops there are; may be given several times (default: every host name, or"
        " those of the catalog)",
    )
    parser.add_argument(
        "--catalog",
        metavar="FILE",
        help='the only products and variants there are: JSON like {"demo.myshopify.com": {"42":'
        " [4711, 4712]}}, or a storefront's /products.json for every shop (default: every id)",
    )
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=CHOICE",
        help="take something else for granted about the service, like duplicate=409; may be given"
        " several times; --assume list prints what there is",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="let something go wrong, see below; may be given several times, and the faults are"
        " asked in that order",
    )
    parser.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        help="let scripts of this origin send intents, like http://localhost:3000 (default: none)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes and return the exit code."""
    from stoqapp_sandbox import SandboxError, UnusableFaultError, UnusableOptionError, serve

    if "list" in arguments.assume:
        show(listed_assumptions())
        return ENDED
    try:
        serve(
            host=arguments.host,
            port=arguments.port,
            rate_limit=arguments.rate_limit,
            assume=assumed_from(arguments.assume),
            state=arguments.state,
            shops=arguments.shops and ",".join(arguments.shops),
            catalog=arguments.catalog,
            faults=tuple(arguments.fault),
            allow_origin=arguments.allow_origin,
        )
    except UnusableFaultError as error:
        complain("stoqapp sandbox", f"--fault: {error}")
        return USAGE
    except UnusableOptionError as error:
        complain("stoqapp sandbox", str(error))
        return USAGE
    except SandboxError as error:
        complain("stoqapp sandbox", str(error))
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
        UnusableOptionError: One is not of that form.
    """
    from stoqapp_sandbox import UnusableOptionError

    assumed = {}
    for one in given:
        name, equals, choice = one.partition("=")
        if not equals:
            raise UnusableOptionError(
                "--assume must be like duplicate=409; --assume list shows them all"
            )
        assumed[name.strip()] = choice.strip()
    return assumed


def _faults_help() -> str:
    kinds = "".join(f"  {kind.written:<26} {kind.about}\n" for kind in KINDS.values())
    options = "".join(f"  {name:<26} {summary}\n" for name, summary in OPTIONS.items())
    return (
        "faults, each written FAULT[=VALUE][:OPTION=VALUE...], like reset-after-store:every=10 or"
        f" status=503:times=2:\n{kinds}\nSHAPE is one of {', '.join(SHAPES)}.\n\n"
        f"options of a fault:\n{options}\n"
        "While the sandbox runs, POST /_sandbox/faults takes the same words as JSON, like\n"
        '{"fault": "reset-after-store", "times": 2}.\n'
    )


def listed_assumptions() -> str:
    """Return the table of assumptions for people, as ``--assume list`` prints it."""
    from stoqapp_sandbox import ASSUMPTIONS

    lines = []
    for entry in ASSUMPTIONS.values():
        lines.append(f"{entry.name} ({entry.trust})")
        lines += textwrap.wrap(entry.about, 96, initial_indent="  ", subsequent_indent="  ")
        if entry.number:
            lines.append(f"    {entry.name}=N: {entry.number}; default {entry.default}")
        if entry.instead:
            said = f"not a choice; the service might do otherwise: {entry.instead}"
            lines += textwrap.wrap(said, 96, initial_indent="    ", subsequent_indent="      ")
        for choice, meaning in entry.choices.items():
            default = " (default)" if choice == entry.default else ""
            said = f"{entry.name}={choice}{default}: {meaning}"
            lines += textwrap.wrap(said, 96, initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)
