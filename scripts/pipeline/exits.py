"""How a command ends: its exit codes, and the error that carries one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from textwrap import shorten

ROOT = Path(__file__).resolve().parents[2]


class Exit(IntEnum):
    """Exit codes of regenerate.py and update_spec.py."""

    DONE = 0
    DIFFERS = 1
    WRONG_ARGUMENTS = 2
    BAD_SPEC = 3
    CORRECTION_DOES_NOT_FIT = 4
    BAD_TOOL = 5
    CANNOT_WRITE = 6
    PROSE_CHANGE = 10
    COMPATIBLE_CHANGE = 11
    BREAKING_CHANGE = 12


class RunError(Exception):
    """Stop the run with one line that says why, and an exit code."""

    def __init__(self, reason: str, code: Exit = Exit.BAD_SPEC) -> None:
        super().__init__(reason)
        self.code = code


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose --help lists the exit codes."""
    codes = [f"{code:3}  {code.name.lower().replace('_', ' ')}" for code in Exit]
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        description=description, epilog="\n".join([str(Exit.__doc__), *codes]), formatter_class=form
    )


def one_line(text: object, limit: int = 400) -> str:
    """Return `text` on one line, cut where it is long."""
    return shorten(str(text), limit, placeholder=" …")


def command(run: Callable[[Sequence[str] | None], Exit]) -> Callable[..., int]:
    """Let `run` end by its exit code; report a failure in one line on stderr."""

    def main(arguments: Sequence[str] | None = None) -> int:
        code: int
        try:
            return run(arguments)
        except RunError as error:
            code, reason = error.code, str(error)
        except OSError as error:
            code, reason = Exit.CANNOT_WRITE, f"cannot read or write: {error}"
        except KeyboardInterrupt:
            code, reason = 130, "interrupted"
        print(f"{Path(sys.argv[0]).name}: {one_line(reason, 1600)}", file=sys.stderr)
        return code

    return main
