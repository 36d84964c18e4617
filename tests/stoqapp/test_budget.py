"""Points are taken before sending: no 429 for whoever does, and hardly a point stays unused."""

import math
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoqapp.budget import Budget
from stoqapp.budget.log import SLACK
from stoqapp.errors import BudgetUnavailableError, ConfigurationError
from stoqapp.headers import RateLimit

SHOP = "demo.myshopify.com"
HANG_SECONDS = 60
KINDS = ["memory", "sqlite", "redis"]
SHARED = KINDS[1:]
NO_URLS = ["", "localhost:6379", "http://localhost", "redis://h:port", None]
NO_FILES = ["", "/", "/missing/budget", "a\0b", None, __file__]


Place = Callable[[str], list[str]]


class Clock:
    """A clock that only the test moves."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Any]:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def place_of(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """What a budget of a kind is made with: the file or the URL where it is kept."""
    places = {"memory": list, "sqlite": lambda: [str(tmp_path / "budget")]}
    return lambda kind: places.get(kind, lambda: [request.getfixturevalue("redis_url")])()


def budget_of(kind: str, place: list[str], **arguments: Any) -> Budget:
    make = Budget if kind == "memory" else getattr(Budget, kind)
    budget: Budget = make(*place, **arguments)
    return budget


@pytest.fixture
def make_of(place_of: Place, clock: Clock) -> Iterator[Any]:
    """Makes budgets of a kind, all on one store where the kind has one, all by one clock."""
    with ExitStack() as stack:

        def make(kind: str, **arguments: Any) -> Budget:
            budget = budget_of(kind, place_of(kind), clock=clock, **arguments)
            stack.callback(budget.close)
            return budget

        yield make


def taken_now(budget: Budget, shop: str = SHOP) -> int:
    """Take as often as is possible at this moment, and return how often."""
    takes = 0
    while budget.take(shop) == 0:
        takes += 1
    return takes


def reading(remaining: int | None, resets_in: float | None) -> RateLimit:
    return RateLimit(100, remaining, resets_in)


def test_a_window_holds_its_points(clock: Clock) -> None:
    """180 writes fit into 360 points, and the next one after a window and the slack."""
    budget = Budget(clock=clock)
    assert taken_now(budget) == 180
    assert budget.take(SHOP) == pytest.approx(60 * (1 + SLACK), abs=0.01)
    clock.now += 61.7
    assert budget.take(SHOP) > 0
    clock.now += 0.2
    assert taken_now(budget) == 180


def test_the_wait_is_long_enough(clock: Clock) -> None:
    """After the wait that was returned there are points, and not much sooner."""
    budget = Budget(points=10, window_seconds=2.0, clock=clock)
    for _ in range(5):
        assert budget.take(SHOP) == 0
        clock.now += 0.1
    for _ in range(7):
        wait = budget.take(SHOP)
        assert wait > 0
        clock.now += wait - 0.003
        assert budget.take(SHOP) > 0
        clock.now += 0.003
        assert budget.take(SHOP) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_shops_are_apart(make_of: Any, kind: str) -> None:
    """Each shop has its own points, by its name in any case of letters; any text is a name."""
    budget = make_of(kind, points=4)
    assert taken_now(budget, "a.myshopify.com") == 2
    assert taken_now(budget, "A.MyShopify.com") == 0
    for other in ("b.myshopify.com", "", "'; DROP TABLE x; --", "ü", "{a}:b"):
        assert taken_now(budget, other) == 2


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 60), st.floats(0, 1), st.floats(0, 0.5), st.integers())
def test_every_fixed_window_is_kept_and_filled(
    writes: int, phase: float, pace: float, seed: int
) -> None:
    """Wherever the service's windows begin, none is exceeded and 95 % are used."""
    clock, random, points, window, windows = Clock(), Random(seed), 2 * writes, 60.0, 40
    budget = Budget(points=points, clock=clock)
    begins = clock.now + phase * window
    arrived: Counter[int] = Counter()
    while clock.now < begins + (windows + 1) * window:
        wait = budget.take(SHOP)
        if wait == 0:
            # Requests arrive up to the slack after their points were taken.
            arrives = clock.now + random.choice([0.0, random.random(), 1.0]) * SLACK * window
            arrived[math.floor((arrives - begins) / window)] += 2
            clock.now += pace * window * 2 / points * random.random()
        else:
            clock.now += wait
    used = [arrived[number] for number in range(windows)]
    assert max(used) <= points
    assert sum(used) >= 0.95 * points * windows


def test_a_share_leaves_the_rest() -> None:
    """A share is never exceeded, and rounding takes nothing away from it."""
    for share, points, writes in [(0.9, 360, 162), (0.29, 100, 14), (0.5, 7, 1), (1, 7, 3)]:
        assert taken_now(Budget(share=share, points=points)) == writes


def test_points_are_given_back(clock: Clock) -> None:
    """Points that were not used can be taken again, but not those that others spent."""
    budget = Budget(points=6, clock=clock)
    assert budget.take(SHOP) == 0
    clock.now += 10
    assert budget.take(SHOP) == 0
    budget.learn(SHOP, reading(0, 30.0))
    assert budget.take(SHOP) > 0
    budget.give_back(SHOP, 0.0)
    assert budget.take(SHOP) == 0
    assert budget.take(SHOP) == pytest.approx(30.0, abs=0.01)
    budget.give_back(SHOP, 10.0)
    assert budget.take(SHOP) == 0
    assert budget.take(SHOP) > 0


@pytest.mark.parametrize(
    ("share", "ours", "news", "later", "writes"),
    [
        # Fewer points left than expected are fewer for this budget, until the window ends.
        (1, 10, [(50, 30.0)], 0.0, 25),
        (1, 10, [(50, 30.0)], 29.9, 25),
        (1, 10, [(50, 30.0)], 30.01, 40),
        (1, 10, [(50, 30.0)], 61.9, 50),
        # Without a plausible reset, that is after a whole window.
        (1, 0, [(0, None)], 59.9, 0),
        (1, 0, [(0, None)], 60.01, 50),
        (1, 0, [(0, 86_400.0)], 59.9, 0),
        (1, 0, [(0, 86_400.0)], 60.01, 50),
        # The same news twice, or older news, takes nothing more out.
        (1, 0, [(40, 30.0), (40, 30.0), (60, 30.0)], 0.0, 20),
        # Requests on their way are not given out again because the service has not seen them yet.
        (1, 40, [(100, 30.0)], 0.0, 10),
        # What others spend costs nothing until it exceeds what the share leaves to them.
        (0.9, 0, [(90, 30.0)], 0.0, 45),
        (0.9, 20, [(50, 30.0)], 0.0, 25),
        # No points left named, or a window that is over.
        (1, 0, [(None, 30.0), (None, None), (0, 0.0)], 0.0, 50),
    ],
)
def test_what_news_leave(
    clock: Clock, share: float, ours: int, news: list[Any], later: float, writes: int
) -> None:
    """So long after news of the service, so many writes of 50 fit."""
    budget = Budget(points=100, share=share, clock=clock)
    for _ in range(ours):
        assert budget.take(SHOP) == 0
    for remaining, resets_in in news:
        budget.learn(SHOP, reading(remaining, resets_in))
    clock.now += later
    assert taken_now(budget) == writes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 110), st.floats(0, 70), st.integers(0, 30)), max_size=12))
def test_never_more_than_the_service_has_left(news: list[tuple[int, float, int]]) -> None:
    """Right after an answer, no more can be taken than it said is left, whatever came before."""
    clock = Clock()
    budget = Budget(points=100, clock=clock)
    for remaining, resets_in, seconds in news:
        budget.learn(SHOP, reading(remaining, resets_in))
        if resets_in > 0:
            assert 2 * taken_now(budget) <= remaining
        clock.now += seconds


def test_hold(clock: Clock) -> None:
    """A hold lets no call of its shop through for so long, and no later one shortens it.

    What is not a positive number is ignored; an absurd one does not close a shop for good.
    """
    for seconds, wait in [(0, 0), (-1, 0), (math.nan, 0), (86_401, 86_400), (math.inf, 86_400)]:
        budget = Budget(points=100, clock=clock)
        budget.hold(SHOP, seconds)
        assert budget.take(SHOP) == wait
    budget = Budget(points=100, clock=clock)
    budget.hold(SHOP, 24.0)
    budget.hold(SHOP, 5.0)
    assert taken_now(budget, "other.myshopify.com") == 50
    clock.now += 23.9
    assert budget.take(SHOP) == pytest.approx(0.1, abs=0.01)
    clock.now += 0.11
    assert taken_now(budget) == 50


@pytest.mark.parametrize("kind", SHARED)
def test_two_budgets_on_one_store(make_of: Any, kind: str) -> None:
    """All that name the same place share points, holds and news; each takes its own share."""
    bulk, storefront = make_of(kind, points=100, share=0.9), make_of(kind, points=100)
    for _ in range(10):
        assert bulk.take(SHOP) == 0
    bulk.learn(SHOP, reading(60, 30.0))
    assert taken_now(bulk) == 30
    assert taken_now(storefront) == 5
    assert bulk.take(SHOP) > 0
    bulk.hold("third.myshopify.com", 5.0)
    assert storefront.take("third.myshopify.com") == pytest.approx(5.0, abs=0.01)
    bulk.give_back(SHOP, 0.0)
    assert taken_now(storefront) == 1


def test_many_threads() -> None:
    """Threads that take at once, and are preempted anywhere, get all points, and none twice."""
    interval = sys.getswitchinterval()
    budget = Budget(points=2000)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _: taken_now(budget), range(8))) == 1000
    finally:
        sys.setswitchinterval(interval)


SENDER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from stoqapp.budget import Budget
print("ready", flush=True)
budget = None
with ThreadPoolExecutor(4) as pool:
    for line in sys.stdin:
        now = float(line)
        budget = budget or getattr(Budget, sys.argv[1])(sys.argv[2], points=40, clock=lambda: now)
        takes = pool.map(lambda _: budget.take("demo.myshopify.com") == 0, range(30))
        print(sum(takes), flush=True)
"""


@pytest.mark.parametrize("kind", SHARED)
def test_processes_and_threads_share_each_window(kind: str, place_of: Place) -> None:
    """2 processes of 4 threads, which also make the store together, take each point once."""
    begin = [sys.executable, "-c", SENDER, kind, *place_of(kind)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    senders = [subprocess.Popen(begin, **pipes) for _ in range(2)]
    try:
        assert {sender.stdout.readline() for sender in senders} == {"ready\n"}
        for window in range(4):
            for sender in senders:
                print(1_800_000_000 + 62 * window, file=sender.stdin, flush=True)
            assert sum(int(sender.stdout.readline()) for sender in senders) == 20
    finally:
        for sender in senders:
            sender.communicate(timeout=HANG_SECONDS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", SHARED)
def test_fork(kind: str, place_of: Place) -> None:
    """Children that are forked off while threads take go on, each with a connection of its own."""
    program = """
import faulthandler, os, sys, threading
from stoqapp.budget import Budget, shared_budget
faulthandler.dump_traceback_later(40, exit=True)
shared = getattr(Budget, sys.argv[1])(sys.argv[2], points=400, window_seconds=3600.0)
own = Budget(points=40, window_seconds=3600.0)
for _ in range(5):
    assert shared.take("a.b") == own.take("a.b") == 0
ended = threading.Event()
def spend():
    while not ended.is_set():
        shared.take("other.c"), own.take("other.c"), shared_budget()
threads = [threading.Thread(target=spend) for _ in range(3)]
for thread in threads:
    thread.start()
for child in range(5):
    if os.fork() == 0:
        assert shared.take("a.b") == 0
        assert sum(own.take("a.b") == 0 for _ in range(20)) == 15
        shared_budget().take("a.b")
        shared.close()
        os._exit(0)
    assert os.wait()[1] == 0
ended.set()
for thread in threads:
    thread.join()
print(*[sum(each.take("a.b") == 0 for _ in range(300)) for each in (shared, own)])
"""
    command = [sys.executable, "-c", program, kind, *place_of(kind)]
    said = subprocess.check_output(command, text=True, timeout=HANG_SECONDS)
    assert said == "190 15\n"


def test_a_clock_that_is_set_back(clock: Clock) -> None:
    """After the clock was set back by two days, no call waits for so long."""
    budget = Budget(points=20, clock=clock)
    taken_now(budget)
    budget.hold("held.c", 30.0)
    clock.now -= 2 * 86_400
    assert budget.take("held.c") == 0
    assert 0 < budget.take(SHOP) < 62
    clock.now += 62
    assert taken_now(budget) == 10


def test_what_redis_keeps(make_of: Any, clock: Clock, redis_client: Any) -> None:
    """Every key has the prefix and an end, and does not grow, however long it is used."""
    budget, key, sizes = make_of("redis", points=20, prefix="staging"), f"staging:{SHOP}", set()
    for _ in range(3):
        budget.learn(SHOP, reading(10, 30.0))
        taken_now(budget)
        sizes.add(redis_client.strlen(key))
        clock.now += 62
    assert (len(sizes), redis_client.keys()) == (1, [key.encode()])
    assert 86_400 < redis_client.ttl(key) <= 2 * 86_400


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_by_its_own_clock(kind: str, place_of: Place) -> None:
    """By its own clock, a wait is a window and the slack at most; after close it goes on."""
    budget = budget_of(kind, place_of(kind), points=2)
    assert budget.blocking_io is (kind != "memory")
    assert kind.replace("memory", "in this process") in repr(budget)
    assert budget.take(SHOP) == 0
    for _ in range(2):
        budget.close()
        assert 0 < budget.take(SHOP) <= 62
    budget.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *[({"share": bad}, "share must be") for bad in (0, 1.01, math.nan, "1")],
        ({"share": 0.001}, "share leaves 0 of 360 points"),
        *[({"points": bad}, "points must be") for bad in (0, 10**400)],
        *[({"window_seconds": bad}, "window_") for bad in (0, math.inf, None)],
        *[({"url": bad}, "the budget's url must be like redis://") for bad in NO_URLS],
        *[({"path": bad}, "the budget's file .* cannot be used .*: give") for bad in NO_FILES],
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    """An unusable argument is named at once, in one line."""
    make = Budget.sqlite if "path" in arguments else partial(Budget.redis, "redis://127.0.0.1:1")
    make = Budget.redis if "url" in arguments else make
    with pytest.raises(ConfigurationError, match=f"^{said}[^\n]*$"):
        make(**arguments)


def test_a_relative_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder of the moment, also when the process moves on."""
    monkeypatch.chdir(tmp_path)
    budget = Budget.sqlite("budget")
    monkeypatch.chdir("/")
    budget.close()
    assert budget.take(SHOP) == 0
    budget.close()
    assert (tmp_path / "budget").is_file()


def test_a_file_that_has_trouble(make_of: Any, tmp_path: Path) -> None:
    """A file that stays locked is an error after the io_timeout, and works again later.

    Bytes and rows that are not a budget's are an error that says what to do.
    """
    budget = make_of("sqlite")
    with closing(sqlite3.connect(tmp_path / "budget", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BudgetUnavailableError, match="locked"):
            budget.take(SHOP, io_timeout=0.01)
        other.execute("ROLLBACK")
        assert budget.take(SHOP) == 0
        other.execute("UPDATE stoqapp_logs SET log = '[[1, 2'")
    with pytest.raises(BudgetUnavailableError, match="delete it"):
        budget.take(SHOP)
    budget.close()
    (tmp_path / "budget").write_bytes(b"x" * 8192)
    with pytest.raises(ConfigurationError, match="not a database"):
        make_of("sqlite")


@pytest.mark.parametrize("url", ["unix://{}/none", "redis://u:secret@127.0.0.1:1/0"])
def test_a_redis_that_is_down(tmp_path: Path, url: str) -> None:
    """A Redis that is not there is an error that hides the password."""
    budget = Budget.redis(url.format(tmp_path))
    with pytest.raises(BudgetUnavailableError, match=r"nothing was sent: .*Redis") as caught:
        budget.take(SHOP)
    assert caught.value.carried_out is False
    assert "secret" not in str(caught.value) + str(caught.value.__cause__) + repr(budget)
    budget.close()


def test_a_redis_that_has_trouble(make_of: Any, redis_client: Any) -> None:
    """A silent Redis is an error after the io_timeout, and works again later; so does a restart."""
    budget = make_of("redis", points=100)
    assert budget.take(SHOP) == 0
    redis_client.client_pause(HANG_SECONDS * 1000, all=False)
    with pytest.raises(BudgetUnavailableError, match="TimeoutError"):
        budget.take(SHOP, io_timeout=0.05)
    redis_client.client_unpause()
    assert budget.take(SHOP) == 0
    redis_client.client_kill_filter(_type="normal", skipme=True)
    assert budget.take(SHOP) == 0
    redis_client.set(f"stoqapp:{SHOP}", "of another program")
    with pytest.raises(BudgetUnavailableError, match="Redis cannot be used"):
        budget.take(SHOP)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a budget in Redis needs is named."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'stoqapp\[redis\]'$"):
        Budget.redis("redis://localhost")
