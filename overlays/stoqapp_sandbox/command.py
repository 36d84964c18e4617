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

_TABLE: Final = tomllib.loads(Path(__file__).with_name("command.toml").read_text("utf-8"))


def assumption(text: str) -> tuple[str, str]:
    """Return name and choice of an argument of ``--assume``, like ``duplicate=409``."""
    name, _, choice = text.partition("=")
    return name.strip(), choice.strip()


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "port": int,
    "rate-limit": lambda text: text.split("/"),
    "assume": assumption,
}


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    epilog = _TABLE["epilog"].format(
        kinds="".join(f"  {one.written:<26} {one.about}\n" for one in KINDS.values()),
        shapes=", ".join(SHAPES),
        options="".join(f"  {one.name:<26} {one.about}\n" for one in OPTIONS.values()),
    )
    parser = commands.add_parser(
        "sandbox",
        help="run a local stand-in for the service",
        description=_TABLE["description"],
        epilog=epilog,
    )
    parser.set_defaults(run=run)
    for name, row in _TABLE["options"].items():
        # One that is not given sets no argument of `Sandbox`.
        settings = {"default": argparse.SUPPRESS, "type": _READERS.get(name, str), **row}
        parser.add_argument(f"--{name}", **settings)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes and return the exit code; raises as `stoqapp_sandbox.serve`."""
    from stoqapp_sandbox import serve

    options = dict(vars(arguments))
    for name in ("run", "print_completion"):
        options.pop(name, None)
    if ("list", "") in options.get("assume", ()):
        show(listed_assumptions())
        return 0
    if "assume" in options:
        options["assume"] = dict(options["assume"])
    serve(**options)
    return 0


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
