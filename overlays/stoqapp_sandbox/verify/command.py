"""The command ``stoqapp verify``: says what it will send, asks, sends, and tells what holds."""

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stoqapp.errors import ConfigurationError, InvalidIntentError, StoqError
from stoqapp.terminal import complain, mention, show

if TYPE_CHECKING:
    from stoqapp_sandbox.verify.probes import Probe, Subject
    from stoqapp_sandbox.verify.report import Report
    from stoqapp_sandbox.verify.worlds import Heard

    Sending = Callable[[], Heard | None]
    Keep = Callable[[Probe, int, Sending], Heard | None]

HOLDS: Final = 0
DEVIATES: Final = 1
NOT_ASKED: Final = 2
INTERRUPTED: Final = 130
_CODE_OF_END: Final = {
    "refused": 3,
    "not sent": 4,
    "unknown": 5,
    "rate limited": 6,
    "interrupted": INTERRUPTED,
}
_UNANSWERED: Final = _CODE_OF_END["unknown"]
_WIDTH: Final = 100
# RFC 2606, without example.org, which our own examples give to the customer.
_RESERVED: Final = ("example", "test", "invalid", "example.net")
_UNFINISHED: Final = ".stoqapp-verify"

_EXIT_CODES: Final = """\
exit codes:
  0    all that could be told holds
  1    something does not hold: a finding, not a failure
  2    usage, or nobody agreed: nothing was sent
  3    the service refused the first request, on which all else builds
  4    not sent: no connection came about
  5    some requests went without an answer, or with one that tells nothing (5xx, a redirect);
       what could be told holds
  6    rate limited before the end; what could be told holds
  130  interrupted; what was known so far was printed
"""


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of ``stoqapp``; its arguments name `run` as ``run``."""
    parser = commands.add_parser(
        "verify",
        help="ask the real service whether it does what the sandbox does",
        description="Ask the service, with some twenty requests, whether it does what the sandbox"
        " takes for granted. Says first what it will send, and asks. Needs the extra:"
        " pip install 'stoqapp[sandbox]'.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--shop", help="the shop: demo, demo.myshopify.com or URL ($STOQ_SHOP)")
    parser.add_argument(
        "--variant",
        help="a sold-out variant on whose list you are not yet: number or global id (required)",
    )
    parser.add_argument("--product", help="its product, likewise (required)")
    parser.add_argument("--email", help="an address of yours, which goes on the list (required)")
    parser.add_argument("--phone", help="a number of yours, with + and country code")
    parser.add_argument("--push", help="a push token of yours")
    parser.add_argument("--market", help="a market of the shop: number or global id")
    parser.add_argument("--base-url", help="where the API is ($STOQ_BASE_URL)")
    parser.add_argument("--timeout", metavar="SECONDS", help="time to wait ($STOQ_TIMEOUT)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="send only this probe, and those that it builds on; may be given several times;"
        " --only list prints them",
    )
    parser.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=CHOICE",
        help="expect something else than the sandbox does by default, like duplicate=409; may be"
        " given several times; --assume list prints what there is",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask, send")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the findings as one JSON object; where one has a bound, like below 100, the"
        " numbers in seen and in the sandbox's command only stand for that",
    )
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="keep what is answered there, as cassettes that hold nobody's data (needs the extra"
        " [verify])",
    )
    parser.add_argument(
        "--show-words",
        action="store_true",
        help="print what the service says in words, with your values replaced; look before you"
        " pass it on, since it may name people in other ways",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the service and return the exit code."""
    if "list" in arguments.only:
        show("\n".join(_listed_probes()))
        return HOLDS
    if "list" in arguments.assume:
        from stoqapp_sandbox.command import listed_assumptions

        show(listed_assumptions())
        return HOLDS
    try:
        return _verify(arguments)
    except StoqError as error:
        complain("stoqapp verify", str(error))
        return NOT_ASKED


def _verify(arguments: argparse.Namespace) -> int:
    from stoqapp.http.options import HttpOptions
    from stoqapp.http.transport import Transport
    from stoqapp.log import log_as_environment_says
    from stoqapp.settings import Settings, base_url_from
    from stoqapp.spec import INTENTS_PATH
    from stoqapp_sandbox import Assumptions
    from stoqapp_sandbox.command import assumed_from
    from stoqapp_sandbox.verify.report import report_of
    from stoqapp_sandbox.verify.run import Inquiry, sender
    from stoqapp_sandbox.verify.worlds import check_installed

    log_as_environment_says()
    check_installed()
    expected = Assumptions.of(assumed_from(arguments.assume))
    settings = Settings(
        shop=arguments.shop,
        base_url=base_url_from(arguments.base_url, HttpOptions()),
        timeout=arguments.timeout,
    )
    subject = _subject_from(arguments, settings.request_headers)
    probes, skipped = _chosen(arguments.only, subject)
    keep = _keeper(arguments.record, settings.base_url)
    aside = mention if arguments.json else show
    aside("\n".join(_plan(probes, settings.shop, settings.base_url)))
    if not arguments.yes and not _agreed(aside):
        complain("stoqapp verify", "nothing was sent")
        return NOT_ASKED
    words: dict[str, list[str]] = {}

    def keep_words(probe: "Probe", number: int, send: "Sending") -> "Heard | None":
        heard = keep(probe, number, send)
        if heard:
            words.setdefault(probe.name, []).extend(heard.messages)
        return heard

    with closing(Transport(settings.base_url + INTENTS_PATH, settings.http)) as transport:
        inquiry = Inquiry(subject, expected, sender(settings, transport), skipped=skipped)
        inquiry.go_through(probes, keep_words)
    report = report_of(inquiry)
    show(json.dumps(report.as_json(), indent=2) if arguments.json else _text(report))
    if arguments.show_words:
        aside("\n".join(_shown_words(words, subject)))
    return _code_of(report)


def _text(report: "Report") -> str:
    return "\n".join(["", *report.lines()])


def _code_of(report: "Report") -> int:
    if report.end in ("interrupted", "refused"):
        return _CODE_OF_END[report.end]
    if report.deviates:
        return DEVIATES
    if report.end:
        return _CODE_OF_END[report.end]
    unanswered = any(finding.verdict == "no answer" for finding in report.findings)
    return _UNANSWERED if unanswered or report.unanswered else HOLDS


def _subject_from(arguments: argparse.Namespace, headers: Mapping[str, str]) -> "Subject":
    """Return on whose behalf is asked, each value in the API's form.

    Raises:
        InvalidIntentError: A value is unusable or breaks a rule.
        ConfigurationError: The address is at a domain for tests.
    """
    from stoqapp.inputs import prepare
    from stoqapp.rules import check
    from stoqapp_sandbox.verify.probes import Subject

    needed = ("variant", "product", "email")
    if missing := [f"--{name}" for name in needed if getattr(arguments, name) is None]:
        raise ConfigurationError(f"nothing was sent: give {', '.join(missing)}")
    prepared = prepare(
        variant=arguments.variant,
        product=arguments.product,
        email=arguments.email,
        phone=arguments.phone,
        push=arguments.push,
        market=arguments.market,
        channel="email",
    )
    if violations := check(prepared.body):
        raise InvalidIntentError(violations)
    intent, customer = prepared.body["intent"], prepared.body["customer"]
    _check_reachable(customer["email"])
    return Subject(
        headers,
        intent["shopify_variant_id"],
        intent["shopify_product_id"],
        customer["email"],
        customer.get("phone"),
        customer.get("push"),
        intent.get("shopify_market_id"),
    )


def _check_reachable(email: str) -> None:
    """Raise ConfigurationError where nobody can be reached at *email*.

    The service might put it on the list all the same.
    """
    from stoqapp_sandbox.service import TEST_DOMAINS

    domain = email.partition("@")[2].lower().rstrip(".")
    if f".{domain}".endswith(tuple(f".{name}" for name in (*TEST_DOMAINS, *_RESERVED))):
        raise ConfigurationError(
            "nothing was sent: --email is at a domain for tests, where nobody is reached, or which"
            " the vendor is known to block elsewhere; give an address of yours"
        )


def _chosen(only: Sequence[str], subject: "Subject") -> "tuple[list[Probe], dict[str, str]]":
    """Return the probes to send, and for each other one why it is not sent.

    Raises:
        ConfigurationError: A name is none of a probe, or nothing would be sent.
    """
    from stoqapp_sandbox.verify.probes import PROBES

    by_name = {probe.name: probe for probe in PROBES}
    if unknown := [name for name in only if name not in by_name]:
        raise ConfigurationError(
            f"no probe has the name given as --only ({len(unknown)} unknown): there are"
            f" {', '.join(by_name)}"
        )
    wanted = {needed for name in only for needed in (name, *by_name[name].needs)}
    chosen, skipped = [], {}
    for probe in PROBES:
        if only and probe.name not in wanted:
            skipped[probe.name] = f"probe {probe.name} is not among --only"
        elif lacking := probe.lacks(subject):
            skipped[probe.name] = f"probe {probe.name} needs {lacking}"
        elif probe.burdens and not only:
            skipped[probe.name] = probe.burdens
        else:
            chosen.append(probe)
    if unfit := [skipped[name] for name in only if name in skipped]:
        raise ConfigurationError(f"nothing was sent: {'; '.join(unfit)}")
    return chosen, skipped


def _keeper(given: str | None, base_url: str) -> "Keep":
    """Return what lets a request be sent, and keeps what is answered where that was asked for.

    Raises:
        RecorderNotInstalledError: The extra ``[verify]`` is not installed.
        ConfigurationError: *given* names no folder, or one that cannot be written to.
    """
    from stoqapp.spec import BASE_URL
    from stoqapp_sandbox.cassettes import RecordedFrom, recording
    from stoqapp_sandbox.verify.probes import shown

    if given is None:
        return lambda _probe, _number, send: send()
    if not given.strip():
        raise ConfigurationError("--record: name a folder; nothing was sent")
    folder, is_writable = Path(given), True
    source: RecordedFrom = "live" if base_url == BASE_URL else "sandbox"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Also finds out now, and not after the first request, whether there is a recorder.
        with recording(folder / _UNFINISHED, b"", source):
            pass
        (folder / _UNFINISHED).write_bytes(b"")
        (folder / _UNFINISHED).unlink()
    except OSError as error:
        raise ConfigurationError(
            f"--record: nothing can be written there ({error.strerror}); nothing was sent"
        ) from None

    def keep(probe: "Probe", number: int, send: "Sending") -> "Heard | None":
        nonlocal is_writable
        made_up = shown(probe.asks[number - 1])
        headers = {name.lower(): value for name, value in made_up.headers.items()}
        if not is_writable:
            return send()
        name, unfinished = f"{probe.name}-{number}.yaml", folder / _UNFINISHED
        heard = None
        try:
            with recording(unfinished, made_up.content, source, headers):
                heard = send()
            if heard:
                unfinished.replace(folder / name)
        except OSError as error:
            is_writable = False
            complain(
                "stoqapp verify",
                f"--record: {name} cannot be written ({error.strerror}); nothing more is recorded",
            )
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        return heard

    return keep


def _agreed(aside: Callable[[str, str], None]) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        aside("No terminal to ask at: give --yes to send them.", "\n")
        return False
    aside("Send them? [y/N] ", "")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _plan(probes: "Sequence[Probe]", shop: str, base_url: str) -> Iterator[str]:
    requests = sum(len(probe.asks) for probe in probes)
    yield f"{requests} requests will be sent to {base_url} for {shop}, in turn:"
    for probe in probes:
        yield from textwrap.wrap(
            f"{probe.name}: {probe.says}; leaves {probe.leaves}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    yield from textwrap.wrap(
        "What is left is on the waitlist of the variant that you gave, for the customer that you"
        " gave. Creating an entry sends the customer nothing; restocking the variant does. To"
        " remove it afterwards, delete this customer's requests for the variant in the STOQ app,"
        " in the shop's admin. Where one of your contacts waits for the variant already (an"
        " earlier run counts), findings can be wrong: take another variant for each run.",
        _WIDTH,
    )


def _listed_probes() -> Iterator[str]:
    from stoqapp_sandbox.verify.probes import PROBES

    for probe in PROBES:
        yield f"{probe.name}: {probe.says}"
        told = ", ".join(sorted(probe.entries))
        yield from textwrap.wrap(
            f"tells of {told}", _WIDTH, initial_indent="    ", subsequent_indent="    "
        )


def _shown_words(words: Mapping[str, Sequence[str]], subject: "Subject") -> Iterator[str]:
    values = {"email": subject.email, "phone": subject.phone, "push": subject.push}
    yield ""
    yield "What the service said, with your values replaced. Look before you pass it on:"
    for name, messages in words.items():
        for message in dict.fromkeys(messages):
            for kind, value in values.items():
                if value:
                    message = re.sub(re.escape(value), f"<{kind}>", message, flags=re.IGNORECASE)
            yield f"  {name}: {message!r}"
