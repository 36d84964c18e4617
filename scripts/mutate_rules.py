#!/usr/bin/env python3
"""Measure how well the tests of the rules hold them: break them on purpose, one place at a time.

Each mutant is stoqapp/rules.py or stoqapp/wire.py with one small change; the tests should fail
on it. The mutants are made in memory and the tests run in a copy of the checkout, so nothing in
the checkout changes. A mutant that survives is printed with its diff: it asks for a test, or
shows code that does nothing. The run is repeatable: Hypothesis draws the same examples each time.

Why not mutmut 3, tried at 3.8.1: it leaves code outside functions alone, which is half of the
rules (fields, bounds, the words of the spec); its mutants of functions that run at import never
take effect; it needs packages at the root or in src/; and it picks tests by names on pytest's
command line, where some of ours (half of a surrogate pair, a line break) cannot be given, and
takes pytest's "not found" for a mutant killed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import importlib
import importlib.util
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

try:
    import pytest
except ModuleNotFoundError:
    raise SystemExit(
        "mutate_rules: pytest is missing: run scripts/setup, and this script with the python"
        " that setup prints"
    ) from None

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("generated", "overlays", "scripts", "tests", "openapi.json", "pyproject.toml")
MUTATED = ("rules", "wire")
TESTS = ("tests/test_rules.py", "tests/test_spec.py")
TIMEOUT_SECONDS = 120
# Third-party packages that the tests import: loaded once, before the forks.
PRELOADED = ("hypothesis", "jsonpointer", "jsonschema_rs", "starlette", "uvicorn", "vcr", "httpx")

Place = ast.expr | ast.stmt | ast.keyword

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
}
NAMES = {
    "all": "any",
    "any": "all",
    "endswith": "startswith",
    "startswith": "endswith",
    "fullmatch": "match",
    "search": "match",
    "keys": "values",
    "values": "keys",
}


@dataclass(frozen=True)
class Mutant:
    """One module with one change."""

    module: str
    line: int
    what: str
    source: str


class Source:
    """A module's text, and every mutant of it."""

    def __init__(self, module: str, text: str) -> None:
        self.module = module
        self.text = text
        # ast counts columns in bytes of UTF-8.
        self._bytes = text.encode()
        lengths = (len(line) for line in self._bytes.splitlines(keepends=True))
        self._starts = list(itertools.accumulate(lengths, initial=0))

    def mutants(self) -> list[Mutant]:
        """Make every mutant, each text once."""
        tree = ast.parse(self.text)
        made = {mutant.source: mutant for mutant in self._of(tree, None, in_function=False)}
        made.pop(self.text, None)
        return sorted(made.values(), key=lambda mutant: mutant.line)

    def _of(
        self, node: ast.AST, quoted: ast.JoinedStr | None, *, in_function: bool
    ) -> Iterator[Mutant]:
        in_function = in_function or isinstance(node, ast.FunctionDef)
        if isinstance(node, ast.expr):
            for what, changed in changes(node):
                # Places inside of an f-string are known only from Python 3.12 on, so all of it
                # is written anew.
                place = quoted or node
                text = ast.unparse(copy.deepcopy(place, {id(node): changed}))
                yield self._mutant(what, place, place, f"({text})")
        if quoted is None:
            for test in conditions(node):
                for answer in ("True", "False"):
                    yield self._mutant("condition", test, test, answer)
            for first, last in droppable(node):
                entry = isinstance(node, ast.Dict) or isinstance(first, ast.keyword)
                yield self._mutant("drop", first, last, "**{}" if entry else "*()")
        if isinstance(node, ast.stmt) and in_function:
            yield from self._of_statement(node)
        if isinstance(node, ast.JoinedStr):
            quoted = node
        for child in runtime_children(node):
            yield from self._of(child, quoted, in_function=in_function)

    def _of_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        if self._segment(node, node).startswith(b"elif") or isinstance(node, ast.FunctionDef):
            return
        match node:
            case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
                yield self._mutant("return None", node, node, "return None")
            case ast.Expr(value=ast.Yield()):
                yield self._mutant("no yield", node, node, "yield from ()")
            case ast.Continue():
                yield self._mutant("break", node, node, "break")
            case ast.Break():
                yield self._mutant("continue", node, node, "continue")
        if not isinstance(node, ast.Expr):
            yield self._mutant("no statement", node, node, "pass")

    def _span(self, first: Place, last: Place) -> tuple[int, int]:
        start = self._starts[first.lineno - 1] + first.col_offset
        end = self._starts[(last.end_lineno or 0) - 1] + (last.end_col_offset or 0)
        return start, end

    def _segment(self, first: Place, last: Place) -> bytes:
        start, end = self._span(first, last)
        return self._bytes[start:end]

    def _mutant(self, what: str, first: Place, last: Place, text: str) -> Mutant:
        start, end = self._span(first, last)
        source = (self._bytes[:start] + text.encode() + self._bytes[end:]).decode()
        return Mutant(self.module, first.lineno, what, source)


def runtime_children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of `node` that matter when the code runs: no types, no docstrings."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            match child:
                case ast.Expr(value=ast.Constant()):
                    pass
                # A function that falls off its end returns None too.
                case ast.Return(value=ast.Constant(value=None)) if (
                    isinstance(node, ast.FunctionDef) and child is node.body[-1]
                ):
                    pass
                # zip(strict=True) only guards who edits the tables.
                case ast.keyword(arg="strict"):
                    pass
                case ast.Subscript(value=ast.Name(id=type_)) if (
                    type_[0].isupper() and not type_.isupper()
                ):
                    pass
                case ast.AST():
                    yield child


def changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield what may stand in the place of `node`."""
    match node:
        case ast.Constant(value=bool(flag)):
            yield "flag", ast.Constant(not flag)
        case ast.Constant(value=int(number)):
            yield "number", ast.Constant(number + 1)
            yield "number", ast.Constant(number - 1)
        case ast.Constant(value=str(text)):
            words = regexes(text) if "[" in text else iter(("", f"{text}X"))
            yield from (("text", ast.Constant(word)) for word in words if word != text)
        case ast.Name(id=name) if name in NAMES:
            yield "name", ast.Name(NAMES[name])
        case ast.Attribute(value=value, attr=name) if name in NAMES:
            yield "name", ast.Attribute(value, NAMES[name])
        case ast.Compare(left=left, ops=ops, comparators=right):
            for at, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield (
                        "comparison",
                        ast.Compare(left, [*ops[:at], other(), *ops[at + 1 :]], right),
                    )
        case ast.BoolOp(op=op, values=values):
            yield "and/or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for at in range(len(values)):
                rest = [*values[:at], *values[at + 1 :]]
                yield "operand", ast.BoolOp(op, rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "sign", operand
        case ast.BinOp(left=left, op=ast.BitOr(), right=right_operand):
            yield "operand", left
            yield "operand", right_operand
        case ast.BinOp(left=left, op=operator, right=right_operand) if type(operator) in ARITHMETIC:
            yield "arithmetic", ast.BinOp(left, ARITHMETIC[type(operator)](), right_operand)
        case ast.IfExp(body=body, orelse=orelse):
            yield "condition", body
            yield "condition", orelse
        case ast.FormattedValue(value=value, conversion=conversion) if conversion != -1:
            yield "conversion", ast.FormattedValue(value, -1, node.format_spec)


def conditions(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that `node` only asks for yes or no."""
    match node:
        case ast.If(test=test) | ast.While(test=test):
            return [test]
        case ast.comprehension(ifs=ifs):
            return ifs
    return []


def regexes(pattern: str) -> Iterator[str]:
    """Yield `pattern` without one character, and with one letter, digit or number moved by one."""
    for at, char in enumerate(pattern):
        before, after = pattern[:at], pattern[at + 1 :]
        # "{,9}" is another way to write "{0,9}".
        if not (before + char).endswith("{0"):
            yield before + after
        if char.isalnum() or char > "\x7f":
            yield before + chr(ord(char) + 1) + after
            yield before + chr(ord(char) - 1) + after
    for number in re.finditer("[0-9]+(?=[,}])", pattern):
        for value in (int(number[0]) - 1, int(number[0]) + 1):
            yield pattern[: number.start()] + str(value) + pattern[number.end() :]


def droppable(node: ast.AST) -> Iterator[tuple[Place, Place]]:
    """Yield the first and last part of each entry that `node` could do without."""
    match node:
        case ast.Tuple(elts=parts, ctx=ast.Load()) | ast.List(elts=parts, ctx=ast.Load()):
            yield from ((part, part) for part in parts)
        case ast.Dict(keys=keys, values=values):
            yield from ((key or value, value) for key, value in zip(keys, values, strict=True))
        case ast.Call(args=arguments, keywords=keywords):
            # A call without an argument that it must have fails whatever it does, so of those
            # by position only the last goes.
            yield from ((last, last) for last in arguments[1:][-1:])
            yield from ((keyword, keyword) for keyword in keywords if keyword.arg != "strict")


class Injected(SourceFileLoader):
    """Imports one module from a text of ours instead of its file."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """Compile our text."""
        return compile(self._source, self.path, "exec")


class ExamplesLast:
    """Runs the tests that are quick first."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Move the tests that draw examples to the end."""
        items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)


def tested(mutant: Mutant, tree: Path) -> int:
    """Run the tests on `mutant`, in this very process, and return pytest's exit code."""
    os.chdir(tree)
    sys.path[:0] = [str(tree / "overlays"), str(tree / "generated")]
    name = f"stoqapp.{mutant.module}"
    file = tree / "overlays" / "stoqapp" / f"{mutant.module}.py"
    sys.meta_path.insert(0, Injected(name, str(file), mutant.source))
    # The random bodies of a mutation run find what a hundred find; the tests draw more.
    os.environ["STOQAPP_BODIES"] = "100"
    signal.alarm(TIMEOUT_SECONDS)
    try:
        # All that imports the module; pytest, which comes next, has one code for any mess.
        importlib.import_module("stoqapp.client")
        importlib.import_module("stoqapp_sandbox.service")
    except Exception:  # noqa: BLE001 - a broken module may raise anything
        traceback.print_exc()
        return pytest.ExitCode.TESTS_FAILED
    options = [
        "-x",
        "-q",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=ci",
        *TESTS,
    ]
    return int(pytest.main(options, plugins=[ExamplesLast()]))


def start(mutant: Mutant, tree: Path, log: Path) -> int:
    """Test `mutant` in a fork of this process, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        with log.open("w") as told:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
        code = tested(mutant, tree)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing of what the parent has open or registered may run a second time.
        os._exit(code)


def results(
    mutants: Sequence[Mutant], folder: Path, tree: Path, jobs: int
) -> Iterator[tuple[Mutant, bool]]:
    """Test the mutants, `jobs` at a time, and yield each with whether it survived."""
    waiting = iter(enumerate(mutants))
    running: dict[int, tuple[Mutant, Path]] = {}
    while True:
        for number, mutant in itertools.islice(waiting, jobs - len(running)):
            log = folder / f"{number}.txt"
            running[start(mutant, tree, log)] = mutant, log
        if not running:
            return
        pid, status = os.wait()
        mutant, log = running.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        # A mutant is killed by a test that fails, by a module that cannot be read any more, or by
        # the clock. Anything else says that the measurement is broken, not the mutant.
        killed = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED, -signal.SIGALRM}
        if code and code not in killed:
            told = log.read_text("utf-8", "replace")
            raise SystemExit(f"mutate_rules: pytest ended with {code} on {mutant.what}:\n{told}")
        yield mutant, code == 0


def diff(mutant: Mutant, original: str) -> str:
    """Return what is changed in `mutant`."""
    name = f"overlays/stoqapp/{mutant.module}.py"
    lines = difflib.unified_diff(
        original.splitlines(), mutant.source.splitlines(), name, name, n=1, lineterm=""
    )
    return "\n".join(lines)


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure how well the tests hold the rules.")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default: 2)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose diff has it")
    chosen = parser.parse_args()
    if not hasattr(os, "fork"):
        parser.error("needs a system that can fork")
    for name in PRELOADED:
        importlib.import_module(name)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutate-rules-") as name:
        folder = Path(name)
        tree = folder / "tree"
        tree.mkdir()
        for part in COPIED:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, tree / part)
            else:
                shutil.copy2(ROOT / part, tree / part)
        texts = {
            module: (tree / "overlays" / "stoqapp" / f"{module}.py").read_text("utf-8")
            for module in MUTATED
        }
        whole = [Mutant(module, 0, "no change", text) for module, text in texts.items()]
        if not all(survived for _, survived in results(whole, folder, tree, 1)):
            raise SystemExit(
                f"mutate_rules: {' '.join(TESTS)} fails without a change: run that first"
            )
        mutants = [
            mutant
            for module, text in texts.items()
            for mutant in Source(module, text).mutants()
            if chosen.only in diff(mutant, text)
        ]
        survivors = 0
        for done, (mutant, survived) in enumerate(results(mutants, folder, tree, chosen.jobs), 1):
            if survived:
                survivors += 1
                print(
                    f"survived ({mutant.what}):\n{diff(mutant, texts[mutant.module])}\n", flush=True
                )
            if done % 50 == 0:
                print(f"mutate_rules: {done} of {len(mutants)} tried", file=sys.stderr, flush=True)
    kinds = Counter(mutant.what for mutant in mutants)
    print("mutants by kind:", ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(
        f"{len(mutants)} mutants, {len(mutants) - survivors} killed,"
        f" {survivors} survived; {time.perf_counter() - started:.0f} s"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
