"""`stoqapp verify` finds what a service does otherwise than the sandbox, and nothing else."""

import itertools
import json
import logging
import os
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faults
import pytest
from attrs import evolve
from faults import FaultServer, Script, answers, answers_and_resets, http

from stoqapp.cli import main
from stoqapp.errors import Answer, RateLimitedError
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox import ASSUMPTIONS, Assumption, Assumptions, Sandbox
from stoqapp_sandbox.cassettes import LEFT_OUT
from stoqapp_sandbox.verify.command import _chosen
from stoqapp_sandbox.verify.probes import MADE_UP, NOT_ASKED, PROBES, Subject, shown
from stoqapp_sandbox.verify.report import Report, report_of
from stoqapp_sandbox.verify.run import Inquiry
from stoqapp_sandbox.verify.signs import shape_of
from stoqapp_sandbox.verify.worlds import Heard, Sent, Step, World

EMAIL = "planted.mail@example.org"
PHONE = "15550107777"
PUSH = "planted-token"
OPTIONS = ["--variant", "4711", "--product", "42", "--email", EMAIL]
ALL_OPTIONS = [*OPTIONS, "--phone", f"+{PHONE}", "--push", PUSH, "--market", "7"]
SUBJECT = Subject(
    {SHOP_HEADER: "demo.myshopify.com", "Content-Type": "application/json"},
    4711,
    42,
    EMAIL,
    PHONE,
    PUSH,
    7,
)
CATALOG = {"demo": {"42": [4711]}}
DEFAULTS = Assumptions.of()
# Each try takes a second of processor time. .ci/run makes them all, other runs some of each kind.
THOROUGH = "STOQAPP_THOROUGH" in os.environ
COMBINATIONS, EACH = (32, 1) if THOROUGH else (4, 8)
takes_long = pytest.mark.skipif(not THOROUGH, reason="TAKES LONG: .ci/run sets STOQAPP_THOROUGH")
HARMLESS = [probe for probe in PROBES if not probe.burdens]
ASKED = [entry for entry in ASSUMPTIONS if any(entry.name in p.entries for p in HARMLESS)]
# Numbers that a service could have; 99 and 200 stand for less and more than the default.
OTHER_NUMBERS = {"nesting": (99, 200), "rate_points": (100, 500), "rate_write": (1, 5)}

Json = dict[str, Any]


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """One that, like the service, does not know every variant."""
    sandbox.configure(catalog=CATALOG)
    return sandbox


def verify(base_url: str, *words: str) -> int:
    return main(["verify", "--shop", "demo", "--base-url", base_url, *words])


def findings(printed: Json) -> dict[str, Json]:
    return {finding["name"]: finding for finding in printed["assumptions"]}


def others(entry: Assumption) -> list[str]:
    """Return what else than its default an entry can be."""
    choices = OTHER_NUMBERS.get(entry.name, entry.choices)
    return [str(choice) for choice in choices if str(choice) != str(entry.default)]


def reported(
    capsys: pytest.CaptureFixture[str], truth: Mapping[str, str], *words: str
) -> tuple[int, Json]:
    """Return the exit code, and the report on a sandbox that does as *truth* says."""
    with Sandbox(assume=truth, catalog=CATALOG) as sandbox:
        code = verify(sandbox.base_url, *ALL_OPTIONS, "--yes", "--json", *words)
    return code, json.loads(capsys.readouterr().out)


# -- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ASSUMPTIONS, ids=lambda entry: entry.name)
def test_each_assumption_is_asked_or_there_is_a_reason(entry: Assumption) -> None:
    """Each entry of the sandbox's table has either a look of a probe, or a reason why not."""
    asked = [probe.name for probe in PROBES if entry.name in probe.entries]
    assert bool(asked) != bool(NOT_ASKED.get(entry.name)), (
        f"{entry.name}: add a look to stoqapp/verify/probes.py, or a reason to NOT_ASKED there"
    )


def test_the_probes_know_no_other_assumptions() -> None:
    """No probe and no reason is about an entry that the table does not have."""
    names = {name for probe in PROBES for name in probe.entries} | NOT_ASKED.keys()
    beside = {name for p in PROBES for a in p.asks for look in a.looks for name in look.beside}
    assert set() == (names | beside) - {entry.name for entry in ASSUMPTIONS}


def test_what_a_probe_builds_on_goes_before() -> None:
    """Each probe stands after those that it needs."""
    names = [probe.name for probe in PROBES]
    assert [] == [
        probe.name
        for place, probe in enumerate(PROBES)
        if not set(probe.needs) <= set(names[:place])
    ]


# -- what it finds --------------------------------------------------------------------------------


def test_all_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a sandbox as it comes, all that is asked holds, and the exit code is 0."""
    code, printed = reported(capsys, {})
    verdicts = {name: finding["verdict"] for name, finding in findings(printed).items()}
    assert 0 == code
    assert {entry.name: "holds" for entry in ASKED} == {
        name: verdict for name, verdict in verdicts.items() if verdict != "not asked"
    }
    assert {"assume": {}, "command": "stoqapp sandbox", "python": "Sandbox()"} == printed["sandbox"]


@pytest.mark.parametrize(
    ("name", "choice"),
    [(entry.name, choice) for entry in ASKED for choice in others(entry)][::EACH],
)
def test_each_deviation_is_found(
    name: str, choice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a sandbox that does one thing otherwise, exactly that is found."""
    code, printed = reported(capsys, {name: choice})
    assert 1 == code
    assert {name: choice} == printed["sandbox"]["assume"]
    assert [{name: choice}] == printed["explanations"]
    assert [name] == [
        finding["name"]
        for finding in printed["assumptions"]
        if finding["verdict"] == "does not hold"
    ]
    assert [choice] == findings(printed)[name]["seen"]


@takes_long
def test_the_body_limit_is_asked_when_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A megabyte is sent only for who names the probe; a larger or smaller limit is then found."""
    limits = {
        1048576: ("1048576", ""),
        5000: ("1048575", "below 1048576"),
        3000000: ("2097152", "above 1048576"),
    }
    for limit, (seen, bound) in limits.items():
        code, printed = reported(capsys, {"body_limit": str(limit)}, "--only", "body_limit")
        found = findings(printed)["body_limit"]
        assert ([seen], bound) == (found["seen"], found["bound"])
        assert (int(limit != 1048576), 4) == (code, printed["requests"])


@pytest.mark.parametrize(
    ("limit", "stand_in", "bound"), [(60, 99, "below 100"), (150, 200, "above 100")]
)
def test_a_number_that_nobody_saw_is_told_as_a_bound(
    limit: int, stand_in: int, bound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a limit beside the one asked for, the side is told; the command's number stands for it."""
    with Sandbox(assume={"nesting": limit}, catalog=CATALOG) as sandbox:
        assert 1 == verify(sandbox.base_url, *OPTIONS, "--yes", "--only", "nesting")
    told = capsys.readouterr().out
    assert re.search(rf"^nesting +assumed +100 +{bound}$", told, re.MULTILINE)
    assert f"\nnesting={stand_in} stands for {bound}: more than that was not seen.\n" in told
    only = ("--only", "nesting")
    _, printed = reported(capsys, {"nesting": str(limit)}, *only)
    found = findings(printed)["nesting"]
    assert ("does not hold", bound, bound) == (found["verdict"], found["note"], found["bound"])
    code, printed = reported(
        capsys, {"nesting": str(limit)}, *only, "--assume", f"nesting={stand_in}"
    )
    found = findings(printed)["nesting"]
    assert (0, "cannot be told", bound) == (code, found["verdict"], found["bound"])


# What makes an entry invisible: where the service does this, nobody can tell that.
HIDDEN: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("unique", ("off",), ("duplicate", "duplicate_words", "market")),
    ("unique", ("variant",), ("market",)),
    ("duplicate", ("201", "201-updated"), ("duplicate_words",)),
    (
        "created_intent",
        ("id",),
        (
            "intent_type",
            "optin_confirmed",
            "accepts_marketing",
            "unique",
            "same_customer",
            "customer_id",
            "duplicate",
            "market",
        ),
    ),
    ("customer_id", ("ignored",), ("unique",)),
    ("rate_headers", ("absent",), ("rate_points", "rate_write", "rate_keyless")),
    ("rate_keyless", ("free",), ("rate_write",)),
    # Messages that are not there cannot be told apart.
    (
        "refused_body",
        ("empty",),
        ("duplicate_words", "content_type_parameters", "numbers", "least_quantity"),
    ),
)


def may_be_hidden(truth: Mapping[str, str]) -> set[str]:
    """Return the entries that a service that does as *truth* says may not show."""
    hidden = {
        name for entry, choices, names in HIDDEN if truth.get(entry) in choices for name in names
    }
    # The shape of a 200's body shows where something is answered 200.
    no_200 = truth.get("duplicate", "200") != "200" or truth.get("unique") == "off"
    if no_200 and truth.get("broken_rule", "200") != "200":
        hidden.add("processed_body")
    return hidden


def combination(seed: int) -> dict[str, str]:
    """Return two to six deviations."""
    chance = random.Random(seed)
    chosen = chance.sample(ASKED, chance.randint(2, 6))
    return {entry.name: chance.choice(others(entry)) for entry in chosen}


@pytest.mark.parametrize("seed", range(COMBINATIONS))
def test_several_deviations_are_found(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several deviations, each that shows is found, and no other.

    What is not found is listed as not to be told, among others with what the sandbox did, and
    what was expected.
    """
    truth = combination(seed)
    hidden = may_be_hidden(truth)
    code, printed = reported(capsys, truth)
    assert 1 == code
    for name, finding in findings(printed).items():
        done = ({**DEFAULTS} | truth).get(name)
        if finding["verdict"] == "cannot be told":
            assert name in hidden
            assert not finding["seen"] or done in finding["seen"]
        elif finding["verdict"] != "not asked":
            assert done in finding["seen"], name
            assert name in hidden or [done] == finding["seen"], name
    assume = printed["sandbox"]["assume"]
    assert {name: choice for name, choice in truth.items() if name not in hidden} == {
        name: choice for name, choice in assume.items() if name not in hidden
    }
    assert assume.keys() <= truth.keys()


@pytest.mark.parametrize("seed", range(0, COMBINATIONS, 4))
def test_the_sandbox_that_it_names_does_the_same(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given what it found, it finds that all of it holds: of that sandbox, and of the first."""
    truth = combination(seed)
    _, printed = reported(capsys, truth)
    _, _, *line = printed["sandbox"]["command"].split()
    assert reported(capsys, truth, *line)[0] == 0
    assert reported(capsys, printed["sandbox"]["assume"], *line)[0] == 0


@takes_long
@pytest.mark.parametrize("seed", [2, 29])
def test_worlds_that_share_a_life_answer_as_if_each_lived_its_own(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That worlds share what no request could tell apart saves time and changes no finding."""
    shared, _ = inquiry(combination(seed), lambda _at, arrive: arrive())
    monkeypatch.setattr("stoqapp_sandbox.verify.worlds._Life.is_of", lambda _life, _world: False)
    apart, _ = inquiry(combination(seed), lambda _at, arrive: arrive())
    assert shared == apart


# -- what it cannot know --------------------------------------------------------------------------


def inquiry(
    truth: Mapping[str, str],
    answer: Callable[[int, Callable[[], Heard | None]], Heard | None],
    subject: Subject = SUBJECT,
) -> tuple[Report, World]:
    """Ask a service in this process; *answer* decides what each request comes to, by number."""
    world = World({**truth})
    numbers = iter(range(100))

    def send(sent: Sent) -> Heard | None:
        def arrive() -> Heard | None:
            world.take(Step(lambda _log: sent))
            return world.log[-1]

        return answer(next(numbers), arrive)

    probes, skipped = _chosen([], subject)
    asked = Inquiry(subject, Assumptions.of(), send, skipped=skipped)
    asked.go_through(probes, lambda _probe, _number, go: go())
    return report_of(asked), world


def verdicts(report: Report, *verdict: str) -> dict[str, str]:
    return {f.name: f.note for f in report.findings if f.verdict in verdict}


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("number", range(0, 22, EACH))
def test_a_request_without_an_answer_misleads_nobody(number: int, arrives: bool) -> None:
    """One lost answer, whether its request arrived or not, never makes what holds not hold."""

    def lose(at: int, arrive: Callable[[], Heard | None]) -> Heard | None:
        if at != number:
            return arrive()
        if arrives:
            arrive()
        return None

    report, _ = inquiry({}, lose)
    assert {} == verdicts(report, "does not hold")
    assert ({},) == report.explanations
    assert (22, 1, None) == (report.asked, report.unanswered, report.end)


@pytest.mark.parametrize(
    ("status", "arrives", "number"),
    list(itertools.product([502, 302], [True, False], range(1, 22)))[::EACH],
)
def test_an_answer_that_tells_nothing_misleads_nobody(
    status: int, arrives: bool, number: int
) -> None:
    """One stray 5xx or redirect, whether its request arrived or not, counts as no answer."""

    def disturb(at: int, arrive: Callable[[], Heard | None]) -> Heard | None:
        if at != number:
            return arrive()
        if arrives:
            arrive()
        return Heard.of(Answer(status, {}, b"<html>"), SUBJECT.sent(b""))

    report, _ = inquiry({}, disturb)
    assert {} == verdicts(report, "does not hold")
    assert ({},) == report.explanations
    assert (22, 1, None) == (report.asked, report.unanswered, report.end)
    note = f"answered {status} with no JSON, which tells nothing of it"
    assert {note} >= set(verdicts(report, "no answer").values())


def test_an_answer_that_tells_nothing_is_told(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 500 to each fourth request makes nothing a finding, and is told for what it hides."""
    sandbox.configure(catalog=CATALOG, faults=["status=500:every=4"])
    assert UNKNOWN == verify(sandbox.base_url, *ALL_OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert re.search(r"^unknown_shop .* no answer: answered 500 with \{", told, re.MULTILINE)
    assert "5 of 22 requests went without an answer" in told
    assert told.endswith("  stoqapp sandbox\n  Sandbox()\n")


def test_a_500_that_a_choice_foretells_is_an_answer() -> None:
    """Where broken JSON is answered 500, that is found, and taken for no trouble."""
    report, _ = inquiry({"json_text": "500"}, lambda _at, arrive: arrive())
    assert {"json_text": ""} == verdicts(report, "does not hold")
    assert ({"json_text": "500"}, 0) == (report.assume, report.unanswered)


def test_trouble_that_lasts_ends_the_run() -> None:
    """The third 5xx in a row ends the run; what was found before is told."""
    trouble = Heard.of(Answer(503, {}, b""), SUBJECT.sent(b""))
    report, _ = inquiry(
        {"refused_status": "422"}, lambda at, arrive: arrive() if at < 5 else trouble
    )
    assert ("unknown", 8, {"refused_status": "422"}) == (report.end, report.asked, report.assume)
    assert "tells anything; the last one was answered 503 with no body" in report.reason


def test_what_no_choice_does_is_told_as_it_was_answered() -> None:
    """An answer that no choice predicts is told by status and form; the rest goes on."""
    duplicate = 7

    def teapot(at: int, arrive: Callable[[], Heard | None]) -> Heard | None:
        heard = arrive()
        assert heard is not None
        is_duplicate = heard.status == 200 and at >= duplicate
        if not is_duplicate:
            return heard
        body = json.dumps({"said": EMAIL, "error": f"{EMAIL} waits"}).encode()
        answer = Answer(418, heard.answer.headers, body)
        return Heard.of(answer, SUBJECT.sent(b""))

    report, _ = inquiry({}, teapot)
    odd = verdicts(report, "does not hold")
    assert odd["duplicate"] == (
        'none of the known choices: answered 418 with {"error": "...", ...: "..."}'
    )
    told = set(verdicts(report, "holds"))
    assert {"refused_status", "numbers", "content_type_parameters", "unique", "market"} <= told
    assert report.deviates


@pytest.mark.parametrize(
    ("lost", "bound", "seen"),
    [(13, "at most 100", ("100", "99")), (14, "at least 100", ("100", "200"))],
)
def test_half_of_a_bound_is_told(lost: int, bound: str, seen: tuple[str, ...]) -> None:
    """Where one of the two requests around a number went unanswered, the other tells a bound."""
    report, _ = inquiry({}, lambda at, arrive: None if at == lost else arrive())
    [found] = [finding for finding in report.findings if finding.name == "nesting"]
    assert ("cannot be told", bound, seen) == (found.verdict, found.note, found.seen)
    assert not report.deviates


def test_what_cannot_be_told_apart_is_said() -> None:
    """Where two sandboxes would answer alike, both are named, and neither is a finding."""
    report, _ = inquiry({}, lambda _at, arrive: arrive(), evolve(SUBJECT, push=None, market=None))
    open_ = {f.name: f.seen for f in report.findings if f.verdict == "cannot be told"}
    assert ("market", "variant", "channel") == open_["unique"]
    notes = verdicts(report, "not asked")
    assert "probe market needs --market" == notes["market"]
    assert not report.deviates


def test_too_much_that_is_open_is_the_reason_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an answer is not looked at because too much is open, no answer is blamed for it."""
    monkeypatch.setattr("stoqapp_sandbox.verify.run._MOST_WORLDS", 20)
    report, _ = inquiry({}, lambda _at, arrive: arrive())
    notes = verdicts(report, "cannot be told")
    assert "too much else was open by then" == notes["duplicate"]
    assert "holds" == next(f.verdict for f in report.findings if f.name == "ids")
    assert not report.deviates


def test_two_explanations_are_both_told() -> None:
    """Where something does not hold and it could be this or that, both are named."""
    asked = Inquiry(SUBJECT, DEFAULTS, lambda _sent: None)
    either, other = {"unique": "channel"}, {"customer_id": "ignored"}
    asked.worlds = [World({**DEFAULTS, **either}), World({**DEFAULTS, **other})]
    asked.told = {"unique", "customer_id"}
    report = report_of(asked)
    assert (either, other) == report.explanations
    assert report.deviates
    assert "more than one explanation" in "\n".join(report.lines())


def test_a_customer_who_waits_already(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run says that the customer was there, finds nothing wrong, and skips the rest."""
    assert 0 == verify(sandbox.base_url, *ALL_OPTIONS, "--yes")
    stored = len(sandbox.intents)
    capsys.readouterr()
    assert 0 == verify(sandbox.base_url, *ALL_OPTIONS, "--yes", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["already_waiting"]
    assert stored == len(sandbox.intents)
    assert ["200"] == findings(printed)["duplicate"]["seen"]
    assert "not asked" == findings(printed)["created_intent"]["verdict"]
    assert "the customer was on the list before" == findings(printed)["market"]["note"]


REFUSED, NOT_SENT, UNKNOWN, LIMITED = 3, 4, 5, 6


@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        (answers(http(403, b"no")), REFUSED, "answered 403 with no JSON"),
        (answers(http(200, b"<html>Log in</html>")), REFUSED, "answered 200 with no JSON"),
        (answers(http(400, b'{"errors": ["no"]}')), REFUSED, 'answered 400 with {"errors"'),
        (answers(http(500, b"")), UNKNOWN, "answered 500 with no body"),
        (answers_and_resets(), UNKNOWN, "3 requests in a row went without an answer"),
        (faults.answers_and_closes(b"HTTP/1.1 2"), UNKNOWN, "3 requests in a row"),
        (answers(http(429, b"", b"Retry-After: 3600")), LIMITED, "3600 seconds"),
    ],
    ids=["403", "HTML", "400", "500", "reset", "half an answer", "429"],
)
def test_a_service_that_does_not_take_part(
    script: Script, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that cannot go on ends at once, says why, and finds nothing."""
    with FaultServer(script) as server:
        assert code == verify(server.url(), *ALL_OPTIONS, "--yes", "--json")
        assert len(server.requests) <= 3
    printed = json.loads(capsys.readouterr().out)
    assert says in printed["reason"]
    assert printed["holds"]
    assert set() == {f["name"] for f in printed["assumptions"] if f["seen"]}


@takes_long
def test_html_with_a_201_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A service that answers all with 201 and HTML is found to do none of what is known."""
    with FaultServer(answers(http(201, b"<html></html>"))) as server:
        assert 1 == verify(server.url(), *ALL_OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert "none of the known choices: answered 201 with no JSON" in told


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no connection comes about, the exit code is 4 and nothing is claimed."""
    with faults.closed_port() as port:
        url = f"http://127.0.0.1:{port}/api/v1"
        assert NOT_SENT == verify(url, *OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert "nothing was sent" in told
    assert "stoqapp sandbox" not in told


def test_a_rate_limit_midway_ends_the_run() -> None:
    """What was found before the points ran out is told."""

    def refuse(at: int, arrive: Callable[[], Heard | None]) -> Heard | None:
        if at == 5:
            raise RateLimitedError(state={"retry_after": 3600.0}, answer=Answer(429, {}, b""))
        return arrive()

    report, _ = inquiry({"refused_status": "422"}, refuse)
    assert ("rate limited", {"refused_status": "422"}) == (report.end, report.assume)
    assert "the run ended before" in verdicts(report, "not asked")["duplicate"]


def test_an_interrupted_run_tells_what_is_known(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the run with 130 and the findings so far."""
    sent = 0

    def interrupted(probe: object, number: int, send: Callable[[], Heard | None]) -> Heard | None:
        nonlocal sent
        sent += 1
        if sent > 4:
            raise KeyboardInterrupt
        return send()

    monkeypatch.setattr("stoqapp_sandbox.verify.command._keeper", lambda *_: interrupted)
    assert 130 == verify(sandbox.base_url, *ALL_OPTIONS, "--yes", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert ["400"] == findings(printed)["refused_status"]["seen"]
    assert "not asked" == findings(printed)["duplicate"]["verdict"]


# -- before anything is sent ----------------------------------------------------------------------


class Terminal:
    """Standard input with a person at it, who types *answer*."""

    def __init__(self, answer: str, *, is_terminal: bool = True) -> None:
        self._answer = answer
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def readline(self) -> str:
        return self._answer


@pytest.mark.parametrize(
    ("stdin", "code", "sent"),
    [
        (Terminal("y\n"), 0, True),
        (Terminal("YES\n"), 0, True),
        (Terminal("n\n"), 2, False),
        (Terminal("\n"), 2, False),
        (Terminal(""), 2, False),
        (Terminal("y\n", is_terminal=False), 2, False),
        (None, 2, False),
    ],
)
def test_it_asks_first(
    stdin: Terminal | None,
    code: int,
    sent: bool,
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent before somebody at a terminal said yes to all that is named."""
    monkeypatch.setattr("sys.stdin", stdin)
    assert code == verify(sandbox.base_url, *OPTIONS, "--only", "schema")
    told = capsys.readouterr().out
    assert "1 requests will be sent to" in told
    assert "schema: the same without a customer" in told
    assert sent == ("as expected" in told)


def test_every_request_is_announced(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan names each probe with what it leaves, counts the requests, and fits a screen."""
    assert 2 == verify(sandbox.base_url, *ALL_OPTIONS)
    plan = capsys.readouterr().out
    assert "22 requests will be sent" in plan
    assert [] == [probe.name for probe in HARMLESS if f"  {probe.name}: " not in plan]
    assert len(plan.splitlines()) <= 40
    assert 22 == sum(len(probe.asks) for probe in HARMLESS)
    assert [] == sandbox.intents


@takes_long
def test_what_may_stay_is_the_customer_that_was_given() -> None:
    """Whatever the service takes, only the given customer is named, on the given variant."""
    for truth in ({}, {"unique": "off", "broken_rule": "created", "numbers": "text"}):
        _, world = inquiry(truth, lambda _at, arrive: arrive())
        for intent in world.stored():
            contacts = {intent["email"], intent["phone"], intent["request"]["customer"].get("push")}
            assert contacts <= {EMAIL, EMAIL.swapcase(), PHONE, PUSH, None}
            assert 4711 == intent["shopify_variant_id"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variant", "1"], "give --product, --email"),
        ([*OPTIONS, "--only", "nonsense"], "no probe has the name"),
        ([*OPTIONS, "--only", "market"], "probe market needs --market"),
        ([*OPTIONS, "--assume", "duplicate=408"], "duplicate must be one of"),
        ([*OPTIONS, "--assume", "duplicate"], "--assume must be like"),
        ([*OPTIONS, "--record", ""], "--record: name a folder"),
        ([*OPTIONS, "--variant", "lamp"], "intent.shopify_variant_id"),
        ([*OPTIONS, "--phone", "12"], "customer.phone"),
        *(
            ([*OPTIONS, "--email", email], "a domain for tests")
            for email in (
                "ada@Example.com",
                "ada@mail.example.com",
                "ada@example.com.",
                "ada@shop.Example",
                "ada@shop.test",
                "ada@invalid",
                "ada@example.net",
            )
        ),
        *(
            ([*OPTIONS, "--email", email], "customer.email is not one email address")
            for email in ("planted", "planted@", "@example.org", "a@b@example.org", "a b@c.org")
        ),
    ],
)
def test_unusable_arguments(
    words: list[str], says: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be used is told in one line, with exit code 2, and nothing is sent."""
    assert 2 == verify(sandbox.base_url, *words, "--yes")
    told = capsys.readouterr()
    assert says in told.err
    assert 1 == len(told.err.splitlines())
    assert EMAIL not in told.out + told.err
    assert [] == sandbox.intents


@pytest.mark.parametrize("email", ["ada@notexample.com", "ada@contest", "ada@mail.example.org"])
def test_an_address_that_may_reach_somebody_is_taken(
    email: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A domain that only ends in the letters of one for tests is none."""
    assert 0 == verify(sandbox.base_url, *OPTIONS, "--email", email, "--only", "schema", "--yes")


def test_the_probes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """--only list names each probe, and what it tells of."""
    assert 0 == main(["verify", "--only", "list"])
    listed = capsys.readouterr().out
    assert [] == [probe.name for probe in PROBES if f"{probe.name}: " not in listed]


def test_the_assumptions_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """--assume list prints what `stoqapp sandbox --assume list` does, as its message promises."""
    assert 0 == main(["sandbox", "--assume", "list"])
    listed = capsys.readouterr().out
    assert 0 == main(["verify", "--assume", "list"])
    assert listed == capsys.readouterr().out


def test_without_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the packages that predict the answers, it says which extra brings them."""
    from stoqapp_sandbox.verify import worlds

    worlds._rooms.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "stoqapp_sandbox.app", None)
    monkeypatch.setitem(__import__("sys").modules, "starlette", None)
    monkeypatch.delitem(__import__("sys").modules, "stoqapp_sandbox.app")
    monkeypatch.setitem(__import__("sys").modules, "starlette.applications", None)
    assert 2 == verify("http://127.0.0.1:1/api/v1", *OPTIONS, "--yes")
    assert "pip install 'stoqapp[sandbox]'" in capsys.readouterr().err


# -- nobody's data --------------------------------------------------------------------------------

ECHOES = [
    {"errors": [f"{EMAIL} already waits", PHONE, PUSH], "intents": [{"email": EMAIL, EMAIL: 1}]},
    {"errors": {EMAIL: [PHONE]}, PHONE: [{PUSH: EMAIL}]},
    {"intents": [{"id": EMAIL, "customer_id": PHONE, "optin_confirmed": PUSH, PUSH: EMAIL}]},
    [EMAIL, PHONE, PUSH],
]


def found_in(text: str) -> list[str]:
    """Return which of the customer's data is in *text*, in any case of letters."""
    return [value for value in (EMAIL, PHONE, PUSH) if value.lower() in text.lower()]


@pytest.mark.parametrize("status", [200, 201, 400, 404, 500])
@pytest.mark.parametrize("echo", range(0, len(ECHOES), EACH))
def test_nothing_personal_is_printed(
    status: int,
    echo: int,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Whatever the service repeats is on no terminal, in no log at DEBUG and in no cassette."""
    caplog.set_level(logging.DEBUG)
    body = json.dumps(ECHOES[echo]).encode()
    script = answers(http(status, body, b"X-RateLimit-Limit: " + PHONE.encode()))
    with FaultServer(script) as server:
        for words in ([], ["--json", "--record", str(tmp_path)]):
            verify(server.url(), *ALL_OPTIONS, "--yes", *words)
    told = capsys.readouterr()
    # httpcore's own logger repeats each header at DEBUG.
    ours = [record for record in caplog.records if record.name.startswith("stoqapp")]
    records = [f"{record.getMessage()} {vars(record)!r}" for record in ours]
    kept = [path.read_text("utf-8") for path in tmp_path.iterdir()]
    assert kept
    assert [] == found_in(" ".join([told.out, told.err, *records, *kept]))


def test_the_cassettes_are_scrubbed(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--record keeps one cassette for each request, of made-up requests and known answers."""
    folder = tmp_path / "kept"
    assert 0 == verify(sandbox.base_url, *ALL_OPTIONS, "--yes", "--record", str(folder))
    names = {f"{p.name}-{n}.yaml" for p in HARMLESS for n in range(1, len(p.asks) + 1)}
    assert names == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        text = path.read_text("utf-8")
        assert [] == found_in(text)
        assert "demo.myshopify.com" not in text.replace("stoqapp-demo.myshopify.com", "")
        assert "recorded_from: sandbox" in text
    assert "ada@example.com" in (folder / "created-1.yaml").read_text("utf-8")
    assert "code: 201" in (folder / "created-1.yaml").read_text("utf-8")
    assert LEFT_OUT not in (folder / "duplicate-1.yaml").read_text("utf-8")


def test_a_folder_that_cannot_be_written_to(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where cassettes cannot be kept, nothing is sent."""
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file")
    assert 2 == verify(sandbox.base_url, *OPTIONS, "--yes", "--record", folder)
    assert "nothing was sent" in capsys.readouterr().err
    assert [] == sandbox.intents


def test_a_cassette_that_cannot_be_written_costs_no_finding(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a cassette cannot take its place, that is said once, and the report comes all the same.

    Those before it stay, and no later one is written.
    """
    (tmp_path / "duplicate-1.yaml").mkdir()
    code = verify(sandbox.base_url, *OPTIONS, "--yes", "--json", "--record", str(tmp_path))
    told = capsys.readouterr()
    assert (0, True) == (code, json.loads(told.out)["holds"])
    said = "stoqapp verify: --record: duplicate-1.yaml cannot be written (Is a directory)"
    assert 1 == told.err.count("cannot be written")
    assert f"{said}; nothing more is recorded\n" in told.err
    before = HARMLESS[: [probe.name for probe in HARMLESS].index("duplicate")]
    names = {f"{probe.name}-1.yaml" for probe in before} | {"duplicate-1.yaml"}
    assert names == {path.name for path in tmp_path.iterdir()}


def test_the_words_are_shown_on_request(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """--show-words prints the service's sentences once, and the customer's values replaced."""
    said = f"{EMAIL.upper()} already waits, as does {PHONE}"
    body = json.dumps({"errors": [said, said]}).encode()
    with FaultServer(answers(http(200, body))) as server:
        words = [*ALL_OPTIONS, "--yes", "--only", "created"]
        verify(server.url(), *words)
        assert "already waits" not in capsys.readouterr().out
        verify(server.url(), *words, "--show-words")
    told = capsys.readouterr().out
    assert 1 == told.count("created: '<email> already waits, as does <phone>'")
    assert "Look before you pass it on" in told
    assert [] == found_in(told)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_is_written_down_is_made_up(probe: Any) -> None:
    """Each request of each probe can be shown for the made-up customer."""
    for ask in probe.asks:
        assert set(shown(ask).headers) <= set(MADE_UP.headers)


def test_shapes_name_no_unknown_field() -> None:
    """The form of a body holds names that the spec lists, and none that an answer brings."""
    body = json.dumps({"errors": ["a", "b"], EMAIL: {PHONE: 1}, "message": None}).encode()
    heard = Heard.of(Answer(400, {}, body), SUBJECT.sent(b""))
    assert '{"errors": ["..."], "message": null, ...: {...: number}}' == shape_of(heard)


def test_the_table_is_for_people(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The findings end with one line to copy, and the same in Python."""
    with Sandbox(assume={"duplicate": "409", "ids": "number"}, catalog=CATALOG) as other:
        assert 1 == verify(other.base_url, *ALL_OPTIONS, "--yes")
    told = capsys.readouterr().out
    assert re.search(r"^duplicate +assumed +200 +409$", told, re.MULTILINE)
    assert re.search(r"^refused_status +assumed +400 +as expected$", told, re.MULTILINE)
    assert "  stoqapp sandbox --assume duplicate=409 --assume ids=number\n" in told
    assert "  Sandbox(assume={'duplicate': '409', 'ids': 'number'})\n" in told
    assert "not asked: rate_refused (it would use up" in told
