"""Print the processor time of `from stoqapp import Stoq` beside that of `import httpx`.

Each program runs in a fresh interpreter. The programs take turns, so that what else the machine
does falls on all of them alike. Printed are medians in milliseconds and their ratios.
"""

import argparse
import asyncio
import os
import resource
import subprocess
import sys
from functools import partial
from typing import Final

from benches import medians

PROGRAMS: Final = {
    "python": "pass",
    "httpx": "import httpx",
    "stoqapp": "from stoqapp import Stoq",
}
# Without it, each run would compile every module anew.
_CACHED: Final = {
    name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


async def processor_seconds(name: str) -> tuple[float]:
    """Return the processor time that a fresh interpreter takes to run the program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", PROGRAMS[name]], check=True, env=_CACHED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each program (default: 15)")
    rounds = parser.parse_args().rounds
    measured = asyncio.run(
        medians({name: partial(processor_seconds, name) for name in PROGRAMS}, rounds)
    )
    for name, program in PROGRAMS.items():
        print(f"{program:25} {measured[name][0] * 1000:6.1f} ms")
    print(f"stoqapp over httpx: {measured['stoqapp'][0] / measured['httpx'][0]:.2f}")


if __name__ == "__main__":
    main()
