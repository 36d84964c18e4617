"""The recipes in examples/, each driven by its real framework against the sandbox."""

import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
import httpx
import pytest
import uvicorn
from django.conf import settings
from django.core import mail
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from playwright.sync_api import expect
from starlette.staticfiles import StaticFiles

import screenshot_page
from stoqapp import Stoq
from stoqapp.outbox import Outcome
from stoqapp_sandbox import Sandbox

pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = "demo.myshopify.com"
FORM = {
    "variant": "gid://shopify/ProductVariant/4711",
    "product": "gid://shopify/Product/42",
    "email": "grace@example.org",
}
# Returns status and message of the answer.
Submit = Callable[[Mapping[str, str]], tuple[int, str]]


@pytest.fixture(scope="session")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The Django project, set up once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES / "django")
        patch.setenv("DJANGO_SETTINGS_MODULE", "settings")
        patch.setenv("SECRET_KEY", "secret")
        patch.setenv("FOLDER", str(tmp_path_factory.mktemp("django")))
        django.setup()
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield


@pytest.fixture(autouse=True)
def _shop(
    _project: None, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A shop on the sandbox, in the environment, and a rate budget that nothing was taken from."""
    from waitlist import views

    views.client.cache_clear()
    monkeypatch.setattr(settings, "STOQ_BUDGET", tmp_path / "budget.sqlite")
    monkeypatch.setenv("STOQ_SHOP", "demo")
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)


def program(path: str) -> Any:
    """Run a program of examples/, and return its names."""
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / path)))


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI app by uvicorn on a free port; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Logging stays as it is, so that tests can look at all of it.
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            # Connections wait in the backlog until uvicorn accepts them.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def submit_to(url: str, wsgi_app: Any = None) -> Submit:
    """Return a function that posts a form to *url*, or to an app in this process."""

    def submit(form: Mapping[str, str]) -> Any:
        transport = wsgi_app and httpx.WSGITransport(wsgi_app)
        with httpx.Client(transport=transport) as browser:
            answer = browser.post(url, data=form)
        return answer.status_code, answer.json()["message"]

    return submit


def fastapi_app(stack: ExitStack) -> Submit:
    return submit_to(stack.enter_context(served(program("fastapi/app.py").app)) + "/waitlist")


def flask_app(_: ExitStack) -> Submit:
    return submit_to("http://localhost/waitlist", program("flask/app.py").app)


def aws_lambda(_: ExitStack) -> Submit:
    handler = program("aws_lambda/handler.py").handler
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 8_500)

    def submit(form: Mapping[str, str]) -> Any:
        answer = handler({"body": json.dumps(form)}, context)
        return answer["statusCode"], json.loads(answer["body"])["message"]

    return submit


def django_sync(_: ExitStack) -> Submit:
    return submit_to("http://localhost/waitlist", get_wsgi_application())


def django_async(stack: ExitStack) -> Submit:
    return submit_to(stack.enter_context(served(get_asgi_application())) + "/async")


@pytest.mark.stoq_sandbox(catalog={SHOP: {"42": [4711]}})
@pytest.mark.parametrize("recipe", [fastapi_app, flask_app, aws_lambda, django_sync, django_async])
def test_what_a_customer_is_told(
    recipe: Callable[[ExitStack], Submit],
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A duplicate is good news, a refusal is clear, and trouble asks for another try.

    What may have been carried out is sent again, but not where the customer would wait for long. No
    log line names them.
    """
    caplog.set_level("DEBUG")
    with ExitStack() as stack:
        submit = recipe(stack)
        sandbox.fail_next(500, retry_after=0)
        assert (200, "You are on the list.") == submit(FORM)
        assert (200, "You are on the list already.") == submit(FORM)
        for email in ("grace", ""):
            assert (422, "Please check what you entered.") == submit(FORM | {"email": email})
        assert (422, "This product has no waitlist.") == submit(FORM | {"variant": "9"})
        sandbox.fail_next(500, retry_after=15)
        assert (503, "You may be on the list. Send again to be sure.") == submit(FORM)
        sandbox.fail_next(429, retry_after=15)
        assert (503, "Please try later.") == submit(FORM)
    assert [FORM["email"]] == [intent["email"] for intent in sandbox.intents]
    assert "sign-up failed" in caplog.text
    assert "grace" not in caplog.text


def test_under_gunicorn(sandbox: Sandbox) -> None:
    """Two workers that are forked off a master, which has loaded the app, answer."""
    options = ["--no-control-socket", "--preload", "--workers", "2", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"],
        cwd=EXAMPLES / "django",
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        assert master.stderr is not None
        try:
            said = (re.search(r"Listening at: (\S+)", line) for line in master.stderr)
            submit = submit_to(f"{next(filter(None, said))[1]}/waitlist")
            for number in range(1, 11):
                assert (200, "You are on the list.") == submit(FORM | {"variant": str(number)})
        finally:
            master.terminate()
            assert "Traceback" not in master.communicate()[1]


def test_what_admins_are_mailed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's report of a 503 shows the form without the customer's address."""
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "django.core.mail.backends.locmem.EmailBackend")
    monkeypatch.setattr(settings, "ADMINS", [("Ada", "ada@example.com")])
    mail.outbox = []
    sandbox.fail_next(429, retry_after=15)
    assert 503 == Client().post("/waitlist", FORM).status_code
    [message] = mail.outbox
    assert "4711" in message.body
    assert "grace" not in message.body


def test_the_outbox(sandbox: Sandbox) -> None:
    """A view puts a request into the database; the command sends it, and forgets who it was."""
    from waitlist.models import WaitingIntent

    forms = [FORM, FORM, FORM | {"variant": "9"}, FORM | {"email": "grace"}]
    answers = [Client().post("/later", form).status_code for form in forms]
    assert [202, 202, 202, 422] == answers
    assert [] == sandbox.intents
    sandbox.fail_next("reset-after-store")
    call_command("drain")
    assert 2 == len(sandbox.intents)
    rows = WaitingIntent.objects.all()
    assert ["sent", "sent", "there"] == sorted(row.state for row in rows)
    assert {None} == {row.body for row in rows}


def test_what_a_killed_drain_leaves() -> None:
    """Another drain claims what was in flight; what is unknown or released waits again."""
    from waitlist.models import ModelOutbox, WaitingIntent

    for number in range(3):
        WaitingIntent.objects.create(shop=SHOP, body={"number": number})
    killed = ModelOutbox()
    assert [0, 1] == [item.body["number"] for item in killed.claim({SHOP: 2, "other": 1})]
    assert {SHOP: 1} == killed.left()
    drain = ModelOutbox()
    first, second, third = drain.claim({SHOP: 9})
    assert [] == drain.claim({SHOP: 9})
    drain.store([Outcome(first.key, "unknown"), Outcome(second.key, "refused", 404, "NotFound")])
    drain.release([third])
    assert [0, 2] == [item.body["number"] for item in drain.claim({SHOP: 9})]


@pytest.fixture
def storefront(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The page on one port, its back end on another; yields the page's URL."""
    with served(StaticFiles(directory=tmp_path, html=True)) as url:
        monkeypatch.setenv("STOREFRONT", url)
        with served(program("fastapi/app.py").app) as back_end:
            for file in (EXAMPLES / "storefront").iterdir():
                text = file.read_text("utf-8").replace("http://127.0.0.1:8001", back_end)
                (tmp_path / file.name).write_text(text)
            yield url


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

        sandbox.fail_next(429, retry_after=15)
        submit()
        expect(told).to_have_text("Please try later.")
        button.click()
        expect(told).to_have_text("You are on the list.")
        expect(button).to_be_disabled()
        submit()
        expect(told).to_have_text("You are on the list already.")
    [intent] = sandbox.intents
    assert (FORM["email"], 4711) == (intent["email"], intent["shopify_variant_id"])


def test_pytest_project(pytester: pytest.Pytester) -> None:
    """A project of a user has the fixture and its marker; its tests pass, all of them."""
    shutil.copytree(EXAMPLES / "pytest_project", pytester.path, dirs_exist_ok=True)
    pytester.runpytest_inprocess("-p", "no:schemathesis").assert_outcomes(passed=4)


def test_opentelemetry(sandbox: Sandbox) -> None:
    """Each attempt is a span within the call's own. No span holds a customer's data."""
    module, spans = program("opentelemetry/traced.py"), InMemorySpanExporter()
    module.trace_to(spans)
    try:
        with Stoq("demo", base_url=sandbox.base_url) as stoq:
            sandbox.fail_next(503, retry_after=0)
            assert module.sign_up(stoq, 4711, 42, FORM["email"])
            assert module.sign_up(stoq, 4711, 42, FORM["email"])
    finally:
        HTTPXClientInstrumentor().uninstrument()
        module.provider.shutdown()
    failed, created, call, duplicate, second_call = spans.get_finished_spans()
    attempts = [failed, created, duplicate]
    assert [503, 201, 200] == [span.attributes["http.status_code"] for span in attempts]
    assert call.context.span_id == failed.parent.span_id == created.parent.span_id
    assert (2, 201) == (call.attributes["stoq.attempts"], call.attributes["stoq.status"])
    assert "ProcessedWithErrorsError" == second_call.attributes["stoq.error"]
    assert "grace" not in "".join(span.to_json() for span in spans.get_finished_spans())
