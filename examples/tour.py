"""A tour of the SDK on the embedded sandbox: what goes out, and what comes back.

Needs no shop and no network. Run it with ``scripts/demo``, or, where ``stoqapp[sandbox]`` is
installed, with ``python examples/tour.py``. With ``--keep`` the sandbox and its page stay open
after the tour, until Ctrl-C.
"""

import argparse
import json
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stoqapp import InvalidIntentError, Stoq, StoqError
from stoqapp.cli import main as command_line
from stoqapp.inputs import prepare
from stoqapp.terminal import output
from stoqapp_sandbox import Sandbox

WAITLISTS = Path(__file__).with_name("waitlists")
VARIANT = "gid://shopify/ProductVariant/4711"
PRODUCT = "gid://shopify/Product/42"

CUSTOMERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("by email", {"email": "ada@example.com", "name": "Ada", "country": "US"}),
    ("by sms", {"phone": "+1 (555) 010-9999", "quantity": 2}),
    ("by push", {"push": "token-of-a-device", "market": "gid://shopify/Market/7"}),
    ("by sms, with no phone number", {"channel": "sms", "email": "ada@example.com"}),
    ("by email, a second time", {"email": "ada@example.com", "name": "Ada", "country": "US"}),
)


def subscribe(stoq: Stoq, customer: dict[str, Any]) -> None:
    """Put one customer on the list, and print the request and the answer."""
    try:
        prepared = prepare(variant=VARIANT, product=PRODUCT, **customer)
        for change in prepared.changes:
            print(f"   {change.path}: {change.description}")
        print(f"-> {json.dumps(prepared.body)}")
        created = stoq.create_intent(prepared.body)
    except InvalidIntentError as error:
        print(f"-- {error}")
    except StoqError as error:
        print(f"<- {error.status} {'; '.join(error.messages)}")
    else:
        print(f"<- {created.answer.status} {created.answer.body.decode()}")


def tour(sandbox: Sandbox) -> None:
    """Subscribe the customers, one after the other."""
    with Stoq("demo", base_url=sandbox.base_url) as stoq:
        print(f"The sandbox listens on {sandbox.base_url}; the shop is {stoq.shop}.")
        for number, (title, customer) in enumerate(CUSTOMERS, start=1):
            print(f"\n{number}. {title}")
            subscribe(stoq, customer)
    # Without a reader, such as `head`, the tour ends here; the command would go on.
    print(f"\n{len(CUSTOMERS) + 1}. a file of ten, as STOQ's own template has it", flush=True)
    import_waitlist(sandbox)
    print(f"\nOn the waitlist of the sandbox: {len(sandbox.intents)} intents.")


def import_waitlist(sandbox: Sandbox) -> None:
    """Import a file with the command, in a folder of its own: it leaves a ledger beside it."""
    with TemporaryDirectory() as folder:
        file = shutil.copy(WAITLISTS / "01-stoq-template.csv", folder)
        catalog = str(WAITLISTS / "catalog.products.json")
        words = ["import", file, "--shop", "lumen-lane", "--catalog", catalog, "--yes"]
        decisions = ["--channel", "email", "--value", "market:United States=70000000001"]
        command_line([*words, *decisions, "--base-url", sandbox.base_url])


def main() -> None:
    """Run the tour."""
    parser = argparse.ArgumentParser(description="A tour of the SDK on the embedded sandbox.")
    parser.add_argument(
        "--keep", action="store_true", help="leave the sandbox open after the tour, until Ctrl-C"
    )
    keep = parser.parse_args().keep
    with Sandbox() as sandbox:
        if keep:
            print(f"See it as it comes in: {sandbox.url}/ has a page.")
        tour(sandbox)
        if keep:
            print(f"Still open: {sandbox.url}/ until you press Ctrl-C.", flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    # Ctrl-C and a reader that stops reading, such as `head`, end it without a traceback.
    with suppress(KeyboardInterrupt), output(sys.stdout):
        main()
