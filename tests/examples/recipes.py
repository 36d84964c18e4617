"""What the tests of the recipes share: each recipe, started, as a function that takes a form."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import uvicorn

from stoqapp import AsyncStoq, Stoq

EXAMPLES = Path(__file__).parents[2] / "examples"
FORM = {
    "variant": "gid://shopify/ProductVariant/4711",
    "product": "gid://shopify/Product/42",
    "email": "grace@example.org",
}
# Sends a form, and returns status and message of the answer.
Submit = Callable[[Mapping[str, str]], tuple[int, str]]
Recipe = Callable[[], AbstractContextManager[Submit]]


def program(path: str) -> ModuleType:
    """Import a program of examples/ anew, under a name that no other has."""
    spec = spec_from_file_location(path.replace("/", "_").removesuffix(".py"), EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def served(app: Any, lifespan: str = "on") -> Iterator[str]:
    """Serve *app* by uvicorn on a free port; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Logging stays as it is, so that tests can look at all of it.
        config = uvicorn.Config(app, lifespan=lifespan, log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            # Connections wait in the backlog until uvicorn accepts them.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def submit_to(url: str) -> Submit:
    """Return a function that posts a form to *url*, each time on a new connection."""

    def submit(form: Mapping[str, str]) -> tuple[int, str]:
        answer = httpx.post(url, data=form)
        return answer.status_code, answer.json()["message"]

    return submit


@contextmanager
def fastapi_app() -> Iterator[Submit]:
    with served(program("fastapi/app.py").app) as url:
        yield submit_to(f"{url}/waitlist")


@contextmanager
def flask_app() -> Iterator[Submit]:
    module = program("flask/app.py")

    def submit(form: Mapping[str, str]) -> tuple[int, str]:
        answer = module.app.test_client().post("/waitlist", data=form)
        return answer.status_code, answer.text

    with module.stoq():
        yield submit


@contextmanager
def aws_lambda(left_ms: int = 60_000) -> Iterator[Submit]:
    module = program("aws_lambda/handler.py")
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)

    def submit(form: Mapping[str, str]) -> tuple[int, str]:
        answer = module.handler({"body": json.dumps(form)}, context)
        return answer["statusCode"], json.loads(answer["body"])["message"]

    with module.STOQ:
        yield submit


@contextmanager
def django_sync() -> Iterator[Submit]:
    from django.test import Client
    from waitlist import views

    def submit(form: Mapping[str, str]) -> tuple[int, str]:
        answer = Client().post("/waitlist", form)
        return answer.status_code, answer.json()["message"]

    yield submit
    views.client(Stoq).close()
    views.client.cache_clear()


@contextmanager
def django_async() -> Iterator[Submit]:
    from django.core.asgi import get_asgi_application
    from waitlist import views

    with served(get_asgi_application(), lifespan="off") as url:
        yield submit_to(f"{url}/async")
    asyncio.run(views.client(AsyncStoq).close())
    views.client.cache_clear()
