"""examples/celery on a real Redis and real Celery workers that are killed in flight.

Runs with ``STOQAPP_THOROUGH=1``, where a ``redis-server`` is installed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from listing import request
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from service import Service, service

from stoqapp.outbox import SqliteOutbox

EXAMPLES = Path(__file__).parents[3] / "examples" / "celery"
SHOPS = ("one.myshopify.com", "two.myshopify.com")
EACH = 60
KILLS = 6
# Both shops have so many requests in flight at most, see stoqapp.bulk.send.
IN_FLIGHT = 8

pytestmark = [
    pytest.mark.skipif(not os.environ.get("STOQAPP_THOROUGH"), reason="takes a minute"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server"),
]


@contextmanager
def _process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process group; kill what is left of it at the end."""
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        cwd=EXAMPLES,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of this test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--port", str(port), "--dir", str(tmp_path), "--save", "")
    with _process("redis-server", *options), Redis(port=port) as redis:
        ends = time.monotonic() + 20
        while True:
            try:
                redis.ping()
                break
            except RedisConnectionError:
                assert time.monotonic() < ends
        yield f"redis://127.0.0.1:{port}/0"


def test_workers_that_are_killed_in_flight_lose_nothing(tmp_path: Path, redis_url: str) -> None:
    """Every intent is stored; only what was in flight at a kill can have come twice."""
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    for number in range(EACH):
        for shop in SHOPS:
            outbox.add(shop, request(number, f"{shop.partition('.')[0]}.example.com"))
    with service(latency=0.1) as running:
        environment = {
            "REDIS_URL": redis_url,
            "OUTBOX": str(tmp_path / "outbox.sqlite"),
            "DRAIN_EVERY": "2",
            "LONGEST_CALL": "2",
            "STOQ_BASE_URL": running.base_url,
        }
        celery = (sys.executable, "-m", "celery", "-A", "celery_drain")
        schedule = str(tmp_path / "beat")
        with _process(*celery, "beat", "-s", schedule, **environment):
            for kill in range(KILLS):
                with _process(*celery, "worker", "-c", "2", **environment) as worker:
                    _wait_for(running, (kill + 1) * len(SHOPS) * EACH // (KILLS + 2))
                    _kill(worker)
            with _process(*celery, "worker", "-c", "2", **environment):
                ends = time.monotonic() + 120
                while outbox.left():
                    assert time.monotonic() < ends, outbox.left()
                    time.sleep(0.2)

        twice = running.received.total() - len(running.received)
        assert len(SHOPS) * EACH == len(running.stored)
        assert twice <= KILLS * IN_FLIGHT


def _wait_for(running: Service, count: int) -> None:
    ends = time.monotonic() + 60
    running.wait_for(count, lambda: time.monotonic() > ends)
    assert running.received.total() >= count
