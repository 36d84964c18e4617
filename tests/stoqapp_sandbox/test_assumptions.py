"""What the sandbox takes for granted can be switched, and each choice shows in its answers."""

import importlib
import inspect
import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from stoqapp.cli import main
from stoqapp_sandbox import ASSUMPTIONS, Assumption, Assumptions, Bounds, Sandbox, SandboxError

BY_NAME = {assumption.name: assumption for assumption in ASSUMPTIONS}
# Shared, because each client would spend 20 ms on one of its own.
TLS = ssl.create_default_context()

CATALOG = {"demo.myshopify.com": {"22": [11]}}

Sections = dict[str, dict[str, Any]]


def body(intent: dict[str, Any] | None = None, **customer: Any) -> Sections:
    """Return a valid body with these fields changed."""
    wanted = {"shopify_variant_id": 11, "shopify_product_id": 22, "channel": "email"}
    return {
        "intent": wanted | {"quantity": 1, "source": "api"} | (intent or {}),
        "customer": {"email": "ada@lovelace.org"} | customer,
    }


def sms(**customer: Any) -> Sections:
    return body({"channel": "sms"}, **{"phone": "15550109999"} | customer)


def without_variant() -> Sections:
    made = body()
    del made["intent"]["shopify_variant_id"]
    return made


class Caller:
    """Sends requests to one sandbox, as a shop's back end would."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def post(self, content: Any = None, **headers: str) -> httpx.Response:
        sent = body() if content is None else content
        raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        named = {"X-Shopify-Shop-Domain": "demo.myshopify.com", "Content-Type": "application/json"}
        lines = {**named, **{name.replace("_", "-"): value for name, value in headers.items()}}
        kept = {name: value for name, value in lines.items() if value}
        return self._client.post("/api/v1/intents.json", content=raw, headers=kept)

    def get(self) -> httpx.Response:
        named = {"X-Shopify-Shop-Domain": "demo.myshopify.com"}
        return self._client.get("/api/v1/intents.json", headers=named)

    def statuses(self, *contents: Any) -> list[int]:
        return [self.post(content).status_code for content in contents]

    def created(self, content: Any = None) -> dict[str, Any]:
        [intent] = self.post(content).json()["intents"]
        return dict(intent)


@pytest.fixture
def assuming(sandbox: Sandbox) -> Iterator[Callable[[dict[str, Any]], Caller]]:
    """Returns a caller of a sandbox that assumes what is given, and knows one variant per shop."""
    with httpx.Client(base_url=sandbox.url, verify=TLS) as client:

        def caller(assume: dict[str, Any]) -> Caller:
            sandbox.configure(assume=assume, catalog=CATALOG)
            return Caller(client)

        yield caller


def left(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


def shape(answer: httpx.Response) -> Any:
    """Return a body with each text in it as its type, so that the form alone is left."""

    def form(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: form(part) for name, part in value.items()}
        return [form(part) for part in value] if isinstance(value, list) else type(value)

    return form(answer.json()) if answer.content else None


def duplicate(caller: Caller) -> Any:
    first = caller.created()
    again = caller.post(body({"quantity": 9}))
    intents = again.json().get("intents", [])
    assert [first["id"]] * len(intents) == [intent["id"] for intent in intents]
    return again.status_code, [intent["quantity"] for intent in intents]


def window_start(caller: Caller) -> bool:
    reset = int(caller.post().headers["x-ratelimit-reset"])
    return reset % 86_400 == 0


def window_of(answer: httpx.Response, seconds: float) -> bool:
    """Whether the answer tells an aligned window of so many seconds."""
    reset = int(answer.headers["x-ratelimit-reset"])
    return reset % max(1, seconds) == 0 and reset - time.time() <= seconds + 1


BROKEN = body(email="")
BODIES = {"errors": {"errors": [str]}, "error": {"error": str}, "message": {"message": str}}
NUMBERS = [{"quantity": 1}, {"quantity": 1.0}, {"quantity": "1"}, {"quantity": True}]

TAKEN = {"taken": 201, "200": 200, "400": 400, "422": 422}

# For each entry: other entries that must be set to see it, what is done, and what each choice
# must then show.
Probe = tuple[dict[str, Any], Callable[[Caller], Any], dict[str, Any]]
PROBES: dict[str, Probe] = {
    "refused_status": ({}, lambda c: c.post({}).status_code, {"400": 400, "422": 422}),
    "refused_body": ({}, lambda c: shape(c.post([])), BODIES | {"empty": None}),
    "json_text": ({}, lambda c: c.post(b"{").status_code, {"400": 400, "422": 422, "500": 500}),
    "content_type_parameters": (
        {},
        lambda c: [
            c.post(Content_Type=value).status_code
            for value in ("application/json; charset=utf-8", "Application/JSON", "text/plain", "")
        ],
        {
            "taken": [201, 200, 400, 400],
            "refused": [400, 400, 400, 400],
            "ignored": [201, 200, 200, 200],
        },
    ),
    "numbers": (
        {"unique": "off"},
        lambda c: c.statuses(*map(body, NUMBERS)),
        {
            "strict": [201, 400, 400, 400],
            "integral": [201, 201, 400, 400],
            "text": [201, 201, 201, 400],
        },
    ),
    "missing_shop": (
        {},
        lambda c: c.post(X_Shopify_Shop_Domain="").status_code,
        {"refused": 400, "unknown": 404},
    ),
    "unknown_shop": (
        {},
        lambda c: c.post(X_Shopify_Shop_Domain="demo").status_code,
        {"404": 404, "401": 401, "403": 403},
    ),
    "unknown_variant": (
        {},
        lambda c: c.post(body({"shopify_variant_id": 12})).status_code,
        {"404": 404, "422": 422, "200": 200, "created": 201},
    ),
    "wrong_product": (
        {},
        lambda c: c.post(body({"shopify_product_id": 23})).status_code,
        {"404": 404, "422": 422, "200": 200, "created": 201},
    ),
    "id_range": (
        {"unique": "off"},
        lambda c: c.statuses(
            *(
                body({"shopify_market_id": number}, shopify_market_id=1)
                for number in (1, 2**63 - 1, 0, -1, 10**30)
            ),
            body(shopify_market_id=0),
        ),
        {choice: [201, 201] + [code] * 4 for choice, code in TAKEN.items()},
    ),
    "least_quantity": (
        {"unique": "off"},
        lambda c: c.statuses(*(body({"quantity": number}) for number in (1, 10**30, 0, -1))),
        {choice: [201, 201] + [code] * 2 for choice, code in TAKEN.items()},
    ),
    "email_form": (
        {"unique": "off"},
        lambda c: c.statuses(
            *(body(email=text) for text in ("a@b", " a@b.org ", "a b@c.org", "a@", "ada", "a@b@c"))
        ),
        {choice: [201, 201] + [code] * 4 for choice, code in TAKEN.items()},
    ),
    "name_plan": (
        {"unique": "off"},
        lambda c: c.statuses(body(), body(name=""), body(name="Ada")),
        {choice: [201, 201, code] for choice, code in TAKEN.items()},
    ),
    "missing_variant": (
        {},
        lambda c: c.post(without_variant()).status_code,
        {"refused": 400, "404": 404},
    ),
    "broken_rule": (
        {},
        lambda c: c.statuses(BROKEN, sms(phone="+1555")),
        {"200": [200] * 2, "400": [400] * 2, "422": [422] * 2, "created": [201] * 2},
    ),
    "test_addresses": (
        {},
        lambda c: c.statuses(body(email="a@Example.com"), body(email="a@notexample.com")),
        {"taken": [201, 201], "refused": [200, 201]},
    ),
    "unique": (
        {},
        lambda c: c.statuses(
            body(), body(), body({"shopify_market_id": 3}), sms(id="1"), body({"quantity": 2})
        ),
        {
            "market": [201, 200, 201, 200, 200],
            "variant": [201, 200, 200, 200, 200],
            "channel": [201, 200, 201, 201, 200],
            "off": [201] * 5,
        },
    ),
    "duplicate": (
        {},
        duplicate,
        {
            "200": (200, []),
            "400": (400, []),
            "409": (409, []),
            "422": (422, []),
            "201": (201, [1]),
            "201-updated": (201, [9]),
        },
    ),
    "duplicate_words": (
        {},
        lambda c: [c.post(), c.post()][1].json()["errors"],
        {
            "waits": [
                "customer: already waits for this variant in this market; nothing was created"
            ],
            "taken": ["customer: has already been taken"],
            "exists": ["intent: already exists"],
            "vague": ["intent: could not be saved"],
        },
    ),
    "processed_body": (
        {},
        lambda c: shape(c.post(BROKEN)),
        {
            "list": {"errors": [str]},
            "text": {"errors": str},
            "fields": {"errors": {"customer.email": [str]}},
            "error": {"error": str},
        },
    ),
    "same_customer": (
        {},
        lambda c: c.statuses(body(), body(email="ADA@lovelace.org"), sms()),
        {"channel": [201, 200, 201], "exact": [201, 201, 201], "any": [201, 200, 200]},
    ),
    "customer_id": (
        {},
        lambda c: c.statuses(body(), sms(id="1"), sms(id="7", phone="15550108888")),
        {"known": [201, 200, 201], "ignored": [201, 201, 201], "404": [201, 200, 404]},
    ),
    "market": (
        {},
        lambda c: [
            c.created(body(shopify_market_id=5))["shopify_market_id"],
            c.post(body({"shopify_market_id": 5})).status_code,
        ],
        {"intent": [None, 201], "customer": [5, 200]},
    ),
    "created_intent": ({}, lambda c: len(c.created()), {"full": 18, "id": 1}),
    "intent_type": (
        {},
        lambda c: c.created().get("type"),
        {"back_in_stock": "back_in_stock", "preorder": "preorder", "absent": None},
    ),
    "created_errors": (
        {},
        lambda c: sorted(c.post().json()),
        {"empty": ["errors", "intents"], "absent": ["intents"]},
    ),
    "ids": (
        {"unique": "off"},
        lambda c: [type(c.created()[name]) for name in ("id", "customer_id")],
        {"text": [str, str], "number": [int, int]},
    ),
    "optin_confirmed": (
        {},
        lambda c: c.created()["optin_confirmed"],
        {"no": False, "yes": True},
    ),
    "accepts_marketing": (
        {"unique": "off"},
        lambda c: [
            c.created(content)["accepts_marketing"]
            for content in (body(), body(accepts_marketing=True), body(accepts_marketing=False))
        ],
        {
            "no": [False, True, False],
            "yes": [True, True, False],
            "null": [None, True, False],
        },
    ),
    "error_body": (
        {},
        lambda c: shape(c.get()),
        {name: BODIES[name] for name in ("error", "errors", "message")} | {"empty": None},
    ),
    "rate_limited_body": (
        {"rate_points": 1, "rate_enforced": "yes"},
        lambda c: [(a := c.post()).status_code, "retry-after" in a.headers, sorted(a.json())],
        {
            "both": [429, True, ["error", "message", "retry_after"]],
            "header": [429, True, ["error", "message"]],
            "body": [429, False, ["error", "message", "retry_after"]],
        },
    ),
    "rate_headers": (
        {},
        lambda c: [name for name in c.post().headers if name.startswith("x-ratelimit")],
        {
            "shown": ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
            "absent": [],
        },
    ),
    "rate_keyless": (
        {},
        lambda c: [left(c.post()), left(c.post({})), left(c.get())],
        {"counts": [358, 356, 355], "free": [360, 360, 359]},
    ),
    # Half of all moments of a day would do to tell the two apart, were it not for midnight.
    "rate_window_start": (
        {"rate_window": 86_400},
        window_start,
        {"aligned": True, "request": False},
    ),
    "rate_enforced": (
        {"rate_points": 3},
        lambda c: c.statuses(body(), body(), {}),
        {"no": [201, 200, 400], "yes": [201, 429, 429]},
    ),
    "rate_refused": (
        {"rate_points": 3, "rate_enforced": "yes"},
        lambda c: [*c.statuses(body(), {}), c.get().status_code],
        {"free": [201, 429, 405], "costs": [201, 429, 429]},
    ),
}


def nested(levels: int) -> dict[str, Any]:
    """Return a body that is nested so deep."""
    made: dict[str, Any] = body()
    inner: Any = 0
    for _ in range(levels - 1):
        inner = [inner]
    return made | {"x": inner}


def in_bytes(size: int) -> bytes:
    raw = json.dumps(body()).encode()
    return raw + b" " * (size - len(raw))


# What is done with the number that is in force, and what it must show.
NUMBER_PROBES: dict[str, Callable[[Caller, float], bool]] = {
    "nesting": lambda c, n: [201, 400] == c.statuses(nested(int(n)), nested(int(n) + 1)),
    "body_limit": lambda c, n: [201, 413] == c.statuses(in_bytes(int(n)), in_bytes(int(n) + 1)),
    "rate_points": lambda c, n: c.post().headers["x-ratelimit-limit"] == f"{n:.0f}",
    "rate_window": lambda c, n: window_of(c.post(), n),
    "rate_read": lambda c, n: left(c.get()) == max(0, 360 - n),
    "rate_write": lambda c, n: left(c.post()) == max(0, 360 - n),
}


@pytest.mark.parametrize(
    ("name", "choice"), [(entry.name, choice) for entry in ASSUMPTIONS for choice in entry.choices]
)
def test_each_choice_shows(assuming: Any, name: str, choice: str) -> None:
    """A sandbox that was told a choice answers as the choice says."""
    beside, act, expected = PROBES[name]
    assert expected[choice] == act(assuming(beside | {name: choice}))


@pytest.mark.parametrize("name", [entry.name for entry in ASSUMPTIONS if entry.choices])
def test_each_choice_shows_something_else(assuming: Any, name: str) -> None:
    """No two choices of an entry look the same, and the first one is what nobody has to ask for."""
    beside, act, expected = PROBES[name]
    assert list(BY_NAME[name].choices) == list(expected)
    shown = [repr(value) for value in expected.values()]
    assert sorted(set(shown)) == sorted(shown)
    assert next(iter(expected.values())) == act(assuming(beside))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (entry.name, number)
        for entry in ASSUMPTIONS
        if entry.bounds
        for number in (None, entry.bounds.least, entry.bounds.most)
        if (entry.name, number) != ("body_limit", entry.bounds.most)
    ],
)
def test_each_number_shows(assuming: Any, name: str, number: float | None) -> None:
    """A sandbox that was told a number, the smallest or the largest too, goes by it."""
    given = {} if number is None else {name: number}
    bounds = BY_NAME[name].bounds
    assert bounds is not None
    wanted = bounds.default if number is None else number
    assert NUMBER_PROBES[name](assuming(given), wanted)


@pytest.mark.parametrize("entry", ASSUMPTIONS, ids=lambda entry: entry.name)
def test_each_entry_is_complete(entry: Assumption) -> None:
    """An entry has choices or bounds, says what it is, and is asked for."""
    assert bool(entry.choices) != bool(entry.bounds)
    assert entry.about.endswith((".", ".)"))
    assert entry.trust in {"vendor", "observed", "assumed"}
    assert len(entry.choices) != 1
    assert all(meaning for meaning in entry.choices.values())
    rooms = {place.partition(".")[0] for place in entry.used_in}
    sources = [
        inspect.getsource(importlib.import_module(f"stoqapp_sandbox.{room}")) for room in rooms
    ]
    assert any(f'"{entry.name}"' in source for source in sources)


# -- what is given -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"duplicates": "409"}, r"'duplicates' is no assumption: there are refused_status, "),
        ({"intent_type": "x"}, "intent_type must be one of back_in_stock, preorder, absent"),
        ({"duplicate": "408"}, "duplicate must be one of 200, 400, 409, 422, 201, 201-updated"),
        ({"duplicate": None}, "duplicate must be one of"),
        ({"duplicate": True}, "duplicate must be one of"),
        ({"duplicate": 409.0}, "duplicate must be one of"),
        ({"rate_points": "many"}, "rate_points must be a whole number from 1 to 1000000000"),
        ({"rate_points": 0}, "rate_points must be a whole number"),
        ({"rate_points": 1.5}, "rate_points must be a whole number"),
        ({"rate_points": "1.5"}, "rate_points must be a whole number"),
        ({"rate_points": True}, "rate_points must be a whole number"),
        ({"rate_points": "9" * 5000}, "rate_points must be a whole number"),
        ({"rate_points": 10**400}, "rate_points must be a whole number"),
        ({"rate_window": float("nan")}, "rate_window must be a number from 0.001 to 86400"),
        ({"rate_window": "inf"}, "rate_window must be a number"),
        ({"rate_window": []}, "rate_window must be a number"),
        (["duplicate=409"], r'assume must be like \{"duplicate": "409"\}'),
        ("duplicate=409", "assume must be like"),
        ({1: 2}, "what was given is no assumption: there are"),
    ],
)
def test_what_cannot_be_assumed(given: Any, says: str) -> None:
    """A name, choice or number that there is not is an error that lists those there are."""
    with pytest.raises(SandboxError, match=says):
        Sandbox(assume=given)


def test_what_is_given_can_be_written_in_several_ways() -> None:
    """A status may be given as a number, and a number as text; a copy can be made of the result."""
    assumptions = Assumptions.of({"duplicate": 409, "rate_points": "7", "rate_window": "2.5"})

    assert assumptions["duplicate"] == "409"
    assert (assumptions.number("rate_points"), assumptions.number("rate_window")) == (7, 2.5)
    assert Assumptions.of(dict(assumptions)) == assumptions
    assert Assumptions.of() == Assumptions()
    assert str(Bounds(1, 0, 2.5, whole=False)) == "a number from 0 to 2.5"


def test_a_rate_limit_is_three_assumptions() -> None:
    """A rate limit sets points, window and enforcement; to give one of them twice is an error."""
    assumptions = Sandbox(rate_limit=(5, 2.5), assume={"rate_read": 3}).assumptions
    names = ("rate_points", "rate_window", "rate_enforced", "rate_read")
    assert [assumptions[name] for name in names] == ["5", "2.5", "yes", "3"]

    with pytest.raises(SandboxError, match="rate limit decides rate_enforced, rate_points, too"):
        Sandbox(rate_limit=(5, 60), assume={"rate_points": 5, "rate_enforced": "no"})


# -- what can be read ----------------------------------------------------------------------------


def test_a_running_sandbox_tells_what_it_assumes() -> None:
    """The control endpoint tells every entry with its value, and no budget is touched by asking."""
    with (
        Sandbox(assume={"duplicate": "409", "rate_window": 2.5}) as sandbox,
        httpx.Client(base_url=sandbox.url, verify=TLS) as client,
    ):
        answer = client.get("/_sandbox/assumptions")

    told = answer.json()
    assert list(told) == [entry.name for entry in ASSUMPTIONS]
    assert told["duplicate"] == {
        "value": "409",
        "default": "200",
        "about": BY_NAME["duplicate"].about,
        "trust": "assumed",
        "choices": dict(BY_NAME["duplicate"].choices),
    }
    assert [told["rate_window"][name] for name in ("value", "default", "least", "most")] == [
        *(2.5, 60, 0.001, 86_400)
    ]
    assert "x-ratelimit-limit" not in answer.headers


def test_the_command_lists_what_can_be_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    """--assume list prints every entry with all its choices."""
    assert main(["sandbox", "--assume", "list"]) == 0
    listed = capsys.readouterr().out
    for entry in ASSUMPTIONS:
        assert f"{entry.name} ({entry.trust})\n" in listed
        for choice in entry.choices:
            assert f"    {entry.name}={choice}" in listed
    assert "rate_points=N: a whole number from 1 to 1000000000; default 360" in listed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("duplicate", "--assume must be like duplicate=409"),
        ("secret@example.com=1", "what was given is no assumption: there are"),
        ("duplicates=secret", "'duplicates' is no assumption: there are"),
        ("duplicate=secret@example.com", "duplicate must be one of 200, 400"),
        ("rate_points=secret@example.com", "rate_points must be a whole number"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str], given: str, says: str
) -> None:
    """One line that lists what there is, and exit code 2; no value that was typed is repeated."""
    assert main(["sandbox", "--assume", given]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert says in said.err
    assert "secret" not in said.err


def test_the_command_passes_on_what_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """--assume may be given several times, and reaches the server by name."""
    told: list[Any] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given["assume"]))
    assert main(["sandbox", "--assume", "duplicate=409", "--assume", "rate_points=7"]) == 0
    assert told == [{"duplicate": "409", "rate_points": "7"}]
