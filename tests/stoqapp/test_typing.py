"""What mypy finds in the programs of users."""

import os
from pathlib import Path

import pytest

PROGRAM = """\
from stoqapp import AsyncStoq, IntentCreated, Stoq, check

def right(stoq: Stoq) -> IntentCreated:
    return stoq.subscribe(variant=1, product="2", channel="email", more={"customer.locale": "en"})

async def right_too(stoq: AsyncStoq) -> IntentCreated:
    return await stoq.subscribe(variant=1, product="2", phone="+1", total_timeout=4.0)

def wrong(stoq: Stoq) -> None:
    stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg
    stoq.subscribe(variant=1, email="ada@example.com")  # call-arg
    stoq.subscribe(1, 2)  # call-arg
    stoq.subscribe(variant=1.5, product=2)  # arg-type
    stoq.subscribe(variant=1, product=2, channel="fax")  # arg-type
    check({"intent": {"shopify_variant_id": "1"}, "customer": {}})  # arg-type

async def wrong_too(stoq: AsyncStoq) -> None:
    await stoq.subscribe(variant=1, product=2, emial="ada@example.com")  # call-arg
    identifier: int = await stoq.subscribe(variant=1, product=2)  # assignment
"""


@pytest.mark.skipif(
    not os.environ.get("STOQAPP_THOROUGH"), reason="takes 10 s; set STOQAPP_THOROUGH"
)
def test_wrong_uses_of_the_clients_are_found(tmp_path: Path) -> None:
    """A typo, a missing argument and a wrong type are errors; the right calls are none."""
    from mypy import api

    place = tmp_path / "program.py"
    place.write_text(PROGRAM, "utf-8")
    said, trouble, _ = api.run(
        ["--strict", "--hide-error-context", "--cache-dir", str(tmp_path), str(place)]
    )
    assert trouble == ""
    expected = [
        (number, line.partition("  # ")[2])
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "  # " in line
    ]
    found = [
        (int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]"))
        for line in said.splitlines()
        if ": error: " in line
    ]
    assert expected == found, said
