"""What the test modules share: both modes of the client, cassettes, and a sandbox."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_socket
import vcr
from hypothesis import HealthCheck, settings
from vcr.cassette import Cassette
from vcr.record_mode import RecordMode
from vcr.request import Request

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, Budget, IntentCreated, Stoq
from stoqapp.rules import SHOP_HEADER
from stoqapp_sandbox import Sandbox

if TYPE_CHECKING:
    from record_cassettes import Scenario

# A slow machine must not decide a test; whatever profile is in force keeps its other settings.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

SPEC_TESTS = "test_spec.py"

REPLAYER = vcr.VCR(
    record_mode=RecordMode.NONE,
    match_on=["method", "scheme", "host", "port", "path", "query", "body", "spec_headers"],
)


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


def _spec_headers(asked: Request, recorded: Request) -> None:
    """Compare the headers that the spec asks for."""
    for name in ("content-type", SHOP_HEADER):
        assert asked.headers[name] == recorded.headers[name]


REPLAYER.register_matcher("spec_headers", _spec_headers)


def email_request(**customer: Any) -> CreateIntentRequest:
    """Return a request that breaks no rule."""
    intent = NewIntent(4711, 42, "email", quantity=1, source="api")
    return CreateIntentRequest(
        intent=intent, customer=Customer(**({"email": "ada@example.com"} | customer))
    )


class Caller:
    """Calls one method of a client that lives for just that call, in one of the two modes.

    Does not wait between attempts: what a client would have waited is in `waits`.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.waits: list[float] = []

    def __repr__(self) -> str:
        return self.mode

    def create_intent(self, request: CreateIntentRequest, **client: Any) -> IntentCreated:
        return self._call(lambda stoq: stoq.create_intent(request), **client)

    def subscribe(self, fields: dict[str, Any], **client: Any) -> IntentCreated:
        return self._call(lambda stoq: stoq.subscribe(**fields), **client)

    def _call(self, call: Callable[[Any], Any], **client: Any) -> IntentCreated:
        # Its requests cannot be made, and so it cannot be imported, where the spec has lost or
        # gained a field that they need: what test_spec says of that must be heard all the same.
        from record_cassettes import SHOP

        settings = {"shop": SHOP, "budget": None, "max_retries": 0} | client
        if self.mode == "sync":
            with Stoq(**settings) as stoq:
                stoq._sleep = self.waits.append
                return call(stoq)

        async def do_not_wait(seconds: float) -> None:
            self.waits.append(seconds)

        async def in_loop() -> IntentCreated:
            async with AsyncStoq(**settings) as stoq:
                stoq._sleep = do_not_wait
                return await call(stoq)

        return asyncio.run(in_loop())


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Both modes of the client, one test each."""
    return Caller(request.param)


def recorded_at(path: Path) -> Path:
    """Return *path*, a cassette's, or fail with the command that records it anew."""
    if not path.is_file():
        from record_cassettes import COMMAND

        pytest.fail(
            f"the cassette {path.name} is lost: record it with `{COMMAND} {path.stem}`",
            pytrace=False,
        )
    return path


@contextmanager
def replayed(scenario: "Scenario") -> Iterator[Cassette]:
    """Replay the scenario's cassette with the network closed; fail unless all of it was played."""
    recorded_at(scenario.path)
    pytest_socket.disable_socket(allow_unix_socket=True)
    try:
        with REPLAYER.use_cassette(str(scenario.path)) as cassette:
            yield cassette
    finally:
        pytest_socket.enable_socket()
    assert cassette.all_played, f"{scenario.path.name} holds an answer that was never asked for"


@pytest.fixture
def replay() -> "Callable[[Scenario], AbstractContextManager[Cassette]]":
    """`replayed`, for tests that name it as an argument."""
    return replayed


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
