#!/usr/bin/env python3
"""Bring openapi.json in step with the vendor's page, and explain the change before writing it.

PAGE is a saved Markdown page, a raw OpenAPI file (JSON or YAML) or an https URL; several pages
become one spec. Without PAGE, the page that openapi.json came from is read again
(scripts/openapi_source.json). With --dry-run, the exit code tells the class of the change.
"""

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
CORRECTIONS = ROOT / "scripts" / "corrections.json"


@command
def main(arguments: Sequence[str] | None) -> Exit:
    """Do what the command line asks for."""
    options = parser(__doc__)
    add = options.add_argument
    add("pages", nargs="*", metavar="PAGE", help="see above")
    add("--dry-run", action="store_true", help="explain, and write nothing")
    add("--yes", action="store_true", help="write without asking")
    add(
        "--all",
        action="store_true",
        help="then regenerate, record cassettes, and test",
    )
    chosen = options.parse_args(arguments)
    names = chosen.pages or [page["from"] for page in json.loads(SOURCE.read_bytes())["pages"]]
    read = [spec.read_page(name) for name in names]
    for page in read:
        spec.check(page.document, page.source)
    new = spec.merged(read)
    spec.check(new, " and ".join(names))
    found = changes(json.loads(SPEC.read_bytes()), new)
    explain(new, found)
    if chosen.dry_run:
        severity = worst(found)
        return Exit[severity.upper()] if severity else Exit.DONE
    if found:
        if not chosen.yes and not agreed("update_spec.py", "Write openapi.json?"):
            print("Nothing is written.")
            return Exit.DIFFERS
        SPEC.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", "utf-8")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        origin = [{"from": page.source, "date": today, "sha256": page.sha256} for page in read]
        SOURCE.write_text(json.dumps({"pages": origin}, indent=2) + "\n", "utf-8")
        print("Written: openapi.json and scripts/openapi_source.json.", flush=True)
    if chosen.all:
        regenerate = [sys.executable, "scripts/regenerate.py"]
        record = [sys.executable, "scripts/record_cassettes.py", "--keep-live"]
        for words in (regenerate, record, ["scripts/test"]):
            if subprocess.run(words, cwd=ROOT, check=False).returncode != 0:
                step = next(word for word in words if word.startswith("scripts/"))
                reason = f"{step} failed; see above what to edit, then go on"
                raise RunError(Exit.TOOL, reason)
    return Exit.DONE


def explain(new: dict[str, Any], found: list[Change]) -> None:
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
    kept = [rule.name for rule in RULES]
    for rule, place, words, now in lost_words(new):
        print(f"  {rule}: {place} said {words!r}\n    now: {now}")
        kept = [name for name in kept if name != rule]
    print(f"  still there: {', '.join(kept) or 'none'}")
    print("Corrections:")
    for name, state, fits in fitting(new):
        print(f"  {name}: {state if fits else 'does not fit, see below'}")
    print("To edit by hand:")
    for edit in list(edits(new)) or ["nothing"]:
        print(f"  {edit}")


def lost_words(document: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what rules quote and `document` lacks: the rule, the place, the words, those now."""
    read = readable(document)
    return [
        (rule.name, quote.place, quote.words, one_line(read.words_at(quote.place)) or "nothing")
        for rule in RULES
        for quote in rule.quotes
        if read and quote.words not in read.words_at(quote.place)
    ]


def fitting(document: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield each correction's name, what becomes of it, and whether it fits."""
    document = corrections.without_ignored_headers(document)
    for correction in corrections.load(CORRECTIONS):
        try:
            document, state = correction.apply(document, "the new spec")
        except RunError as error:
            yield correction.name, str(error), False
        else:
            yield correction.name, state, True


def edits(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a person has to edit for a spec; what its schemas state needs no edit."""
    sdk = "overlays/stoqapp"
    for rule, place, _, _ in lost_words(document):
        text = "see whether the rule and its message still hold, and quote the new words for"
        yield f"{sdk}/rules.py, {rule}: {text} {place}"
    for name, state, fits in fitting(document):
        if not fits:
            yield f"scripts/corrections.json, {name}: {state}"
    if (read := readable(document)) is None:
        yield f"{sdk}/spec.py: say where POST {INTENTS_PATH} and its JSON body are now"
        return
    arguments = {row.path for row in INPUTS.values()}
    for place, schema in read.required.items():
        # A field with one possible value is not asked for.
        if len(schema.enum) != 1 and place not in arguments:
            yield f"{sdk}/inputs.py: give {place}, which is required, a row"
    channel, known = read.field("intent.channel"), {one.name for one in CHANNELS}
    for name in sorted(known ^ set(channel.enum if channel else known)):
        what = "take out" if name in known else "add, with its quote,"
        yield f"{sdk}/rules.py, CHANNELS: {what} the channel {name!r}"
    for place, word in _unchecked(read.request):
        yield f"{sdk}/spec.py: {place} states {word}, which is not checked"
    if SHOP_HEADER not in read.headers:
        yield f"{sdk}/spec.py: say in SHOP_HEADER what names the shop now"
    for one in read.parameters:
        # OpenAPI says to ignore the second.
        if one.get("required") and one["name"] not in (SHOP_HEADER, "Content-Type"):
            yield f"{sdk}/settings.py: send the {one['in']} {one['name']}"
    for each in filter(None, read.operation.get("security", document.get("security", ()))):
        yield f"{sdk}/settings.py: give the clients an argument for {', '.join(each)}"


def readable(document: dict[str, Any]) -> Spec | None:
    """Return the spec as the SDK reads it, None if it lacks what the SDK looks for."""
    read = Spec(document)
    try:
        return read if read.request and read.headers else None
    except (KeyError, StopIteration, TypeError):
        return None


def _unchecked(schema: Schema, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield each keyword of a request's schema that `check` passes over, with its place."""
    for word in schema.keywords.keys() - CHECKED - ANNOTATIONS:
        if not word.startswith("x-"):
            yield place or "the request", word
    for name, part in schema.properties.items():
        yield from _unchecked(part, f"{place}.{name}".lstrip("."))
    if schema.items:
        yield from _unchecked(schema.items, f"{place}[]")


if __name__ == "__main__":
    sys.exit(main())
