"""Draining an outbox from Python: within time and budget, again and again, and side by side."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from listing import request
from service import NOT_FOUND, service

from stoqapp import AsyncStoq, Budget
from stoqapp.bulk.send import IN_FLIGHT, drain, drain_async
from stoqapp.outbox import OutboxError, SqliteOutbox

SHOPS = ("one.myshopify.com", "two.myshopify.com")


def filled(path: Path, count: int, *shops: str) -> SqliteOutbox:
    """Return an outbox with so many requests of each shop."""
    outbox = SqliteOutbox(path)
    for number in range(count):
        for place, shop in enumerate(shops):
            outbox.add(shop, request(number * 10 + place))
    return outbox


def test_an_outbox_is_emptied_and_forgets_the_requests(tmp_path: Path) -> None:
    """What is sent leaves the outbox, with its personal data; one client serves many drains."""
    outbox = filled(tmp_path / "outbox", 6, *SHOPS)
    with service() as running:
        client = AsyncStoq("any", base_url=running.base_url)
        first = drain(outbox, client, shop=SHOPS[0])
        assert {"sent": 6} == first.counts
        assert {SHOPS[1]: 6} == first.left == outbox.left()
        second = drain(outbox, client)
        assert ({"sent": 6}, {}, {}) == (second.counts, second.left, second.stopped)
        assert 12 == len(running.stored)
    outbox.close()
    assert b"person" not in (tmp_path / "outbox").read_bytes()


def test_no_more_is_sent_than_the_budget_allows(tmp_path: Path) -> None:
    """A drain sends what has points, and returns instead of waiting beyond its time."""
    outbox = filled(tmp_path / "outbox", 10, *SHOPS)
    with service() as running:
        budget = Budget(points=8, window_seconds=600.0)
        client = AsyncStoq("any", base_url=running.base_url, budget=budget)
        drained = drain(outbox, client, seconds=30.0)
        assert {"sent": 8} == drained.counts
        assert {SHOPS[0]: 6, SHOPS[1]: 6} == drained.left
        again = drain(outbox, client, seconds=30.0)
        assert {} == again.counts
        assert 8 == running.received.total()


def test_a_shop_that_fails_stops_alone(tmp_path: Path) -> None:
    """Twenty failures of one kind end the shop that has them; the others are finished."""
    outbox = filled(tmp_path / "outbox", 40, *SHOPS)
    with service() as running:
        failing = {f"person{number * 10}@example.com" for number in range(40)}
        running.answer = lambda _: NOT_FOUND if running.order[-1] in failing else None
        client = AsyncStoq("any", base_url=running.base_url)
        drained = drain(outbox, client)
    assert {SHOPS[0]: "NotFoundError (404)"} == drained.stopped
    refused = drained.counts["refused"]
    assert 20 <= refused < 20 + IN_FLIGHT
    assert (40, {SHOPS[0]: 40 - refused}) == (drained.counts["sent"], drained.left)


def test_failures_of_all_shops_stop_everything(tmp_path: Path) -> None:
    """Twenty failures of one kind in a row end the drain, also where no shop has as many."""
    shops = [f"shop-{number}.myshopify.com" for number in range(10)]
    outbox = filled(tmp_path / "outbox", 12, *shops)
    with service(answer=lambda _: NOT_FOUND) as running:
        drained = drain(outbox, AsyncStoq("any", base_url=running.base_url))
    assert {"": "NotFoundError (404)"} == drained.stopped
    assert 20 <= drained.counts["refused"] <= 20 + IN_FLIGHT * len(shops)
    assert 120 == drained.counts["refused"] + sum(drained.left.values())


def test_what_another_process_left_in_flight_is_claimed_again(tmp_path: Path) -> None:
    """An item that was claimed and never stored comes again, to another outbox object."""
    first = filled(tmp_path / "outbox", 3, SHOPS[0])
    claimed = first.claim({SHOPS[0]: 2})
    assert [1, 2] == [item.key for item in claimed]
    assert [3] == [item.key for item in first.claim({SHOPS[0]: 5})]
    assert {SHOPS[0]: 3} == first.left()
    other = SqliteOutbox(tmp_path / "outbox")
    assert [1, 2, 3] == [item.key for item in other.claim({SHOPS[0]: 5})]
    other.release(claimed)
    assert [1, 2] == [item.key for item in other.claim({SHOPS[0]: 5})]


def test_stopping_a_drain(tmp_path: Path) -> None:
    """Once the event is set nothing more is claimed, and what is in flight is finished."""
    outbox = filled(tmp_path / "outbox", 30, SHOPS[0])

    async def run(base_url: str) -> Any:
        stop = asyncio.Event()
        async with AsyncStoq("any", base_url=base_url) as client:
            return await drain_async(outbox, client, on_outcome=lambda *_: stop.set(), stop=stop)

    with service() as running:
        drained = asyncio.run(run(running.base_url))
        sent = drained.counts["sent"]
        assert 1 <= sent == len(running.stored) < 30
    assert {SHOPS[0]: 30 - sent} == drained.left


def test_an_outbox_that_cannot_be_used(tmp_path: Path) -> None:
    """A file that is not a database is refused; one that breaks later ends the drain."""
    (tmp_path / "text").write_text("x" * 5000, encoding="utf-8")
    with pytest.raises(OutboxError, match="cannot be used"):
        SqliteOutbox(tmp_path / "text")
    outbox = filled(tmp_path / "outbox", 3, SHOPS[0])
    with sqlite3.connect(tmp_path / "outbox") as other:
        other.execute("ALTER TABLE outbox DROP COLUMN status")
    other.close()
    with service() as running, pytest.raises(OutboxError, match="status"):
        drain(outbox, AsyncStoq("any", base_url=running.base_url))
