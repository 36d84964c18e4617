"""The sandbox as people start it: in a ``with`` block, or as a program of its own."""

import asyncio
import gc
import json
import signal
import socket
import threading
from functools import partial
from ipaddress import ip_address
from os import PathLike
from queue import SimpleQueue
from typing import Any, Final, Self, Unpack

from stoqapp.terminal import complain, show
from stoqapp_sandbox.assumptions import Assumptions
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError
from stoqapp_sandbox.faults import FaultOptions, fault_from
from stoqapp_sandbox.options import Options, Settings
from stoqapp_sandbox.store import Store

_BACKLOG: Final = 2048


class Sandbox:
    """A stand-in for the STOQ API on this machine.

    Serves in a thread of its own inside a ``with`` block::

        with Sandbox() as sandbox:
            ...  # a client with base_url=sandbox.base_url

    `ASSUMPTIONS` lists what it assumes about the service. A sandbox can be entered
    again after it was left, and keeps what it holds.

    Args:
        host: Address to listen on. Unless it is a loopback address, anyone who reaches it can read
            what was sent, and change the answers.
        port: Port to listen on; 0 takes any free one.
        state: A SQLite file that keeps requests and intents, a new one or that of an earlier
            sandbox; points and faults are not kept. None keeps all in memory.
        rate_limit: Points of a shop per window, and the seconds of a window, like ``(360, 60)``;
            a request beyond them is answered 429. None does not count points.
        assume: Other choices than the defaults of `ASSUMPTIONS`, like ``{"duplicate": "409"}``.
        catalog: The only shops, products and variants there are: a JSON file, or what would be in
            it, like ``{"demo.myshopify.com": {"42": [4711, 4712]}}``, with None for a shop that
            has every variant; or a file with what a storefront answers to ``/products.json``,
            which holds for every shop. None knows every shop and id.
        faults: What goes wrong without end, as text like ``"reset-after-store:every=10"``, see
            `stoqapp_sandbox.faults`.
        allow_origin: The origin of a web page whose scripts may send intents, like
            ``"http://localhost:3000"``. None lets none.

    Raises:
        UnusableOptionError: An argument is unusable; the message says what can be given.
        SandboxError: The extra ``[sandbox]`` is not installed, or the catalog or ``openapi.json``
            cannot be read.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: str | PathLike[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        # getaddrinfo would take 65536 for 0.
        if not 0 <= port <= 65535:
            raise UnusableOptionError("port must be a whole number from 0 to 65535")
        try:
            from stoqapp_sandbox.app import App
            from stoqapp_sandbox.connection import Connection
            from stoqapp_sandbox.service import Service
        except ModuleNotFoundError as missing:
            raise SandboxError(
                f"the sandbox needs the package {missing.name!r}: pip install 'stoqapp[sandbox]'"
            ) from None
        self._host = host
        self._wanted_port = port
        self._service = Service(store=Store(state), **options)
        self._connect = partial(Connection, App(self._service, host))
        self._url: str | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Listen and serve; return once connections are accepted.

        Raises SandboxError where address or state file cannot be used, or are in use.
        """
        if self._thread is not None:
            raise SandboxError("this sandbox is running already: make another one")
        listening = _bound(self._host, self._wanted_port)
        try:
            self._service.store.open()
        except BaseException:
            listening.close()
            raise
        bound, port = listening.getsockname()[:2]
        ip = ip_address(bound.partition("%")[0])
        # An unspecified address names every one to listen on, and none to connect to.
        loopback = "127.0.0.1" if ip.version == 4 else "::1"
        host = loopback if ip.is_unspecified else self._host
        self._url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._is_open_to_network = not ip.is_loopback
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, is_ready)),
            name="stoqapp-sandbox",
            daemon=True,
        )
        self._thread.start()
        is_ready.wait()
        return self

    async def _serve(self, listening: socket.socket, is_ready: threading.Event) -> None:
        self._loop, self._is_ending = asyncio.get_running_loop(), asyncio.Event()
        # asyncio tries to accept as many in a row as its backlog says, and logs each that fails.
        server = await asyncio.start_server(
            lambda *streams: self._connect(*streams).converse(), sock=listening, backlog=1
        )
        listening.listen(_BACKLOG)
        is_ready.set()
        await self._is_ending.wait()
        # What still runs is cancelled when the loop ends.
        server.close()

    def __exit__(self, *error: object) -> None:
        """End the server; on return its thread has ended and its port is closed."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._is_ending.set)
            self._thread.join()
            self._service.store.close()
        self._thread = None

    @property
    def url(self) -> str:
        """Where it is, or last was, like ``http://127.0.0.1:43211``.

        Raises SandboxError before it was entered, and so do `port` and `base_url`.
        """
        if self._url is None:
            raise SandboxError("the sandbox has no address yet: use it as `with Sandbox() as ...`")
        return self._url

    @property
    def port(self) -> int:
        """The port in `url`."""
        return int(self.url.rpartition(":")[2])

    @property
    def base_url(self) -> str:
        """The ``base_url`` of a client, which is `url` and ``/api/v1``."""
        return f"{self.url}{self._service.base_path}"

    @property
    def assumptions(self) -> Assumptions:
        """What it assumes about the service."""
        return self._service.settings.assumptions

    @property
    def intents(self) -> list[dict[str, Any]]:
        """What was stored, oldest first, as a copy; raises SandboxError for an unusable state file.

        Each intent has its fields as answered, ``shop`` (its host name in lower case), and
        ``request`` (the body as it was received).
        """
        return list(json.loads("".join(self._service.intents_json())))

    def fail_next(self, fault: int | str, **options: Unpack[FaultOptions]) -> None:
        """Make the next request to the API's endpoint fail, or those that the options say.

        Faults wait in order: the first that is due takes a request, and those behind it do not
        see that request.

        Args:
            fault: A status, 200 to 599, that is answered with nothing stored; or text like
                ``"reset-after-store"`` or ``"latency=0.2"``, see `stoqapp_sandbox.faults`.
            options: See `stoqapp_sandbox.faults.FaultOptions`.

        Raises:
            UnusableOptionError: The message says what is wrong.
        """
        self._service.faults.append(fault_from(fault, options))

    def reset(self) -> None:
        """Forget requests, intents and points spent; only the faults given at the start wait.

        Ids and schedules start over. A request in flight is answered 503, and stores
        nothing. Raises SandboxError for an unusable state file.
        """
        self._service.reset()

    def configure(self, **options: Unpack[Options]) -> None:
        """Forget everything, as `reset` does, and go on with these options of `Sandbox`.

        Address, state file and connections stay. Where an option is unusable, it raises as
        `Sandbox` does and changes nothing.
        """
        self._service.reset(Settings(**options))


def serve(**options: Any) -> None:
    """Serve until SIGINT or SIGTERM, in the main thread, the only one that signals reach.

    Prints one line with the URL once connections are accepted, and a warning where the network
    can reach it. Takes the arguments of `Sandbox`, and raises the same.
    """
    # A handler must not take a lock that the waiting main thread holds, as Event.set() may.
    ended: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: ended.put(number))
    sandbox = Sandbox(**options)
    # What was imported stays; the collector need not go through it again and again.
    gc.freeze()
    with sandbox:
        if sandbox._is_open_to_network:
            risk = "open to the network: anyone who reaches it can read requests and change answers"
            complain("stoqapp sandbox", risk)
        show(f"stoqapp sandbox on {sandbox.url} (base URL {sandbox.base_url})")
        ended.get()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family)
    except OSError as error:
        # Python repeats the address in brackets.
        reason = str(error.strerror).partition(" (")[0]
        raise SandboxError(
            f"cannot listen on {host}, port {port} ({reason}): give another address or port; port 0"
            " takes any free one"
        ) from None
    except ValueError:
        # So Python's codec for host names refuses what cannot be one.
        raise UnusableOptionError(
            "host must be an address to listen on, like 127.0.0.1, not a host name"
        ) from None
    # asyncio turns Nagle's algorithm off only where the socket names its protocol; with it on,
    # each answer on a connection kept open waits some 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())
