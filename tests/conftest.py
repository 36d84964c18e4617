"""What the test modules share: both modes of the client, cassettes, and a sandbox."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from vcr import VCR
from vcr.persisters.filesystem import FilesystemPersister
from vcr.request import Request

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, Budget, IntentCreated, Stoq
from stoqapp.spec import BASE_URL
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import SHOWN_HEADERS, scrubbed_answer

if TYPE_CHECKING:
    from faults import FaultServer
    from outcomes import Make

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
    """The base URL that is in the cassettes; while recording, that of a sandbox in its place."""
    if record_mode == "none":
        return BASE_URL
    from record_cassettes import RATE_LIMIT

    sandbox: Sandbox = request.getfixturevalue("stoq_sandbox")
    sandbox.configure(rate_limit=RATE_LIMIT)
    request.node.callspec.params["scenario"].prepare(sandbox)
    return sandbox.base_url


@pytest.fixture
def vcr_config(request: pytest.FixtureRequest, record_mode: str) -> dict[str, Any]:
    """Compare what the spec asks for, keep only what may be kept, and record only the sandbox."""
    if record_mode != "none":
        if "recorded_service" not in request.fixturenames:
            pytest.skip("only replays")
        request.getfixturevalue("recorded_service")

    def shown(sent: Request) -> Request:
        uri = re.sub(r"http://127\.0\.0\.1:[0-9]+/api/v1", BASE_URL, sent.uri)
        headers = {name: sent.headers[name] for name in SHOWN_HEADERS if name in sent.headers}
        return Request(sent.method, uri, sent.body, headers)

    return {
        "match_on": ["method", "uri", "body", "headers"],
        "before_record_request": shown,
        "before_record_response": scrubbed_answer,
    }


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

    def create_intent(
        self, request: CreateIntentRequest, call: Mapping[str, Any] | None = None, **client: Any
    ) -> IntentCreated:
        return self._call(lambda stoq: stoq.create_intent(request, **call or {}), **client)

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


@pytest.fixture
def session(caller: Caller) -> Iterator["Make"]:
    """Make a client of either mode that lives for several calls, and is closed in the end."""
    # It imports this module.
    from outcomes import Session

    with ExitStack() as stack:

        def make(server: "FaultServer", **client: Any) -> Session:
            made = Session(caller.mode, server, **client)
            stack.callback(made.close)
            return made

        yield make


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
