"""Each choice of what the sandbox assumes shows in its answers."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sending import SMS, body, get, send

from stoqapp.cli import main
from stoqapp_sandbox import ASSUMPTIONS, Assumptions, Sandbox, SandboxError

SWITCHES = {name: entry for name, entry in ASSUMPTIONS.items() if not entry.instead}
LIMIT_BODY = ["error", "message", "retry_after"]


def statuses(sandbox: Sandbox, *changes: dict[str, Any]) -> list[int]:
    return [send(sandbox, body(**change)).status_code for change in changes]


def form(answer: httpx.Response) -> Any:
    """Return a body with each text in it as its type, so that only the form is left."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: of(part) for name, part in value.items()}
        return [of(part) for part in value] if isinstance(value, list) else type(value)

    return of(answer.json()) if answer.content else None


def duplicate(sandbox: Sandbox) -> Any:
    send(sandbox)
    again = send(sandbox, body(intent__quantity=9))
    intents = again.json().get("intents", [])
    return again.status_code, [(intent["id"], intent["quantity"]) for intent in intents]


def points(sandbox: Sandbox, name: str) -> int:
    return int(send(sandbox).headers[f"x-ratelimit-{name}"])


def beyond(sandbox: Sandbox) -> Any:
    _, answer = send(sandbox), send(sandbox)
    headers = sum(name.startswith(("x-", "retry-after")) for name in answer.headers)
    return answer.status_code, headers, sorted(answer.json())


BROKEN = {"customer__email": ""}
# Set to see what is said of points; the window is the longest, so that none ends within a test.
LIMITED = {"rate_enforced": "yes", "rate_points": 3, "rate_window": 86400}
AS_STATUS = {"404": 404, "422": 422, "200": 200, "created": 201}
# For each switch what is done, and what each choice shows.
PROBES: dict[str, tuple[Callable[[Sandbox], Any], dict[Any, Any]]] = {
    "refused_status": (lambda s: send(s, {}).status_code, {"400": 400, "422": 422}),
    "broken_rule": (
        lambda s: statuses(s, BROKEN, SMS | {"customer__phone": "+1555"}),
        {"200": [200] * 2, "400": [400] * 2, "422": [422] * 2, "created": [201] * 2},
    ),
    "test_addresses": (
        lambda s: statuses(s, {"customer__email": "a@Example.com"}, {"customer__email": "a@b.com"}),
        {"taken": [201, 201], "refused": [200, 201]},
    ),
    "unknown_shop": (
        lambda s: send(s, X_Shopify_Shop_Domain="demo").status_code,
        {"404": 404, "401": 401, "403": 403},
    ),
    "unknown_variant": (lambda s: statuses(s, {"intent__shopify_variant_id": 12})[0], AS_STATUS),
    "wrong_product": (lambda s: statuses(s, {"intent__shopify_product_id": 23})[0], AS_STATUS),
    "unique": (
        lambda s: statuses(
            s, {}, {}, {"intent__shopify_market_id": 3}, SMS | {"customer__id": "1"}
        ),
        {
            "market": [201, 200, 201, 200],
            "variant": [201, 200, 200, 200],
            "channel": [201, 200, 201, 201],
            "off": [201] * 4,
        },
    ),
    "duplicate": (
        duplicate,
        {status: (int(status), []) for status in ("200", "400", "409", "422")}
        | {"201": (201, [("1", 1)]), "201-updated": (201, [("1", 9)])},
    ),
    "duplicate_words": (
        lambda s: [send(s).json() for _ in range(2)][1]["errors"][0],
        ASSUMPTIONS["duplicate_words"].choices,
    ),
    "same_customer": (
        lambda s: statuses(s, {}, {"customer__email": "ADA@lovelace.org"}, SMS),
        {"channel": [201, 200, 201], "exact": [201, 201, 201], "any": [201, 200, 200]},
    ),
    "created_intent": (lambda s: len(send(s).json()["intents"][0]), {"full": 18, "id": 1}),
    "processed_body": (
        lambda s: form(send(s, body(**BROKEN))),
        {
            "list": {"errors": [str]},
            "text": {"errors": str},
            "fields": {"errors": {"customer.email": [str]}},
            "error": {"error": str},
        },
    ),
    "error_body": (
        lambda s: form(send(s, method="GET")),
        {"error": {"error": str}, "errors": {"errors": [str]}, "message": {"message": str}}
        | {"empty": None},
    ),
    "rate_enforced": (beyond, {"no": (200, 0, ["errors"]), "yes": (429, 4, LIMIT_BODY)}),
    "rate_points": (lambda s: points(s, "limit"), {7: 7}),
    "rate_window": (lambda s: points(s, "reset") % 86400, {86400: 0}),
    "rate_write": (lambda s: points(s, "remaining"), {1: 2}),
    "rate_limited_body": (
        beyond,
        {
            "both": (429, 4, LIMIT_BODY),
            "header": (429, 4, LIMIT_BODY[:2]),
            "body": (429, 3, LIMIT_BODY),
        },
    ),
    "cors": (
        lambda s: send(s, Origin="https://a.example").headers.get("access-control-allow-origin"),
        {"none": None, "any": "https://a.example"},
    ),
}


def test_every_switch_is_tried() -> None:
    """Each switch has a probe, and what the probe expects of each choice differs."""
    assert set(PROBES) == set(SWITCHES)
    for name, (_, expected) in PROBES.items():
        assert list(SWITCHES[name].choices or expected) == list(expected)
        assert len({repr(shown) for shown in expected.values()}) == len(expected)


@pytest.mark.parametrize(
    ("name", "choice"), [(name, choice) for name, probe in PROBES.items() for choice in probe[1]]
)
def test_each_choice_shows(sandbox: Sandbox, name: str, choice: str | float) -> None:
    """A sandbox that was told a choice answers as the choice says; the first is the default."""
    do, expected = PROBES[name]
    others = {one: LIMITED[one] for one in LIMITED if name.startswith("rate_") and one != name}
    is_default = SWITCHES[name].default == choice
    for assume in [{name: choice}, {}] if is_default else [{name: choice}]:
        sandbox.configure(assume=others | assume, catalog={"demo": {"22": [11]}})
        assert expected[choice] == do(sandbox)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"nothing": "x"}, "'nothing' is not an assumption: choose from refused_status, "),
        ({"numbers": "text"}, "'numbers' is not an assumption: "),
        ({"duplicate": "410"}, "assumption duplicate must be one of 200, 400, 409, 422, 201, 201-"),
        ({"rate_points": 1.5}, "assumption rate_points must be a whole number from 1 to 10^9"),
        ({"rate_window": "soon"}, "rate_window must be a number from 0.001 to 86400"),
        ("duplicate=409", "assume must be like"),
    ],
)
def test_what_cannot_be_assumed(given: Any, says: str) -> None:
    """A name, choice or number that there is not is an error that lists those there are."""
    with pytest.raises(SandboxError) as caught:
        Sandbox(assume=given)
    assert says in str(caught.value)


def test_what_is_given_can_be_written_in_several_ways() -> None:
    """A status may be given as a number, and a number as text; a copy can be made of the result."""
    made = Sandbox(assume={"duplicate": 409, "rate_points": "7", "rate_window": "0.5"}).assumptions
    assert (made["duplicate"], made["rate_points"], made["rate_window"]) == ("409", 7, 0.5)
    assert made == Assumptions.of(dict(made))


def test_what_is_assumed_can_be_listed(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """--assume list prints every entry with all its choices; a running sandbox tells as much."""
    assert main(["sandbox", "--assume", "list"]) == 0
    said = capsys.readouterr().out
    for name, entry in ASSUMPTIONS.items():
        assert f"{name} ({entry.trust})\n" in said
        assert all(f"{name}={choice}" in said for choice in entry.choices)
    assert "duplicate=200 (default): " in said
    sandbox.configure(assume={"rate_points": 7})
    told = get(sandbox, "/_sandbox/assumptions")
    assert list(told) == list(ASSUMPTIONS)
    assert (told["rate_points"]["value"], told["rate_points"]["default"]) == (7, 360)
    assert told["numbers"]["instead"]
