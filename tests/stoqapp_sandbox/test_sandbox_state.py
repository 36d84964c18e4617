"""What the sandbox holds survives in its state file: restarts, kills and mistaken files."""

import json
import os
import signal
import sqlite3
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stoqapp import Stoq
from stoqapp.errors import ProcessedWithErrorsError
from stoqapp_sandbox import Sandbox, SandboxError
from stoqapp_sandbox.state import State

STOQAPP = Path(sysconfig.get_path("scripts")) / "stoqapp"
HANG_SECONDS = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state file that is not there yet."""
    return tmp_path / "state.sqlite"


def subscribe(url: str, name: str, **fields: Any) -> dict[str, Any]:
    with Stoq("demo", base_url=f"{url}/api/v1", budget=None, max_retries=0) as stoq:
        wanted = {"variant": 4711, "product": 42, "email": f"{name}@example.com"}
        [intent] = stoq.subscribe(**wanted | fields).intents
        return dict(intent)


@contextmanager
def program(file: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``stoqapp sandbox`` on the file; yields it with its URL, and ends it."""
    command = [STOQAPP, "sandbox", "--state", str(file), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line, running.communicate(timeout=HANG_SECONDS)
            yield running, line.split()[3]
        finally:
            running.kill()


def test_intents_customers_and_ids_survive(file: Path) -> None:
    """After a restart the intents are there, the customer is known, and ids go on."""
    with Sandbox(state=file) as first:
        ada = subscribe(first.url, "ada")
        stored = first.intents
    with Sandbox(state=str(file)) as second:
        assert stored == second.intents
        with pytest.raises(ProcessedWithErrorsError):
            subscribe(second.url, "ada")
        with pytest.raises(ProcessedWithErrorsError):
            subscribe(second.url, "other", customer_id=ada["customer_id"])
        again = subscribe(second.url, "ada", variant=4712)
        other = subscribe(second.url, "other")
    assert [again["id"], other["id"]] == ["2", "3"]
    assert [again["customer_id"], other["customer_id"]] == ["1", "2"]
    assert [intent["id"] for intent in second.intents] == ["1", "2", "3"]


def test_a_reset_survives_too(file: Path) -> None:
    """What was forgotten stays forgotten after a restart, and ids begin anew."""
    with Sandbox(state=file) as sandbox:
        subscribe(sandbox.url, "ada")
        sandbox.reset()
    with Sandbox(state=file) as sandbox:
        assert sandbox.intents == []
        assert subscribe(sandbox.url, "ada")["id"] == "1"


def test_answered_intents_survive_kills(file: Path) -> None:
    """Whatever was answered is there after kill -9, time and again, and no id is given twice."""
    answered: list[str] = []
    for round_number in range(4):
        with program(file) as (running, url):
            for number in range(3):
                answered.append(subscribe(url, f"{round_number}-{number}")["id"])
            running.kill()
            assert running.wait(HANG_SECONDS) == -signal.SIGKILL
    assert [str(number) for number in range(1, 13)] == answered
    with Sandbox(state=file) as sandbox:
        assert answered == [intent["id"] for intent in sandbox.intents]


def test_quick_restarts(file: Path) -> None:
    """The next sandbox may start while the one before is still on its way out."""
    for number in range(1, 4):
        with program(file) as (running, url):
            assert subscribe(url, f"{number}")["id"] == str(number)
            running.send_signal(signal.SIGTERM)
            with program(file) as (_, next_url):
                answer = httpx.get(f"{next_url}/_sandbox/intents", timeout=HANG_SECONDS)
                assert len(answer.json()) == number
            assert running.wait(HANG_SECONDS) == 0


def test_a_clean_end_leaves_one_file(file: Path) -> None:
    """After the end the state is one file, which can be copied, and others cannot read."""
    with Sandbox(state=file) as sandbox:
        subscribe(sandbox.url, "ada")
    assert [file] == list(file.parent.iterdir())
    assert file.stat().st_mode & 0o077 == 0


def refusal_of(file: Path) -> str:
    """Return the one line with which the command refuses *file*."""
    ran = subprocess.run(
        [STOQAPP, "sandbox", "--state", file],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    return ran.stderr


def test_two_sandboxes_on_one_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is refused, whichever process it is in, and the first one goes on."""
    monkeypatch.setattr("stoqapp_sandbox.state._BUSY_SECONDS", 0.05)
    with Sandbox(state=file) as first:
        with pytest.raises(SandboxError, match=r"state\.sqlite is in use, by another sandbox"):
            Sandbox(state=file).__enter__()
        assert "is in use, by another sandbox perhaps: end that one" in refusal_of(file)
        assert subscribe(first.url, "ada")["id"] == "1"


def other_database(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE precious (value)")
    connection.close()


def other_version(file: Path) -> None:
    with State(file).transaction() as connection:
        connection.execute("PRAGMA user_version = 7")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: file.write_text("short"), "cannot be used .file is not a database."),
        (lambda file: file.write_bytes(b"precious " * 2000), "file is not a database"),
        (lambda file: file.mkdir(), "cannot be used .unable to open database file."),
        (other_database, "is a database of another program: give another path"),
        (other_version, "another version of stoqapp .its form is 7, this one reads 1."),
    ],
    ids=["text", "long-text", "folder", "database", "version"],
)
def test_a_file_that_is_no_state(file: Path, make: Any, says: str) -> None:
    """It is refused with the reason, and not a byte of it is changed."""
    make(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(SandboxError, match=says), Sandbox(state=file):
        pass
    assert before == (file.read_bytes() if file.is_file() else None)


def no_tables(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA application_id = 0x53544F51")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


def torn(file: Path) -> None:
    with Sandbox(state=file) as sandbox:
        subscribe(sandbox.url, "ada")
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (file.stat().st_size - 4096))


def with_answer(answer: str) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        with Sandbox(state=file) as sandbox:
            subscribe(sandbox.url, "ada")
        with State(file).transaction() as connection:
            connection.execute("UPDATE intents SET answer = ?", (answer,))

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_tables, "no such table: intents"),
        (torn, "database disk image is malformed"),
        (with_answer("ada@example.com"), "an intent in it is damaged"),
        (with_answer("[]"), "an intent in it is damaged"),
        (with_answer("{}"), "an intent in it is damaged"),
    ],
    ids=["no-tables", "torn", "no-json", "list", "no-fields"],
)
def test_a_damaged_state(file: Path, make: Any, says: str) -> None:
    """It is refused in one line with the reason and what to do, and is left unlocked."""
    make(file)
    sandbox = Sandbox(state=file)
    for _ in range(2):
        with pytest.raises(SandboxError) as caught, sandbox:
            pass
        assert (
            f"the state file {file} cannot be used ({says}): give the path of a file that a"
            " sandbox wrote, or of none yet in a folder that can be written to"
        ) == str(caught.value)
    connection = sqlite3.connect(file, timeout=0)
    connection.execute("BEGIN EXCLUSIVE")
    connection.close()


def test_the_command_refuses_a_damaged_state(file: Path) -> None:
    """One line and exit code 1, as with any file that cannot be used."""
    with_answer("no JSON")(file)
    assert "an intent in it is damaged" in refusal_of(file)


@pytest.mark.parametrize("path", ["missing/state.sqlite", "", 7, b"state", "a\0b"])
def test_a_path_that_cannot_be(tmp_path: Path, path: Any) -> None:
    """A path that names no file in a folder that is there is refused."""
    given = tmp_path / path if isinstance(path, str) and "/" in path else path
    with pytest.raises(SandboxError, match="state"), Sandbox(state=given):
        pass


def test_an_empty_file_becomes_a_state(file: Path) -> None:
    """A file of no bytes, as mktemp makes it, is taken."""
    file.touch()
    with Sandbox(state=file) as sandbox:
        assert sandbox.intents == []


def test_the_command_names_the_file_that_it_refuses(file: Path) -> None:
    """One line with the path and what to do, and exit code 1."""
    file.write_text("no database")
    ran = subprocess.run(
        [STOQAPP, "sandbox", "--state", file],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert f"stoqapp sandbox: the state file {file} cannot be used" in ran.stderr


def test_nothing_is_answered_that_could_not_be_stored(file: Path) -> None:
    """Where the file cannot take it, the answer is a 500, and the intent is not there."""
    with Sandbox(state=file) as sandbox:
        subscribe(sandbox.url, "ada")
        with sandbox._service.store.state.transaction() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")
        headers = {
            "X-Shopify-Shop-Domain": "demo.myshopify.com",
            "Content-Type": "application/json",
        }
        wanted = {"shopify_variant_id": 4711, "shopify_product_id": 42, "channel": "email"}
        sent = {
            "intent": wanted | {"quantity": 1, "source": "api"},
            "customer": {"email": "alan@example.org", "name": "x" * 100_000},
        }
        answer = httpx.post(
            f"{sandbox.base_url}/intents.json", content=json.dumps(sent), headers=headers
        )
        assert answer.status_code == 500
        assert len(sandbox.intents) == 1


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is taken from the folder in which the sandbox was made."""
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(state="state.sqlite")
    os.chdir("/")
    with sandbox:
        assert (tmp_path / "state.sqlite").is_file()
