"""scripts/setup and scripts/test, with a stand-in for Python: what they make, run and print."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Writes down what it is asked for. An environment that it makes holds a copy of it; its pytest ends
# in what it was told to.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$ASKED"
case "$*" in
  --version) echo Python 3.13.0 ;;
  "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  "-c import os;"*) echo 3 ;;
  "-m pytest"*) exit "$ENDS" ;;
esac
"""


class Checkout:
    """A checkout that holds what the scripts read; its folder has a space in its name."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._asked = folder / "check out", folder / "asked"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in ("check out/pyproject.toml", "check out/constraints.txt", "asked"):
            (folder / name).touch()
        python = folder / "a b" / "python3"
        python.parent.mkdir()
        python.write_text(PYTHON)
        python.chmod(0o755)
        for name, value in {"PYTHON": python, "ASKED": self._asked, "ENDS": "4"}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.delenv("STOQAPP_VENV", raising=False)
        monkeypatch.chdir(folder)

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a script from another folder."""
        words, pipe = [self.root / "scripts" / script, *arguments], subprocess.PIPE
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True)

    def asked(self, beginning: str) -> list[str]:
        """Return what Python was asked for, where it begins so."""
        lines = self._asked.read_text("utf-8").splitlines()
        return [line for line in lines if line.startswith(beginning)]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout for one test."""
    return Checkout(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("said", "place"), [(None, "check out/.venv"), ("./deep/rel venv", "./deep/rel venv")]
)
def test_where_the_environment_goes(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, said: str | None, place: str
) -> None:
    """It goes into the checkout or where STOQAPP_VENV says, seen from where setup was started.

    PYTHON is one path, whatever is in it, and a second run uses what the first one made.
    """
    if said:
        monkeypatch.setenv("STOQAPP_VENV", said)
    venv = f"{Path.cwd()}/{place}"
    for told in ("setup: installing packages", f"setup: using {venv}"):
        with checkout.start("setup") as running:
            printed, complained = running.communicate(timeout=60)
        assert (0, f"{venv}/bin/python\n") == (running.returncode, printed), complained
        assert told == complained.splitlines()[-1]
    assert [f"-m venv --clear {venv}"] == checkout.asked("-m venv")


@pytest.mark.skipif(shutil.which("flock") is None, reason="NOT TRIED: there is no flock here")
def test_one_at_a_time(checkout: Checkout) -> None:
    """While another setup works on the checkout, it waits, and changes nothing."""
    with (checkout.root / "scripts" / "setup").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = checkout.start("setup")
        assert running.stderr is not None
        assert "setup: waiting for another one" in running.stderr.readline()
        assert [] == checkout.asked("-m")
    with running:
        assert "setup: installing packages" in running.communicate(timeout=60)[1]
    assert 0 == running.returncode


def test_the_suite_is_run_and_timed(checkout: Checkout) -> None:
    """scripts/test hands its arguments on, ends in what pytest ends in, and tells the time."""
    with checkout.start("test", "-k", "one word") as running:
        complained = running.communicate(timeout=60)[1]
    assert 4 == running.returncode
    assert re.search(r"^test: took \d+ s$", complained, re.MULTILINE)
    assert ["-m pytest -n 3 --dist worksteal -k one word"] == checkout.asked("-m pytest")


def test_the_quick_part_is_there(checkout: Checkout) -> None:
    """Each module, and each test, that --quick names is there."""
    with checkout.start("test", "--quick") as running:
        running.communicate(timeout=60)
    [asked] = checkout.asked("-m pytest")
    named = [word.split("::") for word in asked.split() if word.startswith("tests/")]
    assert len(named) > 1
    for path, *test in named:
        text = (ROOT / path).read_text("utf-8")
        assert all(f"def {name}(" in text for name in test)
