"""Write the wheel's list of components (CycloneDX, PEP 770); hatchling runs it at each build."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement


def components(root: Path) -> list[dict[str, Any]]:
    """Return what in the wheel this project did not write by hand."""
    spec = (root / "openapi.json").read_bytes()
    vendor = json.loads(spec)["info"]
    groups = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    generator = next(one for one in groups["regenerate"] if one.startswith("openapi-python-client"))
    digest = {"alg": "SHA-256", "content": hashlib.sha256(spec).hexdigest()}
    client = "stoq_public_api_client"
    made_by = f"Generated from openapi.json by {generator}"
    return [
        {"type": "data", "name": vendor["title"], "version": vendor["version"], "hashes": [digest]},
        {"type": "library", "name": client, "description": made_by},
    ]


class Sbom(BuildHookInterface[Any]):
    """Hatchling's hook."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Add the file to the wheel."""
        core = self.metadata.core
        name, version = core.name, self.metadata.version
        needed = [f"pkg:pypi/{Requirement(one).name}" for one in core.dependencies]
        package = {"bom-ref": name, "type": "library", "name": name, "version": version}
        package |= {"purl": f"pkg:pypi/{name}@{version}"}
        found = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": package | {"components": components(Path(self.root))}},
            "components": [
                {"bom-ref": purl, "type": "library", "name": purl.rpartition("/")[2], "purl": purl}
                for purl in needed
            ],
            "dependencies": [{"ref": name, "dependsOn": needed}],
        }
        self.place = Path(self.directory) / f"{name}.cdx.json"
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.place.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        build_data["sbom_files"].append(str(self.place))

    def finalize(self, *_: object) -> None:
        """Leave the wheel alone behind."""
        self.place.unlink()
