"""The recorded answers, replayed to each client, and what the recordings hold."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from calling import Caller
from vcr.cassette import Cassette

from record_cassettes import CASSETTES, COMMAND, SCENARIOS, SHOP, Scenario, is_live
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest
from stoqapp import AnswerError, AsyncStoq, NotSentError, Stoq, check
from stoqapp.spec import INTENTS_PATH
from stoqapp_sandbox.cassettes import LEFT_OUT, scrubbed_answer

ONCE: dict[str, Any] = {"max_retries": 0, "budget": None}


def cassette_of(scenario: Scenario) -> Any:
    refused = pytest.mark.skipif(
        bool(check(scenario.body)), reason="openapi.json has changed: its request is refused now"
    )
    return pytest.param(
        scenario,
        marks=[pytest.mark.vcr, pytest.mark.default_cassette(scenario.name), refused],
        id=scenario.name,
    )


each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
each_cassette = pytest.mark.parametrize("scenario", [cassette_of(one) for one in SCENARIOS])


@pytest.fixture(autouse=True)
def _all_played(vcr: Cassette | None, record_mode: str) -> Iterator[None]:
    """Fail a test that does not ask for each answer of its cassette."""
    yield
    if vcr is not None and record_mode != "none":
        vcr.get_metadata("recorded_from", "sandbox")
    elif vcr is not None:
        assert vcr.all_played, "the cassette holds an answer that was not asked for"


def from_generated(base_url: str, request: CreateIntentRequest) -> int:
    with Client(base_url=base_url) as client:
        return create_intent.sync_detailed(
            client=client, body=request, x_shopify_shop_domain=SHOP
        ).status_code


def from_generated_async(base_url: str, request: CreateIntentRequest) -> int:
    async def answered() -> int:
        async with Client(base_url=base_url) as client:
            answer = await create_intent.asyncio_detailed(
                client=client, body=request, x_shopify_shop_domain=SHOP
            )
            return answer.status_code

    return asyncio.run(answered())


def from_stoq(base_url: str, request: CreateIntentRequest) -> int:
    with Stoq(SHOP, base_url=base_url, **ONCE) as stoq:
        try:
            return stoq.create_intent(request).answer.status
        except AnswerError as error:
            return error.status


def from_async_stoq(base_url: str, request: CreateIntentRequest) -> int:
    async def answered() -> int:
        async with AsyncStoq(SHOP, base_url=base_url, **ONCE) as stoq:
            try:
                return (await stoq.create_intent(request)).answer.status
            except AnswerError as error:
                return error.status

    return asyncio.run(answered())


@pytest.mark.parametrize(
    "status_from", [from_generated, from_generated_async, from_stoq, from_async_stoq]
)
@each_cassette
def test_each_client_finds_its_answers(
    scenario: Scenario,
    status_from: Callable[[str, CreateIntentRequest], int],
    recorded_service: str,
) -> None:
    """Every client sends the recorded URL, headers and body, and gets the recorded answers."""
    answered = [status_from(recorded_service, scenario.request) for _ in scenario.statuses]
    assert list(scenario.statuses) == answered


@pytest.mark.vcr
@pytest.mark.parametrize(
    ("waits", "confirmed"),
    [
        pytest.param([7], False, marks=pytest.mark.default_cassette("rate_limited_then_created")),
        pytest.param([3], False, marks=pytest.mark.default_cassette("unavailable_then_created")),
        pytest.param(None, True, marks=pytest.mark.default_cassette("unknown_then_duplicate")),
    ],
)
def test_recorded_retries(
    caller: Caller, waits: list[float] | None, confirmed: bool, recorded_service: str
) -> None:
    """A refused request is sent again after the wait asked for; a duplicate after an unknown
    attempt is a created intent."""
    request = SCENARIOS[0].request
    created = caller.create_intent(
        request, max_retries=1, retry_unknown=True, base_url=recorded_service
    )
    assert (2, confirmed) == (created.attempts, created.confirmed_by_duplicate)
    assert created.waited_seconds == sum(caller.waits) > 0
    assert waits in (None, caller.waits)


@pytest.mark.vcr
@pytest.mark.default_cassette("created_by_sms")
def test_subscribe_sends_what_people_have_in_hand(caller: Caller, recorded_service: str) -> None:
    """Global ids, a shop URL and a formatted number end in the recorded request."""
    created = caller.subscribe(
        {
            "variant": "gid://shopify/ProductVariant/4711",
            "product": "gid://shopify/Product/42",
            "phone": "+1 (555) 010-9999",
        },
        shop="https://admin.shopify.com/store/stoqapp-demo",
        base_url=recorded_service,
    )
    assert [change.path for change in created.changes] == [
        "intent.shopify_variant_id",
        "intent.shopify_product_id",
        "customer.phone",
        "intent.channel",
    ]


@pytest.mark.vcr
@pytest.mark.default_cassette("created_by_email")
def test_another_body_finds_no_answer(vcr: Cassette, recorded_service: str) -> None:
    """A request whose body differs from the recorded one is neither answered nor sent."""
    request = SCENARIOS[0].request
    request.intent.quantity = 2
    with Stoq(SHOP, base_url=recorded_service, **ONCE) as stoq:
        with pytest.raises(NotSentError, match="CannotOverwriteExistingCassetteException"):
            stoq.create_intent(request)
        assert 0 == vcr.play_count
        stoq.create_intent(SCENARIOS[0].request)


def test_every_scenario_has_its_cassette_and_no_other_is_there() -> None:
    """The folder holds the scenarios' cassettes and nothing else."""
    names = {scenario.path.name for scenario in SCENARIOS}
    assert names == {path.name for path in CASSETTES.iterdir()}, f"record them: {COMMAND}"


@each_scenario
def test_each_cassette_is_scrubbed(scenario: Scenario) -> None:
    """A cassette says what it was recorded from; scrubbing it once more changes nothing."""
    content = yaml.safe_load(scenario.path.read_text("utf-8"))
    assert content["metadata"] in ({"recorded_from": "sandbox"}, {"recorded_from": "live"})
    for exchange in content["interactions"]:
        request, answer = exchange["request"], exchange["response"]
        assert re.fullmatch(rf"https://[^?]+{re.escape(INTENTS_PATH)}", request["uri"])
        assert scenario.body == json.loads(request["body"])
        answer["body"]["string"] = answer["body"]["string"].encode()
        assert answer == scrubbed_answer(answer)


@each_scenario
def test_a_cassette_names_only_made_up_people(scenario: Scenario) -> None:
    """The addresses in a cassette are at domains that are reserved for examples."""
    addresses = re.findall(r"[\w.+-]+@[\w.-]+", scenario.path.read_text("utf-8"))
    assert {address.partition("@")[2] for address in addresses} <= {"example.com", "example.org"}


@each_scenario
def test_each_sentence_of_the_sandbox_is_known(scenario: Scenario) -> None:
    """Nothing that the sandbox says is left out of its recordings."""
    assert is_live(scenario.path) or LEFT_OUT not in scenario.path.read_text("utf-8")
