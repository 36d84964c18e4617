"""Print lines to a terminal, also where the reader has gone away."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def output(stream: TextIO | None) -> Iterator[None]:
    """Let what is written to *stream* in here fail without a word: the exit code tells the outcome.

    A reader that has gone away is the usual reason. The interpreter would complain, and change
    the exit code, when it ends; so the stream then leads nowhere, as Python's documentation of
    SIGPIPE has it. Python has None for a stream that is closed.
    """
    try:
        yield
        if stream is not None:
            stream.flush()
    except OSError:
        if stream is not None:
            with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), stream.fileno())


def show(text: str, end: str = "\n") -> None:
    """Print *text* to standard output, at once."""
    _write(text, end, sys.stdout)


def mention(text: str, end: str = "\n") -> None:
    """Print *text* to standard error, at once."""
    _write(text, end, sys.stderr)


def _write(text: str, end: str, stream: TextIO | None) -> None:
    # print() would take None for standard output.
    if stream is not None:
        with output(stream):
            print(text, end=end, file=stream)


def complain(command: str, text: str) -> None:
    """Print to standard error what *command*, like ``stoqapp create``, has to say."""
    mention(f"{command}: {text}")


def agreed(command: str, question: str) -> bool:
    """Ask on standard error; return whether the answer is yes. Without a terminal it is no."""
    if not sys.stdin or not sys.stdin.isatty():
        complain(command, "cannot ask without a terminal: give --yes")
        return False
    mention(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
