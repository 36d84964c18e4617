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
from contextlib import contextmanager, suppress
from functools import cache
from http import HTTPStatus
from typing import Self

from attrs import field, frozen

from stoqapp_sandbox.delivery import reset_when_closed

Script = Callable[["Peer"], object]


@frozen
class Request:
    """A request as it was read.

    Attributes:
        head: Request line and headers, with the empty line at their end.
        body: As many bytes as ``Content-Length`` says.
    """

    head: bytes
    body: bytes = field(repr=False)


class PeerLeftError(OSError):
    """The client closed the connection while something was expected of it."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: "FaultServer", script: "Script") -> None:
        self._sock = sock
        self._script = script
        self._server = server
        self._read = b""
        self.closed = False

    def read_head(self) -> bytes:
        """Read a request's line and headers, but nothing of its body that was not there yet."""
        while b"\r\n\r\n" not in self._read:
            self._read_more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def read_request(self) -> Request:
        """Read a whole request, and keep it in `FaultServer.requests`."""
        head = self.read_head()
        length = 0
        for line in head.splitlines()[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(self._read) < length:
            self._read_more()
        request = Request(head, self._read[:length])
        self._read = self._read[length:]
        self._server.requests.append(request)
        return request

    def _read_more(self) -> None:
        more = self._sock.recv(65536)
        if not more:
            raise PeerLeftError
        self._read += more

    def send(self, *pieces: bytes) -> None:
        """Send each piece by itself."""
        for piece in pieces:
            self._sock.sendall(piece)

    def trickle(self, data: bytes, every_seconds: float = 0.05) -> None:
        """Send one byte at a time, until the client leaves."""
        for number in range(len(data)):
            self._sock.sendall(data[number : number + 1])
            if select.select([self._sock], [], [], every_seconds)[0]:
                self._read_more()

    def sip(self, bytes_at_a_time: int, every_seconds: float = 0.01) -> None:
        """Take what the client sends in small parts, until it leaves."""
        while self._sock.recv(bytes_at_a_time):
            self._server.stopping.wait(every_seconds)

    def flood(self, data: bytes) -> None:
        """Send the same again and again, as fast as it is taken, until the client leaves.

        A client that never does is let go after a while, so that its test fails, and ends.
        """
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            self._sock.sendall(data)
        self.close()

    def wait_until_left(self) -> None:
        """Wait until the client closes the connection, or the server ends."""
        while self._sock.recv(65536):
            pass

    def wait_for_data(self) -> None:
        """Wait until the client has sent something, and leave it unread."""
        select.select([self._sock], [], [])

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._sock.fileno()

    def pump(self, other: socket.socket) -> None:
        """Hand on what comes from either side to the other, until one of them closes."""
        onward = {self._sock: other, other: self._sock}
        while True:
            for sock in select.select(list(onward), [], [])[0]:
                data = sock.recv(65536)
                while getattr(sock, "pending", int)():
                    data += sock.recv(65536)
                if not data:
                    return
                onward[sock].sendall(data)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on."""
        self._sock = context.wrap_socket(self._sock, server_side=True)

    def close(self) -> None:
        """Close the connection in order."""
        self.closed = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()

    def reset(self) -> None:
        """Close the connection with a reset."""
        self.closed = True
        reset_when_closed(self._sock)
        self._sock.close()

    def _cut(self) -> None:
        """Wake up a thread that waits for this connection."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        try:
            self._script(self)
            while not self.closed:
                if not self._read:
                    self._read_more()
                self._server._next_script()(self)
        except OSError:
            pass  # the client left, or the server was told to stop
        except Exception as error:  # noqa: BLE001 - reported where the server is closed
            self._server.broken.append(error)
        finally:
            self._sock.close()
            self._server.ended.release()


class FaultServer:
    """Listens on a loopback port until it is closed.

    Attributes:
        requests: Every request that was read whole.
        connections: How many connections were accepted.
        ended: Released once for each connection that is over.
        stopping: Set when the server closes.
        broken: What went wrong in scripts; closing the server raises it.
    """

    def __init__(self, *scripts: Script, port: int = 0, receive_bytes: int | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self.stopping = threading.Event()
        self.broken: list[Exception] = []
        self._lock = threading.Lock()
        self._scripts = list(scripts)
        self._peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        if receive_bytes is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Return the base URL that leads here."""
        return f"{scheme}://{host}:{self.port}/api/v1"

    def will(self, *scripts: Script) -> None:
        """Do this from now on."""
        with self._lock:
            self._scripts = list(scripts)

    def _next_script(self) -> Script:
        with self._lock:
            return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopping.is_set():
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Chosen here, so that connections get their scripts in the order in which they came.
            peer = Peer(sock, self, self._next_script())
            thread = threading.Thread(target=peer._serve)
            with self._lock:
                self.connections += 1
                self._peers = [other for other in self._peers if other._sock.fileno() >= 0]
                self._peers.append(peer)
                self._threads = [other for other in self._threads if other.is_alive()]
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Cut every connection and stop listening; raise what went wrong in scripts."""
        self.stopping.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._acceptor.join()
        self._listener.close()
        for peer in self._peers:
            peer._cut()
        for thread in self._threads:
            thread.join()
        if self.broken:
            raise ExceptionGroup("scripts of the fault server failed", self.broken)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def http(
    status: object = 201,
    body: bytes = b"",
    *headers: bytes,
    reason: bytes | None = None,
    version: bytes = b"HTTP/1.1",
    length: object = True,
) -> bytes:
    """Return an answer; *headers* are whole lines, and *length* None leaves Content-Length out."""
    if reason is None:
        known = isinstance(status, int) and status in HTTPStatus._value2member_map_
        reason = HTTPStatus(status).phrase.encode() if known else b"Odd"
    lines = [version + b" " + str(status).encode() + b" " + reason, *headers]
    if length is not None:
        said = len(body) if length is True else length
        lines.append(b"Content-Length: " + str(said).encode())
    return b"\r\n".join([*lines, b"", body])


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def _answers_and(then: Script) -> Callable[..., Script]:
    """Return a maker of scripts that read the request, send some pieces, and go on with *then*."""

    def answering(*pieces: bytes) -> Script:
        def script(peer: Peer) -> None:
            peer.read_request()
            peer.send(*pieces)
            then(peer)

        return script

    return answering


answers = _answers_and(lambda peer: None)
answers_and_closes = _answers_and(Peer.close)
answers_and_resets = _answers_and(Peer.reset)
answers_and_hangs = _answers_and(Peer.wait_until_left)
hangs = Peer.wait_until_left


def trickles(start: bytes, rest: bytes) -> Script:
    """Read the request, send *start* at once, and *rest* byte by byte."""

    def then(peer: Peer) -> None:
        peer.trickle(rest)
        peer.wait_until_left()

    return _answers_and(then)(start)


def floods(start: bytes, more: bytes) -> Script:
    """Read the request, send *start* at once, and *more* without end."""
    return _answers_and(lambda peer: peer.flood(more))(start)


def over_tls(context: ssl.SSLContext, then: Script) -> Script:
    """Take the TLS handshake, and go on with *then*."""

    def script(peer: Peer) -> None:
        peer.start_tls(context)
        then(peer)

    return script


def resets_unread(peer: Peer) -> None:
    """Reset the connection when the request comes, without reading it."""
    peer.wait_for_data()
    peer.reset()


def closes_unread(peer: Peer) -> None:
    """Close the connection when the request comes, without reading it."""
    peer.wait_for_data()
    peer.close()


def tunnels(then: Script) -> Script:
    """Grant a CONNECT, and go on with *then*."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        then(peer)

    return script


def compressed(data: bytes, window_bits: int = zlib.MAX_WBITS | 16) -> bytes:
    """Return *data* as gzip; with ``MAX_WBITS`` as zlib, with ``-MAX_WBITS`` as bare deflate."""
    compressor = zlib.compressobj(wbits=window_bits)
    return compressor.compress(data) + compressor.flush()


@cache
def gzip_bomb() -> bytes:
    """Return gzip, just short of 1 MiB, that holds 1 GiB of zeros."""
    block = bytes(16 * 1024 * 1024)
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    # After a full flush nothing refers to what came before, so one block can be repeated.
    piece = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * 64 + compressor.flush()


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port without a listener."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """Hold a port whose queue of connections is full, so that a further one never comes about."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queued = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            queued.append(sock)
        try:
            yield listener.getsockname()[1]
        finally:
            for sock in queued:
                sock.close()
