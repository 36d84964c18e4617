"""The rate budget: the points of a shop, taken before a request is sent.

`log` is the arithmetic. A store keeps the log of each shop: in this process (`memory`), in a
SQLite file (`sqlite`) or in Redis (`redis`). Its method ``step`` reads a log, changes it and writes
it back, so that nothing comes in between.
"""

from stoqapp.budget.budget import Budget, shared_budget

__all__ = ["Budget", "shared_budget"]
