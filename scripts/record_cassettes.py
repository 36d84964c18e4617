"""Record anew the HTTP cassettes that the tests replay.

By default every scenario is recorded against the embedded sandbox, with the production URL in
the cassette. With --live it is recorded against the real service, for whoever has a shop: the
intents are really created, for the customer that you name. Each cassette says in its metadata
which of the two it was.

Nothing of the recorded exchange is kept unless it is on a list here: of the request, what the
scenario itself holds; of the answer, the status, the headers in KEPT_HEADERS and the fields in
KEPT_FIELDS.

exit codes: 0 recorded; 1 an answer was not the expected one, and that cassette stays as it was;
2 usage
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import vcr
from attrs import evolve, field, frozen
from vcr.record_mode import RecordMode
from vcr.request import Request

from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
from stoqapp import AnswerError, Stoq, StoqError
from stoqapp.rules import SHOP_HEADER
from stoqapp.sandbox import Sandbox
from stoqapp.settings import BASE_URL
from stoqapp.wire import INTENTS_PATH, body_from_request

CASSETTES: Final = Path(__file__).resolve().parent.parent / "tests" / "cassettes"
COMMAND: Final = ".venv/bin/python scripts/record_cassettes.py"
SHOP: Final = "stoqapp-demo.myshopify.com"

# One request, one answer, sent at once: a cassette holds what the service said, not what the
# client then did about it.
AS_IT_COMES: Final[dict[str, Any]] = {"max_retries": 0, "budget": None}

KEPT_HEADERS: Final = frozenset(
    {
        "content-type",
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    }
)
# Kept as they are: none of these tells who the customer is.
KEPT_FIELDS: Final = frozenset(
    {
        "channel",
        "quantity",
        "source",
        "type",
        "optin_confirmed",
        "accepts_marketing",
        "retry_after",
    }
)
# Kept by name, with these values put in place of what was answered, unless that was null.
REPLACED_FIELDS: Final[Mapping[str, object]] = {
    "id": "1",
    "customer_id": "1",
    "email": "ada@example.com",
    "phone": "15550109999",
    "push": "push-token",
    "name": "Ada Example",
    "shopify_variant_id": 4711,
    "shopify_product_id": 42,
    "shopify_market_id": 7,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
    "notified_at": "2026-01-01T00:00:00.000Z",
    "unsubscribed_at": "2026-01-01T00:00:00.000Z",
    "blocked_at": "2026-01-01T00:00:00.000Z",
}
TEXT_FIELDS: Final = frozenset({"errors", "error", "message"})
KEPT_NAMES: Final = KEPT_FIELDS | TEXT_FIELDS | REPLACED_FIELDS.keys() | {"intents"}


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


class _Scrubber:
    """Turns one recorded exchange into what may be kept of it."""

    def __init__(self, scenario: Scenario, sent: CreateIntentRequest) -> None:
        self._kept_body = _json_bytes(body_from_request(scenario.request))
        self._personal = {
            value
            for section in body_from_request(sent).values()
            for name, value in section.items()
            if isinstance(value, str) and name not in KEPT_FIELDS
        }

    def request(self, _: Request) -> Request:
        """Return the request as the scenario has it: nothing of what was really sent."""
        headers = {"content-type": "application/json", SHOP_HEADER.lower(): SHOP}
        return Request("POST", f"{BASE_URL}{INTENTS_PATH}", self._kept_body, headers)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """Return what may be kept of *response*."""
        headers = {
            name.lower(): values
            for name, values in response["headers"].items()
            if name.lower() in KEPT_HEADERS
        }
        try:
            body = _json_bytes(self._kept("", json.loads(response["body"]["string"])))
        except ValueError:
            body = b"(a body that is no JSON; not kept)"
        return {"status": response["status"], "headers": headers, "body": {"string": body}}

    def _kept(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._kept(key, item) for key, item in value.items() if key in KEPT_NAMES}
        if isinstance(value, list):
            return [self._kept(name, item) for item in value]
        if isinstance(value, str) and name in KEPT_FIELDS | TEXT_FIELDS:
            return self._text(value)
        if value is None or name in KEPT_FIELDS:
            return value
        return REPLACED_FIELDS.get(name)

    def _text(self, text: str) -> str:
        for value in sorted(self._personal, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "(removed)", text, flags=re.I)
        return re.sub(r"\S+@\S+|\+?\d[\d ().-]{5,}\d", "(removed)", text)


def _json_bytes(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def record(
    scenario: Scenario,
    stoq: Stoq,
    sent: CreateIntentRequest,
    recorded_from: str,
    path: Path,
    sandbox: Sandbox | None = None,
) -> int | None:
    """Send *sent* for *scenario*, and keep the exchange at *path* if the answer is the expected.

    Args:
        scenario: What the cassette will say was sent.
        stoq: The client to send with.
        sent: What is really sent.
        recorded_from: What the cassette says of itself, ``sandbox`` or ``live``.
        path: The cassette.
        sandbox: What to tell the forced answers, where it is the one that is asked.

    Returns:
        The status of the answer; None where none came.
    """
    scrubber = _Scrubber(scenario, sent)
    recorder = vcr.VCR(
        record_mode=RecordMode.ALL,
        before_record_request=scrubber.request,
        before_record_response=scrubber.response,
    )
    if scenario.repeated:
        _status_of(stoq, sent)
    if sandbox is not None:
        for forced, headers in scenario.forced:
            sandbox.fail_next(forced, headers=headers)
    client = stoq.with_options(**scenario.options)
    # What the client waits for between attempts is not in the cassette.
    client._sleep = lambda _: None
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / path.name
        with recorder.use_cassette(str(fresh)) as cassette:
            cassette.get_metadata("recorded_from", recorded_from)
            status = _status_of(client, sent)
        if status == scenario.status:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(fresh.read_bytes())
    return status


def _status_of(stoq: Stoq, request: CreateIntentRequest) -> int | None:
    try:
        return stoq.create_intent(request).answer.status
    except AnswerError as error:
        return error.status
    except StoqError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return None


def _record_from_sandbox(scenarios: Iterable[Scenario]) -> bool:
    expected = True
    with Sandbox() as sandbox, Stoq(SHOP, base_url=sandbox.base_url, **AS_IT_COMES) as stoq:
        for scenario in scenarios:
            sandbox.reset()
            status = record(scenario, stoq, scenario.request, "sandbox", scenario.path, sandbox)
            expected &= _report(scenario, status)
    return expected


def _record_live(scenarios: Iterable[Scenario], arguments: argparse.Namespace) -> bool:
    expected = True
    contacts = {name: getattr(arguments, name) for name in ("email", "phone", "push")}
    with Stoq(arguments.shop, base_url=arguments.base_url, **AS_IT_COMES) as stoq:
        for scenario in scenarios:
            channel = scenario.request.intent.channel
            contact = {"email": "email", "sms": "phone", "push": "push"}[channel]
            if not scenario.live or contacts[contact] is None:
                reason = "only the sandbox can" if not scenario.live else f"no --{contact} given"
                print(f"{scenario.name}: left as it is ({reason})")
                continue
            sent = _request(channel, **{contact: contacts[contact]})
            sent.intent.shopify_variant_id = arguments.variant
            sent.intent.shopify_product_id = arguments.product
            expected &= _report(scenario, record(scenario, stoq, sent, "live", scenario.path))
    return expected


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
    if not arguments.live:
        return 0 if _record_from_sandbox(chosen) else 1
    if None in (arguments.shop, arguments.variant, arguments.product):
        parser.error("--live needs --shop, --variant and --product")
    if not arguments.yes:
        print(
            f"This puts the customer on real waitlists of {arguments.shop}. Go on? [y/N] ", end=""
        )
        if input().strip().lower() != "y":
            return 2
    return 0 if _record_live(chosen, arguments) else 1


if __name__ == "__main__":
    raise SystemExit(main())
