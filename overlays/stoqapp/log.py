"""The logger ``stoqapp``, silent unless asked for its lines, and the report of each attempt."""

import logging
import os
from functools import cache
from typing import Final, NamedTuple

logger: Final = logging.getLogger("stoqapp")
logger.addHandler(logging.NullHandler())

_LEVELS: Final = ("debug", "info", "warning", "error")


class AttemptReport(NamedTuple):
    """The outcome of one attempt, for metrics and the log. Holds no personal data.

    Attributes:
        number: Number of the attempt within its call, from 1.
        host: Host name that it went to.
        status: Status of the answer, None without one.
        error: Name of the error class that it ended in, None for a created intent.
        seconds: Duration.
        points_left: Points left in the shop's rate limit, None if the answer did not say.
        request_id: The service's id of the request if that is a UUID, else None.
        retry_in_seconds: Time until the next attempt, None if there is none.
    """

    number: int
    host: str
    status: int | None
    error: str | None
    seconds: float
    points_left: int | None
    request_id: str | None
    retry_in_seconds: float | None

    def __str__(self) -> str:
        return (
            f"attempt {self.number} to {self.host}: {self.error or 'created'}, status"
            f" {self.status}, {self.seconds:.3f} s, points left: {self.points_left}, request id:"
            f" {self.request_id}, retry in: {self.retry_in_seconds}"
        )


@cache
def log_as_environment_says() -> None:
    """Log to standard error from the level in ``STOQ_LOG`` upwards, in upper or lower case.

    An empty variable counts as not set. An unknown level is logged as a warning and not raised:
    no customer's sign-up should fail because of it.
    """
    level = os.environ.get("STOQ_LOG", "").strip().lower()
    if not level:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level.upper() if level in _LEVELS else logging.WARNING)
    if level not in _LEVELS:
        logger.warning("STOQ_LOG must be one of %s; using warning", ", ".join(_LEVELS))
