"""Rehearsals: for each change that the vendor may make, what update_spec says and what then works.

Each row is tried on a copy of the tree: the spec is changed, the package regenerated, and nothing
else is edited but what the row says. STOQAPP_THOROUGH tries all rows so, else a few.
"""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import field, frozen
from trees import ROOT, imported_from

import regenerate
from pipeline import package
from pipeline.changes import changes, worst
from update_spec import edits

SPEC = json.loads((ROOT / "openapi.json").read_bytes())
CORRECTIONS = ROOT / "scripts" / "corrections.json"
THOROUGH = bool(os.environ.get("STOQAPP_THOROUGH"))
BY_EMAIL = {"variant": 4711, "product": 42, "email": "ada@example.com"}
Change = Callable[[dict[str, Any]], object]


def operation(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["paths"]["/intents.json"]["post"]
    return found


def body(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation(spec)["requestBody"]["content"]["application/json"]["schema"]
    return found


def section(spec: dict[str, Any], name: str = "customer") -> dict[str, Any]:
    found: dict[str, Any] = body(spec)["properties"][name]
    return found


def customer_field(name: str, **schema: Any) -> Change:
    return lambda spec: section(spec)["properties"].update({name: schema})


def required_consent(spec: dict[str, Any]) -> None:
    """Add a field of the customer that is required."""
    section(spec)["properties"]["consent"] = {"type": "boolean", "description": "Has agreed"}
    section(spec).setdefault("required", []).append("consent")


def whatsapp(spec: dict[str, Any]) -> None:
    channel = section(spec, "intent")["properties"]["channel"]
    channel["enum"].append("whatsapp")
    channel["description"] = channel["description"][:-1] + ", whatsapp requires customer.phone)"


def type_lists(spec: dict[str, Any]) -> None:
    """Write the optional fields as OpenAPI 3.1 does."""
    spec["openapi"] = "3.1.0"
    for name in ("name", "locale", "country"):
        section(spec)["properties"][name]["type"] = ["string", "null"]


def no_content_type(spec: dict[str, Any]) -> None:
    """Leave out the parameter that OpenAPI says to ignore."""
    listed = operation(spec)["parameters"]
    operation(spec)["parameters"] = [each for each in listed if each["name"] != "Content-Type"]


def behind_reference(spec: dict[str, Any]) -> None:
    """Move the request, and each of its sections, into the components."""
    moved = {f"The{name.title()}": section(spec, name) for name in body(spec)["properties"]}
    for name in body(spec)["properties"]:
        body(spec)["properties"][name] = {"$ref": f"#/components/schemas/The{name.title()}"}
    schemas = {"IntentRequest": body(spec), **moved}
    spec.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    content = operation(spec)["requestBody"]["content"]["application/json"]
    content["schema"] = {"$ref": "#/components/schemas/IntentRequest"}


def keyed_operation(spec: dict[str, Any]) -> None:
    """Add another operation, which asks for a key."""
    key = {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
    spec.setdefault("components", {})["securitySchemes"] = {"ApiKeyAuth": key}
    listing = {"responses": {"200": {"description": "All"}}, "security": [{"ApiKeyAuth": []}]}
    spec["paths"]["/external/intents.json"] = {"get": listing | {"operationId": "list_intents"}}


def typed_answer(spec: dict[str, Any]) -> None:
    """Say which fields an intent in the answer has."""
    content = operation(spec)["responses"]["201"]["content"]["application/json"]
    intent = content["schema"]["properties"]["intents"]["items"]
    intent["properties"] = {"id": {"type": "string"}, "created_at": {"type": "string"}}


@frozen
class Try:
    """A request and what becomes of it: the violations that check finds, else it is created."""

    given: dict[str, Any]
    breaks: list[list[str]] = field(factory=list)


@frozen
class Rehearsal:
    """A change of the spec.

    Attributes:
        change: What the vendor does.
        severity: What update_spec classes it as.
        edits: How each line of "To edit by hand" begins; for none, nothing is to edit.
        tries: Arguments of `subscribe`, on the new spec, before anything is edited.
        generated: Texts that generated files then have, by their paths; with two files or more,
            the only ones that change.
        edit: The edit that is asked for: file, text there, its replacement.
        then: Tries after the edit.
        quick: Whether it is tried on a copy of the tree in each run.
    """

    change: Change
    severity: str | None
    edits: tuple[str, ...] = ()
    tries: tuple[Try, ...] = (Try(BY_EMAIL),)
    generated: dict[str, str] = field(factory=dict)
    edit: tuple[str, str, str] | None = None
    then: tuple[Try, ...] = ()
    quick: bool = False


def more(path: str, value: Any, *breaks: list[str]) -> Try:
    return Try({**BY_EMAIL, "more": {path: value}}, list(breaks))


BY_PHONE = {"variant": 4711, "product": 42, "phone": "+44 7911 123456"}
CUSTOMER, REQUEST = "models/customer.py", "models/create_intent_request.py"

REHEARSALS = {
    "optional string": Rehearsal(
        customer_field("nickname", type="string"),
        "compatible",
        tries=(
            more("customer.nickname", "Ada"),
            more("customer.nickname", 7, ["customer.nickname", "type"]),
        ),
        generated={CUSTOMER: "nickname: str | Unset"},
    ),
    "optional array": Rehearsal(
        customer_field("tags", type="array", items={"type": "string"}),
        "compatible",
        tries=(
            more("customer.tags", ["vip"]),
            more("customer.tags", ["vip", 7], ["customer.tags[1]", "type"]),
        ),
        generated={
            CUSTOMER: "tags: list[str] | Unset",
            "typed_dicts.py": "tags: NotRequired[list[str]]",
        },
        quick=True,
    ),
    "removed field": Rehearsal(
        lambda spec: section(spec)["properties"].pop("locale"),
        "breaking",
        tries=(
            Try(BY_EMAIL),
            Try({**BY_EMAIL, "locale": "en"}, [["customer.locale", "usable_input"]]),
        ),
        quick=True,
    ),
    "other pattern": Rehearsal(
        lambda spec: section(spec)["properties"]["country"].update(pattern="^[A-Z]{2}$"),
        "breaking",
        tries=(Try({**BY_EMAIL, "country": "us"}), Try({**BY_EMAIL, "country": "US"})),
    ),
    "new answer": Rehearsal(
        lambda spec: operation(spec)["responses"].update({"422": {"description": "Unusable"}}),
        "compatible",
        generated={"api/intents/create_intent.py": "422"},
    ),
    "vendor's operationId": Rehearsal(
        lambda spec: operation(spec).update(operationId="createCustomerIntent"),
        "prose",
        generated={"api/intents/create_intent.py": "def sync_detailed("},
    ),
    "vendor's title": Rehearsal(
        lambda spec: body(spec).update(title="Intent request"),
        "prose",
        generated={REQUEST: "class CreateIntentRequest"},
    ),
    "no Content-Type": Rehearsal(no_content_type, "prose"),
    "other server": Rehearsal(
        lambda spec: spec["servers"][0].update(url="https://api.stoqapp.com/v2"),
        "breaking",
    ),
    "type lists": Rehearsal(
        type_lists,
        "compatible",
        generated={"typed_dicts.py": "locale: NotRequired[str | None]"},
    ),
    "behind $ref": Rehearsal(
        behind_reference,
        "prose",
        tries=(
            Try(BY_EMAIL),
            Try({**BY_EMAIL, "quantity": 0}, [["intent.quantity", "positive_quantity"]]),
        ),
        generated={REQUEST: "class CreateIntentRequest"},
        quick=True,
    ),
    "OpenAPI 3.1": Rehearsal(lambda spec: spec.update(openapi="3.1.0"), "prose"),
    "reworded": Rehearsal(
        lambda spec: section(spec)["properties"]["name"].update(description="Full name"), "prose"
    ),
    "typed answer": Rehearsal(
        typed_answer, "compatible", generated={"models/created_intent.py": "id: str | Unset"}
    ),
    "new operation": Rehearsal(
        keyed_operation, "compatible", generated={"api/default/list_intents.py": "def _get_kwargs"}
    ),
    "required field": Rehearsal(
        required_consent,
        "breaking",
        edits=("overlays/stoqapp/inputs.py: give customer.consent, which is required, a row",),
        tries=(Try(BY_EMAIL, [["customer.consent", "required"]]), more("customer.consent", True)),
        edit=(
            "overlays/stoqapp/inputs.py",
            "    more: Annotated[\n",
            '    consent: Annotated[bool, "customer.consent", Reading, "has agreed"] = False,\n'
            "    more: Annotated[\n",
        ),
        then=(Try({**BY_EMAIL, "consent": True}),),
    ),
    "new channel": Rehearsal(
        whatsapp,
        "compatible",
        edits=("overlays/stoqapp/rules.py, CHANNELS: add, with its quote, the channel 'whatsapp'",),
        tries=(Try({**BY_PHONE, "channel": "whatsapp"}), Try(BY_PHONE)),
        edit=(
            "overlays/stoqapp/rules.py",
            '    Channel("push",',
            '    Channel("whatsapp", "customer.phone", "whatsapp requires customer.phone"),\n'
            '    Channel("push",',
        ),
        then=(
            Try(BY_PHONE),
            Try(
                {**BY_EMAIL, "channel": "whatsapp"},
                [["customer.phone", "channel_contact"]],
            ),
        ),
        quick=True,
    ),
    "channel gone": Rehearsal(
        lambda spec: section(spec, "intent")["properties"]["channel"]["enum"].remove("push"),
        "breaking",
        edits=("overlays/stoqapp/rules.py, CHANNELS: take out the channel 'push'",),
        tries=(
            Try(BY_EMAIL),
            Try(
                {"variant": 4711, "product": 42, "push": "token"},
                [["intent.channel", "enum"]],
            ),
        ),
    ),
    "changed rule": Rehearsal(
        lambda spec: section(spec)["properties"]["phone"].update(
            description="Customer phone number with country code and '+' (required for sms)"
        ),
        "prose",
        edits=("overlays/stoqapp/rules.py, phone_digits: see whether the rule and its message",),
        edit=(
            "overlays/stoqapp/rules.py",
            "with country code but without '+'",
            "with country code and '+'",
        ),
    ),
    "moved path": Rehearsal(
        lambda spec: spec["paths"].update({"/v2/intents.json": spec["paths"].pop("/intents.json")}),
        "breaking",
        edits=(
            "scripts/corrections.json, operation-create_intent: correction",
            *["scripts/corrections.json, title-"] * 7,
            "overlays/stoqapp/spec.py: say where POST /intents.json and its JSON body are now",
        ),
        tries=(),
    ),
    "no longer JSON": Rehearsal(
        lambda spec: operation(spec)["requestBody"].update(content={"application/xml": {}}),
        "breaking",
        edits=(
            *["scripts/corrections.json, title-"] * 4,
            "overlays/stoqapp/spec.py: say where POST /intents.json and its JSON body are now",
        ),
        tries=(),
    ),
    "own credentials": Rehearsal(
        lambda spec: (keyed_operation(spec), operation(spec).update(security=[{"ApiKeyAuth": []}])),
        "breaking",
        edits=("overlays/stoqapp/settings.py: give the clients an argument for ApiKeyAuth",),
    ),
    "removed section": Rehearsal(
        lambda spec: body(spec)["properties"].pop("product"),
        "breaking",
        edits=("scripts/corrections.json, title-Product: correction 'title-Product' does not fit",),
        tries=(),
    ),
}


def changed(rehearsal: Rehearsal) -> dict[str, Any]:
    """The spec after the change; skips where the vendor has made it, or left no place for it."""
    spec = copy.deepcopy(SPEC)
    try:
        rehearsal.change(spec)
    except (KeyError, IndexError, ValueError):
        pytest.skip("openapi.json no longer has what this row changes")
    if spec == SPEC:
        pytest.skip("openapi.json is so already")
    return spec


@pytest.mark.parametrize("rehearsal", REHEARSALS.values(), ids=REHEARSALS.keys())
def test_the_change_is_classed_and_the_edits_are_named(rehearsal: Rehearsal) -> None:
    """update_spec names each edit that is needed, and none that is not."""
    spec = changed(rehearsal)
    found = changes(SPEC, spec)
    assert rehearsal.severity == worst(found)
    asked = list(edits(spec))
    assert len(rehearsal.edits) == len(asked), asked
    assert all(map(str.startswith, asked, rehearsal.edits)), asked


class Tree:
    """A copy of what a changed spec concerns, with the package that regenerate.py makes there."""

    def __init__(self, root: Path, spec: dict[str, Any]) -> None:
        self.root, self.package = root, root / "generated" / "stoq_public_api_client"
        self.places = [root / name for name in ("overlays", "generated", "scripts")]
        for name in ("overlays/stoqapp", "overlays/stoqapp_sandbox", "scripts"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(ROOT / name)
        self.package.parent.mkdir()
        path = root / "openapi.json"
        path.write_text(json.dumps(spec), "utf-8")
        words = ["--spec", str(path), "--corrections", str(CORRECTIONS)]
        assert 0 == regenerate.main([*words, "--output", str(self.package)])

    def edit(self, name: str, there: str, instead: str) -> None:
        """Replace a text in a file, of which a copy is made."""
        folder = (self.root / name).parent
        folder.unlink()
        shutil.copytree(ROOT / Path(name).parent, folder)
        text = (self.root / name).read_text("utf-8")
        assert 1 == text.count(there)
        (self.root / name).write_text(text.replace(there, instead), "utf-8")

    def assert_ends_as_expected(self, tries: tuple[Try, ...], *, loses_words: bool) -> None:
        """Assert what client, check and sandbox of the tree make of each request."""
        with imported_from(*self.places):
            from stoqapp import InvalidIntentError, Stoq, check
            from stoqapp.inputs import prepare
            from stoqapp.spec import BASE_URL, INTENTS_PATH, SHOP_HEADER, SPEC
            from stoqapp_sandbox import Sandbox
            from update_spec import lost_words

            with Sandbox() as sandbox, Stoq("demo", base_url=sandbox.base_url) as stoq:
                for variant, each in enumerate(tries, 1):
                    given = {**each.given, "variant": variant}
                    try:
                        stoq.subscribe(**given)
                    except InvalidIntentError as error:
                        found = [[broken.path, broken.rule] for broken in error.violations]
                    else:
                        found = []
                        assert [] == check(prepare(**given).body)
                    assert each.breaks == found
                    if found and (more := given.pop("more", {})):
                        # Another client, which checks nothing, is refused by the sandbox.
                        body = prepare(**given).body
                        for path, value in more.items():
                            name, _, field = path.partition(".")
                            body[name][field] = value
                        headers = {SHOP_HEADER: "demo.myshopify.com"}
                        url = sandbox.base_url + INTENTS_PATH
                        assert 400 == httpx.post(url, json=body, headers=headers).status_code
                assert sum(not each.breaks for each in tries) == len(sandbox.intents)
            stated = json.loads((self.root / "openapi.json").read_bytes())
            assert (stated, stated["servers"][0]["url"]) == (SPEC.document, BASE_URL)
            assert loses_words == bool(lost_words(stated))


@pytest.mark.parametrize(
    "rehearsal",
    [
        pytest.param(each, id=name)
        for name, each in REHEARSALS.items()
        if each.tries and (THOROUGH or each.quick)
    ],
)
def test_what_then_works(rehearsal: Rehearsal, tmp_path: Path) -> None:
    """Client, check and sandbox follow the new spec; the edit that is named mends the rest."""
    tree = Tree(tmp_path, changed(rehearsal))
    for name, text in rehearsal.generated.items():
        assert text in (tree.package / name).read_text("utf-8")
    if len(rehearsal.generated) > 1:
        # A new field: no other generated file has changed.
        assert rehearsal.generated.keys() == {
            path.relative_to(tree.package).as_posix()
            for path in tree.package.rglob("*.py")
            if path.read_bytes() != (package.OUTPUT / path.relative_to(tree.package)).read_bytes()
        }
    loses_words = "phone_digits" in "".join(rehearsal.edits)
    tree.assert_ends_as_expected(rehearsal.tries, loses_words=loses_words)
    if rehearsal.edit:
        tree.edit(*rehearsal.edit)
        tree.assert_ends_as_expected(rehearsal.then, loses_words=False)
