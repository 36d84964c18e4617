#!/usr/bin/env python3
"""Bring openapi.json in step with the vendor's page, and explain the change before writing it.

PAGE is a saved Markdown page, a raw OpenAPI file (JSON or YAML) or an https URL; several pages
become one spec. Without PAGE, the page that openapi.json came from is read again
(scripts/openapi_source.json). With --dry-run, the exit code tells the class of the change, and
0 that there is none. If you say no, it is 1.
"""

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from pipeline import corrections, spec
from pipeline.changes import Change, changes, worst
from pipeline.exits import ROOT, Exit, RunError, command, one_line, parser
from stoqapp.inputs import INPUTS
from stoqapp.rules import CHANNELS, RULES
from stoqapp.spec import ANNOTATIONS, CHECKED, INTENTS_PATH, SHOP_HEADER, Schema, Spec
from stoqapp.terminal import agreed

SPEC = ROOT / "openapi.json"
SOURCE = ROOT / "scripts" / "openapi_source.json"
STEPS = ("scripts/regenerate.py", "scripts/record_cassettes.py --keep-live", "scripts/test")
SDK = "overlays/stoqapp"


@command
def main(arguments: Sequence[str] | None) -> Exit:
    """Do what the command line asks for."""
    options = parser(__doc__)
    add = options.add_argument
    add("pages", nargs="*", metavar="PAGE", help="see above")
    add("--dry-run", action="store_true", help="explain, and write nothing")
    add("--yes", action="store_true", help="write without asking")
    add("--all", action="store_true", help="then regenerate, record cassettes, and test")
    chosen = options.parse_args(arguments)
    names = chosen.pages or [page["from"] for page in json.loads(SOURCE.read_bytes())["pages"]]
    read = [spec.read_page(name) for name in names]
    new = spec.merged(read)
    found = changes(json.loads(SPEC.read_bytes()), new)
    explain(new, found)
    if chosen.dry_run:
        severity = worst(found)
        return Exit[f"{severity.upper()}_CHANGE"] if severity else Exit.DONE
    if found:
        if not chosen.yes and not agreed("update_spec.py", "Write openapi.json?"):
            print("Nothing is written.")
            return Exit.DIFFERS
        SPEC.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", "utf-8")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        origin = [{"from": page.source, "date": today, "sha256": page.sha256} for page in read]
        SOURCE.write_text(json.dumps({"pages": origin}, indent=2) + "\n", "utf-8")
        print("Written: openapi.json and scripts/openapi_source.json.", flush=True)
    for step in STEPS if chosen.all else ():
        python = [sys.executable] if ".py" in step else []
        if subprocess.run([*python, *step.split()], cwd=ROOT, check=False).returncode != 0:
            raise RunError(f"{step} failed; see above what to edit, then go on", Exit.BAD_TOOL)
    return Exit.DONE


def explain(new: dict[str, Any], found: list[Change]) -> None:
    """Print what changed, which rules and corrections still fit, and what to edit by hand."""
    if not found:
        print("Nothing new: openapi.json says what the page says.")
        return
    for operation, concerned in groupby(found, key=lambda change: change.operation):
        print(f"{operation}:")
        for change in concerned:
            print(f"  {change.severity:10}  {change.text}")
    told = list(findings(new))
    for title, is_meant in (("Still right:", False), ("To edit by hand:", True)):
        texts = [text for text, is_edit in told if is_edit is is_meant]
        print(title, *texts or ["nothing"], sep="\n  ")


def findings(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield for a new spec what became of each rule and correction, and what else to edit.

    With each comes whether it is an edit. What the spec's schemas state needs none.
    """
    patched = corrections.without_ignored_headers(document)
    for correction in corrections.load():
        try:
            before, patched = patched, correction.apply(patched, "the new spec")
            state = "done already" if patched == before else "applied"
            yield f"scripts/corrections.json, {correction.name}: {state}", False
        except RunError as error:
            yield f"scripts/corrections.json, {correction.name}: {error}", True
    read = Spec(document)
    try:
        headers, unchecked, _ = read.headers, list(_unchecked(read.request)), read.base_url
    except (LookupError, StopIteration, TypeError, re.error) as error:
        text = f"{SDK}/spec.py: read server, JSON body and headers of POST {INTENTS_PATH} anew"
        yield f"{text}: {error!r}", True
        return
    for rule in RULES:
        lost = [quote for quote in rule.quotes if quote.words not in read.words_at(quote.place)]
        if not lost:
            yield f"{SDK}/rules.py, {rule.name}: its words are still there", False
        for place, words in lost:
            text = f"{SDK}/rules.py, {rule.name}: see whether the rule and its message still hold"
            now = one_line(read.words_at(place)) or "nothing"
            yield (
                f"{text}, and quote the new words\n    {place} said: {words}\n    now: {now}",
                True,
            )
    arguments = [f"{row.path}." for row in INPUTS.values()]
    sections = {name: read.request.properties[name] for name in read.request.required}
    for place, schema in (sections | read.required).items():
        # A field with one possible value is not asked for.
        if len(schema.enum) != 1 and not any(one.startswith(f"{place}.") for one in arguments):
            yield f"{SDK}/inputs.py: give {place}, which is required, a row", True
    channel, known = read.field("intent.channel"), {one.name for one in CHANNELS}
    for name in sorted(known ^ set(channel.enum if channel else known)):
        what = "take out" if name in known else "add, with its quote,"
        yield f"{SDK}/rules.py, CHANNELS: {what} the channel {name!r}", True
    for place, word in unchecked:
        yield f"{SDK}/spec.py: {place} states {word}, which is not checked", True
    if SHOP_HEADER not in headers:
        yield f"{SDK}/spec.py: say in SHOP_HEADER what names the shop now", True
    for one in read.parameters:
        # OpenAPI says to ignore the second.
        if one.get("required") and one["name"] not in (SHOP_HEADER, "Content-Type"):
            yield f"{SDK}/settings.py: send the {one['in']} {one['name']}", True
    for each in filter(None, read.operation.get("security", document.get("security", ()))):
        yield f"{SDK}/settings.py: give the clients an argument for {', '.join(each)}", True


def _unchecked(schema: Schema, place: str = "", *above: Schema) -> Iterator[tuple[str, str]]:
    """Yield each keyword of a request's schema that `check` passes over, with its place."""
    if schema.keywords in [each.keywords for each in above]:
        # The schema holds itself.
        return
    for word in schema.keywords.keys() - CHECKED - ANNOTATIONS:
        if not word.startswith("x-"):
            yield place or "the request", word
    parts = {f"{place}.{name}".lstrip("."): part for name, part in schema.properties.items()}
    for name, part in (parts | ({f"{place}[]": schema.items} if schema.items else {})).items():
        yield from _unchecked(part, name, *above, schema)


if __name__ == "__main__":
    sys.exit(main())
