"""The routes of the page: its files, and the stream of what the journal holds."""

import asyncio
import html
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from stoqapp_sandbox.journal import Journal
from stoqapp_sandbox.page.guard import CONTROL
from stoqapp_sandbox.spec import Operation

# The types are named here, because mimetypes asks the machine, and a browser runs no module
# that comes as text/plain.
_FILES: Final = {
    "icon.svg": "image/svg+xml",
    "script.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}
_BREATH_SECONDS: Final = 0.2
_SIGN_OF_LIFE_SECONDS: Final = 15.0
_RETRY_MILLISECONDS: Final = 1000


def page_routes(journal: Journal, operation: Operation) -> list[Route]:
    """Return the routes of the page.

    ``GET /`` is the page, ``GET /_sandbox/page/...`` its files. ``GET /_sandbox/events`` is a
    stream of Server-Sent Events: each is the whole of `Journal.view`, the first one at once,
    the next ones when something has changed, at most five a second. So a client that was away
    needs no history, and a slow one is not sent what is out of date. It ends with the sandbox.
    """
    folder = files("stoqapp_sandbox.page")
    index = folder.joinpath("index.html").read_text("utf-8")
    index = index.replace("{base_path}", html.escape(operation.base_path))
    index = index.replace("{path}", html.escape(operation.path))

    async def page(_request: Request) -> Response:
        return Response(index, media_type="text/html")

    async def events(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return StreamingResponse(_events(journal), media_type="text/event-stream")

    def file_route(name: str, media_type: str) -> Route:
        content = folder.joinpath(name).read_bytes()

        async def file(_request: Request) -> Response:
            return Response(content, media_type=media_type)

        return Route(f"{CONTROL}/page/{name}", file)

    return [
        Route("/", page),
        Route(f"{CONTROL}/events", events),
        *(file_route(name, media_type) for name, media_type in _FILES.items()),
    ]


async def _events(journal: Journal) -> AsyncIterator[str]:
    yield f"retry: {_RETRY_MILLISECONDS}\n\n"
    with journal.watched() as watch:
        while True:
            try:
                async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
                    await watch.changed.wait()
            except TimeoutError:
                # A write is what finds out that the other side has gone without a word.
                yield ": still here\n\n"
                continue
            if watch.over.is_set():
                return
            watch.changed.clear()
            yield f"data: {json.dumps(journal.view())}\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(_BREATH_SECONDS):
                    await watch.over.wait()
