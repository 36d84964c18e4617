"""What calls must end in: how rows of tables say it, and how they are run."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import field, frozen
from calling import Caller, email_request
from faults import FaultServer, Peer, Request, Script, answers, http

from record_cassettes import SHOP
from stoqapp import (
    AnswerError,
    AsyncStoq,
    HttpOptions,
    IntentCreated,
    NotSentError,
    OutcomeUnknownError,
    Stoq,
    StoqError,
    Timeout,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES

# For what must come to an end by itself: long, so that a busy machine decides nothing.
PATIENT = {"timeout": 20.0, "total_timeout": 40.0}
# For what never comes: the one phase that is waited for in vain is short.
IMPATIENT = {"timeout": Timeout(connect=20, read=0.2, write=20, pool=20), "total_timeout": 40.0}
SLOW_CONNECT = {"timeout": Timeout(connect=0.3, read=20, write=20, pool=20), "total_timeout": 40.0}
# For what comes too slowly, so that only the deadline of the whole call ends it.
HURRIED = {"timeout": 20.0, "total_timeout": 0.4}
LATEST_SECONDS = 5.0
ONE_CONNECTION = HttpOptions(max_connections=1)

INTENT = b'{"intents": [{"id": "77", "channel": "email"}]}'
TAKEN = b'{"errors": ["is already waiting"]}'
NO = b'{"error": "No"}'

Outcome = IntentCreated | StoqError
UNSET: Any = object()


@frozen
class Expected:
    """What a call must end in; what is left unset may be anything."""

    kind: type
    carried_out: bool | None = None
    status: int = 201
    complete: bool = UNSET
    messages: tuple[str, ...] = UNSET
    retry_after: float | None = UNSET
    intents: int = UNSET
    body: bytes = UNSET
    attempts: int = 1

    def check(self, outcome: Outcome) -> None:
        assert type(outcome) is self.kind, repr(outcome)
        assert outcome.attempts == self.attempts
        if isinstance(outcome, StoqError):
            assert outcome.carried_out is self.carried_out
        if isinstance(outcome, IntentCreated | AnswerError):
            answer = outcome.answer
            assert answer.status == self.status
            assert len(answer.body) <= LARGEST_BODY_BYTES
            seen = {"complete": answer.complete, "body": answer.body}
            seen["intents"] = len(getattr(outcome, "intents", ()))
            for name in ("messages", "retry_after"):
                seen[name] = getattr(outcome, name, UNSET)
            wanted = {name: getattr(self, name) for name in seen}
            assert {name: value for name, value in wanted.items() if value is not UNSET} == {
                name: seen[name] for name in seen if wanted[name] is not UNSET
            }


created = partial(Expected, IntentCreated, complete=True, intents=0)
ONE = created(intents=1)
# What was readable of the body may have been read, so nothing is asked of `intents` here.
CUT = Expected(IntentCreated, complete=False)
unknown = Expected(OutcomeUnknownError, None)
not_sent = Expected(NotSentError, False)


def refused(kind: type, status: int, **more: Any) -> Expected:
    return Expected(kind, False, status, **more)


@frozen
class Row:
    """One line of a table: what the server does, what comes of it, how the client is made.

    For a *script* of bytes, the server reads the request, answers them and keeps the connection.
    """

    name: str
    script: Script | bytes = field(repr=False)
    expected: Expected
    client: dict[str, Any] = PATIENT

    def run(self, caller: Caller, scheme: str = "http", **client: Any) -> None:
        with self.server() as server:
            began = time.monotonic()
            options = {"base_url": server.url(scheme)} | self.client | client
            outcome = ask(caller, **options)
            seconds = time.monotonic() - began
        self.expected.check(outcome)
        if self.expected is not_sent:
            assert server.requests == []
        else:
            assert server.connections == 1
        if self.client is not PATIENT:
            assert seconds < LATEST_SECONDS

    def run_behind(self, caller: Caller, scheme: str, **options: Any) -> list[Request]:
        """Let the script be a proxy in front of nothing; return the requests that it read."""
        with self.server() as proxy:
            url = f"http://user:secret@127.0.0.1:{proxy.port}"
            http_options = HttpOptions(proxy=url, **options)
            base_url = f"{scheme}://127.0.0.1:9/api/v1"
            self.expected.check(ask(caller, base_url, http=http_options, **self.client))
        return proxy.requests

    def server(self) -> FaultServer:
        return FaultServer(answers(self.script) if isinstance(self.script, bytes) else self.script)


def rows_of(*entries: tuple[Any, ...]) -> list[Row]:
    rows = [Row(*entry) for entry in entries]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    return rows


def outcome_of(call: Callable[[], IntentCreated]) -> Outcome:
    try:
        return call()
    except StoqError as error:
        return error


def ask(caller: Caller, base_url: str, **client: Any) -> Outcome:
    """Return what one call of a client with these options comes to."""
    return outcome_of(lambda: caller.create_intent(email_request(), base_url=base_url, **client))


def answered(status: int, body: bytes = b"", *headers: bytes) -> Script:
    return answers(http(status, body, *headers))


def unframed(status: int = 201, *headers: bytes, body: bytes = b"") -> bytes:
    return http(status, body, *headers, length=None)


class Session:
    """One client for several calls, in one of the two modes, behind one blocking interface."""

    def __init__(self, mode: str, server: FaultServer, **client: Any) -> None:
        settings = {"budget": None, "max_retries": 0, **PATIENT} | client
        self._runner = asyncio.Runner() if mode == "async" else None
        kind = Stoq if mode == "sync" else AsyncStoq
        self.stoq: Any = kind(SHOP, base_url=server.url(), **settings)

    def do(self, call: Callable[[Any], Any]) -> Any:
        if self._runner is None:
            return call(self.stoq)

        async def in_loop() -> Any:
            return await call(self.stoq)

        return self._runner.run(in_loop())

    def outcome(self, **client: Any) -> Outcome:
        stoq = self.stoq.with_options(**client) if client else self.stoq
        return outcome_of(lambda: self.do(lambda _: stoq.create_intent(email_request())))

    def close(self) -> None:
        self.do(lambda stoq: stoq.close())
        if self._runner is not None:
            self._runner.close()


Make = Callable[..., Session]


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
    """Answer with the address that was in the request."""
    email = json.loads(peer.read_request().body)["customer"]["email"]
    peer.send(http(201, json.dumps({"intents": [{"email": email}]}).encode()))
