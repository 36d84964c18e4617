"""scripts/setup: where the environment goes, what makes it, and that two at once get along."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "scripts" / "setup"

# In the place of Python: an environment that it makes holds a copy of it. What installs packages
# waits at the gate, as long as there is one.
PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$ASKED"
case "$*" in
  --version) echo Python 3.13.0 ;;
  "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  "-m pip "*) if [ -p "$GATE" ]; then cat "$GATE"; fi ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that holds what setup reads; its folder has a space in its name."""
    root = tmp_path / "check out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, root / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        (root / name).touch()
    return root


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """The file that tells what Python's stand-in was asked for."""
    return tmp_path / "asked"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Where the gate stands, for a test that makes one."""
    return tmp_path / "gate"


@pytest.fixture
def start(
    tmp_path: Path, checkout: Path, asked: Path, gate: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the checkout's setup, from another folder, with what the environment is to say."""
    python = tmp_path / "a b" / "python3"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if name != "STOQAPP_VENV"}
    own = {"PYTHON": str(python), "ASKED": str(asked), "GATE": str(gate)}
    started: list[subprocess.Popen[str]] = []

    def start_one(**said: str) -> subprocess.Popen[str]:
        running = subprocess.Popen(
            [checkout / "scripts" / "setup"],
            cwd=tmp_path,
            env=inherited | own | said,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(running)
        return running

    yield start_one
    for running in started:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def made_with(asked: Path) -> list[str]:
    """Return what Python was asked for to make environments and fill them."""
    return [
        line
        for line in asked.read_text("utf-8").splitlines()
        if line.startswith("-m venv") or "--editable" in line
    ]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({}, "check out/.venv"),
        ({"STOQAPP_VENV": "rel venv"}, "rel venv"),
        ({"STOQAPP_VENV": "./deep/rel"}, "./deep/rel"),
    ],
)
def test_where_the_environment_goes(
    start: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    asked: Path,
    said: dict[str, str],
    place: str,
) -> None:
    """It goes into the checkout or where STOQAPP_VENV says, seen from where setup was started.

    PYTHON is one path, whatever is in it, and a second run uses what the first one made.
    """
    (tmp_path / "deep").mkdir()
    for told in ("setup: installing packages", f"setup: using {tmp_path}/{place}"):
        running = start(**said)
        printed, complained = running.communicate(timeout=60)
        assert (0, f"{tmp_path}/{place}/bin/python\n") == (running.returncode, printed), complained
        assert told == complained.splitlines()[-1]
    assert (tmp_path / place / "bin" / "python").exists()
    assert [f"-m venv --clear {tmp_path}/{place}"] == made_with(asked)[:-1]


@pytest.mark.skipif(shutil.which("flock") is None, reason="NOT TRIED: there is no flock here")
def test_two_at_once(
    start: Callable[..., subprocess.Popen[str]], checkout: Path, asked: Path, gate: Path
) -> None:
    """The second one waits for the first, and finds its environment made."""
    os.mkfifo(gate)
    first = start()
    assert first.stderr is not None
    assert any(line == "setup: installing packages\n" for line in first.stderr)
    second = start()
    assert second.stderr is not None
    assert second.stderr.readline() == "setup: waiting for another one that is at work here\n"
    with gate.open("w"):
        gate.unlink()
    venv = checkout / ".venv"
    for running, told in ((first, ""), (second, f"setup: using {venv}\n")):
        assert (f"{venv}/bin/python\n", told) == running.communicate(timeout=60)
        assert running.returncode == 0
    assert len(made_with(asked)) == 2
