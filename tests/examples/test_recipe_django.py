"""examples/django: its views under gunicorn, and its outbox."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from recipes import EXAMPLES, FORM, submit_to

from stoqapp.outbox import Item, OutboxError, Outcome
from stoqapp_sandbox import Sandbox

SHOP = "demo.myshopify.com"


@contextmanager
def gunicorn(environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Run two workers, forked off a master that has loaded the app; yield its pid and URL."""
    options = ["--no-control-socket", "--preload", "--workers", "2", "--bind", "127.0.0.1:0"]
    command = [sys.executable, "-m", "gunicorn", *options]
    with subprocess.Popen(
        [*command, "django.core.wsgi:get_wsgi_application()"],
        cwd=EXAMPLES / "django",
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        try:
            assert master.stderr is not None
            said = (re.search(r"Listening at: (\S+)", line) for line in master.stderr)
            yield master.pid, next(filter(None, said))[1]
        finally:
            master.terminate()
            assert "Traceback" not in master.communicate()[1]


def connections(pid: int, port: int) -> set[str]:
    """Return the sockets of a process that are connected to a port of this machine."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in table]
    there = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}")}
    return there & {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="looks into Linux's /proc")
def test_workers_of_gunicorn_share_no_connection(project: dict[str, str], sandbox: Sandbox) -> None:
    """Each worker keeps a connection of its own; the master that they were forked off has none."""
    with gunicorn(project) as (master, url):
        children = Path(f"/proc/{master}/task/{master}/children")
        found: list[set[str]] = []
        for number in range(1, 1000):
            status = submit_to(f"{url}/waitlist")(FORM | {"variant": str(number)})
            assert (200, "You are on the list.") == status
            found = [connections(int(pid), sandbox.port) for pid in children.read_text().split()]
            if len(found) == 2 and all(found):
                break
        assert [1, 1] == [len(one) for one in found]
        assert 2 == len(set.union(*found))
        assert set() == connections(master, sandbox.port)


def test_the_outbox(project: dict[str, str], sandbox: Sandbox) -> None:
    """A view puts a request into the database; the command sends it, and forgets who it was."""
    from waitlist.models import WaitingIntent

    for form in (FORM, FORM, FORM | {"variant": "9"}):
        assert 202 == Client().post("/later", form).status_code
    assert 422 == Client().post("/later", FORM | {"email": "grace"}).status_code
    assert [] == sandbox.intents
    sandbox.fail_next("reset-after-store")
    call_command("drain")
    assert 2 == len(sandbox.intents)
    rows = WaitingIntent.objects.order_by("id")
    assert ["sent", "sent", "there"] == sorted(row.state for row in rows)
    assert {(None, None)} == {(row.body, row.owner) for row in rows}


def test_what_a_killed_drain_leaves(project: dict[str, str]) -> None:
    """Another drain claims what was in flight; what is unknown or released waits again."""
    from waitlist.models import WaitingIntent
    from waitlist.outbox import ModelOutbox

    for number in range(3):
        WaitingIntent.objects.create(shop=SHOP, body={"number": number})
    killed, drain = ModelOutbox(), ModelOutbox()
    first, second = killed.claim({SHOP: 2, "other.myshopify.com": 1})
    assert [0, 1] == [first.body["number"], second.body["number"]]
    assert [2] == [item.body["number"] for item in killed.claim({SHOP: 9})]
    assert 3 == len(drain.claim({SHOP: 9}))
    assert [] == drain.claim({SHOP: 9})
    drain.store([Outcome(first.key, "unknown"), Outcome(second.key, "refused", 404, "NotFound")])
    drain.release([Item(first.key, SHOP, {})])
    assert {SHOP: 2} == drain.left()
    assert [0] == [item.body["number"] for item in drain.claim({SHOP: 9})]
    WaitingIntent.objects.all().delete()


def test_a_database_that_cannot_be_used(project: dict[str, str]) -> None:
    """The outbox says so in its own error, which names no one."""
    from waitlist.models import WaitingIntent
    from waitlist.outbox import ModelOutbox

    with connection.schema_editor() as editor:
        editor.delete_model(WaitingIntent)
    try:
        with pytest.raises(OutboxError, match="the table of waiting intents cannot be used"):
            ModelOutbox().left()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(WaitingIntent)
