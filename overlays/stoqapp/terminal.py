"""Lines for a terminal, and what becomes of them where nobody takes them."""

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
    SIGPIPE has it.

    Args:
        stream: Where to; None, which Python has for one that is closed, takes nothing.
    """
    if stream is None:
        return (yield)
    try:
        yield
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def show(text: str, end: str = "\n") -> None:
    """Print *text* to standard output, at once."""
    _write(text, end, sys.stdout)


def mention(text: str, end: str = "\n") -> None:
    """Print *text* to standard error, at once."""
    _write(text, end, sys.stderr)


def complain(command: str, text: str) -> None:
    """Print to standard error what *command*, like ``stoqapp create``, has to say."""
    mention(f"{command}: {text}")


def agreed(command: str, question: str) -> bool:
    """Ask on standard error; return whether the answer is yes. Without a terminal it is no."""
    if not sys.stdin or not sys.stdin.isatty():
        complain(command, "no terminal to ask at: give --yes")
        return False
    mention(f"{question} [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(text: str, end: str, stream: TextIO | None) -> None:
    # print() would take None for standard output.
    if stream is not None:
        with output(stream):
            print(text, end=end, file=stream)
