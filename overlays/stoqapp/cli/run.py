"""Find the command, run it, return its exit code."""

import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points, requires
from typing import Any, Final

from stoqapp.cli import create
from stoqapp.cli.create import BROKEN_RULE, EXIT_CODES, FAILED, INTERRUPTED, print_json
from stoqapp.cli.parser import Parser, ShowAndEnd, UsageError, listed
from stoqapp.terminal import complain, output
from stoqapp.version import __version__

_EXAMPLES: Final = """\
examples:
  stoqapp create --shop demo --variant 4711 --product 42 --email ada@example.com
  stoqapp sandbox --port 8765
  eval "$(stoqapp --print-completion bash)"

"""
_SHELLS: Final = ("bash", "zsh", "fish")
# From the name of a command to a function that returns what adds its parser.
_Commands = dict[str, Callable[[], Callable[[Any], None]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: the process's arguments) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    finally:
        # Else the interpreter would write what is still buffered when it ends, and could fail.
        with output(sys.stdout):
            pass
        with output(sys.stderr):
            pass


def _run(words: Sequence[str]) -> int:
    try:
        arguments = _parser(words).parse_args(words)
        return int(arguments.run(arguments))
    except UsageError as error:
        complain(error.command, f"{error}; see {error.command} --help")
        if "--json" in words:
            report = {"outcome": "invalid", "carried_out": False, "error": "UsageError"}
            print_json(report | {"message": str(error), "attempts": 0})
        return BROKEN_RULE
    except ModuleNotFoundError as missing:
        complain(f"stoqapp {words[0]}", _remedy(missing))
        return FAILED
    except OSError as error:
        complain(f"stoqapp {words[0]}", f"{error.filename or 'a file'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser(words: Sequence[str]) -> Parser:
    """Return the parser for *words*: of the command that they begin with, else of all."""
    parser = Parser(
        prog="stoqapp",
        description="Put customers on the back-in-stock waitlists of STOQ (unofficial).",
        epilog=_EXAMPLES + EXIT_CODES,
    )
    parser.add_argument(
        "--version",
        action=ShowAndEnd,
        text=lambda *_: f"stoqapp {__version__}\n",
        help="print the version",
    )
    parser.add_argument(
        "--print-completion",
        action=ShowAndEnd,
        nargs=None,
        choices=_SHELLS,
        metavar="SHELL",
        text=_completion,
        help=f"print a script that completes commands and options: {listed(_SHELLS)}",
    )
    subparsers = parser.add_subparsers()
    commands: _Commands = {"create": lambda: create.add_to}
    commands |= {point.name: point.load for point in entry_points(group="stoqapp.commands")}
    chosen = words[0] if words and words[0] in commands else None
    for name in [chosen] if chosen else sorted(commands):
        try:
            commands[name]()(subparsers)
        except ModuleNotFoundError as missing:
            if chosen:
                raise
            subparsers.add_parser(name, help=_remedy(missing))
    return parser


def _completion(parser: Parser, shell: str) -> str:
    import shtab

    return f"{shtab.complete(parser, shell)}\n"


def _remedy(missing: ModuleNotFoundError) -> str:
    """Return which extra installs the package that is missing.

    Raises:
        ModuleNotFoundError: It is a part of this project.
    """
    package = (missing.name or "").partition(".")[0]
    if not package or package.startswith("stoqapp"):
        raise missing
    for requirement in requires("stoqapp") or ():
        found = re.match(r"([\w-]+).*; extra == ['\"]([\w-]+)", requirement)
        if found and found[1].replace("-", "_") == package:
            return f"needs the package '{package}': pip install 'stoqapp[{found[2]}]'"
    return f"needs the package '{package}', which is not installed"
