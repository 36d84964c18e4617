"""A budget in Redis, for all machines that reach it."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from stoqapp.budget.log import (
    EMPTY,
    Allowance,
    Change,
    T,
    ends_ms,
    log_from_text,
    text_from_log,
)
from stoqapp.errors import BudgetUnavailableError, ConfigurationError

# Compare and set, in one round trip. KEYS: the shop's log. ARGV: the text that is expected there
# ("" for none), the text to write ("" to read only), milliseconds to keep it.
# Returns nothing when it has written, else the present text and the server's time.
_SWAP: Final = """
local present = redis.call('GET', KEYS[1]) or ''
if ARGV[2] ~= '' and present == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return {}
end
local time = redis.call('TIME')
return {present, time[1] * 1000 + math.floor(time[2] / 1000)}
"""
_STALL_SECONDS: Final = 5.0


class RedisStore:
    """The logs in Redis, a text for each shop.

    A step reads the text, and writes the new one only if the text is still the same; else it
    begins again with what it found. Should a reply get lost, points may be taken twice, which
    errs on the safe side.

    redis-py fixes a connection's timeouts when it connects, and they begin again with each reply.
    So this class keeps the connections itself, and asks each (``can_read``) for its reply within
    the time that is left. A server that stalls in the middle of a reply, or of the handshake of a
    new connection, can take `_STALL_SECONDS` longer, in a handshake for each command.
    """

    blocking_io = True
    name = "redis"

    def __init__(
        self, allowance: Allowance, url: str, prefix: str, clock: Callable[[], float] | None
    ) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as missing:
            raise ConfigurationError(
                "a budget in Redis needs the package 'redis': pip install 'stoqapp[redis]'"
            ) from missing
        if not isinstance(prefix, str) or not prefix:
            raise ConfigurationError("prefix must be text, the beginning of the keys in Redis")
        try:
            self._pool: Any = redis.ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0))
        except (ValueError, TypeError, AttributeError):
            # Without the cause: its text may hold the password.
            raise ConfigurationError(
                "the budget's url must be like redis://localhost:6379/0, rediss://... or unix://..."
            ) from None
        self._allowance = allowance
        self._prefix = prefix
        self._clock = clock
        self._error = redis.RedisError
        self._lost = redis.ConnectionError
        self._idle: list[Any] = []
        self._pid = os.getpid()

    def step(self, shop: str, change: Change[T], io_seconds: float) -> T:
        """Change the log of *shop* by compare-and-set and return the result of *change*."""
        deadline = time.monotonic() + io_seconds
        try:
            present, server_ms = self._swap(deadline, shop, "", "", 0)
            while True:
                now_ms = server_ms if self._clock is None else int(self._clock() * 1000)
                log = log_from_text(present) if present else EMPTY
                changed, result = change(log, now_ms)
                if changed is log:
                    return result
                keep_ms = max(1, ends_ms(changed, self._allowance) + 1 - now_ms)
                found = self._swap(deadline, shop, present, text_from_log(changed), keep_ms)
                if not found:
                    return result
                present, server_ms = found
        except (self._error, OSError, ValueError) as error:
            raise BudgetUnavailableError(
                "nothing was sent: the budget's Redis cannot be used"
                f" ({type(error).__name__}); check that it runs, then call again"
            ) from error

    def close(self) -> None:
        """Close the connections; twice is fine."""
        while (connection := self._take_idle()) is not None:
            connection.disconnect()

    def _swap(
        self, deadline: float, shop: str, expected: str | bytes, text: str, keep_ms: int
    ) -> Any:
        command = ("EVAL", _SWAP, 1, f"{self._prefix}:{shop}", expected, text, keep_ms)
        while (connection := self._take_idle()) is not None:
            # The server may have closed it meanwhile.
            with suppress(self._lost):
                return self._ask(connection, deadline, command)
        connection = self._pool.make_connection()
        seconds_left = max(0.001, deadline - time.monotonic())
        connection.socket_connect_timeout = seconds_left
        connection.socket_timeout = min(seconds_left, _STALL_SECONDS)
        return self._ask(connection, deadline, command)

    def _take_idle(self) -> Any:
        if self._pid != os.getpid():
            # In a forked child: these connections are the parent's.
            self._idle, self._pid = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _ask(self, connection: Any, deadline: float, command: tuple[Any, ...]) -> Any:
        try:
            connection.connect()
            connection.send_command(*command)
            if not connection.can_read(timeout=max(0.0, deadline - time.monotonic())):
                raise TimeoutError  # noqa: TRY301
            reply = connection.read_response()
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return reply
