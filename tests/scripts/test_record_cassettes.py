"""scripts/record_cassettes.py records what it should, asks first, and keeps what was there."""

import io
from pathlib import Path

import pytest

from record_cassettes import CASSETTES, SCENARIOS, main, was_live
from stoqapp_sandbox import Sandbox

NAME = "created_by_email"


@pytest.fixture
def into(tmp_path: Path) -> list[str]:
    """The words that record into an empty folder."""
    return ["--into", str(tmp_path)]


@pytest.fixture
def live(into: list[str], sandbox: Sandbox) -> list[str]:
    """The words that record live, from a sandbox in the place of the service."""
    customer = ["--shop", "demo", "--variant", "1", "--product", "2", "--email", "ada@example.org"]
    return ["--live", *customer, "--base-url", sandbox.base_url, *into]


class Person(io.StringIO):
    """A standard input at which a person answers."""

    def isatty(self) -> bool:
        return True


def test_recording_anew(
    into: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sandbox gives the same bytes again, in each cassette that was recorded from it."""
    assert 0 == main(into)
    assert len(SCENARIOS) == capsys.readouterr().out.count("recorded")
    committed = [path for path in CASSETTES.iterdir() if not was_live(path)]
    assert [] == [
        path.stem for path in committed if path.read_bytes() != (tmp_path / path.name).read_bytes()
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["nonsense"], "no scenario is named nonsense"),
        (["--shop", "bad shop"], "shop has characters"),
        (["--into", "/dev/null/folder", "--yes"], "Not a directory"),
        (["--base-url", "nonsense"], "base_url must be a plain http(s) URL"),
        (["--base-url", "http://127.0.0.1:1", "--yes"], "could not be found, reached"),
        (["--variant", "0"], "intent.shopify_variant_id"),
        (["--phone", "+1 planted"], "customer.phone"),
    ],
)
def test_recording_live_with_unusable_arguments(
    live: list[str],
    tmp_path: Path,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    changed: list[str],
    said: str,
) -> None:
    """Arguments that cannot be sent end with the reason, before any question."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main([*live, *changed])
    told = capsys.readouterr().err
    assert ([], []) == (sandbox.intents, [*tmp_path.iterdir()])
    assert said in told
    assert "planted" not in told
    assert "Go on?" not in told


def test_an_unexpected_answer_keeps_the_old_cassette(
    live: list[str], tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the service answers something else, the cassette stays and the exit code says so."""
    path = tmp_path / f"{NAME}.yaml"
    path.write_text("old")
    sandbox.fail_next(500)
    assert 1 == main([*live, "--yes", NAME])
    assert "old" == path.read_text()
    assert "answered [500], not [201]" in capsys.readouterr().err


def test_a_person_is_asked_first(
    live: list[str],
    into: list[str],
    tmp_path: Path,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is recorded live, and no live recording is replaced, without a yes."""
    path = tmp_path / f"{NAME}.yaml"

    def record(words: list[str], answer: str) -> int:
        monkeypatch.setattr("sys.stdin", Person(answer))
        return main([*words, NAME])

    assert 2 == record(live, "n\n")
    assert "real waitlists of demo.myshopify.com. Go on?" in capsys.readouterr().err
    assert ([], False) == (sandbox.intents, path.exists())
    assert 0 == record(live, "y\n")
    assert was_live(path)
    assert 2 == record(into, "n\n")
    assert f"replaces live recordings: {NAME}. Go on?" in capsys.readouterr().err
    assert was_live(path)
    assert 0 == record(into, "y\n")
    assert not was_live(path)


def test_live_recordings_can_be_left_alone(live: list[str], into: list[str]) -> None:
    """--keep-live records the other cassettes from the sandbox, without a question."""
    assert 0 == main([*live, "--yes", NAME])
    assert 0 == main([*into, "--keep-live"])
    recorded = {path.stem: was_live(path) for path in Path(into[1]).iterdir()}
    assert {one.name: one.name == NAME for one in SCENARIOS} == recorded
