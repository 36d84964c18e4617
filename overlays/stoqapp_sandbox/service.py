"""The pretended service: the order in which a request is judged, and what it is answered."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from http import HTTPStatus
from threading import RLock
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

from attrs import define, evolve, field

from stoqapp.rules import CONTACT_OF_CHANNEL, RULES, check_shop, fields_of
from stoqapp.spec import INTENTS_PATH, SHOP_HEADER, SPEC, Spec
from stoqapp_sandbox.answers import (
    USUAL_DELIVERY,
    Answer,
    Request,
    UnreadableJsonError,
    error_answer,
    json_answer,
    json_from_bytes,
    json_text,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import ASSUMPTIONS
from stoqapp_sandbox.budget import Budget
from stoqapp_sandbox.faults import NOTHING, SCRIPTED, Fault, Faults, Struck
from stoqapp_sandbox.judge import Judge
from stoqapp_sandbox.options import Options, Settings
from stoqapp_sandbox.scripted import NOT_FOUND, odd_created, scripted_answer
from stoqapp_sandbox.store import Store, Stored

BODY_LIMIT: Final = 1024 * 1024
TEST_DOMAINS: Final = frozenset({"example.com", "mailinator.com"})

_SHOP: Final = SHOP_HEADER.lower()
_READS: Final = frozenset({"GET", "HEAD"})
# The judge reads what the schema says; these rules are prose.
_IN_PROSE: Final = [rule for rule in RULES if rule.name in ("channel_contact", "phone_digits")]
_RESET: Final = json_answer(503, {"error": "The sandbox was reset while this request was sent"})


@lru_cache(1024)
def _is_shop(name: str) -> bool:
    return not check_shop(name)


@cache
def _usual_judge() -> Judge:
    return Judge(SPEC)


@define(eq=False, init=False)
class Service:
    """Answers requests as the service might; needs no socket and no event loop.

    ::

        service = Service(assume={"duplicate": "409"}, clock=lambda: 0.0)
        answer = service.create_intent({"X-Shopify-Shop-Domain": "demo.myshopify.com"}, body)

    Safe to use from several threads.

    Args:
        store: Where requests and intents are kept; None keeps them in memory.
        clock: Seconds since 1970, for dates and for the windows of the rate limit.
        spec: The vendor's file.
        options: Those of `stoqapp_sandbox.Sandbox`, but for address and state.

    Attributes:
        generation: Counts resets. A request that began in an earlier one is answered 503.
        changes: Counts what changed, so that the page knows when to look again.
        base_path: Path of the API, like ``/api/v1``.
        path: Path of the endpoint, like ``/api/v1/intents.json``.

    Raises as `stoqapp_sandbox.Sandbox` does.
    """

    store: Store
    settings: Settings
    faults: Faults
    generation: int
    changes: int
    base_path: str
    path: str
    _judge: Judge = field(repr=False)
    _budget: Budget = field(repr=False)
    _clock: Callable[[], float] = field(repr=False)
    _lock: RLock = field(repr=False)

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        spec: Spec = SPEC,
        **options: Unpack[Options],
    ) -> None:
        self.store = store or Store()
        self._clock = clock
        self._lock = RLock()
        self._judge = _usual_judge() if spec is SPEC else Judge(spec)
        self.base_path = urlsplit(spec.base_url).path
        self.path = f"{self.base_path}{INTENTS_PATH}"
        self.generation = self.changes = 0
        self._take(Settings.of(options))

    def _take(self, settings: Settings) -> None:
        self.settings = settings
        self.faults = Faults(settings.faults)
        self._budget = Budget(settings.assumptions, self._clock)

    def configure(self, **options: Unpack[Options]) -> None:
        """Forget everything and go on with these options; raises as `Service` does, unchanged."""
        settings = Settings.of(options)
        with self._lock:
            self._take(settings)
            self.reset()

    def reset(self) -> None:
        """Forget requests, intents, points, and the faults asked for since the beginning."""
        with self._lock:
            with self.store.use():
                self.store.clear()
            self._budget = Budget(self.settings.assumptions, self._clock)
            self.faults.reset()
            self.generation += 1
            self.changes += 1

    def add_fault(self, fault: Fault) -> None:
        """Let *fault* wait behind the others."""
        with self._lock:
            self.faults.add(fault)
            self.changes += 1

    def clear_faults(self) -> None:
        """Let no fault wait."""
        with self._lock:
            self.faults.clear()
            self.changes += 1

    # -- what it holds -----------------------------------------------------------------------

    def requests(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return requests with a higher number than *after*, see `Store.requests`."""
        with self.store.use():
            return self.store.requests(after, limit)

    def intents_json(self) -> Iterator[str]:
        """Yield the list of stored intents as JSON, in parts.

        Each intent has ``shop`` and ``request`` (the body as it came) beside its own fields.
        """
        after, opening = 0, "["
        while True:
            with self.store.use():
                rows = self.store.some_intents(after)
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

    def answer(self, request: Request, generation: int | None = None) -> Answer:
        """Answer a request to the API, and keep both.

        Args:
            request: The request.
            generation: The `generation` in which it began; None means this one.

        Raises:
            SandboxError: The state file cannot be used; nothing was stored.
        """
        with self._lock:
            if generation not in (None, self.generation):
                return _RESET
            shop = request.headers.get(_SHOP, "").strip().lower()
            with self.store.use():
                answer, struck, stored = self._answered(request, shop)
                # Not what a browser asks for by itself, like an icon.
                is_ours = request.path.startswith(f"{self.base_path}/")
                if is_ours or request.method not in _READS:
                    self.store.add(self._clock(), shop, request, answer, struck.written, stored)
                    self.changes += 1
        return answer

    # -- judging -----------------------------------------------------------------------------

    def _answered(self, request: Request, shop: str) -> tuple[Answer, Struck, Stored | None]:
        """Return the answer, the faults that struck, and the intent to store."""
        points, is_refused = self._budget.spend(shop, request.method)
        headers = {**points, **self._cors(request)}
        struck, stored = NOTHING, None
        if is_refused:
            seconds = self._budget.seconds_left()
            said = f"No points left; try again in {seconds} seconds"
            answer = rate_limited_answer(seconds, said, self.settings.assumptions)
        elif request.path != self.path:
            answer = self._error(404, NOT_FOUND)
        elif request.method == "OPTIONS" and "access-control-allow-origin" in headers:
            answer = Answer(204, b"", {})
        elif request.method != "POST":
            answer = self._error(405, "Method Not Allowed", {"allow": "POST"})
        elif request.body is None:
            answer = self._error(413, f"Body larger than {BODY_LIMIT} bytes")
        else:
            struck = self.faults.take()
            answer, stored = self._under(struck, request, shop)
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS and points:
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

    def _under(self, struck: Struck, request: Request, shop: str) -> tuple[Answer, Stored | None]:
        """Return the answer of a request that was *struck*, and the intent to store."""
        fault, stored = struck.fault, None
        if fault is None or fault.kind.stores:
            answer, stored = self._judged(request, shop)
        elif fault.kind.name == "status":
            seconds = self._budget.seconds_left()
            answer = scripted_answer(fault, seconds, self.settings.assumptions)
        else:
            # The caller receives nothing of it.
            answer = self._error(503, SCRIPTED)
        if struck.written is None:
            return answer, stored
        if fault and fault.kind.name == "odd-201":
            answer = odd_created(answer, fault.value)
        delivery = evolve(
            fault.kind.delivery if fault else USUAL_DELIVERY,
            wait_seconds=struck.wait_seconds,
            seconds_per_byte=fault.value if fault and fault.kind.name == "slow-bytes" else 0.0,
        )
        return evolve(answer, delivery=delivery), stored

    def _judged(self, request: Request, shop: str) -> tuple[Answer, Stored | None]:
        """Return the answer with nothing going wrong, and the intent to store.

        Each step only when those before it found nothing: is it JSON, does it fit the schemas
        of body and headers, is the shop known, is the variant known, does it keep the rules
        that the spec states in prose, is it new.
        """
        assumed, catalog = self.settings.assumptions, self.settings.catalog
        try:
            body = json_from_bytes(request.body or b"")
        except UnreadableJsonError as error:
            return messages_answer(400, [f"body: {error}"]), None
        if faults := [*self._judge.body_faults(body), *self._judge.header_faults(request.headers)]:
            return self._refusal(assumed["refused_status"], faults), None
        if not _is_shop(shop) or not catalog.has_shop(shop):
            return self._error(int(assumed["unknown_shop"]), NOT_FOUND), None
        wanted = section(body, "intent")
        variant, product = wanted.get("shopify_variant_id"), wanted.get("shopify_product_id")
        misplaced = None
        if not catalog.has_variant(shop, variant):
            misplaced = "unknown_variant", "intent.shopify_variant_id: is not known"
        elif not catalog.is_of_product(shop, variant, product):
            misplaced = "wrong_product", "intent.shopify_product_id: is not the variant's"
        if misplaced and (status := assumed[misplaced[0]]) != "created":
            if status == "404":
                return self._error(404, NOT_FOUND), None
            return self._refusal(status, [misplaced[1]]), None
        if assumed["broken_rule"] != "created" and (broken := self._broken_rules(body)):
            return self._refusal(assumed["broken_rule"], broken), None
        return self._placed(shop, wanted, section(body, "customer"))

    def _broken_rules(self, body: Any) -> list[str]:
        broken = [
            f"{violation.path}: {violation.message}"
            for rule in _IN_PROSE
            for violation in rule.violations(fields_of(body))
        ]
        if self.settings.assumptions["test_addresses"] == "refused":
            email = section(body, "customer").get("email")
            if str(email).strip().rpartition("@")[2].lower() in TEST_DOMAINS:
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
            "email": customer.get("email"),
            "phone": customer.get("phone"),
            "quantity": wanted.get("quantity"),
            "source": wanted.get("source"),
            "type": "back_in_stock",
            "shopify_variant_id": wanted.get("shopify_variant_id"),
            "shopify_product_id": wanted.get("shopify_product_id"),
            "shopify_market_id": wanted.get("shopify_market_id"),
            "customer_id": str(customer_id),
            "created_at": now,
            "updated_at": now,
            "notified_at": None,
            "unsubscribed_at": None,
            "blocked_at": None,
            "optin_confirmed": False,
            "accepts_marketing": customer.get("accepts_marketing", False),
        }
        place = [intent["shopify_variant_id"], intent["shopify_market_id"]]
        variant, market = (None if one is None else str(one) for one in place)
        found_by = [contacts.get(name) for name in ("email", "phone", "push")]
        text = json_text(intent)
        stored = Stored(intent_id, text, customer_id, variant, market, intent["channel"], *found_by)
        duplicate = self.store.duplicate(assumed["unique"], shop, stored)
        if duplicate is None:
            return self._created(intent, text), stored
        number, first = duplicate
        if assumed["duplicate"] == "201-updated":
            first |= {"quantity": intent["quantity"], "updated_at": now}
            self.store.change(number, first)
        if assumed["duplicate"].startswith("201"):
            return self._created(first, json_text(first)), None
        words = ASSUMPTIONS["duplicate_words"].choices[assumed["duplicate_words"]]
        return self._refusal(assumed["duplicate"], [words]), None

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

    def _created(self, intent: Mapping[str, Any], text: str) -> Answer:
        if self.settings.assumptions["created_intent"] == "id":
            text = json_text({"id": intent["id"]})
        body = f'{{"intents": [{text}], "errors": []}}'
        return Answer(201, body.encode("utf-8"), {"content-type": "application/json"})

    def _refusal(self, status: str, messages: Sequence[str]) -> Answer:
        return messages_answer(int(status), messages, self.settings.assumptions)

    def _error(self, status: int, said: str, headers: Mapping[str, str] | None = None) -> Answer:
        return error_answer(status, said, headers, self.settings.assumptions)


def section(body: object, name: str) -> Mapping[str, Any]:
    """Return the object *name* of a body; empty where there is none, as another spec may allow."""
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
