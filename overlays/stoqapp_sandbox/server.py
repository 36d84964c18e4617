"""The sandbox as people start it: in a ``with`` block, or as a program of its own."""

import asyncio
import errno
import json
import logging
import signal
import socket
import threading
from functools import partial
from ipaddress import ip_address
from os import PathLike
from queue import SimpleQueue
from typing import Any, Final, Self, Unpack

from stoqapp.terminal import show
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.errors import (
    PortInUseError,
    SandboxError,
    SandboxNotInstalledError,
    UnusableOptionError,
)
from stoqapp_sandbox.faults import FaultOptions, fault_from
from stoqapp_sandbox.options import Options
from stoqapp_sandbox.store import Store

logger = logging.getLogger("stoqapp_sandbox")

# What the extra installs, with what that needs.
_EXTRA: Final = frozenset({"click", "h11", "jsonschema_rs", "uvicorn"})
_BACKLOG: Final = 2048
_LARGEST_PORT: Final = 65535


class Sandbox:
    """A stand-in for the STOQ API on this machine.

    Serves in a thread of its own inside a ``with`` block::

        with Sandbox() as sandbox:
            ...  # a client with base_url=sandbox.base_url

    What it takes for granted about the service is in `ASSUMPTIONS`. A sandbox can be entered
    again after it was left, and keeps what it holds.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        state: A file to keep requests and intents in, so that they outlive this sandbox; a new
            one is made. Points spent and faults are not kept. None keeps all in memory.
        rate_limit: Points of a shop per window, and the seconds of a window, like ``(360, 60)``;
            a request beyond them is answered 429. None does not count points.
        assume: What to assume instead of the defaults of `ASSUMPTIONS`, by name, like
            ``{"duplicate": "409"}``.
        shops: The only shops there are, as handles, host names or URLs: in an iterable, or in
            one str with commas between them. None knows every host name.
        catalog: The only products and variants there are: a JSON file, or what would be in it,
            like ``{"demo.myshopify.com": {"42": [4711, 4712]}}``; or a file with what a
            storefront answers to ``/products.json``, which holds for every shop. Where *shops*
            is None, the shops of the catalog are the only ones. None knows every id.
        faults: What goes wrong from the beginning, as text like ``"reset-after-store:every=10"``,
            see `stoqapp_sandbox.faults`; without a number of times it goes on without end.
        allow_origin: The origin of a web page whose scripts may send intents, like
            ``"http://localhost:3000"``. None lets none.

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
        state: str | PathLike[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        if not isinstance(host, str) or not host.strip():
            raise UnusableOptionError("host must be an address to listen on, like 127.0.0.1")
        # getaddrinfo would take 65536 for 0.
        if type(port) is not int or not 0 <= port <= _LARGEST_PORT:
            raise UnusableOptionError(f"port must be a whole number from 0 to {_LARGEST_PORT}")
        try:
            from stoqapp_sandbox.app import App
            from stoqapp_sandbox.listener import Listener
            from stoqapp_sandbox.service import Service
        except ModuleNotFoundError as missing:
            package = (missing.name or "").partition(".")[0]
            if package in _EXTRA:
                raise SandboxNotInstalledError(package) from missing
            raise
        self._host = host
        self._wanted_port = port
        self._service = Service(store=Store(state), **options)
        self._make_listener = partial(Listener, App(self._service, host))
        self._address: tuple[str, int] | None = None
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self.url if self._address else 'not started'}>"

    def __enter__(self) -> Self:
        """Listen and serve; return once connections are accepted.

        Raises:
            SandboxError: The address (`PortInUseError`) or the state file cannot be used, or
                this sandbox already runs.
        """
        if self._thread is not None:
            raise SandboxError("this sandbox is running already: make another one")
        listening = _bound(self._host, self._wanted_port)
        try:
            self._service.store.open()
        except BaseException:
            listening.close()
            raise
        ready = threading.Event()
        listener = self._make_listener(ready.set)

        def run() -> None:
            with listening:
                asyncio.run(listener.serve(sockets=[listening]))

        self._address = _reached_at(self._host, listening)
        address = ip_address(listening.getsockname()[0].partition("%")[0])
        if not address.is_loopback:
            logger.warning(
                "listening on %s, which is open to the network: whoever reaches it can read what"
                " was sent to it, and change its answers",
                address,
            )
        self._listener = listener
        self._thread = threading.Thread(target=run, name="stoqapp-sandbox", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        """End the server; on return its thread has ended and its port is closed."""
        if self._listener is not None and self._thread is not None:
            self._listener.should_exit = True
            self._thread.join()
            self._service.store.close()
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
        host, port = self._reached()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """The ``base_url`` of a client, which is `url` and ``/api/v1``; raises as `port` does."""
        return f"{self.url}{self._service.base_path}"

    @property
    def assumptions(self) -> Assumptions:
        """What it takes for granted."""
        return self._service.settings.assumptions

    @property
    def intents(self) -> list[dict[str, Any]]:
        """What was stored, oldest first. Each intent has its fields as answered, and two more.

        ``shop`` is the host name of the shop in lower case, ``request`` the body as it was
        received. The list is a copy.

        Raises:
            SandboxError: The state file cannot be used.
        """
        return list(json.loads("".join(self._service.intents_json())))

    def fail_next(self, fault: int | str, **options: Unpack[FaultOptions]) -> None:
        """Let the next request to the API's endpoint go wrong, or those that the arguments say.

        Called again, it adds to what is waiting: the first fault that is due takes a request,
        and those behind it do not see that request.

        Args:
            fault: A status, 200 to 599, that is answered with nothing stored; or text like
                ``"reset-after-store"`` or ``"latency=0.2"``, see `stoqapp_sandbox.faults`.
            options: When, how often, and what else the answer holds, see
                `stoqapp_sandbox.faults.FaultOptions`.

        Raises:
            UnusableFaultError: The message says what is wrong.
        """
        self._service.add_fault(fault_from(fault, options))

    def reset(self) -> None:
        """Forget requests, intents and points spent; only the faults given at the start wait.

        Ids and schedules begin anew. A request that is on its way is answered 503, and stores
        nothing.

        Raises:
            SandboxError: The state file cannot be used.
        """
        self._service.reset()

    def configure(self, **options: Unpack[Options]) -> None:
        """Forget everything, as `reset` does, and go on with these options of `Sandbox`.

        Address and state file stay, and connections stay open.

        Raises:
            SandboxError: An option is unusable; nothing was changed.
        """
        self._service.configure(**options)

    def _reached(self) -> tuple[str, int]:
        if self._address is None:
            raise SandboxError("the sandbox has no address yet: use it as `with Sandbox() as ...`")
        return self._address


def serve(**options: Any) -> None:
    """Serve until SIGINT or SIGTERM, in the main thread, the only one that signals reach.

    Prints one line with the URL once connections are accepted. Takes the arguments of `Sandbox`,
    and raises the same.
    """
    # A handler must not take a lock that the waiting main thread holds, as Event.set() may.
    ended: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.put(number))
    sandbox = Sandbox(**options)
    with sandbox:
        show(f"stoqapp sandbox on {sandbox.url} (base URL {sandbox.base_url})")
        ended.get()


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
            "host must be an address to listen on, like 127.0.0.1, not a host name"
        ) from None
    # asyncio turns Nagle's algorithm off only where the socket names its protocol; with it on,
    # each answer on a connection kept open waits some 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


def _reached_at(host: str, listening: socket.socket) -> tuple[str, int]:
    bound, port = listening.getsockname()[:2]
    if ip_address(bound.partition("%")[0]).is_unspecified:
        # It names every address to listen on, and none to connect to.
        host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
    return host, port
