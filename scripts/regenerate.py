#!/usr/bin/env python3
"""Build generated/stoq_public_api_client from openapi.json with openapi-python-client.

The spec is checked, the corrections of scripts/corrections.json are applied to a copy of it, the
generator and ruff run in a temporary folder, each module that they make is imported, and only then
the result takes the place of the old package. The same spec and tools give the same bytes on
every machine.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.exits import ROOT, Exit, command, parser, shown

CORRECTIONS = ROOT / "scripts" / "corrections.json"


@command
def main(arguments: Sequence[str] | None) -> Exit:
    """Do what the command line asks for."""
    options = parser(__doc__)
    add = options.add_argument
    add("--check", action="store_true", help="write nothing; list where the package differs")
    add("--spec", type=Path, metavar="FILE", help="another spec, as JSON; needs --output")
    add("--output", type=Path, metavar="DIR", help="the package folder, replaced as a whole")
    text = "JSON Patches (default: scripts/corrections.json; none with --spec)"
    add("--corrections", type=Path, metavar="FILE", help=text)
    text = "go on without the pieces that the generator cannot make, and list them"
    add("--partial", action="store_true", help=text)
    chosen = options.parse_args(arguments)
    if chosen.spec and not chosen.output:
        options.error("--spec needs --output, the package folder to write")
    # Here, so that --help works and a missing tool is told.
    from pipeline import corrections, package, spec

    output = (chosen.output or package.OUTPUT).resolve()
    if not output.name.isidentifier():
        options.error(f"--output: {output.name!r} cannot be the name of a package")
    path = chosen.spec or ROOT / "openapi.json"
    content = spec.read_file(path)
    document = spec.parsed(content, path.name)
    spec.check(document, path.name)
    patches = chosen.corrections or (None if chosen.spec else CORRECTIONS)
    patched = corrections.corrected(
        document, corrections.load(patches) if patches else [], path.name
    )
    tree, left_out = package.build(patched, content, partial=chosen.partial)
    for line in left_out:
        print(f"left out: {line}")
    lines = package.differences(tree, output)
    if lines and chosen.check:
        print(f"{shown(output)} is not what {path.name} gives:", *lines, sep="\n")
        print("To make it so, run this script without --check.", flush=True)
        return Exit.DIFFERS
    if lines:
        package.replace(output, tree)
    news = "written" if lines else "up to date"
    print(f"{shown(output)}: {news} ({len(tree)} files)", flush=True)
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
