"""The order in which a request is judged, and what it is answered."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from stoq_public_api_client.models import CreateIntentRequest
from stoqapp.rules import SHOP_HEADER, check, check_shop
from stoqapp.sandbox.answers import Answer, error_answer, json_answer, messages_answer
from stoqapp.sandbox.assumptions import (
    BROKEN_RULE_STATUS,
    DUPLICATE_STATUS,
    NOT_FOUND,
    REFUSED_STATUS,
    UNKNOWN_SHOP_STATUS,
)
from stoqapp.sandbox.budget import Balance, Budget
from stoqapp.sandbox.faults import Faults, scripted_answer
from stoqapp.sandbox.journal import Journal
from stoqapp.sandbox.judge import Judge
from stoqapp.sandbox.payload import PayloadError, payload_from_bytes
from stoqapp.sandbox.spec import Operation
from stoqapp.sandbox.store import Store

DUPLICATE: Final = "customer: already waits for this variant in this market; nothing was created"

_SHOP: Final = SHOP_HEADER.lower()


@define(eq=False)
class Service:
    """The pretended service: what it was told, and what it holds.

    Attributes:
        operation: What the spec says of the endpoint.
        judge: The schemas of *operation*.
        store: The intents.
        budget: The points of each shop.
        faults: Answers asked for in advance.
        journal: What the page shows.
    """

    operation: Operation
    judge: Judge = field(init=False)
    store: Store = field(factory=Store)
    budget: Budget = field(factory=Budget)
    faults: Faults = field(factory=Faults)
    journal: Journal = field(factory=Journal, init=False)

    def __attrs_post_init__(self) -> None:
        self.judge = Judge(self.operation)
        for kept in self.store.received():
            self.journal.stored(kept["shop"], kept, kept["request"])

    def spend(self, headers: Mapping[str, str], method: str) -> Balance:
        """Count a request against the shop that its headers name."""
        return self.budget.spend(headers.get(_SHOP, ""), method)

    def create_intent(self, raw: bytes, headers: Mapping[str, str], balance: Balance) -> Answer:
        """Answer a request to create an intent.

        A fault that was asked for comes first. Then, each step only when those before it
        found nothing: is it JSON, does it fit the schemas of body and headers, is the shop
        known, does it keep the rules that the spec states in prose, is it new.

        Args:
            raw: The bytes of the body.
            headers: Headers of the request, names in lower case.
            balance: What the shop has left.
        """
        if fault := self.faults.take():
            return scripted_answer(fault, balance)
        try:
            body: Any = payload_from_bytes(raw)
        except PayloadError as error:
            return messages_answer(REFUSED_STATUS, [f"body: {error}"])
        if faults := [*self.judge.body_faults(body), *self.judge.header_faults(headers)]:
            return messages_answer(REFUSED_STATUS, faults)
        shop = headers.get(_SHOP, "")
        if check_shop(shop):
            return error_answer(UNKNOWN_SHOP_STATUS, NOT_FOUND)
        # What only this project asks for, the vendor's service does not.
        if broken := [
            f"{violation.path}: {violation.message}"
            for violation in check(CreateIntentRequest.from_dict(body))
            if violation.origin == "spec"
        ]:
            return messages_answer(BROKEN_RULE_STATUS, broken)
        if intent := self.store.add(shop, body):
            self.journal.stored(shop, intent, body)
            return json_answer(201, {"intents": [intent], "errors": []})
        return messages_answer(DUPLICATE_STATUS, [DUPLICATE])

    def reset(self) -> None:
        """Forget the intents, the points spent and the faults asked for."""
        self.store.clear()
        self.budget.clear()
        self.faults.clear()
        self.journal.clear()
