"""The HTTP face of the sandbox: an ASGI app that decides nothing about an intent."""

import json
import logging
import re
import traceback
from asyncio import sleep
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from attrs import evolve, frozen

from stoqapp_sandbox.answers import (
    Answer,
    Request,
    UnreadableJsonError,
    error_answer,
    json_answer,
    json_from_bytes,
    messages_answer,
)
from stoqapp_sandbox.delivery import Receive, Scope, Send, client_left, deliver
from stoqapp_sandbox.errors import UnusableFaultError
from stoqapp_sandbox.faults import fault_from
from stoqapp_sandbox.page import CONTROL, HEADERS, detail, is_private, page_files, refusal, view
from stoqapp_sandbox.scripted import NOT_FOUND
from stoqapp_sandbox.service import BODY_LIMIT, Service

_BREATH_SECONDS: Final = 0.2
_SILENT_BREATHS: Final = 75
_MOST_REQUESTS: Final = 100

logger = logging.getLogger("stoqapp_sandbox")


@frozen
class _Stream:
    media_type: str
    parts: Callable[[Receive], AsyncIterator[str]]


def _same(answer: Answer, _request: Request) -> Answer:
    return answer


class App:
    """Answers for *service*, listening on *host*.

    Beside the API it has these of its own; `stoqapp_sandbox.page.guard` says who may look:

    - ``GET /``: the page.
    - ``GET /_sandbox/requests?after=0&limit=100``: requests with a higher number than ``after``,
      oldest first, at most 100, see `stoqapp_sandbox.page.views.detail`.
    - ``GET /_sandbox/intents``: all stored intents, oldest first, with ``shop`` and ``request``
      (the body as it came).
    - ``GET /_sandbox/events``: Server-Sent Events for the page, each the whole of
      `stoqapp_sandbox.page.views.view`: one at once, then one after each change, at most five a
      second.
    - ``GET /_sandbox/assumptions``: see `stoqapp_sandbox.Assumptions.report`.
    - ``POST /_sandbox/reset``: forgets everything; answers ``{"reset": true}``.
    - ``POST /_sandbox/faults`` with ``{"fault": "reset-after-store", "times": 2}`` lets a fault
      wait, ``DELETE`` clears them. Both, and ``GET``, answer ``{"faults": [...]}``.
    """

    def __init__(self, service: Service, host: str) -> None:
        self._service = service
        self._host = host
        self._routes: dict[tuple[str, str], Callable[[Request], Answer | _Stream]] = {
            ("GET", "/requests"): self._requests,
            ("GET", "/intents"): lambda _: _Stream("application/json", self._intents),
            ("GET", "/events"): lambda _: _Stream("text/event-stream", self._events),
            ("GET", "/assumptions"): lambda _: json_answer(
                200, service.settings.assumptions.report()
            ),
            ("POST", "/reset"): self._reset,
            ("GET", "/faults"): self._faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
        }
        for path, answer in page_files(service).items():
            self._routes["GET", path.removeprefix(CONTROL)] = partial(_same, answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of ASGI."""
        generation = self._service.generation
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = bytearray()
        # Also a body that is too large is read to its end: a client that is still sending when
        # the connection closes would not see the answer.
        while (message := await receive())["type"] == "http.request":
            if len(body) <= BODY_LIMIT:
                body += message["body"]
            if not message["more_body"]:
                break
        else:
            return
        request = Request(
            scope["method"],
            scope["path"],
            headers,
            bytes(body) if len(body) <= BODY_LIMIT else None,
            scope["query_string"].decode("latin-1"),
        )
        try:
            if is_private(request.path):
                found = self._own(request, scope)
            else:
                found = self._service.answer(request, generation)
            if isinstance(found, _Stream):
                await self._stream(found, request.method, receive, send)
                return
        except Exception as error:  # noqa: BLE001 - its text may repeat what a customer sent
            place = traceback.extract_tb(error.__traceback__)[-1]
            # No traceback: it ends with the exception's text.
            logger.error(  # noqa: TRY400
                "the sandbox itself failed: %s at %s:%s",
                *(type(error).__name__, place.filename, place.lineno),
            )
            found = error_answer(500, "The sandbox itself failed; its log says where")
        await deliver(found, request.method, scope, receive, send)

    def _own(self, request: Request, scope: Scope) -> Answer | _Stream:
        """Answer a request for the sandbox's own part."""
        reached_at, _ = scope.get("server") or ("localhost", None)
        path = request.path.removeprefix(CONTROL)
        method = "GET" if request.method == "HEAD" else request.method
        found: Answer | _Stream
        if refused := refusal(request.headers, reached_at, self._host):
            found = refused
        elif route := self._routes.get((method, path)):
            found = route(request)
        elif known := [known for known, of_path in self._routes if of_path == path]:
            found = error_answer(405, "Method Not Allowed", {"allow": ", ".join(known)})
        else:
            found = error_answer(404, NOT_FOUND)
        if isinstance(found, Answer):
            return evolve(found, headers={**found.headers, **HEADERS})
        return found

    async def _stream(self, stream: _Stream, method: str, receive: Receive, send: Send) -> None:
        headers = {"content-type": stream.media_type, **HEADERS}
        start = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        if method != "HEAD":
            async for part in stream.parts(receive):
                await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _events(self, receive: Receive) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        shown, silent = -1, 0
        while True:
            if (changes := self._service.changes) != shown:
                shown, silent = changes, 0
                yield f"data: {json.dumps(view(self._service))}\n\n"
            elif silent == _SILENT_BREATHS:
                silent = 0
                # A write is what finds out that the other side has gone without a word.
                yield ": still here\n\n"
            if await client_left(receive, _BREATH_SECONDS):
                return
            silent += 1

    async def _intents(self, _receive: Receive) -> AsyncIterator[str]:
        for part in self._service.intents_json():
            yield part
            # Other requests have their turn.
            await sleep(0)

    def _requests(self, request: Request) -> Answer:
        asked = {"after": "0", "limit": str(_MOST_REQUESTS)}
        asked |= {name: values[-1] for name, values in parse_qs(request.query).items()}
        for name, value in asked.items():
            if name not in ("after", "limit") or not re.fullmatch("[0-9]{1,18}", value):
                return messages_answer(400, [f"{name}: give after and limit, whole numbers"])
        base_url = f"http://{request.headers.get('host', '')}"
        rows = self._service.requests(int(asked["after"]), min(int(asked["limit"]), _MOST_REQUESTS))
        return json_answer(200, [detail(row, base_url) for row in rows])

    def _reset(self, _request: Request) -> Answer:
        self._service.reset()
        return json_answer(200, {"reset": True})

    def _faults(self, _request: Request) -> Answer:
        return json_answer(200, {"faults": self._service.faults.listed()})

    def _clear_faults(self, request: Request) -> Answer:
        self._service.clear_faults()
        return self._faults(request)

    def _add_fault(self, request: Request) -> Answer:
        try:
            words: Any = json_from_bytes(request.body or b"")
            if not isinstance(words, dict):
                return messages_answer(400, ['body: must be an object like {"fault": "garbage"}'])
            self._service.add_fault(fault_from(words.pop("fault", None), words))
        except UnreadableJsonError as error:
            return messages_answer(400, [f"body: {error}"])
        except UnusableFaultError as error:
            return messages_answer(400, [str(error)])
        return self._faults(request)
