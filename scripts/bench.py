#!/usr/bin/env python3
"""Measure and print figures, each beside the bare tool that does the same in the same run.

calls     the processor time of a call beside bare httpx, and with 100 in flight bare aiohttp
sandbox   its throughput beside a bare app, its start, and how long a list of 10,000 stops others
bulk      memory, planning beside csv.reader, and sending for 300 shops beside bare aiohttp
paced     an import of 2,000 rows within an enforced rate limit; takes three minutes
sizes     the wheel, what it installs, and its import, beside httpx and three SDKs; downloads them

Contenders take turns, so that what else the machine does falls on all of them. Printed are medians.
An import or start, which other packages slow down, is measured where there are no others. No test
depends on a figure.
"""

import argparse
import asyncio
import collections
import csv
import inspect
import itertools
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from aiohttp import web
from httpx_aiohttp import AiohttpTransport

from stoqapp import AsyncStoq, Budget, CreateIntentRequestDict, HttpOptions, Stoq
from stoqapp.bulk import judge, ledger, mapping, plan, read, send
from stoqapp.inputs import prepare
from stoqapp.spec import SHOP_HEADER
from stoqapp_sandbox import Sandbox

ROOT: Final = Path(__file__).resolve().parents[1]
PATH: Final = "/api/v1/intents.json"
HEADERS: Final = {SHOP_HEADER: "demo.myshopify.com"}
CREATED: Final = b'{"intents": [{"id": "1", "channel": "email", "quantity": 1}], "errors": []}'
# The first of them warms up and is not counted.
ROUNDS: Final = 10
PIP: Final = (sys.executable, "-m", "pip", "-qq")
SANDBOX: Final = ("-m", "stoqapp", "sandbox", "--port=0")
# By uvicorn, which reads requests with h11, as the sandbox does.
BARE: Final = ("-m", "uvicorn", "bench:bare_app", "--port=0", "--http=h11", "--no-access-log")
QUICK: Final = ("-u", "-m", "aiohttp.web", "-H=127.0.0.1", "-P=0", "bench:quick_app")
Contenders = Mapping[str, Callable[[], Any]]


async def compare(title: str, contenders: Contenders, in_flight: int = 0) -> None:
    """Print the median seconds of each contender, beside the first's.

    What counts is what it returns, else the time that it takes; with calls in flight, the processor
    time of a call.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            began = time.perf_counter()
            seconds = await (per_call(run, in_flight) if in_flight else result_of(run))
            elapsed = time.perf_counter() - began
            taken[name].append(seconds if isinstance(seconds, float) else elapsed)
    print(title)
    medians = {name: statistics.median(each[1:]) for name, each in taken.items()}
    for name, median in medians.items():
        ratio = median / next(iter(medians.values()))
        print(f"  {name:24}{median * 1000:12.3f} ms {ratio:8.2f}x", flush=True)


async def result_of(run: Callable[[], Any]) -> Any:
    """Return the result of a function, blocking or not."""
    result = run()
    return await result if inspect.isawaitable(result) else result


async def per_call(run: Callable[[], Any], in_flight: int, count: int = 300) -> float:
    """Return the processor time of a call, with that many in flight."""
    left, began = iter(range(count)), time.process_time()

    async def work() -> None:
        for _ in left:
            await result_of(run)

    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (time.process_time() - began) / count


def environment(folder: Path, wanted: object) -> Path:
    """Return the Python of an environment that holds *wanted*, what that needs, and no more."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    subprocess.run([*PIP, "--python", folder, "install", str(wanted)], check=True)
    return folder / "bin" / "python"


@contextmanager
def served(*command: str, python: str | Path = sys.executable) -> Iterator[str]:
    """Run a server in a process of its own; yield the URL that it prints."""
    pipe, both = subprocess.PIPE, subprocess.STDOUT
    words = [python, *command]
    with subprocess.Popen(
        words, cwd=ROOT / "scripts", stdout=pipe, stderr=both, text=True
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


def quick_app(_arguments: object) -> web.Application:
    """Return an app that does the same, for a server that is quicker than any client here."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=CREATED, status=201, content_type="application/json")

    # aiohttp's command would write a line a request into the pipe, and wait once that is full.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


def body(variant: int = 4711) -> CreateIntentRequestDict:
    return prepare(variant=variant, product=42, email="ada@example.com", country="us").body


async def post(session: aiohttp.ClientSession, url: str, content: object) -> None:
    async with session.post(url, json=content, headers=HEADERS, raise_for_status=True) as answer:
        await answer.read()


async def calls(_folder: Path) -> None:
    flying, content = 100, body()
    limits = httpx.Limits(max_connections=flying, max_keepalive_connections=flying)
    pool = HttpOptions(max_connections=flying)
    aiohttps = HttpOptions(transport=AiohttpTransport(), max_connections=flying)
    with served(*QUICK) as base:
        client: dict[str, Any] = {"shop": "demo", "base_url": base, "budget": None}
        url = base + PATH
        with httpx.Client(headers=HEADERS) as bare, Stoq(**client) as stoq:
            contenders: Contenders = {
                "httpx": lambda: bare.post(url, json=content),
                "Stoq": lambda: stoq.create_intent(content),
            }
            await compare("sync, processor time of a call", contenders, 1)
        async with (
            aiohttp.ClientSession() as session,
            httpx.AsyncClient(headers=HEADERS, limits=limits) as httpxs,
            AsyncStoq(**client, http=pool) as plain,
            AsyncStoq(**client, http=aiohttps) as over,
        ):
            contenders = {
                "aiohttp": lambda: post(session, url, content),
                "httpx": lambda: httpxs.post(url, json=content),
                "AsyncStoq": lambda: plain.create_intent(content),
                "AsyncStoq, aiohttp": lambda: over.create_intent(content),
            }
            await compare("async, 100 in flight, processor time of a call", contenders, flying)


async def sandbox(folder: Path) -> None:
    numbers, python = itertools.count(1), environment(folder / "venv", f"{ROOT}[sandbox]")

    async def load(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            await per_call(lambda: post(session, url + PATH, body(next(numbers))), 20, 1_000)

    def start() -> None:
        with served(*SANDBOX, python=python) as url:
            client.post(url + PATH, json=body()).raise_for_status()

    def longest_wait(url: str) -> float:
        waits, program = [], f"import httpx; httpx.get('{url}/_sandbox/intents')"
        with subprocess.Popen([sys.executable, "-c", program]) as listing:
            while listing.poll() is None:
                waits.append(client.get(f"{url}/_sandbox/faults").elapsed.total_seconds())
        return max(waits)

    # Made before the clock runs: it reads certificates.
    with httpx.Client(headers=HEADERS) as client:
        with served(*SANDBOX) as url, served(*BARE) as bare_url:
            # The sandbox comes first: the bare app's ratio is the sandbox's share of its speed.
            loads = {"sandbox": partial(load, url), "bare app": partial(load, bare_url)}
            await compare("1,000 intents over 20 connections", loads)
            if len(client.get(f"{url}/_sandbox/intents").json()) != ROUNDS * 1_000:
                raise SystemExit("bench: not all of 10,000 intents are stored")
            longest = {"another request": partial(longest_wait, url)}
            await compare("longest wait while 10,000 are listed", longest)
        await compare("start until the first answer", {"sandbox": start})


def file_of(folder: Path, count: int, kind: str = "email", shops: int = 1) -> Path:
    rows = [f"{kind},Name,Variant ID,Product ID,Date,Shop"]
    for n in range(count):
        # The plan must know a phone number as valid, so they are Berlin's; none is written to.
        contact = f"person{n}@example.com" if kind == "email" else f"+4930{10_000_000 + n}"
        date = f"2026-{1 + n % 12:02}-{1 + n % 28:02} 10:{n % 60:02}:00"
        variant = f"{45_100_000_000_000 + n % 5_000},{8_000_000_000 + n % 5_000}"
        rows.append(f"{contact},Person {n},{variant},{date},shop-{n % shops}.myshopify.com")
    path = folder / f"{kind}-{count}.csv"
    path.write_text("\n".join(rows), "utf-8")
    return path


def planned(path: Path, salt: bytes = b"bench") -> plan.Plan:
    columns = mapping.ColumnMapping()
    source = read.open_source(path, columns.known)
    return plan.plan(source, columns, None, judge.Choices(salt=salt))


async def sent(path: Path, count: int, **options: Any) -> float:
    """Send a file by a ledger of its own; return the seconds. Stop where not all is sent."""
    with tempfile.TemporaryDirectory() as folder, ledger.Ledger(Path(folder) / "kept") as kept:
        kept.load(planned(path, kept.salt), path.name)
        kept.begin()
        async with AsyncStoq("bench", **options) as client:
            began = time.perf_counter()
            drained = await send.drain_async(kept, client)
            seconds = time.perf_counter() - began
    if drained.counts != {"sent": count}:
        raise SystemExit(f"bench: not everything was sent: {drained.counts}")
    return seconds


async def bulk(folder: Path) -> None:
    for count in (40_000, 400_000):
        rows = file_of(folder, count)
        # Linux forgets the process's peak so far.
        Path("/proc/self/clear_refs").write_text("5")
        planned(rows).close()
        [peak] = re.findall(r"VmHWM:\s+(.*)", Path("/proc/self/status").read_text())
        print(f"peak memory of a plan of {count:,} rows: {peak}", flush=True)
    emails, phones = (file_of(folder, 40_000, kind) for kind in ("email", "phone"))
    plans: Contenders = {
        "csv.reader": lambda: collections.deque(csv.reader(emails.open("r", newline="")), 0),
        "e-mail": lambda: planned(emails).close(),
        "SMS": lambda: planned(phones).close(),
    }
    await compare("plan of 40,000 rows", plans)
    shops, count = 300, 6_000
    rows = file_of(folder, count, shops=shops)
    bodies = [one.body for one in planned(rows).waiting()]
    with served(*QUICK) as base_url:

        async def bare() -> None:
            left, connector = iter(bodies), aiohttp.TCPConnector(limit=shops)
            async with aiohttp.ClientSession(connector=connector) as session:
                await per_call(lambda: post(session, base_url + PATH, next(left)), shops, count)

        async def through() -> float:
            http = HttpOptions(transport=AiohttpTransport(), max_connections=shops)
            return await sent(rows, count, base_url=base_url, budget=None, http=http)

        contenders: Contenders = {"aiohttp": bare, "drain_async": through}
        await compare("6,000 rows of 300 shops, ledger on", contenders)


async def paced(folder: Path) -> None:
    # The vendor's points, in a shorter window.
    rows, points, window, statuses = 2_000, 360, 15, list[int | None]()
    with Sandbox(rate_limit=(points, window)) as running:
        seconds = await sent(
            file_of(folder, rows),
            rows,
            base_url=running.base_url,
            budget=Budget(share=0.9, window_seconds=window),
            on_attempt=lambda report: statuses.append(report.status),
        )
    used = rows * 2 / (points * seconds / window)
    print(f"{rows} rows in {seconds:.0f} s: {statuses.count(429)} times 429, share {used:.2f} used")


async def sizes(folder: Path) -> None:
    imports: dict[str, Callable[[], float]] = {}

    def processor_time(python: Path, module: str) -> float:
        program = f"import time, {module}; print(time.process_time())"
        return float(
            subprocess.run([python, "-c", program], check=True, capture_output=True).stdout
        )

    for module in ("stoqapp", "openai", "stripe", "klaviyo_api"):
        wheels, wanted = folder / "wheels" / module, ROOT if module == "stoqapp" else module
        subprocess.run([*PIP, "wheel", "--no-deps", "-w", wheels, wanted], check=True)
        [wheel] = wheels.iterdir()
        python = environment(folder / module, wheel)
        installed = [each.stat().st_size for each in folder.glob(f"{module}/lib/*/*/**/*.*")]
        print(f"{module:12} wheel {wheel.stat().st_size / 1e3:5.0f} kB,", end=" ")
        print(f"installed {sum(installed) / 1e6:4.1f} MB", flush=True)
        imports.setdefault("httpx", partial(processor_time, python, "httpx"))
        imports[module] = partial(processor_time, python, module)
    await compare("its import, processor time", imports)


if __name__ == "__main__":
    # Without bytecode, each process would compile every module anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subjects = {each.__name__: each for each in (calls, sandbox, bulk, paced, sizes)}
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("subject", choices=subjects)
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(subjects[parser.parse_args().subject](Path(made)))
