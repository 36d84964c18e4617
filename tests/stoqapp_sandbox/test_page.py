"""The page in a real browser: what it shows, how it is used, and that everyone can use it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from sending import HANG_SECONDS, PATH, SMS, VALID, body, get, send

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


@pytest.fixture
def visit(chromium: Browser, sandbox: Sandbox) -> Iterator[Callable[..., Page]]:
    """Opens the page of the sandbox; arguments go to the browser's context.

    Fails the test where the browser reports an error, or asks anything but the sandbox.
    """
    contexts, complaints = [], []

    def opened(path: str = "/", **settings: Any) -> Page:
        context = chromium.new_context(**({"viewport": DESK, "locale": "en-GB"} | settings))
        contexts.append(context)
        page = context.new_page()

        def said(line: ConsoleMessage) -> None:
            # What the browser itself writes for each answer from 400 on.
            if not line.text.startswith("Failed to load resource: "):
                complaints.append(line.text)

        def requested(request: Request) -> None:
            if urlsplit(request.url).netloc != urlsplit(sandbox.url).netloc:
                complaints.append(f"request to {request.url}")

        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", requested)
        page.goto(f"{sandbox.url}{path}")
        expect(page.locator("#summary[data-state=live]")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def lines(page: Page) -> list[str]:
    """Return the text of each line of the list, without its time."""
    texts = page.locator("#requests a").evaluate_all(
        "links => links.map(a => [...a.children].filter(c => c.tagName !== 'TIME')"
        ".map(c => c.textContent).join(' | '))"
    )
    return list(texts)


# -- the list --------------------------------------------------------------------------------


def test_nothing_yet(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """An empty sandbox says what to give to a client."""
    page = visit()
    expect(page.locator("#summary")).to_have_text(
        "0 stored · 0 refused · limit off · no faults wait"
    )
    expect(page.locator("#nothing")).to_contain_text(sandbox.base_url)


def test_stored_and_refused_in_order(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """What others send shows up without a reload, newest first, with its reason or fault."""
    page = visit()
    send(sandbox, body(**SMS))
    send(sandbox, body(intent__channel="fax"))
    sandbox.fail_next("reset-after-store")
    sandbox.fail_next("status=503")
    with pytest.raises(Exception, match=r"reset|disconnect"):
        send(sandbox)
    send(sandbox)
    send(sandbox, b"", "GET")
    send(sandbox, body(customer__email=None), X_Shopify_Shop_Domain="other.myshopify.com")
    sandbox.fail_next("latency=9", times=3)
    expect(page.locator("#summary")).to_have_text(
        "2 stored · 4 refused · limit off · 1 fault waits"
    )
    expect(page.locator("#requests li")).to_have_count(6)
    shop = "demo.myshopify.com"
    assert [text.replace("| |", "|") for text in lines(page)] == [
        "200 | no contact | customer.email: " + page_reason(page) + "other.myshopify.com",
        f"405 | no contact | Method Not AllowedGET {PATH}{shop}",
        f"503 | ada@lovelace.org | scripted: status=503, not stored{shop}",
        f"none | ada@lovelace.org | scripted: reset-after-store, storedvariant 11{shop}",
        "400 | ada@lovelace.org | intent.channel: must be 'email' or 'sms' or 'push'" + shop,
        f"201 | 15550109999 | variant 11{shop}",
    ]


def page_reason(page: Page) -> str:
    """Return the reason in the first line, without the field that it names."""
    text = page.locator("#requests .reason").first.text_content() or ""
    return text.partition(": ")[2]


def test_a_rate_limit_is_told(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """The line on top says which limit holds."""
    sandbox.configure(rate_limit=(360, 60))
    expect(visit().locator("#summary")).to_contain_text("limit 360 points in 60 s")


def test_many_requests(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """Of many, the newest hundred are shown, and how many there are."""
    for _ in range(105):
        send(sandbox)
    page = visit()
    expect(page.locator("#requests li")).to_have_count(100)
    expect(page.locator("#more")).to_contain_text("The newest 100 of 105.")


def test_the_first_screen_shows_requests(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """On a phone, too, several requests can be seen without scrolling."""
    screenshot_page.fill(sandbox)
    for viewport in (DESK, PHONE):
        page = visit(viewport=viewport)
        expect(page.locator("#requests li").nth(5)).to_be_in_viewport()


# -- one request -----------------------------------------------------------------------------


def test_one_click_to_a_refused_body(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """A click shows what was sent, digit by digit, and what came back."""
    sent = b'{"intent": {"shopify_variant_id": 12345678901234567890, "x": 1.0}, "customer": []}'
    send(sandbox, sent)
    page = visit()
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


def test_an_answer_that_was_not_received(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """Where a fault kept the answer back, the detail says so, and what was stored."""
    sandbox.fail_next("close-after-store")
    with pytest.raises(Exception, match="disconnected"):
        send(sandbox)
    page = visit("/#1")
    expect(page.locator("#detail-title")).to_contain_text("no answer received")
    outcome = page.locator("#outcome")
    expect(outcome).to_contain_text("Stored as intent 1. Scripted: close-after-store.")
    expect(page.locator("#parts")).to_contain_text("Answer, which the caller did not receive")


def test_old_bodies_are_gone(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """The detail of a request whose body was dropped says so."""
    for _ in range(1001):
        send(sandbox, b"{")
    expect(visit("/#1").locator("#parts")).to_contain_text("this one is older")


SAME: list[tuple[bytes, dict[str, Any]]] = [
    (VALID, {}),
    (body(customer__name="A \"B\" $(touch x) `y` \\ 'z' ü\u202e").__repr__().encode(), {}),
    (b"\x00\xff%s\\n'\"", {"X_Shopify_Shop_Domain": "a'b"}),
    (b"", {"Content_Type": None, "X_Any": "1", "method": "DELETE"}),
]


@pytest.mark.parametrize(("sent", "headers"), SAME, ids=["plain", "quotes", "bytes", "nothing"])
@pytest.mark.parametrize("what", ["curl", "python"])
def test_the_same_request_again(
    sandbox: Sandbox, tmp_path: Path, sent: bytes, headers: dict[str, Any], what: str
) -> None:
    """curl and Python send the same method, path, headers and bytes again."""
    if what == "curl" and shutil.which("curl") is None:
        _missing("curl is not installed", "ITS COMMAND IS UNTESTED")
    send(sandbox, sent, **headers)
    [first] = get(sandbox, "/_sandbox/requests")
    program = (
        ["sh", "-c", first["curl"]] if what == "curl" else [sys.executable, "-c", first["python"]]
    )
    subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, timeout=HANG_SECONDS)
    second = get(sandbox, "/_sandbox/requests")[1]
    assert list(tmp_path.iterdir()) == []
    for name in ("method", "path", "shop", "body", "body_base64"):
        assert first.get(name) == second.get(name)
    for name in ("content-type", "x-shopify-shop-domain", "x-any"):
        assert first["headers"].get(name) == second["headers"].get(name)


@pytest.mark.parametrize("allowed", [True, False])
def test_copy(visit: Callable[..., Page], sandbox: Sandbox, allowed: bool) -> None:
    """Copy puts what is shown on the clipboard; where it may not, the text is selected."""
    send(sandbox)
    page = visit("/#1", permissions=["clipboard-read", "clipboard-write"] if allowed else [])
    if not allowed:
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    button = page.get_by_role("button", name="Copy As curl")
    button.click()
    expect(button).to_have_text("Copied" if allowed else "Selected")
    script = "navigator.clipboard.readText()" if allowed else "String(getSelection())"
    assert page.evaluate(script).strip() == get(sandbox, "/_sandbox/requests")[0]["curl"].strip()


# -- the forms -------------------------------------------------------------------------------


def test_send_by_keyboard(visit: Callable[..., Page], sandbox: Sandbox) -> None:
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
    page.locator("#body").fill("{")
    page.get_by_role("button", name="Send").press("Enter")
    expect(page.locator("#detail-title")).to_contain_text("→ 400")
    page.locator("#requests a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_contain_text("→ 201")
    assert page.locator("#requests a[aria-current]").get_attribute("href") == "#1"
    assert [intent["email"] for intent in sandbox.intents] == ["ada@example.com"]


def test_what_cannot_be_sent(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """A shop that no header can hold is told; a broken connection shows its request."""
    page = visit("/#send")
    page.locator("#shop").fill("shop\u0131")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#sent")).to_contain_text("the shop cannot stand in a header")
    page.locator("#shop").fill("demo.myshopify.com")
    # Browsers send a request again whose connection breaks before an answer.
    sandbox.fail_next("close-before-store", times=5)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#detail-title")).to_contain_text("no answer received")


def test_script_a_fault(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """Each kind is offered; what is scripted waits, is listed, and can be cleared."""
    page = visit("/#fault")
    values = page.locator("#kinds option").evaluate_all("all => all.map(one => one.value)")
    assert [value.partition("=")[0] for value in values] == list(KINDS)
    for value in values:
        page.locator("#kind").fill(value)
        page.get_by_role("button", name="Script it").click()
        expect(page.locator("#waiting li").last).to_contain_text(f"{value} · 0 of 1 so far")
    assert [fault["fault"] for fault in get(sandbox, "/_sandbox/faults")["faults"]] == values
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#summary")).to_contain_text("no faults wait")
    page.locator("#kind").fill("nonsense")
    page.get_by_role("button", name="Script it").click()
    expect(page.locator("#scripted")).to_contain_text("'nonsense' is not a fault")


def test_reset(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """The button asks first; the keyboard can say no; then the page begins anew."""
    send(sandbox)
    page = visit("/#1")
    expect(page.locator("#parts section").first).to_be_visible()
    button = page.get_by_role("button", name="Reset", exact=True).first
    button.click()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert len(sandbox.intents) == 1
    button.click()
    page.locator("#really").get_by_role("button", name="Reset").click()
    expect(page.locator("#summary")).to_contain_text("0 stored")
    expect(page.locator("body")).to_have_attribute("data-view", "list")
    send(sandbox)
    expect(page.locator("#requests li")).to_have_count(1)


# -- the stream ------------------------------------------------------------------------------


def test_sandbox_goes_and_comes_back(chromium: Browser) -> None:
    """A page outlives its sandbox, says that it is gone, and goes on when it is back."""
    sandbox = Sandbox()
    with sandbox, chromium.new_context() as context:
        page = context.new_page()
        page.goto(sandbox.url)
        summary = page.locator("#summary")
        expect(summary).to_have_text("0 stored · 0 refused · limit off · no faults wait")
        # The same server goes on accepting on its port, so that no other program can take it.
        page.route("**/_sandbox/events", lambda route: route.abort())
        page.reload()
        expect(summary).to_have_text("The sandbox does not answer; trying again")
        send(sandbox)
        page.unroute("**/_sandbox/events")
        expect(summary).to_contain_text("1 stored")


def test_a_hidden_tab_does_not_listen(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """A tab that is not looked at gives its connection back, and is up to date when it is."""
    page = visit()
    hide = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    send(sandbox)
    send(sandbox, b"{")
    page.evaluate(hide % "false" + tell)
    expect(page.locator("#summary")).to_contain_text("1 stored · 1 refused")


def test_a_screen_reader_is_told(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """A burst is one sentence, said once it is over, too; nothing else speaks by itself."""
    page = visit()
    page.clock.install()
    page.evaluate(
        "heard = []; new MutationObserver(() => heard.push(document.getElementById('news')"
        ".textContent)).observe(document.getElementById('news'), { childList: true })"
    )
    for _ in range(30):
        send(sandbox)
    expect(page.locator("#summary")).to_contain_text("29 refused")
    assert len(page.evaluate("heard")) == 1
    page.clock.fast_forward(5000)
    expect(page.locator("#news")).to_have_text("1 stored, 29 refused")
    assert len(page.evaluate("heard")) <= 2
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert ["news", "sent", "scripted"] == [item.get_attribute("id") for item in live.all()]


# -- for everyone ----------------------------------------------------------------------------


def fill_with_odd_things(sandbox: Sandbox) -> None:
    """Have the sandbox hold and refuse what is hard to show."""
    for number, name in enumerate(ODD_NAMES):
        content = body(customer__name=name, customer__email=name, intent__quantity=10**300)
        for _ in range(2):
            send(sandbox, content, X_Shopify_Shop_Domain=f"{'s' * 60}{number}.myshopify.com")
    sandbox.fail_next(500, body={"errors": ODD_NAMES})
    send(sandbox)


def test_what_was_sent_stays_text(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """Markup and overrides of direction are shown as text, in the list and in the detail."""
    fill_with_odd_things(sandbox)
    page = visit("/#1")
    expect(page.locator("#parts section").first).to_contain_text("document.title = 'taken'")
    assert page.title() == "stoqapp sandbox"
    assert page.locator("main script, main img").count() == 0
    contacts = page.locator("#requests bdi.contact").all_text_contents()
    assert {name[:200] for name in ODD_NAMES} <= set(contacts)


def test_no_sideways_scrolling(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """At each width the page fits, whatever it holds and shows."""
    fill_with_odd_things(sandbox)
    page = visit("/#7")
    expect(page.locator("#parts section").first).to_be_attached()
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for chosen in ("", "#send", "#7"):
        page.evaluate("hash => { location.hash = hash }", chosen)
        for width in (320, 375, 799, 800, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            assert page.evaluate(script) == 0, (chosen, width)


def test_a_phone_shows_one_thing(visit: Callable[..., Page], sandbox: Sandbox) -> None:
    """In a narrow window the list gives way to the chosen request, and comes back."""
    send(sandbox)
    page = visit(viewport=PHONE)
    page.locator("#requests a").click()
    expect(page.locator("#list")).to_be_hidden()
    expect(page.locator("#detail-title")).to_be_in_viewport()
    page.get_by_role("link", name="All requests").click()
    expect(page.locator("#requests a")).to_be_in_viewport()
    expect(page.locator("#pane")).to_be_hidden()


@pytest.mark.parametrize("wish", ["reduce", "no-preference"])
def test_motion(visit: Callable[..., Page], sandbox: Sandbox, wish: str) -> None:
    """What is new moves only for those who have not asked for stillness."""
    page = visit(reduced_motion=wish)
    send(sandbox)
    name = "arrive" if wish == "no-preference" else "none"
    expect(page.locator("#requests li")).to_have_css("animation-name", name)


# All in .ci/run, which sets CI; elsewhere a sample, since each takes seconds.
STATES = ["/", "/#send", "/#3", "/#7", "asking", "lost"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["empty", *STATES] if os.environ.get("CI") else ["/#3"])
def test_axe_finds_nothing(
    visit: Callable[..., Page], sandbox: Sandbox, viewport: dict[str, int], scheme: str, state: str
) -> None:
    """axe-core finds no violation, contrast included, in any state, scheme or width."""
    file = JUDGES / "node_modules/axe-core/axe.min.js"
    if not file.is_file():
        _missing("axe-core is not installed (scripts/judges/install)", "ACCESSIBILITY IS UNTESTED")
    if state != "empty":
        fill_with_odd_things(sandbox)
        sandbox.fail_next("garbage")
    path = state if state.startswith("/") else "/"
    page = visit(path, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    if path[1:].removeprefix("#").isdigit():
        expect(page.locator("#parts section").first).to_be_visible()
    elif state == "asking":
        page.get_by_role("button", name="Reset", exact=True).first.click()
    elif state == "lost":
        page.evaluate("document.getElementById('summary').dataset.state = 'lost'")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(22, 24, 27)") == (scheme == "dark")
    page.evaluate(file.read_text("utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]] == []
    assert len(found["passes"]) > 15
