"""scripts/record_cassettes.py records what it should, asks first, and keeps what was there."""

import io
from pathlib import Path

import pytest

from record_cassettes import CASSETTES, SCENARIOS, main, was_live
from stoqapp_sandbox import Sandbox

CUSTOMER = ["--shop", "demo", "--variant", "1", "--product", "2", "--email", "ada@example.org"]


@pytest.fixture
def into(tmp_path: Path) -> list[str]:
    """The words that record into an empty folder."""
    return ["--into", str(tmp_path)]


@pytest.fixture
def live(into: list[str], sandbox: Sandbox) -> list[str]:
    """The words that record live, from a sandbox in the place of the service."""
    return ["--live", *CUSTOMER, "--base-url", sandbox.base_url, *into]


class Terminal(io.StringIO):
    """A standard input at which a person answers."""

    def isatty(self) -> bool:
        return True


def names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir())


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
    with pytest.raises(SystemExit) as caught:
        main([*live, *changed])
    told = capsys.readouterr().err
    assert (2, [], []) == (caught.value.code, sandbox.intents, names_in(tmp_path))
    assert said in told
    assert "planted" not in told
    assert "Go on?" not in told


def test_a_live_recording_needs_a_shop(capsys: pytest.CaptureFixture[str]) -> None:
    """--live alone is an error of usage."""
    with pytest.raises(SystemExit) as caught:
        main(["--live"])
    assert 2 == caught.value.code
    assert "--live needs --shop, --variant and --product" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (Terminal("n\n"), "real waitlists of demo.myshopify.com. Go on?"),
        (io.StringIO("y\n"), "give --yes"),
    ],
    ids=["no", "pipe"],
)
def test_a_live_recording_is_asked_for_first(
    live: list[str],
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    stdin: io.StringIO,
    said: str,
) -> None:
    """No intent is created without a yes at a terminal; without one, --yes is named."""
    monkeypatch.setattr("sys.stdin", stdin)
    assert 2 == main(live)
    assert said in capsys.readouterr().err
    assert [] == sandbox.intents


def test_an_unexpected_answer_keeps_the_old_cassette(
    live: list[str], tmp_path: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the service answers something else, the cassette stays and the exit code says so."""
    path = tmp_path / "created_by_email.yaml"
    path.write_text("old")
    sandbox.fail_next(500)
    assert 1 == main([*live, "--yes", path.stem])
    assert "old" == path.read_text()
    assert "answered [500], not [201]" in capsys.readouterr().err


def test_the_sandbox_replaces_a_live_recording_only_when_told(
    live: list[str],
    into: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recording from the sandbox over a live cassette asks first, or leaves it out."""
    path = tmp_path / "created_by_email.yaml"
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert 0 == main([*live, path.stem])
    assert was_live(path)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert 2 == main(into)
    assert "replaces live recordings: created_by_email" in capsys.readouterr().err
    assert [path.stem] == names_in(tmp_path)
    assert 0 == main([*into, "--keep-live"])
    assert len(SCENARIOS) == len(names_in(tmp_path))
    assert was_live(path)
    assert 0 == main([*into, "--yes", path.stem])
    assert not was_live(path)
