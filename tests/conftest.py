"""What the test modules share: both modes of the client, cassettes, and a sandbox."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from calling import Caller
from hypothesis import HealthCheck, settings
from vcr import VCR
from vcr.persisters.filesystem import FilesystemPersister

from stoqapp import Budget
from stoqapp_sandbox import Sandbox

# A slow machine must not decide a test; whatever profile is in force keeps its other settings.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

SPEC_TESTS = "test_spec.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what openapi.json asks of the code."""
    items.sort(key=lambda item: item.path.name != SPEC_TESTS)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None]:
    """Say last what openapi.json asks of the code: where it has changed, many tests fail for it."""
    yield
    failed = [
        report for report in terminalreporter.getreports("failed") if SPEC_TESTS in report.nodeid
    ]
    if failed:
        terminalreporter.section("openapi.json and the code have parted: begin with these")
        for report in failed:
            terminalreporter.line(report.longreprtext)


def pytest_recording_configure(vcr: VCR) -> None:
    """Load cassettes as vcrpy does: pytest-recording does not read their metadata."""
    vcr.register_persister(FilesystemPersister)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in seconds; the calls of the test pass over them."""
    waits: list[float] = []

    async def pass_over(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr("asyncio.sleep", pass_over)
    return waits


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, waits: list[float]) -> Caller:
    """Both modes of the client, one test each."""
    return Caller(request.param, waits)


@pytest.fixture
def sandbox(stoq_sandbox: Sandbox) -> Sandbox:
    """A running sandbox that holds nothing, by the fixture that users have."""
    return stoq_sandbox


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        missing = "redis-server is not installed (apt-get install redis-server)"
        if os.environ.get("CI"):
            pytest.fail(f"{missing}, and in CI nothing of Redis may go untested")
        pytest.skip(f"{missing}: NOTHING IN REDIS IS TESTED")
    # Its path must fit into the 108 bytes of a Unix socket's address.
    with tempfile.TemporaryDirectory(prefix="stoqapp-redis-") as folder:
        address = Path(folder) / "socket"
        options = ["--port", "0", "--unixsocket", str(address), "--save", "", "--dir", folder]
        server = subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            assert any("ready to accept connections" in line.lower() for line in server.stdout)
            yield f"unix://{address}"
        finally:
            server.terminate()
            server.communicate(timeout=60)


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """The URL of an empty Redis."""
    import redis

    with redis.Redis.from_url(_redis_server) as client:
        client.flushall()
    return _redis_server


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine decides a test, nor what earlier tests used of the rate budget."""
    budget = Budget()
    monkeypatch.setattr("stoqapp.settings.shared_budget", lambda: budget)
    settings = ("STOQ_SHOP", "STOQ_BASE_URL", "STOQ_TIMEOUT", "STOQ_LOG")
    for name in (*settings, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
