"""The order in which a request is judged, and what it is answered."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from threading import RLock
from typing import Any, Final

from attrs import Factory, define, evolve, field

from stoqapp.rules import RULES, check_shop
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.answers import Answer, error_answer, json_answer, messages_answer
from stoqapp_sandbox.assumptions import DEFAULTS, NOT_FOUND, TEST_DOMAINS, Assumptions
from stoqapp_sandbox.budget import Balance, Budget
from stoqapp_sandbox.catalog import Catalog
from stoqapp_sandbox.errors import UnusableFaultError
from stoqapp_sandbox.fault_answers import answer_under
from stoqapp_sandbox.fault_queue import Faults
from stoqapp_sandbox.faults import Schedule, fault_from
from stoqapp_sandbox.journal import Journal
from stoqapp_sandbox.judge import Judge
from stoqapp_sandbox.latency import Latency
from stoqapp_sandbox.payload import PayloadError, payload_from_bytes, section
from stoqapp_sandbox.spec import Operation
from stoqapp_sandbox.state import State
from stoqapp_sandbox.store import Intent, Store

_DUPLICATE: Final = {
    "waits": "customer: already waits for this variant in this market; nothing was created",
    "taken": "customer: has already been taken",
    "exists": "intent: already exists",
    "vague": "intent: could not be saved",
}

# What a schema can say is the judge's, who reads the spec as it is today.
_STATED_IN_PROSE: Final = ("channel_contact", "phone_digits")


def _messages_of(names: Collection[str], body: Any) -> list[str]:
    """Return what the rules of these names find in *body*, each as ``path: message``."""
    return [
        f"{violation.path}: {violation.message}"
        for rule in RULES
        if rule.name in names
        for violation in rule.violations(body if isinstance(body, dict) else {})
    ]


def _email_form(body: Any) -> list[str]:
    email = section(body, "customer").get("email")
    if not isinstance(email, str) or not email.strip() or _EMAIL.fullmatch(email.strip()):
        return []
    return ["customer.email: is no address"]


def _name_plan(body: Any) -> list[str]:
    return ["customer.name: needs another plan"] if section(body, "customer").get("name") else []


_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
# The entries for what the schema takes, and what each of them finds in a body.
_IMPROBABLE: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    "id_range": partial(_messages_of, ("positive_id",)),
    "least_quantity": partial(_messages_of, ("positive_quantity",)),
    "email_form": _email_form,
    "name_plan": _name_plan,
}

FAULT_HEADER: Final = "X-Stoqapp-Sandbox-Fault"

_SHOP: Final = SHOP_HEADER.lower()


@define(eq=False)
class Service:
    """The pretended service: what it was told, and what it holds.

    Attributes:
        operation: What the spec says of the endpoint.
        assumptions: What is taken for granted.
        judge: The schemas of *operation*.
        store: The intents.
        budget: The points of each shop.
        faults: What shall go wrong.
        catalog: Which shops, products and variants there are.
        latency: How long an answer lets wait.
        journal: What the page shows.
    """

    operation: Operation
    assumptions: Assumptions = DEFAULTS
    judge: Judge = field(init=False)
    store: Store = Factory(lambda service: Store(service.assumptions), takes_self=True)
    budget: Budget = Factory(lambda service: Budget(service.assumptions), takes_self=True)
    faults: Faults = field(factory=Faults)
    catalog: Catalog = field(factory=Catalog)
    latency: Latency = field(factory=Latency)
    journal: Journal = field(factory=Journal, init=False)
    _lock: RLock = field(factory=RLock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.judge = Judge(self.operation, self.assumptions)

    def open(self) -> None:
        """Take hold of what is stored, and show it on the page.

        Raises:
            SandboxError: As with `State.open`, or the file is damaged; it is let go.
        """
        state = self.store.state
        state.open()
        try:
            self.journal.clear()
            for kept in self.store.received():
                self.journal.stored(kept["shop"], kept, kept["request"])
        except KeyError:
            state.close()
            raise state.unusable("an intent in it is damaged") from None
        except BaseException:
            state.close()
            raise

    def spend(self, headers: Mapping[str, str], method: str) -> Balance:
        """Count a request against the shop that its headers name."""
        return self.budget.spend(headers.get(_SHOP, ""), method)

    def create_intent(self, raw: bytes, headers: Mapping[str, str], balance: Balance) -> Answer:
        """Answer a request to create an intent: as it is judged, or as a fault has it.

        Args:
            raw: The bytes of the body.
            headers: Headers of the request, names in lower case.
            balance: What `spend` returned for the request.
        """
        with self.found_by(balance) as found:
            return found._answered(raw, headers, balance)

    def _answered(self, raw: bytes, headers: Mapping[str, str], balance: Balance) -> Answer:
        asked = headers.get(FAULT_HEADER.lower())
        if asked is None:
            faults = self.faults.take(headers.get(_SHOP, ""), raw, self.judge.body_as_read)
        else:
            try:
                faults = [fault_from(asked, lasting=True)]
            except UnusableFaultError as error:
                return messages_answer(400, [f"{FAULT_HEADER}: {error}"])
            if faults[0].schedule != Schedule():
                said = "is for this request alone, and takes no option that says when"
                return messages_answer(400, [f"{FAULT_HEADER}: {said}"])
        return answer_under(faults, lambda: self._judged(raw, headers), balance, self.assumptions)

    def _judged(self, raw: bytes, headers: Mapping[str, str]) -> Answer:
        """Answer a request with nothing going wrong.

        Each step only when those before it found nothing: is it JSON, does it fit the schemas
        of body and headers, is the shop known, can its values be, is the variant known, does it
        keep the rules that the spec states in prose, is it new.
        """
        assumed = self.assumptions
        try:
            request: Any = payload_from_bytes(raw, int(assumed.number("nesting")))
        except PayloadError as error:
            return self._refusal(assumed["json_text"], [f"body: {error}"])
        shop = headers.get(_SHOP, "").strip()
        if not shop and assumed["missing_shop"] == "unknown":
            return self._not_found(assumed["unknown_shop"])
        body = self.judge.body_as_read(request)
        if assumed["missing_variant"] == "404" and _lacks_variant(body):
            return self._not_found("404")
        if faults := [*self.judge.body_faults(body), *self.judge.header_faults(headers)]:
            return self._refusal(assumed["refused_status"], faults)
        if check_shop(shop) or not self.catalog.has_shop(shop):
            return self._not_found(assumed["unknown_shop"])
        if improbable := self._improbable(body):
            return improbable
        if misplaced := self._misplaced(shop, section(body, "intent")):
            return misplaced
        if assumed["broken_rule"] != "created" and (broken := self._broken_rules(body)):
            return self._refusal(assumed["broken_rule"], broken)
        named = section(body, "customer").get("id")
        if assumed["customer_id"] == "404" and named is not None:  # noqa: SIM102
            if not self.store.knows_customer(shop, named):
                return self._not_found("404")
        addition = self.store.add(shop, body, request)
        if addition.is_new:
            self.journal.stored(shop, addition.intent, body)
        else:
            self.journal.updated(addition.intent)
        if not addition.is_new and not assumed["duplicate"].startswith("201"):
            return self._refusal(assumed["duplicate"], [_DUPLICATE[assumed["duplicate_words"]]])
        return self._created(addition.intent)

    def _improbable(self, body: Any) -> Answer | None:
        """Return the answer for what the schema takes and the service perhaps not, or None."""
        for entry, messages_from in _IMPROBABLE.items():
            status = self.assumptions[entry]
            if status != "taken" and (messages := messages_from(body)):
                return self._refusal(status, messages)
        return None

    def _misplaced(self, shop: str, wanted: Mapping[str, Any]) -> Answer | None:
        """Return the answer for a variant that is not where the request says, or None."""
        variant = wanted.get("shopify_variant_id")
        if not self.catalog.has_variant(shop, variant):
            entry, message = "unknown_variant", "intent.shopify_variant_id: is not known"
        elif not self.catalog.is_of_product(shop, variant, wanted.get("shopify_product_id")):
            entry, message = "wrong_product", "intent.shopify_product_id: is not the variant's"
        else:
            return None
        status = self.assumptions[entry]
        if status == "created":
            return None
        return self._not_found("404") if status == "404" else self._refusal(status, [message])

    def _broken_rules(self, body: Any) -> list[str]:
        broken = _messages_of(_STATED_IN_PROSE, body)
        if self.assumptions["test_addresses"] == "refused":
            email = section(body, "customer").get("email")
            if str(email).strip().rpartition("@")[2].lower() in TEST_DOMAINS:
                broken.append("customer.email: is a test address")
        return broken

    def _created(self, intent: Intent) -> Answer:
        shown = intent if self.assumptions["created_intent"] == "full" else {"id": intent["id"]}
        told: dict[str, Any] = {"intents": [shown]}
        if self.assumptions["created_errors"] == "empty":
            told["errors"] = []
        return json_answer(201, told)

    def _refusal(self, status: str, messages: Sequence[str]) -> Answer:
        return messages_answer(int(status), messages, self.assumptions)

    def _not_found(self, status: str) -> Answer:
        return error_answer(int(status), NOT_FOUND, assumptions=self.assumptions)

    @contextmanager
    def found_by(self, balance: Balance) -> Iterator["Service"]:
        """Give the service that a request deals with, and let no reset come meanwhile.

        That is this one; after a reset that the request crossed, one whose intents and notes
        nobody sees.

        Args:
            balance: What `spend` returned for the request.
        """
        with self._lock:
            found = self
            if balance.epoch != self.budget.epoch:
                found = copy(self)
                found.abandon()
                # Those that wait are for requests that come after the reset.
                found.faults = Faults(self.faults.lasting)
            yield found

    def abandon(self) -> None:
        """Leave what it holds to another; what it stores and notes from now on, nobody sees."""
        with self._lock:
            self.store, self.journal = evolve(self.store, state=State()), Journal()

    def reset(self) -> None:
        """Forget the intents, the points spent, and the faults asked for since the beginning.

        What a request asks for that is on its way is forgotten, too.
        """
        with self._lock:
            self.store.clear()
            self.budget.clear()
            self.faults.reset()
            self.latency.begin_anew()
            self.journal.clear()


def _lacks_variant(body: Any) -> bool:
    wanted = body.get("intent") if isinstance(body, dict) else None
    return isinstance(wanted, dict) and "shopify_variant_id" not in wanted
