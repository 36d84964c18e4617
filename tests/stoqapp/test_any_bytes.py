"""Whatever bytes a server answers with, a call ends in one of its outcomes, in both modes."""

import json
import re
import zlib
from collections.abc import Iterator

import pytest
from attrs import frozen
from faults import FaultServer, answers, answers_and_closes, compressed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from outcomes import Outcome, Session

from stoqapp import (
    AnswerError,
    IntentCreated,
    IntentRefusedError,
    OutcomeUnknownError,
    ProcessedWithErrorsError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
)
from stoqapp.http.attempt import LARGEST_BODY_BYTES


@frozen
class Both:
    """A server, and a client of each mode for it."""

    server: FaultServer
    clients: tuple[Session, Session]

    def outcomes(self, answer: bytes) -> list[Outcome]:
        """Return what *answer*, after which the server closes, comes to in each mode."""
        self.server.will(answers_and_closes(answer))
        outcomes = []
        for client in self.clients:
            outcomes.append(client.outcome())
            self.server.ended.acquire()
        return outcomes


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with FaultServer(answers()) as server:
        clients = Session("sync", server), Session("async", server)
        yield Both(server, clients)
        for client in clients:
            client.close()


# The parts of an answer -----------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
said = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("intents", "errors", "error", "message", "retry_after"), json_values),
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda value: json.dumps(value).encode(), json_values | said),
    st.builds(lambda value: compressed(json.dumps(value).encode()), said),
    st.builds(lambda value: compressed(json.dumps(value).encode(), zlib.MAX_WBITS), said),
    st.builds(lambda value: b"%x\r\n%b\r\n0\r\n\r\n" % (len(value), value), st.binary(max_size=50)),
)
NAMES = (
    b"Connection Content-Encoding Content-Type Date Location Retry-After Set-Cookie"
    b" X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset X-Request-Id"
).split()
FRAMING = [b"Content-Length", b"Transfer-Encoding"]
VALUES = (
    b"|0|-1|2|99999999999999999999|1e999|nan|close|keep-alive|upgrade|chunked|gzip|deflate|none"
    b"|identity|br, gzip|Sun, 06 Nov 2033 08:49:37 GMT|Sun, 99 Nov 99999 99:99:99 GMT|http://["
    b"|http://xn--a/|mailto:a|//"
    b"|a=b; Expires=Sun, 06 Nov 99999 08:49:37 GMT; Max-Age=9; Domain=.; Port="
).split(b"|")
# What RFC 9110 lets a field value hold, obsolete bytes included.
field_texts = st.builds(
    lambda codes: bytes(codes).strip(b" \t"),
    st.lists(st.sampled_from([9, *range(32, 127), *range(128, 256)]), max_size=30),
)
odd_names = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True).map(str.encode)
plain_headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES)
        | odd_names.filter(lambda name: name.title() not in [*FRAMING, b"Upgrade"]),
        st.sampled_from(VALUES) | field_texts,
    ),
    max_size=5,
)
wild_headers = st.lists(
    st.tuples(
        st.sampled_from(NAMES + FRAMING) | st.binary(max_size=12),
        st.sampled_from(VALUES) | st.binary(max_size=20),
    ),
    max_size=5,
)


def written(
    status: object,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    reason: bytes = b"So",
    version: bytes = b"HTTP/1.1",
) -> bytes:
    lines = [b" ".join([version, str(status).encode(), reason])]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])


wild_answers = st.builds(
    written,
    st.integers(-1, 1100) | st.sampled_from([100, 101, 103, 200, 201, 201, 204, 304, 429, 503]),
    wild_headers,
    bodies,
    st.binary(max_size=10),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/1.2", b"http/1.1", b""]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An answer in which some bytes were cut out, put in, or doubled."""
    answer = draw(wild_answers)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(answer)))
        end = draw(st.integers(start, min(len(answer), start + 20)))
        new = draw(st.binary(max_size=6) | st.just(answer[start:end] * 2))
        answer = answer[:start] + new + answer[end:]
    return answer


quick = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@quick
@given(st.binary(max_size=300) | wild_answers | mutated())
@example(b"")
@example(b"HTTP/1.1 201 Created\r\n\r\n")
@example(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI *")
@example(b"HTTP/1.1 302 Found\r\nLocation: mailto:a\r\n\r\n")
@example(b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08")
def test_any_bytes_end_in_an_outcome(both: Both, answer: bytes) -> None:
    """No bytes make anything else than an outcome, and they make the same one in both modes."""
    outcomes = both.outcomes(answer)
    for outcome in outcomes:
        assert isinstance(outcome, IntentCreated | AnswerError | OutcomeUnknownError)
        assert outcome.attempts == 1
        assert str(outcome)
        assert repr(outcome)
        if isinstance(outcome, IntentCreated | AnswerError):
            assert isinstance(outcome, IntentCreated) == (outcome.answer.status == 201)
            assert len(outcome.answer.body) <= LARGEST_BODY_BYTES
            assert all(isinstance(message, str) for message in outcome.messages)
    sync, asynchronous = outcomes
    assert type(sync) is type(asynchronous)
    if isinstance(sync, IntentCreated | AnswerError):
        assert sync.answer == asynchronous.answer
        assert sync.messages == asynchronous.messages


def kind_of(status: int) -> type:
    named = {200: ProcessedWithErrorsError, 201: IntentCreated, 429: RateLimitedError}
    by_hundreds = {4: IntentRefusedError, 5: ServerError}
    return named.get(status) or by_hundreds.get(status // 100) or UnexpectedAnswerError


@quick
@given(
    status=st.integers(200, 999) | st.sampled_from([200, 201, 201, 201, 302, 404, 429, 500, 503]),
    headers=plain_headers,
    body=bodies,
    length=st.none() | st.integers(0, 300),
    before=st.lists(st.sampled_from([100, 102, 103, 199]), max_size=2),
    cut=st.none() | st.integers(0, 200),
)
@example(302, [(b"Location", b"http://[")], b"", None, [], None)
@example(400, [], b"", None, [], 0)
@example(
    201, [(b"Set-Cookie", b"a=b; Expires=Sun, 06 Nov 99999 08:49:37 GMT")], b"", 0, [100], None
)
def test_the_status_line_decides(
    both: Both,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    length: int | None,
    before: list[int],
    cut: int | None,
) -> None:
    """The outcome is that of the status line, whatever follows it, and wherever that is cut."""
    if length is not None:
        headers = [*headers, (b"Content-Length", b"%d" % length)]
    early = b"".join(written(status, [], b"") for status in before)
    status_line, _, rest = written(status, headers, body).partition(b"\r\n")
    answer = early + status_line + b"\r\n" + rest[:cut]
    for outcome in both.outcomes(answer):
        assert isinstance(outcome, kind_of(status)), repr(outcome)
        assert isinstance(outcome, IntentCreated | AnswerError)
        assert outcome.answer.status == status
        if isinstance(outcome, AnswerError):
            wait = outcome.retry_after
            assert wait is None or 0 <= wait < float("inf")
            turned_away = 400 <= status < 500 or status == 200
            turned_away = turned_away or (status == 503 and wait is not None)
            assert outcome.carried_out is (False if turned_away else None)
            assert re.match(rf"STOQ answered {status}: ", str(outcome))
