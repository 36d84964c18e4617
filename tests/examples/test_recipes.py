"""The recipes in examples/, each driven by its real framework against the sandbox."""

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from playwright.sync_api import expect
from recipes import (
    EXAMPLES,
    FORM,
    Recipe,
    aws_lambda,
    django_async,
    django_sync,
    fastapi_app,
    flask_app,
    program,
    served,
)

import screenshot_page
from stoqapp import Stoq
from stoqapp_sandbox import Sandbox

pytest_plugins = ["pytester"]

SHOP = "demo.myshopify.com"


@pytest.mark.stoq_sandbox(catalog={SHOP: {"42": [4711]}})
@pytest.mark.parametrize("recipe", [fastapi_app, flask_app, aws_lambda, django_sync, django_async])
def test_what_a_customer_is_told(
    recipe: Recipe, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A duplicate is good news, a refusal is clear, and trouble asks for another try.

    What may have been carried out is sent again. No log line names the customer.
    """
    caplog.set_level("DEBUG")
    with recipe() as submit:
        sandbox.fail_next(500, retry_after=0)
        assert submit(FORM) == (200, "You are on the list.")
        assert submit(FORM) == (200, "You are on the list already.")
        assert submit(FORM | {"email": "grace"}) == (422, "Please check what you entered.")
        assert submit(FORM | {"variant": "9"}) == (422, "This product has no waitlist.")
        sandbox.fail_next(503, retry_after=3600)
        assert submit(FORM) == (503, "Please try later.")
        sandbox.fail_next(500, retry_after=3600)
        assert submit(FORM) == (503, "You may be on the list. Send again to be sure.")
    assert [FORM["email"]] == [intent["email"] for intent in sandbox.intents]
    assert "sign-up failed" in caplog.text
    assert "grace" not in caplog.text


@pytest.fixture
def storefront(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The page on one port, its back end on another; yields the page's URL."""
    pages = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), pages) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("STOREFRONT", url)
        with served(program("fastapi/app.py").app) as back_end:
            shutil.copytree(EXAMPLES / "storefront", tmp_path, dirs_exist_ok=True)
            page = tmp_path / "index.html"
            page.write_text(page.read_text("utf-8").replace("http://127.0.0.1:8001", back_end))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield url
            server.shutdown()
            thread.join()


def test_storefront(storefront: str, sandbox: Sandbox) -> None:
    """A browser sends the form to a back end of another origin, and the page says what came back.

    After trouble the button can be pressed again, after a sign-up it cannot.
    """
    chromium = screenshot_page.chromium()
    if chromium is None:
        message = "no Chromium is installed: THE STOREFRONT IS UNTESTED"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    with screenshot_page.browser(str(chromium)) as browser:
        page = browser.new_page()
        told, button = page.locator("output"), page.get_by_role("button")

        def submit() -> None:
            page.goto(storefront)
            page.get_by_label("Email").fill(FORM["email"])
            button.click()

        sandbox.fail_next(429, retry_after=3600)
        submit()
        expect(told).to_have_text("Please try later.")
        button.click()
        expect(told).to_have_text("You are on the list.")
        expect(button).to_be_disabled()
        submit()
        expect(told).to_have_text("You are on the list already.")
    [intent] = sandbox.intents
    assert (FORM["email"], 4711) == (intent["email"], intent["shopify_variant_id"])


def test_time_that_is_left_to_a_lambda(sandbox: Sandbox) -> None:
    """The handler answers before its container is stopped, whatever the service does."""
    sandbox.fail_next("latency=600")
    with aws_lambda(left_ms=700) as submit:
        assert submit(FORM) == (503, "You may be on the list. Send again to be sure.")


def test_pytest_project(pytester: pytest.Pytester) -> None:
    """A project of a user has the fixture and its marker; its tests pass, all of them."""
    shutil.copytree(EXAMPLES / "pytest_project", pytester.path, dirs_exist_ok=True)
    pytester.runpytest_inprocess("-p", "no:schemathesis").assert_outcomes(passed=7)


def test_opentelemetry(sandbox: Sandbox) -> None:
    """Each attempt is a span within the call's own. No span holds a customer's data."""
    module, spans = program("opentelemetry/traced.py"), InMemorySpanExporter()
    module.provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=module.provider)
    try:
        with Stoq("demo", base_url=sandbox.base_url) as stoq:
            sandbox.fail_next(503, retry_after=0)
            inputs = {"variant": 4711, "product": 42, "email": FORM["email"]}
            assert module.sign_up(stoq, **inputs)
            assert module.sign_up(stoq, **inputs)
    finally:
        instrumentor.uninstrument()
        module.provider.shutdown()
    failed, created, call, duplicate, second_call = spans.get_finished_spans()
    assert (503, 201, 200) == tuple(
        span.attributes["http.status_code"] for span in (failed, created, duplicate)
    )
    assert call.context.span_id == failed.parent.span_id == created.parent.span_id
    assert (2, 201) == (call.attributes["stoq.attempts"], call.attributes["stoq.status"])
    assert "ProcessedWithErrorsError" == second_call.attributes["stoq.error"]
    assert "grace" not in "".join(span.to_json() for span in spans.get_finished_spans())
