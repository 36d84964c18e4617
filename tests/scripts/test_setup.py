"""scripts/setup and scripts/test, with a stand-in for Python: what they make, run and print."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# An environment that it makes holds a copy of it. What installs packages waits at the gate, as
# long as there is one; pytest ends in what it was told to.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$ASKED"
case "$*" in
  --version) echo Python 3.13.0 ;;
  "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  "-m pip "*) if [ -p "$GATE" ]; then cat "$GATE"; fi ;;
  "-c import os;"*) echo 3 ;;
  "-m pytest"*) exit "$ENDS" ;;
esac
"""


class Checkout:
    """A checkout that holds what the scripts read; its folder has a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "check out"
        self.gate = folder / "gate"
        self._asked, self._python = folder / "asked", folder / "a b" / "python3"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("setup", "test"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts")
        (self.root / "pyproject.toml").touch()
        (self.root / "constraints.txt").touch()
        self._python.parent.mkdir()
        self._python.write_text(PYTHON)
        self._python.chmod(0o755)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, script: str, *arguments: str, **said: str) -> subprocess.Popen[str]:
        """Start a script from another folder, with what the environment is to say."""
        inherited = {name: value for name, value in os.environ.items() if name != "STOQAPP_VENV"}
        own = {"PYTHON": str(self._python), "ASKED": str(self._asked), "GATE": str(self.gate)}
        running = subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.folder,
            env=inherited | own | said,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(running)
        return running

    def asked(self, *beginnings: str) -> list[str]:
        """Return what Python was asked for, where it begins so."""
        lines = self._asked.read_text("utf-8").splitlines()
        return [line for line in lines if line.startswith(beginnings)]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout; what a test leaves running in it is killed."""
    made = Checkout(tmp_path)
    yield made
    for running in made.started:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


@pytest.mark.parametrize(
    ("said", "place"),
    [({}, "check out/.venv"), ({"STOQAPP_VENV": "./deep/rel venv"}, "./deep/rel venv")],
)
def test_where_the_environment_goes(checkout: Checkout, said: dict[str, str], place: str) -> None:
    """It goes into the checkout or where STOQAPP_VENV says, seen from where setup was started.

    PYTHON is one path, whatever is in it, and a second run uses what the first one made.
    """
    (checkout.folder / "deep").mkdir()
    venv = f"{checkout.folder}/{place}"
    for told in ("setup: installing packages", f"setup: using {venv}"):
        running = checkout.start("setup", **said)
        printed, complained = running.communicate(timeout=60)
        assert (0, f"{venv}/bin/python\n") == (running.returncode, printed), complained
        assert told == complained.splitlines()[-1]
    assert [f"-m venv --clear {venv}"] == checkout.asked("-m venv")


@pytest.mark.skipif(shutil.which("flock") is None, reason="NOT TRIED: there is no flock here")
def test_two_at_once(checkout: Checkout) -> None:
    """The second one waits for the first, and finds its environment made."""
    os.mkfifo(checkout.gate)
    first = checkout.start("setup")
    assert first.stderr is not None
    assert any(line == "setup: installing packages\n" for line in first.stderr)
    second = checkout.start("setup")
    assert second.stderr is not None
    assert second.stderr.readline() == "setup: waiting for another one that is at work here\n"
    with checkout.gate.open("w"):
        checkout.gate.unlink()
    venv = checkout.root / ".venv"
    for running, told in ((first, ""), (second, f"setup: using {venv}\n")):
        assert (f"{venv}/bin/python\n", told) == running.communicate(timeout=60)
        assert running.returncode == 0
    assert 1 == len(checkout.asked("-m venv"))


def test_the_suite_is_run_and_timed(checkout: Checkout) -> None:
    """scripts/test hands its arguments on, ends in what pytest ends in, and tells the time."""
    running = checkout.start("test", "-k", "one word", ENDS="4")
    complained = running.communicate(timeout=60)[1]
    assert 4 == running.returncode
    assert re.search(r"^test: took \d+ s$", complained, re.MULTILINE)
    assert ["-m pytest -n 3 --dist worksteal -k one word"] == checkout.asked("-m pytest")


def test_the_quick_part_is_there(checkout: Checkout) -> None:
    """Each module, and each test, that --quick names is there."""
    assert 0 == checkout.start("test", "--quick", ENDS="0").wait(timeout=60)
    [asked] = checkout.asked("-m pytest")
    named = [word.split("::") for word in asked.split() if word.startswith("tests/")]
    assert len(named) > 1
    for path, *test in named:
        text = (ROOT / path).read_text("utf-8")
        assert all(f"def {name}(" in text for name in test)
