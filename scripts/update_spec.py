#!/usr/bin/env python3
"""Bring openapi.json in step with the vendor's page, and explain the change before writing it.

PAGE is a saved Markdown page, a raw OpenAPI file (JSON or YAML) or an https URL; several pages
become one spec. Without PAGE, the page that openapi.json came from is read again
(scripts/openapi_source.json). With --dry-run, the exit code tells the class of the change.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from pipeline import advice, changes, document, pages
from pipeline.exits import ROOT, Exit, RunError, command, parser
from stoqapp.rules import RULES

SPEC = ROOT / "openapi.json"
SOURCE = ROOT / "scripts" / "openapi_source.json"
CORRECTIONS = ROOT / "scripts" / "corrections.json"


@command
def main(arguments: Sequence[str] | None) -> Exit:
    """Do what the command line asks for."""
    options = parser(__doc__)
    add = options.add_argument
    add("pages", nargs="*", metavar="PAGE", help="see above")
    add("--dry-run", action="store_true", help="explain, and write nothing")
    add("--yes", action="store_true", help="write without asking")
    text = "then run scripts/regenerate.py and scripts/test as well"
    add("--all", action="store_true", help=text)
    chosen = options.parse_args(arguments)
    names = chosen.pages or [page["from"] for page in json.loads(SOURCE.read_bytes())["pages"]]
    read = [pages.read_page(name) for name in names]
    for page in read:
        document.check(page.document, page.source)
    new = pages.merged(read)
    document.check(new, " and ".join(names))
    old = document.parsed(SPEC.read_bytes(), "openapi.json")
    found = changes.changes(old, new)
    explain(new, found)
    if chosen.dry_run:
        severity = changes.worst(found)
        return Exit[severity.upper()] if severity else Exit.DONE
    if found:
        if not chosen.yes and not agreed():
            print("Nothing is written.")
            return Exit.DIFFERS
        SPEC.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", "utf-8")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        origin = [{"from": page.source, "date": today, "sha256": page.sha256} for page in read]
        SOURCE.write_text(json.dumps({"pages": origin}, indent=2) + "\n", "utf-8")
        print("Written: openapi.json and scripts/openapi_source.json.", flush=True)
    if chosen.all:
        for words in ([sys.executable, "scripts/regenerate.py"], ["scripts/test"]):
            if subprocess.run(words, cwd=ROOT, check=False).returncode != 0:
                reason = f"{words[-1]} failed; see above what to edit, then go on"
                raise RunError(Exit.TOOL, reason)
    return Exit.DONE


def explain(new: dict[str, Any], found: list[changes.Change]) -> None:
    """Print what changed, what became of rules and corrections, and what to edit by hand."""
    if not found:
        print("Nothing new: openapi.json says what the page says.")
        return
    operation = ""
    for change in found:
        if change.operation != operation:
            operation = change.operation
            print(f"{operation}:")
        print(f"  {change.severity:10}  {change}")
    print("Words that rules quote:")
    there = {rule.name: True for rule in RULES}
    for rules, place, words, now in advice.lost_words(new):
        print(f"  {', '.join(rules)}: {place} said {words!r}\n    now: {now}")
        there |= dict.fromkeys(rules, False)
    print(f"  still there: {', '.join(name for name in there if there[name]) or 'none'}")
    print("Corrections:")
    for name, state, fits in advice.fitting(new, CORRECTIONS):
        print(f"  {name}: {state if fits else 'does not fit, see below'}")
    print("To edit by hand:")
    for edit in list(advice.edits(found, new, CORRECTIONS)) or ["nothing"]:
        print(f"  {edit}")


def agreed() -> bool:
    """Ask whether to write; no answer is a no."""
    print("Write openapi.json? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())
