"""An import that is killed again and again loses nothing, and sends twice only what was in flight.

It kills 6 times; with ``STOQAPP_THOROUGH`` 20 times, or as often as ``STOQAPP_KILLS`` says.
"""

import csv
import multiprocessing
import os
import random
import sys
from pathlib import Path

import pytest
from service import service

from stoqapp.bulk.judge import Choices
from stoqapp.bulk.ledger import DONE, Ledger
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.plan import plan
from stoqapp.bulk.read import open_source
from stoqapp.cli import main

KILLS = int(os.environ.get("STOQAPP_KILLS") or (20 if os.environ.get("STOQAPP_THOROUGH") else 6))
ROWS = max(120, 10 * KILLS)
SHOP = "demo.myshopify.com"


def write_rows(path: Path, numbers: range) -> Path:
    """Write a file with a person for each number."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["Email", "Variant ID", "Product ID"])
        lines.writerows([f"person{n}@example.com", 4711, 42] for n in numbers)
    return path


def import_command(path: Path, base_url: str, *more: str) -> list[str]:
    """Return the command line that imports *path* without asking."""
    command = [sys.executable, "-m", "stoqapp", "import", str(path), "--shop", SHOP]
    return [*command, "--yes", "--base-url", base_url, *more]


def done(ledger: Path, path: Path, base_url: str) -> set[str]:
    """Return the addresses that the ledger knows to be on the list."""
    mapping = ColumnMapping()
    with Ledger(ledger, read_only=True) as opened:
        target = base_url.partition("//")[2].partition("/")[0]
        choices = Choices(shop=SHOP, salt=opened.salt, target=target)
        planned = plan(open_source(path, mapping.known), mapping, None, choices)
        known = {key for (key,) in opened.rows(f"SELECT key FROM intents WHERE state IN {DONE}")}
        return {one.body["customer"]["email"] for one in planned.waiting() if one.key in known}


def test_kills_lose_nothing_and_repeat_only_what_was_in_flight(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each row is stored; what the ledger knew to be sent at a kill never came again."""
    path = write_rows(tmp_path / "list.csv", range(ROWS))
    ledger = tmp_path / "stoqapp.ledger"
    chance = random.Random(7)
    # Its processes begin with the modules imported.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["stoqapp.bulk.send", "stoqapp.commands.importing", __name__])
    # How often each row had come when the ledger first knew it to be on the list.
    finished: dict[tuple[str, int], int] = {}
    with service(reset_every=10, latency=0.02) as running:
        words = import_command(path, running.base_url)[3:]
        for kill in range(KILLS):
            run = processes.Process(target=main, args=[words])
            run.start()
            # So that the last kill still finds rows in flight.
            left = ROWS * 11 // 10 - running.received.total()
            step = max(1, min(left // (KILLS - kill + 1), 2 * ROWS // KILLS))
            target = running.received.total() + chance.randint(1, step)
            running.wait_for(target, lambda run=run: not run.is_alive())
            assert run.is_alive()
            run.kill()
            run.join()
            known = done(ledger, path, running.base_url)
            for name, count in list(running.received.items()):
                if name[0] in known:
                    finished.setdefault(name, count)
        capfd.readouterr()
        assert 0 == main(words)

    assert ROWS == len(running.stored)
    assert finished
    assert {name: running.received[name] for name in finished} == finished
    assert "unknown 0 + left 0" in capfd.readouterr().out
