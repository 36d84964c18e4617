"""Every snippet of the README and of docs/ is run."""

import re
import shlex
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from stoqapp.cli import main
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
# What other tests run in full, and what cannot be run here, is asked for its help.
ASKED_FOR_HELP = {
    # By test_demo.
    "scripts/demo",
    # The suite cannot run itself.
    "scripts/test",
    # By test_regenerate.
    ".venv/bin/python scripts/regenerate.py --check",
    # It rewrites the committed cassettes; test_cassettes records them elsewhere.
    ".venv/bin/python scripts/record_cassettes.py",
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python(
    path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each Python snippet of a document runs as it stands, one after another on one sandbox."""
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)
    monkeypatch.chdir(tmp_path)
    for example in examples("python", path):
        example.document.namespace.clear()
        example.evaluate()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Runs a command as a person would; one that serves goes on until the test ends.

    A server takes any free port in place of its own, which another run may be using, and the
    commands after it are sent there. All run beside a copy of the examples, so that what they
    write stays out of the checkout.
    """
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    serving: list[subprocess.Popen[str]] = []
    address_of: dict[str, str] = {}

    def serve(words: list[str]) -> None:
        at = words.index("--port") + 1
        port, words[at] = words[at], "0"
        server = subprocess.Popen(
            [SCRIPTS / words[0], *words[1:]], stdout=subprocess.PIPE, text=True
        )
        serving.append(server)
        assert server.stdout is not None
        said = re.match(r"stoqapp sandbox on http://([\d.]+:\d+) ", server.stdout.readline())
        assert said
        address_of[f"127.0.0.1:{port}"] = said[1]

    def run_one(command: str) -> None:
        words = shlex.split(command) + ["--help"] * (command in ASKED_FOR_HELP)
        for written, taken in address_of.items():
            words = [word.replace(written, taken) for word in words]
        words = [word.replace("/api/v1", urlsplit(BASE_URL).path) for word in words]
        match words:
            case ["stoqapp", "sandbox", *_]:
                serve(words)
            case ["stoqapp", *arguments]:
                assert 0 == main(arguments)
            case [".venv/bin/python", script, *arguments]:
                with pytest.raises(SystemExit, match=r"^0$"):
                    import_module(Path(script).stem).main(arguments)
            case ["pip", "install", wanted]:
                # Installing needs the network; .ci/run installs the wheel with these extras.
                there = metadata("stoqapp").get_all("Provides-Extra", [])
                assert set(Requirement(f"stoqapp{wanted[1:]}").extras) <= set(there)
            case ["curl", *_] if shutil.which("curl") is None:
                pytest.skip("curl is not installed, so this document's commands are not all run")
            case [name, *arguments]:
                program = ROOT / name if "/" in name else name
                subprocess.run([program, *arguments], check=True, timeout=120)

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
