"""`Budget`, whatever holds it."""

import os
from collections.abc import Callable

from stoqapp.budget.forks import FORK_GUARD
from stoqapp.budget.memory import MemoryStore
from stoqapp.budget.plan import (
    LONGEST_HOLD_SECONDS,
    LONGEST_IO_SECONDS,
    Plan,
    Store,
    whole_ms,
)
from stoqapp.headers import POINTS_PER_WINDOW, WINDOW_SECONDS, RateLimit


class Budget:
    """The points of each shop per window, taken before sending.

    Whoever holds the same object shares the points: clients, threads, and tasks of this
    process. `Budget.sqlite` shares them among the processes of a machine, `Budget.redis` among
    machines. A process that was forked off counts for itself with the in-process kind; the other
    two go on counting together.

    A budget never sleeps: `take` says how long to wait. A request that ends in an error keeps
    the points that it took, since the service may have counted it, unless it never left.

    A shop is named by its host name. Clients whose ``base_url`` is on another host than the
    vendor's name it ``shop@host``, so that what a sandbox is sent costs the real shop nothing.

    All methods take an *io_timeout*: the seconds that a file or Redis gets to answer, 20 at most
    and by default.

    Args:
        share: The part of the points that may be used, above 0 and up to 1. ``0.9`` leaves a
            tenth of each window to others who spend from the same shop.
        points: Points that the service gives a shop per window.
        window_seconds: Length of the service's window.

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        *,
        share: float = 1.0,
        points: int = POINTS_PER_WINDOW,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self._plan = Plan.of(share, points, window_seconds)
        self._store: Store = MemoryStore(self._plan)

    @classmethod
    def sqlite(
        cls,
        path: str | os.PathLike[str],
        *,
        share: float = 1.0,
        points: int = POINTS_PER_WINDOW,
        window_seconds: float = WINDOW_SECONDS,
    ) -> "Budget":
        """Return a budget for all processes of this machine that name the same file.

        Args:
            path: A SQLite file on a local disk; made when it is not there. Its folder must be
                writable, and holds two more files beside it while the budget is in use.
            share: As for `Budget`; each process may have its own.
            points: As for `Budget`; the same in all processes.
            window_seconds: As for `Budget`; the same in all processes.

        Raises:
            ConfigurationError: An argument is unusable, or the file cannot be used.
        """
        budget = cls(share=share, points=points, window_seconds=window_seconds)
        from stoqapp.budget.sqlite import SqliteStore

        budget._store = SqliteStore(budget._plan, path)
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
    ) -> "Budget":
        """Return a budget for all machines that name the same Redis (5 or newer).

        Needs the extra: ``pip install 'stoqapp[redis]'``. Connects when points are first taken.
        The clock is that of the Redis server, so those of the machines do not matter.

        Args:
            url: Like ``redis://localhost:6379/0``, ``rediss://...`` or ``unix://...``.
            share: As for `Budget`; each process may have its own.
            points: As for `Budget`; the same in all processes.
            window_seconds: As for `Budget`; the same in all processes.
            prefix: What the keys begin with. They expire when a shop is idle.

        Raises:
            ConfigurationError: An argument is unusable, or the extra is not installed.
        """
        budget = cls(share=share, points=points, window_seconds=window_seconds)
        from stoqapp.budget.redis import RedisStore

        budget._store = RedisStore(budget._plan, url, prefix)
        return budget

    @property
    def blocking_io(self) -> bool:
        """Whether the methods do I/O, so that asyncio should call them in a thread."""
        return self._store.blocking_io

    @property
    def _clock(self) -> Callable[[], float] | None:
        return self._store.clock

    @_clock.setter
    def _clock(self, clock: Callable[[], float]) -> None:
        self._store.clock = clock

    def take(self, shop: str, *, io_timeout: float = LONGEST_IO_SECONDS) -> float:
        """Take the points of one write for *shop*, or say how long to wait. Never sleeps.

        Returns:
            0.0 when the points are taken: send now. Else the seconds after which to ask again;
            somebody else may have been faster by then.

        Raises:
            BudgetUnavailableError: The file or Redis fails or is slow, or the budget was closed.
        """
        return self._store.take(shop.lower(), _io_seconds(io_timeout)) / 1000

    def give_back(
        self, shop: str, seconds_ago: float, *, io_timeout: float = LONGEST_IO_SECONDS
    ) -> None:
        """Return the points that were taken for *shop* so many seconds ago: nothing was sent.

        Raises:
            BudgetUnavailableError: As with `take`.
        """
        age_ms = max(0, int(seconds_ago * 1000) - 1)
        self._store.give_back(shop.lower(), age_ms, _io_seconds(io_timeout))

    def learn(
        self, shop: str, reading: RateLimit, *, io_timeout: float = LONGEST_IO_SECONDS
    ) -> None:
        """Correct the count for *shop* by what an answer said.

        Others may spend from the same shop. Where the service has fewer points left than we
        would still take, the difference is taken out of ours until its window ends (a whole
        window, where it does not say when). With a share below 1 this begins only when the
        others have used up what the share leaves to them. More points left than we think are
        the requests still under way, and change nothing.

        Raises:
            BudgetUnavailableError: As with `take`.
        """
        if reading.remaining is not None:
            resets_in_ms = self._plan.resets_in_ms(reading)
            if resets_in_ms > 0:
                self._store.learn(
                    shop.lower(), reading.remaining, resets_in_ms, _io_seconds(io_timeout)
                )

    def hold(self, shop: str, seconds: float, *, io_timeout: float = LONGEST_IO_SECONDS) -> None:
        """Let nobody take points for *shop* for *seconds*, as a 429 asks for.

        A hold never shortens one that is in force. One of more than a day counts as a day; what
        is no positive number is passed over.

        Raises:
            BudgetUnavailableError: As with `take`.
        """
        if seconds > 0:
            hold_ms = whole_ms(min(seconds, LONGEST_HOLD_SECONDS))
            self._store.hold(shop.lower(), hold_ms, _io_seconds(io_timeout))

    def close(self) -> None:
        """Close the file or the connections; twice is fine. The in-process kind holds none."""
        self._store.close()

    def __repr__(self) -> str:
        return f"<Budget {self._store.name} share={self._plan.share:g}>"


def _io_seconds(io_timeout: float) -> float:
    return min(max(io_timeout, 0.001), LONGEST_IO_SECONDS)


_shared: Budget | None = None


def shared_budget() -> Budget:
    """Return the budget that all clients of this process share by default."""
    global _shared
    with FORK_GUARD.lock:
        if _shared is None:
            _shared = Budget()
        return _shared
