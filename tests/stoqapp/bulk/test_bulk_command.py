"""``stoqapp import``, ``catalog`` and ``ledger``: previews, sending, and what goes wrong."""

import json
import logging
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from listing import csv_of
from service import NOT_FOUND, Service, service
from test_bulk_kills import import_command, write_rows

from stoqapp.bulk.catalog import catalog_from_file
from stoqapp.bulk.ledger import Ledger
from stoqapp.cli import main

WAITING = csv_of(
    ["Email", "Phone", "Name", "Variant ID", "Product ID", "Status", "Country"],
    ["ada.secret@example.com", "", "Ada Lovelace", "4711", "42", "in", "us"],
    ["", "+1 202 555 0147", "Ada Lovelace", "4712", "42", "in", "us"],
    ["ada.secret@example.com", "", "Ada Lovelace", "4713", "42", "gone", "us"],
    ["ada.secret@example", "", "Ada Lovelace", "4711", "42", "in", "us"],
    ["ada.secret@example.com", "", "Ada Lovelace", "4714", "42", "odd", "us"],
    ["ada.secret@example.com", "", "Ada Lovelace", "4711", "42", "in", "us"],
)
MEANING = ("--value", "status:in=waiting", "--value", "status:gone=unsubscribed")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service, with the working directory in a folder of the test."""
    monkeypatch.chdir(tmp_path)
    with service() as server:
        yield server


def run_import(file: str, running: Service, *more: str) -> int:
    """Import *file* in this process."""
    words = ["import", file, "--shop", "demo", "--base-url", running.base_url]
    return main([*words, "--yes", *more])


def test_an_import_adds_up(running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is in one number of the summary; the preview says what is not understood."""
    Path("list.csv").write_bytes(WAITING)
    assert 3 == run_import("list.csv", running, *MEANING, "--json")
    told = {
        event["event"]: event for event in map(json.loads, capsys.readouterr().out.splitlines())
    }
    assert {
        "event": "summary",
        "read": 6,
        "sent": 2,
        "already_there": 0,
        "rejected": 2,
        "skipped": 2,
        "unknown": 0,
        "left": 0,
    } == told["summary"]
    preview = told["preview"]
    assert {"unknown_status", "email"} == {
        one["reason"] for one in preview["verdicts"] if one["verdict"] == "reject"
    }
    statuses = "waiting|notified|unsubscribed|unconfirmed|blocked"
    assert [f"--value 'status:odd={statuses}'"] == [one["add"] for one in preview["not_understood"]]
    assert "list.csv" == preview["file"]


PERSON = {"Email": "ada.secret@example.com", "Phone": "+1 202 555 0147", "Name": "Augusta Lovelace"}
COLUMNS = (
    *("Product title", "Variant title", "Variant ID", "Product ID", "SKU", *PERSON, "Status"),
    *("Quantity", "Country", "Channel", "Market", "Language", "Date", "Accepts marketing"),
    *("Shop", "Notified at", "Unsubscribed at", "GDPR confirmed", "Note"),
)
WHOLE = PERSON | {"Product ID": "42", "Status": "in", "Country": "us", "Channel": "email"}


@pytest.mark.parametrize("catalog", [False, True])
def test_a_person_in_any_column_is_told_nowhere(
    catalog: bool,
    running: Service,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An address, a number or a name in the wrong column is not shown, kept or logged either."""
    caplog.set_level(logging.DEBUG)
    planted = [(column, text) for column in COLUMNS for text in PERSON.values()]
    variants = [str(4711 + number) for number in range(len(planted))]
    rows = [
        WHOLE | {"Variant ID": variant, column: text}
        for variant, (column, text) in zip(variants, planted, strict=True)
    ]
    lines = [[row.get(name, "") for name in COLUMNS] for row in rows]
    Path("list.csv").write_bytes(csv_of(COLUMNS, *lines))
    known = [["A", variant, "42"] for variant in variants]
    Path("catalog.csv").write_bytes(csv_of(["SKU", "Variant ID", "Product ID"], *known))
    more = ["--catalog", "catalog.csv"] if catalog else []
    assert 3 == run_import("list.csv", running, *MEANING, *more, "--json")
    assert 3 == run_import("list.csv", running, *MEANING, *more)
    assert 0 == main(["ledger", "show", "--html", "report.html"])
    assert 0 == main(["ledger", "rejected"])
    kept = "".join(capfd.readouterr()) + Path("report.html").read_text(encoding="utf-8")
    kept += "".join(path.read_bytes().decode("latin-1") for path in Path().glob("stoqapp.ledger*"))
    assert "unknown_status" in kept
    assert "stoqapp" in {record.name for record in caplog.records}
    kept += "".join(str(vars(record)) for record in caplog.records)
    told = ("secret", "augusta", "lovelace", "2025550147", "202 555")
    assert [] == [secret for secret in told if secret in kept.casefold()]
    page = Path("report.html").read_text(encoding="utf-8")
    assert not re.search("<script|http://|https://", page)


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A package that is not installed is named, with the line that installs it."""
    for name in [name for name in sys.modules if name.startswith("stoqapp.bulk.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    for words in (["import", "list.csv", "--plan"], ["ledger", "show"]):
        assert 2 == main(words)
        error = capsys.readouterr().err
        assert "'python_calamine'" in error
        assert 'pip install "stoqapp[bulk]"' in error


def test_only_what_is_new_leaves(running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that grew, and the mended rejects, send what was not sent before, and no more.

    Rejects that were mended are kept when the file is planned again.
    """
    Path("list.csv").write_bytes(WAITING)
    run_import("list.csv", running, *MEANING)
    Path("list.csv").write_bytes(
        WAITING + b"bo@example.com,,Bo,4711,42,in,us\r\nADA.secret@EXAMPLE.com,,,4711,42,in,us\n"
    )
    run_import("list.csv", running, *MEANING)
    rejected = Path("list.csv.rejected.csv")
    assert 0o600 == stat.S_IMODE(rejected.stat().st_mode)
    text = rejected.read_text(encoding="utf-8")
    assert "ada.secret@example,,Ada Lovelace,4711,42,in,us,5,email: " in text
    mended = text.replace("ada.secret@example,", "mended@example.com,")
    rejected.write_text(mended, "utf-8")
    assert 0 == run_import("list.csv", running, *MEANING, "--plan")
    assert mended == Path("list.csv.rejected.csv.bak").rename(rejected).read_text("utf-8")
    assert (
        "kept the rejects of an earlier run: list.csv.rejected.csv.bak" in capsys.readouterr().err
    )
    assert 3 == run_import(rejected.name, running, *MEANING)
    assert "read 2 = sent 1 + already there 0 + rejected 1" in capsys.readouterr().out
    assert {1} == set(running.received.values())
    assert 4 == len(running.stored)


def test_a_plan_sends_and_keeps_nothing(
    running: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """--plan shows what would happen; --rows has every verdict, for its owner alone.

    A column that may say who left is named where it is not used.
    """
    Path("list.csv").write_bytes(WAITING)
    assert 0 == run_import("list.csv", running, *MEANING, "--plan", "--rows", "rows.jsonl")
    shown = capsys.readouterr().out
    assert "would send 2 intents" in shown
    assert "reject 1: unknown_status" in shown
    assert "opt-in confirmation" in shown
    assert not running.received
    assert not Path("stoqapp.ledger").exists()
    assert 0o600 == stat.S_IMODE(Path("rows.jsonl").stat().st_mode)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text("utf-8").splitlines()]
    assert {"line", "verdict", "reason", "shop", "body"} == set(rows[0])
    assert [2, 3, 4, 5, 6, 7] == [row["line"] for row in rows]
    Path("list.csv").write_bytes(WAITING.replace(b"Status", b"Email subscription"))
    assert 0 == run_import("list.csv", running, "--plan")
    assert "The column 'Email subscription' is not used" in capsys.readouterr().out


def test_a_template_for_the_upload(running: Service) -> None:
    """--template writes what would be sent in the columns of STOQ's own template."""
    Path("list.csv").write_bytes(
        csv_of(
            ["Email", "Variant ID", "Product ID", "Date", "GDPR confirmed", "Accepts marketing"],
            ["ada@example.com", "4711", "42", "2026-09-03", "true", "yes"],
        )
    )
    assert 0 == run_import("list.csv", running, "--template", "upload.csv")
    header, row = Path("upload.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("SKU,Email,Phone,Name,Market,Quantity,GDPR confirmed,Accepts")
    assert "4711,ada@example.com,,,,1,true,true,,03/09/2026" == row
    assert not running.received


def test_shops_that_a_column_names_go_side_by_side(running: Service) -> None:
    """A column of shops needs no --shop."""
    rows = [[f"p{n}@example.com", "4711", "42", f"shop-{n % 3}"] for n in range(30)]
    Path("list.csv").write_bytes(csv_of(["Email", "Variant ID", "Product ID", "Shop"], *rows))
    words = ["import", "list.csv", "--yes", "--base-url", running.base_url]
    assert 0 == main(words)
    assert 30 == len(running.stored)


@pytest.mark.parametrize(
    ("answer", "base_url", "rows", "code", "told"),
    [
        (lambda _: NOT_FOUND, "", 100, 1, "stopped: demo.myshopify.com: NotFoundError (404)"),
        (lambda _: None, "http://127.0.0.1:9/api/v1", 30, 1, "left 30"),
        (lambda count: (500, {}) if count <= 9 else None, "", 3, 3, "unknown 3"),
    ],
    ids=["404", "no network", "500"],
)
def test_the_same_command_goes_on_after_failures(
    answer: Callable[[int], Any],
    base_url: str,
    rows: int,
    code: int,
    told: str,
    running: Service,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty failures of one kind end it, what is unknown is asked again, and nothing is lost."""
    monkeypatch.setattr("stoqapp.retry.FIRST_WAIT_SECONDS", 0.001)
    write_rows(Path("list.csv"), range(rows))
    running.answer = answer
    words = ["import", "list.csv", "--shop", "demo", "--yes", "--base-url"]
    assert code == main([*words, base_url or running.base_url])
    assert told in "".join(capsys.readouterr())
    assert running.received.total() < 30
    running.answer = lambda _: None
    assert 0 == main([*words, running.base_url])
    assert rows == len(running.stored)


def test_options_with_values(running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """--limit sends so many of the oldest rows; what can be read in two ways is refused."""
    write_rows(Path("list.csv"), range(10))
    assert 0 == run_import("list.csv", running, "--limit", "4", "--rows", "rows.jsonl")
    assert 6 == Path("rows.jsonl").read_text("utf-8").count('"skip", "reason": "limit"')
    assert "sent 4 + already there 0 + rejected 0 + skipped 0 + unknown 0 + left 6" in (
        capsys.readouterr().out
    )
    assert 4 == len(running.stored)
    assert 2 == run_import("list.csv", running, "--limit", "0")
    assert "--limit must be a whole number from 1" in capsys.readouterr().err
    assert 2 == run_import("list.csv", running, "--since", "01/02/2026")
    assert "--since must be a date like 2026-01-31" in capsys.readouterr().err
    for option in ("--rows", "--template", "--write-mapping", "--ledger"):
        assert 2 == run_import("list.csv", running, option, "./list.csv")
        assert f"{option} would overwrite list.csv" in capsys.readouterr().err
    assert 2 == run_import("list.csv", running, "--rows", "stoqapp.ledger")
    assert "--rows would overwrite stoqapp.ledger" in capsys.readouterr().err
    assert 2 == run_import("list.csv", running, "--share", "2")
    assert "stoqapp import: --share must be" in capsys.readouterr().err
    assert 2 == run_import("list.csv", running, "--rows", "absent/rows.jsonl")
    assert "rows.jsonl cannot be written (No such file" in capsys.readouterr().err
    row = ["ada@example.com", "4711", "42", "2026-01-31 02:00"]
    Path("list.csv").write_bytes(csv_of(["Email", "Variant ID", "Product ID", "Date"], row))
    assert 0 == run_import("list.csv", running, "--plan", "--since", "2026-01-31T01:00-05:00")
    assert "skip 1: before_since" in capsys.readouterr().out


def test_nothing_is_sent_unasked(running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --yes, and without a terminal to ask at, nothing is sent."""
    write_rows(Path("list.csv"), range(2))
    assert 2 == main(["import", "list.csv", "--shop", "demo", "--base-url", running.base_url])
    assert "--yes" in capsys.readouterr().err
    assert not running.received


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(times: int, running: Service) -> None:
    """Once finishes what is in flight, twice ends at once; the same command goes on after both."""
    running.latency = 0.3 if times == 1 else 30.0
    path = write_rows(Path("list.csv"), range(40))
    command = import_command(path, running.base_url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        running.wait_for(4, lambda: process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"press Ctrl-C again" in process.stderr.readline()
        if times == 2:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert 130 == process.returncode, err
    assert b"same command" in err
    came = running.received.total()
    assert came < 40
    assert (b"unknown 0" if times == 1 else f"unknown {came}".encode()) in out
    running.latency = 0.0
    assert 0 == run_import("list.csv", running)
    assert 40 == len(running.stored)
    repeated = sum(count > 1 for count in running.received.values())
    assert repeated == (0 if times == 1 else came)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("in use", "process {} works on the ledger stoqapp.ledger"),
        ("not sqlite", "stoqapp.ledger cannot be used"),
        ("another database", "stoqapp.ledger is not a ledger"),
        ("read-only", "stoqapp.ledger cannot be used"),
    ],
)
def test_a_ledger_that_cannot_be_used(
    damage: str, told: str, running: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent, and one line says why; others may look at a ledger that is in use."""
    write_rows(Path("list.csv"), range(2))
    path = Path("stoqapp.ledger")
    if damage == "not sqlite":
        path.write_bytes(b"x" * 5000)
    elif damage == "another database":
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE mine (a)")
    elif damage == "read-only":
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        Ledger(path).close()
        path.chmod(0o400)
    with Ledger(path) if damage == "in use" else nullcontext():
        assert 1 == run_import("list.csv", running)
        error = capsys.readouterr().err
        assert damage != "in use" or 0 == main(["ledger", "show"])
    assert told.format(os.getpid()) in error
    assert 1 == error.count("\n")
    assert not running.received


def test_a_disk_that_is_full(running: Service, tmp_path: Path) -> None:
    """When the ledger can take no more, sending stops; later the rest goes out, once each."""
    path = write_rows(tmp_path / "list.csv", range(300))
    Ledger("stoqapp.ledger").close()
    # A limit of the process stands for the disk: SQLite is told "file too large" instead.
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "from stoqapp.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", limited, *import_command(path, running.base_url)[3:]]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 1 == ended.returncode, ended.stderr
    assert "stoqapp.ledger cannot be used" in ended.stderr.replace(f"{tmp_path}/", "")
    assert "Traceback" not in ended.stderr
    came = running.received.total()
    assert 0 < came < 300
    assert f"left {300 - came}\n" in ended.stdout
    assert 0 == run_import("list.csv", running)
    assert 300 == len(running.stored)
    assert sum(count > 1 for count in running.received.values()) <= 8


def test_a_ledger_tells_and_is_purged(running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what was refused; purging asks for --yes, and takes every file of it away."""
    write_rows(Path("list.csv"), range(2))
    running.answer = lambda count: NOT_FOUND if count == 1 else None
    assert 3 == run_import("list.csv", running)
    assert 2 == main(["ledger", "purge"])
    assert 0 == main(["ledger", "show", "--json"])
    assert '{"refused": 1, "sent": 1}' in capsys.readouterr().out
    assert 0 == main(["ledger", "rejected"])
    assert ": demo.myshopify.com variant 4711: 404 NotFoundError" in capsys.readouterr().out
    assert 2 == main(["ledger", "show", "--html", "stoqapp.ledger"])
    assert "would overwrite stoqapp.ledger" in capsys.readouterr().err
    assert [0, 0] == [main(["ledger", "show", "--html", "report.html"]) for _ in range(2)]
    assert 0 == main(["ledger", "purge", "--yes"])
    assert [] == list(Path().glob("stoqapp.ledger*"))
    for words in (["show"], ["purge", "--yes"]):
        assert 1 == main(["ledger", *words])
        assert "there is no ledger stoqapp.ledger" in capsys.readouterr().err


def test_a_catalog_is_written_whole_or_not_at_all(
    running: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """`/products.json` is read page by page into a catalog; what went wrong has its remedy."""
    first, second, third = (
        {"id": 10 * one, "title": "T", "variants": [{"id": one}]} for one in (1, 2, 3)
    )
    running.pages = {"1": [first, second], "2": [third]}
    words = ["catalog", "--shop", "demo", "-o", "catalog.json", "--storefront-url"]
    assert 1 == main([*words, f"{running.url}/locked"])
    assert "answered 401: the storefront has a password" in capsys.readouterr().err
    assert 1 == main([*words, f"{running.url}/absent"])
    assert "answered 404: is this a Shopify storefront?" in capsys.readouterr().err
    assert not Path("catalog.json").exists()
    Path("catalog.json").write_bytes(WAITING)
    assert 2 == main([*words, running.url])
    assert "would overwrite catalog.json" in capsys.readouterr().err
    Path("catalog.json").unlink()
    assert [0, 0] == [main([*words, running.url]) for _ in range(2)]
    assert "3 variants of 3 published products" in capsys.readouterr().out
    assert {1, 2, 3} == set(catalog_from_file(Path("catalog.json")).by_id)
