"""How a command ends: its exit codes, and the error that carries one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]


class Exit(IntEnum):
    """The exit codes of regenerate.py and update_spec.py; `MEANINGS` explains them."""

    DONE = 0
    DIFFERS = 1
    USAGE = 2
    SPEC = 3
    CORRECTION = 4
    TOOL = 5
    OUTPUT = 6
    PROSE = 10
    COMPATIBLE = 11
    BREAKING = 12
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; with --check or --dry-run: nothing to do",
    Exit.DIFFERS: "regenerate.py --check: the package differs; update_spec.py: you said no",
    Exit.USAGE: "wrong arguments",
    Exit.SPEC: "the spec or page cannot be read, is not OpenAPI, or yields no working package",
    Exit.CORRECTION: "a correction does not fit the spec",
    Exit.TOOL: "a tool is missing, is of another release, or fails",
    Exit.OUTPUT: "a file cannot be written",
    Exit.PROSE: "update_spec.py --dry-run: only prose changed",
    Exit.COMPATIBLE: "update_spec.py --dry-run: changed, compatible for callers",
    Exit.BREAKING: "update_spec.py --dry-run: changed, breaking for callers",
}


class RunError(Exception):
    """Stop the run with an exit code and one line that says why."""

    def __init__(self, code: Exit, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Parser(argparse.ArgumentParser):
    """A parser that lists the exit codes and reports a wrong argument in one line."""

    def __init__(self, description: str | None) -> None:
        codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in MEANINGS.items())
        super().__init__(
            description=description,
            epilog=f"exit codes:\n{codes}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Stop with `message`."""
        raise RunError(Exit.USAGE, f"{message}; see --help")


def one_line(text: object, limit: int = 400) -> str:
    """Return `text` on one line of printable characters, its middle cut when it is long."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(text).split()))
    return line if len(line) <= limit else f"{line[: limit * 2 // 3]} … {line[-limit // 3 :]}"


def shown(path: Path) -> str:
    """Return `path` from the project's root if it lies there, else in full."""
    return one_line(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def ended(name: str, run: Callable[[], Exit]) -> int:
    """Call `run` and return its exit code; report a failure in one line on stderr."""
    try:
        return run()
    except RunError as error:
        code, reason = error.code, str(error)
    except ModuleNotFoundError as error:
        code, reason = Exit.TOOL, f"{error.name} is not installed; run scripts/setup"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except OSError as error:
        code, reason = Exit.OUTPUT, f"cannot read or write: {error}"
    except KeyboardInterrupt:
        code, reason = Exit.INTERRUPTED, "interrupted"
    print(f"{name}: {one_line(reason, 1600)}", file=sys.stderr)
    return code
