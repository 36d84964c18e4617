"""The fixture `stoq_sandbox` works in a project that knows of it only by the installed package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HANG_SECONDS = 120
SUBSCRIBE = """
import pytest
from stoqapp import ProcessedWithErrorsError, Stoq
from stoqapp.errors import ConflictError, RateLimitedError

def subscribe(sandbox, **fields):
    wanted = {"variant": 4711, "product": 42, "email": "ada@example.com"} | fields
    with Stoq("demo", base_url=sandbox.base_url, budget=None, max_retries=0) as stoq:
        return stoq.subscribe(**wanted)
"""
PROJECT = (
    SUBSCRIBE
    + """
@pytest.mark.parametrize("run", range(3))
def test_signup(stoq_sandbox, run):
    subscribe(stoq_sandbox)
    assert [intent["email"] for intent in stoq_sandbox.intents] == ["ada@example.com"]
    with pytest.raises(ProcessedWithErrorsError):
        subscribe(stoq_sandbox)

@pytest.mark.stoq_sandbox(assume={"duplicate": "409"}, rate_limit=(4, 60))
class TestMarked:
    def test_conflict(self, stoq_sandbox):
        subscribe(stoq_sandbox)
        with pytest.raises(ConflictError):
            subscribe(stoq_sandbox)
        with pytest.raises(RateLimitedError):
            subscribe(stoq_sandbox)

    @pytest.mark.stoq_sandbox(rate_limit=None, assume={"created_intent": "id"})
    def test_without_limit(self, stoq_sandbox):
        for variant in range(3):
            created = subscribe(stoq_sandbox, variant=variant + 1)
            assert list(created.intents[0]) == ["id"]
        with pytest.raises(ConflictError):
            subscribe(stoq_sandbox, variant=1)

    @pytest.mark.stoq_sandbox(assume={"duplicate": "200"}, rate_limit=None)
    def test_nearest_entry(self, stoq_sandbox):
        subscribe(stoq_sandbox)
        with pytest.raises(ProcessedWithErrorsError):
            subscribe(stoq_sandbox)

def test_marker_is_gone(stoq_sandbox):
    subscribe(stoq_sandbox)
    with pytest.raises(ProcessedWithErrorsError):
        subscribe(stoq_sandbox)
"""
)


def ran(folder: Path, source: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of a project of its own, with warnings as errors."""
    (folder / "test_shop.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -q\n")
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name} | more
    return subprocess.run(
        # Schemathesis takes a second to load.
        [sys.executable, "-m", "pytest", "-p", "no:schemathesis", "--strict-markers", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "words", [[], ["-n", "2"], ["--disable-socket", "--allow-hosts=127.0.0.1"]], ids=str
)
def test_a_fresh_project(tmp_path: Path, words: list[str]) -> None:
    """Each test finds it empty and as its markers say, also in parallel and with sockets closed."""
    done = ran(tmp_path, PROJECT, *words)
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_one_server_for_a_session(tmp_path: Path) -> None:
    """All tests of a session meet the same server, and it has ended when the session has."""
    source = """
seen = []

def test_one(stoq_sandbox):
    seen.append(stoq_sandbox.port)

def test_two(stoq_sandbox):
    assert seen == [stoq_sandbox.port]
"""
    conftest = """
import socket

def pytest_unconfigure(config):
    import test_shop
    try:
        socket.create_connection(("127.0.0.1", test_shop.seen[0]))
    except ConnectionRefusedError:
        print("it has ended")
"""
    (tmp_path / "conftest.py").write_text(conftest)
    done = ran(tmp_path, source, "-s")
    assert "2 passed" in done.stdout
    assert "it has ended" in done.stdout


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ('assume={"duplicate": "408"}', "duplicate must be one of 200, 400, 409"),
        ("assume=7", "assume must be like"),
        ("rate_limits=(1, 2)", "rate_limits"),
        ('{"duplicate": "409"}', "give the options of the marker stoq_sandbox by name"),
    ],
)
def test_a_marker_that_makes_no_sense(tmp_path: Path, marker: str, says: str) -> None:
    """It fails the test that has it, in one line that says what can be given."""
    source = f"""
import pytest

@pytest.mark.stoq_sandbox({marker})
def test_signup(stoq_sandbox):
    pass

def test_next(stoq_sandbox):
    pass
"""
    done = ran(tmp_path, source)
    assert "1 passed, 1 error" in done.stdout
    assert says in done.stdout
    assert "Traceback" not in done.stdout
    assert "During handling" not in done.stdout


def test_without_the_extra(tmp_path: Path) -> None:
    """Only a test that asks for the fixture fails, and it is told what to install."""
    source = """
import sys
sys.modules["uvicorn"] = None

def test_other():
    pass

def test_signup(stoq_sandbox):
    pass
"""
    done = ran(tmp_path, source)
    assert "1 passed, 1 error" in done.stdout
    assert "the sandbox needs the package 'uvicorn': pip install 'stoqapp[sandbox]'" in done.stdout
    assert "Traceback" not in done.stdout
    assert "During handling" not in done.stdout
    assert "ModuleNotFoundError" not in done.stdout


def test_it_costs_nothing_unused(tmp_path: Path) -> None:
    """A run that asks for no sandbox imports no server, no judge and no HTTP client."""
    source = """
import sys

def test_other():
    ours = {name for name in sys.modules if name.startswith("stoqapp")}
    assert ours == {"stoqapp_sandbox", "stoqapp_sandbox.pytest_plugin"}
    assert not {"uvicorn", "httpx", "jsonschema_rs", "attrs"} & set(sys.modules)
"""
    # Plugins of the development environment import some of them.
    words = ("-p", "stoqapp_sandbox.pytest_plugin")
    done = ran(tmp_path, source, *words, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "1 passed" in done.stdout, done.stdout
