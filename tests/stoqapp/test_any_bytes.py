"""Whatever bytes a server answers with, a call ends in one of its outcomes, in both modes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from calling import Caller, Session
from faults import FaultServer, answers, answers_and_closes, chunked, compressed, http
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stoqapp import AnswerError, IntentCreated, OutcomeUnknownError
from stoqapp.http.attempt import LARGEST_BODY_BYTES

Both = tuple[FaultServer, tuple[Session, Session]]


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    """A server, and a client of each mode for it."""
    with (
        FaultServer(answers()) as server,
        Caller("sync").client(server.url()) as sync,
        Caller("async").client(server.url()) as asynchronous,
    ):
        yield server, (sync, asynchronous)


def dicts_of(values: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | dicts_of(inner, "id", "email", "created_at"),
    max_leaves=12,
)
said = dicts_of(json_values, "intents", "errors", "message", "retry_after")
texts = (json_values | said).map(json.dumps)
bodies = st.one_of(
    st.binary(max_size=200),
    texts.map(str.encode),
    texts.map(lambda text: compressed(text.encode())),
    st.binary(max_size=50).map(chunked),
)
NAMES = (
    b"Connection Content-Encoding Content-Length Content-Type Date Location Retry-After Set-Cookie"
    b" Transfer-Encoding X-RateLimit-Remaining X-RateLimit-Reset X-Request-Id"
).split()
VALUES = (
    b"|0|-1|2|99999999999999999999|1e999|nan|close|upgrade|chunked|gzip|deflate|br, gzip|http://["
    b"|Sun, 06 Nov 2033 08:49:37 GMT|Sun, 99 Nov 99999 99:99:99 GMT|a=b; Max-Age=9; Domain=.; Port="
).split(b"|")
header_lines = st.tuples(
    st.sampled_from(NAMES) | st.binary(max_size=12),
    st.sampled_from(VALUES) | st.binary(max_size=20),
).map(b": ".join)
wild_answers = st.builds(
    lambda status, body, headers, **line: http(status, body, *headers, length=None, **line),
    st.integers(-1, 1100) | st.sampled_from([100, 101, 103, 200, 201, 201, 204, 304, 429, 503]),
    bodies,
    st.lists(header_lines, max_size=5),
    reason=st.binary(max_size=10),
    version=st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"http/1.1", b""]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An answer in which some bytes were cut out, put in, or doubled."""
    answer = draw(wild_answers)
    start = draw(st.integers(0, len(answer)))
    end = draw(st.integers(start, min(len(answer), start + 20)))
    new = draw(st.binary(max_size=6) | st.just(answer[start:end] * 2))
    return answer[:start] + new + answer[end:]


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300) | wild_answers | mutated())
@example(b"")
@example(b"HTTP/1.1 201 Created\r\n\r\n")
@example(b"HTTP/1.1 400 Bad Request\r\n")
@example(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI *")
@example(b"HTTP/1.1 302 Found\r\nLocation: mailto:a\r\n\r\n")
@example(b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08")
def test_any_bytes_end_in_an_outcome(both: Both, answer: bytes) -> None:
    """Any bytes make an outcome, the same in both modes; a status line decides it alone."""
    server, clients = both
    server.will(answers_and_closes(answer))
    seen = []
    for client in clients:
        outcome = client.outcome()
        server.ended.acquire()
        assert isinstance(outcome, IntentCreated | AnswerError | OutcomeUnknownError)
        assert outcome.attempts == 1
        assert str(outcome) + repr(outcome)
        messages = getattr(outcome, "messages", ())
        assert all(isinstance(message, str) for message in messages)
        seen.append((type(outcome), outcome.answer, messages))
    assert seen[0] == seen[1]
    kind, came, _ = seen[0]
    assert (came is None) == (kind is OutcomeUnknownError)
    if came is not None:
        assert (kind is IntentCreated) == (came.status == 201)
        assert len(came.body) <= LARGEST_BODY_BYTES
    if line := re.match(rb"HTTP/1\.[01] ([2-9][0-9]{2}) [^\n]*\n", answer):
        assert came is not None
        assert came.status == int(line[1])
