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
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp import Stoq, check
from stoqapp.errors import Answer, AnswerError, ConfigurationError, InvalidIntentError, StoqError
from stoqapp.inputs import prepare
from stoqapp.readers import country_from
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.spec import BASE_URL, SPEC
from stoqapp.terminal import agreed
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import SHOP, SHOWN_HEADERS, cassette_of

CASSETTES: Final = Path(__file__).resolve().parent.parent / "tests" / "cassettes"
# The vendor's points, and a window that does not end between two requests of a scenario.
RATE_LIMIT: Final = (360, 86_400)
COMMAND: Final = ".venv/bin/python scripts/record_cassettes.py"
INTENT: Final = {
    "shopify_variant_id": 4711,
    "shopify_product_id": 42,
    "channel": "email",
    "quantity": 1,
    "source": "api",
}


@frozen(eq=False)
class Scenario:
    """A request and the answers to it; ``scenarios.toml`` explains the attributes."""

    name: str
    statuses: Sequence[int]
    wait: int | None = None
    is_live: bool = False
    intent: Mapping[str, Any] = field(factory=dict)
    customer: Mapping[str, Any] = field(factory=lambda: {"email": "ada@example.com"})
    product: Mapping[str, Any] | None = None

    def path_in(self, folder: Path) -> Path:
        """Return the scenario's cassette."""
        return folder / f"{self.name}.yaml"

    @property
    def body(self) -> dict[str, Any]:
        """The body as a dict, in the form that openapi.json asks for now."""
        customer = {
            name: country_from(value) if name == "country" else value
            for name, value in self.customer.items()
            if SPEC.field(f"customer.{name}")
        }
        body = {"intent": {**INTENT, **self.intent}, "customer": customer}
        return body | {"product": self.product} if self.product else body

    @property
    def request(self) -> CreateIntentRequest:
        """The body as a model of the generated client."""
        return CreateIntentRequest.from_dict(self.body)

    def prepare(self, sandbox: Sandbox) -> None:
        """Bring *sandbox* into the state in which it answers so."""
        if 200 in self.statuses:
            with _client(SHOP, sandbox.base_url) as stoq:
                stoq.create_intent(self.request)
        for status in {*self.statuses} - {200, 201}:
            sandbox.fail_next(status, retry_after=self.wait)

    def request_for(self, customer: Mapping[str, str]) -> CreateIntentRequest | None:
        """Return the request for a real customer; None if it cannot be sent for this one."""
        channel = self.body["intent"]["channel"]
        contact = CONTACT_OF_CHANNEL[channel]
        if not self.is_live or not customer[contact]:
            return None
        given: dict[str, Any] = {name: customer[name] for name in ("variant", "product", contact)}
        body = prepare(channel=channel, **given).body
        if broken := check(body):
            raise InvalidIntentError(broken)
        return CreateIntentRequest.from_dict(body)


_TABLE: Final = Path(__file__).with_name("scenarios.toml").read_text("utf-8")
SCENARIOS: Final = [Scenario(name, **row) for name, row in tomllib.loads(_TABLE).items()]


def _answer(stoq: Stoq, request: CreateIntentRequest) -> Answer:
    """Return the answer; raise StoqError where none came."""
    try:
        return stoq.create_intent(request).answer
    except AnswerError as error:
        if error.answer is None:
            raise
        return error.answer


def was_live(path: Path) -> bool:
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
    option = parser.add_argument
    option("names", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    option("--into", type=Path, default=CASSETTES, metavar="FOLDER", help="another folder")
    option("--yes", action="store_true", help="do not ask")
    option("--keep-live", action="store_true", help="leave live recordings as they are")
    option("--live", action="store_true", help="record from the real service")
    option("--shop", help="with --live: the shop")
    option("--variant", help="with --live: number of a sold-out variant")
    option("--product", help="with --live: number of its product")
    option("--email", help="with --live: the customer's address")
    option("--phone", help="with --live: the customer's number, with + and country code")
    option("--push", help="with --live: the customer's push token")
    option("--base-url", default=BASE_URL, help="with --live: the API to ask")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no scenario is named {', '.join(sorted(unknown))}: see --help")
    if arguments.live and None in (arguments.shop, arguments.variant, arguments.product):
        parser.error("--live needs --shop, --variant and --product")
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (arguments.names or names)]
    if arguments.keep_live:
        chosen = [scenario for scenario in chosen if not was_live(scenario.path_in(arguments.into))]
    try:
        arguments.into.mkdir(parents=True, exist_ok=True)
        if arguments.live:
            with _client(arguments.shop, arguments.base_url) as stoq:
                return record(chosen, stoq, None, arguments)
        with Sandbox(rate_limit=RATE_LIMIT) as sandbox, _client(SHOP, sandbox.base_url) as stoq:
            return record(chosen, stoq, sandbox, arguments)
    except (ConfigurationError, InvalidIntentError, OSError) as error:
        parser.error(str(error))


def record(
    chosen: Sequence[Scenario], stoq: Stoq, sandbox: Sandbox | None, options: argparse.Namespace
) -> int:
    """Record the chosen scenarios and return the exit code; without a sandbox, live."""
    requests = {one: one.request if sandbox else one.request_for(vars(options)) for one in chosen}
    live = [one.name for one in chosen if was_live(one.path_in(options.into))]
    question = f"This replaces live recordings: {', '.join(live)}. Go on?" if live else ""
    if not sandbox:
        question = f"This puts the customer on real waitlists of {stoq.shop}. Go on?"
    if question and not options.yes and not agreed(COMMAND, question):
        return 2
    code = 0
    for scenario, sent in requests.items():
        if sent is None:
            print(f"{scenario.name}: left as it is (no contact for it, or only the sandbox can)")
            continue
        try:
            if sandbox:
                sandbox.reset()
                scenario.prepare(sandbox)
            elif 200 in scenario.statuses:
                _answer(stoq, sent)
            answers = [_answer(stoq, sent) for _ in scenario.statuses]
        except StoqError as error:
            problem = str(error)
        else:
            expected, answered = scenario.statuses, [answer.status for answer in answers]
            problem = "" if answered == expected else f"answered {answered}, not {expected}"
        if problem:
            print(f"{scenario.name}: {problem}; its cassette stays as it was", file=sys.stderr)
            code = 1
            continue
        body = json.dumps(scenario.body, separators=(",", ":")).encode()
        exchanges = [(SHOWN_HEADERS, body, answer) for answer in answers]
        text = cassette_of(exchanges, "sandbox" if sandbox else "live")
        scenario.path_in(options.into).write_text(text, "utf-8")
        print(f"{scenario.name}: recorded")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
