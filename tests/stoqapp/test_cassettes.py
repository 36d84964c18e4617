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
    SHOP,
    Scenario,
    main,
    was_live,
)
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest
from stoqapp import AnswerError, NotSentError, Stoq, check
from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import LEFT_OUT, SHOWN_HEADERS, scrubbed_answer

# Each cassette as it is committed, and each that can be recorded live as it is then.
CASES = [(one, "committed") for one in SCENARIOS]
CASES += [(one, "live") for one in SCENARIOS if one.is_live]


def cassette_of(scenario: Scenario, origin: str) -> Any:
    refused = pytest.mark.skipif(
        bool(check(scenario.body)), reason="openapi.json has changed: its request is refused now"
    )
    marks = [pytest.mark.vcr, pytest.mark.default_cassette(scenario.name), refused]
    return pytest.param(scenario, origin, marks=marks, id=f"{scenario.name}-{origin}")


each_case = pytest.mark.parametrize(
    ("scenario", "origin"), CASES, ids=[f"{scenario.name}-{origin}" for scenario, origin in CASES]
)
each_cassette = pytest.mark.parametrize(
    ("scenario", "origin"), [cassette_of(*case) for case in CASES]
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
    """The folder of the cassettes; an empty one for a test that records them anew."""
    if origin == "live":
        yield str(request.getfixturevalue("live_cassettes"))
    elif origin == "committed":
        yield str(CASSETTES)
    else:
        yield str(tmp_path)
        [path] = tmp_path.iterdir()
        assert (CASSETTES / path.name).read_bytes() == path.read_bytes()


@pytest.fixture
def recorded_service(request: pytest.FixtureRequest, record_mode: str) -> str:
    """The base URL that is in the cassette; while recording, that of a sandbox in its place."""
    if record_mode == "none":
        cassette: Cassette = request.getfixturevalue("vcr")
        return str(cassette.requests[0].uri).removesuffix(INTENTS_PATH)
    if "scenario" not in request.fixturenames:
        pytest.skip("only replays")
    sandbox: Sandbox = request.getfixturevalue("stoq_sandbox")
    sandbox.configure(rate_limit=RATE_LIMIT)
    request.getfixturevalue("scenario").prepare(sandbox)
    return sandbox.base_url


@pytest.fixture
def vcr_config(request: pytest.FixtureRequest, record_mode: str) -> dict[str, Any]:
    """Compare what the spec asks for, keep only what may be kept, and record only the sandbox."""
    service = BASE_URL
    if record_mode != "none" and "recorded_service" in request.fixturenames:
        service = request.getfixturevalue("recorded_service")

    def shown(sent: Request) -> Request:
        uri = sent.uri.replace(service, BASE_URL)
        headers = {name: sent.headers[name] for name in SHOWN_HEADERS if name in sent.headers}
        return Request(sent.method, uri, sent.body, headers)

    return {
        "match_on": ["method", "uri", "body", "headers"],
        "before_record_request": shown,
        "before_record_response": scrubbed_answer,
    }


@pytest.fixture(autouse=True)
def _all_played(vcr: Cassette | None, record_mode: str) -> Iterator[None]:
    """Fail a test that does not ask for each answer of its cassette."""
    yield
    if vcr is not None and record_mode != "none":
        vcr.get_metadata("recorded_from", "sandbox")
    elif vcr is not None:
        assert vcr.all_played, "the cassette holds an answer that was not asked for"


def status_from(client: str, base_url: str, request: CreateIntentRequest) -> int:
    if client == "generated":
        with Client(base_url=base_url) as generated:
            return create_intent.sync_detailed(
                client=generated, body=request, x_shopify_shop_domain=SHOP
            ).status_code
    try:
        return Caller(client).create_intent(request, base_url=base_url).answer.status
    except AnswerError as error:
        return error.status


@pytest.mark.parametrize("client", ["generated", "sync", "async"])
@each_cassette
def test_each_client_finds_its_answers(
    scenario: Scenario, client: str, recorded_service: str
) -> None:
    """Every client sends the recorded URL, headers and body, and gets the recorded answers."""
    answered = [status_from(client, recorded_service, scenario.request) for _ in scenario.statuses]
    assert list(scenario.statuses) == answered


@pytest.mark.parametrize("record_mode", ["rewrite"])
@pytest.mark.parametrize(
    ("scenario", "origin"),
    [
        cassette_of(one, "recorded")
        for one in SCENARIOS
        if one.name in ("rate_limited", "duplicate")
    ],
)
def test_pytest_records_what_the_script_records(scenario: Scenario, recorded_service: str) -> None:
    """--record-mode=rewrite writes the same bytes again."""
    answered = [status_from("sync", recorded_service, scenario.request) for _ in scenario.statuses]
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
@pytest.mark.default_cassette("created_by_email")
def test_another_body_finds_no_answer(vcr: Cassette, recorded_service: str) -> None:
    """A request whose body differs from the recorded one is neither answered nor sent."""
    request = SCENARIOS[0].request
    request.intent.quantity = 2
    with Stoq(SHOP, base_url=recorded_service, max_retries=0, budget=None) as stoq:
        with pytest.raises(NotSentError, match="CannotOverwriteExistingCassetteException"):
            stoq.create_intent(request)
        assert 0 == vcr.play_count
        stoq.create_intent(SCENARIOS[0].request)


def test_every_scenario_has_its_cassette_and_no_other_is_there() -> None:
    """The folder holds the scenarios' cassettes and nothing else."""
    names = {f"{scenario.name}.yaml" for scenario in SCENARIOS}
    assert names == {path.name for path in CASSETTES.iterdir()}, f"record them: {COMMAND}"


@each_case
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
