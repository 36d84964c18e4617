"""Print what the sandbox costs: its speed beside a bare app, its start, a long list.

Servers run in processes of their own, started as people start them. The bare app answers every
request with the same 201 on the same uvicorn; sandbox and bare app take turns, so that what else
the machine does falls on both. A lost or refused intent ends the script with 1; timings never do.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import httpx

HEADERS: Final = {
    "X-Shopify-Shop-Domain": "demo.myshopify.com",
    "Content-Type": "application/json",
}
SANDBOX: Final = ["-m", "stoqapp", "sandbox"]
BARE: Final = [
    "-c",
    """
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
asyncio.run(Listener(app, lambda: print(line, flush=True)).serve(sockets=[tcp]))
""",
]


def body(number: int) -> bytes:
    """Return the body of an intent that no other number makes."""
    intent = {"shopify_variant_id": number + 1, "shopify_product_id": 42, "channel": "email"}
    made = {
        "intent": intent | {"quantity": 1, "source": "api"},
        "customer": {"email": "ada@example.com"},
    }
    return json.dumps(made).encode()


@contextmanager
def served(command: list[str]) -> Iterator[tuple[str, int]]:
    """Run a server that prints a line with its URL; yields the URL and its process id."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout  # noqa: S101 - for mypy; it was asked for above
        line = process.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http://")), process.pid
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Return how long the process has kept a processor busy."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def load(url: str, numbers: range, connections: int) -> float:
    """Send an intent for each number and return the seconds; exits where one is not created."""
    left = iter(numbers)
    async with aiohttp.ClientSession(
        url, headers=HEADERS, connector=aiohttp.TCPConnector(limit=connections)
    ) as session:

        async def send() -> None:
            for number in left:
                async with session.post("/api/v1/intents.json", data=body(number)) as answer:
                    await answer.read()
                    if answer.status != 201:
                        raise SystemExit(f"bench_sandbox: intent {number} answered {answer.status}")

        begun = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(connections)))
        return time.perf_counter() - begun


def throughput(rounds: int, requests: int) -> None:
    """Compare sandbox and bare app, turn by turn."""
    ratios, costs = [], []
    with served(SANDBOX) as (url, pid), served(BARE) as (bare_url, bare_pid):
        for number in range(rounds + 1):
            numbers = range(number * requests, (number + 1) * requests)
            before = processor_seconds(pid), processor_seconds(bare_pid)
            taken = [asyncio.run(load(one, numbers, 20)) for one in (url, bare_url)]
            spent = processor_seconds(pid) - before[0], processor_seconds(bare_pid) - before[1]
            # The first round warms up.
            if number:
                ratios.append(taken[1] / taken[0])
                costs.append(spent[0] / spent[1])
        stored = len(httpx.get(f"{url}/_sandbox/intents").json())
    if stored != (rounds + 1) * requests:
        raise SystemExit(f"bench_sandbox: {stored} intents are stored")
    print(f"throughput beside the bare app: {statistics.median(ratios):.2f}")
    print(f"processor time beside the bare app: {statistics.median(costs):.2f}")


def start(rounds: int) -> None:
    """Measure the start of the process until the first created intent."""
    taken = []
    for number in range(rounds):
        begun = time.perf_counter()
        with served(SANDBOX) as (url, _):
            answer = httpx.post(f"{url}/api/v1/intents.json", content=body(number), headers=HEADERS)
            taken.append(time.perf_counter() - begun)
            answer.raise_for_status()
    print(f"first answer after start: {statistics.median(taken):.2f} s")


async def stall(url: str) -> float:
    """Return the longest wait of a small request while all intents are listed."""
    async with aiohttp.ClientSession(url) as session:

        async def wait() -> float:
            begun = time.perf_counter()
            async with session.get("/_sandbox/faults") as answer:
                await answer.read()
            return time.perf_counter() - begun

        async def listed() -> None:
            async with session.get("/_sandbox/intents") as answer:
                async for _ in answer.content.iter_any():
                    pass

        listing = asyncio.create_task(listed())
        longest = 0.0
        while not listing.done():
            longest = max(longest, await wait())
        return longest


def listing(rounds: int, intents: int) -> None:
    """Measure what a list of all intents costs another request."""
    with served(SANDBOX) as (url, _):
        asyncio.run(load(url, range(intents), 20))
        longest = [asyncio.run(stall(url)) for _ in range(rounds)]
    print(f"another request waits while {intents} are listed: {statistics.median(longest):.3f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="of each (default: 9)")
    parser.add_argument("--requests", type=int, default=1000, help="in a round (default: 1000)")
    given = parser.parse_args()
    throughput(given.rounds, given.requests)
    start(given.rounds)
    listing(given.rounds, 10 * given.requests)


if __name__ == "__main__":
    main()
