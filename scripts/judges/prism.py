"""Prism, Stoplight's reader of OpenAPI, as a process of its own."""

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SPEC: Final = ROOT / "openapi.json"
START_SECONDS: Final = 60

_LISTENING: Final = re.compile(r"Prism is listening on (http://\S+)")


def installed() -> Path:
    """Return the program that scripts/judge has installed.

    Raises:
        SystemExit: It is not there.
    """
    program = Path(os.environ.get("STOQAPP_JUDGES", ROOT / ".judges")) / "node_modules/.bin/prism"
    if not program.is_file():
        raise SystemExit("prism is not installed: run scripts/judge, which does it")
    return program


@contextmanager
def prism(*words: str) -> Iterator[str]:
    """Run ``prism`` with *words* and the spec on a free port; yield its URL.

    Args:
        words: The mode and its options; in the mode ``proxy`` the last word is the upstream.

    Raises:
        RuntimeError: It ended, or said within a minute of no address that it listens on.
    """
    mode, *rest = words
    command = [str(installed()), mode, "--port", "0", str(SPEC), *rest]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        assert process.stdout  # noqa: S101 - for mypy; it was asked for above
        overdue = threading.Timer(START_SECONDS, process.kill)
        overdue.start()
        said: deque[str] = deque(maxlen=20)
        try:
            for line in process.stdout:
                said.append(line)
                if found := _LISTENING.search(line):
                    break
            else:
                raise RuntimeError(f"prism did not start; it said:\n{''.join(said)}")
            overdue.cancel()
            # A pipe that nobody empties would in the end stop it.
            threading.Thread(target=said.extend, args=[process.stdout], daemon=True).start()
            yield found[1]
        finally:
            overdue.cancel()
            process.terminate()
