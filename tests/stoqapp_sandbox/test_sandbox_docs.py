"""Every snippet of docs/sandbox.md is run."""

import json
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stoqapp.cli import main
from stoqapp_sandbox import ASSUMPTIONS
from stoqapp_sandbox.catalog import Catalog

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"
SCRIPTS = Path(sysconfig.get_path("scripts"))
HANG_SECONDS = 60
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    """There is no block that the tests below pass over."""
    assert {name for name, _ in BLOCKS} == {"console", "json", "python"}


@pytest.mark.parametrize("source", blocks("python"), ids=lambda source: source.splitlines()[0])
def test_python(source: str, tmp_path: Path) -> None:
    """Each Python snippet runs as it stands, and tests in it pass, in a folder of its own."""
    file = tmp_path / "test_snippet.py"
    file.write_text(source)
    is_test = "def test_" in source
    words = ["-m", "pytest", "-q", "--strict-markers", "-p", "no:xdist"] if is_test else []
    ran = subprocess.run(
        [sys.executable, *words, file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not is_test or f"{source.count('def test_')} passed" in ran.stdout


@pytest.mark.parametrize("text", blocks("json"))
def test_json(text: str) -> None:
    """Each JSON snippet is a catalog that the sandbox takes."""
    assert Catalog.of(catalog=json.loads(text)).has_variant("demo.myshopify.com", 4711)


COMMANDS = [line for text in blocks("console") for line in text.splitlines()]
LIST = "$ stoqapp sandbox --assume list"


@pytest.mark.parametrize("line", [line for line in COMMANDS if line != LIST])
def test_console(line: str, tmp_path: Path) -> None:
    """Each command starts, on a port that is free, and ends well."""
    prompt, command, *words = shlex.split(line)
    assert (prompt, command) == ("$", "stoqapp")
    words = ["0" if word == "8321" else word for word in words]
    with subprocess.Popen(
        [SCRIPTS / command, *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("stoqapp sandbox on http://127.0.0.1:")
        running.send_signal(signal.SIGTERM)
        assert running.communicate(timeout=HANG_SECONDS)[0] == ""
    assert running.returncode == 0


def test_the_list_of_assumptions() -> None:
    """The command that the page names lists every entry, and ends."""
    assert LIST in COMMANDS
    ran = subprocess.run(
        [SCRIPTS / "stoqapp", *LIST.split()[2:]],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert [name for name in ASSUMPTIONS if f"{name} (" not in ran.stdout] == []


def test_every_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """The table names each option of the command."""
    with pytest.raises(SystemExit):
        main(["sandbox", "--help"])
    options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert options
    assert options <= set(re.findall(r"--[a-z-]+", DOCUMENT.read_text("utf-8")))
