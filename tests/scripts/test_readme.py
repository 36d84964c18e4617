"""Every snippet of the README and of docs/ is run."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from stoqapp.spec import BASE_URL
from stoqapp_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
# What docs/sandbox.md holds is run by test_sandbox_docs, what docs/second-endpoint.md holds by
# test_second_endpoint, and docs/judges.md names what CI runs.
ELSEWHERE = {"judges.md", "sandbox.md", "second-endpoint.md"}
DOCUMENTS = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in ELSEWHERE),
]
SCRIPTS = Path(sysconfig.get_path("scripts"))
BEHIND_A_DOOR = {
    # The suite cannot run itself to the end, so the door is tried with an argument for pytest.
    "scripts/test": "scripts/test --version",
    # Installing needs the network; .ci/run installs the wheel with these extras.
    "pip install '.[phones,sandbox]'": "python -m pip show --quiet stoqapp",
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_order(
    path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The Python snippets of a document also run one after another, on one sandbox."""
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)
    monkeypatch.chdir(tmp_path)
    for example in examples("python", path):
        example.evaluate()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Runs a command as a person would; one that serves goes on until the test ends.

    A server takes any free port in place of its own, which another run may be using, and the
    commands after it are sent there. `stoqapp` runs beside a copy of the examples, so that what
    it writes stays out of the checkout.
    """
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    serving: list[subprocess.Popen[str]] = []
    address_of: dict[str, str] = {}
    path = os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])

    def run_one(command: str) -> None:
        for written, taken in address_of.items():
            command = command.replace(written, taken)
        command = command.replace("/api/v1", urlsplit(BASE_URL).path)
        words = shlex.split(BEHIND_A_DOOR.get(command, command))
        if words[0] == "curl" and shutil.which("curl") is None:
            pytest.skip("curl is not installed, so this document's commands are not all run")
        if words[0] == ".venv/bin/python":
            words[0] = sys.executable
        if words[:2] == ["stoqapp", "sandbox"]:
            at = words.index("--port") + 1
            port, words[at] = words[at], "0"
            server = subprocess.Popen(
                words, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True
            )
            serving.append(server)
            assert server.stdout is not None
            said = re.match(
                r"stoqapp sandbox on http://(127\.0\.0\.1:\d+) ", server.stdout.readline()
            )
            assert said
            address_of[f"127.0.0.1:{port}"] = said[1]
            return
        folder = tmp_path if words[0] == "stoqapp" else ROOT
        subprocess.run(words, cwd=folder, env=os.environ | {"PATH": path}, check=True, timeout=120)

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
