"""Describe answers by signs that repeat none of their words, and find the switches behind them.

The requests of a run are replayed to a fresh sandbox for each choice of each switch. The choice
whose sandbox answers most like the service is the explanation.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from attrs import define, field

from stoqapp.answers import created_from_answer
from stoqapp.errors import Answer, AnswerError
from stoqapp.headers import rate_limit_from_headers
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.assumptions import ASSUMPTIONS, Assumptions
from stoqapp_sandbox.cassettes import in_vcr_form, scrubbed_answer
from stoqapp_sandbox.service import Service
from stoqapp_sandbox.verify.probes import PROBES, Probe, Values

_WORDS: Final = {"waits": "already wait", "taken": "been taken", "exists": "already exists"}
# Switches with a number that answers tell, by the sign.
_NUMBERS: Final = {"points": "rate_points", "cost": "rate_write"}
_RATE: Final = "rate_limit"

# By probe and sign: the service's value and the sandbox's.
Differences = dict[str, dict[str, list[str]]]


@define
class Log:
    """What the answers of a run showed.

    Attributes:
        signs: The signs of each answer by name of the probe, like ``{"status": "201"}``; empty
            without an answer. Under ``"rate_limit"``, what all answers told of it.
        customer_id: The customer's id in the first answer with one.
    """

    signs: dict[str, dict[str, str]] = field(factory=dict)
    customer_id: str = field(default="", repr=False)
    _entries: dict[str, str] = field(factory=dict, repr=False)
    _points_left: int | None = None

    def add(self, probe: Probe, answer: Answer | None) -> None:
        """Add the answer to *probe*, None where none came."""
        signs = self.signs[probe.name] = {}
        if answer is None:
            self._points_left = None
            return
        signs["status"] = str(answer.status)
        signs["cors"] = "yes" if "access-control-allow-origin" in answer.headers else "no"
        kept = scrubbed_answer(in_vcr_form(answer))
        signs |= _form("body", _json(kept["body"]["string"]))
        try:
            created = created_from_answer(answer, 0.0)
        except AnswerError as error:
            said = " ".join(getattr(error, "messages", ())).lower()
            known = next((name for name, words in _WORDS.items() if words in said), "")
            signs["words"] = known or ("a duplicate" if error.is_duplicate else "no duplicate")
        else:
            first = self._entries.setdefault(created.id or "", probe.name)
            signs["entry"] = "a new one" if first == probe.name else f"that of {first}"
            for intent in created.intents[:1]:
                self.customer_id = self.customer_id or str(intent.get("customer_id", ""))
        if SHOP_HEADER not in probe.headers:
            self._add_points(answer)

    def _add_points(self, answer: Answer) -> None:
        signs = self.signs.setdefault(_RATE, {})
        told = rate_limit_from_headers(answer.headers, 0.0)
        signs["points"] = str(told.limit or "not told")
        if told.remaining is not None and self._points_left is not None:
            # Less in a new window; more where others spend points meanwhile.
            cost = self._points_left - told.remaining
            if 0 <= cost <= int(signs.get("cost", cost)):
                signs["cost"] = str(cost)
        self._points_left = told.remaining


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return "not JSON" if body else "nothing"


def _form(place: str, value: Any, *, in_text: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each place and the value there; for texts, lists and objects only their type."""
    in_text = in_text or place in ("body.errors", "body.error", "body.message")
    is_shown = not isinstance(value, dict | list) and not (in_text and isinstance(value, str))
    yield place, str(value) if is_shown else type(value).__name__
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _form(f"{place}.{name}", part, in_text=in_text)
    elif isinstance(value, list) and value:
        yield from _form(f"{place}[0]", value[0], in_text=in_text)


def differences(service: Log, values: Values, shop: str, assume: Values) -> Differences:
    """Return the signs in which the service differs from a fresh sandbox that assumes *assume*."""
    sandbox = _replayed(service, values, shop, assume)
    found = {}
    for name, signs in service.signs.items():
        other = sandbox.signs.get(name, {})
        both = {sign: [signs.get(sign, "none"), other.get(sign, "none")] for sign in signs | other}
        if unlike := {sign: pair for sign, pair in both.items() if pair[0] != pair[1]}:
            found[name] = unlike
    return found


def _replayed(service: Log, values: Values, shop: str, assume: Values) -> Log:
    catalog = {shop: {values["product"]: [values["variant"]]}}
    sandbox = Service(assume=assume, catalog=catalog, clock=lambda: 0.0)
    usual = {SHOP_HEADER: shop, "Content-Type": "application/json"}
    log = Log()
    for probe in [probe for probe in PROBES if probe.name in service.signs]:
        request = probe.request({**values, "customer_id": log.customer_id}, usual)
        answer = sandbox.create_intent(*request)
        # What the service did not answer may have been carried out all the same.
        is_answered = bool(service.signs[probe.name])
        plain = Answer(answer.status, dict(answer.headers), answer.body)
        log.add(probe, plain if is_answered else None)
    return log


def explanation(service: Log, values: Values, shop: str, expected: Values) -> dict[str, Any]:
    """Return what else to assume so that a sandbox answers most like the service.

    Adds the switch that explains most, and the first of several, as long as one explains anything.
    """

    def unlike(assume: Values) -> int:
        return sum(map(len, differences(service, values, shop, {**expected, **assume}).values()))

    found: dict[str, Any] = {}
    fewest, best = unlike(found), None
    while fewest:
        for one in _alternatives(service, Assumptions.of({**expected, **found})):
            if (score := unlike(found | one)) < fewest:
                fewest, best = score, found | one
            if not fewest:
                break
        if best is None:
            break
        found, best = best, None
    return found


def _alternatives(service: Log, assumed: Assumptions) -> Iterator[dict[str, Any]]:
    """Yield each other choice of each switch, and the numbers that the service told."""
    for name in assumed:
        yield from ({name: one} for one in ASSUMPTIONS[name].choices if one != assumed[name])
    for sign, name in _NUMBERS.items():
        told, bounds = service.signs.get(_RATE, {}).get(sign, ""), ASSUMPTIONS[name].number
        if told.isdigit() and bounds and bounds.least <= int(told) <= bounds.most:
            yield {name: int(told)}
