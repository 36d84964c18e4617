"""Watches what is asked and answered, and tells the journal."""

import time
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoqapp.answers import created_from_answer
from stoqapp.errors import Answer, AnswerError
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox.answers import USUAL_DELIVERY
from stoqapp_sandbox.connection import DELIVERY
from stoqapp_sandbox.page.guard import is_private
from stoqapp_sandbox.payload import PayloadError, payload_from_bytes
from stoqapp_sandbox.service import Service

_MOST_BYTES: Final = 64 * 1024
_CREATED: Final = 201
# What a `Delivery` can send in which there is no whole status line and head.
_UNHEARD: Final = frozenset({"nothing", "garbage", "half of the head"})
_READS: Final = frozenset({"GET", "HEAD"})


class Recorder:
    """Notes each request that did not hear a 201, and what its shop has left.

    Left out are reads of paths outside the API, like the icon that a browser asks for.

    Args:
        app: What answers.
        service: Whose journal is told.
        base_path: Path that all paths of the API begin with.
    """

    def __init__(self, app: ASGIApp, service: Service, base_path: str) -> None:
        self._app = app
        self._service = service
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let *app* answer, and note what came of it."""
        path: str = scope.get("path", "")
        if (
            scope["type"] != "http"
            or is_private(path)
            or (scope["method"] in _READS and not path.startswith(f"{self._base_path}/"))
        ):
            await self._app(scope, receive, send)
            return
        asked, answered = bytearray(), bytearray()
        status: int | None = None

        async def receive_watched() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(asked) <= _MOST_BYTES:
                asked.extend(message.get("body", b""))
            return message

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and len(answered) <= _MOST_BYTES:
                answered.extend(message.get("body", b"")[:_MOST_BYTES])
            await send(message)

        try:
            await self._app(scope, receive_watched, send_watched)
        finally:
            if scope.get("state", {}).get(DELIVERY, USUAL_DELIVERY).sends in _UNHEARD:
                status = None
            shop = Headers(scope=scope).get(SHOP_HEADER, "")
            if balance := scope.get("state", {}).get("balance"):
                with self._service.found_by(balance) as found:
                    found.journal.spent(shop, balance)
                    if status != _CREATED:
                        found.journal.refused(
                            status,
                            f"{scope['method']} {path}",
                            shop,
                            _json_from(bytes(asked)),
                            _reasons(status, bytes(answered)),
                        )


def _json_from(raw: bytes) -> object:
    if len(raw) <= _MOST_BYTES:
        with suppress(PayloadError):
            return payload_from_bytes(raw)
    return None


def _reasons(status: int | None, body: bytes) -> tuple[str, ...]:
    """Return what an answer says, read as the SDK reads it."""
    if status is None:
        return ()
    try:
        return created_from_answer(Answer(status, {}, body), time.time()).messages
    except AnswerError as error:
        return error.messages
