#!/usr/bin/env python3
"""Measure and print figures, each beside the bare tool that does the same in the same run.

calls     the processor time of a call beside bare httpx, and with 100 in flight bare aiohttp
startup   the processor time of `from stoqapp import Stoq` beside `import httpx`
sandbox   its throughput beside a bare app, its start, and how long a list of 10,000 stops others
bulk      planning beside csv.reader, memory, and sending for 300 shops beside bare aiohttp
paced     an import of 2,000 rows within an enforced rate limit; takes more than ten minutes

Contenders take turns, so that what else the machine does falls on all of them. Printed are medians.
No test depends on a figure.
"""

import argparse
import asyncio
import collections
import csv
import itertools
import multiprocessing
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from aiohttp import web
from httpx_aiohttp import AiohttpTransport

from stoqapp import AsyncStoq, Budget, CreateIntentRequestDict, HttpOptions, Stoq
from stoqapp.bulk.judge import Choices
from stoqapp.bulk.ledger import Ledger
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.plan import Plan, plan
from stoqapp.bulk.read import open_source
from stoqapp.bulk.send import drain_async
from stoqapp.inputs import prepare
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox import Sandbox

PATH: Final = "/api/v1/intents.json"
HEADERS: Final = {SHOP_HEADER: "demo.myshopify.com"}
CREATED: Final = b'{"intents": [{"id": "1", "channel": "email", "quantity": 1}], "errors": []}'
SHOPS: Final = 300
# The first of them warms up and is not counted.
ROUNDS: Final = 10

Measure = Callable[[], Awaitable[object]]


async def compare(title: str, **contenders: Measure) -> None:
    """Print the median seconds that each contender returns, or else takes, beside the first's."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, measure in contenders.items():
            began = time.perf_counter()
            seconds = await measure()
            elapsed = time.perf_counter() - began
            taken[name].append(seconds if isinstance(seconds, float) else elapsed)
    print(title)
    medians = [statistics.median(each[1:]) for each in taken.values()]
    for name, seconds in zip(contenders, medians, strict=True):
        print(f"  {name:20}{seconds * 1000:12.3f} ms {seconds / medians[0]:8.2f}x", flush=True)


def per_call(call: Callable[[], Any], in_flight: int = 0, count: int = 300) -> Measure:
    """Return what measures the processor time of a call: blocking, or with so many in flight."""

    async def measure() -> float:
        left, began = iter(range(count)), time.process_time()

        async def work() -> None:
            for _ in left:
                await call()

        await asyncio.gather(*(work() for _ in range(in_flight)))
        for _ in left:
            call()
        return (time.process_time() - began) / count

    return measure


@contextmanager
def served(*command: str) -> Iterator[str]:
    """Run a server in a process of its own; yield the URL that it prints."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        try:
            lines = iter(process.stdout or ())
            yield next(found[0] for line in lines if (found := re.search(r"http://\S+\d", line)))
        finally:
            process.terminate()


async def bare_app(_scope: object, receive: Any, send: Any) -> None:
    """Answer every request with the same 201, as an ASGI app."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(CREATED))]
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": CREATED})


def serve_quickly() -> None:
    """Answer every POST with the same 201, by a server that is quicker than any client here."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=CREATED, status=201, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=0, access_log=None, print=partial(print, flush=True))


SANDBOX: Final = ("-m", "stoqapp", "sandbox")
# By uvicorn, which reads requests with h11, as the sandbox does.
BARE: Final = (
    *("-m", "uvicorn", "bench:bare_app", "--port=0", "--http=h11", "--loop=asyncio"),
    *("--lifespan=off", "--no-access-log"),
)
QUICK: Final = ("-c", "import bench; bench.serve_quickly()")


def body(variant: int = 4711) -> CreateIntentRequestDict:
    return prepare(variant=variant, product=42, email="ada@example.com", country="us").body


async def post(session: aiohttp.ClientSession, url: str, content: object) -> None:
    async with session.post(url, json=content, headers=HEADERS, raise_for_status=True) as answer:
        await answer.read()


async def calls(_folder: Path) -> None:
    flying, content, endless = 100, body(), Budget(points=1_000_000, window_seconds=1.0)
    limits = httpx.Limits(max_connections=flying, max_keepalive_connections=flying)
    pool = HttpOptions(max_connections=flying)
    aiohttp_pool = HttpOptions(transport=AiohttpTransport(), max_connections=flying)
    with (
        served(*QUICK) as base,
        httpx.Client() as bare,
        Stoq("demo", base_url=base, budget=None) as stoq,
        Stoq("demo", base_url=base, budget=endless) as limited,
    ):
        await compare(
            "sync, processor time of a call",
            httpx=per_call(lambda: bare.post(base + PATH, json=content, headers=HEADERS)),
            Stoq=per_call(lambda: stoq.create_intent(content)),
            Stoq_paced=per_call(lambda: limited.create_intent(content)),
        )
        async with (
            aiohttp.ClientSession() as session,
            httpx.AsyncClient(limits=limits) as client,
            AsyncStoq("demo", base_url=base, budget=None, http=pool) as plain,
            AsyncStoq("demo", base_url=base, budget=None, http=aiohttp_pool) as over,
        ):
            url = base + PATH
            await compare(
                f"async, {flying} in flight, processor time of a call",
                aiohttp=per_call(lambda: post(session, url, content), flying),
                httpx=per_call(lambda: client.post(url, json=content, headers=HEADERS), flying),
                AsyncStoq=per_call(lambda: plain.create_intent(content), flying),
                AsyncStoq_aiohttp=per_call(lambda: over.create_intent(content), flying),
            )


async def startup(_folder: Path) -> None:
    # Without bytecode, each of them would compile every module anew.
    cached = {name: text for name, text in os.environ.items() if "BYTECODE" not in name}

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    async def run(program: str) -> float:
        before = used()
        subprocess.run([sys.executable, "-c", program], check=True, env=cached)
        return used() - before

    programs = {"httpx": "import httpx", "stoqapp": "from stoqapp import Stoq", "python": "pass"}
    runs = {name: partial(run, program) for name, program in programs.items()}
    await compare("processor time of an import", **runs)


async def sandbox(_folder: Path) -> None:
    numbers = itertools.count(1)

    async def load(url: str, count: int = 1_000) -> None:
        async with aiohttp.ClientSession() as session:
            await per_call(lambda: post(session, url + PATH, body(next(numbers))), 20, count)()

    # Made before the clock runs: it reads certificates, which takes some 20 ms.
    client = httpx.Client(headers=HEADERS)

    async def start() -> None:
        with served(*SANDBOX) as url:
            client.post(url + PATH, json=body()).raise_for_status()

    async def longest_wait(url: str) -> float:
        async with aiohttp.ClientSession(url) as session:

            async def read(path: str) -> float:
                began = time.perf_counter()
                async with session.get(path) as answer:
                    async for _ in answer.content.iter_any():
                        pass
                return time.perf_counter() - began

            listing, waits = asyncio.create_task(read("/_sandbox/intents")), [0.0]
            while not listing.done():
                waits.append(await read("/_sandbox/faults"))
            return max(waits)

    with served(*SANDBOX) as url, served(*BARE) as bare_url:
        # The sandbox comes first, so that the bare app's ratio is the sandbox's share of its speed.
        turns = {"sandbox": partial(load, url), "bare_app": partial(load, bare_url)}
        await compare("1,000 intents over 20 connections", **turns)
        if len(httpx.get(f"{url}/_sandbox/intents").json()) != 10_000:
            raise SystemExit("bench: not all of 10,000 intents are stored")
        longest = partial(longest_wait, url)
        await compare("longest wait while 10,000 are listed", another_request=longest)
    await compare("start until the first answer", sandbox=start)


def file_of(folder: Path, count: int, kind: str = "email", shops: int = 1) -> Path:
    path = folder / f"{kind}-{count}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([kind, "Name", "Variant ID", "Product ID", "Date", "Shop"])
        for n in range(count):
            # The plan must know a phone number as valid, so they are Berlin's; none is written to.
            contact = f"person{n}@example.com" if kind == "email" else f"+4930{10_000_000 + n}"
            variant = 45_100_000_000_000 + n % 5_000
            date = f"2026-{1 + n % 12:02d}-{1 + n % 28:02d} 10:{n % 60:02d}:00"
            shop = f"shop-{n % shops}.myshopify.com"
            writer.writerow([contact, f"Person {n}", variant, variant // 3, date, shop])
    return path


def planned(path: Path, salt: bytes = b"bench") -> Plan:
    mapping = ColumnMapping()
    return plan(open_source(path, mapping.known), mapping, None, Choices(salt=salt))


def peak_memory(path: Path) -> int:
    """Plan a file; return the most memory that this process has had, in MB."""
    planned(path).close()
    # getrusage() counts what the parent had, too.
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def sent(path: Path, count: int, **options: Any) -> float:
    """Send a file by a ledger of its own; return the seconds. Stop where not all is sent."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger") as ledger:
        ledger.load(planned(path, ledger.salt), path.name)
        ledger.begin()
        async with AsyncStoq("bench", **options) as client:
            began = time.perf_counter()
            drained = await drain_async(ledger, client)
            seconds = time.perf_counter() - began
    if drained.counts != {"sent": count}:
        raise SystemExit(f"bench: not everything was sent: {drained.counts}")
    return seconds


async def bulk(folder: Path) -> None:
    emails, phones = (file_of(folder, 40_000, kind) for kind in ("email", "phone"))

    async def read() -> None:
        with emails.open(newline="", encoding="utf-8") as file:
            collections.deque(csv.reader(file), maxlen=0)

    async def plan_of(path: Path) -> None:
        planned(path).close()

    plans = {"email": partial(plan_of, emails), "sms": partial(plan_of, phones)}
    await compare("plan of 40,000 rows", csv_reader=read, **plans)
    for path in (emails, file_of(folder, 400_000)):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            megabytes = pool.submit(peak_memory, path).result()
        print(f"peak memory of {path.stem}: {megabytes} MB", flush=True)

    rows = file_of(folder, 6_000, shops=SHOPS)
    bodies = [one.body for one in planned(rows).waiting()]
    with served(*QUICK) as base_url:

        async def bare() -> None:
            left, connector = iter(bodies), aiohttp.TCPConnector(limit=SHOPS)
            async with aiohttp.ClientSession(connector=connector) as session:
                await per_call(lambda: post(session, base_url + PATH, next(left)), SHOPS, 6_000)()

        async def through() -> float:
            http = HttpOptions(transport=AiohttpTransport(), max_connections=SHOPS)
            return await sent(rows, 6_000, base_url=base_url, budget=None, http=http)

        await compare("6,000 rows of 300 shops, ledger on", aiohttp=bare, drain_async=through)


async def paced(folder: Path) -> None:
    rows, points, statuses = 2_000, 360, list[int | None]()
    with Sandbox(rate_limit=(points, 60)) as running:
        seconds = await sent(
            file_of(folder, rows),
            rows,
            base_url=running.base_url,
            budget=Budget(share=0.9),
            on_attempt=lambda report: statuses.append(report.status),
        )
    used = rows * 2 / (points * seconds / 60)
    print(f"{rows} rows in {seconds:.0f} s: {statuses.count(429)} times 429, share {used:.2f} used")


if __name__ == "__main__":
    subjects = {each.__name__: each for each in (calls, startup, sandbox, bulk, paced)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=subjects)
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(subjects[parser.parse_args().subject](Path(made)))
