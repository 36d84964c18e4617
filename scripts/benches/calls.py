"""Print what a call costs beside bare httpx, the plain generated client and bare aiohttp.

A server in a process of its own answers every POST with the same 201 on loopback. Contenders take
turns in short rounds, so that what else the machine does falls on all of them; printed are the
medians of the rounds, per call, in microseconds of wall and of processor time, and their
ratios to the bare client of the same kind. Every async client has as many connections as there
are calls in flight.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from benches import medians
from stoq_public_api_client import Client
from stoq_public_api_client.api.intents import create_intent
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import AsyncStoq, Budget, HttpOptions, Stoq
from stoqapp.spec import INTENTS_PATH

SHOP: Final = "demo.myshopify.com"
HEADERS: Final = {"X-Shopify-Shop-Domain": SHOP}
REQUEST: Final = CreateIntentRequest(
    intent=NewIntent(4711, 42, "email", quantity=1, source="api"),
    customer=Customer(email="ada@example.com", country="us"),
)
BODY: Final = REQUEST.to_dict()
ANSWER: Final = b'{"intents":[{"id":"1","channel":"email","quantity":1}],"errors":[]}'
ENDLESS: Final = Budget(points=1_000_000, window_seconds=1.0)


class _AlwaysCreated(asyncio.Protocol):
    """Answers each request on a connection with the same 201."""

    answer = (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-RateLimit-Limit: 360\r\n"
        b"X-RateLimit-Remaining: 358\r\nX-RateLimit-Reset: 1795417680\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    )

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end:
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self.received = body[length:]
                self.transport.write(self.answer)


def serve(ready: Connection) -> None:
    """Answer every POST on a free port of loopback with the same 201; send the port to *ready*."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_AlwaysCreated, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


async def _timed(
    call: Callable[[], Any], calls: int, flying: int | None = None
) -> tuple[float, float]:
    """Return the seconds of wall and of processor that a call costs; awaits where calls fly."""
    left = iter(range(calls))

    async def one_after_the_other() -> None:
        for _ in left:
            await call()

    wall, processor = time.perf_counter(), time.process_time()
    if flying:
        await asyncio.gather(*(one_after_the_other() for _ in range(flying)))
    else:
        for _ in left:
            call()
    return (time.perf_counter() - wall) / calls, (time.process_time() - processor) / calls


async def _show(
    title: str,
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    calls: int,
    flying: int | None = None,
) -> None:
    measured = await medians(
        {name: partial(_timed, call, calls, flying) for name, call in contenders.items()}, rounds
    )
    print(f"\n{title}")
    bare_wall, bare_processor = next(iter(measured.values()))
    for name, (wall, processor) in measured.items():
        print(
            f"  {name:34} wall {wall * 1e6:7.0f} us ({wall / bare_wall:5.2f}x)"
            f"  processor {processor * 1e6:7.0f} us ({processor / bare_processor:5.2f}x)"
        )


async def bench_sync(base_url: str, rounds: int, calls: int) -> None:
    """Print the cost of blocking calls, one after the other."""
    url = f"{base_url}{INTENTS_PATH}"
    with (
        httpx.Client() as bare,
        Client(base_url=base_url) as generated,
        Stoq(SHOP, base_url=base_url, budget=None) as stoq,
        Stoq(SHOP, base_url=base_url, budget=ENDLESS) as paced,
    ):
        contenders = {
            "bare httpx": lambda: bare.post(url, json=BODY, headers=HEADERS),
            "generated client": lambda: create_intent.sync_detailed(
                client=generated, body=REQUEST, x_shopify_shop_domain=SHOP
            ),
            "Stoq, no pacing": lambda: stoq.create_intent(REQUEST),
            "Stoq, paced": lambda: paced.create_intent(REQUEST),
        }
        await _show("sync, one after the other", contenders, rounds, calls)


async def bench_async(base_url: str, rounds: int, calls: int, flying: int) -> None:
    """Print the cost of awaited calls with *flying* of them under way."""
    url = f"{base_url}{INTENTS_PATH}"
    limits = httpx.Limits(max_connections=flying, max_keepalive_connections=flying)
    pool = HttpOptions(max_connections=flying)
    aiohttp_pool = HttpOptions(transport=AiohttpTransport(), max_connections=flying)
    async with (
        aiohttp.ClientSession() as session,
        httpx.AsyncClient(limits=limits) as bare,
        AsyncStoq(SHOP, base_url=base_url, budget=None, http=pool) as stoq,
        AsyncStoq(SHOP, base_url=base_url, budget=None, http=aiohttp_pool) as over_aiohttp,
    ):

        async def with_aiohttp() -> None:
            async with session.post(url, json=BODY, headers=HEADERS) as answer:
                await answer.json()

        contenders = {
            "bare aiohttp": with_aiohttp,
            "bare httpx": lambda: bare.post(url, json=BODY, headers=HEADERS),
            "AsyncStoq, no pacing": lambda: stoq.create_intent(REQUEST),
            "AsyncStoq over httpx-aiohttp": lambda: over_aiohttp.create_intent(REQUEST),
        }
        await _show(f"async, {flying} in flight", contenders, rounds, calls, flying)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each contender (default: 9)")
    parser.add_argument("--calls", type=int, default=300, help="in a round (default: 300)")
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=[there], daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{here.recv()}"
    asyncio.run(bench_sync(base_url, arguments.rounds, arguments.calls))
    for flying in (1, 10, 100):
        asyncio.run(bench_async(base_url, arguments.rounds, arguments.calls, flying))
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
