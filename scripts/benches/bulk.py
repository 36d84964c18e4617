"""Print what an import costs: planning, memory, sending, and how much of the rate budget it uses.

Each part runs in a process of its own on files that are made for it, and prints one line. The
paced part waits for windows of the rate limit: give it 2,000 rows and a quarter of an hour.
"""

import argparse
import asyncio
import csv
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
from httpx_aiohttp import AiohttpTransport

from benches.calls import serve
from stoqapp import AsyncStoq, Budget, HttpOptions
from stoqapp.bulk.judge import Choices
from stoqapp.bulk.ledger import Ledger
from stoqapp.bulk.mapping import ColumnMapping
from stoqapp.bulk.plan import Plan, plan
from stoqapp.bulk.read import open_source
from stoqapp.bulk.send import drain_async
from stoqapp.spec import INTENTS_PATH, SHOP_HEADER
from stoqapp_sandbox import Sandbox

COLUMNS: Final = (
    *("Email", "Phone", "Name", "Variant ID", "Product ID", "Quantity", "Accepts marketing"),
    *("Language", "Date", "Shop"),
)
SHOPS: Final = 300
POINTS: Final = 360


def _rows(count: int, kind: str, shops: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        email = f"person{number}@example.com" if kind == "email" else ""
        # The numbering plan must know them as valid, so they are Berlin's; nothing is sent there.
        phone = f"+4930{10_000_000 + number}" if kind == "sms" else ""
        variant = 45_100_000_000_000 + number % 5_000
        product = 8_450_000_000_000 + variant % 5_000 // 3
        date = f"2026-{1 + number % 12:02d}-{1 + number % 28:02d} 10:{number % 60:02d}:00"
        agreed = "yes" if number % 2 else "no"
        shop = f"shop-{number % shops}.myshopify.com"
        yield email, phone, f"Person {number}", variant, product, 1, agreed, "en", date, shop


def _file(folder: Path, count: int, kind: str = "email", shops: int = 1) -> Path:
    path = folder / f"{kind}-{count}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(count, kind, shops))
    return path


def _planned(path: Path, salt: bytes = b"bench") -> Plan:
    mapping = ColumnMapping()
    return plan(open_source(path, mapping.known), mapping, None, Choices(salt=salt))


def _bench_plan(folder: Path, count: int, kind: str) -> str:
    path = _file(folder, count, kind)
    began, processor = time.perf_counter(), time.process_time()
    _planned(path).close()
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    began = time.perf_counter()
    with path.open(newline="", encoding="utf-8") as file:
        read = sum(1 for _ in csv.reader(file))
    bare = time.perf_counter() - began
    return (
        f"plan of {read - 1} rows, {kind}: {seconds:.2f} s ({processor:.2f} s of processor),"
        f" {seconds / bare:.0f} times csv.reader alone"
    )


def _bench_memory(folder: Path, count: int) -> str:
    # The parent may have had more: what a child began with counts from zero on Linux only so.
    _planned(_file(folder, count)).close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"peak memory at {count} rows: {peak:.0f} MB"


def _served() -> tuple[Any, str]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
    process.start()
    return process, f"http://127.0.0.1:{receiver.recv()}"


async def _bare(url: str, plan: Plan, in_flight: int) -> float:
    bodies = iter(list(plan.template_rows()))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=in_flight), headers={SHOP_HEADER: "shop.example"}
    ) as session:

        async def work() -> None:
            for body, _, _ in bodies:
                async with session.post(url, json=body) as answer:
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
    return time.perf_counter() - began


async def _through(url: str, ledger: Ledger, in_flight: int) -> float:
    http = HttpOptions(transport=AiohttpTransport(), max_connections=in_flight)
    async with AsyncStoq("bench", base_url=url, budget=None, http=http) as client:
        began = time.perf_counter()
        drained = await drain_async(ledger, client)
        seconds = time.perf_counter() - began
    if drained.left or set(drained.counts) != {"sent"}:
        raise SystemExit(f"not everything was sent: {drained}")
    return seconds


def _bench_send(folder: Path, count: int) -> str:
    path = _file(folder, count, shops=SHOPS)
    process, url = _served()
    with Ledger(folder / "send.ledger") as ledger:
        planned = _planned(path, ledger.salt)
        bare = asyncio.run(_bare(url + INTENTS_PATH, planned, SHOPS))
        ledger.load(planned, path.name)
        ledger.begin()
        seconds = asyncio.run(_through(url, ledger, SHOPS))
    process.terminate()
    return (
        f"{count} rows of {SHOPS} shops over aiohttp, ledger on: {count / seconds:.0f}/s; bare"
        f" aiohttp {count / bare:.0f}/s, share {bare / seconds:.2f}"
    )


def _bench_paced(folder: Path, count: int) -> str:
    path = _file(folder, count)
    with Sandbox(rate_limit=(POINTS, 60)) as sandbox, Ledger(folder / "paced.ledger") as ledger:
        ledger.load(_planned(path, ledger.salt), path.name)
        ledger.begin()
        statuses: list[int | None] = []

        async def send() -> float:
            async with AsyncStoq(
                "bench",
                base_url=sandbox.base_url,
                budget=Budget(share=0.9),
                on_attempt=lambda report: statuses.append(report.status),
            ) as client:
                began = time.perf_counter()
                await drain_async(ledger, client)
                return time.perf_counter() - began

        seconds = asyncio.run(send())
    used = count * 2 / (POINTS * seconds / 60)
    return (
        f"{count} rows, paced, share 0.9, against {POINTS}/60: {seconds:.0f} s,"
        f" {statuses.count(429)} times 429, {used:.2f} of the budget used"
    )


PARTS: Final[dict[str, Callable[[Path, int], list[tuple[Any, ...]]]]] = {
    "plan": lambda _, rows: [(_bench_plan, rows, "email"), (_bench_plan, rows, "sms")],
    "memory": lambda _, rows: [(_bench_memory, rows), (_bench_memory, rows * 10)],
    "send": lambda _, rows: [(_bench_send, rows)],
    "paced": lambda _, __: [(_bench_paced, 2_000)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all but paced")
    parser.add_argument("--rows", type=int, default=40_000)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    for part in arguments.parts or ("plan", "memory", "send"):
        for job, *rest in PARTS[part](Path(), arguments.rows):
            with tempfile.TemporaryDirectory() as folder:
                child = spawn.Process(target=_print, args=(job, Path(folder), *rest))
                child.start()
                child.join()
                if child.exitcode:
                    raise SystemExit(child.exitcode)


def _print(job: Callable[..., str], *arguments: Any) -> None:
    print(job(*arguments), flush=True)


if __name__ == "__main__":
    main()
