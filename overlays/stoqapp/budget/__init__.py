"""The rate budget: points of a shop, taken before a request is sent.

The service counts in windows of 60 seconds whose beginning nobody has written down, so a shop's
points are kept in a log instead: a point that was taken is free again after one window *and a
slack of 3 %* (`SLACK`, 1.8 s of a window of 60). However the service's windows lie, none of them
then holds more than our points, as long as no request reaches the service later than the slack
after its points were taken: two that are counted in one window would have been taken less than
a window and a slack apart. The price is 3 % of the throughput: a service that is kept busy is
used at 1/1.03 = 97 %. A request that is later still (a full connection pool, a stalled network)
can earn a 429, which costs a wait and no intent.

Learning the service's windows from ``X-RateLimit-Reset`` and filling each to the brim would save
those 3 %, but the header and the ``Date`` that it must be compared with are whole seconds, so
the boundary is known no better than the slack is wide.

Three places can hold the log; the arithmetic is that of pyrate-limiter's sliding window:

- this process: its ``InMemoryBucket``;
- a SQLite file: its ``SQLiteBucket``, each step of which we wrap into one transaction, because
  it reads and writes in separate ones, between which other processes come in;
- Redis: Lua scripts of our own. ``RedisBucket`` counts only what is not newer than the caller's
  clock, so callers that overtake each other go over the limit (with 4 processes of 4 threads,
  60 points of 40 were given out in one window), and it forgets its script when Redis restarts.
"""

from stoqapp.budget.budgets import Budget, shared_budget

__all__ = ["Budget", "shared_budget"]
