"""The README and docs/: every snippet is run, every name and option is in the reference."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import entry_points, metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from sybil import Document, Example
from sybil.parsers.markdown import PythonCodeBlockParser

import stoqapp
import stoqapp_sandbox
from stoqapp import bulk
from stoqapp.cli import main
from stoqapp.spec import BASE_URL
from stoqapp_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What docs/second-endpoint.md holds is run by test_second_endpoint.
DOCUMENTS = sorted({ROOT / "README.md", *DOCS.glob("*.md")} - {DOCS / "second-endpoint.md"})
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


def snippets(path: Path) -> list[Example]:
    return list(Document.parse(str(path), PythonCodeBlockParser()).examples())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_of_a_kind_that_is_run(path: Path) -> None:
    """No document has a fenced block that the tests below pass over, or Sphinx."""
    opened = re.findall(r"^```(.*)$", path.read_text("utf-8"), re.M)[::2]
    languages = [words for words in opened if not re.match(r"\{[a-z:-]+\}", words)]
    assert set(languages) <= {"python", "console"}
    assert languages.count("python") == len(snippets(path))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python(
    path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each Python snippet of a document runs as it stands, one after another on one sandbox."""
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)
    monkeypatch.chdir(tmp_path)
    for example in snippets(path):
        example.document.namespace.clear()
        example.evaluate()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Runs a command as a person would; a sandbox goes on until the test ends.

    A sandbox takes any free port in place of its own, which another run may be using, and the
    commands after it are sent there. All run beside a copy of the examples, so that what they
    write stays out of the checkout.
    """
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    address_of = {"/api/v1": urlsplit(BASE_URL).path}

    def serve(port: int, **options: Any) -> None:
        serving = running.enter_context(Sandbox(**options))
        address_of[f"127.0.0.1:{port}"] = f"127.0.0.1:{serving.port}"

    def run_one(command: str) -> None:
        words = shlex.split(command) + ["--help"] * (command in ASKED_FOR_HELP)
        for written, taken in address_of.items():
            words = [word.replace(written, taken) for word in words]
        match words:
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

    monkeypatch.setattr(stoqapp_sandbox, "serve", serve)
    with ExitStack() as running:
        yield run_one


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_console(run: Callable[[str], None], path: Path) -> None:
    """Each command runs, in the order of the document, and ends well."""
    for block in re.findall(r"^```console\n(.*?)^```$", path.read_text("utf-8"), re.M | re.S):
        for line in block.splitlines():
            prompt, _, command = line.partition(" ")
            assert "$" == prompt
            run(command)


def page(name: str) -> str:
    """Return a page of docs/."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def reference() -> set[str]:
    """Return what the pages of the reference show, by its full name; a module for all in it."""
    shown = set()
    for part in ("reference", "reference-import"):
        module = ""
        for directive, name in re.findall(r"^ *\.\. (\w+:?\w+):: ([\w.]+)$", page(part), re.M):
            if directive in ("automodule", "py:currentmodule"):
                module = name
            shown.add(name if directive == "automodule" or "." in name else f"{module}.{name}")
    return shown


def test_every_public_name_is_in_the_reference() -> None:
    """The reference has each name of __all__, and each module of the import with all that is in it.

    scripts/docs fails for one that is not there.
    """
    names = {f"stoqapp.bulk.{path.stem}" for path in Path(bulk.__path__[0]).glob("[!_]*.py")}
    names.add("stoqapp.outbox")
    for package in (stoqapp, stoqapp_sandbox):
        names |= {f"{package.__name__}.{name}" for name in package.__all__}
    assert set() == names - reference(), "add them to docs/reference.md"


def test_every_command_is_in_the_documentation() -> None:
    """docs/command-line.md shows the help of each command, and so every option."""
    shown = re.findall(r"^```{program-output} stoqapp(.*) --help$", page("command-line"), re.M)
    commands = ["create", *entry_points(group="stoqapp.commands").names]
    assert {"", *(f" {name}" for name in commands)} == set(shown)


def test_every_example_is_a_recipe() -> None:
    """docs/ shows each program of examples/, on the page of recipes or of the sandbox."""
    files = (ROOT / "examples").rglob("*.*")
    programs = {str(one.relative_to(ROOT)) for one in files if one.suffix in (".py", ".html")}
    assert set() == {
        name for name in programs if f"../{name}\n" not in page("recipes") + page("sandbox")
    }


def test_the_links_of_the_readme_work_everywhere() -> None:
    """The README links to the web alone, and of our site to sections that are there."""
    readme = (ROOT / "README.md").read_text("utf-8")
    links = re.findall(r"\]\((.*?)\)", readme)
    assert [] == [link for link in links if not link.startswith("https://")]
    urls = dict(one.split(", ") for one in metadata("stoqapp").get_all("Project-URL", []))
    pages = re.findall(rf"{urls['Documentation']}([\w-]+)\.html(?:#([\w-]+))?", readme)
    assert pages
    for name, section in pages:
        headings = re.findall(r"^#+ (.*)$", page(name), re.M)
        assert not section or section in [one.lower().replace(" ", "-") for one in headings]
