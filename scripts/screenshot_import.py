#!/usr/bin/env python3
"""Take the pictures of docs/import.md: an import in a terminal, and the report of its ledger.

A made-up waitlist is imported into a sandbox, interrupted, and imported again.
"""

import os
import pty
import re
import signal
import subprocess
import sysconfig
from contextlib import suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from screenshot_page import DOCS, browser, chromium
from stoqapp_sandbox import Sandbox

TITLES = {7701: "Bicycle bell", 7702: "Lamp", 7703: "Saddle"}


def waitlist() -> str:
    """Return a file of 400 rows, some of which cannot be sent."""
    rows = ["email,variant_id,product_id,product_title,date"]
    for row in range(400):
        variant = 7701 + (row % 7) // 3
        contact = "no address" if row == 41 else f"person{row % 390}@example.com"
        rows.append(f"{contact},{variant},77,{TITLES[variant]},2026-01-{1 + row % 28:02}")
    return "\n".join([*rows, ""])


def screen_of(words: str, folder: Path, stop_at: str | None = None) -> str:
    """Run a command in a terminal and return what it leaves there; stop it at a pattern."""
    terminal, inner = pty.openpty()
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "COLUMNS": "110", "TERM": "xterm-256color"}
    shown = ""
    with subprocess.Popen(
        words.split(), cwd=folder, env=environment, stdin=inner, stdout=inner, stderr=inner
    ) as running:
        os.close(inner)
        # Linux reports the end of the command as an error.
        with suppress(OSError):
            while read := os.read(terminal, 65536):
                shown += read.decode()
                if stop_at and re.search(stop_at, shown):
                    running.send_signal(signal.SIGINT)
                    stop_at = None
    os.close(terminal)
    # Leave out what was erased, and what hides the cursor.
    return re.sub(r"[^\n]*\x1b\[2K|\x1b\[\?25[lh]|\r", "", f"$ {words}\n{shown}")


def photograph(folder: Path) -> None:
    """Write the pictures into `folder`."""
    with TemporaryDirectory() as name, Sandbox(port=8321) as sandbox:
        place = Path(name)
        (place / "waitlist.csv").write_text(waitlist(), "utf-8")
        sandbox.fail_next("latency=0.1", every=1)
        sandbox.fail_next("status=422", every=45)
        words = f"stoqapp import waitlist.csv --shop demo --yes --base-url {sandbox.base_url}"
        screen = Console(record=True, width=110, file=StringIO())
        screen.print(Text.from_ansi(screen_of(words, place, stop_at=r"2[3-9]\d/\d+, ")))
        picture = screen.export_svg(title="stoqapp import", unique_id="import")
        # A picture in a page loads no fonts.
        picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
        (folder / "import.svg").write_text(picture, "utf-8")
        screen_of(words, place)
        screen_of("stoqapp ledger show --html report.html", place)
        with browser(chromium() or "chromium") as running:
            page = running.new_page(viewport={"width": 1000, "height": 900})
            page.goto((place / "report.html").as_uri())
            page.screenshot(path=folder / "report.png")


if __name__ == "__main__":
    photograph(DOCS)
