"""What `import stoqapp` gives, and what it costs."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import stoqapp


def test_the_public_names_are_plain() -> None:
    """The package holds its public names and its rooms, and nothing else."""
    names = {name for name in dir(stoqapp) if not (name.startswith("__") and name.endswith("__"))}
    rooms = {name for name in names if isinstance(getattr(stoqapp, name), ModuleType)}
    assert set(stoqapp.__all__) - {"__version__"} == names - rooms
    assert {getattr(stoqapp, room).__name__ for room in rooms} == {f"stoqapp.{r}" for r in rooms}
    assert not hasattr(stoqapp, "__getattr__")
    with pytest.raises(ImportError):
        exec("from stoqapp import Stok")


def test_a_misspelt_name_is_an_error_for_a_type_checker(tmp_path: Path) -> None:
    """mypy rejects a name that the package does not have."""
    program = tmp_path / "program.py"
    program.write_text("from stoqapp import Stok\n")
    mypy = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    ran = subprocess.run([*mypy, str(program)], capture_output=True, text=True, check=False)
    assert 'Module "stoqapp" has no attribute "Stok"' in ran.stdout, ran.stdout + ran.stderr


def test_what_an_import_leaves_for_later() -> None:
    """Modules that take long to load are loaded by those who need them."""
    program = "import sys; from stoqapp import Stoq; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    later = {"asyncio", "httpcore", "phonenumbers", "dateutil", "sqlite3", "redis"}
    assert set() == later & set(ran.stdout.split())
