"""The page in a real browser: what it shows, how it is used, and that everyone can use it."""

import json
import os
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from sending import HANG_SECONDS, PATH, SMS, VALID, body, get, send, send_many

import screenshot_page
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.faults import KINDS

ROOT = Path(__file__).parents[2]
JUDGES = Path(os.environ.get("STOQAPP_JUDGES", ROOT / ".judges"))
PHONE = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 900}
ODD_NAMES = [
    "<script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "\u202egnirts\u2066",
    "w" * 5000,
    "Z\u0335\u0321\u0322" * 40,
    "مرحبا بالعالم",
]


def _missing(what: str, untested: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and in CI nothing of the page may go untested")
    pytest.skip(f"{what}: {untested}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the module."""
    program = screenshot_page.chromium()
    if program is None:
        _missing("no Chromium is installed", "THE SANDBOX'S PAGE IS UNTESTED")
    expect.set_options(timeout=1000 * HANG_SECONDS)
    with screenshot_page.browser(str(program)) as running:
        yield running


Visit = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser, sandbox: Sandbox) -> Iterator[Visit]:
    """Opens the page of the sandbox; arguments go to the browser's context.

    Fails the test where the browser reports an error, or asks anything but the sandbox.
    """
    complaints = []

    def said(line: ConsoleMessage) -> None:
        # What the browser itself writes for each answer from 400 on.
        if not line.text.startswith("Failed to load resource: "):
            complaints.append(line.text)

    def requested(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(sandbox.url).netloc:
            complaints.append(f"request to {request.url}")

    def opened(path: str = "/", **settings: Any) -> Page:
        page = chromium.new_page(viewport=DESK, locale="en-GB", **settings)
        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", requested)
        page.goto(f"{sandbox.url}{path}")
        expect(page.locator("#summary[data-state=live]")).to_be_visible()
        return page

    yield opened
    for context in chromium.contexts:
        context.close()
    assert complaints == []


def test_the_list(visit: Visit, sandbox: Sandbox) -> None:
    """What others send shows up without a reload, newest first, with its reason or fault.

    While there is nothing, the page says what to give to a client; on top stands which limit holds.
    """
    page = visit()
    summary = page.locator("#summary")
    expect(summary).to_have_text("0 stored · 0 refused · limit off · no faults wait")
    expect(page.locator("#nothing")).to_contain_text(sandbox.base_url)
    send(sandbox, body(**SMS))
    send(sandbox, body(intent__channel="fax"))
    sandbox.fail_next("reset-after-store")
    sandbox.fail_next("status=503")
    with pytest.raises(Exception, match=r"reset|disconnect"):
        send(sandbox)
    send(sandbox)
    send(sandbox, b"", "GET")
    send(sandbox, [], X_Shopify_Shop_Domain="other.myshopify.com")
    sandbox.fail_next("latency=9", times=3)
    expect(summary).to_have_text("2 stored · 4 refused · limit off · 1 fault waits")
    expect(page.locator("#requests li").first).to_have_css("animation-name", "arrive")
    statuses, contacts, about = zip(
        ("400", "no contact", "body: must be of type objectother"),
        ("405", "no contact", f"Method Not AllowedGET {PATH}demo"),
        ("503", "ada@lovelace.org", "scripted: status=503, not storeddemo"),
        ("none", "ada@lovelace.org", "scripted: reset-after-store, storedvariant 11demo"),
        ("400", "ada@lovelace.org", "intent.channel: must be 'email' or 'sms' or 'push'demo"),
        ("201", "15550109999", "variant 11demo"),
        strict=True,
    )
    expect(page.locator("#requests .status")).to_have_text(statuses)
    expect(page.locator("#requests .contact")).to_have_text(contacts)
    shop = ".myshopify.com"
    expect(page.locator("#requests .about")).to_have_text([text + shop for text in about])
    sandbox.configure(rate_limit=(360, 60))
    expect(summary).to_have_text("0 stored · 0 refused · limit 360 points in 60 s · no faults wait")


def test_on_a_phone(visit: Visit, sandbox: Sandbox) -> None:
    """The first screen shows requests; a narrow one then the chosen request, and the list again.

    What is new does not move for those who have asked for stillness. Of many requests, the newest
    hundred are shown, and how many there are.
    """
    page = visit(reduced_motion="reduce")
    screenshot_page.fill(sandbox)
    # The last thing to come; a list that changes between press and release is not clicked.
    expect(page.locator("#summary")).to_contain_text("1 fault waits")
    for viewport in (DESK, PHONE):
        page.set_viewport_size(viewport)
        expect(page.locator("#requests li").nth(5)).to_be_in_viewport()
    expect(page.locator("#requests li").first).to_have_css("animation-name", "none")
    page.locator("#requests a").first.click()
    expect(page.locator("#list")).to_be_hidden()
    expect(page.locator("#detail-title")).to_be_in_viewport()
    page.get_by_role("link", name="All requests").click()
    expect(page.locator("#requests a").first).to_be_in_viewport()
    expect(page.locator("#pane")).to_be_hidden()
    sandbox.reset()
    send_many(sandbox, [VALID] * 105)
    expect(page.locator("#requests li")).to_have_count(100)
    expect(page.locator("#more")).to_contain_text("The newest 100 of 105.")


def test_one_click_to_a_refused_body(visit: Visit, sandbox: Sandbox) -> None:
    """A click shows what was sent, digit by digit, and what came back; either can be copied.

    Where a fault kept the answer back, or where the body is gone, the detail says so.
    """
    sent = b'{"intent": {"shopify_variant_id": 12345678901234567890, "x": 1.0}, "customer": []}'
    send(sandbox, sent)
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.locator("#requests a").click()
    expect(page.locator("#detail-title")).to_have_text(f"POST {PATH} → 400")
    expect(page.locator("#outcome")).to_contain_text("Nothing was stored.")
    shown = page.locator("#parts pre").first.text_content() or ""
    assert '    "shopify_variant_id": 12345678901234567890,\n    "x": 1.0\n' in shown
    assert json.loads(sent) == json.loads(shown)
    answer = page.get_by_label("Answer", exact=True)
    expect(answer).to_contain_text('"customer: must be of type object"')
    page.get_by_text("headers").first.click()
    expect(page.locator("#parts details pre").first).to_contain_text("x-shopify-shop-domain: demo")

    button = page.get_by_role("button", name="Copy As curl")
    for expected, script in (
        ("Copied", "navigator.clipboard.readText()"),
        ("Selected", "String(getSelection())"),
    ):
        button.click()
        expect(button).to_have_text(expected)
        curl = get(sandbox, "/_sandbox/requests")[0]["curl"]
        assert page.evaluate(script).strip() == curl.strip()
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")

    sandbox.fail_next("close-after-store")
    with pytest.raises(Exception, match="disconnected"):
        send(sandbox)
    expect(page.locator("#requests a")).to_have_count(2)
    page.locator("#requests a").first.click()
    expect(page.locator("#detail-title")).to_contain_text("no answer received")
    outcome = page.locator("#outcome")
    expect(outcome).to_contain_text("Stored as intent 1. Scripted: close-after-store.")
    expect(page.locator("#parts")).to_contain_text("Answer, which the caller did not receive")

    send_many(sandbox, [b"{"] * 1000)
    page.evaluate("location.hash = '1'")
    expect(page.locator("#parts")).to_contain_text("this one is older")


SAME: list[tuple[bytes, dict[str, Any]]] = [
    (VALID, {}),
    (body(customer__name="A \"B\" $(touch x) `y` \\ 'z' ü\u202e").__repr__().encode(), {}),
    (b"-\x00\xff%s\\n'\"", {"X_Shopify_Shop_Domain": "a'b"}),
    (b"", {"Content_Type": None, "X_Any": "", "method": "DELETE"}),
]


@pytest.mark.parametrize(("sent", "headers"), SAME, ids=["plain", "quotes", "bytes", "nothing"])
def test_the_same_request_again(
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    headers: dict[str, Any],
) -> None:
    """curl and Python send the same method, path, headers and bytes again, and do nothing else."""
    if shutil.which("curl") is None:
        _missing("curl is not installed", "ITS COMMAND IS UNTESTED")
    send(sandbox, sent, **headers)
    [first] = get(sandbox, "/_sandbox/requests")
    program = tmp_path / "program.py"
    program.write_text(first["python"])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(program))
    curl = ["sh", "-c", first["curl"]]
    subprocess.run(curl, check=True, capture_output=True, timeout=HANG_SECONDS)
    assert list(tmp_path.iterdir()) == [program]
    _, *again = get(sandbox, "/_sandbox/requests")
    assert len(again) == 2
    for one in again:
        for name in ("method", "path", "shop", "body", "body_base64"):
            assert first.get(name) == one.get(name)
        for name in ("content-type", "x-shopify-shop-domain", "x-any"):
            assert first["headers"].get(name) == one["headers"].get(name)


def test_send_by_keyboard(visit: Visit, sandbox: Sandbox) -> None:
    """With keys alone a request is sent, its answer read, changed, and sent again."""
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#shop")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_have_text(f"POST {PATH} → 201")
    expect(page.locator("#detail-title")).to_be_focused()
    page.get_by_role("button", name="Edit and send again").press("Enter")
    expect(page.locator("#shop")).to_be_focused()
    expect(page.locator("#body")).not_to_have_value("")
    page.locator("#body").fill("{")
    expect(page.locator("#body")).to_have_value("{")
    page.get_by_role("button", name="Send", exact=True).press("Enter")
    expect(page.locator("#detail-title")).to_contain_text("→ 400")
    page.locator("#requests a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_contain_text("→ 201")
    assert page.locator("#requests a[aria-current]").get_attribute("href") == "#1"
    assert [intent["email"] for intent in sandbox.intents] == ["ada@example.com"]


def test_the_forms(visit: Visit, sandbox: Sandbox) -> None:
    """What cannot be sent is told; each kind of fault is offered, waits, and can be cleared.

    Reset asks first; the keyboard can say no; then the page starts over.
    """
    page = visit("/#send")
    page.locator("#shop").fill("shop\u0131")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#sent")).to_contain_text("the shop cannot stand in a header")

    values = page.locator("#kinds option").evaluate_all("all => all.map(one => one.value)")
    assert [value.partition("=")[0] for value in values] == list(KINDS)
    for value in values[1:]:
        sandbox.fail_next(value)
    page.locator("#kind").fill(values[0])
    page.get_by_role("button", name="Script it").click()
    expect(page.locator("#waiting li").last).to_contain_text(f"{values[0]} · 0 of 1 so far")
    faults = get(sandbox, "/_sandbox/faults")["faults"]
    assert [fault["fault"] for fault in faults] == [*values[1:], values[0]]
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#summary")).to_contain_text("no faults wait")
    page.locator("#kind").fill("nonsense")
    page.get_by_role("button", name="Script it").click()
    expect(page.locator("#scripted")).to_contain_text("'nonsense' is not a fault")

    page.locator("#shop").fill("demo.myshopify.com")
    # Browsers send a request again whose connection breaks before an answer.
    sandbox.fail_next("close-before-store", times=5)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#detail-title")).to_contain_text("no answer received")

    button = page.get_by_role("button", name="Reset", exact=True).first
    button.click()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert get(sandbox, "/_sandbox/requests")
    button.click()
    page.locator("#really").get_by_role("button", name="Reset").click()
    expect(page.locator("#summary")).to_contain_text("0 refused")
    expect(page.locator("body")).to_have_attribute("data-view", "list")
    send(sandbox)
    expect(page.locator("#requests li")).to_have_count(1)


def test_a_screen_reader_is_told(visit: Visit, sandbox: Sandbox) -> None:
    """A burst is one sentence, said once it is over, too; nothing else speaks by itself."""
    page = visit()
    page.clock.install()
    page.evaluate(
        "heard = []; new MutationObserver(() => heard.push(document.getElementById('news')"
        ".textContent)).observe(document.getElementById('news'), { childList: true })"
    )
    send_many(sandbox, [VALID] * 30)
    expect(page.locator("#summary")).to_contain_text("29 refused")
    assert len(page.evaluate("heard")) == 1
    page.clock.fast_forward(5000)
    expect(page.locator("#news")).to_have_text("1 stored, 29 refused")
    assert len(page.evaluate("heard")) <= 2
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert ["news", "sent", "scripted"] == [item.get_attribute("id") for item in live.all()]


def test_sandbox_goes_and_comes_back(visit: Visit, sandbox: Sandbox) -> None:
    """A page outlives its sandbox, says that it is gone, and goes on when it is back.

    A tab that is not looked at gives its connection back, and is up to date when it is.
    """
    page = visit()
    page.clock.install()
    summary = page.locator("#summary")
    hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    send(sandbox)
    # The server goes on accepting on its port, so that no other program can take it.
    page.route("**/_sandbox/events", lambda route: route.fulfill(status=503))
    page.evaluate(hide % "false" + tell)
    expect(summary).to_have_text("The sandbox does not answer; trying again")
    send(sandbox)
    page.unroute("**/_sandbox/events")
    page.clock.fast_forward(1000)
    expect(summary).to_contain_text("1 stored · 1 refused")


def fill_with_odd_things(sandbox: Sandbox) -> None:
    """Have the sandbox hold and refuse what is hard to show."""
    for number, name in enumerate(ODD_NAMES):
        content = body(customer__name=name, customer__email=name, intent__quantity=10**300)
        for _ in range(2):
            send(sandbox, content, X_Shopify_Shop_Domain=f"{'s' * 60}{number}.myshopify.com")
    sandbox.fail_next(500, body={"errors": ODD_NAMES})
    send(sandbox)


def test_odd_things(visit: Visit, sandbox: Sandbox) -> None:
    """Markup and overrides of direction are shown as text, and the page fits at each width."""
    fill_with_odd_things(sandbox)
    page = visit("/#1")
    expect(page.locator("#parts section").first).to_contain_text("document.title = 'taken'")
    assert page.title() == "stoqapp sandbox"
    assert page.locator("main script, main img").count() == 0
    contacts = page.locator("#requests bdi.contact").all_text_contents()
    assert {name[:200] for name in ODD_NAMES} <= set(contacts)
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for chosen in ("", "#send", "#7"):
        page.evaluate("hash => { location.hash = hash }", chosen)
        for width in (320, 799, 800, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            assert page.evaluate(script) == 0, (chosen, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, sandbox: Sandbox, scheme: str) -> None:
    """axe-core finds no violation, contrast included, in any state, scheme or width."""
    file = JUDGES / "node_modules/axe-core/axe.min.js"
    if not file.is_file():
        _missing("axe-core is not installed (scripts/judges/install)", "ACCESSIBILITY IS UNTESTED")
    page = visit(color_scheme=scheme, reduced_motion="reduce")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(22, 24, 27)") == (scheme == "dark")
    page.evaluate(file.read_text("utf-8"))
    for state in ("empty", "full", "#send", "#7", "asking", "lost"):
        if state == "full":
            fill_with_odd_things(sandbox)
            sandbox.fail_next("garbage")
            expect(page.locator("#summary")).to_contain_text("1 fault waits")
        elif state.startswith("#"):
            page.evaluate("hash => { location.hash = hash }", state)
        elif state == "asking":
            page.get_by_role("button", name="Reset", exact=True).first.click()
        elif state == "lost":
            page.keyboard.press("Escape")
            page.evaluate("document.getElementById('summary').dataset.state = 'lost'")
        if state == "#7":
            expect(page.locator("#parts section").first).to_be_visible()
        for viewport in (DESK, PHONE):
            page.set_viewport_size(viewport)
            found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            broken = [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]]
            assert (state, viewport, broken) == (state, viewport, [])
            assert len(found["passes"]) > 15
