"""The pretended service: the order in which a request is judged, and what it is answered."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

from attrs import evolve

from stoqapp.rules import CONTACT_OF_CHANNEL, RULES, check_shop, fields_of
from stoqapp.spec import INTENTS_PATH, SHOP_HEADER, SPEC, Spec
from stoqapp_sandbox.answers import (
    NOT_FOUND,
    Answer,
    Request,
    error_answer,
    json_answer,
    json_from_bytes,
    json_text,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import ASSUMPTIONS
from stoqapp_sandbox.budget import Budget
from stoqapp_sandbox.faults import Fault, Faults, delivery, scripted_answer
from stoqapp_sandbox.judge import Judge
from stoqapp_sandbox.options import Options, Settings
from stoqapp_sandbox.store import Store, Stored

BODY_LIMIT: Final = 1024 * 1024
TEST_DOMAINS: Final = frozenset({"example.com", "mailinator.com"})

_SHOP: Final = SHOP_HEADER.lower()
_BATCH: Final = 200
_IDS: Final = ("shopify_variant_id", "shopify_product_id", "shopify_market_id")
# The judge reads what the schema says; these rules are prose.
_IN_PROSE: Final = [rule for rule in RULES if rule.name in ("channel_contact", "phone_digits")]
_RESET: Final = json_answer(503, {"error": "The sandbox was reset while this request was sent"})

_usual_judge = cache(lambda: Judge(SPEC))
_faults_of_shop = lru_cache(1024)(check_shop)


class Service:
    """Answers requests as the service might; needs no socket and no event loop.

    For several threads. Takes the options of `stoqapp_sandbox.Sandbox`, but for address and state,
    and raises as that does. *clock* returns Unix seconds. `generation` counts resets; a request
    that began in an earlier one is answered 503.
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        spec: Spec = SPEC,
        **options: Unpack[Options],
    ) -> None:
        self.store: Store = store or Store()
        self._clock = clock
        self._judge = _usual_judge() if spec is SPEC else Judge(spec)
        self.base_path: str = urlsplit(spec.base_url).path
        self.path: str = f"{self.base_path}{INTENTS_PATH}"
        self.generation: int = 0
        self._begin(Settings(**options))

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        # Copies count from 0.
        self.faults: Faults = Faults(map(evolve, settings.faults))
        self._budget = Budget(settings.assumptions, self._clock)

    def reset(self, settings: Settings | None = None) -> None:
        """Forget requests, intents, points and faults; go on with *settings*, or the same."""
        with self.store.use():
            self.store.clear()
            self.generation += 1
            self._begin(settings or self.settings)

    def intents_json(self) -> Iterator[str]:
        """Yield the list of stored intents as JSON, in parts.

        Each intent has ``shop`` and ``request`` (the body as it came) beside its own fields.
        """
        after, opening = 0, "["
        while True:
            with self.store.use():
                rows = self.store.intents(after, _BATCH)
            if not rows:
                break
            shown = '{}, "shop": "{}", "request": {}}}'
            yield opening + ", ".join(
                shown.format(row["intent"][:-1], row["shop"], row["body"].decode()) for row in rows
            )
            after, opening = rows[-1]["number"], ", "
        yield "[]" if opening == "[" else "]"

    def create_intent(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request to create an intent, see `answer`."""
        lowered = {name.lower(): value for name, value in headers.items()}
        return self.answer(Request("POST", self.path, lowered, body))

    def answer(self, request: Request) -> Answer:
        """Answer a request to the API, and keep both.

        Raises SandboxError where the state file cannot be used; nothing was stored then.
        """
        with self.store.use():
            if request.generation not in (None, self.generation):
                return _RESET
            answer, struck, stored = self._answered(request)
            # Not what a browser asks for by itself: a preflight that is let in, an icon.
            is_ours = request.path.startswith(f"{self.base_path}/")
            is_let_in = (request.method, answer.status) == ("OPTIONS", 204)
            if not is_let_in and (is_ours or request.method not in ("GET", "HEAD")):
                written = ", ".join(fault.written for fault in struck) or None
                self.store.add(self._clock(), request, answer, written, stored)
            return answer

    def _answered(self, request: Request) -> tuple[Answer, list[Fault], Stored | None]:
        """Return the answer, the faults that struck, and the intent to store."""
        assumed = self.settings.assumptions
        points, is_refused = self._budget.spend(request.shop, request.method)
        headers = {**points, **self._cors(request)}
        struck: list[Fault] = []
        stored = None
        if is_refused:
            answer = rate_limited_answer(self._budget.seconds_left(), "No points left", assumed)
        elif request.path != self.path:
            answer = error_answer(404, NOT_FOUND, assumed)
        elif request.method == "OPTIONS" and "access-control-allow-origin" in headers:
            answer = Answer(204, b"", {})
        elif request.method != "POST":
            answer = error_answer(405, "Method Not Allowed", assumed, {"allow": "POST"})
        elif request.body is None:
            answer = error_answer(413, f"Body larger than {BODY_LIMIT} bytes", assumed)
        else:
            struck = self.faults.take()
            if all(fault.kind.stores for fault in struck):
                answer, stored = self._judged(request)
            else:
                answer = scripted_answer(struck[-1], self._budget.seconds_left(), assumed)
            answer = delivery(answer, struck)
            if answer.status == 429 and points:
                headers["x-ratelimit-remaining"] = "0"
        if headers:
            answer = evolve(answer, headers={**headers, **answer.headers})
        return answer, struck, stored

    def _cors(self, request: Request) -> dict[str, str]:
        """Return the headers that let a script of the request's origin read the answer."""
        origin = request.headers.get("origin")
        is_any = self.settings.assumptions["cors"] == "any"
        if origin is None or not (is_any or origin.lower() == self.settings.allow_origin):
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": f"content-type, {_SHOP}",
            "access-control-expose-headers": "retry-after, x-ratelimit-limit,"
            " x-ratelimit-remaining, x-ratelimit-reset",
            "vary": "origin",
        }

    def _judged(self, request: Request) -> tuple[Answer, Stored | None]:
        """Return the answer with nothing going wrong, and the intent to store.

        Each step only when those before it found nothing.
        """
        assumed, catalog = self.settings.assumptions, self.settings.catalog
        shop = request.shop
        try:
            body = json_from_bytes(request.body or b"")
            faults = self._judge.faults(request.headers, body)
        except ValueError as error:
            return messages_answer(400, [str(error)]), None
        if faults:
            return messages_answer(int(assumed["refused_status"]), faults, assumed), None
        if _faults_of_shop(shop) or (shop not in catalog and "" not in catalog):
            return error_answer(int(assumed["unknown_shop"]), NOT_FOUND, assumed), None
        wanted, customer = section(body, "intent"), section(body, "customer")
        variant, product = wanted.get("shopify_variant_id"), wanted.get("shopify_product_id")
        products = catalog.get(shop, catalog.get(""))
        status, wrong = "created", list[str]()
        if products is None:
            pass
        elif type(variant) is not int or variant not in products:
            status, wrong = assumed["unknown_variant"], ["intent.shopify_variant_id: is not known"]
        elif products[variant] != product:
            status = assumed["wrong_product"]
            wrong = ["intent.shopify_product_id: is not the variant's"]
        if status == "404":
            return error_answer(404, NOT_FOUND, assumed), None
        if status == "created":
            status, wrong = assumed["broken_rule"], self._broken_rules(body, customer)
        if wrong and status != "created":
            return messages_answer(int(status), wrong, assumed), None
        return self._placed(shop, wanted, customer)

    def _broken_rules(self, body: Any, customer: Mapping[str, Any]) -> list[str]:
        fields = fields_of(body)
        broken = [
            f"{violation.path}: {violation.message}"
            for rule in _IN_PROSE
            for violation in rule.violations(fields)
        ]
        domain = str(customer.get("email")).strip().rpartition("@")[2].lower()
        if domain in TEST_DOMAINS and self.settings.assumptions["test_addresses"] == "refused":
            broken.append("customer.email: is a test address")
        return broken

    def _placed(
        self, shop: str, wanted: Mapping[str, Any], customer: Mapping[str, Any]
    ) -> tuple[Answer, Stored | None]:
        """Return the answer to a request that is in order, and the intent unless it exists."""
        assumed = self.settings.assumptions
        contacts = self._contacts(wanted.get("channel"), customer)
        intent_id = self.store.stored + 1
        customer_id = self.store.customer(shop, customer.get("id"), contacts) or intent_id
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        now = now.replace("+00:00", "Z")
        intent = {
            "id": str(intent_id),
            "channel": wanted.get("channel"),
            **{name: customer.get(name) for name in ("email", "phone")},
            **{name: wanted.get(name) for name in ("quantity", "source")},
            "type": "back_in_stock",
            **{name: wanted.get(name) for name in _IDS},
            "customer_id": str(customer_id),
            "created_at": now,
            "updated_at": now,
            **dict.fromkeys(("notified_at", "unsubscribed_at", "blocked_at")),
            "optin_confirmed": False,
            "accepts_marketing": customer.get("accepts_marketing", False),
        }
        variant, market = wanted.get("shopify_variant_id"), wanted.get("shopify_market_id")
        stored: Stored = {
            "intent_id": intent_id,
            "intent": json_text(intent),
            "shop": shop,
            "customer": customer_id,
            # Ids of Shopify may have more digits than SQLite's integers.
            "variant": None if variant is None else str(variant),
            "market": None if market is None else str(market),
            "channel": wanted.get("channel"),
            **contacts,
        }
        duplicate = self.store.duplicate(assumed["unique"], stored)
        if duplicate is None:
            return self._created(stored["intent"], str(intent_id)), stored
        number, first = duplicate
        if assumed["duplicate"] == "201-updated":
            first |= {"quantity": intent["quantity"], "updated_at": now}
            self.store.change(number, first)
        if assumed["duplicate"].startswith("201"):
            return self._created(json_text(first), first["id"]), None
        words = ASSUMPTIONS["duplicate_words"].choices[assumed["duplicate_words"]]
        return messages_answer(int(assumed["duplicate"]), [words], assumed), None

    def _contacts(self, channel: object, customer: Mapping[str, Any]) -> dict[str, str]:
        """Return by what the customer is known, by name of the contact."""
        rule = self.settings.assumptions["same_customer"]
        found = {
            name: str(value).strip()
            for of_channel, name in CONTACT_OF_CHANNEL.items()
            if (rule == "any" or of_channel == channel)
            and isinstance(value := customer.get(name), str | int)
        }
        if rule != "exact" and "email" in found:
            found["email"] = found["email"].lower()
        return {name: value for name, value in found.items() if value}

    def _created(self, intent: str, intent_id: str) -> Answer:
        if self.settings.assumptions["created_intent"] == "id":
            intent = json_text({"id": intent_id})
        body = f'{{"intents": [{intent}], "errors": []}}'
        return Answer(201, body.encode(), {"content-type": "application/json"})


def section(body: object, name: str) -> Mapping[str, Any]:
    """Return the object *name* of a body; empty where there is none, as another spec may allow."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
