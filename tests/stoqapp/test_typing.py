"""What mypy and pyright find in the programs of users."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
from stoqapp import AsyncStoq, IntentCreated, Stoq, check

def right(stoq: Stoq) -> IntentCreated:
    return stoq.subscribe(variant=1, product="2", channel="email", more={"customer.locale": "en"})

async def right_too(stoq: AsyncStoq) -> IntentCreated:
    return await stoq.subscribe(variant=1, product="2", phone="+1", total_timeout=4.0)

def wrong(stoq: Stoq) -> None:
    stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg reportCallIssue
    stoq.subscribe(variant=1, email="ada@example.com")  # call-arg reportCallIssue
    stoq.subscribe(1, 2)  # call-arg reportCallIssue
    stoq.subscribe(variant=1.5, product=2)  # arg-type reportArgumentType
    stoq.subscribe(variant=1, product=2, channel="fax")  # arg-type reportArgumentType
    check({"intent": {"shopify_variant_id": "1"}, "customer": {}})  # arg-type reportArgumentType

async def wrong_too(stoq: AsyncStoq) -> None:
    await stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg reportCallIssue
    identifier: int = await stoq.subscribe(variant=1, product=2)  # assignment reportAssignmentType
"""


EXPECTED = [
    (number, line.partition("  # ")[2].split())
    for number, line in enumerate(PROGRAM.splitlines(), 1)
    if "  # " in line
]
pytestmark = pytest.mark.skipif(
    not os.environ.get("STOQAPP_THOROUGH"), reason="takes 10 s; set STOQAPP_THOROUGH"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of a user, whose comments name the errors: mypy's and pyright's."""
    place = tmp_path / "program.py"
    place.write_text(PROGRAM, "utf-8")
    return place


def test_mypy_finds_wrong_uses(program: Path) -> None:
    """A typo, a missing argument and a wrong type are errors; the right calls are none."""
    from mypy import api

    options = ["--strict", "--hide-error-context", "--cache-dir", str(program.parent)]
    said, trouble, _ = api.run([*options, str(program)])
    assert trouble == ""
    found = re.findall(r":([0-9]+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)
    assert [(str(number), code) for number, (code, _) in EXPECTED] == found, said


def test_pyright_finds_wrong_uses(program: Path) -> None:
    """Pyright, by basedpyright, which needs no download at run time, finds the same."""
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson"]
    command += ["--pythonpath", sys.executable]
    ran = subprocess.run([*command, program], capture_output=True, check=False)
    said = json.loads(ran.stdout)["generalDiagnostics"]
    found = [(each["range"]["start"]["line"] + 1, each["rule"]) for each in said]
    assert [(number, code) for number, (_, code) in EXPECTED] == found, said
