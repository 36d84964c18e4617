"""A budget in Redis, for all machines that reach it."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from stoqapp.budget.log import (
    EMPTY,
    LONGEST_HOLD_SECONDS,
    Change,
    T,
    log_from_text,
    text_from_log,
)
from stoqapp.errors import BudgetUnavailableError, ConfigurationError

# Compare and set, in one round trip. KEYS: the shop's log. ARGV: the text that is expected there
# ("" for none), the text to write, milliseconds to keep it.
# Returns nothing when it has written, else the present text and the server's time.
_SWAP: Final = """
local present = redis.call('GET', KEYS[1]) or ''
if present == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return {}
end
local time = redis.call('TIME')
return {present, time[1] * 1000 + math.floor(time[2] / 1000)}
"""
# What no log is, so that nothing is written.
_NEVER: Final = "never"
# Longer than any window or hold.
_KEEP_MS: Final = int(2 * LONGEST_HOLD_SECONDS * 1000)
_STALL_SECONDS: Final = 2.0


class RedisStore:
    """The logs in Redis, a text for each shop.

    A step reads the text, and writes the new one only if the text is still the same; else it
    begins again with what it found. Should a reply get lost, points may be taken twice, which
    errs on the safe side.

    redis-py fixes a connection's timeouts when it connects, and they begin again with each reply.
    So each command asks (``can_read``) for its reply within the time that is left. A server that
    stalls while a connection is made, or in the middle of a reply, can take `_STALL_SECONDS`
    longer, in a handshake for each command.
    """

    blocking_io = True
    name = "redis"

    def __init__(self, url: str, prefix: str, clock: Callable[[], float] | None) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as missing:
            raise ConfigurationError(
                "a budget in Redis needs the package 'redis': pip install 'stoqapp[redis]'"
            ) from missing
        self._make_pool = partial(
            redis.ConnectionPool.from_url,
            url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_STALL_SECONDS,
            socket_timeout=_STALL_SECONDS,
        )
        try:
            self._pool: Any = self._make_pool()
        except (ValueError, TypeError, AttributeError):
            # Without the cause: its text may hold the password.
            raise ConfigurationError(
                "the budget's url must be like redis://localhost:6379/0, rediss://... or unix://..."
            ) from None
        self._pid = os.getpid()
        self._prefix = prefix
        self._clock = clock
        self._error = redis.RedisError

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:
        """Change the log of *shop* by compare-and-set and return the result of *change*."""
        deadline = time.monotonic() + io_seconds
        try:
            found = self._swap(deadline, shop, _NEVER, "")
            while True:
                present, server_ms = found
                now_ms = server_ms if self._clock is None else int(self._clock() * 1000)
                log = log_from_text(present) if present else EMPTY
                changed, result = change(log, now_ms)
                if changed is log:
                    return result
                found = self._swap(deadline, shop, present, text_from_log(changed))
                if not found:
                    return result
        except (self._error, OSError, ValueError) as error:
            raise BudgetUnavailableError(
                "nothing was sent: the budget's Redis cannot be used"
                f" ({type(error).__name__}); check that it runs, then call again"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.disconnect()

    def _swap(self, deadline: float, shop: str, expected: str | bytes, text: str) -> Any:
        if self._pid != os.getpid():
            # In a forked child, redis-py 8.1 waits for a lock of the pool that a thread of the
            # parent may have held.
            self._pool, self._pid = self._make_pool(), os.getpid()
        pool = self._pool
        connection = pool.get_connection()
        try:
            key = f"{self._prefix}:{shop}"
            connection.send_command("EVAL", _SWAP, 1, key, expected, text, _KEEP_MS)
            if not connection.can_read(timeout=max(0.0, deadline - time.monotonic())):
                raise TimeoutError  # noqa: TRY301
            return connection.read_response()
        except BaseException:
            # A reply that is still on its way must not meet the next command.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)
