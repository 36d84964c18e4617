"""The rate budget: the points of a shop, taken before a request is sent.

`log` is the arithmetic. A store keeps the log of each shop: in this process (`memory`), in a
SQLite file (`sqlite`) or in Redis (`redis`). Its method ``step`` reads a log, changes it and writes
it back, so that nothing comes in between.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from stoqapp.budget import log
from stoqapp.budget.memory import MemoryStore
from stoqapp.headers import POINTS_PER_WINDOW, WINDOW_SECONDS, RateLimit

if TYPE_CHECKING:
    from stoqapp.budget.redis import RedisStore
    from stoqapp.budget.sqlite import SqliteStore

__all__ = ["Budget", "shared_budget"]

# On a busy machine, threads and processes wait for each other for a part of this.
_LONGEST_IO_SECONDS: Final = 20.0


class Budget:
    """The points of each shop per window, taken before sending.

    Everything that holds the same object shares the points: clients, threads and tasks of this
    process. `Budget.sqlite` shares them among the processes of a machine, `Budget.redis` among
    machines. After a fork, the child of a process counts on its own with the in-process kind;
    with the other two, both go on counting together.

    A budget never sleeps: `take` returns how long to wait. A request that ends in an error keeps
    the points that it took, since the service may have counted it, unless it was never sent.

    A shop is named by its host name. Clients whose ``base_url`` has another host than the
    vendor's name it ``shop@host``, so that requests to a sandbox cost the real shop nothing.

    Methods with an *io_timeout* give a file or Redis that many seconds to answer, 20 at most and
    by default. They raise `BudgetUnavailableError` when it fails or is slow.

    Args:
        share: The part of the points that may be used, above 0 and up to 1. ``0.9`` leaves a
            tenth of each window to others who spend from the same shop. Those who share a file
            or Redis may have a share each; what follows must be the same for all of them.
        points: Points that the service gives a shop per window.
        window_seconds: Length of the service's window.
        clock: Returns the time in seconds; for tests.

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        *,
        share: float = 1.0,
        points: int = POINTS_PER_WINDOW,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowance = log.allowance_from(share, points, window_seconds)
        self._store: MemoryStore | SqliteStore | RedisStore = MemoryStore(clock)

    @classmethod
    def sqlite(
        cls,
        path: str | os.PathLike[str],
        *,
        share: float = 1.0,
        points: int = POINTS_PER_WINDOW,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> "Budget":
        """Return a budget for all processes of this machine that name the same file.

        The other arguments are those of `Budget`.

        Args:
            path: A SQLite file on a local disk; created when missing. Its folder must be
                writable, and holds two more files beside it while the budget is in use. Do not
                delete it meanwhile.

        Raises:
            ConfigurationError: An argument is unusable, or the file cannot be used.
        """
        from stoqapp.budget.sqlite import SqliteStore

        budget = cls(share=share, points=points, window_seconds=window_seconds)
        budget._store = SqliteStore(path, clock)
        return budget

    @classmethod
    def redis(
        cls,
        url: str,
        *,
        share: float = 1.0,
        points: int = POINTS_PER_WINDOW,
        window_seconds: float = WINDOW_SECONDS,
        prefix: str = "stoqapp",
        clock: Callable[[], float] | None = None,
    ) -> "Budget":
        """Return a budget for all machines that name the same Redis (5 or newer).

        Needs the extra: ``pip install 'stoqapp[redis]'``. Connects when points are first taken.
        Counts by the server's clock. The other arguments are those of `Budget`.

        Args:
            url: Like ``redis://localhost:6379/0``, ``rediss://...`` or ``unix://...``.
            prefix: The beginning of the keys, one a shop. They expire two days after their use.

        Raises:
            ConfigurationError: An argument is unusable, or the extra is not installed.
        """
        from stoqapp.budget.redis import RedisStore

        budget = cls(share=share, points=points, window_seconds=window_seconds)
        budget._store = RedisStore(url, prefix, clock)
        return budget

    @property
    def blocking_io(self) -> bool:
        """Whether the methods do I/O, so that asyncio should call them in a thread."""
        return self._store.blocking_io

    def take(self, shop: str, *, io_timeout: float = _LONGEST_IO_SECONDS) -> float:
        """Take the points of one write for *shop*, or return how long to wait. Never sleeps.

        Returns:
            0.0 when the points are taken, so send now. Else the seconds after which to call again;
            others may take the points first.
        """
        change = partial(log.take, allowance=self._allowance)
        return self._step(shop, change, io_timeout) / 1000

    def give_back(
        self, shop: str, seconds_ago: float, *, io_timeout: float = _LONGEST_IO_SECONDS
    ) -> None:
        """Return the points taken for *shop* that many seconds ago: nothing was sent."""
        age_ms = max(0, int(seconds_ago * 1000) - 1)
        self._step(shop, partial(log.give_back, age_ms=age_ms), io_timeout)

    def learn(
        self, shop: str, reading: RateLimit, *, io_timeout: float = _LONGEST_IO_SECONDS
    ) -> None:
        """Correct the count for *shop* by the headers of an answer.

        Others may spend from the same shop. Where the service has fewer points left than this
        budget would still take, the difference is taken out until the window ends (a whole
        window, where the headers do not say when). With a share below 1 this begins only when
        others have used up what the share leaves to them. Where the service has more points left
        than expected, requests are still on their way, and nothing changes.
        """
        if reading.remaining is not None:
            change = partial(
                log.learn,
                allowance=self._allowance,
                remaining=reading.remaining,
                reset=reading.resets_in_seconds,
            )
            self._step(shop, change, io_timeout)

    def hold(self, shop: str, seconds: float, *, io_timeout: float = _LONGEST_IO_SECONDS) -> None:
        """Let no points be taken for *shop* for *seconds*, as a 429 asks for.

        A hold never shortens one that is in force. More than a day counts as a day; what is not
        a positive number is ignored.
        """
        if seconds > 0:
            self._step(shop, partial(log.hold, seconds=seconds), io_timeout)

    def close(self) -> None:
        """Close the file or the connections. A later call opens them again."""
        self._store.close()

    def _step(self, shop: str, change: log.Change[log.T], io_timeout: float) -> log.T:
        io_seconds = min(max(io_timeout, 0.001), _LONGEST_IO_SECONDS)
        return self._store.step(shop.lower(), change, io_seconds)

    def __repr__(self) -> str:
        return f"<Budget {self._store.name} share={self._allowance.share:g}>"


_SHARED: Final = Budget()


def shared_budget() -> Budget:
    """Return the budget that all clients of this process share by default."""
    return _SHARED
