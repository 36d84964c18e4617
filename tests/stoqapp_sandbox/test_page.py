"""The sandbox's page, in a real browser: what it shows, and what it keeps to itself."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

import screenshot_page
from stoqapp_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
JUDGES = Path(os.environ.get("STOQAPP_JUDGES", ROOT / ".judges"))
SHOP = "demo.myshopify.com"
HANG_SECONDS = 20
# Shared, because each client would spend 20 ms on one of its own.
TLS = ssl.create_default_context()
PHONE = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 900}
LONG = "w" * 5000
ODD_NAMES = [
    "<script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "\u202egnirts\u2066",
    LONG,
    "Z\u0335\u0321\u0322" * 40,
    "مرحبا بالعالم",
    "\U0001f469\u200d\U0001f680",
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
        _missing(
            "no Chromium is installed (apt-get install chromium)", "THE SANDBOX'S PAGE IS UNTESTED"
        )
    expect.set_options(timeout=1000 * HANG_SECONDS)
    with screenshot_page.browser(str(program)) as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core."""
    file = JUDGES / "node_modules/axe-core/axe.min.js"
    if not file.is_file():
        _missing(
            "axe-core is not installed (scripts/judges/install)",
            "THE PAGE'S ACCESSIBILITY IS NOT JUDGED",
        )
    return file.read_text("utf-8")


class Visit:
    """One look at the page, and what the browser had to say about it.

    Attributes:
        page: The page, loaded and live.
        faults: Errors, warnings and requests to anywhere but the sandbox; checked to be none
            when the test is over.
        failures: What the browser itself writes into its console for each answer from 400 on,
            and for each that did not come.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.faults: list[str] = []
        self.failures: list[str] = []
        self._host = urlsplit(url).netloc
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", self._requested)
        page.goto(url)
        self.wait_until_live()

    def _said(self, line: ConsoleMessage) -> None:
        own = line.text.startswith("Failed to load resource: ")
        (self.failures if own else self.faults).append(line.text)

    def _requested(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._host:
            self.faults.append(f"request to {request.url}")

    def wait_until_live(self) -> None:
        expect(self.page.locator("#connection")).to_have_text("Live")

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


@pytest.fixture
def visit(chromium: Browser, sandbox: Sandbox) -> Iterator[Callable[..., Visit]]:
    """Opens the page of the sandbox; arguments go to the browser's context."""
    visits: list[Visit] = []
    contexts = []

    def opened(url: str = sandbox.url, **settings: Any) -> Visit:
        context = chromium.new_context(**({"viewport": DESK, "locale": "en-GB"} | settings))
        contexts.append(context)
        visits.append(Visit(context.new_page(), url))
        return visits[-1]

    yield opened
    for context in contexts:
        context.close()
    assert [(visit.faults, visit.failures) for visit in visits] == [([], []) for _ in visits]


def body(**changes: Any) -> dict[str, Any]:
    """Return a valid body, with changes of the customer."""
    return {
        "intent": {
            "shopify_variant_id": 4711,
            "shopify_product_id": 42,
            "channel": "email",
            "quantity": 1,
            "source": "api",
        },
        "customer": {"email": "ada@example.com"} | changes,
    }


def post(sandbox: Sandbox, content: dict[str, Any], shop: str = SHOP) -> httpx.Response:
    """Send an intent from elsewhere."""
    headers = {"X-Shopify-Shop-Domain": shop}
    url = f"{sandbox.base_url}/intents.json"
    return httpx.post(url, json=content, headers=headers, timeout=HANG_SECONDS, verify=TLS)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it does not come to hold."""
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# -- what it shows ------------------------------------------------------------------------


def test_nothing_yet(visit: Callable[..., Visit]) -> None:
    """An empty sandbox says how to send the first intent."""
    page = visit().page

    expect(page.locator("h1")).to_have_text("0 intents on the waitlist")
    expect(page.locator("#waitlist-nothing")).to_contain_text("Press Send in the form")
    expect(page.get_by_role("button", name="Empty it…")).to_be_disabled()


def test_live_update(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """An intent that somebody else sends shows up without a reload, with counts and contact."""
    page = visit().page

    assert post(sandbox, body(name="Ada")).status_code == 201
    assert post(sandbox, body(email="alan@example.org"), "other.myshopify.com").status_code == 201

    expect(page.locator("h1")).to_have_text("2 intents on the waitlist")
    expect(page.locator("#waiting > li")).to_have_count(2)
    expect(page.locator("#waiting > li").nth(0)).to_contain_text("alan@example.org")
    expect(page.locator("#waiting > li").nth(1)).to_contain_text("ada@example.com Ada")
    expect(page.locator("#waiting > li").nth(1)).to_contain_text(
        "variant 4711 of product 42 · demo.myshopify.com"
    )
    expect(page.locator("#shops > li")).to_have_text(
        ["demo.myshopify.com1", "other.myshopify.com1"]
    )
    expect(page.locator("#products > li")).to_have_text(["422"])
    expect(page.locator("#channels > li")).to_have_text(["email2"])


def test_a_quantity_that_changes(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """Where a duplicate changes the quantity of the first intent, the page shows the new one."""
    sandbox.configure(assume={"duplicate": "201-updated"})
    page = visit().page
    content = body()
    post(sandbox, content)
    expect(page.locator("#waiting > li")).to_have_count(1)

    content["intent"]["quantity"] = 3
    assert post(sandbox, content).status_code == 201

    expect(page.locator("#waiting .quantity")).to_have_text("× 3")
    expect(page.locator("h1")).to_have_text("1 intent on the waitlist")


def test_refused_requests(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """Each kind of refusal is listed with its status and the reason, the newest first."""
    page = visit().page

    post(sandbox, body())
    for content in (body(), body(country="USA"), body(email=None), []):
        post(sandbox, content)
    sandbox.fail_next(503)
    post(sandbox, body())

    expect(page.locator("#refused-tally")).to_have_text("5")
    items = page.locator("#refusals > li")
    expect(items.locator(".status")).to_have_text(["503", "400", "400", "400", "200"])
    expect(items.nth(0)).to_contain_text("Service Unavailable")
    expect(items.nth(1)).to_contain_text("body: must be of type object")
    expect(items.nth(3)).to_contain_text("customer.country")
    expect(items.nth(4)).to_contain_text("already waits for this variant")
    expect(items.nth(4)).to_contain_text("email · variant 4711 · product 42 · demo.myshopify.com")


def test_rate_budget(chromium: Browser) -> None:
    """The gauge falls with each request, says when a request is refused, and fills up again."""
    with Sandbox(rate_limit=(4, 3)) as sandbox, chromium.new_context() as context:
        page = Visit(context.new_page(), sandbox.url).page
        meter = page.get_by_role("meter", name=SHOP)
        # A window that ends between two of the requests would give points back.
        wait_until(lambda: time.time() % 3 < 1)

        post(sandbox, body())
        expect(meter).to_have_attribute("aria-valuenow", "2")
        expect(page.locator("#budgets")).to_contain_text("2 of 4 points left, all again in")
        post(sandbox, body())
        post(sandbox, body())

        expect(meter).to_have_attribute("aria-valuenow", "0")
        expect(page.locator("#refusals")).to_contain_text("No points left")
        expect(meter).to_have_attribute("aria-valuenow", "4")
        expect(page.locator("#budgets .points")).to_have_text("4 of 4 points left")


def test_many_intents(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """Of thousands, the newest twenty are shown, and how many more there are."""
    page = visit().page
    service = sandbox._service
    headers = {"x-shopify-shop-domain": SHOP, "content-type": "application/json"}
    for number in range(3000):
        content = body(email=f"c{number}@example.com")
        content["intent"]["shopify_product_id"] = number % 40
        raw = json.dumps(content).encode()
        answer = service.create_intent(raw, headers, service.spend(headers, "POST"))
        assert answer.status == 201

    expect(page.locator("h1")).to_have_text("3,000 intents on the waitlist")
    expect(page.locator("#waiting > li")).to_have_count(20)
    expect(page.locator("#waiting .contact").first).to_have_text("c2999@example.com")
    expect(page.locator("#waiting-more")).to_have_text(
        "The newest 20 of 3,000; 2,980 more are not shown."
    )
    expect(page.locator("#products > li")).to_have_count(6)
    expect(page.locator("#products > li").last).to_have_text("35 more2,625")


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_what_was_sent_stays_text(visit: Callable[..., Visit], sandbox: Sandbox, name: str) -> None:
    """Markup, overrides of direction and endless words are shown as text and break no layout."""
    shown = visit(viewport=PHONE)
    content = body(name=name) | {"product": {"title": name}}
    assert post(sandbox, content).status_code == 201
    assert post(sandbox, content).status_code == 200
    sandbox.fail_next(422, body={"errors": [name]})
    post(sandbox, content)

    expect(shown.page.locator("#refusals > li")).to_have_count(2)
    expected = name if len(name) <= 120 else f"{name[:119]}…"
    expect(shown.page.locator("#waiting bdi.name")).to_have_text(expected)
    expect(shown.page.locator("#refusals .reasons bdi").first).to_have_text(expected)
    expect(shown.page).to_have_title("stoqapp sandbox")
    assert shown.page.locator("main script, main img").count() == 0
    assert shown.overflow == 0
    row = shown.page.locator("#waiting > li").bounding_box()
    assert row is not None
    assert row["height"] < 200


@pytest.mark.parametrize("width", [320, 1000])
def test_a_long_contact(visit: Callable[..., Visit], sandbox: Sandbox, width: int) -> None:
    """A contact with no room is cut with an ellipsis, and covers neither time nor quantity."""
    post(sandbox, body(email=f"{'maximilian.' * 5}schmidt@example.org", name="Max"))
    page = visit(viewport={"width": width, "height": 640}).page

    expect(page.locator("#waiting .contact")).to_have_css("text-overflow", "ellipsis")
    edges = "item => [item.querySelector('.body'), item.querySelector('.contact')].map("
    edges += "part => part.getBoundingClientRect().right)"
    row, contact = page.locator("#waiting > li").evaluate(edges)
    assert contact <= row


# -- the form ---------------------------------------------------------------------------


def test_form_by_keyboard(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """With keys alone: past the skip link, through the fields, an intent is sent and answered."""
    page = visit().page
    keyboard = page.keyboard
    stops = []
    outlines = set()

    def tab_to(name: str) -> None:
        while not stops or stops[-1] != name:
            assert len(stops) < 60
            keyboard.press("Tab")
            stop, outline = page.evaluate(
                "[document.activeElement.id || document.activeElement.name ||"
                " document.activeElement.textContent.trim(),"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            stops.append(stop)
            outlines.add(outline)

    tab_to("Skip to the content")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("variant")
    keyboard.press("Control+A")
    keyboard.type("99")
    tab_to("channel")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    tab_to("push")
    keyboard.press("Control+A")
    keyboard.type("token-of-a-phone")
    tab_to("accepts_marketing")
    keyboard.press("Space")
    tab_to("Send")
    keyboard.press("Enter")

    expect(page.locator("#answer-line")).to_have_text("201: on the waitlist")
    expect(page.locator("#answer-body")).to_contain_text('"shopify_variant_id": 99')
    expect(page.locator("#waiting .contact")).to_have_text("token-of-a-phone")
    assert outlines == {"solid"}
    form = [
        "shop",
        "product",
        "variant",
        "channel",
        "push",
        "name",
        "quantity",
        "market",
        "country",
    ]
    assert [stop for stop in stops if stop in form] == form
    [intent] = sandbox.intents
    assert intent["request"] == {
        "intent": {
            "shopify_variant_id": 99,
            "shopify_product_id": 42,
            "channel": "push",
            "quantity": 1,
            "source": "api",
        },
        "customer": {"push": "token-of-a-phone", "name": "Ada", "accepts_marketing": True},
    }


def test_answers_of_the_form(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """The form shows each answer as it is: created, refused, failed, broken off, unsendable."""
    shown = visit()
    page = shown.page
    line, shop = page.locator("#answer-line"), page.get_by_label("Shop", exact=True)
    send = page.get_by_role("button", name="Send")

    send.click()
    expect(line).to_have_text("201: on the waitlist")
    send.click()
    expect(line).to_have_text("200: processed with errors: not on the waitlist")
    expect(page.locator("#answer-body")).to_contain_text("already waits")
    sandbox.fail_next(503, body="<h1>No</h1>")
    send.click()
    expect(line).to_have_text("503: the service failed")
    expect(page.locator("#answer-body")).to_have_text("<h1>No</h1>")
    shop.fill("no shop")
    send.click()
    expect(line).to_have_text("404: refused")
    shop.fill("店.example")
    send.click()
    expect(line).to_contain_text("Not sent: no header can hold")
    shop.fill(SHOP)
    page.route("**/intents.json", lambda route: route.abort("connectionreset"))
    send.click()
    expect(line).to_contain_text("No answer came back")

    assert ["503", "404", "ERR_CONNECTION_RESET"] == [
        next(word for word in ("503", "404", "ERR_CONNECTION_RESET") if word in failure)
        for failure in shown.failures
    ]
    shown.failures.clear()


FILLED: list[dict[str, str]] = [
    {},
    {"name": 'O\'Neill "$(touch taken)" `id` \\ !x %s {}', "quantity": "12", "market": "7"},
    {"channel": "sms", "phone": "15550109999", "country": "us", "name": "مرحبا"},
    {"channel": "push", "push": "'; rm -rf x #", "name": "\u202e\U0001f469\u0085\u200d\U0001f680"},
    {"variant": "9007199254740993", "product": "9223372036854775807", "name": ""},
]


def fill(page: Page, fields: dict[str, str]) -> None:
    """Fill in the form."""
    for name, value in fields.items():
        if name == "channel":
            page.locator(f"input[name=channel][value={value}]").check()
        else:
            page.locator(f"#{name}").fill(value)


@pytest.mark.parametrize("fields", FILLED, ids=["as it is", "quotes", "sms", "push", "large ids"])
def test_same_request_elsewhere(
    visit: Callable[..., Visit], sandbox: Sandbox, tmp_path: Path, fields: dict[str, str]
) -> None:
    """The form, the curl command in a shell and the Python program send the same request."""
    page = visit().page
    fill(page, fields)
    curl, python = (page.locator(id).text_content() or "" for id in ("#curl", "#python"))
    (tmp_path / "program.py").write_text(python, "utf-8")

    def by_form() -> None:
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#answer-line")).to_have_text("201: on the waitlist")

    def run(*words: str) -> None:
        subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, timeout=60)

    received = []
    for send in (
        by_form,
        lambda: run("sh", "-c", curl),
        lambda: run("bash", "-c", curl),
        lambda: run(sys.executable, "program.py"),
    ):
        send()
        [intent] = sandbox.intents
        received.append((intent["shop"], intent["request"]))
        sandbox.reset()

    assert received[1:] == received[:1] * 3
    assert [file.name for file in tmp_path.iterdir()] == ["program.py"]
    assert not any("\u202a" <= character <= "\u202e" for character in curl + python)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"variant": ""}, "intent.shopify_variant_id"),
        ({"email": ""}, "customer.email"),
        ({"country": "USA"}, "customer.country"),
        ({"quantity": "many"}, "intent.quantity"),
        ({"shop": "no shop"}, "shop"),
    ],
)
def test_program_for_a_broken_form(
    visit: Callable[..., Visit], tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    """What the SDK will not send, the program explains in one line, with no traceback."""
    page = visit().page
    fill(page, fields)
    (tmp_path / "program.py").write_text(page.locator("#python").text_content() or "", "utf-8")

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


@pytest.mark.parametrize("what", ["curl", "python"])
def test_copy(visit: Callable[..., Visit], what: str) -> None:
    """Copy puts exactly what is shown on the clipboard, and says so."""
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page

    page.locator(f"[data-copies={what}]").click()

    expect(page.locator("#copied")).to_contain_text("Copied the")
    assert page.locator(f"#{what}").text_content() == page.evaluate(
        "navigator.clipboard.readText()"
    )


def test_copy_without_a_clipboard(visit: Callable[..., Visit]) -> None:
    """Where the browser does not let a page copy, the text is selected, and the page says so."""
    page = visit().page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")

    page.locator("[data-copies=curl]").click()

    expect(page.locator("#copied")).to_contain_text("selected for you")
    assert page.evaluate("getSelection().toString()").startswith("curl -i")


# -- coming and going ---------------------------------------------------------------------


def test_reset_from_elsewhere(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """A reset empties the page, and the next intent, whose id is used anew, is shown."""
    page = visit().page
    post(sandbox, body(name="First"))
    expect(page.locator("#waiting .name")).to_have_text("First")

    sandbox.reset()
    expect(page.locator("#waiting > li")).to_have_count(0)
    expect(page.locator("#waitlist-nothing")).to_be_visible()
    post(sandbox, body(name="Second"))

    expect(page.locator("#waiting .name")).to_have_text("Second")


def test_reset_by_the_button(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """The button asks first; the keyboard can say no, and the focus comes back."""
    page = visit().page
    post(sandbox, body())
    button = page.get_by_role("button", name="Empty it…")

    button.click()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    assert len(sandbox.intents) == 1

    button.press("Enter")
    page.get_by_role("button", name="Empty it", exact=True).press("Enter")
    expect(page.locator("h1")).to_have_text("0 intents on the waitlist")
    assert sandbox.intents == []


def test_sandbox_goes_and_comes_back(chromium: Browser) -> None:
    """A page outlives its sandbox, says that it is gone, and goes on when it is back."""
    sandbox = Sandbox()
    with chromium.new_context() as context:
        with sandbox:
            post(sandbox, body())
            shown = Visit(context.new_page(), sandbox.url)
            page = shown.page
        expect(page.locator("#connection")).to_have_text("No answer; trying again")
        expect(page.locator("#news")).to_have_text("The sandbox does not answer.")

        with Sandbox(port=sandbox.port) as again:
            shown.wait_until_live()
            expect(page.locator("#news")).to_have_text(
                "The sandbox is back: 0 intents on the waitlist, 0 requests refused."
            )
            expect(page.locator("h1")).to_have_text("0 intents on the waitlist")
            post(again, body())
            expect(page.locator("h1")).to_have_text("1 intent on the waitlist")
    assert shown.faults == []


def test_the_same_seed_again(chromium: Browser) -> None:
    """An intent with the id and date of one of an earlier sandbox is shown in its place."""
    sandbox = Sandbox(seed=7)
    with chromium.new_context() as context:
        with sandbox:
            post(sandbox, body(name="First"))
            page = Visit(context.new_page(), sandbox.url).page
            expect(page.locator("#waiting .name")).to_have_text("First")
        with Sandbox(seed=7, port=sandbox.port) as again:
            post(again, body(name="Second"))
            expect(page.locator("#waiting .name")).to_have_text("Second")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_page_keeps_no_sandbox_from_ending(chromium: Browser, number: signal.Signals) -> None:
    """With a page open the server ends clean on a signal, with nothing to complain about."""
    program = [sys.executable, "-c", "from stoqapp_sandbox import serve; serve()"]
    with (
        subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        chromium.new_context() as context,
    ):
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if "://" in word)
        Visit(context.new_page(), url)
        process.send_signal(number)

        assert ("", "") == process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0


def test_closed_tabs_leave_nothing(
    visit: Callable[..., Visit], sandbox: Sandbox, chromium: Browser
) -> None:
    """A tab's stream ends with it, and while nobody sees the tab."""
    journal = sandbox._service.journal
    context = chromium.new_context()
    for _ in range(4):
        Visit(context.new_page(), sandbox.url)
    assert journal.watchers == 4
    context.close()
    wait_until(lambda: journal.watchers == 0)

    shown = visit()
    hide = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }})"
    for hidden, watchers in (("true", 0), ("false", 1)):
        shown.page.evaluate(hide.format(hidden))
        shown.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        wait_until(lambda watchers=watchers: journal.watchers == watchers)
    post(sandbox, body())
    expect(shown.page.locator("#waiting > li")).to_have_count(1)


# -- for everybody ----------------------------------------------------------------------------


def test_news_do_not_flood(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """A screen reader hears one sentence for a burst, not one for each intent."""
    page = visit().page
    page.evaluate(
        "window.heard = [];"
        " new MutationObserver(() => heard.push(document.getElementById('news').textContent))"
        ".observe(document.getElementById('news'), { childList: true });"
    )
    began = time.monotonic()
    for number in range(60):
        post(sandbox, body(email=f"c{number}@example.com"))
    post(sandbox, body())
    post(sandbox, body())
    expect(page.locator("#news")).to_have_text("61 intents on the waitlist, 1 request refused.")

    assert len(page.evaluate("heard")) <= 1 + (time.monotonic() - began) / 5
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert ["news", "answer-line", "copied"] == [item.get_attribute("id") for item in live.all()]


@pytest.mark.parametrize("wish", ["reduce", "no-preference"])
def test_motion(visit: Callable[..., Visit], sandbox: Sandbox, wish: str) -> None:
    """What is new moves only for those who have not asked for stillness."""
    page = visit(reduced_motion=wish).page
    post(sandbox, body())
    item = page.locator("#waiting > li")

    expect(item).to_have_css("animation-name", "arrive" if wish == "no-preference" else "none")


def test_no_sideways_scrolling(visit: Callable[..., Visit], sandbox: Sandbox) -> None:
    """At each width the page fits, whatever it holds."""
    fill_with_odd_things(sandbox)
    shown = visit(viewport=PHONE)
    fill(shown.page, {"name": LONG, "shop": "s" * 200, "email": "e" * 500})
    shown.page.get_by_role("button", name="Send").click()
    expect(shown.page.locator("#answer-line")).to_have_text("404: refused")

    def overflow_at(width: int) -> int:
        shown.page.set_viewport_size({"width": width, "height": 640})
        return shown.overflow

    widths = [320, 375, 768, 991, 992, 1280]
    assert {width: overflow_at(width) for width in widths} == dict.fromkeys(widths, 0)
    shown.failures.clear()


def fill_with_odd_things(sandbox: Sandbox) -> None:
    """Have the sandbox hold and refuse what is hard to show, for more shops than are shown."""
    for number, name in enumerate(ODD_NAMES):
        content = body(name=name, email=f"c{number}@example.com") | {"product": {"title": name}}
        content["intent"]["shopify_product_id"] = 10**300 + number
        content["intent"]["quantity"] = 10**300
        for _ in range(2):
            post(sandbox, content, f"{'s' * 60}{number}.myshopify.com")
    sandbox.fail_next(500, body={"errors": [LONG, *ODD_NAMES]})
    post(sandbox, body())


# All in .ci/run, which sets CI; elsewhere a sample, since each takes seconds.
STATES = ["empty", "filled", "answered", "refused", "asking", "lost"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES if os.environ.get("CI") else ["filled"])
def test_axe_finds_nothing(
    visit: Callable[..., Visit],
    sandbox: Sandbox,
    axe: str,
    viewport: dict[str, int],
    scheme: str,
    state: str,
) -> None:
    """axe-core finds no violation, contrast included, in any state, scheme or width."""
    if state != "empty":
        screenshot_page.fill(sandbox)
        fill_with_odd_things(sandbox)
    shown = visit(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = shown.page
    if state == "answered":
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#answer")).to_have_attribute("data-good", "true")
    elif state == "refused":
        fill(page, {"email": ""})
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#answer")).to_have_attribute("data-good", "false")
    elif state == "asking":
        page.get_by_role("button", name="Empty it…").click()
    elif state == "lost":
        page.evaluate("document.getElementById('connection').dataset.state = 'lost'")
    assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 23, 26)") == (scheme == "dark")

    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations', 'incomplete'] })")

    assert [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]] == []
    assert len(found["passes"]) > 15
    report = os.environ.get("STOQAPP_AXE_REPORT")
    if report:
        line = {
            "state": [state, scheme, viewport["width"]],
            "violations": len(found["violations"]),
            "passes": len(found["passes"]),
            "incomplete": [rule["id"] for rule in found["incomplete"]],
        }
        with Path(report).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
