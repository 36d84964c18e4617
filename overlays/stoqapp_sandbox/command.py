"""The command ``stoqapp sandbox``: its arguments, and what runs on them."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stoqapp.terminal import show
from stoqapp_sandbox.assumptions import ASSUMPTIONS
from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.faults import KINDS, OPTIONS, SHAPES

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
# The options, by the argument of `Sandbox` that each one sets.
_OPTIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "host": (
        "--host",
        "ADDRESS",
        "address to listen on (default: 127.0.0.1, this machine alone; with 0.0.0.0 the network"
        " can reach it)",
    ),
    "port": ("--port", "N", "port to listen on (default: any free one)"),
    "rate_limit": (
        "--rate-limit",
        "POINTS/SECONDS",
        "answer 429 beyond so many points of a shop per window, like 360/60; an intent costs 2"
        " (default: points are not counted)",
    ),
    "state": (
        "--state",
        "FILE",
        "keep requests and intents in this SQLite file, over restarts (default: in memory)",
    ),
    "shops": (
        "--shops",
        "SHOP,...",
        "the only shops there are; may be given several times (default: every host name, or those"
        " of the catalog)",
    ),
    "catalog": (
        "--catalog",
        "FILE",
        'the only products and variants there are: JSON like {"demo.myshopify.com": {"42": [4711,'
        " 4712]}}, or a storefront's /products.json for every shop (default: every id)",
    ),
    "assume": (
        "--assume",
        "NAME=CHOICE",
        "assume something else about the service, like duplicate=409; may be given several times;"
        " --assume list prints what there is",
    ),
    "faults": (
        "--fault",
        "FAULT",
        "let something go wrong, see below; may be given several times, and the faults are asked"
        " in that order",
    ),
    "allow_origin": (
        "--allow-origin",
        "ORIGIN",
        "let scripts of this origin send intents, like http://localhost:3000 (default: none)",
    ),
}
_REPEATED: Final = ("assume", "faults", "shops")


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
    for name, (option, metavar, said) in _OPTIONS.items():
        action = "append" if name in _REPEATED else "store"
        parser.add_argument(option, dest=name, metavar=metavar, help=said, action=action)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes and return the exit code; raises as `stoqapp_sandbox.serve`."""
    from stoqapp_sandbox import serve

    given = {name: getattr(arguments, name) for name in _OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    if "list" in options.get("assume", ()):
        show(listed_assumptions())
        return 0
    if "assume" in options:
        options["assume"] = assumed_from(options["assume"])
    if "shops" in options:
        options["shops"] = ",".join(options["shops"])
    if "port" in options:
        options["port"] = _number(options["port"])
    if "rate_limit" in options:
        options["rate_limit"] = tuple(map(_number, options["rate_limit"].split("/")))
    serve(**options)
    return 0


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def assumed_from(given: Sequence[str]) -> Mapping[str, str]:
    """Return what the arguments of ``--assume``, like ``duplicate=409``, say by name.

    Raises:
        UnusableOptionError: One is not of that form.
    """
    if any("=" not in one for one in given):
        raise UnusableOptionError(
            "--assume must be like duplicate=409; --assume list shows them all"
        )
    pairs = (one.partition("=") for one in given)
    return {name.strip(): choice.strip() for name, _, choice in pairs}


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
            said.append(f"  {entry.name}=N: {entry.number}; default {entry.default}")
        if entry.instead:
            said.append(f"  not a choice; the service might do otherwise: {entry.instead}")
        for choice, meaning in entry.choices.items():
            default = " (default)" if choice == entry.default else ""
            said.append(f"  {entry.name}={choice}{default}: {meaning}")
        for one in said:
            lines += textwrap.wrap(f"  {one}", 96, subsequent_indent="    ")
    return "\n".join(lines)
