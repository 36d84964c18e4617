"""Print what the sandbox bears: intents over many connections, its speed, its memory, its start.

Everything is measured on sandboxes in processes of their own, started as people start them. Beside
the sandbox stands the least app that could answer, an ASGI app with the same 201 for everything,
on the same uvicorn with the same settings; the two take turns in short rounds, so that what else
the machine does falls on both. The senders are processes of their own too, over aiohttp.

A lost or refused intent is an error and ends the script with 1. Timings never do.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

SHOP: Final = "demo.myshopify.com"
HEADERS: Final = {"X-Shopify-Shop-Domain": SHOP, "Content-Type": "application/json"}
PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")

BARE: Final = """
import asyncio, json, socket
from stoqapp_sandbox.listener import Listener

BODY = json.dumps({"intents": [{"id": "1", "channel": "email", "quantity": 1}], "errors": []})
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]

async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 201, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY.encode()})

listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())
line = f"bare app on http://127.0.0.1:{tcp.getsockname()[1]}"
asyncio.run(Listener(app, lambda: print(line, flush=True), lambda: None).serve(sockets=[tcp]))
"""


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self._process = process

    def resident_bytes(self) -> int:
        """Return how much memory the process has in use."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * PAGE_BYTES

    def processor_seconds(self) -> float:
        """Return how long the process has kept a processor busy."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(command: list[str]) -> Iterator[Server]:
    """Run a server that prints a line with its URL once it is ready; end it at the end."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout  # noqa: S101 - for mypy; it was asked for above
        try:
            words = process.stdout.readline().split()
            yield Server(process, next(word for word in words if word.startswith("http://")))
        finally:
            process.terminate()


def sandbox(state: str | None) -> list[str]:
    """Return the command of a sandbox."""
    return ["-m", "stoqapp", "sandbox", *(["--state", state] if state else [])]


def body(number: int) -> bytes:
    """Return the body of an intent; each number is another customer."""
    return json.dumps(
        {
            "intent": {
                "shopify_variant_id": 4711,
                "shopify_product_id": 42,
                "channel": "email",
                "quantity": 1,
                "source": "api",
            },
            "customer": {"email": f"customer-{number:08}@example.com", "country": "us"},
        }
    ).encode()


async def _send(url: str, first: int, count: int, connections: int) -> Counter[str]:
    outcomes = Counter[str]()
    left = iter(range(first, first + count))
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:

        async def one_after_the_other() -> None:
            for number in left:
                try:
                    async with session.post(url, data=body(number)) as answer:
                        await answer.read()
                        outcomes[str(answer.status)] += 1
                except aiohttp.ClientError as error:
                    outcomes[type(error).__name__] += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(connections)))
    return outcomes


def _sent(url: str, first: int, count: int, connections: int) -> Counter[str]:
    return asyncio.run(_send(url, first, count, connections))


class Senders:
    """Processes that send intents, each over its share of the connections."""

    def __init__(self, pool: ProcessPoolExecutor, processes: int, connections: int) -> None:
        self._pool = pool
        self._shares = [
            connections // processes + (number < connections % processes)
            for number in range(processes)
        ]

    def send(self, server: Server, first: int, count: int) -> tuple[Counter[str], float]:
        """Send intents numbered from *first*; return the outcomes and the seconds it took."""
        url = f"{server.url}/api/v1/intents.json"
        began = time.perf_counter()
        futures = []
        for number, share in enumerate(self._shares):
            begin, end = (count * n // len(self._shares) for n in (number, number + 1))
            futures.append(self._pool.submit(_sent, url, first + begin, end - begin, share))
        outcomes = sum((future.result() for future in futures), Counter[str]())
        return outcomes, time.perf_counter() - began


def stored(server: Server) -> list[dict[str, Any]]:
    """Return the intents that a sandbox holds."""
    with urllib.request.urlopen(f"{server.url}/_sandbox/intents") as answer:  # noqa: S310 - ours
        intents: list[dict[str, Any]] = json.load(answer)
    return intents


def bear(senders: Senders, intents: int, state: str | None) -> list[str]:
    """Send the intents to one sandbox, print what they cost; return what went wrong."""
    faults = []
    parts = 10
    with served(sandbox(state)) as server:
        resident = [server.resident_bytes()]
        outcomes = Counter[str]()
        for part in range(parts):
            begin, end = (intents * n // parts for n in (part, part + 1))
            outcomes += senders.send(server, begin, end - begin)[0]
            resident.append(server.resident_bytes())
        again, unchanged = Counter[str](), [server.resident_bytes()]
        for _ in range(parts):
            again += senders.send(server, 0, intents // parts)[0]
            unchanged.append(server.resident_bytes())
        held = stored(server)
    print(f"{intents} intents: {dict(outcomes)}; {len(held)} stored")
    if outcomes != {"201": intents}:
        faults.append(f"not every intent was created: {dict(outcomes)}")
    wanted = {f"customer-{number:08}@example.com" for number in range(intents)}
    if len(held) != intents or {intent["email"] for intent in held} != wanted:
        faults.append(f"{intents} were sent, and other intents or another number are stored")
    if set(again) != {"200"}:
        faults.append(f"not every duplicate was told: {dict(again)}")
    half = parts // 2
    first, second = (
        (resident[end] - resident[end - half]) / (intents * half // parts) for end in (half, parts)
    )
    as_json = len(json.dumps(held).encode()) / len(held)
    print(
        f"memory: {resident[0] / 2**20:.1f} MiB at the start, {resident[-1] / 2**20:.1f} MiB at the"
        f" end; {first:.0f} bytes for each intent of the first half, {second:.0f} of the second;"
        f" an intent is {as_json:.0f} bytes as JSON"
    )
    print(
        f"memory: {(unchanged[-1] - unchanged[half]) / 1024:+.0f} KiB over the second half of"
        f" {again.total()} duplicates, of which nothing is stored"
    )
    return faults


def compare(senders: Senders, rounds: int, calls: int, state: str | None) -> None:
    """Print throughput and processor time of sandbox and bare app, round by round in turns."""
    taken: dict[str, list[tuple[float, float]]] = {"bare app": [], "sandbox": []}
    with served(["-c", BARE]) as bare, served(sandbox(state)) as ours:
        for number in range(rounds + 1):
            for name, server in (("bare app", bare), ("sandbox", ours)):
                busy = server.processor_seconds()
                _, seconds = senders.send(server, number * calls, calls)
                if number:
                    busy = server.processor_seconds() - busy
                    taken[name].append((calls / seconds, busy / calls))
    for name, results in taken.items():
        rates, processor = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:9} {rates:6.0f} intents/s, {processor * 1e6:5.0f} us of processor each")
    pairs = list(zip(taken["bare app"], taken["sandbox"], strict=True))
    rate = statistics.median(ours[0] / bare[0] for bare, ours in pairs)
    processor = statistics.median(ours[1] / bare[1] for bare, ours in pairs)
    print(
        f"sandbox / bare app: {rate:.2f} of its throughput, {processor:.2f} of its processor time"
    )


def starts(times: int, state: str | None) -> None:
    """Print how long it takes from the start of the process to the first answered intent."""
    taken, busy = [], []
    for number in range(times):
        began = time.perf_counter()
        with served(sandbox(state)) as server:
            request = urllib.request.Request(  # noqa: S310 - ours
                f"{server.url}/api/v1/intents.json", body(number), HEADERS
            )
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - ours
                answer.read()
            taken.append(time.perf_counter() - began)
            busy.append(server.processor_seconds())
    print(
        f"start until the first answer: {statistics.median(taken) * 1e3:.0f} ms"
        f" ({min(taken) * 1e3:.0f} to {max(taken) * 1e3:.0f} ms in {times} starts),"
        f" {statistics.median(busy) * 1e3:.0f} ms of processor"
    )


def main() -> int:
    """Measure and print; return 1 where an intent went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--intents", type=int, default=10_000, help="(default: 10000)")
    parser.add_argument("--connections", type=int, default=50, help="(default: 50)")
    parser.add_argument("--senders", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="of each server (default: 7)")
    parser.add_argument("--calls", type=int, default=1000, help="in a round (default: 1000)")
    parser.add_argument("--starts", type=int, default=7, help="(default: 7)")
    parser.add_argument("--state", metavar="FILE", help="give it to the sandbox, which keeps it")
    parser.add_argument("--bear-only", action="store_true", help="only the intents, no comparison")
    given = parser.parse_args()
    # Forked senders would share what the first of them has opened.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.senders, mp_context=context) as pool:
        senders = Senders(pool, given.senders, given.connections)
        faults = bear(senders, given.intents, given.state)
        if not given.bear_only:
            compare(senders, given.rounds, given.calls, given.state)
            starts(given.starts, given.state)
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
