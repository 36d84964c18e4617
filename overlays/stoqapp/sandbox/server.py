"""The sandbox as people start it: in a ``with`` block, or as a program of its own."""

import asyncio
import errno
import math
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from stoqapp.sandbox.budget import Budget
from stoqapp.sandbox.errors import (
    PortInUseError,
    SandboxError,
    SandboxNotInstalledError,
    UnusableFaultError,
)
from stoqapp.sandbox.fault_queue import Faults
from stoqapp.sandbox.faults import fault_from
from stoqapp.sandbox.spec import operation_from_spec, spec

if TYPE_CHECKING:
    from stoqapp.sandbox.listener import Listener
    from stoqapp.sandbox.service import Service

# What the extra installs, with what that needs.
_EXTRA: Final = frozenset({"anyio", "click", "h11", "jsonschema_rs", "starlette", "uvicorn"})
_BACKLOG: Final = 2048
_LARGEST_PORT: Final = 65535


class Sandbox:
    """A stand-in for the STOQ API on this machine.

    Serves in a thread of its own inside a ``with`` block::

        with Sandbox() as sandbox:
            ...  # a client with base_url=sandbox.base_url

    What it assumes about the service stands in `stoqapp.sandbox.assumptions`. A sandbox can
    be entered again after it was left, and keeps what it holds.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        rate_limit: Points that a shop has per window, and the seconds of a window, like
            ``(360, 60)``; a request beyond them is answered 429. Windows begin at multiples of
            the seconds. None counts and shows the vendor's points and refuses nothing.
        faults: What shall go wrong from the beginning, as text like
            ``"reset-after-store:every=10"``, see `stoqapp.sandbox.faults`; without a number of
            times it goes on without end.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        SandboxError: The vendor's ``openapi.json`` is missing or not as expected, or
            *rate_limit* is unusable.
        UnusableFaultError: One of *faults* is unusable.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rate_limit: tuple[int, float] | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._service = _service(rate_limit, faults)
        self._address: tuple[str, int] | None = None
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._address else 'not started'}>"

    def __enter__(self) -> Self:
        """Listen and serve; return once connections are accepted.

        Raises:
            PortInUseError: Another program listens there.
            SandboxError: The address cannot be listened on, or this sandbox already runs.
        """
        if self._thread is not None:
            raise SandboxError("this sandbox is running already: make another one")
        ready: Future[None] = Future()
        listening = _bound(self._host, self._wanted_port)
        listener = _listener(self._service, lambda: ready.set_result(None))

        def run() -> None:
            try:
                asyncio.run(listener.serve(sockets=[listening]))
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)
            finally:
                listening.close()

        thread = threading.Thread(target=run, name="stoqapp-sandbox", daemon=True)
        address = (self._host, listening.getsockname()[1])
        thread.start()
        try:
            ready.result()
        except BaseException:
            listener.should_exit = True
            thread.join()
            raise
        self._thread, self._listener, self._address = thread, listener, address
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the server; on return its thread has ended and its port is closed."""
        if self._listener is not None and self._thread is not None:
            self._listener.should_exit = True
            self._thread.join()
        self._thread = self._listener = None

    @property
    def port(self) -> int:
        """The port it listens on, or last did.

        Raises:
            SandboxError: It was never entered.
        """
        return self._reached()[1]

    @property
    def url(self) -> str:
        """Where it is, like ``http://127.0.0.1:43211``; raises as `port` does."""
        return _url(*self._reached())

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL: `url` and ``/api/v1``; raises as `port` does."""
        return f"{self.url}{self._service.operation.base_path}"

    @property
    def intents(self) -> list[dict[str, Any]]:
        """What was stored, oldest first: each intent's fields as answered, with two more.

        ``shop`` is the host name of the shop in lower case, ``request`` the body as it was
        received. The list is a copy.
        """
        return self._service.store.received()

    def fail_next(
        self,
        fault: int | str,
        *,
        times: int | None = None,
        after: int | None = None,
        every: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        variant: int | None = None,
        shop: str | None = None,
        shape: str | None = None,
        retry_after: int | None = None,
        retry_after_date: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> None:
        """Let the next request to the API's endpoint go wrong, or those that the arguments say.

        Called again, it adds to what is waiting: the first fault that is due takes a request,
        and those behind it do not see that request.

        Args:
            fault: A status, 200 to 599, that is answered with nothing stored; or text like
                ``"reset-after-store"`` or ``"latency=0.2"``, see `stoqapp.sandbox.faults`.
            times: How many requests meet it; by default one, and with *every* or *probability*
                as many as come.
            after: How many requests go by first.
            every: Of those that follow, each so-manieth meets it.
            probability: The chance of a request to meet it, above 0, at most 1.
            seed: Of that chance; the same seed makes the same choices.
            variant: Only requests for this variant count.
            shop: Only requests of this shop count.
            shape: Of a status's body, like ``"html"``, see `stoqapp.sandbox.faults.SHAPES`.
            retry_after: Seconds for the header Retry-After of a status.
            retry_after_date: Like it, as the date that is so many seconds ahead.
            headers: Headers to add to a status; they win over those that the sandbox sets.
            body: Body of a status: a str or bytes is sent as it is, anything else as JSON; None
                sends the usual one.

        Raises:
            UnusableFaultError: No fault can be made of it; the message says what is wrong.
        """
        fields = {
            "times": times,
            "after": after,
            "every": every,
            "probability": probability,
            "seed": seed,
            "variant": variant,
            "shop": shop,
            "shape": shape,
            "retry_after": retry_after,
            "retry_after_date": retry_after_date,
            "headers": headers,
            "body": body,
        }
        self._service.faults.add(fault_from(fault, fields))

    def reset(self) -> None:
        """Be as in the beginning: no intents, no points spent, only the faults given then.

        Ids and schedules begin anew.
        """
        self._service.reset()

    def _reached(self) -> tuple[str, int]:
        if self._address is None:
            raise SandboxError("the sandbox has no address yet: use it as `with Sandbox() as ...`")
        return self._address


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rate_limit: tuple[int, float] | None = None,
    faults: Sequence[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, then return.

    Prints one line with the URL to standard output once connections are accepted. Meant for
    the main thread, the only one that signals reach.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        rate_limit: As for `Sandbox`.
        faults: As for `Sandbox`.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        PortInUseError: Another program listens there.
        SandboxError: The address cannot be listened on, or *rate_limit* is unusable.
        UnusableFaultError: One of *faults* is unusable.
    """
    with suppress(KeyboardInterrupt):
        service = _service(rate_limit, faults)
        with _bound(host, port) as listening:
            url = _url(host, listening.getsockname()[1])
            line = f"stoqapp sandbox on {url} (base URL {url}{service.operation.base_path})"
            listener = _listener(service, lambda: print(line, flush=True))
            asyncio.run(listener.serve(sockets=[listening]))


def _service(rate_limit: tuple[int, float] | None, faults: Sequence[str]) -> "Service":
    try:
        from stoqapp.sandbox.service import Service
    except ModuleNotFoundError as missing:
        raise _not_installed(missing) from missing
    budget = _budget(rate_limit)
    return Service(operation_from_spec(spec()), budget=budget, faults=_faults(faults))


def _faults(texts: Sequence[str]) -> Faults:
    if isinstance(texts, str):
        raise UnusableFaultError("must be a list of texts, like ['reset-after-store:every=10']")
    lasting = []
    for text in texts:
        try:
            lasting.append(fault_from(text, lasting=True))
        except UnusableFaultError as error:
            raise UnusableFaultError(f"{text!r}: {error}") from None
    return Faults(lasting)


def _budget(rate_limit: tuple[int, float] | None) -> Budget:
    if rate_limit is None:
        return Budget()
    try:
        points, seconds = rate_limit
        if not (isinstance(points, int) and points >= 1 and 0.001 <= seconds < math.inf):
            raise ValueError  # noqa: TRY301
    except (TypeError, ValueError):
        raise SandboxError(
            "rate_limit must be whole points, at least 1, and seconds, like (360, 60)"
        ) from None
    return Budget(points=points, window_seconds=seconds, enforced=True)


def _listener(service: "Service", on_ready: Callable[[], object]) -> "Listener":
    try:
        from stoqapp.sandbox.app import app_for
        from stoqapp.sandbox.listener import Listener
    except ModuleNotFoundError as missing:
        raise _not_installed(missing) from missing
    return Listener(app_for(service), on_ready)


def _not_installed(missing: ModuleNotFoundError) -> Exception:
    package = (missing.name or "").partition(".")[0]
    return SandboxNotInstalledError(package) if package in _EXTRA else missing


def _bound(host: str, port: int) -> socket.socket:
    # getaddrinfo would take 65536 for 0.
    if not 0 <= port <= _LARGEST_PORT:
        raise SandboxError(f"port must be a number from 0 to {_LARGEST_PORT}, not {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from None
        raise SandboxError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    # asyncio turns Nagle's algorithm off only where the socket names its protocol; with it on,
    # each answer on a connection kept open waits some 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
