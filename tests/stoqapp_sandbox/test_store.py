"""What the sandbox keeps: every request, in memory or in a file that survives, until a reset."""

import resource
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sending import (
    CLIENT,
    HANG_SECONDS,
    HEADERS,
    PATH,
    SHOP,
    SMS,
    VALID,
    body,
    get,
    head_of,
    received,
    send,
    send_many,
    sent_raw,
    started,
)

from stoqapp_sandbox import Sandbox, SandboxError

REQUESTS = "/_sandbox/requests"


def test_requests_are_kept_as_they_came(sandbox: Sandbox) -> None:
    """Stored and refused alike are listed with request and answer, oldest first."""
    created, refused = send(sandbox), send(sandbox, b"\xff", X_Any="1")
    stored, wrong = get(sandbox, REQUESTS)
    assert (stored["number"], stored["method"], stored["path"]) == (1, "POST", PATH)
    assert (stored["shop"], stored["status"], stored["fault"]) == (SHOP, 201, None)
    assert (stored["body"].encode(), stored["answer"]) == (VALID, created.text)
    assert [stored["intent"]] == created.json()["intents"]
    assert (wrong["number"], wrong["status"], wrong["intent"]) == (2, 400, None)
    assert (wrong["body_base64"], wrong["headers"]["x-any"]) == ("/w==", "1")
    assert (wrong["answer"], wrong["answer_headers"]["content-type"]) == (
        refused.text,
        "application/json",
    )


def test_requests_can_be_followed(sandbox: Sandbox) -> None:
    """After a number come the later ones, as many as asked for, at most 100."""
    send_many(sandbox, [b"{"] * 103)
    assert [request["number"] for request in get(sandbox, f"{REQUESTS}?after=101")] == [102, 103]
    assert [request["number"] for request in get(sandbox, f"{REQUESTS}?limit=2")] == [1, 2]
    assert len(get(sandbox, f"{REQUESTS}?limit=1000")) == 100
    for query in ("after=x", "after=-1", "before=3"):
        assert send(sandbox, b"", "GET", f"{REQUESTS}?{query}").status_code == 400


def test_a_request_without_headers(sandbox: Sandbox) -> None:
    """HTTP/1.0 asks for none; the request can be repeated all the same."""
    received(sandbox, f"GET {PATH} HTTP/1.0\r\n\r\n".encode())
    [request] = get(sandbox, REQUESTS)
    assert ({}, "curl -i -X GET") == (request["headers"], request["curl"][:14])
    assert "httpx.request(" in request["python"]


def test_what_a_browser_asks_by_itself_is_not_kept(sandbox: Sandbox) -> None:
    """A read outside of the API is answered and not listed; anything else is listed."""
    for method, path in (("GET", "/favicon.ico"), ("GET", PATH), ("POST", "/favicon.ico")):
        send(sandbox, b"", method, path)
    listed = [(request["method"], request["path"]) for request in get(sandbox, REQUESTS)]
    assert listed == [("GET", PATH), ("POST", "/favicon.ico")]


def test_old_refused_requests_keep_only_their_line(sandbox: Sandbox) -> None:
    """Of the refused, the newest 1,000 keep their bodies; what was stored keeps its body always."""
    send_many(sandbox, [VALID, *[b"{"] * 1002])
    oldest = get(sandbox, f"{REQUESTS}?limit=5")
    assert [VALID.decode(), None, None, "{", "{"] == [request["body"] for request in oldest]
    assert oldest[1] == oldest[1] | {"status": 400, "headers": None, "answer": None, "curl": None}


@pytest.mark.parametrize(
    "start_over",
    [
        lambda sandbox: sandbox.configure(assume={"refused_status": "422"}),
        Sandbox.reset,
        lambda sandbox: send(sandbox, b"", "POST", "/_sandbox/reset").raise_for_status(),
    ],
    ids=["configure", "reset", "reset-by-http"],
)
def test_a_request_that_crosses_a_reset(
    sandbox: Sandbox, start_over: Callable[[Sandbox], object]
) -> None:
    """It is answered 503, leaves nothing behind, and meets no fault."""
    send(sandbox)
    head = head_of(Expect="100-continue", Connection="close")
    with sent_raw(sandbox, head) as crossing, crossing.makefile("rb") as answer:
        # Said once the sandbox waits for the body.
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        start_over(sandbox)
        sandbox.fail_next(418)
        crossing.sendall(VALID)
        assert b" 503 " in answer.read()
    assert get(sandbox, REQUESTS) == []
    assert [send(sandbox).status_code for _ in range(2)] == [418, 201]
    assert [intent["id"] for intent in sandbox.intents] == ["1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state file that is not there yet."""
    return tmp_path / "state.sqlite"


def test_intents_customers_and_ids_survive(file: Path) -> None:
    """After a restart the intents are there, the customer is known, and ids go on.

    After the end the state is one file, which can be copied, and others cannot read.
    """
    with Sandbox(state=file) as first:
        send(first)
        stored = first.intents
    assert stored == first.intents
    assert [file] == list(file.parent.iterdir())
    assert file.stat().st_mode & 0o777 == 0o600
    other = body(customer__email="other@lovelace.org")
    with Sandbox(state=str(file)) as second:
        assert stored == second.intents
        assert send(second).status_code == 200
        assert send(second, body(customer__id="1", **SMS)).status_code == 200
        for sent in (body(intent__shopify_variant_id=12), other):
            assert send(second, sent).status_code == 201
        known = [(intent["id"], intent["customer_id"]) for intent in second.intents]
        assert known == [("1", "1"), ("2", "1"), ("3", "3")]
        second.reset()
    with Sandbox(state=file) as third:
        assert third.intents == []
        assert send(third, other).json()["intents"][0]["id"] == "1"


def test_answered_intents_survive_a_kill(file: Path) -> None:
    """Whatever was answered is there after kill -9, and no id is given twice."""
    sent = [body(customer__email=f"{n}@lovelace.org") for n in range(3)]
    with started("--state", file) as (running, url):
        for one in sent:
            assert CLIENT.post(url + PATH, json=one, headers=HEADERS).status_code == 201
        running.kill()
        assert running.wait(HANG_SECONDS) == -signal.SIGKILL
    with Sandbox(state=file) as sandbox:
        assert send(sandbox).status_code == 201
        assert ["1", "2", "3", "4"] == [intent["id"] for intent in sandbox.intents]


def test_the_next_may_start_while_the_one_before_ends(file: Path) -> None:
    """A sandbox waits a moment for the file of one that is on its way out."""
    first, second = Sandbox(state=file), Sandbox(state=file)
    with ThreadPoolExecutor(1) as thread:
        with first:
            send(first)
            starting = thread.submit(second.__enter__)
        assert starting.result(HANG_SECONDS) is second
    assert len(get(second, "/_sandbox/intents")) == 1
    second.__exit__(None, None, None)


def test_two_sandboxes_on_one_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is refused, and the first one goes on."""
    connect = sqlite3.connect
    # It does not wait for the first one to end.
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **more: connect(*a, **more | {"timeout": 0}))
    with Sandbox(state=file) as first:
        says = "is in use, perhaps by another sandbox: end that one"
        with pytest.raises(SandboxError, match=says), Sandbox(state=file):
            pass
        assert send(first).status_code == 201


def changed_by(*statements: str) -> Callable[[Path], None]:
    """Return what writes a state with one intent, and then runs SQL on it."""

    def make(file: Path) -> None:
        with Sandbox(state=file) as sandbox:
            send(sandbox)
        connection = sqlite3.connect(file, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return make


def other_database(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE precious (value)")
    connection.close()


def torn(file: Path) -> None:
    changed_by()(file)
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (file.stat().st_size - 4096))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: file.write_text("short"), "cannot be used (file is not a database)"),
        (lambda file: file.write_bytes(b"precious " * 2000), "file is not a database"),
        (lambda file: file.mkdir(), "cannot be used (unable to open database file)"),
        (lambda file: file.parent.rmdir(), "cannot be used (No such file or directory)"),
        (other_database, "was not written by this version of the sandbox: give another path"),
        (changed_by("PRAGMA user_version = 7"), "was not written by this version"),
        (torn, "cannot be used (database disk image is malformed)"),
        (changed_by("DROP TABLE requests"), "cannot be used (no such table: requests)"),
    ],
    ids=["text", "long", "folder", "no-folder", "database", "version", "torn", "no-table"],
)
def test_a_file_that_cannot_be_used(file: Path, make: Callable[[Path], Any], says: str) -> None:
    """It is refused in one line with the reason, is not changed, and is left unlocked."""
    make(file)
    before = file.read_bytes() if file.is_file() else None
    sandbox = Sandbox(state=file)
    for _ in range(2):
        with pytest.raises(SandboxError) as caught, sandbox:
            pass
        assert f"the state file {file}" in str(caught.value)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    assert before == (file.read_bytes() if file.is_file() else None)


def test_an_empty_file_becomes_a_state(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of no bytes, as mktemp makes it, is taken; a relative path stays where it was."""
    file.touch()
    monkeypatch.chdir(file.parent)
    sandbox = Sandbox(state=file.name)
    monkeypatch.chdir("/")
    with sandbox:
        assert sandbox.intents == []
    assert file.stat().st_size > 0


def test_nothing_is_answered_that_could_not_be_stored(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the file cannot take it, answer and log say which file and why, not what was sent."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = body(customer__name="Lovelace" * 100_000, intent__shopify_variant_id=12)
    with Sandbox(state=file) as sandbox:
        send(sandbox)
        # As on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, usual[1]))
        try:
            refused = send(sandbox, large)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert refused.status_code == 500
        assert f"the state file {file} cannot be used (" in refused.json()["error"]
        assert refused.json()["error"] in caplog.text
        assert "Lovelace" not in caplog.text + refused.text
        assert len(sandbox.intents) == 1
        assert send(sandbox, large).status_code == 201
