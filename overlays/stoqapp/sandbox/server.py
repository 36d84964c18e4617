"""The sandbox as people start it: in a ``with`` block, or as a program of its own."""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from stoqapp.sandbox.assumptions import Assumptions
from stoqapp.sandbox.errors import PortInUseError, SandboxError, SandboxNotInstalledError
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
        assume: What to take for granted in place of the defaults of `ASSUMPTIONS`, by name,
            like ``{"duplicate": "409"}``.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        SandboxError: The vendor's ``openapi.json`` is missing or not as expected, or
            an argument is unusable; the message says what can be given.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rate_limit: tuple[int, float] | None = None,
        assume: Mapping[str, Any] | None = None,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._service = _service(rate_limit, assume)
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
    def assumptions(self) -> Assumptions:
        """What it takes for granted."""
        return self._service.assumptions

    @property
    def intents(self) -> list[dict[str, Any]]:
        """What was stored, oldest first: each intent's fields as answered, with two more.

        ``shop`` is the host name of the shop in lower case, ``request`` the body as it was
        received. The list is a copy.
        """
        return self._service.store.received()

    def fail_next(
        self,
        status: int,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> None:
        """Answer the next requests to the API's endpoint with *status*, storing nothing.

        Called again, it adds to what is waiting.

        Args:
            status: Status code, 200 to 599.
            times: How many requests get it.
            headers: Headers to add; they win over those that the sandbox sets.
            body: A str or bytes is sent as it is, anything else as JSON; None sends the
                usual body of the status.

        Raises:
            ValueError: Something in it cannot be answered; the message says what.
        """
        self._service.faults.add(fault_from(status, times, headers, body))

    def reset(self) -> None:
        """Forget the intents, the points spent and the answers asked for; ids begin anew."""
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
    assume: Mapping[str, Any] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then return.

    Prints one line with the URL to standard output once connections are accepted. Meant for
    the main thread, the only one that signals reach.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        rate_limit: As for `Sandbox`.
        assume: As for `Sandbox`.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        PortInUseError: Another program listens there.
        SandboxError: The address cannot be listened on, or an argument is unusable.
    """
    with suppress(KeyboardInterrupt):
        service = _service(rate_limit, assume)
        with _bound(host, port) as listening:
            url = _url(host, listening.getsockname()[1])
            line = f"stoqapp sandbox on {url} (base URL {url}{service.operation.base_path})"
            listener = _listener(service, lambda: print(line, flush=True))
            asyncio.run(listener.serve(sockets=[listening]))


def _service(rate_limit: tuple[int, float] | None, assume: Mapping[str, Any] | None) -> "Service":
    try:
        from stoqapp.sandbox.service import Service
    except ModuleNotFoundError as missing:
        raise _not_installed(missing) from missing
    return Service(operation_from_spec(spec()), _assumptions(rate_limit, assume))


def _assumptions(
    rate_limit: tuple[int, float] | None, assume: Mapping[str, Any] | None
) -> Assumptions:
    assumptions = Assumptions.of(assume)
    if rate_limit is None:
        return assumptions
    try:
        points, seconds = rate_limit
        limits = Assumptions.of({"rate_points": points, "rate_window": seconds})
        if isinstance(points, str) or isinstance(seconds, str):
            raise TypeError  # noqa: TRY301
    except (TypeError, ValueError, SandboxError):
        raise SandboxError(
            "rate_limit must be whole points, at least 1, and seconds, like (360, 60)"
        ) from None
    told = {"rate_points", "rate_window", "rate_enforced"}.intersection(assume or ())
    if told:
        raise SandboxError(f"rate_limit decides {', '.join(sorted(told))}, too: give one of them")
    chosen = {name: limits[name] for name in ("rate_points", "rate_window")}
    return Assumptions.of({**(assume or {}), **chosen, "rate_enforced": "yes"})


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
