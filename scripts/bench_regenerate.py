#!/usr/bin/env python3
"""Measure scripts/regenerate.py: on our spec, and on synthetic specs of growing size.

Prints wall time, peak memory, and the time per operation at each
size, which stays the same if the script is linear. Writes to a temporary folder only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().with_name("regenerate.py")
OPERATIONS_IN_A_TAG = 20


def synthetic_spec(operations: int) -> dict[str, Any]:
    """An OpenAPI document with `operations` operations, each with models of its own."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for number in range(operations):
        order, buyer = f"Order{number}", f"Buyer{number}"
        schemas[order] = {
            "type": "object",
            "required": ["id", "state"],
            "properties": {
                "id": {
                    "type": "integer",
                    "description": f"The number of an order of kind {number}",
                },
                "state": {"type": "string", "enum": ["open", "paid", f"state_{number}"]},
                "placed_at": {"type": "string", "format": "date-time"},
                "notes": {"type": "array", "items": {"type": "string"}},
                "buyer": {"$ref": f"#/components/schemas/{buyer}"},
            },
        }
        schemas[buyer] = {
            "type": "object",
            "properties": {
                "email": {"type": "string"},
                "age": {"type": "integer"},
                "address": {
                    "type": "object",
                    "properties": {"town": {"type": "string"}, "street": {"type": "string"}},
                },
            },
        }
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{order}"}}}
        paths[f"/orders{number}/{{order_id}}"] = {
            "put": {
                "operationId": f"put_order_{number}",
                "summary": f"Put an order of kind {number}",
                "tags": [f"Group {number // OPERATIONS_IN_A_TAG}"],
                "parameters": [
                    {
                        "in": "path",
                        "name": "order_id",
                        "required": True,
                        "schema": {"type": "integer"},
                    },
                    {"in": "query", "name": "dry_run", "schema": {"type": "boolean"}},
                ],
                "requestBody": {"required": True, "content": content},
                "responses": {
                    "200": {"description": "Stored", "content": content},
                    "404": {"description": "Not found"},
                },
            }
        }
    return {
        "openapi": "3.0.3",
        "info": {"title": f"{operations} operations", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


@dataclass(frozen=True)
class Run:
    """One run of the script."""

    wall_seconds: float
    peak_megabytes: float
    """Of the largest process; the script, the generator and ruff each are one."""


def measured(folder: Path, *arguments: str) -> Run:
    """Run the script with `arguments` and a new output in `folder`."""
    log = folder / "stderr"
    with tempfile.TemporaryDirectory(dir=folder) as home, log.open("w+") as stderr:
        command = [sys.executable, str(SCRIPT), "--output", f"{home}/client"]
        started = time.perf_counter()
        process = subprocess.Popen([*command, *arguments], stdout=stderr, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        lines = stderr.read().splitlines()
    if process.returncode != 0:
        raise SystemExit("\n".join(lines))
    peak_kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Run(wall_seconds, peak_kilobytes / 1024)


def told(name: str, runs: list[Run]) -> Run:
    """Print the median of `runs`, and return it."""
    middle = Run(
        statistics.median(run.wall_seconds for run in runs),
        max(run.peak_megabytes for run in runs),
    )
    slowest = max(run.wall_seconds for run in runs)
    fastest = min(run.wall_seconds for run in runs)
    print(
        f"{name:>16}: {middle.wall_seconds:6.2f} s (of {len(runs)} runs, {fastest:.2f} to "
        f"{slowest:.2f}), peak {middle.peak_megabytes:.0f} MB",
        flush=True,
    )
    return middle


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure scripts/regenerate.py.")
    parser.add_argument("--runs", type=int, default=5, help="runs of each spec (default: 5)")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[100, 200, 400],
        help="operations of the synthetic specs (default: 100 200 400)",
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ours = told("openapi.json", [measured(folder) for _ in range(chosen.runs)])
        for size in chosen.sizes:
            spec = folder / "spec.json"
            spec.write_text(json.dumps(synthetic_spec(size)))
            runs = [measured(folder, "--spec", str(spec)) for _ in range(chosen.runs)]
            large = told(f"{size} operations", runs)
            each = 1000 * (large.wall_seconds - ours.wall_seconds) / size
            print(f"{'':16}  {each:6.1f} ms for each operation, beyond the time for our spec")


if __name__ == "__main__":
    main()
