"""The recorded answers, replayed to each client, and what the recordings hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from calling import Caller
from vcr.cassette import Cassette
from vcr.request import Request

from record_cassettes import (
    CASSETTES,
    COMMAND,
    RATE_LIMIT,
    SCENARIOS,
    Scenario,
    main,
    was_live,
)
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoqapp import AnswerError, check
from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import LEFT_OUT, SHOP, SHOWN_HEADERS, scrubbed_answer

SCENARIO = {one.name: one for one in SCENARIOS}
# Each cassette as it is committed, and each that can be recorded live as it is then.
CASES = [(one, "committed") for one in SCENARIOS]
CASES += [(one, "live") for one in SCENARIOS if one.is_live]
each_cassette = pytest.mark.parametrize(
    ("scenario", "origin"), CASES, ids=[f"{one.name}-{origin}" for one, origin in CASES]
)


@pytest.fixture(scope="session")
def live_cassettes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Live recordings, of a service that says something else than the sandbox."""
    folder = tmp_path_factory.mktemp("live")
    contacts = ["--email", "ada@example.org", "--phone", "+1 555 010 7777", "--push", "token"]
    customer = ["--shop", "demo", "--variant", "1", "--product", "2", *contacts]
    with Sandbox(assume={"duplicate_words": "taken"}) as service:
        address = ["--base-url", service.base_url, "--into", str(folder)]
        assert 0 == main(["--live", "--yes", *customer, *address])
    return folder


@pytest.fixture
def origin() -> str:
    """Where the cassettes of a test come from, unless its parameter says something else."""
    return "committed"


@pytest.fixture
def vcr_cassette_dir(origin: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The folder of the cassettes; an empty one for a test that records."""
    if origin == "recorded":
        yield str(tmp_path)
        [path] = tmp_path.iterdir()
        assert (CASSETTES / path.name).read_bytes() == path.read_bytes()
    else:
        yield str(request.getfixturevalue("live_cassettes") if origin == "live" else CASSETTES)


@pytest.fixture
def default_cassette_name(scenario: Scenario) -> str:
    """The cassette of the test's scenario."""
    if check(scenario.body):
        pytest.skip("openapi.json has changed: its request is refused now")
    return scenario.name


@pytest.fixture
def recorded_sandbox(record_mode: str, request: pytest.FixtureRequest) -> Sandbox | None:
    """The sandbox that answers while pytest records, so that it never asks the real service."""
    if record_mode == "none" or not request.node.get_closest_marker("vcr"):
        return None
    sandbox: Sandbox = request.getfixturevalue("stoq_sandbox")
    sandbox.configure(rate_limit=RATE_LIMIT)
    request.getfixturevalue("scenario").set_up(sandbox)
    return sandbox


@pytest.fixture
def vcr_config(recorded_sandbox: Sandbox | None) -> dict[str, Any]:
    """Compare what the spec asks for, and keep what may be kept."""

    def shown(sent: Request) -> Request:
        uri = sent.uri
        if recorded_sandbox:
            uri = uri.replace(recorded_sandbox.base_url, BASE_URL)
        headers = {name: sent.headers[name] for name in SHOWN_HEADERS if name in sent.headers}
        return Request(sent.method, uri, sent.body, headers)

    return {
        "match_on": ["method", "uri", "body", "headers"],
        "before_record_request": shown,
        "before_record_response": scrubbed_answer,
    }


@pytest.fixture
def service(vcr: Cassette, recorded_sandbox: Sandbox | None) -> Iterator[str]:
    """The base URL in the cassette, each answer of which has to be asked for; or the sandbox's."""
    if recorded_sandbox:
        vcr.get_metadata("recorded_from", "sandbox")
        yield recorded_sandbox.base_url
    else:
        yield vcr.requests[0].uri.removesuffix(INTENTS_PATH)
        assert vcr.all_played, "the cassette holds an answer that was not asked for"


def statuses_from(client: str, base_url: str, scenario: Scenario) -> Iterator[int]:
    for _ in scenario.statuses:
        if client == "generated":
            with Client(base_url=base_url) as generated:
                yield create_intent.sync_detailed(
                    client=generated, body=scenario.request, x_shopify_shop_domain=SHOP
                ).status_code
        else:
            try:
                created = Caller(client).create_intent(scenario.request, base_url=base_url)
                yield created.answer.status
            except AnswerError as error:
                yield error.status


@pytest.mark.vcr
@pytest.mark.parametrize("client", ["generated", "sync", "async"])
@each_cassette
def test_each_client_finds_its_answers(scenario: Scenario, client: str, service: str) -> None:
    """Every client sends the recorded URL, headers and body, and gets the recorded answers."""
    assert scenario.statuses == [*statuses_from(client, service, scenario)]


@pytest.mark.vcr
@pytest.mark.parametrize("record_mode", ["rewrite"])
@pytest.mark.parametrize("origin", ["recorded"])
@pytest.mark.parametrize("scenario", [SCENARIO["rate_limited"], SCENARIO["duplicate"]])
def test_pytest_records_what_the_script_records(scenario: Scenario, service: str) -> None:
    """--record-mode=rewrite writes the bytes that are committed."""
    assert scenario.statuses == [*statuses_from("sync", service, scenario)]


@pytest.mark.vcr
@pytest.mark.parametrize(
    ("scenario", "asked", "confirmed"),
    [
        (SCENARIO["rate_limited_then_created"], [7], False),
        (SCENARIO["unavailable_then_created"], [3], False),
        (SCENARIO["unknown_then_duplicate"], None, True),
    ],
)
def test_recorded_retries(
    scenario: Scenario, asked: list[float] | None, confirmed: bool, caller: Caller, service: str
) -> None:
    """A refused request is sent again after the wait asked for; a duplicate after an unknown
    attempt is a created intent."""
    created = caller.create_intent(
        scenario.request, max_retries=1, retry_unknown=True, base_url=service
    )
    assert (2, confirmed) == (created.attempts, created.confirmed_by_duplicate)
    assert created.waited_seconds == sum(caller.waits) > 0
    assert asked in (None, caller.waits)


def test_every_scenario_has_its_cassette_and_no_other_is_there() -> None:
    """The folder holds the scenarios' cassettes and nothing else."""
    names = {f"{scenario.name}.yaml" for scenario in SCENARIOS}
    assert names == {path.name for path in CASSETTES.iterdir()}, f"record them: {COMMAND}"


@each_cassette
def test_each_cassette_is_scrubbed(scenario: Scenario, vcr_cassette_dir: str) -> None:
    """A cassette says where it is from, names made-up people only, and is scrubbed: doing that
    again changes nothing, and nothing that the sandbox says is left out."""
    path = scenario.path_in(Path(vcr_cassette_dir))
    text = path.read_text("utf-8")
    assert set(re.findall(r"[\w.+-]+@[\w.-]+", text)) <= {"ada@example.com"}
    assert was_live(path) or LEFT_OUT not in text
    content = yaml.safe_load(text)
    assert content["metadata"] in ({"recorded_from": "sandbox"}, {"recorded_from": "live"})
    for exchange in content["interactions"]:
        request, answer = exchange["request"], exchange["response"]
        assert re.fullmatch(rf"https://[^?]+{re.escape(INTENTS_PATH)}", request["uri"])
        assert scenario.body == json.loads(request["body"])
        answer["body"]["string"] = answer["body"]["string"].encode()
        assert answer == scrubbed_answer(answer)
