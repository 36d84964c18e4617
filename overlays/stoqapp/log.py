"""The logger ``stoqapp``: silent unless the application, or ``STOQ_LOG``, asks for its lines."""

import logging
import os
from functools import cache
from typing import Final

logger: Final = logging.getLogger("stoqapp")
logger.addHandler(logging.NullHandler())

_LEVELS: Final = ("debug", "info", "warning", "error")


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
