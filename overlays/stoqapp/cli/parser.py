"""A parser of command lines whose complaints repeat no value, since values can be personal.

Of `argparse`, only exceptions and public attributes are used, never its English.
"""

import argparse
import difflib
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final, NoReturn

_OPTION: Final = re.compile("(--[a-z][a-z-]*)(?:=|$)")
_WANTED: Final[Mapping[Any, str]] = {int: "must be a whole number", float: "must be a number"}


class UsageError(Exception):
    """The command line of *command*, like ``stoqapp create``, cannot be understood."""

    def __init__(self, command: str, message: str) -> None:
        super().__init__(message)
        self.command = command


class Parser(argparse.ArgumentParser):
    """The parser of ``stoqapp`` and of its commands. All ways to parse raise UsageError."""

    def __init__(self, **settings: Any) -> None:
        self._options: dict[str, argparse.Action] = {}
        settings |= {
            "description": textwrap.fill(settings.get("description") or "", 80),
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
            "exit_on_error": False,
        }
        super().__init__(**settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Do as argparse; complaints of *type* and *choices* name the option and no value."""
        read, choices = settings.get("type"), settings.get("choices")
        if read or choices:
            settings["type"] = partial(self._read, names[-1], read or str, choices or ())
        action = super().add_argument(*names, **settings)
        self._options |= dict.fromkeys(action.option_strings, action)
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Do as argparse, and refuse what is not known."""
        try:
            found, unknown = super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            raise UsageError(self.prog, self._fault(error)) from None
        if unknown:
            raise UsageError(self.prog, self._unknown(unknown))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise *message*: with ``exit_on_error=False``, it names the required arguments."""
        raise UsageError(self.prog, message)

    def _read(
        self, name: str, read: Callable[[str], Any], choices: Collection[Any], text: str
    ) -> Any:
        try:
            value = read(text)
        except argparse.ArgumentTypeError as error:
            raise UsageError(self.prog, f"{name} {error}") from None
        except ValueError:
            wanted = _WANTED.get(read, "cannot be used as it is given")
            raise UsageError(self.prog, f"{name} {wanted}") from None
        if choices and value not in choices:
            hint = did_you_mean(value, choices)
            raise UsageError(self.prog, f"{name} must be {listed(choices)}{hint}")
        return value

    def _fault(self, error: argparse.ArgumentError) -> str:
        if error.argument_name is None:
            return error.message  # the names of required arguments
        option = error.argument_name.rpartition("/")[2]
        action = self._options.get(option)
        if action is None:
            return f"{option} cannot be used as it is given"
        if action.nargs == 0:
            return f"{option} takes no value"
        return f"{option} needs a value; write one that begins with '-' as {option}=VALUE"

    def _unknown(self, words: Iterable[str]) -> str:
        for word in words:
            if typed := _OPTION.match(word):
                return f"unknown option {typed[1]}{did_you_mean(typed[1], self._options)}"
        if any(word.startswith("-") for word in words):
            return "unknown option"
        return "unexpected argument: each value needs its option before it"


def did_you_mean(word: object, choices: Iterable[Any]) -> str:
    """Return a hint at the choice that is most like *word*, empty where none is."""
    close = difflib.get_close_matches(str(word), [str(choice) for choice in choices], 1)
    return f" (did you mean {close[0]}?)" if close else ""


def listed(names: Iterable[Any]) -> str:
    """Return *names* like ``email, sms or push``."""
    *first, last = map(str, names)
    return f"{', '.join(first)} or {last}" if first else last
