"""Clients that people did not write here understand each answer: the generated one, and curl."""

import json
import os
import shutil
import subprocess

import pytest
from calling import email_request
from sending import HANG_SECONDS, SHOP

from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest, IntentsCreated, ProcessedWithErrors
from stoqapp_sandbox import Sandbox


def broken_request() -> CreateIntentRequest:
    request = email_request()
    request.intent.quantity = "1"  # type: ignore[assignment]
    return request


# In the order of sending: the status, the shop, what is sent, as what the generated client reads
# the answer, and what is in it. The vendor's file does not list the 404, which was observed.
ANSWERS: list[tuple[int, str, CreateIntentRequest, type, list[str]]] = [
    (201, SHOP, email_request(), IntentsCreated, ["errors", "intents"]),
    (200, SHOP, email_request(), ProcessedWithErrors, ["errors"]),
    (400, SHOP, broken_request(), type(None), ["errors"]),
    (401, SHOP, email_request(), type(None), ["error"]),
    (404, "demo", email_request(), type(None), ["error"]),
]


def test_the_generated_client(sandbox: Sandbox) -> None:
    """The generated client, unchanged, reads each answer as the type that it is."""
    sandbox.fail_next(401, after=3)
    with Client(base_url=sandbox.base_url) as client:
        for status, shop, request, kind, names in ANSWERS:
            answer = create_intent.sync_detailed(
                client=client, body=request, x_shopify_shop_domain=shop
            )
            assert (status, kind) == (answer.status_code, type(answer.parsed))
            if isinstance(answer.parsed, IntentsCreated):
                assert ["ada@example.com"] == [one["email"] for one in answer.parsed.intents]
            if isinstance(answer.parsed, ProcessedWithErrors):
                assert ["customer"] == [said.partition(":")[0] for said in answer.parsed.errors]
            assert names == sorted(json.loads(answer.content))


def test_curl(sandbox: Sandbox) -> None:
    """curl, called as people call it, is told each status, with a JSON body."""
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed")
    sandbox.fail_next(401, after=3)
    for status, shop, request, _, names in ANSWERS:
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--noproxy", "*"),
                *("--max-time", f"{HANG_SECONDS}"),
                *("--write-out", "\n%{http_code} %{content_type}"),
                *("--header", f"X-Shopify-Shop-Domain: {shop}"),
                *("--header", "Content-Type: application/json"),
                *("--data", json.dumps(request.to_dict()), f"{sandbox.base_url}/intents.json"),
            ],
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        content, _, told = done.stdout.rpartition("\n")
        assert f"{status} application/json" == told
        assert names == sorted(json.loads(content))
    assert len(sandbox.intents) == 1
