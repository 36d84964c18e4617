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


@pytest.fixture
def service(sandbox: Sandbox) -> Sandbox:
    """A sandbox in the place of the service."""
    sandbox.configure(assume=AS_THE_VENDOR, catalog=CATALOG)
    return sandbox


@pytest.fixture
def verify(service: Sandbox, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; returns its exit code, and what it prints to either stream."""

    def run(*words: str, base_url: str = service.base_url) -> tuple[int, str, str]:
        code = main(["verify", *words, "--base-url", base_url])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def reported(verify: Any) -> Any:
    """Runs the command without a question; returns its exit code and the report of --json."""

    def run(*words: str, **base_url: str) -> tuple[int, Any]:
        code, out, _ = verify(*(words or ALL_OPTIONS), "--yes", "--json", **base_url)
        return code, json.loads(out)

    return run


def test_every_switch_is_asked_or_has_a_reason() -> None:
    """A switch without an alternative in the test below is one that no probe tells of."""
    switches = {name for name, entry in ASSUMPTIONS.items() if not entry.instead}
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


def test_several_switches_are_named(service: Sandbox, reported: Any) -> None:
    """Things that the service does otherwise at once are all named, and nothing is left over."""
    others = {"duplicate": "409", "created_intent": "id", "rate_points": 500}
    service.configure(assume=AS_THE_VENDOR | others, catalog=CATALOG)
    code, report = reported()
    assert (1, others, {}) == (code, report["explanation"], report["unexplained"])
    assert Sandbox(assume=report["assume"]).assumptions == service.assumptions


def test_the_expected_holds(verify: Any) -> None:
    """A service that does what the sandbox does gets exit code 0, and a sandbox that is like it."""
    code, told, _ = verify(*ALL_OPTIONS, "--yes")
    assert (0, len(PROBES) + 1) == (code, told.count("as the sandbox"))
    assert told.endswith(
        "The sandbox that answers most alike: stoqapp sandbox --assume rate_enforced=yes\n"
    )


def test_what_is_not_asked_is_told(reported: Any) -> None:
    """Without a phone number and a market, the probes that need them are told with the reason."""
    code, report = reported(*OPTIONS)
    assert 0 == code
    assert NOT_ASKED.items() <= report["not_asked"].items()
    assert {"market", "other_contact", "known_customer"} == report["not_asked"].keys() - NOT_ASKED
    assert "it needs --market" == report["not_asked"]["market"]


def test_what_no_switch_explains(service: Sandbox, verify: Any) -> None:
    """An answer that no switch gives is told, with what else is thought possible."""
    service.fail_next(500, after=2)
    service.fail_next(422, after=1, body={"errors": ["not JSON"]})
    code, told, _ = verify(*OPTIONS, "--yes")
    assert 1 == code
    assert "status 422 (sandbox: 400)" in told
    assert "No switch of the sandbox explains refused_status" in told


def test_no_switch_is_named_without_need(service: Sandbox, reported: Any) -> None:
    """Of an answer with another status, that alone is told, and only what gives it is named."""
    service.configure(assume=AS_THE_VENDOR)
    _, report = reported()
    assert {"status": ["201", "404"]} == report["differences"]["unknown_shop"]
    assert {"unknown_variant": "created", "wrong_product": "created"} == report["explanation"]
    assert ["unknown_shop"] == [*report["unexplained"]]


@pytest.mark.parametrize(
    ("typed", "is_terminal", "sent"), [("y", True, True), ("n", True, False), ("y", False, False)]
)
def test_the_plan_is_told_and_agreed_to(
    typed: str, is_terminal: bool, sent: bool, service: Sandbox, verify: Any, monkeypatch: Any
) -> None:
    """What is sent, for whom, and what it leaves is told first; only a yes at a terminal sends."""
    stdin = io.StringIO(f"{typed}\n")
    monkeypatch.setattr(stdin, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdin", stdin)
    code, told, aside = verify(*ALL_OPTIONS)
    assert ((0, True) if sent else (2, False)) == (code, bool(service.intents))
    assert sent != ("nothing was sent" in aside)
    assert f"{len(PROBES)} requests will be sent to {service.base_url} for demo" in told
    for probe in PROBES:
        assert f"  {probe.name}: {probe.asks}" in told


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--email", "nonsense"], 2, "customer.email"),
        (["--variant", "0"], 2, "intent.shopify_variant_id"),
        (["--shop", "bad shop"], 2, "shop"),
        (["--timeout", "soon"], 2, "timeout must be a positive, finite number"),
        (["--assume", "duplicate=7"], 2, "assumption duplicate must be one of 200"),
        (["--record", "/dev/null/folder"], 1, "/dev/null/folder: Not a directory"),
    ],
)
def test_unusable_arguments_send_nothing(
    words: list[str], code: int, said: str, service: Sandbox, verify: Any
) -> None:
    """What cannot be used ends with the reason before anything is sent."""
    found, _, aside = verify(*OPTIONS, "--yes", *words)
    assert (code, True, []) == (found, said in aside, service.intents)


@pytest.mark.parametrize(
    ("faults", "expected", "reason"),
    [
        # All others build on the first request.
        ([(422, {})], (3, 0, 0), "take a variant for which the customer is not on the list"),
        (
            [(500, {"after": 1, "times": 99})],
            (5, 1, 3),
            "3 requests in a row went without an answer",
        ),
        ([(429, {"after": 3})], (6, 3, 0), "the service answered 429"),
        ([("reset-after-store", {"after": 8}), (302, {"after": 2})], (5, len(PROBES) - 2, 2), ""),
    ],
)
def test_what_ends_a_run(
    faults: Any, expected: tuple[int, int, int], reason: str, service: Sandbox, reported: Any
) -> None:
    """A run ends where going on would tell nothing. A lost answer counts as no difference."""
    for kind, options in faults:
        service.fail_next(kind, **options)
    code, report = reported()
    judged = [name for name, traits in report["answers"].items() if traits and name != "rate_limit"]
    assert expected == (code, len(judged), len(report["unanswered"]))
    assert report["reason"].endswith(reason)
    assert {} == report["differences"]


def test_no_connection(reported: Any) -> None:
    """Where nothing could be sent, the exit code says so."""
    with closed_port() as port:
        code, report = reported(*OPTIONS, base_url=f"http://127.0.0.1:{port}")
    assert (4, {}) == (code, report["answers"])
    assert report["reason"].startswith("nothing was sent")


def test_points_are_left_to_the_shop(service: Sandbox, reported: Any) -> None:
    """The run ends before it uses up the points that the shop's storefront needs. What --assume
    says is expected is not told as a deviation."""
    service.configure(assume=AS_THE_VENDOR | {"rate_points": 30}, catalog=CATALOG)
    code, report = reported(*ALL_OPTIONS, "--assume", "rate_points=30")
    assert "less than a tenth of the shop's points is left in this window" == report["reason"]
    assert (6, "wrong_product") == (code, [*report["answers"]][-2])


def test_ctrl_c_tells_what_is_known(reported: Any) -> None:
    """An interrupt ends the run with 130, and with the answers until then."""
    created = http(201, b'{"intents":[{"id":"1","customer_id":"1"}],"errors":[]}')

    def interrupt(peer: Peer) -> None:
        peer.read_request()
        os.kill(os.getpid(), signal.SIGINT)

    # A shell starts what runs in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FaultServer(answers(created), interrupt) as server:
            code, report = reported(*OPTIONS, base_url=server.url())
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
    service: Sandbox, verify: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the service says of a customer is in no finding, no log, and no cassette of a probe."""
    caplog.set_level(logging.DEBUG)
    for status, leak in product((201, 422), LEAKS):
        service.fail_next(status, after=1, body=leak)
    folder = tmp_path / "new" / "folder"
    code, *told = verify(*ALL_OPTIONS, "--yes", "--json", "--record", str(folder))
    assert 1 == code
    ours = [one for one in caplog.records if one.name.partition(".")[0] in ("stoqapp", "vcr")]
    written = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert {f"{probe.name}.yaml" for probe in PROBES} == written.keys()
    kept = " ".join([*told, *(f"{vars(one)}" for one in ours), *written.values()]).lower()
    assert [] == [word for word in PLANTED if word in kept]


def test_words_are_shown_on_request(service: Sandbox, verify: Any) -> None:
    """--show-words prints the service's sentences, with the customer's values replaced."""
    service.fail_next(422, after=1, body={"errors": [f"{EMAIL.upper()} waits, as does {PHONE}"]})
    _, told, _ = verify(*ALL_OPTIONS, "--yes", "--show-words")
    assert "refused_status: '<email> waits, as does <phone>'" in told
