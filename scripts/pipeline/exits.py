"""How a command ends: its exit codes, and the error that carries one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from textwrap import shorten
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


class Exit(IntEnum):
    """The exit codes of regenerate.py and update_spec.py; `meaning` explains each."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:  # noqa: D102
        made = int.__new__(cls, code)
        made._value_, made.meaning = code, meaning
        return made

    DONE = 0, "done; regenerate.py --check: up to date; update_spec.py --dry-run: nothing new"
    DIFFERS = 1, "regenerate.py --check: the package differs; update_spec.py: you said no"
    USAGE = 2, "wrong arguments"
    SPEC = 3, "the spec or page cannot be read, is not OpenAPI, or yields no working package"
    CORRECTION = 4, "a correction does not fit the spec"
    TOOL = 5, "a tool is missing, is of another release, or fails"
    OUTPUT = 6, "a file cannot be written"
    PROSE = 10, "update_spec.py --dry-run: only prose changed"
    COMPATIBLE = 11, "update_spec.py --dry-run: changed, compatible for callers"
    BREAKING = 12, "update_spec.py --dry-run: changed, breaking for callers"


class RunError(Exception):
    """Stop the run with an exit code and one line that says why."""

    def __init__(self, code: Exit, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose --help lists the exit codes."""
    codes = "\n".join(f"  {code:3}  {code.meaning}" for code in Exit)
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        description=description, epilog=f"exit codes:\n{codes}", formatter_class=form
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
        except ModuleNotFoundError as error:
            code, reason = Exit.TOOL, f"{error.name} is not installed; run scripts/setup"
        except OSError as error:
            code, reason = Exit.OUTPUT, f"cannot read or write: {error}"
        except KeyboardInterrupt:
            code, reason = 130, "interrupted"
        print(f"{Path(sys.argv[0]).name}: {one_line(reason, 1600)}", file=sys.stderr)
        return code

    return main
