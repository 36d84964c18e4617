"""Clients that people did not write here get every listed answer: the generated one, and curl."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from calling import email_request

from record_cassettes import SHOP
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest, IntentsCreated, ProcessedWithErrors
from stoqapp.spec import SPEC
from stoqapp_sandbox import Sandbox

HANG_SECONDS = 20


def broken_request() -> CreateIntentRequest:
    request = email_request()
    request.intent.quantity = "1"  # type: ignore[assignment]
    return request


def refuse(sandbox: Sandbox) -> None:
    sandbox.fail_next(401)


def receive_already(sandbox: Sandbox) -> None:
    answer_to("sync", sandbox, email_request())


# Status, what happens before, what is sent, and what the generated client makes of the answer.
ANSWERS: list[tuple[int, Callable[[Sandbox], None], CreateIntentRequest, type]] = [
    (201, lambda _: None, email_request(), IntentsCreated),
    (200, receive_already, email_request(), ProcessedWithErrors),
    (400, lambda _: None, broken_request(), type(None)),
    (401, refuse, email_request(), type(None)),
]
every_answer = pytest.mark.parametrize(
    ("status", "before", "request_", "kind"), ANSWERS, ids=[str(status) for status, *_ in ANSWERS]
)


def test_the_answers_are_those_of_the_spec() -> None:
    """The table has only answers that the vendor's file lists."""
    assert {str(status) for status, *_ in ANSWERS} <= SPEC.operation["responses"].keys()


def answer_to(mode: str, sandbox: Sandbox, body: CreateIntentRequest) -> Any:
    call: Any = getattr(create_intent, mode)
    if not mode.startswith("asyncio"):
        with Client(base_url=sandbox.base_url) as client:
            return call(client=client, body=body, x_shopify_shop_domain=SHOP)

    async def in_loop() -> Any:
        async with Client(base_url=sandbox.base_url) as client:
            return await call(client=client, body=body, x_shopify_shop_domain=SHOP)

    return asyncio.run(in_loop())


@pytest.mark.parametrize("mode", ["sync", "sync_detailed", "asyncio", "asyncio_detailed"])
@every_answer
def test_the_generated_client(
    sandbox: Sandbox,
    mode: str,
    status: int,
    before: Callable[[Sandbox], None],
    request_: CreateIntentRequest,
    kind: type,
) -> None:
    """Each of the generated functions, unchanged, reads each answer as the type that it is."""
    before(sandbox)
    answer = answer_to(mode, sandbox, request_)
    if mode.endswith("detailed"):
        assert status == answer.status_code
        assert status == 401 or json.loads(answer.content)
        answer = answer.parsed
    assert type(answer) is kind
    if kind is IntentsCreated:
        assert [intent["email"] for intent in answer.intents] == ["ada@example.com"]
        assert answer.errors == []
    if kind is ProcessedWithErrors:
        assert ["customer"] == [error.partition(":")[0] for error in answer.errors]


def test_the_generated_client_on_an_unlisted_answer(sandbox: Sandbox) -> None:
    """The 404 of an unknown shop, which the spec lacks, is not a result to the generated client."""
    with Client(base_url=sandbox.base_url) as client:
        answer = create_intent.sync_detailed(
            client=client, body=email_request(), x_shopify_shop_domain="demo"
        )
    assert (answer.status_code, answer.parsed) == (404, None)


@every_answer
def test_curl(
    sandbox: Sandbox,
    status: int,
    before: Callable[[Sandbox], None],
    request_: CreateIntentRequest,
    kind: type,
) -> None:
    """curl, called as people call it, is told each status, with a JSON body."""
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("curl is not installed")
        pytest.skip("curl is not installed")
    before(sandbox)
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--noproxy", "*"),
            *("--max-time", f"{HANG_SECONDS}"),
            *("--write-out", "\n%{http_code} %{content_type}"),
            *("--header", f"X-Shopify-Shop-Domain: {SHOP}"),
            *("--header", "Content-Type: application/json"),
            *("--data", json.dumps(request_.to_dict()), f"{sandbox.base_url}/intents.json"),
        ],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    body, _, told = done.stdout.rpartition("\n")
    assert f"{status} application/json" == told
    names = {201: ["errors", "intents"], 200: ["errors"], 400: ["errors"], 401: ["error"]}
    assert names[status] == sorted(json.loads(body))
    assert len(sandbox.intents) == (status in (200, 201))
