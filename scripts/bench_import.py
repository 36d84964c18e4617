"""Print how long `import stoqapp` takes beside `import httpx` and beside Python alone.

stoqapp loads httpx when one of its names is first used, so `from stoqapp import Stoq` is measured,
too: the difference is the price that is paid late. Each is a fresh interpreter; they are
interleaved, so that what else the machine does falls on all of them. Printed are medians in
milliseconds and their ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Final

PROGRAMS: Final = {
    "python": "pass",
    "httpx": "import httpx",
    "stoqapp": "import stoqapp",
    "Stoq": "from stoqapp import Stoq",
}


def seconds(program: str) -> float:
    """Return how long a fresh interpreter takes to run *program*."""
    started = time.perf_counter()
    cached = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", program], check=True, env=cached)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21, help="of each program (default: 21)")
    runs = parser.parse_args().runs
    for program in PROGRAMS.values():
        seconds(program)
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(runs):
        for name, program in PROGRAMS.items():
            taken[name].append(seconds(program))
    median = {name: statistics.median(times) for name, times in taken.items()}
    for name, value in median.items():
        print(f"{name:8} {value * 1000:6.1f} ms")
    over = {name: value - median["python"] for name, value in median.items()}
    for name in ("httpx", "stoqapp", "Stoq"):
        ratio = over[name] / over["httpx"]
        print(f"{name} over bare Python: {over[name] * 1000:.1f} ms, {ratio:.2f}x of httpx alone")


if __name__ == "__main__":
    main()
