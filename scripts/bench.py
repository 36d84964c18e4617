#!/usr/bin/env python3
"""Measure and print figures; no test depends on them. Each subject has a --help of its own.

calls       what a call costs beside bare httpx, the generated client and bare aiohttp
sandbox     the sandbox's speed beside a bare app, its start, a long list
bulk        what an import costs
startup     `from stoqapp import Stoq` beside `import httpx`
"""

import argparse
import importlib
import sys

SUBJECTS = ("calls", "sandbox", "bulk", "startup")


def main() -> int:
    """Run the measurement that the first argument names, with the rest of the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=SUBJECTS)
    subject = parser.parse_args(sys.argv[1:2]).subject
    sys.argv[:2] = [f"{sys.argv[0]} {subject}"]
    return importlib.import_module(f"benches.{subject}").main() or 0


if __name__ == "__main__":
    sys.exit(main())
