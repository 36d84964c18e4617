#!/usr/bin/env python3
"""Photograph the sandbox's page for docs/page.md: light, dark, and on a phone.

Starts a sandbox, puts customers of three made-up shops on its waitlists, has some requests
refused, and takes the pictures with the Chromium that is installed.

usage: scripts/screenshot_page.py [--help] [FOLDER]

  FOLDER  where page-light.png, page-dark.png and page-phone.png go (default: docs)

environment:
  STOQAPP_CHROMIUM  the browser (default: chromium, chromium-browser or google-chrome on the PATH)
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import Stoq
from stoqapp_sandbox import Sandbox

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURES: Final[dict[str, dict[str, Any]]] = {
    "light": {"viewport": {"width": 1200, "height": 1000}},
    "dark": {"viewport": {"width": 1200, "height": 1000}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 1100}},
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
_RATE_LIMIT: Final = (60, 600)
_CUSTOMERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("tea-and-co", {"push": "fcm:APA91bE-token-of-a-device"}),
    ("tea-and-co", {"email": "mary@example.org", "name": "Mary", "quantity": 3}),
    ("velo-werk", {"phone": "+15550109999", "name": "Grace"}),
    ("velo-werk", {"email": "konrad@example.org", "name": "Konrad", "market": 7}),
    ("velo-werk", {"email": "annie@example.com", "name": "Annie"}),
    ("lampenladen", {"email": "edith@example.com", "name": "Edith"}),
    ("tea-and-co", {"email": "alan@example.org", "name": "Alan", "product_title": "Assam, 250 g"}),
    ("tea-and-co", {"phone": "+15550109998", "name": "<script>alert(1)</script>"}),
    ("tea-and-co", {"email": "ada@example.com", "name": "Ada", "quantity": 2}),
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
    """Have the sandbox hold intents of three shops, and refuse some requests."""
    for shop, fields in _CUSTOMERS:
        product, variant = _PRODUCTS[shop]
        with Stoq(shop, base_url=sandbox.base_url, budget=None) as stoq:
            stoq.subscribe(product=product, variant=variant, **fields)
    # The generated client, because it sends what breaks a rule.
    with Client(base_url=sandbox.base_url) as client:
        for shop, channel, customer in (
            ("velo-werk", "sms", Customer(email="annie@example.com")),
            ("lampenladen", "email", Customer(email="edith@example.com")),
            ("tea-and-co", "email", Customer(email="ada@example.com", country="USA")),
        ):
            product, variant = _PRODUCTS[shop]
            intent = NewIntent(variant, product, channel, quantity=1, source="api")  # type: ignore[arg-type]
            create_intent.sync_detailed(
                client=client,
                x_shopify_shop_domain=f"{shop}.myshopify.com",
                body=CreateIntentRequest(intent=intent, customer=customer),
            )


def photograph(folder: Path) -> None:
    """Write the pictures into *folder*.

    Raises:
        SystemExit: No browser is installed.
    """
    program = chromium()
    if program is None:
        raise SystemExit("screenshot_page: no Chromium found: install one, or set STOQAPP_CHROMIUM")
    with Sandbox(port=8321, rate_limit=_RATE_LIMIT) as sandbox, browser(program) as running:
        fill(sandbox)
        for name, settings in PICTURES.items():
            with running.new_context(locale="en-GB", **settings) as context:
                page = context.new_page()
                page.goto(sandbox.url)
                page.locator("#connection[data-state=live]").wait_for()
                page.screenshot(path=folder / f"page-{name}.png")
                print(folder / f"page-{name}.png")


if __name__ == "__main__":
    if "--help" in sys.argv[1:] or len(sys.argv) > 2:
        print(__doc__)
    else:
        photograph(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / "docs")
