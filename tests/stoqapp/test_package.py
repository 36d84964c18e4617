"""What `import stoqapp` gives, and what it costs."""

import subprocess
import sys
from types import ModuleType

import stoqapp


def test_the_public_names_are_plain() -> None:
    """The package holds its public names and its rooms, and nothing else."""
    names = {name for name in dir(stoqapp) if not (name.startswith("__") and name.endswith("__"))}
    rooms = {name for name in names if isinstance(getattr(stoqapp, name), ModuleType)}
    assert set(stoqapp.__all__) - {"__version__"} == names - rooms
    assert {getattr(stoqapp, room).__name__ for room in rooms} == {f"stoqapp.{r}" for r in rooms}
    assert not hasattr(stoqapp, "__getattr__")


def test_what_an_import_leaves_for_later() -> None:
    """Modules that take long to load are loaded by those who need them."""
    program = "import sys; from stoqapp import Stoq; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    later = {"asyncio", "httpcore", "phonenumbers", "dateutil", "sqlite3", "redis"}
    assert set() == later & set(loaded)
