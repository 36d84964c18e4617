"""The logger ``stoqapp``: silent unless the application, or ``STOQ_LOG``, wants to hear it."""

import logging
import os
from functools import cache
from typing import Final

logger: Final = logging.getLogger("stoqapp")
logger.addHandler(logging.NullHandler())

_LEVELS: Final = ("debug", "info", "warning", "error")


@cache
def listen_to_environment() -> None:
    """Write to standard error what ``STOQ_LOG`` asks for: one of the levels, in any case.

    An empty variable counts as none. Any other word is answered with a warning, and not with
    an error, since no customer's sign-up may fail over a word about logs.
    """
    word = os.environ.get("STOQ_LOG", "").strip().lower()
    if not word:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(word.upper() if word in _LEVELS else logging.WARNING)
    if word not in _LEVELS:
        logger.warning("STOQ_LOG is none of %s: warning is taken", ", ".join(_LEVELS))
