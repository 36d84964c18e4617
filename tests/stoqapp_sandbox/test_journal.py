"""The journal counts everything and keeps little."""

import json
import threading
from typing import Any

import pytest

from stoqapp_sandbox.budget import Balance
from stoqapp_sandbox.journal import NEWEST, TOP, Journal
from stoqapp_sandbox.service import Service
from stoqapp_sandbox.spec import operation_from_spec, spec
from stoqapp_sandbox.store import Store

SHOP = "demo.myshopify.com"


def intent(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return an intent as the store answers it."""
    return {
        "id": str(number),
        "created_at": "2026-11-01T00:00:00.000Z",
        "channel": "email",
        "shopify_product_id": 42,
        "shopify_variant_id": 4711,
        "shopify_market_id": None,
        "quantity": 1,
    } | changes


def body(**customer: Any) -> dict[str, Any]:
    """Return as much of a request's body as the journal reads."""
    return {"customer": {"email": "ada@example.com"} | customer}


def test_counts_go_on_where_the_newest_end() -> None:
    """All are counted, the newest are kept, newest first, and the most frequent come first."""
    journal = Journal()
    for number in range(1000):
        product = 42 if number % 2 else number
        journal.stored(SHOP, intent(number, shopify_product_id=product), body())
        journal.refused(400, "POST /x", SHOP, None, ("no",))
    view = journal.view()

    assert (1000, 1000) == (view["stored"], view["refused"])
    assert [str(number) for number in range(999, 999 - NEWEST, -1)] == [
        waiting["id"] for waiting in view["waiting"]
    ]
    assert list(range(1000, 1000 - NEWEST, -1)) == [
        refusal["number"] for refusal in view["refusals"]
    ]
    # 42 itself is among the even ones.
    assert view["products"]["all"] == 500
    assert view["products"]["top"][0] == ("42", 501)
    assert len(view["products"]["top"]) == TOP
    assert view["channels"] == {"all": 1, "top": [("email", 1000)]}


@pytest.mark.parametrize("length", [120, 121, 100_000])
def test_texts_are_cut(length: int) -> None:
    """No text is longer than 120 characters, and a view stays small whatever is sent."""
    journal = Journal()
    text = "x" * length
    for _ in range(2 * NEWEST):
        journal.stored(text, intent(), body(email=text, name=text) | {"product": {"title": text}})
        journal.refused(400, text, text, {"intent": {"shopify_variant_id": text}}, (text,) * 1000)
        journal.spent(text + str(length), Balance(1, 1, 1))
    view = journal.view()

    cut = text if length == 120 else "x" * 119 + "…"
    [waiting] = [view["waiting"][0]]
    assert (cut, cut, cut, cut) == tuple(
        waiting[name] for name in ("shop", "contact", "name", "title")
    )
    assert view["refusals"][0]["variant"] == cut
    assert len(json.dumps(view)) < 100_000


def test_what_a_refused_request_may_be() -> None:
    """Whatever JSON was refused, the journal takes from it what has the form of an intent's."""
    journal = Journal()
    odd: list[Any] = [None, [], "x", {"intent": []}, {"intent": {"channel": {}}}]
    for content in [*odd, {"intent": {"channel": "fax", "shopify_variant_id": 2**80}}]:
        journal.refused(400, "POST /x", "", content, ())

    assert [("fax", str(2**80)), *[(None, None)] * len(odd)] == [
        (refusal["channel"], refusal["variant"]) for refusal in journal.view()["refusals"]
    ]


def test_a_quantity_that_changes() -> None:
    """An intent that is there already keeps its place and counts once."""
    journal = Journal()
    for number in range(NEWEST + 1):
        journal.stored(SHOP, intent(number), body())
    for number in (0, 5):
        journal.updated(intent(number, quantity=2**80))
    view = journal.view()

    assert NEWEST + 1 == view["stored"]
    assert {"5": str(2**80)} == {
        waiting["id"]: waiting["quantity"]
        for waiting in view["waiting"]
        if waiting["quantity"] != "1"
    }
    assert view["waiting"][NEWEST - 5]["id"] == "5"


def test_balances_of_many_shops() -> None:
    """Of the shops, those that asked last are kept, in any case of letters."""
    journal = Journal()
    for number in range(100):
        journal.spent(f"Shop{number}", Balance(number, 60, 60))
    journal.spent("SHOP99", Balance(7, 60, 60))
    budgets = journal.view()["budgets"]

    assert len(budgets) == NEWEST
    assert budgets[0] == {"shop": "shop99", "points": 360, "points_left": 7, "resets_at": 60}


def test_clear() -> None:
    """A reset leaves what a new journal has."""
    journal = Journal(clock=lambda: 1.0)
    journal.stored(SHOP, intent(), body())
    journal.refused(400, "POST /x", SHOP, None, ())
    journal.spent(SHOP, Balance(1, 1, 1))
    journal.clear()

    assert Journal(clock=lambda: 1.0).view() == journal.view()


def test_what_the_store_holds_already_is_shown() -> None:
    """A service that opens a store that is not empty begins with what it holds."""
    store = Store()
    wanted = {"intent": intent(source="api"), "customer": {"push": "token"}}
    wanted["intent"]["channel"] = "push"
    store.add("Demo.myshopify.com", wanted)
    service = Service(operation_from_spec(spec()), store=store)
    service.open()
    view = service.journal.view()

    assert (1, "token", SHOP) == (
        view["stored"],
        view["waiting"][0]["contact"],
        view["waiting"][0]["shop"],
    )


def test_a_reset_while_an_intent_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset waits for what is stored to be noted, so that the page shows what the store holds."""
    service = Service(operation_from_spec(spec()))
    note, resets = Journal.stored, threading.Thread(target=service.reset)

    def note_late(*arguments: Any) -> None:
        resets.start()
        resets.join(0.2)
        note(*arguments)

    monkeypatch.setattr(Journal, "stored", note_late)
    headers = {"x-shopify-shop-domain": SHOP, "content-type": "application/json"}
    wanted = {"shopify_variant_id": 1, "shopify_product_id": 2, "channel": "email"}
    raw = json.dumps({"intent": wanted | {"quantity": 1, "source": "api"}} | body()).encode()
    answer = service.create_intent(raw, headers, service.spend(headers, "POST"))
    resets.join()

    assert answer.status == 201
    assert (service.store.received(), service.journal.view()["stored"]) == ([], 0)


def test_many_threads() -> None:
    """Nothing is lost when several threads write."""
    journal = Journal()

    def write() -> None:
        for number in range(500):
            journal.stored(SHOP, intent(number), body())
            journal.view()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.view()["stored"] == 2000


def test_repr_holds_no_customer() -> None:
    """No text form of what is kept holds a contact, a name or a reason."""
    journal = Journal()
    journal.stored(SHOP, intent(), body(name="Lovelace"))
    journal.refused(400, "POST /x", SHOP, None, ("ada@example.com",))

    kept = repr([journal, *journal._newest, *journal._refusals])
    assert "ada" not in kept
    assert "Lovelace" not in kept
