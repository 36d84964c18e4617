"""A parser of command lines whose complaints repeat no value, since values can be personal.

Of `argparse`, only exceptions and public attributes are used, never its English.
"""

import argparse
import difflib
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final, NoReturn

from stoqapp.terminal import show

_OPTION: Final = re.compile("(--[a-z][a-z-]*)(?:=|$)")


class UsageError(Exception):
    """The command line cannot be understood.

    Args:
        command: The command as it is typed, like ``stoqapp create``.
        message: What is wrong, without any value that was typed.
    """

    def __init__(self, command: str, message: str) -> None:
        super().__init__(message)
        self.command = command


class ShowAndEnd(argparse.Action):
    """An option that prints *text* of the parser and the option's value, and ends the command."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        text: Callable[["Parser", Any], str],
        nargs: int | None = 0,
        **settings: Any,
    ) -> None:
        super().__init__(option_strings, dest, nargs, default=argparse.SUPPRESS, **settings)
        self._text = text

    def __call__(self, parser: Any, _namespace: Any, value: Any, _option: Any = None) -> None:
        """Print the text and end with exit code 0."""
        show(self._text(parser, value), end="")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """The parser of ``stoqapp`` and, by ``add_subparsers``, of its commands.

    Raises:
        UsageError: From `parse_known_args`, and so from all ways to parse.
    """

    def __init__(self, **settings: Any) -> None:
        self._named: dict[str, argparse.Action] = {}
        self._commands: Any = None
        self._found: Any = None
        settings |= {
            "description": textwrap.fill(settings.get("description") or "", 80),
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            "allow_abbrev": False,
            "exit_on_error": False,
            "add_help": False,
        }
        super().__init__(**settings)
        self.add_argument(
            "-h",
            "--help",
            action=ShowAndEnd,
            text=lambda parser, _: parser.format_help(),
            help="print this help",
        )

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Do as argparse; complaints of *type* and *choices* name the option and no value."""
        choices = settings.get("choices")
        if choices is not None or "type" in settings:
            name = next((name for name in names if name.startswith("--")), names[0])
            read = settings.get("type", str)
            settings["type"] = partial(self._read, name, read, choices)
        action = super().add_argument(*names, **settings)
        title = "/".join(action.option_strings) or action.metavar or action.dest
        self._named[str(title)] = action
        return action

    def add_subparsers(self, **settings: Any) -> Any:
        """Do as argparse; a command is required."""
        self._commands = super().add_subparsers(
            **{"title": "commands", "metavar": "command", "dest": "command"}
            | settings
            | {"required": True}
        )
        return self._commands

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Do as argparse, and refuse what is not known."""
        self._found = argparse.Namespace() if namespace is None else namespace
        try:
            found, unknown = super().parse_known_args(args, self._found)
        except argparse.ArgumentError as error:
            raise UsageError(self.prog, self._fault(error.argument_name, args or ())) from None
        if unknown:
            raise UsageError(self.prog, self._unknown(unknown))
        return found, unknown

    def error(self, _message: str) -> NoReturn:
        """Raise the error for a required argument that is missing.

        With ``exit_on_error=False``, argparse calls this for nothing else.
        """
        raise UsageError(self.prog, self._fault(None, ()))

    def _read(
        self,
        name: str,
        read: Callable[[str], Any],
        choices: Collection[Any] | None,
        text: str,
    ) -> Any:
        try:
            value = read(text)
        except argparse.ArgumentTypeError as error:
            raise UsageError(self.prog, f"{name}: {error}") from None
        except ValueError:
            raise UsageError(self.prog, f"{name}: cannot be used as it is given") from None
        if choices is not None and value not in choices:
            hint = did_you_mean(value, choices)
            raise UsageError(self.prog, f"{name}: must be {listed(choices)}{hint}")
        return value

    def _fault(self, name: str | None, words: Sequence[str]) -> str:
        """Return what is wrong with the argument *name*, None where a required one is missing."""
        action = self._named.get(name or "")
        if action is not None and action.nargs == 0:
            return f"{name}: takes no value"
        if action is not None and action.option_strings:
            option = action.option_strings[-1]
            return f"{option}: needs a value; one that begins with '-' is given as {option}=VALUE"
        if self._commands is not None:
            word = next((word for word in words if not word.startswith("-")), "")
            said = f"there is no such command{did_you_mean(word, self._commands.choices)}; "
            return f"{said if name else ''}give a command: {listed(self._commands.choices)}"
        missing = [
            title
            for title, action in self._named.items()
            if action.required and getattr(self._found, action.dest, None) in (None, [])
        ]
        return f"required: {', '.join(missing)}"

    def _unknown(self, words: Iterable[str]) -> str:
        options = [option for action in self._named.values() for option in action.option_strings]
        for word in words:
            if typed := _OPTION.match(word):
                return f"unknown option {typed[1]}{did_you_mean(typed[1], options)}"
        if any(word.startswith("-") for word in words):
            return "unknown option"
        return "a stray argument: every value belongs to an option"


def did_you_mean(word: object, choices: Iterable[Any]) -> str:
    """Return a hint at the choice that is most like *word*, empty where none is."""
    close = difflib.get_close_matches(str(word), [str(choice) for choice in choices], 1)
    return f" (did you mean {close[0]}?)" if close else ""


def listed(names: Iterable[Any]) -> str:
    """Return *names* like ``email, sms or push``."""
    *first, last = map(str, names)
    return f"{', '.join(first)} or {last}" if first else last


def whole_number(text: str) -> int:
    """Return the number in *text*, for the *type* of an option.

    Raises:
        argparse.ArgumentTypeError: It is not a whole number.
    """
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)
