"""Record anew the HTTP cassettes that the tests replay.

By default the embedded sandbox answers every scenario, with the production URL in the cassette.
With --live the real service is asked, which takes a shop: the intents are really created, for the
customer that you name. Each cassette says in its metadata which of the two it was.

Of the request nothing is kept but what the scenario itself holds; of the answer, what has a form
that stoqapp_sandbox.cassettes knows, also of its texts. What the service said besides is on the
terminal, with --show-answers; a sentence that names nobody can be added to KNOWN_TEXTS there.

exit codes: 0 recorded; 1 an answer was not the expected one, and that cassette stays as it was;
2 usage, or nobody agreed to record live
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoqapp import (
    Answer,
    AnswerError,
    ConfigurationError,
    InvalidIntentError,
    Stoq,
    StoqError,
    check,
)
from stoqapp.body import body_from_request
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.settings import BASE_URL
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import SHOP, RecordedFrom, ShownRequest, recording

CASSETTES: Final = Path(__file__).resolve().parent.parent / "tests" / "cassettes"
COMMAND: Final = ".venv/bin/python scripts/record_cassettes.py"

# One request, one answer, sent at once: a cassette holds what the service said, not what the
# client then did about it.
AS_IT_COMES: Final[dict[str, Any]] = {"max_retries": 0, "budget": None}


@frozen
class Scenario:
    """One exchange with the service.

    Attributes:
        name: Of the scenario and its cassette.
        request: What is sent.
        status: What it is answered.
        forced: What the sandbox is told to answer first: status and headers of each.
        live: Whether the real service can be brought to this answer by a few harmless requests.
        repeated: Whether the request is sent once before, unrecorded.
        options: Of the client that sends it, where it is to retry.
    """

    name: str
    request: CreateIntentRequest
    status: int
    forced: tuple[tuple[int, Mapping[str, str]], ...] = ()
    live: bool = True
    repeated: bool = False
    options: Mapping[str, Any] = field(factory=dict)

    @property
    def path(self) -> Path:
        """The scenario's cassette."""
        return CASSETTES / f"{self.name}.yaml"


def _request(channel: Any, **contact: Any) -> CreateIntentRequest:
    intent = NewIntent(4711, 42, channel, quantity=1, source="api")
    return CreateIntentRequest(intent=intent, customer=Customer(**contact))


def _every_field() -> CreateIntentRequest:
    request = _request("sms", email="ada@example.com", phone="15550109999", push="push-token")
    request.intent = evolve(request.intent, shopify_market_id=7, quantity=2)
    request.customer = evolve(
        request.customer,
        id="1",
        name="Ada Example",
        country_code="1",
        country="us",
        accepts_marketing=True,
        locale="en",
        shopify_market_id=7,
        shopify_customer_id="815",
    )
    request.product = Product(
        variant_count=3, title="Lamp", variant_title="Blue", vendor="Example", sku="LAMP-BLUE"
    )
    return request


_BY_EMAIL: Final = _request("email", email="ada@example.com")

SCENARIOS: Final = (
    Scenario("created_by_email", _BY_EMAIL, 201),
    Scenario("created_by_sms", _request("sms", phone="15550109999"), 201),
    Scenario("created_by_push", _request("push", push="push-token"), 201),
    Scenario("created_with_every_field", _every_field(), 201, live=False),
    Scenario("duplicate", _BY_EMAIL, 200, repeated=True),
    Scenario("bad_request", _BY_EMAIL, 400, forced=((400, {}),), live=False),
    Scenario("unauthorized", _BY_EMAIL, 401, forced=((401, {}),), live=False),
    Scenario("not_found", _BY_EMAIL, 404, forced=((404, {}),), live=False),
    Scenario("rate_limited", _BY_EMAIL, 429, forced=((429, {}),), live=False),
    Scenario("server_error", _BY_EMAIL, 500, forced=((500, {}),), live=False),
    Scenario("unavailable", _BY_EMAIL, 503, forced=((503, {}),), live=False),
    Scenario(
        "rate_limited_then_created",
        _BY_EMAIL,
        201,
        forced=((429, {"Retry-After": "7"}),),
        live=False,
        options={"max_retries": 1},
    ),
    Scenario(
        "unavailable_then_created",
        _BY_EMAIL,
        201,
        forced=((503, {"Retry-After": "3"}),),
        live=False,
        options={"max_retries": 1},
    ),
    Scenario(
        "unknown_then_duplicate",
        _BY_EMAIL,
        200,
        forced=((502, {}),),
        live=False,
        repeated=True,
        options={"max_retries": 1, "retry_unknown": True},
    ),
)


def record(
    scenario: Scenario,
    stoq: Stoq,
    sent: CreateIntentRequest,
    recorded_from: RecordedFrom,
    path: Path,
    sandbox: Sandbox | None = None,
    *,
    show_answers: bool = False,
) -> int | None:
    """Send *sent* for *scenario*, and keep the exchange at *path* if the answer is the expected.

    Args:
        scenario: What the cassette will say was sent.
        stoq: The client to send with.
        sent: What is really sent.
        recorded_from: What the cassette says of itself.
        path: The cassette.
        sandbox: What to tell the forced answers, where it is the one that is asked.
        show_answers: Whether to print the answer as it came, which may repeat what was sent.

    Returns:
        The status of the answer; None where none came.
    """
    if scenario.repeated:
        _answer_to(stoq, sent)
    if sandbox is not None:
        for forced, headers in scenario.forced:
            sandbox.fail_next(forced, headers=headers)
    client = stoq.with_options(**scenario.options)
    # What the client waits for between attempts is not in the cassette.
    client._sleep = lambda _: None
    body = body_from_request(scenario.request)
    shown = ShownRequest(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
    with recording(shown, recorded_from) as recorded:
        answer = _answer_to(client, sent)
    if answer is None:
        return None
    if show_answers:
        _show(scenario.name, answer)
    if answer.status == scenario.status:
        recorded.save(path)
        if recorded.has_gaps and not show_answers:
            print(f"{scenario.name}: parts of no known form left out; see --show-answers")
    return answer.status


def _answer_to(stoq: Stoq, request: CreateIntentRequest) -> Answer | None:
    try:
        return stoq.create_intent(request).answer
    except AnswerError as error:
        return error.answer
    except StoqError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return None


def _show(name: str, answer: Answer) -> None:
    print(f"{name}: answered {answer.status}, as it came:")
    for header, value in answer.headers.items():
        print(f"  {header}: {value!r}")
    print(f"  {answer.body.decode('utf-8', 'replace')!r}")


def _record_from_sandbox(scenarios: Iterable[Scenario], arguments: argparse.Namespace) -> bool:
    expected = True
    with Sandbox() as sandbox, Stoq(SHOP, base_url=sandbox.base_url, **AS_IT_COMES) as stoq:
        for scenario in scenarios:
            sandbox.reset()
            status = record(
                scenario,
                stoq,
                scenario.request,
                "sandbox",
                scenario.path,
                sandbox,
                show_answers=arguments.show_answers,
            )
            expected &= _report(scenario, status)
    return expected


def _live_requests(
    scenarios: Iterable[Scenario], arguments: argparse.Namespace
) -> list[tuple[Scenario, CreateIntentRequest]]:
    """Return what is to be sent for each scenario that can be recorded live; tell of the others.

    Raises:
        InvalidIntentError: A rule is broken by what the command line gives.
    """
    requests = []
    for scenario in scenarios:
        channel = scenario.request.intent.channel
        contact = CONTACT_OF_CHANNEL[channel]
        given = getattr(arguments, contact)
        if not scenario.live or given is None:
            reason = "only the sandbox can" if not scenario.live else f"no --{contact} given"
            print(f"{scenario.name}: left as it is ({reason})")
            continue
        request = _request(channel, **{contact: given})
        request.intent.shopify_variant_id = arguments.variant
        request.intent.shopify_product_id = arguments.product
        if broken := check(request):
            raise InvalidIntentError(broken)
        requests.append((scenario, request))
    return requests


def _record_live(
    stoq: Stoq,
    requests: Iterable[tuple[Scenario, CreateIntentRequest]],
    arguments: argparse.Namespace,
) -> bool:
    expected = True
    for scenario, sent in requests:
        status = record(
            scenario, stoq, sent, "live", scenario.path, show_answers=arguments.show_answers
        )
        expected &= _report(scenario, status)
    return expected


def _agreed(shop: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        print(f"{COMMAND}: no terminal to ask at: give --yes to record", file=sys.stderr)
        return False
    print(f"This puts the customer on real waitlists of {shop}. Go on? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == "y"


def _report(scenario: Scenario, status: int | None) -> bool:
    if status == scenario.status:
        print(f"{scenario.name}: recorded, {status}")
        return True
    print(
        f"{scenario.name}: answered {status} where {scenario.status} was expected; its cassette"
        " stays as it was",
        file=sys.stderr,
    )
    return False


def main(argv: Sequence[str] | None = None) -> int:
    """Record what *argv* names and return the exit code."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--show-answers",
        action="store_true",
        help="print each answer as it came, which may repeat the customer's data",
    )
    parser.add_argument("--live", action="store_true", help="record against the real service")
    parser.add_argument("--yes", action="store_true", help="with --live: do not ask")
    parser.add_argument("--shop", help="with --live: the shop")
    parser.add_argument("--variant", type=int, help="with --live: number of a sold-out variant")
    parser.add_argument("--product", type=int, help="with --live: number of its product")
    parser.add_argument("--email", help="with --live: the customer's address")
    parser.add_argument("--phone", help="with --live: the customer's number, digits alone")
    parser.add_argument("--push", help="with --live: the customer's push token")
    parser.add_argument("--base-url", default=BASE_URL, help="with --live: the API to ask")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no scenario is named {', '.join(sorted(unknown))}: see --help")
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (arguments.names or names)]
    if arguments.live and None in (arguments.shop, arguments.variant, arguments.product):
        parser.error("--live needs --shop, --variant and --product")
    try:
        if not arguments.live:
            return 0 if _record_from_sandbox(chosen, arguments) else 1
        requests = _live_requests(chosen, arguments)
        with Stoq(arguments.shop, base_url=arguments.base_url, **AS_IT_COMES) as stoq:
            if not arguments.yes and not _agreed(stoq.shop):
                return 2
            return 0 if _record_live(stoq, requests, arguments) else 1
    except (ConfigurationError, InvalidIntentError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
