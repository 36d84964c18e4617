"""Print constraints with the lowest version that pyproject.toml allows of each dependency.

The development tools keep their pins of constraints.txt. What either brings along is left open.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_BOUND: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?(?:[=>]=([0-9.]+))?")


def _bounds(requirements: list[str]) -> dict[str, str]:
    """Return the lower bound of each package, by its normal name."""
    found = filter(None, map(_BOUND.match, requirements))
    return {re.sub(r"[-_.]+", "-", bound[1]).lower(): bound[2] or "" for bound in found}


def main() -> None:
    """Print one line for each package."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, groups = declared["project"], declared["dependency-groups"].values()
    extras = project["optional-dependencies"].values()
    lowest = _bounds([*project["dependencies"], *(each for extra in extras for each in extra)])
    tools = _bounds([each for group in groups for each in group if isinstance(each, str)])
    pins = _bounds((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    for name, version in ({name: pins[name] for name in tools if name in pins} | lowest).items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
