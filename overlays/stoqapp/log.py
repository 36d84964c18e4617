"""The logger ``stoqapp``: silent unless the application, or ``STOQ_LOG``, wants to hear it."""

import logging
import os
from functools import cache
from typing import Final

logger: Final = logging.getLogger("stoqapp")
logger.addHandler(logging.NullHandler())


@cache
def listen_to_environment() -> None:
    """Write to standard error what ``STOQ_LOG`` asks for: ``debug``, ``info`` or ``warning``."""
    level = logging.getLevelNamesMapping().get(os.environ.get("STOQ_LOG", "").strip().upper())
    if level:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(level)
