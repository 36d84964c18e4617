"""A budget in Redis, for all machines that reach it."""

import math
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from stoqapp.budget.plan import CLOSED, FOREIGN, LONGEST_IO_SECONDS, Plan
from stoqapp.errors import BudgetUnavailableError, ConfigurationError
from stoqapp.headers import WRITE_POINTS

# When the step that this thread is on must be over, by the monotonic clock.
_ENDS: ContextVar[float] = ContextVar("stoqapp_redis_ends", default=math.inf)

# Both scripts begin alike. KEYS: the log (a sorted set, scored by the millisecond) and the hold.
# ARGV: milliseconds of a test's clock or "", interval, limit, and what each needs besides.
_LUA_BEGIN: Final = """
local log, hold = KEYS[1], KEYS[2]
local now, interval, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format('%.0f', number) end
redis.call('ZREMRANGEBYSCORE', log, '-inf', '(' .. text(now - interval))
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', log, '(' .. text(now), '+inf')) do
  redis.call('ZADD', log, text(now), ahead)
end
local function put(points, moment, name)
  for point = 1, points do redis.call('ZADD', log, text(moment), name .. ':' .. point) end
  redis.call('PEXPIRE', log, text(interval + 1))
end
"""
# ARGV: points, a name that nobody else uses. Returns the milliseconds to wait.
_LUA_TAKE: Final = f"""{_LUA_BEGIN}
local held_until = tonumber(redis.call('GET', hold) or 0)
if held_until > now then return held_until - now end
local points = tonumber(ARGV[4])
if limit - redis.call('ZCARD', log) >= points then
  put(points, now, ARGV[5])
  return 0
end
local rank = limit - points
local blocking = redis.call('ZREVRANGE', log, rank, rank, 'WITHSCORES')
return math.max(1, blocking[2] + interval - now + 1)
"""
# ARGV: points that remain, milliseconds until the reset, a name that nobody else uses.
_LUA_LEARN: Final = f"""{_LUA_BEGIN}
local excess = limit - redis.call('ZCARD', log) - tonumber(ARGV[4])
if excess > 0 then put(excess, now + tonumber(ARGV[5]) - interval, ARGV[6]) end
return excess
"""
# ARGV: how many points to return, how old they are at least, what the others' names begin with.
_LUA_GIVE_BACK: Final = f"""{_LUA_BEGIN}
local left = tonumber(ARGV[4])
local names = redis.call('ZREVRANGEBYSCORE', log, text(now - tonumber(ARGV[5])), '-inf')
for _, name in ipairs(names) do
  if left == 0 then break end
  if string.sub(name, 1, #ARGV[6]) ~= ARGV[6] then
    redis.call('ZREM', log, name)
    left = left - 1
  end
end
return 0
"""
# ARGV: milliseconds to hold.
_LUA_HOLD: Final = f"""{_LUA_BEGIN}
local ms = tonumber(ARGV[4])
if now + ms > tonumber(redis.call('GET', hold) or 0) then
  redis.call('SET', hold, text(now + ms), 'PX', text(ms))
end
return 0
"""


class RedisStore:
    """The logs in Redis, a sorted set for each shop; each step is one script, in one round trip."""

    blocking_io = True
    name = "redis"

    def __init__(self, plan: Plan, url: str, prefix: str) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as missing:
            raise ConfigurationError(
                "a budget in Redis needs the package 'redis': pip install 'stoqapp[redis]'"
            ) from missing
        if not isinstance(prefix, str) or not prefix:
            raise ConfigurationError("prefix must be text that the keys in Redis begin with")
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                # For a connection that the server has closed. Should the first try have been
                # carried out all the same, points are lost, which errs on the safe side.
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError, AttributeError):
            # No cause: its text may hold the password.
            raise ConfigurationError(
                "the budget's url must be like redis://localhost:6379/0, rediss://... or unix://..."
            ) from None
        pool.connection_class = _bounded(pool.connection_class)
        self._client = redis.Redis(connection_pool=pool)
        self.clock: Callable[[], float] | None = None
        self._plan = plan
        self._prefix = prefix
        self._error = redis.RedisError
        self._closed = False
        self._take = self._client.register_script(_LUA_TAKE)
        self._give_back = self._client.register_script(_LUA_GIVE_BACK)
        self._learn = self._client.register_script(_LUA_LEARN)
        self._hold = self._client.register_script(_LUA_HOLD)

    def take(self, shop: str, io_seconds: float) -> int:
        """Do as `Store.take`."""
        return self._run(self._take, shop, io_seconds, WRITE_POINTS, secrets.token_hex(8))

    def give_back(self, shop: str, age_ms: int, io_seconds: float) -> None:
        """Do as `Store.give_back`."""
        self._run(self._give_back, shop, io_seconds, WRITE_POINTS, age_ms, FOREIGN)

    def learn(self, shop: str, remaining: int, resets_in_ms: int, io_seconds: float) -> None:
        """Do as `Store.learn`."""
        name = f"{FOREIGN}:{secrets.token_hex(8)}"
        self._run(self._learn, shop, io_seconds, remaining, resets_in_ms, name)

    def hold(self, shop: str, hold_ms: int, io_seconds: float) -> None:
        """Do as `Store.hold`."""
        self._run(self._hold, shop, io_seconds, hold_ms)

    def close(self) -> None:
        """Do as `Store.close`."""
        self._closed = True
        self._client.connection_pool.disconnect()

    def _run(
        self, script: Callable[..., Any], shop: str, io_seconds: float, *arguments: int | str
    ) -> int:
        if self._closed:
            raise BudgetUnavailableError(CLOSED)
        now_ms = "" if self.clock is None else int(self.clock() * 1000)
        # The braces keep both keys on one node of a cluster.
        keys = [f"{self._prefix}:{{{shop}}}:{what}" for what in ("points", "hold")]
        plan = (now_ms, self._plan.interval_ms, self._plan.limit_points)
        token = _ENDS.set(time.monotonic() + io_seconds)
        try:
            return int(script(keys=keys, args=[*plan, *arguments]))
        except (self._error, OSError) as error:
            raise BudgetUnavailableError(
                "nothing was sent: the budget's Redis cannot be used"
                f" ({type(error).__name__}); check that it runs, then call again"
            ) from error
        finally:
            _ENDS.reset(token)


def _bounded(kind: type[Any]) -> type[Any]:
    """Return redis-py's connection *kind*, its timeouts being what is left of the step.

    Its own are fixed when the connection is made, and begin anew with each reply and each try.
    """

    def left(_connection: Any) -> float:
        return min(LONGEST_IO_SECONDS, max(0.001, _ENDS.get() - time.monotonic()))

    def keep(_connection: Any, _seconds: Any) -> None:
        """Pass over what redis-py would have it be."""

    def send_packed_command(connection: Any, command: Any, check_health: bool = True) -> None:
        if connection._sock:
            connection._sock.settimeout(left(connection))
        kind.send_packed_command(connection, command, check_health)

    return type(
        f"Bounded{kind.__name__}",
        (kind,),
        {
            "socket_timeout": property(left, keep),
            "socket_connect_timeout": property(left, keep),
            "send_packed_command": send_packed_command,
        },
    )
