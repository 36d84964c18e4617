"""``stoqapp verify`` names the switch by which the sandbox answers as the service does."""

import io
import json
import logging
import os
import signal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from faults import FaultServer, Peer, answers, closed_port, http

from stoqapp.__main__ import main
from stoqapp_sandbox import ASSUMPTIONS, Sandbox
from stoqapp_sandbox.verify.probes import NOT_ASKED, PROBES
from stoqapp_sandbox.verify.replay import Traits, explanation, replayed

EMAIL, PHONE = "planted.mail@example.org", "15550107777"
OPTIONS = ["--shop", "demo", "--variant", "986745", "--product", "132435", "--email", EMAIL]
ALL_OPTIONS = [*OPTIONS, "--phone", f"+{PHONE}", "--market", "7"]
PLANTED = ("planted", PHONE, "986745", "132435")
CATALOG = {"demo.myshopify.com": {"132435": [986745]}}
# The service counts points, as the vendor says; the sandbox does so where it is told to.
AS_THE_VENDOR: dict[str, Any] = {"rate_enforced": "yes"}

ALTERNATIVES: list[tuple[str, str | int]] = [
    (name, choice)
    for name, entry in ASSUMPTIONS.items()
    for choice in entry.choices
    if name not in NOT_ASKED and choice != AS_THE_VENDOR.get(name, entry.default)
]
ALTERNATIVES += [("rate_points", 1000), ("rate_write", 3)]


class Terminal(io.StringIO):
    """A standard input at which a person answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def service(sandbox: Sandbox) -> Sandbox:
    """A sandbox in the place of the service."""
    sandbox.configure(assume=AS_THE_VENDOR, catalog=CATALOG)
    return sandbox


def verify(base_url: str, *words: str) -> int:
    return main(["verify", *words, "--base-url", base_url])


def reported(capsys: pytest.CaptureFixture[str], base_url: str, *words: str) -> tuple[int, Any]:
    code = verify(base_url, *(words or ALL_OPTIONS), "--yes", "--json")
    return code, json.loads(capsys.readouterr().out)


def found_in(text: str) -> list[str]:
    return [word for word in PLANTED if word in text.lower()]


def test_every_switch_is_asked_or_has_a_reason() -> None:
    """A switch without an alternative in the test below is one that no probe tells of."""
    switches = {name for name, entry in ASSUMPTIONS.items() if entry.is_switch}
    assert switches == {name for name, _ in ALTERNATIVES} | NOT_ASKED.keys()


@cache
def replay(**assume: Any) -> Traits:
    """Return what a service answers to a whole run that does what *assume* says."""
    answered = {probe.name: {"status": ""} for probe in PROBES}
    values = {"variant": 986745, "product": 132435, "market": 7, "email": EMAIL, "phone": PHONE}
    return replayed(answered, values, "demo.myshopify.com", assume)


@pytest.mark.parametrize(("name", "choice"), ALTERNATIVES)
def test_one_switch_is_named_exactly(name: str, choice: str | int) -> None:
    """Whichever one thing the service does otherwise, that switch and no other is named."""
    service = replay(**AS_THE_VENDOR | {name: choice})
    assert {name: choice} == explanation(service, AS_THE_VENDOR, replay)


def test_several_switches_are_named(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Things that the service does otherwise at once are all named, and nothing is left over."""
    others = {"duplicate": "409", "created_intent": "id", "rate_points": 500}
    service.configure(assume=AS_THE_VENDOR | others, catalog=CATALOG)
    code, report = reported(capsys, service.base_url)
    assert (1, others, {}) == (code, report["explanation"], report["unexplained"])
    assert Sandbox(assume=report["assume"]).assumptions == service.assumptions


def test_the_expected_holds(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A service that does what the sandbox does gets exit code 0, and a sandbox that is like it."""
    assert 0 == verify(service.base_url, *ALL_OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert len(PROBES) + 1 == told.count("as the sandbox")
    assert told.endswith(
        "The sandbox that answers most alike: stoqapp sandbox --assume rate_enforced=yes\n"
    )


def test_what_is_not_asked_is_told(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a phone number and a market, the probes that need them are told with the reason."""
    code, report = reported(capsys, service.base_url, *OPTIONS)
    assert 0 == code
    assert NOT_ASKED.items() <= report["not_asked"].items()
    assert {"market", "other_contact", "known_customer"} == report["not_asked"].keys() - NOT_ASKED
    assert "it needs --market" == report["not_asked"]["market"]


def test_what_no_switch_explains(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that no switch gives is told, with what else is thought possible."""
    service.fail_next(500, after=2)
    service.fail_next(422, after=1, body={"errors": ["not JSON"]})
    assert 1 == verify(service.base_url, *OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert "status 422 (sandbox: 400)" in told
    assert "No switch of the sandbox explains refused_status" in told


def test_no_switch_is_named_without_need(
    service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an answer with another status, that alone is told, and only what gives it is named."""
    service.configure(assume=AS_THE_VENDOR)
    _, report = reported(capsys, service.base_url)
    assert {"status": ["201", "404"]} == report["differences"]["unknown_shop"]
    assert {"unknown_variant": "created", "wrong_product": "created"} == report["explanation"]
    assert ["unknown_shop"] == [*report["unexplained"]]


@pytest.mark.parametrize(
    ("stdin", "sent"),
    [(Terminal("y\n"), True), (Terminal("n\n"), False), (io.StringIO("y\n"), False)],
    ids=["yes", "no", "pipe"],
)
def test_the_plan_is_told_and_agreed_to(
    stdin: io.StringIO,
    sent: bool,
    service: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is sent, for whom, and what it leaves is told first; only a yes at a terminal sends."""
    monkeypatch.setattr("sys.stdin", stdin)
    code = verify(service.base_url, *ALL_OPTIONS)
    told = capsys.readouterr()
    assert ((0, True) if sent else (2, False)) == (code, bool(service.intents))
    assert sent != ("nothing was sent" in told.err)
    assert f"{len(PROBES)} requests will be sent to {service.base_url} for demo" in told.out
    for probe in PROBES:
        assert f"  {probe.name}: {probe.asks}" in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--email", "nonsense"], "customer.email"),
        (["--variant", "0"], "intent.shopify_variant_id"),
        (["--shop", "bad shop"], "shop"),
        (["--timeout", "soon"], "timeout must be a positive, finite number"),
        (["--assume", "duplicate=7"], "assumption duplicate must be one of 200"),
    ],
)
def test_unusable_arguments_send_nothing(
    words: list[str], said: str, service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be used ends with the reason before anything is sent."""
    assert 2 == verify(service.base_url, *OPTIONS, "--yes", *words)
    assert said in capsys.readouterr().err
    assert [] == service.intents


def test_a_refused_beginning_ends_the_run(
    service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the first request creates nothing, like for a customer on the list, it stays alone."""
    assert 0 == verify(service.base_url, *OPTIONS, "--yes")
    count = len(service.intents)
    capsys.readouterr()
    code, report = reported(capsys, service.base_url, *OPTIONS)
    assert (3, {}, count) == (code, report["answers"], len(service.intents))
    assert "take a variant for which the customer is not on the list" in report["reason"]


def test_a_request_without_an_answer_is_left_out(
    service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lost answer, or one that judges nothing, differs in nothing; the exit code tells it."""
    service.fail_next("reset-after-store", after=8)
    service.fail_next(302, after=2)
    code, report = reported(capsys, service.base_url)
    assert (5, 2, {}) == (code, len(report["unanswered"]), report["differences"])


def test_three_lost_answers_end_the_run(
    service: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that goes away is not asked on and on."""
    service.fail_next(500, after=1, times=99)
    code, report = reported(capsys, service.base_url)
    assert (5, 4) == (code, len(report["answers"].keys() - {"rate_limit"}))
    assert "3 requests in a row went without an answer" == report["reason"]


def test_no_connection(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing could be sent, the exit code says so."""
    with closed_port() as port:
        code, report = reported(capsys, f"http://127.0.0.1:{port}", *OPTIONS)
    assert (4, {}) == (code, report["answers"])
    assert report["reason"].startswith("nothing was sent")


def test_a_rate_limit_ends_the_run(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Turned away, the run ends at once and tells what it knows."""
    service.fail_next(429, after=3)
    code, report = reported(capsys, service.base_url)
    assert (6, 3) == (code, len(report["answers"].keys() - {"rate_limit"}))


def test_points_are_left_to_the_shop(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends before it uses up the points that the shop's storefront needs. What --assume
    says is expected is not told as a deviation."""
    service.configure(assume=AS_THE_VENDOR | {"rate_points": 30}, catalog=CATALOG)
    code, report = reported(capsys, service.base_url, *ALL_OPTIONS, "--assume", "rate_points=30")
    assert "less than a tenth of the shop's points is left in this window" == report["reason"]
    assert (6, "wrong_product") == (code, [*report["answers"]][-2])


def test_ctrl_c_tells_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt ends the run with 130, and with the answers until then."""
    created = http(201, b'{"intents":[{"id":"1","customer_id":"1"}],"errors":[]}')

    def interrupt(peer: Peer) -> None:
        peer.read_request()
        os.kill(os.getpid(), signal.SIGINT)

    # A shell starts what runs in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FaultServer(answers(created), interrupt) as server:
            code, report = reported(capsys, server.url(), *OPTIONS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (130, "interrupted") == (code, report["reason"])
    assert "201" == report["answers"]["created"]["status"]


LEAKS: list[Any] = [
    {"errors": {EMAIL: [f"{EMAIL} is taken"]}, PHONE: [986745]},
    {"error": EMAIL, "message": [PHONE], "planted": "planted"},
    [EMAIL, {"planted": PHONE}],
    f"<html>{EMAIL}</html>",
]


def test_no_personal_data_leaves_the_run(
    service: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the service says of a customer is in no finding, no log, and no cassette."""
    caplog.set_level(logging.DEBUG)
    for status, leak in product((201, 422), LEAKS):
        service.fail_next(status, after=1, body=leak)
    options = [*ALL_OPTIONS, "--json", "--record", str(tmp_path)]
    assert 1 == verify(service.base_url, *options, "--yes")
    told = capsys.readouterr()
    ours = [one for one in caplog.records if one.name.partition(".")[0] in ("stoqapp", "vcr")]
    written = [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert len(PROBES) == len(written)
    kept = [told.out, told.err, *(f"{vars(one)}" for one in ours), *written]
    assert [] == found_in(" ".join(kept))


def test_words_are_shown_on_request(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """--show-words prints the service's sentences, with the customer's values replaced."""
    service.fail_next(422, after=1, body={"errors": [f"{EMAIL.upper()} waits, as does {PHONE}"]})
    verify(service.base_url, *ALL_OPTIONS, "--yes", "--show-words")
    assert "refused_status: '<email> waits, as does <phone>'" in capsys.readouterr().out


def test_cassettes_of_a_run(service: Sandbox, tmp_path: Path) -> None:
    """--record keeps a cassette of each probe, with a made-up request."""
    folder = tmp_path / "new" / "folder"
    assert 0 == verify(service.base_url, *ALL_OPTIONS, "--yes", "--record", str(folder))
    assert {f"{probe.name}.yaml" for probe in PROBES} == {path.name for path in folder.iterdir()}
    assert [] == found_in(" ".join(path.read_text("utf-8") for path in folder.iterdir()))


def test_a_folder_that_cannot_be_made(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Where answers cannot be kept, nothing is sent."""
    assert 1 == verify(service.base_url, *OPTIONS, "--yes", "--record", "/dev/null/folder")
    assert "/dev/null/folder: Not a directory" in capsys.readouterr().err
    assert [] == service.intents
