"""Every snippet of the README and of docs/ is run."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from stoqapp.sandbox import Sandbox

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = Path(sysconfig.get_path("scripts"))
BEHIND_A_DOOR = {
    # The suite cannot run itself to the end, so the door is tried with an argument for pytest.
    "scripts/test": "scripts/test --version",
    # Recording rewrites the committed cassettes; test_cassettes records them elsewhere.
    ".venv/bin/python scripts/record_cassettes.py": "python scripts/record_cassettes.py --help",
}


def _commands(example: Example) -> None:
    for line in example.parsed.splitlines():
        prompt, _, command = line.partition(" ")
        assert prompt == "$"
        example.namespace["run"](command)


def examples(language: str, path: Path) -> list[Example]:
    parsers = {
        "python": PythonCodeBlockParser(),
        "console": CodeBlockParser("console", _commands),
    }
    document = Document.parse(str(path), parsers[language])
    return list(document.examples())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_of_a_kind_that_is_run(path: Path) -> None:
    """No document has a fenced block that the tests below pass over."""
    opened = re.findall(r"^```(\w*)$", path.read_text("utf-8"), re.MULTILINE)[::2]
    assert set(opened) <= {"python", "console"}
    assert len(opened) == sum(len(examples(language, path)) for language in set(opened))


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(example, id=f"{path.name}-line-{example.line}")
        for path in DOCUMENTS
        for example in examples("python", path)
    ],
)
def test_python(
    example: Example, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each Python snippet runs as it stands, against the sandbox."""
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)
    monkeypatch.chdir(tmp_path)
    example.document.namespace.clear()
    example.evaluate()


@pytest.fixture
def run() -> Iterator[Callable[[str], None]]:
    """Runs a command as a person would; one that serves goes on until the test ends."""
    serving: list[subprocess.Popen[str]] = []
    path = os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def run_one(command: str) -> None:
        # The documents' port may be taken, by another of these tests if by nobody else.
        words = shlex.split(BEHIND_A_DOOR.get(command, command).replace("8321", port))
        if words[0] == "curl" and shutil.which("curl") is None:
            pytest.skip("curl is not installed, so this document's commands are not all run")
        if words[0] == ".venv/bin/python":
            words[0] = sys.executable
        if words[:2] == ["stoqapp", "sandbox"]:
            server = subprocess.Popen(
                words, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True
            )
            serving.append(server)
            assert server.stdout is not None
            assert server.stdout.readline().startswith(
                f"stoqapp sandbox on http://127.0.0.1:{port} "
            )
            return
        subprocess.run(words, cwd=ROOT, env=os.environ | {"PATH": path}, check=True, timeout=120)

    yield run_one
    for server in serving:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
        server.communicate()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_console(run: Callable[[str], None], path: Path) -> None:
    """Each command runs, in the order of the document, and ends well."""
    for example in examples("console", path):
        example.namespace["run"] = run
        example.evaluate()
