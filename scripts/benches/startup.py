"""Print the processor time of `from stoqapp import Stoq` beside that of `import httpx`.

Each program runs in a fresh interpreter. The programs take turns, so that what else the machine
does falls on all of them alike. Printed are medians in milliseconds and their ratios.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from typing import Final

PROGRAMS: Final = {
    "python": "pass",
    "httpx": "import httpx",
    "stoqapp": "from stoqapp import Stoq",
}
# Without it, each run would compile every module anew.
_CACHED: Final = {
    name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def processor_seconds(program: str) -> float:
    """Return the processor time that a fresh interpreter takes to run *program*."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, env=_CACHED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each program (default: 15)")
    rounds = parser.parse_args().rounds
    for program in PROGRAMS.values():
        processor_seconds(program)
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            taken[name].append(processor_seconds(program))
    median = {name: statistics.median(times) * 1000 for name, times in taken.items()}
    for name, program in PROGRAMS.items():
        print(f"{program:25} {median[name]:6.1f} ms")
    print(f"stoqapp over httpx: {median['stoqapp'] / median['httpx']:.2f}")


if __name__ == "__main__":
    main()
