"""Let Schemathesis, with all its checks, send what it makes of openapi.json to the sandbox.

Three runs: one in which it makes up everything, so that few requests name a possible shop; one in
which each request names one, so that the bodies are judged; and one, too, in which only the schemas
judge them, since what it makes up seldom keeps the rules that stand in prose and is seldom new,
and so an intent is hardly ever answered. What its checks complain of must be explained in
schemathesis_explained.toml; an entry there that explains nothing is a failure too.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from judges.explanations import explanations_from_toml
from judges.prism import ROOT, SPEC
from stoqapp_sandbox import Sandbox

LIST: Final = Path(__file__).with_name("schemathesis_explained.toml")
WITH_SHOP: Final = ("--header", "X-Shopify-Shop-Domain:demo.myshopify.com")
# What is asked for beside the usual, and what the sandbox then takes for granted.
RUNS: Final[dict[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    "everything made up": ((), {}),
    "with a possible shop": (WITH_SHOP, {}),
    "judged by the schemas alone": (WITH_SHOP, {"broken_rule": "created", "unique": "off"}),
}
# How often each of the statuses that the spec lists for a body must be heard at least; with
# fewer the sandbox was hardly asked anything.
LEAST: Final = {200: 1, 201: 100, 400: 1}
# 0: no complaint; 1: some, which are looked at here.
ENDS: Final = {0, 1}


def events(base_url: str, options: list[str], folder: Path) -> list[dict[str, Any]]:
    """Run Schemathesis against *base_url* and return what it recorded.

    Raises:
        SystemExit: It is not installed, or it failed itself.
    """
    judges = Path(os.environ.get("STOQAPP_JUDGES", ROOT / ".judges"))
    program = judges / "schemathesis/bin/schemathesis"
    if not program.is_file():
        raise SystemExit("schemathesis is not installed: run scripts/judge, which does it")
    report = folder / "report.ndjson"
    command = [
        *(str(program), "run", str(SPEC), "--url", base_url, "--no-color"),
        *("--checks", "all", "--continue-on-failure", "--no-shrink"),
        *("--generation-database", "none"),
        *("--report", "ndjson", "--report-ndjson-path", str(report)),
        *options,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode not in ENDS:
        raise SystemExit(f"schemathesis failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return [json.loads(line) for line in report.read_text("utf-8").splitlines()]


def scenarios(recorded: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each phase that sent something, with what it sent, heard and checked.

    Raises:
        SystemExit: Schemathesis reports an error of its own.
    """
    for event in recorded:
        if "NonFatalError" in event or "FatalError" in event:
            raise SystemExit(f"schemathesis failed: {json.dumps(event)[:4000]}")
        if finished := event.get("ScenarioFinished"):
            if finished["status"] == "error":
                raise SystemExit(f"schemathesis failed in phase {finished['phase']}")
            if finished["recorder"].get("cases"):
                yield finished["phase"], finished["recorder"]


def complaints(scenario: dict[str, Any]) -> list[str]:
    """Return each failed check: ``CHECK, STATUS to MADE: ANSWER``.

    MADE is what Schemathesis says of how it made the request, ANSWER the start of the body.
    """
    found = []
    for case, checks in scenario["checks"].items():
        for check in checks:
            if check["status"] == "success":
                continue
            answer = scenario["interactions"][case]["response"]
            body = base64.b64decode(answer["content"]["$base64"]).decode("utf-8", "replace")
            meta = scenario["cases"][case]["value"]["meta"]
            made = meta["phase"]["data"].get("description") or meta["generation"]["mode"]
            found.append(f"{check['name']}, {answer['status_code']} to {made}: {body[:200]}")
    return found


def too_seldom(statuses: Counter[int]) -> list[str]:
    """Return a sentence for each status that was heard less often than `LEAST` asks for."""
    return [
        f"{statuses[status]} x {status}, and at least {least} are wanted"
        for status, least in LEAST.items()
        if statuses[status] < least
    ]


def main() -> int:
    """Run, print the counts, and return 1 where a complaint is unexplained or little was heard."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--examples", type=int, default=400, help="per run, to fuzz with (default: 400)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is made up (default: 1)")
    arguments = parser.parse_args()
    explanations = explanations_from_toml(LIST)
    options = ["--seed", str(arguments.seed), "--max-examples", str(arguments.examples)]
    unexplained: list[str] = []
    statuses = Counter[int]()
    for name, (more, assume) in RUNS.items():
        began = time.monotonic()
        with Sandbox(assume=assume) as sandbox, tempfile.TemporaryDirectory() as folder:
            recorded = events(sandbox.base_url, [*options, *more], Path(folder))
        for phase, scenario in scenarios(recorded):
            checks = [check for made in scenario["checks"].values() for check in made]
            answers = [i["response"]["status_code"] for i in scenario["interactions"].values()]
            statuses.update(answers)
            found = complaints(scenario)
            left = explanations.unexplained(found)
            unexplained += left
            answered = ", ".join(
                f"{n} x {status}" for status, n in sorted(Counter(answers).items())
            )
            print(
                f"{name}, {phase}: {len(answers)} requests ({answered}), {len(checks)} checks,"
                f" {len(found)} complaints, {len(left)} of them unexplained"
            )
        print(f"{name}: {time.monotonic() - began:.0f} s")
    print(f"explained in {LIST.name}:\n{explanations.report()}")
    for complaint, count in Counter(unexplained).most_common(20):
        print(f"COMPLAINT ({count}): {complaint}")
    for pattern in explanations.stale():
        print(f"STALE, explains nothing any more: {pattern}")
    print(f"all runs: {', '.join(f'{n} x {status}' for status, n in sorted(statuses.items()))}")
    seldom = too_seldom(statuses)
    for said in seldom:
        print(f"TOO SELDOM: {said}")
    return 1 if unexplained or explanations.stale() or seldom else 0


if __name__ == "__main__":
    sys.exit(main())
