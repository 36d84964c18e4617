"""The command ``stoqapp sandbox``: its arguments, and what runs on them."""

import argparse
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
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
_OPTIONS: Final = tomllib.loads(Path(__file__).with_name("options.toml").read_text("utf-8"))


def assumption(text: str) -> tuple[str, str]:
    """Return name and choice of an argument of ``--assume``, like ``duplicate=409``."""
    name, has_choice, choice = (part.strip() for part in text.partition("="))
    if not has_choice and (name, choice) != _LIST:
        raise argparse.ArgumentTypeError("must be like duplicate=409; list shows them all")
    return name, choice


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "port": int,
    "rate-limit": lambda text: text.split("/"),
    "assume": assumption,
}


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
    for name, row in _OPTIONS.items():
        # One that is not given sets no argument of `Sandbox`.
        settings = {"default": argparse.SUPPRESS, "type": _READERS.get(name, str), **row}
        parser.add_argument(f"--{name}", **settings)


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


def _faults_help() -> str:
    kinds = "".join(f"  {one.with_value(one.value):<26} {one.about}\n" for one in KINDS.values())
    options = "".join(f"  {one.name:<26} {one.about}\n" for one in OPTIONS.values())
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
        if entry.numbers:
            said.append(f"  {entry.name}=N: {entry.range}; default {entry.default}")
        if entry.instead:
            said.append(f"  not a choice; the service might do otherwise: {entry.instead}")
        for choice, meaning in entry.choices.items():
            default = " (default)" if choice == entry.default else ""
            said.append(f"  {entry.name}={choice}{default}: {meaning}")
        for one in said:
            lines += textwrap.wrap(f"  {one}", 96, subsequent_indent="    ")
    return "\n".join(lines)
