"""A server that does to each request what a test tells it to: raw sockets on loopback.

For bytes that no service would send, and for what happens before a request is read; it judges
nothing and holds nothing. What goes wrong while an intent is stored, or is not, is a fault of the
sandbox (`stoqapp_sandbox.faults`).

A script is a function of a `Peer`, the server's end of one connection. The first script runs
when a connection is accepted, before anything is read from it; the next one when more comes on
the same connection, or another connection is accepted. The last script is used again for
whatever follows. Nothing here sleeps: who waits, waits for the other side or for an event.
"""

import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import chain, repeat
from typing import NamedTuple, Self

from stoqapp_sandbox.connection import reset_when_closed

Script = Callable[["Peer"], object]


class Request(NamedTuple):
    """Request line and headers with the empty line at their end; as much body as they announce."""

    head: bytes
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: "FaultServer") -> None:
        self.sock, self._server = sock, server
        self._read = b""

    def read_head(self) -> bytes:
        """Read a request's line and headers, and nothing that is sent after them."""
        while b"\r\n\r\n" not in self._read:
            self._read_more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def read_request(self) -> Request:
        """Read a whole request, and keep it in `FaultServer.requests`."""
        head = self.read_head()
        lines = [line.lower().partition(b":") for line in head.splitlines()]
        length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
        while len(self._read) < length:
            self._read_more()
        request = Request(head, self._read[:length])
        self._read = self._read[length:]
        self._server.requests.append(request)
        return request

    def _read_more(self) -> None:
        more = self.sock.recv(65536)
        if not more:
            raise ConnectionResetError
        self._read += more

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def trickle(self, data: bytes, every_seconds: float = 0.05) -> None:
        """Send one byte at a time, until the client leaves."""
        for number in range(len(data)):
            self.sock.sendall(data[number : number + 1])
            if select.select([self.sock], [], [], every_seconds)[0]:
                self._read_more()

    def flood(self, data: bytes) -> None:
        """Send the same again and again, until the client leaves, or its test has failed."""
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            self.sock.sendall(data)
        self.close()

    def wait_until_left(self) -> None:
        """Wait until the client closes the connection, or the server ends."""
        while self.sock.recv(65536):
            pass

    def wait_for_data(self) -> None:
        """Wait until the client has sent something, and leave it unread."""
        select.select([self.sock], [], [])

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.close()

    def reset(self) -> None:
        reset_when_closed(self.sock)
        self.sock.close()

    def run(self, script: Script) -> None:
        """Run *script*, and the server's next ones, until one of the sides is gone."""
        try:
            # OSError: the client left, or the server was told to stop.
            with suppress(OSError):
                script(self)
                while self.sock.fileno() >= 0:
                    if not self._read:
                        self._read_more()
                    next(self._server.scripts)(self)
        finally:
            self.sock.close()
            self._server.ended.release()


class FaultServer:
    """Listens on a loopback port until it is closed.

    *requests* are those that were read whole, *connections* those that were accepted. *ended* is
    released once for each connection that is over. Closing raises what a script raised.
    """

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self.stopping = threading.Event()
        self.will(*scripts)
        self._peers: list[Peer] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = ThreadPoolExecutor(256)
        self._runs = [self._threads.submit(self._accept)]

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/api/v1"

    def will(self, *scripts: Script) -> None:
        self.scripts = chain(scripts[:-1], repeat(scripts[-1]))

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopping.is_set():
                return sock.close()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._peers.append(Peer(sock, self))
            # Chosen here, so that connections get their scripts in the order in which they came.
            self._runs.append(self._threads.submit(self._peers[-1].run, next(self.scripts)))

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._runs[0].result()
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for run in self._runs:
            run.result()
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self


def http(
    status: object = 201,
    body: bytes = b"",
    *headers: bytes,
    reason: bytes = b"So",
    version: bytes = b"HTTP/1.1",
    length: object = True,
) -> bytes:
    """Return an answer; *headers* are whole lines, and *length* None leaves Content-Length out."""
    lines = [b" ".join([version, str(status).encode(), reason]), *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length is True else length}".encode())
    return b"\r\n".join([*lines, b"", body])


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def answers(*pieces: bytes, then: Script = lambda peer: None) -> Script:
    """Read the request, send *pieces*, and go on with *then*."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(*pieces)
        then(peer)

    return script


answers_and_closes = partial(answers, then=Peer.close)
answers_and_resets = partial(answers, then=Peer.reset)
answers_and_hangs = partial(answers, then=Peer.wait_until_left)
hangs = Peer.wait_until_left


def trickles(start: bytes, rest: bytes) -> Script:
    """Read the request, send *start* at once, and *rest* byte by byte."""

    def then(peer: Peer) -> None:
        peer.trickle(rest)
        peer.wait_until_left()

    return answers(start, then=then)


def floods(start: bytes, more: bytes) -> Script:
    """Read the request, send *start* at once, and *more* without end."""
    return answers(start, then=lambda peer: peer.flood(more))


def over_tls(context: ssl.SSLContext, then: Script) -> Script:
    """Take the TLS handshake, and go on with *then*."""

    def script(peer: Peer) -> None:
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        then(peer)

    return script


def resets_unread(peer: Peer) -> None:
    """Reset the connection when the request comes, without reading it."""
    peer.wait_for_data()
    peer.reset()


def answers_unread(*pieces: bytes) -> Script:
    """Wait for any bytes, send *pieces*, and close."""

    def script(peer: Peer) -> None:
        peer.wait_for_data()
        peer.send(*pieces)
        peer.close()

    return script


closes_unread = answers_unread()


def compressed(data: bytes, window_bits: int = zlib.MAX_WBITS | 16) -> bytes:
    """Return *data* as gzip; with ``MAX_WBITS`` as zlib, with ``-MAX_WBITS`` as bare deflate."""
    compressor = zlib.compressobj(wbits=window_bits)
    return compressor.compress(data) + compressor.flush()


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port without a listener."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """Hold a port whose queue of connections is full, so that a further one never comes about."""
    with ExitStack() as stack:
        listener, *queued = [stack.enter_context(socket.socket()) for _ in range(5)]
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
