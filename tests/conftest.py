"""What the test modules share: both modes of the client, cassettes, and a sandbox."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from calling import Caller
from hypothesis import HealthCheck, settings
from vcr import VCR
from vcr.cassette import Cassette
from vcr.persisters.filesystem import FilesystemPersister
from vcr.request import Request

from stoqapp import Budget
from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import SHOWN_HEADERS, scrubbed_answer

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
    """Load and save cassettes as vcrpy does, with their metadata, which pytest-recording drops."""
    vcr.register_persister(FilesystemPersister)


@pytest.fixture(scope="session")
def vcr_cassette_dir() -> str:
    """The folder of all cassettes."""
    from record_cassettes import CASSETTES

    return str(CASSETTES)


@pytest.fixture
def recorded_service(request: pytest.FixtureRequest, record_mode: str) -> str:
    """The base URL that is in the cassette; while recording, that of a sandbox in its place."""
    if record_mode == "none":
        cassette: Cassette = request.getfixturevalue("vcr")
        return str(cassette.requests[0].uri).removesuffix(INTENTS_PATH)
    from record_cassettes import RATE_LIMIT

    sandbox: Sandbox = request.getfixturevalue("stoq_sandbox")
    sandbox.configure(rate_limit=RATE_LIMIT)
    request.node.callspec.params["scenario"].prepare(sandbox)
    return sandbox.base_url


@pytest.fixture
def vcr_config(request: pytest.FixtureRequest, record_mode: str) -> dict[str, Any]:
    """Compare what the spec asks for, keep only what may be kept, and record only the sandbox."""
    service = BASE_URL
    if record_mode != "none":
        if "recorded_service" not in request.fixturenames:
            pytest.skip("only replays")
        service = request.getfixturevalue("recorded_service")

    def shown(sent: Request) -> Request:
        uri = sent.uri.replace(service, BASE_URL)
        headers = {name: sent.headers[name] for name in SHOWN_HEADERS if name in sent.headers}
        return Request(sent.method, uri, sent.body, headers)

    return {
        "match_on": ["method", "uri", "body", "headers"],
        "before_record_request": shown,
        "before_record_response": scrubbed_answer,
    }


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Both modes of the client, one test each."""
    return Caller(request.param)


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
