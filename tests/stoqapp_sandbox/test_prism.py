"""Prism, a validating proxy for OpenAPI, finds nothing against the client and the sandbox."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from record_cassettes import SCENARIOS, SHOP, Scenario
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoqapp import AnswerError, Stoq
from stoqapp.spec import SPEC as STATED
from stoqapp_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "openapi.json"
PRISM = Path(os.environ.get("STOQAPP_JUDGES", ROOT / ".judges")) / "node_modules/.bin/prism"
LISTED = {int(s) for s in STATED.operation["responses"]}

pytestmark = pytest.mark.skipif(
    not PRISM.is_file() and os.environ.get("CI") != "true",
    reason="Prism is not installed (scripts/judges/install)",
)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def through_prism(prepared: Sandbox) -> Iterator[str]:
    """The base URL of Prism, which leads to the sandbox and refuses what the spec forbids."""
    command = [PRISM, "proxy", "--errors", "--port", "0", SPEC, prepared.base_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout
        said = b""
        try:
            for line in process.stdout:
                said += line
                if found := re.search(rb"Prism is listening on (http://\S+)", line):
                    break
            else:
                pytest.fail(f"Prism did not start: {said.decode()}")
            # Prism stops when its output is not read.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield found[1].decode()
        finally:
            process.terminate()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_each_recorded_exchange_keeps_the_spec(
    scenario: Scenario, prepared: Sandbox, through_prism: str
) -> None:
    """Prism objects to no request and no answer, but for a status that the spec does not list."""
    prepared.reset()
    scenario.set_up(prepared)
    with Stoq(SHOP, base_url=through_prism, max_retries=0, budget=None) as stoq:
        for status in scenario.statuses:
            try:
                answer = stoq.create_intent(scenario.request).answer
            except AnswerError as error:
                answer = error.answer
            assert status == answer.status, answer.body
            objections = json.loads(answer.headers.get("sl-violations", "[]"))
            assert (status not in LISTED) == len(objections), objections
            for objection in objections:
                assert "Unable to match the returned status code" in objection["message"]


def test_the_demo_keeps_the_spec(
    prepared: Sandbox,
    through_prism: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The demo gets the same answers through Prism as without it."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    import tour

    seen = []
    for base_url in (prepared.base_url, through_prism):
        prepared.reset()
        tour.tour(SimpleNamespace(base_url=base_url, intents=[]))
        statuses = re.findall(r"^<- (\d+)", capsys.readouterr().out, re.MULTILINE)
        seen.append((statuses, len(prepared.intents)))
    assert seen[0] == seen[1]
    assert ["201", "201", "201", "200"] == seen[0][0]


def test_prism_refuses_what_the_spec_forbids(through_prism: str) -> None:
    """A body that breaks the schema does not pass, so that the tests above can fail."""
    request = SCENARIOS[0].request
    request.intent.quantity = "one"  # type: ignore[assignment]
    with Client(base_url=through_prism) as client:
        answer = create_intent.sync_detailed(
            client=client, body=request, x_shopify_shop_domain=SHOP
        )
    assert 422 == answer.status_code
    assert b"intent.quantity must be integer" in answer.content
