"""The command line ``stoqapp``: find the command, run it, return its exit code."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from stoqapp.cli import create
from stoqapp.cli.create import BROKEN_RULE, EXIT_CODES, FAILED, INTERRUPTED, print_json
from stoqapp.cli.parser import Parser, UsageError, did_you_mean, listed
from stoqapp.errors import StoqError
from stoqapp.terminal import complain, output, show
from stoqapp.version import __version__

__all__ = ["main"]

_EXAMPLES: Final = """\
examples:
  stoqapp create --shop demo --variant 4711 --product 42 --email ada@example.com
  stoqapp sandbox --port 8765
  eval "$(stoqapp --print-completion bash)"

"""
_SHELLS: Final = ("bash", "zsh", "fish")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: the process's arguments) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = " ".join(["stoqapp", *words[:1]])
    try:
        return _run(words)
    except UsageError as error:
        complain(error.command, f"{error}; see {error.command} --help")
        if "--json" in words:
            report = {"outcome": "invalid", "carried_out": False, "error": "UsageError"}
            print_json(report | {"message": str(error), "attempts": 0})
        return BROKEN_RULE
    except StoqError as error:
        complain(command, str(error))
        return BROKEN_RULE if isinstance(error, ValueError) else FAILED
    except ModuleNotFoundError as missing:
        complain(command, f"needs the package '{missing.name}'")
        return FAILED
    except OSError as error:
        complain(command, f"{error.filename or 'a file'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        # Else the interpreter would write what is still buffered when it ends, and could fail.
        for stream in (sys.stdout, sys.stderr):
            with output(stream):
                pass


def _run(words: Sequence[str]) -> int:
    commands: dict[str, Callable[[], Callable[[Any], None]]] = {"create": lambda: create.add_to}
    commands |= {point.name: point.load for point in entry_points(group="stoqapp.commands")}
    first = words[0] if words and not words[0].startswith("-") else None
    if first and first not in commands:
        hint = did_you_mean(first, commands)
        raise UsageError("stoqapp", f"unknown command{hint}: give {listed(commands)}")
    parser = Parser(
        prog="stoqapp",
        description="Put customers on the back-in-stock waitlists of STOQ (unofficial).",
        epilog=_EXAMPLES + EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"stoqapp {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=_SHELLS,
        metavar="SHELL",
        help=f"print a script that completes commands and options: {listed(_SHELLS)}",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="command")
    for name in [first] if first else sorted(commands):
        commands[name]()(subparsers)
    arguments = parser.parse_args(words)
    if first:
        return int(arguments.run(arguments))
    if not arguments.print_completion:
        raise UsageError("stoqapp", f"give a command: {listed(commands)}")
    try:
        import shtab
    except ModuleNotFoundError:
        complain("stoqapp", "--print-completion needs the extra: pip install 'stoqapp[completion]'")
        return FAILED
    show(shtab.complete(parser, arguments.print_completion))
    return 0
