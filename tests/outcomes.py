"""What calls must end in: how rows of tables say it, and how they are run."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import evolve, field, frozen
from calling import Caller
from faults import FaultServer, Peer, Request, Script, answers, http

from stoqapp import (
    AnswerError,
    HttpOptions,
    IntentCreated,
    NotSentError,
    OutcomeUnknownError,
    Timeout,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES


def _phases(**seconds: float) -> dict[str, Any]:
    phases = {"connect": 20.0, "read": 20.0, "write": 20.0, "pool": 20.0} | seconds
    return {"timeout": Timeout(**phases), "total_timeout": 40.0}


# The one phase that is waited for in vain is short: for what never comes, for what comes in part.
IMPATIENT, PARTLY = _phases(read=0.05), _phases(read=0.3)
SLOW_CONNECT, SLOW_WRITE = _phases(connect=0.1), _phases(write=0.1)
NO_TURN = _phases(pool=0.1)
# For what comes too slowly, so that only the deadline of the whole call ends it.
# Long enough for a busy machine to connect and send; see `side_by_side`.
HURRIED = {"timeout": 20.0, "total_timeout": 2.0}
LATEST_SECONDS = 5.0
ONE_CONNECTION = HttpOptions(max_connections=1)

INTENT = b'{"intents": [{"id": "77", "channel": "email"}]}'
TAKEN = b'{"errors": ["already waits"]}'
NO = b'{"error": "No"}'
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class Expected:
    """What a call must end in, and what must hold of the outcome or its answer."""

    def __init__(self, kind: type, carried_out: bool | None = None, **more: Any) -> None:
        self._kind = kind
        self._attributes = {"carried_out": carried_out, "attempts": 1} | more

    def check(self, outcome: Any) -> None:
        assert isinstance(outcome, self._kind), repr(outcome)
        seen = {
            name: getattr(outcome, name, getattr(outcome.answer, name, None))
            for name in self._attributes
        }
        assert self._attributes == seen
        if outcome.answer is not None:
            assert len(outcome.answer.body) <= LARGEST_BODY_BYTES


created = partial(Expected, IntentCreated, status=201, complete=True)
ONE = created(ids=("77",))
# What was readable of the body may have been read, so nothing is asked of `ids` here.
CUT = created(complete=False)
unknown = Expected(OutcomeUnknownError)
not_sent = Expected(NotSentError, False)


def refused(status: int, carried_out: bool | None = False, **more: Any) -> Expected:
    """Expect the error of that status; which class it has, the tests of answers hold."""
    return Expected(AnswerError, carried_out, status=status, **more)


@frozen
class Row:
    """One line of a table: what the server does, what comes of it, how the client is made.

    For a *script* of bytes, the server reads the request, answers them and keeps the connection.
    """

    name: str
    script: Script | bytes = field(repr=False)
    expected: Expected
    client: dict[str, Any] = field(factory=dict)

    def run(
        self, caller: Caller, scheme: str = "http", *, is_proxy: bool = False, **client: Any
    ) -> list[Request]:
        """Check the row; return the requests that the server, or a proxy before none, has read."""
        script = answers(self.script) if isinstance(self.script, bytes) else self.script
        with FaultServer(script) as server:
            url = server.url(scheme)
            if is_proxy:
                proxy = f"http://user:secret@127.0.0.1:{server.port}"
                client["http"] = evolve(client.get("http", HttpOptions()), proxy=proxy)
                url = f"{scheme}://127.0.0.1:9/api/v1"
            began = time.monotonic()
            outcome = caller.outcome(url, **self.client, **client)
            seconds = time.monotonic() - began
        self.expected.check(outcome)
        if self.expected is not_sent:
            assert server.requests == []
        else:
            assert server.connections == 1
        if self.client:
            assert seconds < LATEST_SECONDS
        return server.requests


def rows_of(*entries: tuple[Any, ...]) -> list[Row]:
    return [Row(*entry) for entry in entries]


def side_by_side(*calls: Callable[[Caller], object]) -> None:
    """Make the calls in both modes at the same time, since each takes as long as it may."""
    with ThreadPoolExecutor(32) as threads:
        modes = Caller("sync"), Caller("async")
        for made in [threads.submit(call, mode) for call in calls for mode in modes]:
            made.result()


def answered(status: int, body: bytes = b"", *headers: bytes) -> Script:
    return answers(http(status, body, *headers))


def unframed(status: int = 201, *headers: bytes, body: bytes = b"") -> bytes:
    return http(status, body, *headers, length=None)


YES = answered(201, INTENT)


class Gate:
    """A server that answers when it is told to, and says when a request is there."""

    def __init__(self) -> None:
        self.busy = threading.Event()
        self.free = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.read_request()
        self.busy.set()
        self.free.wait()
        peer.send(http(201, INTENT))


def echoes(peer: Peer) -> None:
    """Answer with the address that was in the request, as the intent's id."""
    email = json.loads(peer.read_request().body)["customer"]["email"]
    peer.send(http(201, json.dumps({"intents": [{"id": email}]}).encode()))


@contextmanager
def on_signal(number: int, handler: Any) -> Iterator[Callable[[], None]]:
    """Handle a signal so; return what sends it to the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(number, handler)
    try:
        yield partial(signal.pthread_kill, main, number)
    finally:
        signal.signal(number, before)
