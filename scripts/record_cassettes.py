"""Record the HTTP cassettes that the tests replay.

Without --live, the sandbox answers, and the cassettes show the production URL. With --live, the
real service answers: the intents are really created, for the customer that you give. A cassette
says in its metadata which of the two answered. It shows the scenario's made-up request, never the
one that was sent; stoqapp_sandbox.cassettes lists what it keeps of an answer.

exit codes: 0 recorded; 1 an answer was not the expected one, so that cassette stays as it was;
2 usage, or you did not agree
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp import (
    Answer,
    AnswerError,
    ConfigurationError,
    InvalidIntentError,
    Stoq,
    StoqError,
    check,
)
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.spec import BASE_URL
from stoqapp.terminal import agreed
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import LEFT_OUT, SHOP, SHOWN_HEADERS, cassette_of

_COMMITTED: Final = Path(__file__).resolve().parent.parent / "tests" / "cassettes"
CASSETTES: Final = Path(os.environ.get("STOQAPP_CASSETTES", _COMMITTED))
# The vendor's points, and a window that does not end between two requests of a scenario.
RATE_LIMIT: Final = (360, 86_400)
COMMAND: Final = ".venv/bin/python scripts/record_cassettes.py"


@frozen
class Scenario:
    """A request and the answers to it.

    Attributes:
        name: Of the scenario and its cassette.
        body: The request that the cassette shows, sent once for each of *statuses*. If one is 200,
            it is also sent once before, unrecorded, so that it is a duplicate.
        statuses: The expected answers. The sandbox is told to give any other than 200 and 201.
        wait: The seconds in the Retry-After header of such an answer.
    """

    name: str
    body: Mapping[str, Any]
    statuses: tuple[int, ...]
    wait: int | None = None

    @property
    def path(self) -> Path:
        """The scenario's cassette."""
        return CASSETTES / f"{self.name}.yaml"

    @property
    def request(self) -> CreateIntentRequest:
        """The body as a model of the generated client."""
        return CreateIntentRequest.from_dict(self.body)

    @property
    def is_live(self) -> bool:
        """Whether the real service gives these answers to one customer's few requests."""
        return {*self.statuses} <= {200, 201} and "product" not in self.body

    def prepare(self, sandbox: Sandbox) -> None:
        """Bring *sandbox* into the state in which it answers so."""
        if 200 in self.statuses:
            with _client(SHOP, sandbox.base_url) as stoq:
                stoq.create_intent(self.request)
        headers = {"Retry-After": str(self.wait)} if self.wait else {}
        limited = {"error": "Rate limit exceeded", "retry_after": self.wait}
        for status in {*self.statuses} - {200, 201}:
            if status == 429:
                sandbox.fail_next(status, headers=headers, body=limited)
            else:
                sandbox.fail_next(status, headers=headers)


def _body(channel: str, **customer: Any) -> dict[str, Any]:
    intent = {"shopify_variant_id": 4711, "shopify_product_id": 42, "channel": channel}
    return {"intent": intent | {"quantity": 1, "source": "api"}, "customer": customer}


_BY_EMAIL: Final = _body("email", email="ada@example.com")
_EVERY_FIELD: Final = {
    "intent": _body("sms")["intent"] | {"shopify_market_id": 7, "quantity": 2},
    "customer": {
        "id": "1",
        "name": "Ada Example",
        "email": "ada@example.com",
        "phone": "15550109999",
        "push": "push-token",
        "country_code": "1",
        "country": "us",
        "accepts_marketing": True,
        "locale": "en",
        "shopify_market_id": 7,
        "shopify_customer_id": "815",
    },
    "product": {
        "variant_count": 3,
        "title": "Lamp",
        "variant_title": "Blue",
        "vendor": "Example",
        "sku": "LAMP-BLUE",
    },
}

SCENARIOS: Final = (
    Scenario("created_by_email", _BY_EMAIL, (201,)),
    Scenario("created_by_sms", _body("sms", phone="15550109999"), (201,)),
    Scenario("created_by_push", _body("push", push="push-token"), (201,)),
    Scenario("created_with_every_field", _EVERY_FIELD, (201,)),
    Scenario("duplicate", _BY_EMAIL, (200,)),
    Scenario("bad_request", _BY_EMAIL, (400,)),
    Scenario("unauthorized", _BY_EMAIL, (401,)),
    Scenario("not_found", _BY_EMAIL, (404,)),
    Scenario("rate_limited", _BY_EMAIL, (429,), wait=7),
    Scenario("server_error", _BY_EMAIL, (500,)),
    Scenario("unavailable", _BY_EMAIL, (503,)),
    Scenario("rate_limited_then_created", _BY_EMAIL, (429, 201), wait=7),
    Scenario("unavailable_then_created", _BY_EMAIL, (503, 201), wait=3),
    Scenario("unknown_then_duplicate", _BY_EMAIL, (502, 200)),
)


def record(
    scenario: Scenario, sent: CreateIntentRequest, stoq: Stoq, sandbox: Sandbox | None
) -> bool:
    """Send *sent* and record the answers to the scenario's cassette, if all are as expected.

    *sandbox* is the one that answers; None where the real service does.
    """
    try:
        if sandbox:
            scenario.prepare(sandbox)
        elif 200 in scenario.statuses:
            _answer(stoq, sent)
        answers = [_answer(stoq, sent) for _ in scenario.statuses]
    except StoqError as error:
        print(f"{scenario.name}: {error}; its cassette stays as it was", file=sys.stderr)
        return False
    answered, expected = (
        " then ".join(map(str, statuses))
        for statuses in ([answer.status for answer in answers], scenario.statuses)
    )
    if answered != expected:
        said = f"answered {answered} where {expected} was expected"
        print(f"{scenario.name}: {said}; its cassette stays as it was", file=sys.stderr)
        return False
    body = json.dumps(scenario.body, separators=(",", ":")).encode()
    exchanges = [(SHOWN_HEADERS, body, answer) for answer in answers]
    text = cassette_of(exchanges, "sandbox" if sandbox else "live")
    scenario.path.write_text(text, "utf-8")
    print(f"{scenario.name}: recorded{f', with parts {LEFT_OUT}' if LEFT_OUT in text else ''}")
    return True


def _answer(stoq: Stoq, request: CreateIntentRequest) -> Answer:
    """Return the answer.

    Raises:
        StoqError: None came.
    """
    try:
        return stoq.create_intent(request).answer
    except AnswerError as error:
        if error.answer is None:
            raise
        return error.answer


def _request_for(scenario: Scenario, arguments: argparse.Namespace) -> CreateIntentRequest | None:
    """Return the scenario's request for the customer that was given; None without a contact.

    Raises:
        InvalidIntentError: A given value breaks a rule.
    """
    channel = scenario.body["intent"]["channel"]
    contact = CONTACT_OF_CHANNEL[channel]
    body = _body(channel, **{contact: getattr(arguments, contact)})
    body["intent"]["shopify_variant_id"] = arguments.variant
    body["intent"]["shopify_product_id"] = arguments.product
    if not scenario.is_live or body["customer"][contact] is None:
        reason = f"no --{contact} given" if scenario.is_live else "only the sandbox can"
        print(f"{scenario.name}: left as it is ({reason})")
        return None
    request = CreateIntentRequest.from_dict(body)
    if broken := check(request):
        raise InvalidIntentError(broken)
    return request


def _from_service(chosen: Sequence[Scenario], arguments: argparse.Namespace) -> int:
    requests = [(scenario, _request_for(scenario, arguments)) for scenario in chosen]
    with _client(arguments.shop, arguments.base_url) as stoq:
        question = f"This puts the customer on real waitlists of {stoq.shop}. Go on?"
        if not arguments.yes and not agreed(COMMAND, question):
            return 2
        recorded = [record(scenario, sent, stoq, None) for scenario, sent in requests if sent]
    return 0 if all(recorded) else 1


def _from_sandbox(chosen: Sequence[Scenario], arguments: argparse.Namespace) -> int:
    live = ", ".join(scenario.name for scenario in chosen if is_live(scenario.path))
    question = f"This replaces live recordings: {live}. Go on?"
    if live and not arguments.yes and not agreed(COMMAND, question):
        return 2
    recorded = []
    with Sandbox(rate_limit=RATE_LIMIT) as sandbox, _client(SHOP, sandbox.base_url) as stoq:
        for scenario in chosen:
            sandbox.reset()
            recorded.append(record(scenario, scenario.request, stoq, sandbox))
    return 0 if all(recorded) else 1


def is_live(path: Path) -> bool:
    """Return whether *path* is a cassette that was recorded from the real service."""
    return path.is_file() and "\n  recorded_from: live\n" in path.read_text("utf-8")


def _client(shop: str, base_url: str) -> Stoq:
    # A cassette holds what was answered, not what a client does about it.
    return Stoq(shop, base_url=base_url, max_retries=0, budget=None)


def main(argv: Sequence[str] | None = None) -> int:
    """Record what *argv* names and return the exit code."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--live", action="store_true", help="record from the real service")
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
    if arguments.live and None in (arguments.shop, arguments.variant, arguments.product):
        parser.error("--live needs --shop, --variant and --product")
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (arguments.names or names)]
    try:
        return (_from_service if arguments.live else _from_sandbox)(chosen, arguments)
    except (ConfigurationError, InvalidIntentError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    raise SystemExit(main())
