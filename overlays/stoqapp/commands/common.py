"""What the commands of an import share: exit codes, a parser, and how errors are told."""

import argparse
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from stoqapp.terminal import complain

DONE: Final = 0
STOPPED: Final = 1
USAGE: Final = 2
TO_MEND: Final = 3
INTERRUPTED: Final = 130
LEDGER: Final = "stoqapp.ledger"


def parser_for(
    commands: "argparse._SubParsersAction[Any]", name: str, help_: str, epilog: str
) -> argparse.ArgumentParser:
    """Add the parser of a command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_,
        description=f"{help_.capitalize()}. Needs the extra: pip install 'stoqapp[bulk]'.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


@contextmanager
def complaints(command: str) -> Iterator[list[int]]:
    """Print what goes wrong, and put the exit code into the list."""
    from stoqapp.errors import ConfigurationError, InvalidIntentError, StoqError

    codes: list[int] = []
    try:
        yield codes
    except StoqError as error:
        from stoqapp.bulk.documents import ImportFileError

        complain(command, str(error))
        usage = isinstance(error, ImportFileError | ConfigurationError | InvalidIntentError)
        codes.append(USAGE if usage else STOPPED)
    except ModuleNotFoundError as error:
        complain(command, f"{error.name} is missing: pip install 'stoqapp[bulk]'")
        codes.append(USAGE)
    except OSError as error:
        complain(command, f"{error.filename} cannot be written: {error.strerror}")
        codes.append(STOPPED)
    except sqlite3.Error as error:
        complain(command, f"a temporary file failed ({error}): set SQLITE_TMPDIR to a folder")
        codes.append(STOPPED)
