"""A budget in Redis, for all machines that reach it."""

import secrets
from collections.abc import Callable
from typing import Any, Final

from stoqapp.budgets.plan import CLOSED, Plan
from stoqapp.errors import BudgetUnavailableError, ConfigurationError
from stoqapp.pacing import WRITE_POINTS

_REDIS_SECONDS: Final = 5.0

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
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=_REDIS_SECONDS,
                socket_connect_timeout=_REDIS_SECONDS,
                # For a connection that the server has closed. Should the first try have been
                # carried out all the same, points are lost, which errs on the safe side.
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError, AttributeError):
            # No cause: its text may hold the password.
            raise ConfigurationError(
                "the budget's url must be like redis://localhost:6379/0, rediss://... or unix://..."
            ) from None
        self.clock: Callable[[], float] | None = None
        self._plan = plan
        self._prefix = prefix
        self._error = redis.RedisError
        self._closed = False
        self._take = self._client.register_script(_LUA_TAKE)
        self._learn = self._client.register_script(_LUA_LEARN)
        self._hold = self._client.register_script(_LUA_HOLD)

    def take(self, shop: str) -> int:
        """Do as `Store.take`."""
        return self._run(self._take, shop, WRITE_POINTS, secrets.token_hex(8))

    def learn(self, shop: str, remaining: int, resets_in_ms: int) -> None:
        """Do as `Store.learn`."""
        self._run(self._learn, shop, remaining, resets_in_ms, secrets.token_hex(8))

    def hold(self, shop: str, hold_ms: int) -> None:
        """Do as `Store.hold`."""
        self._run(self._hold, shop, hold_ms)

    def close(self) -> None:
        """Do as `Store.close`."""
        self._closed = True
        self._client.close()

    def _run(self, script: Callable[..., Any], shop: str, *arguments: int | str) -> int:
        if self._closed:
            raise BudgetUnavailableError(CLOSED)
        now_ms = "" if self.clock is None else int(self.clock() * 1000)
        # The braces keep both keys on one node of a cluster.
        keys = [f"{self._prefix}:{{{shop}}}:{what}" for what in ("points", "hold")]
        plan = (now_ms, self._plan.interval_ms, self._plan.limit_points)
        try:
            return int(script(keys=keys, args=[*plan, *arguments]))
        except (self._error, OSError) as error:
            raise BudgetUnavailableError(
                "nothing was sent: the budget's Redis cannot be used"
                f" ({type(error).__name__}); check that it runs, then call again"
            ) from error
