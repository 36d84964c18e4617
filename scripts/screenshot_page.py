#!/usr/bin/env python3
"""Photograph the sandbox's page for docs/page.md: light, dark, the forms, and on a phone.

Starts a sandbox, sends it what three made-up shops send, lets some requests fail, and takes the
pictures with the Chromium that is installed.

usage: scripts/screenshot_page.py [--help] [FOLDER]

  FOLDER  where page-light.png and the others go (default: docs)

environment:
  STOQAPP_CHROMIUM  the browser (default: chromium, chromium-browser or google-chrome on the PATH)
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.sync_api import Browser, sync_playwright

from stoqapp import Stoq, StoqError
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox import Sandbox

ROOT: Final = Path(__file__).resolve().parent.parent
_WIDE: Final = {"width": 1200, "height": 760}
_PHONE: Final = {"width": 390, "height": 844}
# For each picture the number of the request that is chosen, or a form, and how the page is opened.
PICTURES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "light": ("#10", {"viewport": _WIDE}),
    "dark": ("#12", {"viewport": _WIDE, "color_scheme": "dark"}),
    "forms": ("", {"viewport": _WIDE}),
    "phone": ("", {"viewport": _PHONE}),
}

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# What a browser does for itself would reach for the network.
_FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
_CUSTOMERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("tea-and-co", {"push": "fcm:APA91bE-token-of-a-device"}),
    ("tea-and-co", {"email": "mary@example.org", "name": "Mary", "quantity": 3}),
    ("velo-werk", {"phone": "+15550109999", "name": "Grace"}),
    ("velo-werk", {"email": "konrad@example.org", "name": "Konrad", "market": 7}),
    ("velo-werk", {"email": "annie@example.com", "name": "Annie"}),
    ("lampenladen", {"email": "edith@example.com", "name": "Edith"}),
    ("tea-and-co", {"email": "alan@example.org", "name": "Alan"}),
    ("tea-and-co", {"phone": "+15550109998", "name": "<script>alert(1)</script>"}),
)
# Bodies that integrators send, and what is wrong with them shows.
_WRONG: Final = (
    '{"intent": {"email": "ada@example.com", "variant_id": 4711}}',
    '{"intent": {"shopify_variant_id": "4711", "shopify_product_id": 42, "channel": "email",'
    ' "quantity": 1, "source": "api"}, "customer": {"email": "ada@example.com", "country": "USA"}}',
    '{"intent": {"shopify_variant_id": 4711, "shopify_product_id": 42, "channel": "sms",'
    ' "quantity": 1, "source": "api"}, "customer": {"email": "ada@example.com"}}',
)
_PRODUCTS: Final = {"tea-and-co": (42, 4711), "velo-werk": (77, 7701), "lampenladen": (19, 1901)}


def chromium() -> str | None:
    """Return the path of the browser, None where there is none."""
    wanted = os.environ.get("STOQAPP_CHROMIUM")
    return next(filter(None, map(shutil.which, [wanted] if wanted else _NAMES)), None)


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Run the browser *program* without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield running
        finally:
            running.close()


def fill(sandbox: Sandbox) -> None:
    """Have the sandbox hold intents of three shops, refused requests, and a broken connection."""
    for shop, fields in _CUSTOMERS:
        product, variant = _PRODUCTS[shop]
        with Stoq(shop, base_url=sandbox.base_url, budget=None) as stoq:
            stoq.subscribe(product=product, variant=variant, **fields)
    headers = {SHOP_HEADER: "tea-and-co.myshopify.com", "Content-Type": "application/json"}
    for body in _WRONG:
        httpx.post(f"{sandbox.base_url}/intents.json", headers=headers, content=body)
    for fault in ("reset-after-store", "status=503"):
        sandbox.fail_next(fault)
        with (
            Stoq("velo-werk", base_url=sandbox.base_url, budget=None, max_retries=0) as stoq,
            suppress(StoqError),
        ):
            stoq.subscribe(product=77, variant=7702, email=f"{fault[:5]}@example.org")
    sandbox.fail_next("latency=0.5-2", times=3)


def photograph(folder: Path) -> None:
    """Write the pictures into *folder*.

    Raises:
        SystemExit: No browser is installed.
    """
    program = chromium()
    if program is None:
        raise SystemExit("screenshot_page: no Chromium found: install one, or set STOQAPP_CHROMIUM")
    with Sandbox(port=8321) as sandbox, browser(program) as running:
        fill(sandbox)
        for name, (chosen, settings) in PICTURES.items():
            with running.new_context(locale="en-GB", **settings) as context:
                page = context.new_page()
                page.goto(f"{sandbox.url}/{chosen}")
                page.locator("#summary[data-state=live]").wait_for()
                if chosen:
                    page.locator("#parts section").first.wait_for()
                page.screenshot(path=folder / f"page-{name}.png")
                print(folder / f"page-{name}.png")


if __name__ == "__main__":
    if "--help" in sys.argv[1:] or len(sys.argv) > 2:
        print(__doc__)
    else:
        photograph(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / "docs")
