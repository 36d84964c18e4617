"""docs/second-endpoint.md, performed: each of its blocks is put where the page says, and works."""

import asyncio
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from trees import ROOT, imported_from

from pipeline.exits import Exit
from stoqapp.spec import BASE_URL, SPEC

WALK = (ROOT / "docs" / "second-endpoint.md").read_text("utf-8")
PAGES = Path(__file__).with_name("pages")
LISTED = "/external/intents.json" in SPEC.document["paths"]
pytestmark = pytest.mark.skipif(LISTED, reason="NOT TRIED: openapi.json has the endpoint already")
COPIED = ["overlays", "generated", "scripts", "openapi.json", "pyproject.toml"]


# Of each block its file, where in it, beside which line, and the text.
STEPS: list[tuple[str, str, str, str]] = re.findall(
    r"^In `(.+?)`, ([a-z ]+?)(?: `(.+)`)?:\n\n```\w+\n((?:.*\n)*?)```$", WALK, re.MULTILINE
)


def put(path: Path, what: str, anchor: str, block: str) -> None:
    """Do what the line above a block says."""
    assert path.exists() == (what != "new")
    lines = path.read_text("utf-8").splitlines(keepends=True) if anchor else []
    found = [number for number, line in enumerate(lines) if line.startswith(anchor)] or [0]
    at = found[-1 if what == "before the last" else 0]
    if indentation := anchor[: -len(anchor.lstrip())]:
        # The page shows it without its indentation.
        block = textwrap.indent(block, indentation) + "\n"
    lines[at : at + (what == "instead of")] = [block]
    path.write_text("".join(lines), "utf-8")


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout on which the walk was performed."""
    root = tmp_path_factory.mktemp("walked")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    ours = f"# Create\n\n```json\n{(ROOT / 'openapi.json').read_text('utf-8')}```\n"
    (root / "create-an-intent.md").write_text(ours, "utf-8")
    listed = (PAGES / "list-intents.md").read_text("utf-8")
    # The vendor's pages are of one OpenAPI release, and of one server.
    listed = listed.replace('"3.0.3"', json.dumps(SPEC.document["openapi"]))
    listed = listed.replace("https://app.stoqapp.com/api/v1", BASE_URL)
    (root / "list-intents.md").write_text(listed, "utf-8")
    pages = [str(root / name) for name in ("create-an-intent.md", "list-intents.md")]
    said = io.StringIO()
    with imported_from(*places(root)), redirect_stdout(said):
        update = importlib.import_module("update_spec").main
        assert Exit.DONE == update([*pages, "--yes"])
        for file, *step in STEPS:
            put(root / file, *step)
        assert Exit.DONE == importlib.import_module("regenerate").main([])
    assert "compatible  new: operation" in said.getvalue()
    assert "To edit by hand:\n  nothing\n" in said.getvalue()
    return root


def places(root: Path) -> list[Path]:
    """Where the copy's packages and scripts are."""
    return [root / name for name in ("overlays", "generated", "scripts")]


def service(asked: list[httpx.Request]) -> httpx.MockTransport:
    """Play the service: two pages for the key, after a reset and a 429; `asked` is what it got."""
    failures = iter([httpx.ReadError("reset"), httpx.Response(429, headers={"Retry-After": "0"})])

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.method == "POST":
            return httpx.Response(201, json={"intents": []})
        if request.headers["X-Auth-Token"] != "key":
            return httpx.Response(401)
        failure = next(failures, None)
        if isinstance(failure, Exception):
            raise failure
        page = request.url.params["page"]
        intents = [{"id": page, "status": "new kind", "created_at": "yesterday"}]
        content = {"intents": intents, "page": page, "total_pages": 2}
        return failure or httpx.Response(200, json=content)

    return httpx.MockTransport(answer)


@pytest.mark.usefixtures("waits")
def test_the_walk_works(walked: Path) -> None:
    """Both clients list the intents with retries and errors, and the key goes nowhere else."""
    asked: list[httpx.Request] = []
    with imported_from(*places(walked)):
        from stoq_public_api_client.models import Intent, IntentPage
        from stoqapp import AsyncStoq, HttpOptions, Stoq, UnauthorizedError
        from stoqapp.listing import LIST_PATH

        http = HttpOptions(transport=service(asked))
        options: dict[str, Any] = {"base_url": "https://api.example.com/v1", "http": http}
        with Stoq("demo", budget=None, **options) as stoq:
            first = stoq.list_intents("key", created_after=datetime(2026, 9, 1, tzinfo=UTC))
            assert (["1"], 2) == ([each["id"] for each in first.intents], first.total_pages)
            assert 3 == len(asked)
            assert LIST_PATH == asked[-1].url.path.removeprefix("/v1")
            expected = {"page": "1", "created_after": "2026-09-01T00:00:00+00:00"}
            assert (expected, b"") == (dict(asked[-1].url.params), asked[-1].content)
            with pytest.raises(UnauthorizedError):
                stoq.list_intents("another")
            stoq.subscribe(variant=1, product=2, email="ada@example.com")
            assert "X-Auth-Token" not in asked[-1].headers

        async def second_page() -> Any:
            async with AsyncStoq("demo", budget=None, **options) as stoq:
                return await stoq.list_intents("key", page=2, status="pending")

        assert ["2"] == [each["id"] for each in asyncio.run(second_page()).intents]

        listed = [{"id": "7", "created_at": "2026-09-01T10:00:00Z"}]
        [intent] = IntentPage.from_dict({"intents": listed}).intents
        assert (Intent, 2026) == (type(intent), intent.created_at.year)


def test_a_list_that_is_not_there(walked: Path) -> None:
    """Over a real connection, a 404 is an error, and the next call of the client works."""
    with imported_from(*places(walked)):
        from stoqapp import AsyncStoq, NotFoundError, Stoq
        from stoqapp_sandbox import Sandbox

        async def ask(url: str) -> None:
            async with AsyncStoq("demo", base_url=url) as stoq:
                with pytest.raises(NotFoundError):
                    await stoq.list_intents("key")
                await stoq.subscribe(variant=2, product=2, email="ada@example.com")

        with Sandbox() as sandbox, Stoq("demo", base_url=sandbox.base_url) as stoq:
            with pytest.raises(NotFoundError):
                stoq.list_intents("key")
            stoq.subscribe(variant=1, product=2, email="ada@example.com")
            asyncio.run(ask(sandbox.base_url))
            assert 2 == len(sandbox.intents)


@pytest.mark.skipif(not os.environ.get("STOQAPP_THOROUGH"), reason="NOT TRIED: takes 20 s")
def test_the_walk_passes_the_checks(walked: Path) -> None:
    """What the walk leaves is formatted, typed, and keeps to the layers."""
    for words in (
        ["ruff", "format", "--check", "overlays"],
        ["ruff", "check", "overlays"],
        ["mypy", "overlays/stoqapp"],
    ):
        subprocess.run([sys.executable, "-m", *words], cwd=walked, check=True)
    command = [sys.executable, Path(sys.executable).with_name("lint-imports")]
    path = os.pathsep.join(map(str, places(walked)))
    subprocess.run(command, cwd=walked, check=True, env=os.environ | {"PYTHONPATH": path})


def test_the_walk_is_short() -> None:
    """The walk edits four files by hand, in at most 130 lines."""
    assert {
        "scripts/corrections.json",
        "overlays/stoqapp/listing.py",
        "pyproject.toml",
        "overlays/stoqapp/client.py",
    } == {file for file, *_ in STEPS}
    assert 130 >= sum(text.count("\n") for *_, text in STEPS)
