"""A run of ``stoqapp verify``: tell the plan, ask, send the probes, tell what differs."""

import argparse
import json
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from stoqapp.answers import created_from_answer
from stoqapp.errors import (
    Answer,
    AnswerError,
    ConfigurationError,
    InvalidIntentError,
    OutcomeUnknownError,
    RateLimitedError,
    StoqError,
)
from stoqapp.http.transport import Transport
from stoqapp.inputs import INPUTS, prepare
from stoqapp.log import log_as_environment_says
from stoqapp.retry import deliver, plan
from stoqapp.rules import check
from stoqapp.settings import Settings
from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp.terminal import agreed, complain, mention, show
from stoqapp_sandbox.answers import messages_in
from stoqapp_sandbox.assumptions import ASSUMPTIONS, DEFAULTS, Assumptions
from stoqapp_sandbox.cassettes import SHOWN_HEADERS, RecordedFrom, cassette_of
from stoqapp_sandbox.command import assumed_from
from stoqapp_sandbox.service import TEST_DOMAINS
from stoqapp_sandbox.verify.command import GIVEN
from stoqapp_sandbox.verify.probes import MADE_UP, NOT_ASKED, PROBES, Probe, Values
from stoqapp_sandbox.verify.replay import Log, differences, explanation

_DEVIATES, _NOTHING_SENT, _REFUSED, _NOT_SENT, _UNANSWERED, _LIMITED = 1, 2, 3, 4, 5, 6
_INTERRUPTED: Final = 130
_MOST_LOST: Final = 3
_WIDTH: Final = 100
# RFC 2606, without example.org: the examples in this project use it as the customer's domain.
_RESERVED: Final = ("example", "test", "invalid", "example.net")
_LEFT: Final = (
    "What is left is on the waitlist of the variant and for the customer that you gave. Creating"
    " an entry sends the customer nothing; restocking the variant does. To remove it afterwards,"
    " delete this customer's requests for the variant in the STOQ app, in the shop's admin. Take"
    " another variant for each run."
)
_NO_INTENT: Final = (
    "the first request created no intent, and all others build on it; check the shop, the variant"
    " and its product, and take a variant for which the customer is not on the list"
)


def verify(arguments: argparse.Namespace) -> int:
    """Do what the command line says and return the exit code.

    Raises:
        StoqError: An argument is unusable; nothing was sent.
    """
    log_as_environment_says()
    # The vendor documents that points count; the sandbox does not count them by default.
    expected = {"rate_enforced": "yes", **assumed_from(arguments.assume)}
    Assumptions.of(expected)
    settings = Settings(shop=arguments.shop, base_url=arguments.base_url, timeout=arguments.timeout)
    base_url = settings.base_url
    values = _values_from(arguments)
    probes = [probe for probe in PROBES if not probe.lacks(values)]
    folder = None if arguments.record is None else Path(arguments.record)
    if folder:
        _check_folder(folder)
    aside = mention if arguments.json else show
    aside(f"{len(probes)} requests will be sent to {base_url} for {settings.shop}, in this order:")
    for probe in probes:
        aside(_wrapped(f"  {probe.name}: {probe.asks}; leaves {probe.leaves}"))
    aside(_wrapped(_LEFT))
    if not arguments.yes and not agreed("stoqapp verify", "Send them?"):
        complain("stoqapp verify", "nothing was sent")
        return _NOTHING_SENT
    with closing(Transport(base_url + INTENTS_PATH, settings.http)) as transport:
        inquiry = Inquiry(values, settings, transport)
        inquiry.go_through(probes)
    report = _report(inquiry.log, inquiry.reason, values, settings.shop, expected)
    show(json.dumps(report, indent=2) if arguments.json else "\n".join(_lines(report)))
    if arguments.show_words:
        aside("\n".join(_shown(inquiry.answers, values)))
    if folder:
        _record(inquiry.answers, folder, "live" if base_url == BASE_URL else "sandbox")
    if report["differences"] and inquiry.code != _INTERRUPTED:
        return _DEVIATES
    return inquiry.code or (_UNANSWERED if report["unanswered"] else 0)


def _values_from(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in GIVEN}
    prepared = prepare(channel="email", **given).body
    body: Mapping[str, Any] = prepared
    if violations := check(prepared):
        raise InvalidIntentError(violations)
    domain = body["customer"]["email"].partition("@")[2].lower().rstrip(".")
    if f".{domain}".endswith(tuple(f".{name}" for name in (*TEST_DOMAINS, *_RESERVED))):
        raise ConfigurationError(
            "nothing was sent: --email is at a domain for tests, which reaches no one and which"
            " the vendor may block; give an address of yours"
        )
    plain = {f"{part}.{name}": value for part in body for name, value in body[part].items()}
    return {name: plain.get(INPUTS[name].path) for name in GIVEN}


def _check_folder(folder: Path) -> None:
    cassette_of([], "sandbox")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--record: no folder can be made there ({error.strerror}); nothing was sent"
        ) from None


@define(eq=False)
class Inquiry:
    """Sends the probes, and keeps what was answered.

    Attributes:
        answers: By name of the probe.
        log: The signs of the answers that judge their request.
        code: The exit code if something ended the run early, else 0.
        reason: What ended it.
    """

    _values: Values = field(repr=False)
    _settings: Settings
    _transport: Transport
    answers: dict[str, Answer] = field(factory=dict, init=False, repr=False)
    log: Log = field(factory=Log, init=False)
    code: int = field(default=0, init=False)
    reason: str = field(default="", init=False)

    def go_through(self, probes: Sequence[Probe]) -> None:
        """Send *probes* until something ends the run, like Ctrl-C."""
        lost = 0
        try:
            for probe in probes:
                answer = self._answer_to(probe)
                is_judged = answer is not None and answer.status // 100 in (2, 4)
                lost = 0 if is_judged else lost + 1
                if probe is probes[0] and (answer is None or answer.status != 201):
                    self.code, self.reason = (_REFUSED if is_judged else _UNANSWERED), _NO_INTENT
                    break
                self.log.add(probe, answer if is_judged else None)
                if lost == _MOST_LOST:
                    self.code = _UNANSWERED
                    self.reason = f"{lost} requests in a row went without an answer"
                    break
        except KeyboardInterrupt:
            self.code, self.reason = _INTERRUPTED, "interrupted"
        except StoqError as error:
            self.code = _LIMITED if isinstance(error, RateLimitedError) else _NOT_SENT
            self.reason = str(error)

    def _answer_to(self, probe: Probe) -> Answer | None:
        values = {**self._values, "customer_id": self.log.customer_id}
        headers, content = probe.request(values, self._settings.request_headers)

        def post(seconds_left: float) -> Answer:
            # A later attempt that is lost may have been carried out.
            self.answers.pop(probe.name, None)
            answer = self._transport.send(headers, content, self._settings.timeout, seconds_left)
            self.answers[probe.name] = answer
            return answer

        steps = plan(self._settings, self._settings.total_timeout, created_from_answer)
        with suppress(OutcomeUnknownError):
            try:
                deliver(steps, post, time.sleep)
            except AnswerError as error:
                if isinstance(error, RateLimitedError):
                    raise
        return self.answers.get(probe.name)


def _record(answers: Mapping[str, Answer], folder: Path, source: RecordedFrom) -> None:
    for probe in PROBES:
        if answer := answers.get(probe.name):
            exchange = (*probe.request(MADE_UP, SHOWN_HEADERS), answer)
            try:
                text = cassette_of([exchange], source)
                (folder / f"{probe.name}.yaml").write_text(text, "utf-8")
            except OSError as error:
                said = f"--record: {probe.name}.yaml cannot be written ({error.strerror})"
                complain("stoqapp verify", said)


def _report(log: Log, reason: str, values: Values, shop: str, expected: Values) -> dict[str, Any]:
    """Return the findings in values of JSON; they hold nothing of the customer's."""
    explained = explanation(log, values, shop, expected)
    best = {**expected, **explained}
    assume = {name: value for name, value in best.items() if str(value) != DEFAULTS[name]}
    options = [f"--assume {name}={value}" for name, value in assume.items()]
    lacking = {one.name: f"it needs --{one.needs}" for one in PROBES if one.lacks(values)}
    left = differences(log, values, shop, best)
    return {
        "answers": log.signs,
        "differences": differences(log, values, shop, expected),
        "explanation": explained,
        "unexplained": {n: ASSUMPTIONS[n].instead if n in ASSUMPTIONS else "" for n in left},
        "assume": assume,
        "command": " ".join(["stoqapp sandbox", *options]),
        "not_asked": {**NOT_ASKED, **lacking},
        "unanswered": [name for name, signs in log.signs.items() if not signs],
        "reason": reason,
    }


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    yield ""
    for name, signs in report["answers"].items():
        unlike = report["differences"].get(name, {})
        told = [f"{sign} {ours} (sandbox: {theirs})" for sign, (ours, theirs) in unlike.items()]
        alike = f"{signs.get('status', '')} as the sandbox" if signs else "no answer"
        yield _wrapped(f"{name:16} {'; '.join(told) or alike}")
    for name, reason in report["not_asked"].items():
        yield _wrapped(f"{name:16} not asked: {reason}")
    if report["reason"]:
        yield _wrapped(f"The run ended early: {report['reason']}.")
    for name, instead in report["unexplained"].items():
        yield _wrapped(f"No switch of the sandbox explains {name}. {instead}")
    if report["answers"]:
        yield f"The sandbox that answers most alike: {report['command']}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _shown(answers: Mapping[str, Answer], values: Values) -> Iterator[str]:
    yield "\nWhat the service said, with your values replaced. Look before you pass it on:"
    for name, answer in answers.items():
        for message in dict.fromkeys(messages_in(answer.body)):
            for kind in ("email", "phone"):
                if value := values[kind]:
                    message = re.sub(re.escape(value), f"<{kind}>", message, flags=re.IGNORECASE)
            yield f"  {name}: {message!r}"
