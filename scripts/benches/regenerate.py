"""Print how long scripts/regenerate.py takes on openapi.json, and the memory of its processes."""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

SCRIPT = Path(__file__).parents[1] / "regenerate.py"


def seconds() -> float:
    """Return the time of one run, which writes to a new folder."""
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, str(SCRIPT), "--output", f"{folder}/client"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="(default: 5)")
    taken = [seconds() for _ in range(parser.parse_args().runs)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak //= 1024 * (1024 if sys.platform == "darwin" else 1)
    print(
        f"{statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f} in {len(taken)}"
        f" runs), peak {peak} MB"
    )
