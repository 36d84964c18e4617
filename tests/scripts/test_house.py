"""What holds of the project's files: the tables about them, pins, and what may not be in one."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from stoqapp import RULES

ROOT = Path(__file__).parents[2]


def tracked() -> list[str]:
    """Return the files that git knows, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def test_the_table_of_rooms_is_complete() -> None:
    """CONTRIBUTING.md says of each folder, and of each module of stoqapp, what it is for, and names
    nothing that has gone."""
    overlay = ROOT / "overlays" / "stoqapp"
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.partition("## Where a change goes")[2].partition("\n## ")[0]
    named = re.findall(r"`(?:overlays/stoqapp/)?([\w./]+\.\w+|[\w./]+/)`", table)
    modules = {path.name for path in overlay.glob("[!_]*.py")}
    modules |= {f"{path.parent.name}/" for path in overlay.glob("*/__init__.py")}
    assert set() == modules - set(named), "add them to the table"
    folders = {f"{name.partition('/')[0]}/" for name in tracked() if "/" in name}
    assert [] == [one for one in folders if not re.search(f"`{one}", table)], "add them, too"
    assert [] == [one for one in named if not any((at / one).exists() for at in (ROOT, overlay))]


@pytest.mark.parametrize("origin", ["spec", "stoqapp"])
def test_every_rule_is_in_the_docs(origin: str) -> None:
    """docs/rules.md lists each rule once, as the vendor's or as ours, and no other rule."""
    text = (ROOT / "docs/rules.md").read_text("utf-8").partition("## Inputs")[0]
    stated, said, ours = text.partition("These go beyond the vendor's words")
    assert said
    rows = re.findall(r"^\| (`.*?) \|", stated if origin == "spec" else ours, re.M)
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    # The schemas' rules and those of inputs and of JSON are not among RULES.
    more = {
        "spec": ["required", "type", "enum", "pattern", "bounds"],
        "stoqapp": ["sendable", "usable_input"],
    }
    expected = [*(rule.name for rule in RULES if rule.origin == origin), *more[origin]]
    assert sorted(expected) == sorted(listed)


def test_the_overlay_uses_no_underscore_name_of_the_generated_code() -> None:
    """What openapi-python-client keeps to itself, the overlay does not touch."""
    for path in sorted((ROOT / "overlays").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stoq_public"):
                assert [] == [each.name for each in node.names if each.name.startswith("_")], path
                assert "._" not in (node.module or ""), path


def test_pins_agree() -> None:
    """What pyproject.toml pins exactly, constraints.txt and the wheel's SBOM state alike."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    exact = {pin for group in groups.values() for pin in group if "==" in pin}
    assert exact <= set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    made_by = (ROOT / "scripts" / "stoqapp.cdx.json").read_text("utf-8")
    assert all(pin in made_by for pin in exact if not pin.startswith("ruff"))


def test_no_file_names_this_machine() -> None:
    """No tracked file holds a home directory or the address of a package registry."""
    needles = [
        b"/home" + b"/",
        b"/root" + b"/",
        b"files.python" + b"hosted",
        b"registry.npm" + b"js",
    ]
    for name in tracked():
        content = (ROOT / name).read_bytes()
        assert [] == [needle for needle in needles if needle in content], name
