"""What `import stoqapp` gives and costs, and what type checkers find in programs of users."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import stoqapp

PROGRAM = """\
from collections.abc import Sequence
from datetime import datetime

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, AttemptReport, Budget, Change, CreateIntentRequestDict, HttpOptions
from stoqapp import IntentCreated, IntentRefusedError, Stoq, StoqError, Timeout, Violation
from stoqapp import check, check_shop
from stoqapp import Stok  # attr-defined reportAttributeAccessIssue
from stoqapp.bulk.send import Drained, drain
from stoqapp.outbox import Item, Outbox, SqliteOutbox
from stoqapp_sandbox import Sandbox

model = CreateIntentRequest(NewIntent(1, 2, "email", 1, "api"), Customer(email="ada@example.com"))
plain: CreateIntentRequestDict = {
    "intent": {"shopify_variant_id": 1, "shopify_product_id": 2, "channel": "email",
               "quantity": 1, "source": "api"},
    "customer": {"email": "ada@example.com"},
}

def report(attempt: AttemptReport) -> None:
    print(attempt)

def right(stoq: Stoq) -> tuple[IntentCreated, str | None, datetime | None, Sequence[Change]]:
    quick = stoq.with_options(timeout=Timeout(connect=2.0, read=5.0), on_attempt=report)
    quick.create_intent(plain, total_timeout=4.0)
    quick.create_intent(model)
    more = {"customer.locale": "en"}
    created = stoq.subscribe(variant=1, product="2", channel="email", more=more)
    return created, created.id, created.created_at, created.changes

def refusals(stoq: Stoq) -> tuple[bool | None, float | None, Sequence[str]]:
    try:
        stoq.subscribe(variant=1, product=2, phone="+1 555 010 9999")
    except IntentRefusedError as refused:
        return refused.carried_out, refused.retry_after, refused.messages
    except StoqError as error:
        return error.carried_out, error.retry_after, ()
    broken: list[Violation] = [*check(plain), *check_shop("demo")]
    return False, None, [violation.message for violation in broken]

async def right_too(budget: Budget) -> IntentCreated:
    async with AsyncStoq("demo", budget=budget, http=HttpOptions(proxy=None)) as stoq:
        return await stoq.subscribe(variant=1, product="2", phone="+1", total_timeout=4.0)

def queue(outbox: Outbox, stoq: AsyncStoq) -> Drained:
    SqliteOutbox("waiting.sqlite").add("demo", plain)
    items: Sequence[Item] = outbox.claim({"demo.myshopify.com": 10})
    outbox.release(items)
    return drain(outbox, stoq, seconds=5)

def stand_in() -> list[object]:
    with Sandbox() as sandbox:
        sandbox.fail_next("reset-after-store", times=1)
        return [intent["email"] for intent in sandbox.intents]

def wrong(stoq: Stoq) -> None:
    stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg reportCallIssue
    stoq.subscribe(variant=1, email="ada@example.com")  # call-arg reportCallIssue
    stoq.subscribe(1, 2)  # call-arg reportCallIssue
    stoq.subscribe(variant=1.5, product=2)  # arg-type reportArgumentType
    stoq.subscribe(variant=1, product=2, channel="fax")  # arg-type reportArgumentType
    check({"intent": {"shopify_variant_id": "1"}, "customer": {}})  # arg-type reportArgumentType
    stoq.with_options(timeuot=1.0)  # call-arg reportCallIssue
    Stoq("demo", budget="shard")  # arg-type reportArgumentType

async def wrong_too(stoq: AsyncStoq) -> None:
    await stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg reportCallIssue
    identifier: int = await stoq.subscribe(variant=1, product=2)  # assignment reportAssignmentType
"""


EXPECTED = [
    (number, line.partition("  # ")[2].split())
    for number, line in enumerate(PROGRAM.splitlines(), 1)
    if "  # " in line
]
thorough = pytest.mark.skipif(
    not os.environ.get("STOQAPP_THOROUGH"), reason="takes 10 s; set STOQAPP_THOROUGH"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of a user, whose comments name the errors: mypy's and pyright's."""
    place = tmp_path / "program.py"
    place.write_text(PROGRAM, "utf-8")
    return place


@thorough
def test_mypy_finds_wrong_uses(program: Path) -> None:
    """A typo, a missing argument and a wrong type are errors; the right calls are none."""
    from mypy import api

    options = ["--strict", "--hide-error-context", "--cache-dir", str(program.parent)]
    said, trouble, _ = api.run([*options, str(program)])
    assert trouble == ""
    found = re.findall(r":([0-9]+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)
    assert [(str(number), code) for number, (code, _) in EXPECTED] == found, said


@thorough
def test_pyright_finds_wrong_uses(program: Path) -> None:
    """Pyright, by basedpyright, which needs no download at run time, finds the same."""
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson"]
    command += ["--pythonpath", sys.executable]
    ran = subprocess.run([*command, program], capture_output=True, check=False)
    said = json.loads(ran.stdout)["generalDiagnostics"]
    found = [(each["range"]["start"]["line"] + 1, each["rule"]) for each in said]
    assert [(number, code) for number, (_, code) in EXPECTED] == found, said


def test_the_public_names_are_plain() -> None:
    """The package holds its public names and its modules, and nothing else."""
    names = {name for name in dir(stoqapp) if not (name.startswith("__") and name.endswith("__"))}
    modules = {name for name in names if isinstance(getattr(stoqapp, name), ModuleType)}
    assert set(stoqapp.__all__) - {"__version__"} == names - modules
    assert {getattr(stoqapp, module).__name__ for module in modules} == {
        f"stoqapp.{r}" for r in modules
    }
    assert not hasattr(stoqapp, "__getattr__")


def test_what_an_import_leaves_for_later() -> None:
    """Modules that take long to load are loaded by those who need them."""
    program = "import sys; from stoqapp import Stoq; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    later = {"asyncio", "httpcore", "phonenumbers", "dateutil", "sqlite3", "redis"}
    assert set() == later & set(loaded)
