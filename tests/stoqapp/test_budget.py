"""Points are taken before sending: no 429 for whoever does, and hardly a point stays unused."""

import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
NO_REDIS = "redis://127.0.0.1:1"
NO_URLS = ["", "localhost:6379", "http://localhost", "redis://h:port", None]
NO_FILES = ["", "/", "/missing/budget", "a\0b", None, __file__]


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


Make = Callable[..., Budget]


@pytest.fixture
def make_of(tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes budgets of a kind, all on one store where the kind has one, all by one clock."""
    made = []

    def make(kind: str, **arguments: Any) -> Budget:
        made.append(budget_of(kind, tmp_path, request, **{"clock": clock} | arguments))
        return made[-1]

    yield make
    for budget in made:
        budget.close()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, make_of: Any) -> Make:
    """`make_of` of each kind."""
    return partial(make_of, request.param)


def budget_of(kind: str, folder: Path, request: pytest.FixtureRequest, **arguments: Any) -> Budget:
    if kind == "memory":
        return Budget(**arguments)
    budget: Budget = getattr(Budget, kind)(place_of(kind, folder, request), **arguments)
    return budget


def place_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Return where a budget of *kind* can be kept."""
    return request.getfixturevalue("redis_url") if kind == "redis" else str(folder / "budget")


def taken_now(budget: Budget, shop: str = SHOP) -> int:
    """Take as often as is possible at this moment, and return how often."""
    takes = 0
    while budget.take(shop) == 0:
        takes += 1
    return takes


def reading(remaining: int | None, resets_in: float | None) -> RateLimit:
    return RateLimit(100, remaining, resets_in)


def run(program: str, *arguments: object) -> str:
    """Return what *program* prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- taking ----------------------------------------------------------------------------------------


def test_a_window_holds_its_points(make: Make, clock: Clock) -> None:
    """180 writes fit into 360 points, and the next one after a window and the slack."""
    budget = make()

    assert taken_now(budget) == 180
    assert budget.take(SHOP) == pytest.approx(60 * (1 + SLACK), abs=0.01)
    clock.now += 61.7
    assert budget.take(SHOP) > 0
    clock.now += 0.2
    assert taken_now(budget) == 180


def test_the_wait_is_long_enough(make: Make, clock: Clock) -> None:
    """After the wait that was returned there are points, and not much sooner."""
    budget = make(points=10, window_seconds=2.0)
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


@pytest.mark.parametrize("other", ["b.myshopify.com", "", "'; DROP TABLE x; --", "ü", "{a}:b"])
def test_shops_are_apart(make: Make, other: str) -> None:
    """Each shop has its own points, by its name in any case of letters; any text is a name."""
    budget = make(points=4)

    assert taken_now(budget, "a.myshopify.com") == 2
    assert taken_now(budget, "A.MyShopify.com") == 0
    assert taken_now(budget, other) == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.floats(0, 1), st.floats(0, 0.5), st.integers())
def test_every_fixed_window_is_kept_and_filled(
    writes: int, phase: float, pace: float, seed: int
) -> None:
    """Wherever the service's windows begin, none is exceeded and 95 % are used."""
    clock, random, points, window, windows = Clock(), Random(seed), 2 * writes, 60.0, 100
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


@pytest.mark.parametrize(
    ("share", "points", "writes"),
    [(0.9, 360, 162), (0.29, 100, 14), (0.5, 7, 1), (1, 360, 180), (1, 7, 3), (1, 2, 1)],
)
def test_a_share_leaves_the_rest(share: float, points: int, writes: int) -> None:
    """A share is never exceeded, and rounding takes nothing away from it."""
    assert taken_now(Budget(share=share, points=points)) == writes


# -- learning and holding --------------------------------------------------------------------------


def test_points_are_given_back(make: Make, clock: Clock) -> None:
    """Points that were not used can be taken again, but not those that others spent."""
    budget = make(points=6)
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


@pytest.mark.parametrize("resets_in", [None, 60.0, 86_400.0])
def test_a_window_ends_after_its_length_at_the_latest(
    clock: Clock, resets_in: float | None
) -> None:
    """Without a plausible reset, what others spent counts for a whole window and no longer."""
    budget = Budget(points=100, clock=clock)
    budget.learn(SHOP, reading(0, resets_in))

    assert budget.take(SHOP) == pytest.approx(60.0, abs=0.01)
    clock.now += 60.01
    assert taken_now(budget) == 50


def test_what_others_spent_is_taken_out(make: Make, clock: Clock) -> None:
    """Fewer points left than expected are fewer for this budget, until the window ends."""
    budget = make(points=100)
    for _ in range(10):
        assert budget.take(SHOP) == 0
    budget.learn(SHOP, reading(50, 30.0))

    assert taken_now(budget, "other.myshopify.com") == 50
    assert taken_now(budget) == 25
    assert budget.take(SHOP) == pytest.approx(30.0, abs=0.01)
    clock.now += 30.01
    assert taken_now(budget) == 15
    clock.now += 31.9
    assert taken_now(budget) == 35


@pytest.mark.parametrize(
    ("share", "ours", "news", "writes"),
    [
        (1, 0, [(20, 30.0)], 10),
        # The same news twice, or older news, takes nothing more out.
        (1, 0, [(40, 30.0), (40, 30.0), (60, 30.0)], 20),
        # Requests on their way are not given out again because the service has not seen them yet.
        (1, 40, [(100, 30.0)], 10),
        # What others spend costs nothing until it exceeds what the share leaves to them.
        (0.9, 0, [(95, 30.0)], 45),
        (0.9, 0, [(90, 30.0)], 45),
        (0.9, 0, [(70, 30.0)], 35),
        (0.9, 0, [(1, 30.0)], 0),
        (0.9, 20, [(50, 30.0)], 25),
        # No points left named, or a window that is over.
        (1, 0, [(None, 30.0), (None, None), (0, 0.0)], 50),
    ],
)
def test_what_news_leave(
    share: float, ours: int, news: list[tuple[int | None, float | None]], writes: int
) -> None:
    """After news of the service, so many writes of 50 fit."""
    budget = Budget(points=100, share=share, clock=Clock())
    for _ in range(ours):
        assert budget.take(SHOP) == 0
    for remaining, resets_in in news:
        budget.learn(SHOP, reading(remaining, resets_in))
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


def test_hold(make: Make, clock: Clock) -> None:
    """A hold lets no call through for so long, is not shortened, and is of one shop."""
    budget = make(points=100)
    budget.hold(SHOP, 24.0)
    budget.hold(SHOP, 5.0)

    assert taken_now(budget, "other.myshopify.com") == 50
    clock.now += 23.9
    assert budget.take(SHOP) == pytest.approx(0.1, abs=0.01)
    clock.now += 0.11
    assert taken_now(budget) == 50


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [
        *[(ignored, 0) for ignored in (0, -1, math.nan, -math.inf)],
        *[(absurd, 86_400) for absurd in (86_401, 1e300, math.inf)],
    ],
)
def test_a_hold_of_no_plausible_length(seconds: float, wait: float) -> None:
    """What is not a positive number is ignored; an absurd one does not close a shop for good."""
    budget = Budget(clock=Clock())
    budget.hold(SHOP, seconds)
    assert budget.take(SHOP) == wait


# -- sharing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
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


def test_many_threads(make: Make) -> None:
    """Threads that take at once get all points, and none twice."""
    budget = make(points=120)
    with ThreadPoolExecutor(8) as pool:
        takes = sum(pool.map(lambda _: taken_now(budget), range(8)))
    assert takes == 60


SENDER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from stoqapp.budget import Budget
from stoqapp.headers import RateLimit

now, kind, place, points, threads = 0.0, *sys.argv[1:3], *map(int, sys.argv[3:])
make = getattr(Budget, kind)

def spend(_):
    takes = 0
    while budget.take("demo.myshopify.com") == 0:
        takes += 1
    return takes

print("ready", flush=True)
budget = None
with ThreadPoolExecutor(threads) as pool:
    for line in sys.stdin:
        now, remaining, resets_in = json.loads(line)
        budget = budget or make(place, points=points, clock=lambda: now)
        budget.learn("demo.myshopify.com", RateLimit(points, remaining, resets_in))
        print(sum(pool.map(spend, range(threads))), flush=True)
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_and_threads_against_the_limit(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """4 processes of 4 threads on one shop never exceed a window, and use 95 % of the points.

    They contend for the store at every moment of a clock that the test moves, and make it
    together at the first. The service is a count for each window: requests arrive half of the
    slack after their points were taken.
    """
    points, window, step, windows = 120, 60.0, 0.75, 4
    place = place_of(kind, tmp_path, request)
    begin = [sys.executable, "-c", SENDER, kind, place, str(points), "4"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    senders = [subprocess.Popen(begin, **pipes) for _ in range(4)]
    used: Counter[int] = Counter()
    try:
        for sender in senders:
            assert sender.stdout.readline() == "ready\n"
        for tick in range(int((windows + 1) * window / step)):
            now = 1_800_000_000 + tick * step
            arrives = now + SLACK * window / 2
            number = int(arrives // window)
            news = [now, points - used[number], (number + 1) * window - now]
            for sender in senders:
                print(json.dumps(news), file=sender.stdin, flush=True)
            used[number] += 2 * sum(int(sender.stdout.readline()) for sender in senders)
    finally:
        for sender in senders:
            sender.communicate(timeout=HANG_SECONDS)
    whole = [used[number] for number in sorted(used)[1:-1]]
    assert max(used.values()) <= points
    assert sum(whole) >= 0.95 * points * len(whole), whole


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_fork(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
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
threads = [threading.Thread(target=spend) for _ in range(4)]
for thread in threads:
    thread.start()
for child in range(10):
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
    assert run(program, kind, place_of(kind, tmp_path, request)) == "185 15\n"


# -- what is kept ----------------------------------------------------------------------------------


def test_a_clock_that_is_set_back(make: Make, clock: Clock) -> None:
    """After the clock was set back by two days, no call waits for so long."""
    budget = make(points=20)
    taken_now(budget)
    budget.hold("held.c", 30.0)
    clock.now -= 2 * 86_400

    assert budget.take("held.c") == 0
    assert 0 < budget.take(SHOP) < 62
    clock.now += 62
    assert taken_now(budget) == 10


def test_what_redis_keeps(make_of: Any, clock: Clock, redis_client: Any) -> None:
    """Every key has the prefix and an end, and does not grow, however long it is used."""
    budget = make_of("redis", points=20, prefix="staging")
    sizes = set()
    for _ in range(5):
        budget.learn(SHOP, reading(10, 30.0))
        taken_now(budget)
        sizes.add(redis_client.strlen(f"staging:{SHOP}"))
        clock.now += 62
    assert len(sizes) == 1
    assert redis_client.keys() == [f"staging:{SHOP}".encode()]
    assert 86_400 < redis_client.ttl(f"staging:{SHOP}") <= 2 * 86_400


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_by_its_own_clock(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By its own clock, a wait is a window and the slack at most; after close it goes on."""
    budget = budget_of(kind, tmp_path, request, points=2, share=1)
    assert budget.blocking_io is (kind != "memory")
    assert kind.replace("memory", "in this process") in repr(budget)
    assert budget.take(SHOP) == 0
    for _ in range(2):
        budget.close()
        assert 0 < budget.take(SHOP) <= 62
    budget.hold(SHOP, 500.0)
    assert 62 < budget.take(SHOP) <= 500
    budget.close()


# -- what is refused, and what fails ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "place", "arguments", "said"),
    [
        *[("redis", NO_REDIS, {"share": bad}, "share must be") for bad in (0, 1.01, math.nan, "1")],
        ("redis", NO_REDIS, {"share": 0.001}, "share leaves 0 of 360 points"),
        *[("redis", NO_REDIS, {"points": bad}, "points must be") for bad in (0, 10**400)],
        *[("redis", NO_REDIS, {"window_seconds": bad}, "window_") for bad in (0, math.inf, None)],
        *[("redis", bad, {}, "the budget's url must be like redis://") for bad in NO_URLS],
        *[("sqlite", bad, {}, "the budget's file .* cannot be used .*: give") for bad in NO_FILES],
    ],
)
def test_arguments_that_make_no_sense(
    kind: str, place: Any, arguments: dict[str, Any], said: str
) -> None:
    """An unusable argument is named at once, in one line."""
    with pytest.raises(ConfigurationError, match=f"^{said}[^\n]*$"):
        getattr(Budget, kind)(place, **arguments)


def test_a_relative_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder of the moment, also when the process moves on."""
    monkeypatch.chdir(tmp_path)
    budget = Budget.sqlite("budget")
    monkeypatch.chdir("/")
    budget.close()
    assert budget.take(SHOP) == 0
    assert (tmp_path / "budget").is_file()
    budget.close()


def test_a_file_that_is_damaged(make_of: Any, tmp_path: Path) -> None:
    """Bytes and rows that are not a budget's are an error that says what to do."""
    budget = make_of("sqlite")
    budget.take(SHOP)
    with sqlite3.connect(tmp_path / "budget") as other:
        other.execute("UPDATE stoqapp_logs SET log = '[[1, 2'")
    other.close()
    with pytest.raises(BudgetUnavailableError, match="delete it"):
        budget.take(SHOP)
    budget.close()
    (tmp_path / "budget").write_bytes(b"x" * 8192)
    with pytest.raises(ConfigurationError, match="not a database"):
        make_of("sqlite")


def test_a_file_that_is_locked(tmp_path: Path, make_of: Any) -> None:
    """A file that stays locked is an error after the io_timeout, and works again later."""
    budget = make_of("sqlite")
    with sqlite3.connect(tmp_path / "budget", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BudgetUnavailableError, match="locked"):
            budget.take(SHOP, io_timeout=0.01)
        other.execute("ROLLBACK")
    other.close()
    assert budget.take(SHOP) == 0


@pytest.mark.parametrize(
    "url", ["unix://{}/none", "unix://{}/silent", "redis://u:secret@127.0.0.1:1/0"]
)
def test_a_redis_that_is_down(tmp_path: Path, url: str) -> None:
    """A Redis that is not there, or is silent, is an error that hides the password."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        budget = Budget.redis(url.format(tmp_path))
        with pytest.raises(BudgetUnavailableError, match=r"nothing was sent: .*Redis") as caught:
            budget.take(SHOP, io_timeout=0.05)
        assert caught.value.carried_out is False
        assert "secret" not in str(caught.value) + str(caught.value.__cause__) + repr(budget)
        budget.close()


def test_a_redis_that_was_restarted(make_of: Any, redis_client: Any) -> None:
    """Connections that the server closed, and scripts that it forgot, are no reason to fail."""
    budget = make_of("redis", points=100)
    assert budget.take(SHOP) == 0
    redis_client.script_flush()
    redis_client.client_kill_filter(_type="normal", skipme=True)
    assert budget.take(SHOP) == 0
    redis_client.set(f"stoqapp:{SHOP}", "of another program")
    with pytest.raises(BudgetUnavailableError, match="Redis cannot be used"):
        budget.take(SHOP)


def test_what_is_imported() -> None:
    """A default budget imports no package of the others; one that is missing is named."""
    program = """
import sys
from stoqapp.budget import Budget
Budget()
print([name for name in ("redis", "sqlite3") if name in sys.modules])
sys.modules["redis"] = None
try:
    Budget.redis("redis://localhost")
except ValueError as error:
    print(error)
"""
    imported, error = run(program).splitlines()
    assert imported == "[]"
    assert error.endswith("pip install 'stoqapp[redis]'")
