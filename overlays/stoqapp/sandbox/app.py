"""The HTTP face of the sandbox: routes, and nothing that decides about an intent."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoqapp.sandbox.answers import (
    Answer,
    error_answer,
    json_answer,
    messages_answer,
    rate_limited_answer,
)
from stoqapp.sandbox.assumptions import LARGEST_BODY_BYTES, NOT_FOUND
from stoqapp.sandbox.faults import fault_from
from stoqapp.sandbox.page.guard import CONTROL, Guard, is_private
from stoqapp.sandbox.page.recorder import Recorder
from stoqapp.sandbox.page.routes import page_routes
from stoqapp.sandbox.payload import PayloadError, payload_from_bytes
from stoqapp.sandbox.service import Service

_FAULT_FIELDS: Final = ("status", "times", "headers", "body")
_TOO_LARGE: Final = error_answer(413, f"Body larger than {LARGEST_BODY_BYTES} bytes")
_WITHOUT_READER: Final = Answer(400, b"", {})

logger = logging.getLogger("stoqapp.sandbox")


def app_for(service: Service) -> Starlette:
    """Return an ASGI app that answers for *service*.

    Beside the API's endpoint it has three of its own:

    - ``GET /_sandbox/intents``: a JSON list of what was stored, see `Store.received`.
    - ``POST /_sandbox/reset``: forgets everything; answers ``{"reset": true}``.
    - ``POST /_sandbox/fail`` with ``{"status": 503, "times": 1, "headers": {}, "body": null}``,
      all but the status optional: the next *times* requests to the API's endpoint get that
      answer unseen; a body that is a string is sent as it is. Answers ``{"waiting": 1}``.

    And the page at ``/``, see `page_routes`; `Guard` says who may look at either.
    """

    async def create_intent(request: Request) -> Response:
        try:
            raw = await _limited_body(request)
        except ClientDisconnect:
            return _response(_WITHOUT_READER)
        if raw is None:
            return _response(_TOO_LARGE)
        headers = _header_lines(request.headers)
        return _response(service.create_intent(raw, headers, request.state.balance))

    async def intents(_request: Request) -> Response:
        return _response(json_answer(200, service.store.received()))

    async def reset(_request: Request) -> Response:
        service.reset()
        return _response(json_answer(200, {"reset": True}))

    async def fail(request: Request) -> Response:
        try:
            raw = await _limited_body(request)
        except ClientDisconnect:
            return _response(_WITHOUT_READER)
        if raw is None:
            return _response(_TOO_LARGE)
        try:
            waiting = service.faults.add(fault_from(**_fault_fields(payload_from_bytes(raw))))
        except PayloadError as error:
            return _response(messages_answer(400, [f"body: {error}"]))
        except ValueError as error:
            return _response(messages_answer(400, [str(error)]))
        return _response(json_answer(200, {"waiting": waiting}))

    app = Starlette(
        routes=[
            Route(
                f"{service.operation.base_path}{service.operation.path}",
                create_intent,
                methods=["POST"],
            ),
            Route(f"{CONTROL}/intents", intents, methods=["GET"]),
            Route(f"{CONTROL}/reset", reset, methods=["POST"]),
            Route(f"{CONTROL}/fail", fail, methods=["POST"]),
            *page_routes(service.journal, service.operation),
        ],
        exception_handlers={HTTPException: _refusal},
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Discreet)
    app.add_middleware(_Metered, service=service)
    app.add_middleware(Recorder, journal=service.journal, base_path=service.operation.base_path)
    app.add_middleware(Guard)
    return app


class _Metered:
    """Counts each request to the API against its shop and shows the balance in the answer.

    Where the budget is enforced, a request beyond it is answered here, unjudged.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_private(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = _header_lines(Headers(scope=scope))
        balance = self._service.spend(headers, scope["method"])
        scope.setdefault("state", {})["balance"] = balance

        async def send_with_balance(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in balance.headers().items():
                    sent.setdefault(name, value)
            await send(message)

        if not balance.refused:
            await self._app(scope, receive, send_with_balance)
            return
        with suppress(ClientDisconnect):
            await _limited_body(Request(scope, receive))
        seconds = balance.seconds_left
        refusal = rate_limited_answer(seconds, f"No points left; try again in {seconds} seconds")
        await _response(refusal)(scope, receive, send_with_balance)


class _Discreet:
    """Answers 500 for a fault of the sandbox itself and logs where, but not what it was about.

    The text of an exception, and so its traceback, may repeat what a customer sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach a log
            place = error.__traceback__
            while place and place.tb_next:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
            # No traceback: it ends with the exception's text.
            logger.error(  # noqa: TRY400
                "the sandbox itself failed: %s at %s", type(error).__name__, where
            )
            failed = error_answer(500, "The sandbox itself failed; its log says where")
            await _response(failed)(scope, receive, send)


async def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    reason = NOT_FOUND if error.status_code == 404 else error.detail
    return _response(error_answer(error.status_code, reason, error.headers))


async def _limited_body(request: Request) -> bytes | None:
    """Return the body, or None when it is too large; it is read to its end all the same.

    A client that is still sending when the connection closes would not see the answer.
    """
    body = bytearray()
    async for chunk in request.stream():
        if len(body) <= LARGEST_BODY_BYTES:
            body += chunk
    return bytes(body) if len(body) <= LARGEST_BODY_BYTES else None


def _header_lines(headers: Headers) -> dict[str, str]:
    """Return headers by name in lower case, those given twice joined as HTTP has it."""
    return {name: ", ".join(headers.getlist(name)) for name in headers}


def _fault_fields(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, dict) or "status" not in payload:
        raise ValueError('body: must be an object like {"status": 503, "times": 1}')
    if not payload.keys() <= set(_FAULT_FIELDS):
        raise ValueError(f"body: knows no other fields than {', '.join(_FAULT_FIELDS)}")
    return payload


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
