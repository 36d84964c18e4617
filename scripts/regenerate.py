#!/usr/bin/env python3
"""Build generated/stoq_public_api_client from openapi.json with openapi-python-client.

The spec is checked, the corrections of scripts/corrections.json are applied to a copy of it, the
generator and ruff run in a temporary folder, each module that they make is imported, and only then
the result takes the place of the old package. The same spec and tools give the same bytes on
every machine. With --check, exit code 1 says that the package is not what the spec gives.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import corrections, package, spec
from pipeline.exits import ROOT, Exit, command, parser


@command
def main(arguments: Sequence[str] | None) -> Exit:
    """Do what the command line asks for."""
    options = parser(__doc__)
    add = options.add_argument
    add("--check", action="store_true", help="write nothing; list where the package differs")
    text = "go on without the pieces that the generator cannot make, and list them"
    add("--partial", action="store_true", help=text)
    text = "make the package of another spec, uncorrected, in a folder of its name"
    add("--spec", type=Path, metavar="FILE.json", help=text)
    chosen = options.parse_args(arguments)
    path = chosen.spec or ROOT / "openapi.json"
    if path.suffix != ".json":
        options.error(
            f"{path.name} is a page or YAML, not .json; run scripts/update_spec.py with it"
        )
    output = Path(re.sub(r"\W", "_", path.stem)) if chosen.spec else package.OUTPUT
    page = spec.read_page(str(path))
    patches = [] if chosen.spec else corrections.load()
    document = corrections.corrected(page.document, patches, page.source)
    tree, left_out = package.build(document, page.sha256, partial=chosen.partial)
    for line in left_out:
        print(f"left out: {line}")
    differing = package.differences(tree, output)
    if differing and chosen.check:
        print(f"{output} is not what {path.name} gives:", *differing, sep="\n")
        print("To make it so, run this script without --check.", flush=True)
        return Exit.DIFFERS
    if differing:
        package.replace(output, tree)
    news = "written" if differing else "up to date"
    print(f"{output}: {news} ({len(tree)} files)", flush=True)
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
