"""scripts/record_cassettes.py records what it should, asks first, and keeps what was there."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import record_cassettes
from record_cassettes import CASSETTES, SCENARIOS, is_live, main
from stoqapp_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
CUSTOMER = ["--shop", "demo", "--variant", "1", "--product", "2", "--email", "ada@example.org"]
LIVE = ["--live", *CUSTOMER]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to record into."""
    monkeypatch.setattr(record_cassettes, "CASSETTES", tmp_path)
    return tmp_path


class Terminal(io.StringIO):
    """A standard input at which a person answers."""

    def isatty(self) -> bool:
        return True


def names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir())


def test_recording_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sandbox gives the same bytes again, in each cassette that was recorded from it."""
    assert main([]) == 0
    assert len(SCENARIOS) == capsys.readouterr().out.count("recorded")
    assert [] == [
        scenario.name
        for scenario in SCENARIOS
        if not is_live(committed := CASSETTES / scenario.path.name)
        and scenario.path.read_bytes() != committed.read_bytes()
    ]


def test_recording_one(folder: Path) -> None:
    """A named scenario is recorded alone."""
    assert main(["duplicate"]) == 0
    assert ["duplicate"] == names_in(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["nonsense"], "no scenario is named nonsense"),
        (["--product", "x"], "argument --product: invalid int value"),
        (["--shop", "bad shop"], "shop has characters"),
        (["--base-url", "nonsense"], "base_url must be a plain http(s) URL"),
        (["--variant", "0"], "intent.shopify_variant_id must be a Shopify id"),
        (["--phone", "+1 planted"], "customer.phone must be the country code and number"),
    ],
)
def test_recording_live_with_unusable_arguments(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    changed: list[str],
    said: str,
) -> None:
    """Arguments that cannot be sent end with the reason, before any question."""
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    with pytest.raises(SystemExit) as caught:
        main([*LIVE, "--base-url", sandbox.base_url, *changed])
    told = capsys.readouterr()
    assert (2, [], []) == (caught.value.code, sandbox.intents, names_in(folder))
    assert said in told.err
    assert "planted" not in told.err
    assert "Go on?" not in told.err


def test_a_live_recording_needs_a_shop(capsys: pytest.CaptureFixture[str]) -> None:
    """--live alone is an error of usage."""
    with pytest.raises(SystemExit) as caught:
        main(["--live"])
    assert 2 == caught.value.code
    assert "--live needs --shop, --variant and --product" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stdin", "asked"),
    [
        (Terminal("n\n"), True),
        (Terminal(""), True),
        (io.StringIO("y\n"), False),
        (None, False),
    ],
    ids=["no", "Ctrl-D", "pipe", "closed"],
)
def test_a_live_recording_is_asked_for_first(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    stdin: io.StringIO | None,
    asked: bool,
) -> None:
    """No intent is created without a yes at a terminal; without one, --yes is named."""
    monkeypatch.setattr("sys.stdin", stdin)
    assert 2 == main([*LIVE, "--base-url", sandbox.base_url])
    told = capsys.readouterr()
    assert [] == sandbox.intents
    assert asked == ("real waitlists of demo.myshopify.com. Go on?" in told.err)
    assert asked != ("give --yes" in told.err)


def test_an_unexpected_answer_keeps_the_old_cassette(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the service answers something else, the cassette stays and the exit code says so."""
    (folder / "created_by_email.yaml").write_text("old")
    sandbox.fail_next(500)
    words = [*LIVE, "--yes", "--base-url", sandbox.base_url, "created_by_email"]
    assert 1 == main(words)
    assert "old" == (folder / "created_by_email.yaml").read_text()
    assert "answered 500 where 201 was expected" in capsys.readouterr().err


def test_the_sandbox_replaces_a_live_recording_only_when_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recording from the sandbox over a live cassette asks first."""
    path = folder / "created_by_email.yaml"
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert 0 == main([*LIVE, "--base-url", sandbox.base_url, path.stem])
    assert is_live(path)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert 2 == main([])
    assert "replaces live recordings: created_by_email" in capsys.readouterr().err
    assert [path.stem] == names_in(folder)
    assert is_live(path)
    assert 0 == main(["--yes", path.stem])
    assert not is_live(path)


def test_the_suite_stays_green_after_a_live_recording(tmp_path: Path, sandbox: Sandbox) -> None:
    """A live recording of a service with other words replays, and so does one that pytest made."""
    folder = tmp_path / "cassettes"
    shutil.copytree(CASSETTES, folder)
    environment = os.environ | {"STOQAPP_CASSETTES": str(folder)}

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, *words], env=environment, capture_output=True, text=True, cwd=ROOT
        )
        assert 0 == done.returncode, done.stdout + done.stderr

    pytest_words = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/stoqapp/test_cassettes.py",
    ]
    one = "test_each_client_finds_its_answers and from_stoq and (sms or rate_limited)"
    (folder / "created_by_sms.yaml").unlink()
    run(*pytest_words, "--record-mode=rewrite", "-k", one)
    for path in folder.iterdir():
        assert path.read_bytes() == (CASSETTES / path.name).read_bytes()
    sandbox.configure(assume={"duplicate_words": "taken"})
    run("scripts/record_cassettes.py", *LIVE, "--yes", "--base-url", sandbox.base_url)
    assert ["created_by_email", "duplicate"] == sorted(
        path.stem for path in folder.iterdir() if is_live(path)
    )
    run(*pytest_words, "-k", "email or duplicate or scenario")
