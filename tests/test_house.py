"""How the project is built: public names, arrows, and what may not be in a file."""

import ast
import json
import subprocess
import tomllib
from pathlib import Path

import pytest

import stoqapp
import stoqapp.sandbox

ROOT = Path(__file__).parent.parent
OVERLAY = sorted((ROOT / "overlays").rglob("*.py"))


@pytest.mark.parametrize("package", [stoqapp, stoqapp.sandbox], ids=lambda p: p.__name__)
def test_public_names_are_listed(package: object) -> None:
    """__all__ is sorted the way ruff sorts it, and each name in it is there."""
    names = package.__all__
    assert all(hasattr(package, name) for name in names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", OVERLAY, ids=lambda path: path.stem)
def test_the_overlay_uses_no_underscore_name_of_the_generated_code(path: Path) -> None:
    """What openapi-python-client keeps to itself, the overlay does not touch."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stoq_public"):
            assert [alias.name for alias in node.names if alias.name.startswith("_")] == []
            assert "._" not in (node.module or "")


def test_the_spec_is_stored_as_published() -> None:
    """openapi.json is pretty-printed with two spaces, in UTF-8, with a final newline."""
    text = (ROOT / "openapi.json").read_bytes().decode("utf-8")
    assert json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n" == text


def test_pins_agree() -> None:
    """What pyproject.toml pins exactly, constraints.txt pins alike."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    exact = {pin for group in groups.values() for pin in group if "==" in pin}
    assert exact
    assert exact <= set((ROOT / "constraints.txt").read_text("utf-8").splitlines())


def test_no_file_names_this_machine() -> None:
    """No tracked file holds a home directory or the address of a package registry."""
    needles = [
        b"/home" + b"/",
        b"/root" + b"/",
        b"files.python" + b"hosted",
        b"registry.npm" + b"js",
    ]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        content = (ROOT / name).read_bytes()
        assert [needle for needle in needles if needle in content] == [], name
