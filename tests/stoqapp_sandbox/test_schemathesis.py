"""Schemathesis makes requests from the vendor's file; the sandbox's answers keep what it says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import tuples

from record_cassettes import SCENARIOS, SHOP
from stoqapp.spec import INTENTS_PATH, SHOP_HEADER
from stoqapp_sandbox import Sandbox

EXAMPLES = 20
LEAST_JUDGED = 5


@pytest.fixture(scope="module")
def operation() -> Any:
    """The endpoint as Schemathesis reads it, without header parameters.

    The headers are sent as they should be. A made-up shop can hardly exist, and OpenAPI ignores a
    parameter named Content-Type, so that hardly a made-up body would be judged.
    """
    # Importing it takes a second, which every worker would pay for collecting this module.
    import schemathesis

    document = json.loads((Path(__file__).parents[2] / "openapi.json").read_text("utf-8"))
    document["paths"][INTENTS_PATH]["post"]["parameters"] = []
    return schemathesis.openapi.from_dict(document)["/intents.json"]["POST"]


@pytest.mark.parametrize(
    "judged",
    [
        pytest.param((200, 400), id="all rules"),
        # Bodies made from the schema seldom keep the rules in prose and seldom name new customers.
        pytest.param(
            (201, 400),
            id="schema alone",
            marks=pytest.mark.stoq_sandbox(assume={"broken_rule": "created", "unique": "off"}),
        ),
    ],
)
def test_every_answer_keeps_the_spec(
    judged: tuple[int, ...], operation: Any, sandbox: Sandbox
) -> None:
    """No body crashes the sandbox, no answer breaks its schema, no broken body is taken and no
    sound one refused."""
    from schemathesis import GenerationMode

    statuses = Counter[int]()
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(tuples(*modes))
    def validate(cases: Any) -> None:
        for case in cases:
            answer = case.call_and_validate(base_url=sandbox.base_url, headers={SHOP_HEADER: SHOP})
            statuses[answer.status_code] += 1

    validate()
    assert all(statuses[status] >= LEAST_JUDGED for status in judged), statuses


def test_a_broken_answer_is_found(operation: Any, sandbox: Sandbox) -> None:
    """The checks refuse an answer that breaks the schema, so that the test above can fail."""
    from schemathesis.core.failures import FailureGroup

    sandbox.fail_next(201, body={"intents": "none"})
    case = operation.Case(body=SCENARIOS[0].body, media_type="application/json")
    with pytest.raises(FailureGroup) as caught:
        case.call_and_validate(base_url=sandbox.base_url, headers={SHOP_HEADER: SHOP})
    assert "Response violates schema" in str(caught.value.exceptions[0])
