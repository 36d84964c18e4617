"""The HTTP face of the sandbox: routes, and nothing that decides about an intent."""

import logging
from asyncio import timeout
from contextlib import suppress
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoqapp_sandbox.answers import (
    Answer,
    error_answer,
    json_answer,
    messages_answer,
    rate_limited_answer,
)
from stoqapp_sandbox.assumptions import NOT_FOUND
from stoqapp_sandbox.connection import DELIVERY, Delivered
from stoqapp_sandbox.errors import UnusableFaultError
from stoqapp_sandbox.faults import fault_from
from stoqapp_sandbox.latency import Latency
from stoqapp_sandbox.page import CONTROL, Guard, Recorder, is_private, page_routes
from stoqapp_sandbox.payload import PayloadError, payload_from_bytes
from stoqapp_sandbox.service import Service

_WITHOUT_READER: Final = Answer(400, b"", {})

logger = logging.getLogger("stoqapp_sandbox")


def app_for(service: Service, host: str = "localhost") -> Starlette:
    """Return an ASGI app that answers for *service*, listening on *host*.

    Beside the API's endpoint it has these of its own:

    - ``GET /_sandbox/assumptions``: what the sandbox takes for granted, see `Assumptions.report`.
    - ``GET /_sandbox/intents``: a JSON list of what was stored, see `Store.received`.
    - ``POST /_sandbox/reset``: is as it was in the beginning, see `Service.reset`; answers
      ``{"reset": true}``.
    - ``POST /_sandbox/faults`` with ``{"fault": "reset-after-store", "times": 2}``: lets a fault
      wait, see `stoqapp_sandbox.faults.fault_from`; a body in it that is a string is sent as it
      is. ``DELETE`` lets none wait. Both, and ``GET``, answer ``{"faults": [...]}``, a list of
      those that wait, see `stoqapp_sandbox.fault_queue.Faults.listed`.

    And the page at ``/``, see `page_routes`; `Guard` says who may look at either.
    """

    assumed = service.assumptions
    body_limit = int(assumed.number("body_limit"))
    too_large = error_answer(413, f"Body larger than {body_limit} bytes", assumptions=assumed)

    async def refusal(_request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        reason = NOT_FOUND if error.status_code == 404 else error.detail
        return _response(
            error_answer(error.status_code, reason, error.headers, assumptions=assumed)
        )

    async def create_intent(request: Request) -> Response:
        try:
            raw = await _limited_body(request, body_limit)
        except ClientDisconnect:
            return _response(_WITHOUT_READER)
        if raw is None:
            return _response(too_large)
        headers = _header_lines(request.headers)
        answer = service.create_intent(raw, headers, request.state.balance)
        request.scope["state"][DELIVERY] = answer.delivery
        return _response(answer)

    async def intents(_request: Request) -> Response:
        return _response(json_answer(200, service.store.received()))

    async def assumptions(_request: Request) -> Response:
        return _response(json_answer(200, assumed.report()))

    async def reset(_request: Request) -> Response:
        service.reset()
        return _response(json_answer(200, {"reset": True}))

    async def faults(request: Request) -> Response:
        if request.method == "POST" and (refusal := await add_fault(request)):
            return _response(refusal)
        if request.method == "DELETE":
            service.faults.clear()
        return _response(json_answer(200, {"faults": service.faults.listed()}))

    async def add_fault(request: Request) -> Answer | None:
        try:
            raw = await _limited_body(request, body_limit)
        except ClientDisconnect:
            return _WITHOUT_READER
        if raw is None:
            return too_large
        try:
            fields = payload_from_bytes(raw)
        except PayloadError as error:
            return messages_answer(400, [f"body: {error}"])
        if not isinstance(fields, dict):
            return messages_answer(400, ['body: must be an object like {"fault": "garbage"}'])
        try:
            service.faults.add(fault_from(fields.pop("fault", None), fields))
        except UnusableFaultError as error:
            return messages_answer(400, [str(error)])
        return None

    app = Starlette(
        routes=[
            Route(
                f"{service.operation.base_path}{service.operation.path}",
                create_intent,
                methods=["POST"],
            ),
            Route(f"{CONTROL}/intents", intents, methods=["GET"]),
            Route(f"{CONTROL}/assumptions", assumptions, methods=["GET"]),
            Route(f"{CONTROL}/reset", reset, methods=["POST"]),
            Route(f"{CONTROL}/faults", faults, methods=["GET", "POST", "DELETE"]),
            *page_routes(service.journal, service.operation),
        ],
        exception_handlers={HTTPException: refusal},
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Discreet)
    app.add_middleware(_Metered, service=service)
    app.add_middleware(_Late, latency=service.latency)
    # What was judged is recorded, whatever becomes of the answer on its way out.
    base_path = service.operation.base_path
    app.add_middleware(Recorder, service=service, base_path=base_path)
    app.add_middleware(Delivered)
    app.add_middleware(Guard, host=host)
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
            await _limited_body(Request(scope, receive), 0)
        seconds = balance.seconds_left
        said = f"No points left; try again in {seconds} seconds"
        refusal = rate_limited_answer(seconds, said, self._service.assumptions)
        await _response(refusal)(scope, receive, send_with_balance)


class _Late:
    """Lets each answer of the API wait, after the work is done, as a slow service does."""

    def __init__(self, app: ASGIApp, latency: Latency) -> None:
        self._app = app
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_private(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await _wait(receive, self._latency.next_seconds())
            await send(message)

        await self._app(scope, receive, send_late)


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


async def _wait(receive: Receive, seconds: float) -> None:
    """Wait, unless the caller goes away."""
    if seconds:
        with suppress(TimeoutError):
            async with timeout(seconds):
                while (await receive())["type"] != "http.disconnect":
                    pass


async def _limited_body(request: Request, limit: int) -> bytes | None:
    """Return the body, or None when it is too large; it is read to its end all the same.

    A client that is still sending when the connection closes would not see the answer.
    """
    body = bytearray()
    async for chunk in request.stream():
        if len(body) <= limit:
            body += chunk
    return bytes(body) if len(body) <= limit else None


def _header_lines(headers: Headers) -> dict[str, str]:
    """Return headers by name in lower case, those given twice joined as HTTP has it."""
    return {name: ", ".join(headers.getlist(name)) for name in headers}


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
