"""The commands that need the extra ``stoqapp[bulk]``; `stoqapp.cli` finds them."""

from collections.abc import Iterator
from contextlib import contextmanager

from stoqapp.errors import ConfigurationError


@contextmanager
def bulk_extra() -> Iterator[None]:
    """Say which extra brings a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f'needs the package {missing.name!r}: pip install "stoqapp[bulk]"'
        ) from None
