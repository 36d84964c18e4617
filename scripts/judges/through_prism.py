"""A pytest plugin that puts Prism between the tests' clients and each sandbox.

With ``-p judges.through_prism`` a sandbox's ``base_url`` leads to Prism as a validating proxy,
which compares requests and answers with the vendor's file, and on to the sandbox. Whatever Prism
has to say of a test's traffic makes that test fail, unless proxy_explained.toml says why it is no
fault. An entry there that explains nothing, or a test listed there as spoiled that
passes, fails the run.
"""

import json
import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final
from urllib.parse import urlsplit

import h11
import pytest

from judges.explanations import explanations_from_toml
from judges.prism import prism
from stoqapp_sandbox import Sandbox

LIST: Final = Path(__file__).with_name("proxy_explained.toml")

_PROBLEM: Final = "application/problem+json"
_NO_JSON: Final = b'{"error":{"code":"invalid_json","message":"Invalid JSON"}}'


class Tap(ThreadingTCPServer):
    """A port on loopback that leads on to another, and keeps what comes back from there."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        address = urlsplit(upstream)
        self.upstream = (address.hostname, address.port)
        self.streams: list[bytearray] = []
        self._told: Counter[int] = Counter()
        self._lock = threading.Lock()

    def stream(self) -> bytearray:
        """Return where the bytes of a new connection are kept."""
        kept = bytearray()
        with self._lock:
            self.streams.append(kept)
        return kept

    def new_answers(self) -> Iterator[tuple[int, dict[str, str], bytes]]:
        """Yield status, headers and body of each whole answer since the last call."""
        with self._lock:
            streams = list(self.streams)
        for number, kept in enumerate(streams):
            answers = list(answers_in(bytes(kept)))
            yield from answers[self._told[number] :]
            self._told[number] = len(answers)


class _Passage(BaseRequestHandler):
    """One connection: bytes go through as they come, in both directions."""

    server: Tap

    def handle(self) -> None:
        kept = self.server.stream()
        with socket.create_connection(self.server.upstream) as beyond:
            other = {self.request: beyond, beyond: self.request}
            while True:
                for source in select.select(list(other), [], [])[0]:
                    try:
                        received = source.recv(65536)
                        if source is beyond:
                            kept += received
                        if not received:
                            return
                        other[source].sendall(received)
                    except OSError:
                        return


def answers_in(stream: bytes) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """Yield status, headers and body of each whole answer in what a connection has brought."""
    connection = h11.Connection(h11.CLIENT)
    connection.receive_data(stream)
    while connection.trailing_data[0]:
        connection.send(h11.Request(method="POST", target="/", headers=[("Host", "sandbox")]))
        connection.send(h11.EndOfMessage())
        status, headers, body = 0, dict[str, str](), b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return
            if isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
        yield status, headers, body
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


def complaints(status: int, headers: dict[str, str], body: bytes) -> list[str]:
    """Return what Prism says against a request or an answer, as ``STATUS PLACE: MESSAGE``.

    The status is that of the answer that the client was given: for what Prism has refused
    itself, its own.
    """
    found: list[dict[str, Any]] = []
    if headers.get("content-type", "") == _PROBLEM:
        problem = json.loads(body)
        found = problem.get("validation") or [{"message": problem["title"]}]
        for violation in found:
            place = violation.get("location", [])
            if place[:1] != ["response"]:
                violation["location"] = ["request", *place]
    elif "sl-violations" in headers:
        found = json.loads(headers["sl-violations"])
    elif body == _NO_JSON:
        found = [{"location": ["request", "body"], "message": "Invalid JSON"}]
    return [f"{status} {'.'.join(v.get('location', []))}: {v['message']}" for v in found]


class Ways:
    """The way to each sandbox that a test has asked for, and what was seen on it."""

    def __init__(self) -> None:
        self.explanations = explanations_from_toml(LIST)
        self.spoiled = explanations_from_toml(LIST, "spoiled")
        self.statuses: Counter[int] = Counter()
        self.tests = 0
        self.open = ExitStack()
        self._taps: dict[str, Tap] = {}

    def to(self, base_url: str) -> str:
        """Return the URL of a way through Prism to the sandbox at *base_url*."""
        if base_url not in self._taps:
            judge = self.open.enter_context(prism("proxy", "--errors", base_url))
            tap = self.open.enter_context(Tap(judge))
            self.open.callback(tap.shutdown)
            threading.Thread(target=tap.serve_forever, daemon=True).start()
            self._taps[base_url] = tap
        return f"http://127.0.0.1:{self._taps[base_url].server_address[1]}"

    def unexplained(self) -> list[str]:
        """Return the complaints about the traffic of the test that has just run."""
        answers = [answer for tap in self._taps.values() for answer in tap.new_answers()]
        self.statuses.update(status for status, _, _ in answers)
        self.tests += bool(answers)
        return self.explanations.unexplained(text for a in answers for text in complaints(*a))

    def stale(self) -> list[str]:
        """Return the entries of the list that have served for nothing."""
        return [*self.explanations.stale(), *self.spoiled.stale()]


WAYS: Final = pytest.StashKey[Ways]()


def pytest_configure(config: pytest.Config) -> None:
    """Lead each sandbox's base URL through Prism."""
    ways = config.stash[WAYS] = Ways()
    direct: Any = vars(Sandbox)["base_url"]
    through = property(lambda sandbox: ways.to(direct.fget(sandbox)))
    Sandbox.base_url = through  # type: ignore[assignment,method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test whose traffic Prism complains of without a listed reason."""
    ways = item.config.stash[WAYS]
    failure: BaseException | None = None
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever tests fail with
        failure = error
    if unexplained := ways.unexplained():
        pytest.fail("prism says:\n" + "\n".join(unexplained), pytrace=False)
    spoiled = not ways.spoiled.unexplained([item.nodeid])
    if spoiled and failure is None:
        pytest.fail(f"passes, though {LIST.name} lists it as spoiled", pytrace=False)
    if spoiled:
        pytest.skip(f"spoiled by Prism, see {LIST.name}")
    if failure is not None:
        raise failure


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which an entry has gone stale, or nothing went through Prism."""
    ways = session.config.stash[WAYS]
    ways.open.close()
    if session.exitstatus == 0 and (ways.stale() or not ways.tests):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much went through Prism, and what it complained of."""
    ways = config.stash[WAYS]
    answered = ", ".join(f"{count} x {status}" for status, count in sorted(ways.statuses.items()))
    terminalreporter.section("through Prism")
    terminalreporter.line(
        f"{ways.tests} tests sent {ways.statuses.total()} requests through Prism: {answered}"
    )
    terminalreporter.line(f"explained in {LIST.name}:\n{ways.explanations.report()}")
    terminalreporter.line(f"tests spoiled by it:\n{ways.spoiled.report()}")
    for pattern in ways.stale():
        terminalreporter.line(f"STALE, serves for nothing any more: {pattern}", red=True)
