"""Code of another tree, imported in this process for as long as a test looks at it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = {"stoqapp", "stoqapp_sandbox", "stoq_public_api_client"}
OURS |= {"pipeline", "regenerate", "update_spec"}


@contextmanager
def imported_from(*places: Path, names: set[str] = OURS) -> Iterator[None]:
    """Find the packages called `names` in `places` first; afterwards those of before are back."""

    def taken() -> dict[str, object]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if is_meant(name)}

    def is_meant(name: str) -> bool:
        return name.partition(".")[0] in names

    kept, path = taken(), list(sys.path)
    sys.path[:0] = map(str, places)
    try:
        yield
    finally:
        sys.path[:] = path
        taken()
        sys.modules.update(kept)
