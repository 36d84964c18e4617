"""Tests of the shop's code, with the fixture that ``stoqapp[sandbox]`` brings; run ``pytest``."""

from collections.abc import Iterator

import pytest
from shop import notify_me

from stoqapp import Stoq
from stoqapp_sandbox import Sandbox


@pytest.fixture
def stoq(stoq_sandbox: Sandbox) -> Iterator[Stoq]:
    """A client of a sandbox that holds nothing. No retries, so that no test waits."""
    with Stoq("demo", base_url=stoq_sandbox.base_url, max_retries=0) as stoq:
        yield stoq


def test_sign_up(stoq: Stoq, stoq_sandbox: Sandbox) -> None:
    assert notify_me(stoq, 4711, 42, "ada@example.com") == "You are on the list."
    assert [one["email"] for one in stoq_sandbox.intents] == ["ada@example.com"]


# STOQ does not say what it answers to a duplicate; by default, the sandbox answers with 200.
@pytest.mark.stoq_sandbox(assume={"duplicate": "409"})
def test_second_click(stoq: Stoq) -> None:
    notify_me(stoq, 4711, 42, "ada@example.com")
    assert notify_me(stoq, 4711, 42, "ada@example.com") == "You are on the list already."


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("reset-after-store", "You may be on the list: send again."),
        ("status=429", "Please try later."),
    ],
)
def test_trouble(stoq: Stoq, stoq_sandbox: Sandbox, fault: str, told: str) -> None:
    stoq_sandbox.fail_next(fault)
    assert notify_me(stoq, 4711, 42, "ada@example.com") == told
