#!/usr/bin/env python3
"""Take the pictures of docs/: the sandbox's page, an import in a terminal, and its report.

STOQAPP_CHROMIUM says which browser takes them; without it, a Chromium on the PATH does.
"""

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from stoqapp import Stoq, StoqError
from stoqapp.spec import INTENTS_PATH, SHOP_HEADER
from stoqapp_sandbox import Sandbox

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
WIDE: Final = {"viewport": {"width": 1200, "height": 760}}
# For each picture the number of the request that is chosen, and how the page is opened.
PICTURES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "light": ("#10", WIDE),
    "dark": ("#12", WIDE | {"color_scheme": "dark"}),
    "forms": ("", WIDE),
    "phone": ("", {"viewport": {"width": 390, "height": 844}}),
}
# Bodies that integrators send, and what is wrong with them shows.
WRONG: Final = (
    '{"intent": {"email": "ada@example.com", "variant_id": 4711}}',
    '{"intent": {"shopify_variant_id": "4711", "shopify_product_id": 42, "channel": "email",'
    ' "quantity": 1, "source": "api"}, "customer": {"email": "ada@example.com", "country": "USA"}}',
    '{"intent": {"shopify_variant_id": 4711, "shopify_product_id": 42, "channel": "sms",'
    ' "quantity": 1, "source": "api"}, "customer": {"email": "ada@example.com"}}',
)


def chromium() -> str | None:
    """Return the path of the browser, None where there is none."""
    wanted = os.environ.get("STOQAPP_CHROMIUM")
    names = [wanted] if wanted else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Run the browser `program` without a window."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program)


def fill(sandbox: Sandbox) -> None:
    """Have the sandbox hold the tour's requests, refused requests, and broken connections."""
    tour = runpy.run_path(str(ROOT / "examples" / "tour.py"))
    for shop in ("tea-and-co", "velo-werk"):
        with Stoq(shop, base_url=sandbox.base_url) as stoq, redirect_stdout(StringIO()):
            for _, customer in tour["CUSTOMERS"]:
                tour["subscribe"](stoq, customer)
    for content in WRONG:
        headers = {SHOP_HEADER: "tea-and-co.myshopify.com", "Content-Type": "application/json"}
        httpx.post(sandbox.base_url + INTENTS_PATH, headers=headers, content=content)
    with Stoq("velo-werk", base_url=sandbox.base_url, budget=None, max_retries=0) as stoq:
        for fault in ("reset-after-store", "status=503"):
            sandbox.fail_next(fault)
            with suppress(StoqError):
                stoq.subscribe(variant=7702, product=77, email=f"{fault[:5]}@example.org")
    sandbox.fail_next("latency=0.5-2", times=3)


def photograph_page(running: Browser, sandbox: Sandbox) -> None:
    """Write the pictures of the page."""
    fill(sandbox)
    for name, (chosen, settings) in PICTURES.items():
        page = running.new_page(locale="en-GB", **settings)
        page.goto(f"{sandbox.url}/{chosen}")
        page.locator("#summary[data-state=live]").wait_for()
        if chosen:
            page.locator("#parts section").first.wait_for()
        page.screenshot(path=DOCS / f"page-{name}.png")
        page.close()


def photograph_import(running: Browser, sandbox: Sandbox) -> None:
    """Write the pictures of an import that is interrupted, and of the report after its end."""
    os.environ |= {"COLUMNS": "110", "TERM": "xterm-256color"}
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    sandbox.reset()
    sandbox.fail_next("latency=0.1", every=1)
    sandbox.fail_next("status=422", every=45)
    goods = ("7701,77,Bicycle bell", "7702,77,Lamp", "7703,77,Saddle")
    rows = [f"person{row % 390}@example.com,{goods[row % 7 // 3]}" for row in range(400)]
    rows[:0] = ["email,variant_id,product_id,product_title", f"no address,{goods[0]}"]
    words = f"stoqapp import waitlist.csv --shop demo --yes --base-url {sandbox.base_url}"
    with TemporaryDirectory() as folder, chdir(folder):
        Path("waitlist.csv").write_text("\n".join(rows), "utf-8")
        # script lets it run in a terminal, and timeout presses Ctrl-C in the middle.
        interrupted = ["script", "-qec", f"timeout --foreground -s INT 7 {words}", "/dev/null"]
        said = subprocess.run(interrupted, check=False, capture_output=True).stdout.decode()
        # Leave out what was erased, and what hides the cursor.
        shown = re.sub(r"[^\n]*\x1b\[2K|\x1b\[\?25[lh]|\r", "", said)
        screen = Console(record=True, width=110, file=StringIO())
        screen.print(Text.from_ansi(f"$ {words}\n{shown}"))
        picture = screen.export_svg(title="stoqapp import", unique_id="import")
        # A picture in a page loads no fonts.
        picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
        (DOCS / "import.svg").write_text(picture, "utf-8")
        for command in (words, "stoqapp ledger show --html report.html"):
            subprocess.run(command.split(), check=False)
        page = running.new_page(viewport={"width": 1000, "height": 900})
        page.goto(Path("report.html").absolute().as_uri())
        page.screenshot(path=DOCS / "report.png")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    if (found := chromium()) is None:
        raise SystemExit("no Chromium found: install one, or set STOQAPP_CHROMIUM")
    with Sandbox(port=8321) as here, browser(found) as opened:
        photograph_page(opened, here)
        photograph_import(opened, here)
