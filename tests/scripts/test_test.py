"""scripts/test: its quick part is there, and it says how long it took."""

import re
import subprocess
from pathlib import Path

TEST = Path(__file__).parents[2] / "scripts" / "test"


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script from another folder."""
    return subprocess.run([TEST, *arguments], cwd="/", capture_output=True, text=True, check=False)


def test_the_quick_part_is_there() -> None:
    """Every module that --quick names is collected, and the time is told."""
    done = ran("--quick", "--collect-only", "-q", "-n", "0")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "test_generated_is_in_sync" in done.stdout
    assert re.search(r"^test: took \d+ s$", done.stderr, re.MULTILINE)


def test_a_failure_is_the_exit_code() -> None:
    """What pytest ends in, the script ends in."""
    assert 4 == ran("-n", "0", "tests/no_such_file.py").returncode
