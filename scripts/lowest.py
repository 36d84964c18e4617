"""Print constraints.txt with the lowest version that pyproject.toml allows of each dependency.

What only the development tools need keeps its pin.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_BOUND: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?>=([0-9.]+)")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Print one line for each package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(each for extra in extras for each in extra)]
    bounds = filter(None, map(_BOUND.match, wanted))
    lowest = {_normal(bound[1]): bound[2] for bound in bounds}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        name = _normal(line.partition("==")[0])
        print(f"{name}=={lowest.pop(name)}" if name in lowest else line)
    for name, version in lowest.items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
