"""What the sandbox answers beside the API: the page, and what is below ``/_sandbox``."""

import json
import logging
import re
import traceback
from asyncio import sleep
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import evolve

from stoqapp_sandbox.answers import (
    NOT_FOUND,
    Answer,
    Request,
    error_answer,
    json_answer,
    json_from_bytes,
    messages_answer,
)
from stoqapp_sandbox.errors import SandboxError
from stoqapp_sandbox.faults import fault_from
from stoqapp_sandbox.page.guard import CONTROL, HEADERS, is_private, refusal
from stoqapp_sandbox.page.views import detail, page_files, view
from stoqapp_sandbox.service import Service

_BREATH_SECONDS: Final = 0.2
_MOST_REQUESTS: Final = 100

logger: logging.Logger = logging.getLogger("stoqapp_sandbox")


class App:
    """Answers for *service*, listening on *host*: the API, the page, and what is below it.

    What each path answers is in ``docs/page.md``; `stoqapp_sandbox.page.guard` says who may look.
    """

    def __init__(self, service: Service, host: str) -> None:
        self.service = service
        self._host = host
        self._routes: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/requests"): self._requests,
            ("GET", "/intents"): lambda _: _stream("application/json", self._intents()),
            ("GET", "/events"): lambda _: _stream("text/event-stream", self._events()),
            ("GET", "/assumptions"): lambda _: json_answer(
                200, service.settings.assumptions.report()
            ),
            ("POST", "/reset"): self._reset,
            **{(method, "/faults"): self._faults for method in ("GET", "POST", "DELETE")},
        }
        for path, answer in page_files().items():
            self._routes["GET", path] = partial(lambda one, _: one, answer)

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            return self._own(request) if is_private(request.path) else self.service.answer(request)
        except Exception as error:  # noqa: BLE001 - its text may repeat what a customer sent
            said = str(error)
            if not isinstance(error, SandboxError):
                place = traceback.extract_tb(error.__traceback__)[-1]
                at = f"{place.filename}:{place.lineno}"
                said = f"the sandbox itself failed: {type(error).__name__} at {at}"
            # No traceback: it ends with the exception's text.
            logger.error(said)  # noqa: TRY400
            return error_answer(500, said)

    def _own(self, request: Request) -> Answer:
        """Answer a request for the sandbox's own part."""
        path = request.path.removeprefix(CONTROL)
        method = "GET" if request.method == "HEAD" else request.method
        if refused := refusal(request, self._host):
            found = refused
        elif route := self._routes.get((method, path)):
            found = route(request)
        elif known := [known for known, of_path in self._routes if of_path == path]:
            found = error_answer(405, "Method Not Allowed", headers={"allow": ", ".join(known)})
        else:
            found = error_answer(404, NOT_FOUND)
        return evolve(found, headers={**found.headers, **HEADERS})

    async def _events(self) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        shown = ""
        while True:
            now = json.dumps(view(self.service))
            yield "" if now == shown else f"data: {now}\n\n"
            shown = now
            await sleep(_BREATH_SECONDS)

    async def _intents(self) -> AsyncIterator[str]:
        for part in self.service.intents_json():
            yield part
            # Other requests have their turn.
            await sleep(0)

    def _requests(self, request: Request) -> Answer:
        asked = {"after": "0", "limit": str(_MOST_REQUESTS), **dict(parse_qsl(request.query))}
        if len(asked) > 2 or not all(re.fullmatch("[0-9]{1,18}", one) for one in asked.values()):
            return messages_answer(400, ["query: give after and limit, whole numbers"])
        base_url = f"http://{request.headers.get('host', '')}"
        after, limit = int(asked["after"]), min(int(asked["limit"]), _MOST_REQUESTS)
        store = self.service.store
        with store.use():
            return json_answer(200, [detail(row, base_url) for row in store.requests(after, limit)])

    def _reset(self, _request: Request) -> Answer:
        self.service.reset()
        return json_answer(200, {"reset": True})

    def _faults(self, request: Request) -> Answer:
        faults = self.service.faults
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                words: Any = json_from_bytes(request.body or b"")
                if not isinstance(words, dict):
                    return messages_answer(400, ['body: must be like {"fault": "garbage"}'])
                faults.append(fault_from(words.pop("fault", None), words))
            except ValueError as error:
                return messages_answer(400, [str(error)])
        return json_answer(200, {"faults": faults.listed()})


def _stream(media_type: str, parts: AsyncIterator[str]) -> Answer:
    return Answer(200, b"", {"content-type": media_type}, parts=parts)
