"""The command ``stoqapp sandbox``: its arguments, and what runs on them."""

import argparse
import textwrap
from functools import partial
from typing import Any, Final

from stoqapp.terminal import show
from stoqapp_sandbox.assumptions import ASSUMPTIONS
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES

_EXAMPLES: Final = """\
examples:
  stoqapp sandbox --port 8765
  stoqapp sandbox --rate-limit 360/60 --fault reset-after-store:every=10
  stoqapp sandbox --state sandbox.sqlite --assume duplicate=409

"""
_EXIT_CODES: Final = """
exit codes:
  0    ended by Ctrl-C (SIGINT) or SIGTERM, once its line was printed; or printed what was
       asked for
  1    could not start; the message says why
  2    usage: an option, or what it was given, cannot be used
"""
_LIST: Final = ("list", "")


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    parser = commands.add_parser(
        "sandbox",
        help="run a local stand-in for the service",
        description="Run a local stand-in for the service, until stopped with Ctrl-C. Needs the"
        " extra: pip install 'stoqapp[sandbox]'.",
        epilog=f"{_EXAMPLES}{_faults_help()}{_EXIT_CODES}",
    )
    parser.set_defaults(run=run)
    # Each sets the argument of `Sandbox` that has its name; one that is not given sets none.
    option = partial(parser.add_argument, default=argparse.SUPPRESS)
    option(
        "--host",
        metavar="ADDRESS",
        help="address to listen on (default: 127.0.0.1, this machine alone; with 0.0.0.0 the"
        " network can reach it)",
    )
    option("--port", metavar="N", type=int, help="port to listen on (default: any free one)")
    option(
        "--rate-limit",
        metavar="POINTS/SECONDS",
        type=lambda text: tuple(text.split("/")),
        help="answer 429 beyond so many points of a shop per window, like 360/60; an intent costs"
        " 2 (default: points are not counted)",
    )
    option(
        "--state",
        metavar="FILE",
        help="keep requests and intents in this SQLite file, over restarts (default: in memory)",
    )
    option(
        "--shops",
        metavar="SHOP,...",
        action="extend",
        type=lambda text: text.split(","),
        help="the only shops there are; may be given several times (default: every host name, or"
        " those of the catalog)",
    )
    option(
        "--catalog",
        metavar="FILE",
        help='the only products and variants there are: JSON like {"demo.myshopify.com": {"42":'
        " [4711, 4712]}}, or a storefront's /products.json for every shop (default: every id)",
    )
    option(
        "--assume",
        metavar="NAME=CHOICE",
        action="append",
        type=assumption,
        help="assume something else about the service, like duplicate=409; may be given several"
        " times; --assume list prints what there is",
    )
    option(
        "--fault",
        metavar="FAULT",
        action="append",
        dest="faults",
        help="let something go wrong, see below; may be given several times, and the faults are"
        " asked in that order",
    )
    option(
        "--allow-origin",
        metavar="ORIGIN",
        help="let scripts of this origin send intents, like http://localhost:3000 (default: none)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes and return the exit code; raises as `stoqapp_sandbox.serve`."""
    from stoqapp_sandbox import serve

    options = dict(vars(arguments))
    for name in ("run", "print_completion"):
        options.pop(name, None)
    if _LIST in options.get("assume", ()):
        show(listed_assumptions())
        return 0
    if "assume" in options:
        options["assume"] = dict(options["assume"])
    serve(**options)
    return 0


def assumption(text: str) -> tuple[str, str]:
    """Return name and choice of an argument of ``--assume``, like ``duplicate=409``."""
    name, has_choice, choice = (part.strip() for part in text.partition("="))
    if not has_choice and (name, choice) != _LIST:
        raise argparse.ArgumentTypeError("must be like duplicate=409; list shows them all")
    return name, choice


def _faults_help() -> str:
    kinds = "".join(f"  {kind.written:<26} {kind.about}\n" for kind in KINDS.values())
    options = "".join(f"  {name:<26} {about}\n" for name, about in OPTIONS.items())
    return (
        "faults, each written FAULT[=VALUE][:OPTION=VALUE...], like reset-after-store:every=10 or"
        f" status=503:times=2:\n{kinds}\nSHAPE is one of {', '.join(SHAPES)}.\n\n"
        f"options of a fault:\n{options}\n"
        "While the sandbox runs, POST /_sandbox/faults takes the same words as JSON, like\n"
        '{"fault": "reset-after-store", "times": 2}.\n'
    )


def listed_assumptions() -> str:
    """Return the table of assumptions for people, as ``--assume list`` prints it."""
    lines = []
    for entry in ASSUMPTIONS.values():
        lines.append(f"{entry.name} ({entry.trust})")
        said = [entry.about]
        if entry.number:
            said.append(f"  {entry.name}=N: {entry.range}; default {entry.default}")
        if entry.instead:
            said.append(f"  not a choice; the service might do otherwise: {entry.instead}")
        for choice, meaning in entry.choices.items():
            default = " (default)" if choice == entry.default else ""
            said.append(f"  {entry.name}={choice}{default}: {meaning}")
        for one in said:
            lines += textwrap.wrap(f"  {one}", 96, subsequent_indent="    ")
    return "\n".join(lines)
