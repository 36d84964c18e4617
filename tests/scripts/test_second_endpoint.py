"""docs/second-endpoint.md, performed: each of its blocks is put where the page says, and works."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
WALK = (ROOT / "docs" / "second-endpoint.md").read_text("utf-8")
PAGES = Path(__file__).with_name("pages")
COPIED = ["overlays", "generated", "scripts", "openapi.json", "pyproject.toml"]


@frozen
class Step:
    """A block of the page: the file, where in it, and the text."""

    file: str
    where: str
    text: str


STEPS = [
    Step(*found)
    for found in re.findall(
        r"^<!-- ([^,\n]+), ([^\n]+) -->\n```\w+\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL
    )
]


def put(root: Path, step: Step) -> None:
    """Do what the comment above a block says."""
    path = root / step.file
    what, _, anchor = step.where.partition(": ")
    if what == "new":
        assert not path.exists()
        path.write_text(step.text, "utf-8")
        return
    text = path.read_text("utf-8")
    if what == "instead of":
        assert 1 == text.count(f"    {anchor}\n")
        path.write_text(text.replace(f"    {anchor}\n", step.text), "utf-8")
        return
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.startswith(anchor)]
    at = places[0 if what == "before the first" else -1]
    block = step.text
    if indentation := anchor[: -len(anchor.lstrip())]:
        # A method, which the page shows without its indentation.
        block = textwrap.indent(block, indentation) + "\n"
    path.write_text("".join([*lines[:at], block, *lines[at:]]), "utf-8")


# Plays the service with two pages; runs on the walked copy.
PROBE = """
import asyncio, json, sys
from datetime import UTC, datetime
import httpx
from stoq_public_api_client.models import Intent, IntentPage
from stoqapp import AsyncStoq, HttpOptions, NotFoundError, Stoq, UnauthorizedError
from stoqapp.listing import LIST_PATH
from stoqapp_sandbox import Sandbox

asked, faults = [], [httpx.ReadError("reset"), 429]

def service(request):
    asked.append(request)
    assert "POST" == request.method or "X-Auth-Token" in request.headers
    if request.headers.get("X-Auth-Token") != "key":
        status = 201 if request.method == "POST" else 401
        return httpx.Response(status, json={"intents": []})
    if faults:
        fault = faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return httpx.Response(fault, headers={"Retry-After": "0"})
    page = int(request.url.params["page"])
    intents = [{"id": f"{page}", "status": "new kind", "created_at": "yesterday"}]
    return httpx.Response(200, json={"intents": intents, "page": page, "total_pages": 2})

options = {"base_url": "https://api.example.com/v1", "budget": None}
http = HttpOptions(transport=httpx.MockTransport(service))
with Stoq("demo", http=http, **options) as stoq:
    stoq._sleep = lambda seconds: None
    first = stoq.list_intents("key", created_after=datetime(2026, 9, 1, tzinfo=UTC))
    assert ["1"] == [intent["id"] for intent in first.intents], first
    assert 2 == first.total_pages
    assert 3 == len(asked), asked
    url = asked[-1].url
    assert LIST_PATH == url.path.removeprefix("/v1"), url
    assert {"page": "1", "created_after": "2026-09-01T00:00:00+00:00"} == dict(url.params)
    assert b"" == asked[-1].content
    try:
        stoq.list_intents("another")
    except UnauthorizedError as error:
        assert 401 == error.status
    else:
        raise AssertionError("the key was not looked at")
    stoq.subscribe(variant=1, product=2, email="ada@example.com")
    assert "X-Auth-Token" not in asked[-1].headers

async def second_page():
    async with AsyncStoq("demo", http=http, **options) as stoq:
        return await stoq.list_intents("key", page=2, status="pending")

assert ["2"] == [intent["id"] for intent in asyncio.run(second_page()).intents]
# The sandbox has no such list: over a real connection, that is told, and the next call works.
async def over_a_connection(url):
    async with AsyncStoq("demo", base_url=url) as stoq:
        try:
            await stoq.list_intents("key")
        except NotFoundError:
            return await stoq.subscribe(variant=2, product=2, email="ada@example.com")

with Sandbox() as sandbox, Stoq("demo", base_url=sandbox.base_url) as stoq:
    try:
        stoq.list_intents("key")
    except NotFoundError as error:
        assert 404 == error.status
    stoq.subscribe(variant=1, product=2, email="ada@example.com")
    asyncio.run(over_a_connection(sandbox.base_url))
    assert 2 == len(sandbox.intents)

typed = IntentPage.from_dict({"intents": [{"id": "7", "created_at": "2026-09-01T10:00:00Z"}]})
assert isinstance(typed.intents[0], Intent)
assert 2026 == typed.intents[0].created_at.year
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout on which the walk was performed."""
    root = tmp_path_factory.mktemp("walked")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    block = f"# Create\n\n```json\n{(ROOT / 'openapi.json').read_text('utf-8')}```\n"
    (root / "create-an-intent.md").write_text(block, "utf-8")
    shutil.copy(PAGES / "list-intents.md", root)
    update = ["scripts/update_spec.py", "create-an-intent.md", "list-intents.md", "--yes"]
    said = run(root, *update)
    assert "compatible  new: operation" in said
    assert "To edit by hand:\n  nothing\n" in said
    for step in STEPS:
        put(root, step)
    assert "written" in run(root, "scripts/regenerate.py")
    return root


def run(root: Path, *command: str) -> str:
    """Run Python in the copy; return what it printed."""
    places = os.pathsep.join(str(root / name) for name in ("overlays", "generated"))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr + done.stdout
    return done.stdout


def test_the_walk_works(walked: Path) -> None:
    """Both clients list the intents with retries and errors, and the key goes nowhere else."""
    run(walked, "-c", PROBE)


@pytest.mark.skipif(not os.environ.get("STOQAPP_THOROUGH"), reason="NOT TRIED: takes 20 s")
def test_the_walk_passes_the_checks(walked: Path) -> None:
    """What the walk leaves is formatted, typed, and keeps to the layers."""
    for words in (
        ["ruff", "format", "--check", "overlays"],
        ["ruff", "check", "overlays"],
        ["mypy", "overlays/stoqapp"],
    ):
        run(walked, "-m", *words)
    run(walked, str(Path(sys.executable).with_name("lint-imports")))


def test_the_walk_is_short() -> None:
    """The walk edits four files by hand, in at most 130 lines."""
    assert {
        "scripts/corrections.json",
        "overlays/stoqapp/listing.py",
        "pyproject.toml",
        "overlays/stoqapp/client.py",
    } == {step.file for step in STEPS}
    assert 130 >= sum(len(step.text.splitlines()) for step in STEPS)
