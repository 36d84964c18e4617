#!/usr/bin/env python3
"""Photograph the sandbox's page for docs/page.md: light, dark, the forms, and on a phone.

STOQAPP_CHROMIUM says which browser takes them; without it, a Chromium on the PATH does.
"""

import os
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.sync_api import Browser, sync_playwright

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


def photograph(program: str) -> None:
    """Write the pictures."""
    with Sandbox(port=8321) as sandbox, browser(program) as running:
        fill(sandbox)
        for name, (chosen, settings) in PICTURES.items():
            page = running.new_page(locale="en-GB", **settings)
            page.goto(f"{sandbox.url}/{chosen}")
            page.locator("#summary[data-state=live]").wait_for()
            if chosen:
                page.locator("#parts section").first.wait_for()
            page.screenshot(path=DOCS / f"page-{name}.png")
            page.close()


if __name__ == "__main__":
    if (found := chromium()) is None:
        raise SystemExit("no Chromium found: install one, or set STOQAPP_CHROMIUM")
    photograph(found)
