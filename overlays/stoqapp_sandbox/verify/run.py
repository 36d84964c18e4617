"""A run of ``stoqapp verify``: tell the plan, ask, send the probes, tell what differs."""

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from stoqapp.errors import Answer, InvalidIntentError, OutcomeUnknownError, StoqError
from stoqapp.http.transport import Transport
from stoqapp.inputs import INPUTS, prepare
from stoqapp.rules import check, fields_of
from stoqapp.settings import Settings
from stoqapp.spec import BASE_URL, INTENTS_PATH
from stoqapp.terminal import agreed, complain, mention, show
from stoqapp_sandbox.answers import messages_in
from stoqapp_sandbox.assumptions import ASSUMPTIONS, DEFAULTS, Assumptions
from stoqapp_sandbox.cassettes import SHOWN_HEADERS, RecordedFrom, cassette_of
from stoqapp_sandbox.verify.command import GIVEN
from stoqapp_sandbox.verify.probes import MADE_UP, NOT_ASKED, PROBES, Probe, Values
from stoqapp_sandbox.verify.replay import Log, Traits, differences, explanation, replayed

_DEVIATES, _NOTHING_SENT, _REFUSED, _NOT_SENT, _UNANSWERED, _LIMITED = 1, 2, 3, 4, 5, 6
_INTERRUPTED: Final = 130
_MOST_LOST: Final = 3
_WIDTH: Final = 100
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
        OSError: A cassette, or the folder for them, cannot be written.
    """
    # The vendor documents that points count; the sandbox does not count them by default.
    expected = {"rate_enforced": "yes", **dict(arguments.assume)}
    Assumptions.of(expected)
    settings = Settings(shop=arguments.shop, base_url=arguments.base_url, timeout=arguments.timeout)
    given = {name: getattr(arguments, name) for name in GIVEN}
    body = prepare(channel="email", **given).body
    if violations := check(body):
        raise InvalidIntentError(violations)
    values = {name: fields_of(body).get(INPUTS[name].path) for name in GIVEN}
    if arguments.record:
        cassette_of([], "sandbox")
        Path(arguments.record).mkdir(parents=True, exist_ok=True)
    lacking = {one.name: one.needs for one in PROBES if one.needs and values[one.needs] is None}
    probes = [probe for probe in PROBES if probe.name not in lacking]
    aside = mention if arguments.json else show
    where = f"{settings.base_url} for {settings.shop}"
    aside(f"{len(probes)} requests will be sent to {where}, in this order:")
    for probe in probes:
        aside(_wrapped(f"  {probe.name}: {probe.asks}; leaves {probe.leaves}"))
    aside(_wrapped(_LEFT))
    if not arguments.yes and not agreed("stoqapp verify", "Send them?"):
        complain("stoqapp verify", "nothing was sent")
        return _NOTHING_SENT
    log = Log()
    code, reason = _sent(probes, values, settings, log)
    report = _report(log, values, settings.shop, expected) | {
        "not_asked": NOT_ASKED | {name: f"it needs --{needs}" for name, needs in lacking.items()},
        "reason": reason,
    }
    show(json.dumps(report, indent=2) if arguments.json else "\n".join(_lines(report)))
    if arguments.show_words:
        aside("\n".join(_words(log.answers, values)))
    if arguments.record:
        source: RecordedFrom = "live" if settings.base_url == BASE_URL else "sandbox"
        for probe in [probe for probe in PROBES if probe.name in log.answers]:
            exchange = (*probe.request(MADE_UP, SHOWN_HEADERS), log.answers[probe.name])
            path = Path(arguments.record, f"{probe.name}.yaml")
            path.write_text(cassette_of([exchange], source), "utf-8")
    if report["differences"] and code != _INTERRUPTED:
        return _DEVIATES
    return code or (_UNANSWERED if report["unanswered"] else 0)


def _sent(probes: Sequence[Probe], values: Values, settings: Settings, log: Log) -> tuple[int, str]:
    """Send *probes*, each once. Return an exit code and the reason if the run ended early."""
    try:
        with closing(Transport(settings.base_url + INTENTS_PATH, settings.http)) as transport:
            for probe in probes:
                known = {**values, "customer_id": log.customer_id}
                request = probe.request(known, settings.request_headers)
                status = 0
                with suppress(OutcomeUnknownError):
                    answer = transport.send(*request, settings.timeout, settings.total_timeout)
                    log.answers[probe.name], status = answer, answer.status
                if status == HTTPStatus.TOO_MANY_REQUESTS:
                    return _LIMITED, "the service answered 429"
                is_judged = status // 100 in (2, 4)
                if probe is PROBES[0] and status != HTTPStatus.CREATED:
                    return (_REFUSED if is_judged else _UNANSWERED), _NO_INTENT
                log.add(probe, log.answers[probe.name] if is_judged else None)
                if not any([*log.traits.values()][-_MOST_LOST:]):
                    return _UNANSWERED, f"{_MOST_LOST} requests in a row went without an answer"
                if log.is_limit_near:
                    return _LIMITED, "less than a tenth of the shop's points is left in this window"
    except KeyboardInterrupt:
        return _INTERRUPTED, "interrupted"
    except StoqError as error:
        return _NOT_SENT, str(error)
    return 0, ""


def _report(log: Log, values: Values, shop: str, expected: Values) -> dict[str, Any]:
    """Return the findings in values of JSON; they hold nothing of the customer's."""
    answers = log.all_traits()

    @cache
    def replay(**assume: Any) -> Traits:
        return replayed(answers, values, shop, assume)

    explained = explanation(answers, expected, replay)
    best = {**expected, **explained}
    assume = {name: value for name, value in best.items() if str(value) != DEFAULTS[name]}
    options = [f"--assume {name}={value}" for name, value in assume.items()]
    unexplained = differences(answers, replay(**best))
    return {
        "answers": answers,
        "differences": differences(answers, replay(**expected)),
        "explanation": explained,
        "unexplained": {n: ASSUMPTIONS[n].instead if n in ASSUMPTIONS else "" for n in unexplained},
        "assume": assume,
        "command": " ".join(["stoqapp sandbox", *options]),
        "unanswered": [name for name, traits in answers.items() if not traits],
    }


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    yield ""
    for name, traits in report["answers"].items():
        unlike = report["differences"].get(name, {})
        told = [f"{trait} {ours} (sandbox: {theirs})" for trait, (ours, theirs) in unlike.items()]
        alike = f"{traits.get('status', '')} as the sandbox".strip() if traits else "no answer"
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


def _words(answers: Mapping[str, Answer], values: Values) -> Iterator[str]:
    yield "\nWhat the service said, with your values replaced. Look before you pass it on:"
    for name, answer in answers.items():
        for message in dict.fromkeys(messages_in(answer.body)):
            for kind in ("email", "phone"):
                if value := values[kind]:
                    message = re.sub(re.escape(value), f"<{kind}>", message, flags=re.IGNORECASE)
            yield f"  {name}: {message!r}"
