"""The sandbox as people start it: in a ``with`` block, or as a program of its own."""

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from ipaddress import ip_address
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from stoqapp.terminal import complain, show
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.errors import PortInUseError, SandboxError, UnusableOptionError
from stoqapp_sandbox.faults import fault_from
from stoqapp_sandbox.options import Options, not_installed
from stoqapp_sandbox.state import State

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from stoqapp_sandbox.listener import Listener
    from stoqapp_sandbox.service import Service

logger = logging.getLogger("stoqapp_sandbox")

_BACKLOG: Final = 2048
_LARGEST_PORT: Final = 65535


class Sandbox:
    """A stand-in for the STOQ API on this machine.

    Serves in a thread of its own inside a ``with`` block::

        with Sandbox() as sandbox:
            ...  # a client with base_url=sandbox.base_url

    What it assumes about the service stands in `stoqapp_sandbox.assumptions`. A sandbox can
    be entered again after it was left, and keeps what it holds.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        rate_limit: Points that a shop has per window, and the seconds of a window, like
            ``(360, 60)``; a request beyond them is answered 429. Windows begin at multiples of
            the seconds. None counts and shows the vendor's points and refuses nothing.
        assume: What to take for granted in place of the defaults of `ASSUMPTIONS`, by name,
            like ``{"duplicate": "409"}``.
        state: A file to keep intents, customers and ids in, so that they outlive this sandbox;
            one that is not there is made. Points spent and faults are not kept. None
            keeps all in memory.
        shops: The only shops there are, as handles, host names or URLs: in an iterable, or in
            one str with commas between them. None knows every host name.
        catalog: The only products and variants there are: a JSON file, or what would be in it,
            like ``{"demo.myshopify.com": {"42": [4711, 4712]}}``; or a file with what a
            storefront answers to ``/products.json``, which holds for every shop. Where *shops*
            is None, the shops of the catalog are the only ones. None knows every id.
        latency: Seconds that each answer waits after the work is done, or the shortest and the
            longest of them.
        seed: The same seed gives the same ids, dates and latencies; None counts ids from 1,
            goes by the clock, and draws latencies anew.
        faults: What shall go wrong from the beginning, as text like
            ``"reset-after-store:every=10"``, see `stoqapp_sandbox.faults`; without a number of
            times it goes on without end.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        SandboxError: The vendor's ``openapi.json`` is missing or not as expected, or a file
            cannot be read.
        UnusableOptionError: An argument is unusable; the message says what can be given
            (`UnusableFaultError` where that is one of *faults*).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rate_limit: tuple[int, float] | None = None,
        assume: Mapping[str, Any] | None = None,
        state: str | PathLike[str] | None = None,
        shops: str | Iterable[str] | None = None,
        catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None = None,
        latency: float | tuple[float, float] = 0.0,
        seed: int | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        _check_address(host, port)
        self._host = host
        self._wanted_port = port
        options = Options(
            rate_limit=rate_limit,
            assume=assume,
            shops=shops,
            catalog=catalog,
            latency=latency,
            seed=seed,
            faults=faults,
        )
        self._service = options.service(State(state))
        self._app: ASGIApp | None = None
        self._address: tuple[str, int] | None = None
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._address else 'not started'}>"

    def __enter__(self) -> Self:
        """Listen and serve; return once connections are accepted.

        Raises:
            PortInUseError: Another program listens there.
            SandboxError: The address cannot be listened on, the state file cannot be used, or
                this sandbox already runs.
        """
        if self._thread is not None:
            raise SandboxError("this sandbox is running already: make another one")
        ready: Future[None] = Future()
        self._app = _app(self._service, self._host)
        listener = _listener(
            self._answer, lambda: ready.set_result(None), lambda: self._service.journal.end()
        )
        listening = _bound(self._host, self._wanted_port)
        if warning := _open_to_the_network(listening):
            logger.warning(warning)
        try:
            self._service.open()
        except BaseException:
            listening.close()
            raise

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
        address = _reached_at(self._host, listening)
        thread.start()
        try:
            ready.result()
        except BaseException:
            listener.should_exit = True
            thread.join()
            self._service.store.state.close()
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
            self._service.store.state.close()
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

        Raises:
            SandboxError: The state file cannot be used.
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
                ``"reset-after-store"`` or ``"latency=0.2"``, see `stoqapp_sandbox.faults`.
            times: How many requests meet it; by default one, and with *every* or *probability*
                as many as come.
            after: How many requests go by first.
            every: Of those that follow, each so-manieth meets it.
            probability: The chance of a request to meet it, above 0, at most 1.
            seed: Of that chance; the same seed makes the same choices.
            variant: Only requests for this variant count.
            shop: Only requests of this shop count.
            shape: Of a status's body, like ``"html"``, see `stoqapp_sandbox.faults.SHAPES`.
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

        Ids and schedules begin anew. Requests that are on their way are answered, and what they
        ask for is forgotten, too.

        Raises:
            SandboxError: The state file cannot be used.
        """
        self._service.reset()

    def configure(
        self,
        *,
        rate_limit: tuple[int, float] | None = None,
        assume: Mapping[str, Any] | None = None,
        shops: str | Iterable[str] | None = None,
        catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None = None,
        latency: float | tuple[float, float] = 0.0,
        seed: int | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        """Forget everything and go on with these options, as if just made with them.

        Address and state file stay, connections stay open, and requests that are on their way are
        answered by the options that they met; what they ask for is forgotten, too.

        Raises:
            SandboxError: An option is unusable; nothing was changed.
        """
        options = Options(
            rate_limit=rate_limit,
            assume=assume,
            shops=shops,
            catalog=catalog,
            latency=latency,
            seed=seed,
            faults=faults,
        )
        before = self._service
        service = options.service(before.store.state)
        # Who is looking at the page goes on looking.
        service.journal = before.journal
        app = _app(service, self._host)
        # A request on its way is not to leave its intent to who comes after.
        before.abandon()
        service.reset()
        self._service, self._app = service, app

    async def _answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        assert self._app is not None  # noqa: S101 - set before the server starts
        await self._app(scope, receive, send)

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
    state: str | PathLike[str] | None = None,
    shops: str | Iterable[str] | None = None,
    catalog: str | PathLike[str] | Mapping[str, Mapping[Any, Iterable[Any]]] | None = None,
    latency: float | tuple[float, float] = 0.0,
    seed: int | None = None,
    faults: Sequence[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, then return.

    Prints one line with the URL to standard output once connections are accepted, and a warning
    to standard error where others than this machine can connect. Meant for the main thread, the
    only one that signals reach. Its arguments are those of `Sandbox`.

    Raises:
        SandboxNotInstalledError: The extra ``[sandbox]`` is not installed.
        PortInUseError: Another program listens there.
        SandboxError: The address cannot be listened on, or a file cannot be used.
        UnusableOptionError: An argument is unusable (`UnusableFaultError` where that is one of
            *faults*).
    """
    with suppress(KeyboardInterrupt):
        _check_address(host, port)
        options = Options(
            rate_limit=rate_limit,
            assume=assume,
            shops=shops,
            catalog=catalog,
            latency=latency,
            seed=seed,
            faults=faults,
        )
        service = options.service(State(state))
        app = _app(service, host)
        with _bound(host, port) as listening, closing(service.store.state):
            service.open()
            if warning := _open_to_the_network(listening):
                complain("stoqapp sandbox", f"warning: {warning}")
            url = _url(*_reached_at(host, listening))
            line = f"stoqapp sandbox on {url} (base URL {url}{service.operation.base_path})"
            listener = _listener(app, lambda: show(line), service.journal.end)
            asyncio.run(listener.serve(sockets=[listening]))


def _app(service: "Service", host: str) -> "ASGIApp":
    try:
        from stoqapp_sandbox.app import app_for
    except ModuleNotFoundError as missing:
        raise not_installed(missing) from missing
    return app_for(service, host)


def _listener(
    app: "ASGIApp", on_ready: Callable[[], object], on_end: Callable[[], object]
) -> "Listener":
    try:
        from stoqapp_sandbox.listener import Listener
    except ModuleNotFoundError as missing:
        raise not_installed(missing) from missing
    return Listener(app, on_ready, on_end)


def _open_to_the_network(listening: socket.socket) -> str | None:
    """Return a warning where others than this machine can reach the socket."""
    address = ip_address(listening.getsockname()[0].partition("%")[0])
    if address.is_loopback:
        return None
    return (
        f"listening on {address}, which is open to the network: whoever reaches it can read what"
        " was sent to it, and change its answers"
    )


def _check_address(host: object, port: object) -> None:
    if not isinstance(host, str) or not host.strip():
        raise UnusableOptionError("host must be an address to listen on, like 127.0.0.1")
    # getaddrinfo would take 65536 for 0.
    if type(port) is not int or not 0 <= port <= _LARGEST_PORT:
        raise UnusableOptionError(f"port must be a whole number from 0 to {_LARGEST_PORT}")


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(host, port) from None
        raise SandboxError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    except ValueError:
        # So Python's codec for host names, and its calls of C, refuse what cannot be one.
        raise UnusableOptionError(
            "host must be an address to listen on, like 127.0.0.1, and is no host name"
        ) from None
    # asyncio turns Nagle's algorithm off only where the socket names its protocol; with it on,
    # each answer on a connection kept open waits some 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


def _reached_at(host: str, listening: socket.socket) -> tuple[str, int]:
    """Return the host and port to connect to."""
    bound, port = listening.getsockname()[:2]
    if ip_address(bound.partition("%")[0]).is_unspecified:
        # It names every address to listen on, and none to connect to.
        host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
    return host, port


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
