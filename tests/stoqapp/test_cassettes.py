"""The cassettes: where they come from, what they hold, and how they are made."""

import io
import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import recorded_at, replayed
from jsonpointer import resolve_pointer

import record_cassettes
from record_cassettes import AS_IT_COMES, CASSETTES, SCENARIOS, Scenario, main
from stoq_public_api_client.models import CreateIntentRequest
from stoqapp import AnswerError, NotSentError, Stoq
from stoqapp.body import INTENTS_PATH
from stoqapp.rules import OPERATION
from stoqapp.settings import BASE_URL
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import KEPT_HEADERS

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture
def cassettes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to record into."""
    monkeypatch.setattr(record_cassettes, "CASSETTES", tmp_path)
    return tmp_path


def test_every_scenario_has_its_cassette_and_no_other_is_there() -> None:
    """The folder holds the scenarios' cassettes and nothing else."""
    assert {recorded_at(scenario.path) for scenario in SCENARIOS} == set(CASSETTES.iterdir())


def test_every_answer_of_the_spec_is_recorded() -> None:
    """Each status that openapi.json lists has a scenario."""
    spec = json.loads((CASSETTES.parent.parent / "openapi.json").read_text("utf-8"))
    listed = {int(status) for status in resolve_pointer(spec, f"{OPERATION}/responses")}
    missing = sorted(listed - {scenario.status for scenario in SCENARIOS})
    assert [] == missing, (
        f"openapi.json lists the answers {missing}: add a Scenario for each to SCENARIOS in"
        " scripts/record_cassettes.py, record it, and see what stoqapp.answers makes of it"
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_cassette_says_what_it_is(scenario: Scenario) -> None:
    """A cassette says where it was recorded, and holds production URLs and listed headers alone."""
    text = recorded_at(scenario.path).read_text("utf-8")
    content = yaml.safe_load(text)
    assert content["metadata"]["recorded_from"] in ("sandbox", "live")
    for exchange in content["interactions"]:
        assert exchange["request"]["uri"] == f"{BASE_URL}{INTENTS_PATH}"
        assert set(exchange["response"]["headers"]) <= KEPT_HEADERS.keys()
    addresses = re.findall(r"[\w.+-]+@[\w.-]+", text)
    assert {address.partition("@")[2] for address in addresses} <= {"example.com", "example.org"}


def test_a_lost_cassette_names_the_command_that_records_it(cassettes: Path) -> None:
    """Without its cassette a test fails, and says how to get it back."""
    with (
        pytest.raises(pytest.fail.Exception, match=r"scripts/record_cassettes\.py duplicate"),
        replayed(BY_NAME["duplicate"]),
    ):
        pass


def test_a_recorded_answer_that_nobody_asks_for_fails() -> None:
    """A test that does not play its cassette to the end cannot pass."""
    with pytest.raises(AssertionError, match="never asked for"), replayed(BY_NAME["duplicate"]):
        pass


def test_another_body_finds_no_answer() -> None:
    """A request whose body differs from the recorded one is not answered, nor sent."""
    other = CreateIntentRequest.from_dict(BY_NAME["duplicate"].request.to_dict())
    other.intent.quantity = 2
    with (
        pytest.raises(AssertionError, match="never asked for"),
        replayed(BY_NAME["duplicate"]),
        Stoq(record_cassettes.SHOP, **AS_IT_COMES) as stoq,
        pytest.raises(NotSentError, match="CannotOverwriteExistingCassetteException: Can"),
    ):
        stoq.create_intent(other)


def test_recording_anew(cassettes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments every scenario is recorded from the sandbox, as it was before."""
    assert main([]) == 0
    told = capsys.readouterr().out
    assert len(SCENARIOS) == told.count("recorded")
    assert "left out" not in told
    volatile = re.compile(r"'\d{10}'|\d+ seconds|\"retry_after\":\d+|- '\d+'")
    for scenario in SCENARIOS:
        committed = Path(record_cassettes.__file__).parent.parent / "tests/cassettes"
        fresh, old = (
            volatile.sub("", " ".join(path.read_text("utf-8").split()))
            for path in (scenario.path, recorded_at(committed / scenario.path.name))
        )
        assert fresh == old


def test_recording_one(cassettes: Path) -> None:
    """A named scenario is recorded alone."""
    assert main(["duplicate"]) == 0
    assert [path.name for path in cassettes.iterdir()] == ["duplicate.yaml"]


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["--live"], ["--live", "--shop", "demo", "--variant", "1"]]
)
def test_recording_what_cannot_be(cassettes: Path, arguments: list[str]) -> None:
    """An unknown scenario, or a live recording without a shop, is an error of usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert list(cassettes.iterdir()) == []


def test_an_unexpected_answer_keeps_the_old_cassette(
    cassettes: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the service answers something else, the cassette stays and the exit code says so."""
    scenario = BY_NAME["created_by_email"]
    scenario.path.write_text("old")
    sandbox.fail_next(500)
    arguments = ["--live", "--yes", "--shop", "demo", "--variant", "1", "--product", "2"]
    arguments += ["--email", "ada@example.com", "--base-url", sandbox.base_url, scenario.name]
    assert main(arguments) == 1
    assert scenario.path.read_text() == "old"
    assert "answered 500 where 201 was expected" in capsys.readouterr().err


LIVE = ["--live", "--shop", "demo", "--variant", "1", "--product", "2"]
LIVE += ["--email", "ada@example.com"]


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--shop", "bad shop"], "nothing was sent: shop holds characters"),
        (["--shop", ""], "nothing was sent: shop is no shop"),
        (["--base-url", "nonsense"], "base_url must be a plain http(s) URL"),
        (["--variant", "0"], "intent.shopify_variant_id must be a Shopify id"),
        (["--phone", "+1 planted"], "customer.phone must be the country code and number"),
        (["--email", " "], "customer.email is needed by channel 'email'"),
    ],
)
def test_recording_live_with_unusable_arguments(
    cassettes: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    changed: list[str],
    said: str,
) -> None:
    """Arguments that cannot be sent are an error of usage that says why, and nobody is asked."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    with pytest.raises(SystemExit) as caught:
        main([*LIVE, "--base-url", sandbox.base_url, *changed])
    told = capsys.readouterr()
    assert (caught.value.code, sandbox.intents, list(cassettes.iterdir())) == (2, [], [])
    assert said in told.err
    assert "planted" not in told.err
    assert "Go on?" not in told.out


def test_recording_with_an_unusable_environment(
    cassettes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the environment has instead of an argument is told alike, without --live, too."""
    monkeypatch.setenv("STOQ_TIMEOUT", "soon")
    with pytest.raises(SystemExit) as caught:
        main(["duplicate"])
    assert caught.value.code == 2
    assert "STOQ_TIMEOUT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stdin", "asked"),
    [
        (Terminal("n\n"), True),
        (Terminal("\n"), True),
        (Terminal(""), True),
        (io.StringIO("y\n"), False),
        (io.StringIO(""), False),
        (None, False),
    ],
    ids=["no", "return", "Ctrl-D", "pipe", "empty", "closed"],
)
def test_a_live_recording_is_asked_for_first(
    cassettes: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    stdin: io.StringIO | None,
    asked: bool,
) -> None:
    """Nothing real is created without a yes at a terminal; where there is none, --yes is named."""
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*LIVE, "--base-url", sandbox.base_url]) == 2
    told = capsys.readouterr()
    assert sandbox.intents == []
    assert asked == ("real waitlists of demo.myshopify.com. Go on?" in told.out)
    assert asked != ("give --yes" in told.err)


def test_a_yes_records(cassettes: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Who agrees at the terminal gets the cassette."""
    monkeypatch.setattr("sys.stdin", Terminal("Y\n"))
    assert main([*LIVE, "--base-url", sandbox.base_url, "created_by_email"]) == 0
    assert [path.name for path in cassettes.iterdir()] == ["created_by_email.yaml"]


def test_the_command_in_the_readme(cassettes: Path, sandbox: Sandbox) -> None:
    """The README's command for a live recording is one that records."""
    readme = (CASSETTES.parent.parent / "README.md").read_text("utf-8")
    (command,) = re.findall(r"`(.*record_cassettes\.py --live.*)`", readme)
    assert command.startswith(f"{record_cassettes.COMMAND} --live ")
    values = {"SHOP": "demo", "ID": "1", "ADDRESS": "ada@example.org"}
    words = [values.get(word, word) for word in command.split()[2:]]
    assert main([*words, "--yes", "--base-url", sandbox.base_url]) == 0
    assert {"created_by_email.yaml", "duplicate.yaml"} <= {
        path.name for path in cassettes.iterdir()
    }


def test_a_scrubbed_live_cassette_is_replayed_like_any_other(
    cassettes: Path, sandbox: Sandbox
) -> None:
    """What was recorded for a real customer answers the scenario's own request."""
    scenario = BY_NAME["duplicate"]
    arguments = ["--live", "--yes", "--shop", "other", "--variant", "1", "--product", "2"]
    arguments += ["--email", "planted@example.org", "--base-url", sandbox.base_url, scenario.name]
    assert main(arguments) == 0
    with (
        replayed(scenario),
        Stoq(record_cassettes.SHOP, **AS_IT_COMES) as stoq,
        pytest.raises(AnswerError) as caught,
    ):
        stoq.create_intent(scenario.request)
    assert caught.value.status == 200
