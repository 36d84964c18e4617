"""Record the HTTP cassettes that the tests replay.

Without --live, the sandbox answers, and the cassettes show the production URL. With --live, the
real service answers: the intents are really created, for the customer that you give. A cassette
says in its metadata which of the two answered. It shows the scenario's made-up request, never the
one that was sent; stoqapp_sandbox.cassettes lists what it keeps of an answer.

exit codes: 0 recorded; 1 an answer was not the expected one, so that cassette stays as it was;
2 usage, no connection, or you did not agree
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from stoq_public_api_client.models import CreateIntentRequest
from stoq_public_api_client.typed_dicts import CreateIntentRequestDict
from stoqapp import Stoq, check
from stoqapp.errors import Answer, AnswerError, InvalidIntentError, StoqError
from stoqapp.inputs import INPUTS, prepare
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.spec import BASE_URL, SPEC
from stoqapp.terminal import agreed
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import SHOP, SHOWN_HEADERS, cassette_of

CASSETTES: Final = Path(__file__).resolve().parent.parent / "tests" / "cassettes"
# The vendor's points, and a window that does not end between two requests of a scenario.
RATE_LIMIT: Final = (360, 86_400)
COMMAND: Final = ".venv/bin/python scripts/record_cassettes.py"
GOODS: Final[Mapping[str, Any]] = {"variant": 4711, "product": 42}


@frozen(eq=False)
class Scenario:
    """A request and the answers to it; ``scenarios.toml`` explains the attributes."""

    name: str
    statuses: Sequence[int]
    wait: int | None = None
    is_live: bool = False
    given: Mapping[str, Any] = field(factory=lambda: {"email": "ada@example.com"})

    def path_in(self, folder: Path) -> Path:
        """Return the scenario's cassette."""
        return folder / f"{self.name}.yaml"

    @property
    def body(self) -> CreateIntentRequestDict:
        """The made-up request, with the fields that openapi.json has now."""
        given = {**GOODS, **self.given}
        return prepare(**{n: v for n, v in given.items() if SPEC.field(INPUTS[n].path)}).body

    @property
    def request(self) -> CreateIntentRequest:
        """The same as a model of the generated client."""
        return CreateIntentRequest.from_dict(self.body)

    def set_up(self, sandbox: Sandbox) -> None:
        """Bring *sandbox* into the state in which it answers so."""
        if 200 in self.statuses:
            with Stoq(SHOP, base_url=sandbox.base_url) as stoq:
                stoq.create_intent(self.body)
        for status in {*self.statuses} - {200, 201}:
            sandbox.fail_next(status, retry_after=self.wait)

    def body_for(self, customer: Mapping[str, Any]) -> CreateIntentRequestDict | None:
        """Return the request for a real customer; None if it cannot be sent for this one."""
        own: dict[str, Any] = {name: customer.get(name) for name in self.given}
        if not self.is_live or None in own.values():
            return None
        body = prepare(variant=customer["variant"], product=customer["product"], **own).body
        if broken := check(body):
            raise InvalidIntentError(broken)
        return body


_TABLE: Final = Path(__file__).with_name("scenarios.toml").read_text("utf-8")
SCENARIOS: Final = [Scenario(name, **row) for name, row in tomllib.loads(_TABLE).items()]


def was_live(path: Path) -> bool:
    """Return whether *path* is a cassette that was recorded from the real service."""
    return path.is_file() and "\n  recorded_from: live\n" in path.read_text("utf-8")


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
    option("--shop", help="with --live: the shop ($STOQ_SHOP)")
    option("--base-url", default=BASE_URL, help="with --live: the API to ask")
    for name in (*GOODS, *CONTACT_OF_CHANNEL.values()):
        option(f"--{name}", help=f"with --live: {INPUTS[name].help}")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(names):
        parser.error(f"no scenario is named {', '.join(sorted(unknown))}: see --help")
    chosen = [one for one in SCENARIOS if one.name in (options.names or names)]
    if options.keep_live:
        chosen = [one for one in chosen if not was_live(one.path_in(options.into))]
    try:
        options.into.mkdir(parents=True, exist_ok=True)
        with nullcontext() if options.live else Sandbox(rate_limit=RATE_LIMIT) as sandbox:
            shop, url = (SHOP, sandbox.base_url) if sandbox else (options.shop, options.base_url)
            # A cassette holds what was answered, not what a client does about it.
            with Stoq(shop, base_url=url, max_retries=0, budget=None) as stoq:
                return record(chosen, stoq, sandbox, options)
    except (StoqError, OSError) as error:
        parser.error(str(error))


def record(
    chosen: Sequence[Scenario], stoq: Stoq, sandbox: Sandbox | None, options: argparse.Namespace
) -> int:
    """Record the chosen scenarios and return the exit code; without a sandbox, live."""
    bodies = {one: one.body if sandbox else one.body_for(vars(options)) for one in chosen}
    live = [one.name for one in chosen if was_live(one.path_in(options.into))]
    replaces = f"This replaces live recordings: {', '.join(live)}. Go on?"
    creates = f"This puts the customer on real waitlists of {stoq.shop}. Go on?"
    is_asked = (live or not sandbox) and not options.yes
    if is_asked and not agreed(COMMAND, replaces if sandbox else creates):
        return 2
    code = 0
    for scenario, body in bodies.items():
        if body is None:
            print(f"{scenario.name}: left as it is (no contact for it, or only the sandbox can)")
            continue
        if sandbox:
            sandbox.reset()
            scenario.set_up(sandbox)
        elif 200 in scenario.statuses:
            answer_to(body, stoq)
        answers = [answer_to(body, stoq) for _ in scenario.statuses]
        expected, answered = scenario.statuses, [answer.status for answer in answers]
        if answered != expected:
            said = f"answered {answered}, not {expected}; its cassette stays as it was"
            print(f"{scenario.name}: {said}", file=sys.stderr)
            code = 1
            continue
        shown = json.dumps(scenario.request.to_dict(), separators=(",", ":")).encode()
        exchanges = [(SHOWN_HEADERS, shown, answer) for answer in answers]
        text = cassette_of(exchanges, "sandbox" if sandbox else "live")
        scenario.path_in(options.into).write_text(text, "utf-8")
        print(f"{scenario.name}: recorded")
    return code


def answer_to(body: CreateIntentRequestDict, stoq: Stoq) -> Answer:
    """Return the answer; raise StoqError where none came."""
    try:
        return stoq.create_intent(body).answer
    except AnswerError as error:
        if error.answer is None:
            raise
        return error.answer


if __name__ == "__main__":
    raise SystemExit(main())
