"""Describe answers without repeating their words, and find the switches behind them.

The requests of a run are replayed to a fresh sandbox for each choice of each switch. The choice
whose sandbox answers most like the service is the explanation.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

from attrs import define, field

from stoqapp.answers import created_from_answer
from stoqapp.errors import Answer, AnswerError
from stoqapp.headers import RateLimit, rate_limit_from_headers
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.assumptions import ASSUMPTIONS, Assumptions
from stoqapp_sandbox.cassettes import scrubbed_json
from stoqapp_sandbox.errors import UnusableOptionError
from stoqapp_sandbox.service import Service
from stoqapp_sandbox.verify.probes import PROBES, Probe, Values

RATE: Final = "rate_limit"
_WORDS: Final = {"already wait": "waits", "been taken": "taken", "already exists": "exists"}
# Switches with a number that answers tell, by the trait.
_NUMBERS: Final = {"points": "rate_points", "cost": "rate_write"}

# By probe and trait, like ``{"created": {"status": "201"}}``.
Traits = dict[str, dict[str, str]]
# The same, each trait as the service has it and as the sandbox has it.
Differences = dict[str, dict[str, list[str]]]


@define
class Log:
    """What the answers of a run showed, by name of the probe.

    *traits* are empty for an answer that does not judge its request. *customer_id* is that of the
    first answer with one.
    """

    answers: dict[str, Answer] = field(factory=dict, repr=False)
    traits: Traits = field(factory=dict)
    customer_id: str = field(default="", repr=False)
    _entries: dict[str, str] = field(factory=dict, repr=False)
    _limits: list[RateLimit] = field(factory=list)

    def add(self, probe: Probe, answer: Answer | None) -> None:
        """Add the answer to *probe*."""
        traits = self.traits[probe.name] = {}
        if answer is None:
            return
        traits["status"] = str(answer.status)
        traits["cors"] = "yes" if "access-control-allow-origin" in answer.headers else "no"
        body = scrubbed_json(answer.body) if answer.body else None
        parts = body.items() if isinstance(body, dict) else [("", body)]
        traits |= {f"body.{name}".rstrip("."): _form(part) for name, part in parts}
        try:
            created = created_from_answer(answer, 0.0)
        except AnswerError as error:
            said = " ".join(error.messages).lower()
            known = next((name for words, name in _WORDS.items() if words in said), "")
            traits["words"] = known or ("a duplicate" if error.is_duplicate else "no duplicate")
        else:
            first = self._entries.setdefault(created.id or "", probe.name)
            traits["entry"] = "a new one" if first == probe.name else f"that of {first}"
            for intent in created.intents[:1]:
                self.customer_id = self.customer_id or str(intent.get("customer_id", ""))
        if SHOP_HEADER not in probe.headers:
            self._limits.append(rate_limit_from_headers(answer.headers, 0.0))

    @property
    def is_limit_near(self) -> bool:
        """Whether less than a tenth of the shop's points is left: its storefront needs the rest."""
        limit = self._limits[-1] if self._limits else RateLimit(None, None, None)
        return limit.remaining is not None and limit.remaining * 10 < (limit.limit or 0)

    def all_traits(self) -> Traits:
        """Return the traits of each answer, and under `RATE` what all of them told of it."""
        if not self._limits:
            return self.traits
        told = {"points": str(self._limits[-1].limit or "not told")}
        left = [limit.remaining for limit in self._limits if limit.remaining is not None]
        # Others may spend points meanwhile, and a new window has more.
        if costs := [before - after for before, after in pairwise(left) if before >= after]:
            told["cost"] = str(min(costs))
        return {**self.traits, RATE: told}


def _form(value: Any) -> str:
    """Return the names and numbers in a scrubbed value of JSON; of the rest its type."""
    if isinstance(value, dict):
        shown = [f"{name} {part}" if type(part) is int else name for name, part in value.items()]
        return f"{{{', '.join(shown)}}}"
    if isinstance(value, list):
        return f"[{_form(value[0])}]" if value else "[]"
    return type(value).__name__


def replayed(service: Traits, values: Values, shop: str, assume: Values) -> Traits:
    """Return what a fresh sandbox answers that assumes *assume* and gets the requests of a run."""
    catalog = {shop: {values["product"]: [values["variant"]]}}
    sandbox = Service(assume=assume, catalog=catalog, clock=lambda: 0.0)
    usual = {SHOP_HEADER: shop, "Content-Type": "application/json"}
    log = Log()
    for probe in [probe for probe in PROBES if probe.name in service]:
        request = probe.request({**values, "customer_id": log.customer_id}, usual)
        answer = sandbox.create_intent(*request)
        # What the service did not answer may have been carried out all the same.
        plain = Answer(answer.status, dict(answer.headers), answer.body)
        log.add(probe, plain if service[probe.name] else None)
    return log.all_traits()


def differences(service: Traits, sandbox: Traits) -> Differences:
    """Return the traits that are not the same; of another status, that alone."""
    found: Differences = {}
    for name, ours in service.items():
        theirs = sandbox.get(name, {})
        is_same = ours.get("status") == theirs.get("status")
        for trait in ours | theirs if is_same else ["status"]:
            pair = [ours.get(trait, "none"), theirs.get(trait, "none")]
            if pair[0] != pair[1]:
                found.setdefault(name, {})[trait] = pair
    return found


def explanation(service: Traits, expected: Values, replay: Callable[..., Traits]) -> dict[str, Any]:
    """Return what to assume besides *expected* so that *replay* answers most like *service*.

    Adds the switch that explains most as long as one explains anything.
    """

    def unlike(found: Values) -> int:
        left = differences(service, replay(**{**expected, **found}))
        return sum(map(len, left.values()))

    found: dict[str, Any] = {}
    while fewest := unlike(found):
        others = [found | one for one in _alternatives(service, {**expected, **found})]
        best = min(others, key=unlike)
        if unlike(best) >= fewest:
            break
        found = best
    return found


def _alternatives(service: Traits, assume: Values) -> Iterator[dict[str, Any]]:
    """Yield each other choice of each switch, and the numbers that the service told."""
    assumed = Assumptions.of(assume)
    for name in assumed:
        yield from ({name: one} for one in ASSUMPTIONS[name].choices if one != assumed[name])
    for trait, name in _NUMBERS.items():
        with suppress(UnusableOptionError):
            yield {name: ASSUMPTIONS[name].value_from(service.get(RATE, {}).get(trait))}
