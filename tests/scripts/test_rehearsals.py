"""Rehearsals: for each change that the vendor may make, what update_spec says and what then works.

Each row of rehearsals.toml is tried on a copy of the tree: the spec is changed, the package
regenerated, and nothing else is edited but what the row says. STOQAPP_THOROUGH tries all rows so,
else a few.
"""

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import Factory, frozen
from jsonpatch import JsonPatchException, apply_patch
from jsonpointer import JsonPointerException
from trees import ROOT, imported_from

from pipeline import corrections, package
from pipeline.changes import changes, worst
from update_spec import findings

SPEC = {"components": {"schemas": {}}} | json.loads((ROOT / "openapi.json").read_bytes())
BODY = "/paths/~1intents.json/post/requestBody/content/application~1json/schema"
PLACES = {
    "{post}": "/paths/~1intents.json/post",
    "{body}": BODY,
    "{customer}": f"{BODY}/properties/customer/properties",
}


@frozen
class Rehearsal:
    """A row of rehearsals.toml, which explains the fields."""

    patch: list[dict[str, Any]]
    severity: str
    edits: list[str] = Factory(list)
    tries: list[dict[str, Any]] = Factory(lambda: [{"given": {"email": "ada@example.com"}}])
    generated: dict[str, str] = Factory(dict)
    edit: tuple[str, str, str] | None = None
    then: list[dict[str, Any]] = Factory(list)
    quick: bool = False

    def changed(self) -> dict[str, Any]:
        """The spec after the change; skips where the vendor has made it, or left no place."""
        try:
            spec: dict[str, Any] = apply_patch(SPEC, self.patch)
        except (JsonPatchException, JsonPointerException):
            pytest.skip("openapi.json no longer has what this row changes")
        if spec == SPEC:
            pytest.skip("openapi.json is so already")
        return spec


def rehearsals() -> dict[str, Rehearsal]:
    """Each row by its name."""
    text = Path(__file__).with_name("rehearsals.toml").read_text("utf-8")
    for short, place in PLACES.items():
        text = text.replace(short, place)
    return {name: Rehearsal(**row) for name, row in tomllib.loads(text).items()}


REHEARSALS = rehearsals()
THOROUGH = bool(os.environ.get("STOQAPP_THOROUGH"))
TRIED = {name: one for name, one in REHEARSALS.items() if one.tries and (THOROUGH or one.quick)}


@pytest.mark.parametrize("rehearsal", REHEARSALS.values(), ids=REHEARSALS.keys())
def test_the_change_is_classed_and_the_edits_are_named(rehearsal: Rehearsal) -> None:
    """update_spec names each edit that is needed, and none that is not."""
    spec = rehearsal.changed()
    assert rehearsal.severity == worst(changes(SPEC, spec))
    asked = [text for text, is_edit in findings(spec) if is_edit]
    assert len(rehearsal.edits) == len(asked), asked
    assert all(map(str.startswith, asked, rehearsal.edits)), asked


class Tree:
    """A copy of what a changed spec concerns, with the package that is made of it there."""

    def __init__(self, root: Path, spec: dict[str, Any]) -> None:
        self.root, self.package = root, root / "generated" / "stoq_public_api_client"
        for name in ("overlays/stoqapp", "overlays/stoqapp_sandbox", "scripts"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(ROOT / name)
        (root / "openapi.json").write_text(json.dumps(spec), "utf-8")
        patched = corrections.corrected(spec, corrections.load(), "the new spec")
        self.package.parent.mkdir()
        package.replace(self.package, package.build(patched, "", partial=False)[0])

    def edit(self, name: str, there: str, instead: str) -> None:
        """Replace a text in a file, of which a copy is made."""
        folder = (self.root / name).parent
        folder.unlink()
        shutil.copytree(ROOT / Path(name).parent, folder)
        text = (self.root / name).read_text("utf-8")
        assert 1 == text.count(there)
        (self.root / name).write_text(text.replace(there, instead), "utf-8")

    def assert_ends_as_expected(self, tries: list[dict[str, Any]], edits: list[str]) -> None:
        """Assert what client, check and sandbox of the tree make of each request."""
        places = (self.root / name for name in ("overlays", "generated", "scripts"))
        with imported_from(*places):
            from stoqapp import InvalidIntentError, Stoq, check
            from stoqapp.inputs import prepare
            from stoqapp.spec import BASE_URL, INTENTS_PATH, SHOP_HEADER, SPEC
            from stoqapp_sandbox import Sandbox
            from update_spec import findings

            with Sandbox() as sandbox, Stoq("demo", base_url=sandbox.base_url) as stoq:
                for variant, each in enumerate(tries, 1):
                    given = {"variant": variant, "product": 42, **each["given"]}
                    try:
                        stoq.subscribe(**given)
                    except InvalidIntentError as error:
                        found = [[broken.path, broken.rule] for broken in error.violations]
                    else:
                        found = []
                        assert [] == check(prepare(**given).body)
                    assert each.get("breaks", []) == found
                    if found and (more := given.pop("more", {})):
                        # Another client, which checks nothing, is refused by the sandbox.
                        body = prepare(**given).body
                        for path, value in more.items():
                            name, _, field = path.partition(".")
                            body[name][field] = value
                        headers = {SHOP_HEADER: "demo.myshopify.com"}
                        url = sandbox.base_url + INTENTS_PATH
                        assert 400 == httpx.post(url, json=body, headers=headers).status_code
                created = [each for each in tries if "breaks" not in each]
                assert len(created) == len(sandbox.intents)
            stated = json.loads((self.root / "openapi.json").read_bytes())
            assert (stated, stated["servers"][0]["url"]) == (SPEC.document, BASE_URL)
            assert len(edits) == sum(is_edit for _, is_edit in findings(stated))


@pytest.mark.parametrize("rehearsal", TRIED.values(), ids=TRIED.keys())
def test_what_then_works(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """Client, check and sandbox follow the new spec; the edit that is named mends the rest."""
    tree = Tree(tmp_path, rehearsal.changed())
    for name, text in rehearsal.generated.items():
        assert text in (tree.package / name).read_text("utf-8")
    if len(rehearsal.generated) > 1:
        # A new field: no other generated file has changed.
        assert rehearsal.generated.keys() == {
            path.relative_to(tree.package).as_posix()
            for path in tree.package.rglob("*.py")
            if path.read_bytes() != (package.OUTPUT / path.relative_to(tree.package)).read_bytes()
        }
    tree.assert_ends_as_expected(rehearsal.tries, rehearsal.edits)
    if rehearsal.edit:
        tree.edit(*rehearsal.edit)
        tree.assert_ends_as_expected(rehearsal.then, [])
