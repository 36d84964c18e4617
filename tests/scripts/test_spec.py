"""openapi.json and what the code takes from it: where the two part, a sentence says what to do."""

import copy
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonpointer import JsonPointerException, resolve_pointer

from pipeline.document import pointer
from stoqapp import RULES
from stoqapp.body import INTENTS_PATH, SECTIONS
from stoqapp.inputs import request_from_fields
from stoqapp.rules import (
    CONTACT_OF_CHANNEL,
    FIELDS,
    OPERATION,
    REQUIRED_SECTIONS,
    SCHEMA,
    SHOP_HEADER,
    Field,
    Rule,
)
from stoqapp.settings import BASE_URL

NOTHING = object()
SPEC = json.loads((Path(__file__).parents[2] / "openapi.json").read_text("utf-8"))
CHANNEL = f"{SCHEMA}/properties/intent/properties/channel"

RECORD = "record the cassettes anew (scripts/record_cassettes.py)"
INPUTS = (
    "the arguments of normalize.request_from_fields and of both subscribe methods in client.py,"
    " and the options in cli.py"
)
TEXTS = "see README.md and CHANGELOG.md"


def found_at(document: Any, place: str) -> Any:
    """What `document` holds at the JSON Pointer `place`, or NOTHING."""
    try:
        return resolve_pointer(document, place, NOTHING)
    except JsonPointerException:
        return NOTHING


def first_difference(expected: Any, found: Any, place: str = "") -> tuple[str, Any, Any]:
    """Where two unequal values first differ: a JSON Pointer below `place`, and both values there.

    NOTHING stands for a member or an item that one of them lacks.
    """
    sides: list[tuple[Any, Any, Any]] = []
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = expected | found
        sides = [(key, expected.get(key, NOTHING), found.get(key, NOTHING)) for key in keys]
    elif isinstance(expected, list) and isinstance(found, list):
        pairs = itertools.zip_longest(expected, found, fillvalue=NOTHING)
        sides = [(index, *pair) for index, pair in enumerate(pairs)]
    for key, one, other in sides:
        if one != other:
            return first_difference(one, other, place + pointer(key))
    return place, expected, found


def told_apart(expected: Any, found: Any, limit: int = 120) -> tuple[str, str]:
    """Two values as short JSON for a message, cut so that it shows where they differ."""
    texts = [
        "nothing" if value is NOTHING else json.dumps(value, ensure_ascii=False)
        for value in (expected, found)
    ]
    pairs = enumerate(itertools.zip_longest(*texts))
    differs_at = next((at for at, (one, other) in pairs if one != other), 0)
    # Some of what is alike is told, too, for people to find the place by.
    start = max(0, differs_at - limit // 2) if max(map(len, texts)) > limit else 0
    one, other = (
        ("…" if start else "") + text[start : start + limit] + "…" * (len(text) > start + limit)
        for text in texts
    )
    return one, other


def members(document: Any, place: str) -> dict[str, Any]:
    """Return the object at a JSON Pointer; where there is none, another test says so."""
    found = found_at(document, place)
    return found if isinstance(found, dict) else {}


def operation(document: Any) -> Iterator[str]:
    """The operation is at the path where client, sandbox and corrections look for it."""
    if not members(document, OPERATION):
        there = [
            f"{method.upper()} {path}"
            for path, item in members(document, "/paths").items()
            for method in item
        ]
        yield (
            f"openapi.json has no POST {INTENTS_PATH}; it has {', '.join(there) or 'no path'}: set"
            " stoqapp.body.INTENTS_PATH, and the places in scripts/corrections.json, to where the"
            f" operation is now; run scripts/regenerate.py; {RECORD}"
        )


def server(document: Any) -> Iterator[str]:
    """The client goes to the first server."""
    url = found_at(document, "/servers/0/url")
    if url != BASE_URL:
        expected, found = told_apart(BASE_URL, url)
        yield (
            f"the first server of openapi.json is {found}, and the client goes to {expected}: set"
            f" stoqapp.settings.BASE_URL to it; {RECORD}, since they hold the URL; {TEXTS}"
        )


def credentials(document: Any) -> Iterator[str]:
    """Nobody is asked for a key."""
    for place in ("/security", f"{OPERATION}/security", "/components/securitySchemes"):
        if found_at(document, place) is not NOTHING:
            yield (
                f"openapi.json speaks of credentials at {place}, and the client sends none: give"
                f" Stoq and AsyncStoq an argument for them, in stoqapp.settings; {TEXTS}"
            )


def parameters(document: Any) -> Iterator[str]:
    """The parameters are the two headers that the client sends."""
    listed = found_at(document, f"{OPERATION}/parameters")
    names = [parameter.get("name") for parameter in listed] if isinstance(listed, list) else []
    expected = [SHOP_HEADER, "Content-Type"]
    if members(document, OPERATION) and names != expected:
        yield (
            f"the operation takes the parameters {names}, where the client sends {expected}: send"
            " what is new from stoqapp.settings.settings_from (the shop's header is"
            " stoqapp.rules.SHOP_HEADER, and first, which its rule's source points to)"
        )
    elif names and listed[0].get("schema") != {"type": "string"}:
        yield (
            f"the header {SHOP_HEADER} has the schema {json.dumps(listed[0].get('schema'))}, which"
            " says more than that it is a string: let stoqapp.rules.shop_domain ask for it"
        )


def sections(document: Any) -> Iterator[str]:
    """The body's sections are the generated models in SECTIONS, each written out in place."""
    schema = members(document, SCHEMA)
    if members(document, OPERATION) and not members(document, f"{SCHEMA}/properties"):
        yield (
            f"the body's schema is not written out at {SCHEMA}, which holds {sorted(schema)}: let"
            " stoqapp.rules.SCHEMA and Field.pointer lead to where it is now"
        )
        return
    stated = members(document, f"{SCHEMA}/properties")
    for name in stated.keys() - SECTIONS.keys():
        yield (
            f"the body has a section {name!r}, which is new: add its generated model to"
            f" stoqapp.body.SECTIONS, its fields to stoqapp.rules.FIELDS, and {INPUTS}"
        )
    for name in SECTIONS.keys() - stated.keys() if schema else ():
        yield (
            f"the body has no section {name!r} any more: take it out of stoqapp.body.SECTIONS and"
            " stoqapp.rules.FIELDS, or give it its new name there"
        )
    known = {"type", "required", "properties", "description"}
    for place, part in (("the body", schema), *((f"section {n!r}", s) for n, s in stated.items())):
        for keyword in sorted(part.keys() - known):
            yield (
                f"{place} has the keyword {keyword!r}, which no rule looks at: write one in"
                " stoqapp.rules that does, and name the keyword here"
            )


def declared(document: Any) -> dict[str, dict[str, Any]]:
    """Return each field's schema by its path, but for the description."""
    return {
        f"{section}.{name}": {key: value for key, value in field.items() if key != "description"}
        for section in members(document, f"{SCHEMA}/properties").keys() & SECTIONS.keys()
        for name, field in members(document, f"{SCHEMA}/properties/{section}/properties").items()
    }


def stated_by(field: Field) -> dict[str, Any]:
    """Return what FIELDS says of a field, as a schema would say it."""
    stated = {"type": field.type, "enum": list(field.enum), "pattern": field.pattern}
    return {keyword: value for keyword, value in stated.items() if value}


def fields(document: Any) -> Iterator[str]:
    """FIELDS says of every field what the schema says, and of no other."""
    schemas = declared(document)
    stated = {field.path: stated_by(field) for field in FIELDS}
    for path in sorted(schemas.keys() - stated.keys()):
        yield (
            f"{path} is new: add it to stoqapp.rules.FIELDS as {json.dumps(schemas[path])}, and to"
            f" {INPUTS} (or give it the place of a field that has gone)"
        )
    for path in sorted(stated.keys() - schemas.keys()) if schemas else ():
        yield (
            f"{path} is gone: take it out of stoqapp.rules.FIELDS, out of {INPUTS}, and out of the"
            " requests in scripts/record_cassettes.py and the tests; or give it its new name there"
        )
    for path in sorted(schemas.keys() & stated.keys()):
        for keyword in sorted(schemas[path].keys() | stated[path].keys()):
            said, says = (side.get(keyword, NOTHING) for side in (stated[path], schemas[path]))
            if said == says or (path, keyword) == ("intent.channel", "enum"):
                continue
            if keyword not in ("type", "enum", "pattern"):
                yield (
                    f"{path} has the keyword {keyword!r} ({json.dumps(says)}), which no rule looks"
                    " at: write one in stoqapp.rules that does, and name the keyword here"
                )
                continue
            expected, found = told_apart(said, says)
            yield (
                f"the {keyword} of {path} is {found} in openapi.json, and {expected} in"
                f" stoqapp.rules.FIELDS: change it there, and see {INPUTS}; {TEXTS}"
            )


def required(document: Any) -> Iterator[str]:
    """What the schema requires is what FIELDS and REQUIRED_SECTIONS require."""
    schema = members(document, SCHEMA)
    if schema and schema.get("required", []) != list(REQUIRED_SECTIONS):
        yield (
            f"the body requires {schema.get('required', [])}, and stoqapp.rules.REQUIRED_SECTIONS"
            f" says {list(REQUIRED_SECTIONS)}: set it to the same"
        )
    for section, content in members(document, f"{SCHEMA}/properties").items():
        wanted = content.get("required", [])
        known = {field.name: field for field in FIELDS if field.section == section}
        for name in wanted:
            if name in known and not known[name].required:
                yield (
                    f"{section}.{name} is required now: set required=True in stoqapp.rules.FIELDS,"
                    f" and do without a default in {INPUTS}"
                )
            elif name not in known:
                yield f"{section}.{name} is required, too: see what is said of it as a new field"
        for name, field in known.items():
            if field.required and name not in wanted:
                yield (
                    f"{section}.{name} is no longer required: set required=False in"
                    f" stoqapp.rules.FIELDS, and give it a default in {INPUTS}"
                )


def channels(document: Any) -> Iterator[str]:
    """Each channel that the schema lists has a contact, and no other has one."""
    listed = found_at(document, f"{CHANNEL}/enum")
    if not isinstance(listed, list):
        return
    for channel in listed:
        if channel not in CONTACT_OF_CHANNEL:
            yield (
                f"the channel {channel!r} is new: add it to stoqapp.rules.CONTACT_OF_CHANNEL with"
                " the field of the customer that it needs, and that field to the contacts in"
                f" stoqapp.inputs.request_from_fields; {TEXTS}"
            )
    for channel in CONTACT_OF_CHANNEL:
        if channel not in listed:
            yield (
                f"the channel {channel!r} is gone: take it out of stoqapp.rules.CONTACT_OF_CHANNEL"
                f" and of the contacts in stoqapp.inputs.request_from_fields; {TEXTS}"
            )


LOOKS: tuple[Callable[[Any], Iterator[str]], ...] = (
    operation,
    server,
    credentials,
    parameters,
    sections,
    fields,
    required,
    channels,
)


def quoted(rule: Rule, document: Any) -> Iterator[str]:
    """Each place that a rule stands on says what the rule quotes."""
    for source in rule.sources:
        found = found_at(document, source.pointer)
        if found != source.text and members(document, OPERATION):
            place, *sides = first_difference(source.text, found, source.pointer)
            was, says = told_apart(*sides)
            yield (
                f"rule {rule.name!r} stands on {place}, which said {was} and says {says}: see"
                f" whether stoqapp.rules.{rule.find.__name__} and its message still ask for what it"
                " says, then quote it in the sources of the rule (in FIELDS, if they are made of"
                f" it); {TEXTS}"
            )


def places(document: Any, keyword: str, words: str = "") -> set[str]:
    """Return the pointers below the schema at which the keyword stands with the words."""
    found = set()
    for section in members(document, f"{SCHEMA}/properties"):
        base = f"{SCHEMA}/properties/{section}"
        names = members(document, f"{base}/properties")
        for place in (base, *(f"{base}/properties/{name}" for name in names)):
            part = members(document, place)
            if keyword in part and words in str(part[keyword]):
                found.add(f"{place}/{keyword}")
    return found


def stating(document: Any) -> dict[str, set[str]]:
    """Return the places of the spec that state each rule, by the rule's name."""
    return {
        "required": {f"{SCHEMA}/required"} | places(document, "required"),
        "type": places(document, "type"),
        "enum": places(document, "enum"),
        "pattern": places(document, "pattern"),
        "channel_contact": places(document, "description", "required if channel is ")
        | places(document, "description", "requires customer."),
        "phone_digits": places(document, "description", "without '+'"),
        "phone_e164": places(document, "description", "with country code"),
        "positive_id": {
            f"{field.pointer}/description"
            for field in FIELDS
            if field.name.endswith("_id") and field.type == "integer"
        },
        "positive_quantity": {f"{SCHEMA}/properties/intent/properties/quantity/description"},
        "sendable": {f"{OPERATION}/requestBody/required"},
        "shop_domain": {f"{OPERATION}/parameters/0/description"},
    }


def sourced(rule: Rule, document: Any) -> Iterator[str]:
    """The sources of a rule are all places of the spec that state it, and no others."""
    named, there = {source.pointer for source in rule.sources}, stating(document)[rule.name]
    for place in sorted(there - named):
        yield (
            f"{place} states rule {rule.name!r}, too, and is not among its sources: see whether"
            f" stoqapp.rules.{rule.find.__name__} heeds it, then add it (for a field that is new,"
            " by adding it to FIELDS)"
        )
    for place in sorted(named - there) if members(document, OPERATION) else ():
        yield (
            f"rule {rule.name!r} has the source {place}, where openapi.json does not state it any"
            f" more: see whether stoqapp.rules.{rule.find.__name__} still has a reason, then take"
            " the source out (for a field that is gone, by taking it out of FIELDS)"
        )


def tell(sentences: Iterator[str]) -> None:
    """Fail with all the sentences, if there are any."""
    if told := list(sentences):
        pytest.fail("\n".join(told), pytrace=False)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
def test_the_code_follows_the_spec(look: Callable[[Any], Iterator[str]]) -> None:
    """What the code takes from openapi.json is what stands there."""
    tell(look(SPEC))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_quotes_the_spec(rule: Rule) -> None:
    """Each rule stands on a place of openapi.json, and the words there have not changed."""
    assert rule.sources
    tell(quoted(rule, SPEC))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_stands_on_every_place_that_states_it(rule: Rule) -> None:
    """No place of openapi.json states a rule without being one of its sources."""
    tell(sourced(rule, SPEC))


@pytest.fixture
def _in_step() -> None:
    """Leave out what tries changes on top of openapi.json while that has changed itself."""
    looks = (quoted, sourced)
    told = [*(look(SPEC) for look in LOOKS), *(look(r, SPEC) for r in RULES for look in looks)]
    if any(list(sentences) for sentences in told):
        pytest.skip("openapi.json and the code have parted, which other tests here tell")


@pytest.mark.usefixtures("_in_step")
@pytest.mark.parametrize(("channel", "contact"), CONTACT_OF_CHANNEL.items())
def test_each_channel_has_a_contact_that_people_can_give(channel: str, contact: str) -> None:
    """A channel's contact is a text field of the customer, and subscribe infers the channel."""
    assert f"customer.{contact}" in {field.path for field in FIELDS if field.type == "string"}
    given: dict[str, Any] = {contact: "+1 555 010 9999" if contact == "phone" else "a@example.com"}
    request, _ = request_from_fields(variant=4711, product=42, **given)
    assert channel == request.intent.channel, (
        f"let normalize.request_from_fields infer the channel {channel!r} from {contact}"
    )


def changed(place: str, change: Callable[[Any], object]) -> Any:
    """Return the spec with *change* made to what lies at *place*."""
    document = copy.deepcopy(SPEC)
    change(resolve_pointer(document, place))
    return document


def setting(name: str, value: Any) -> Callable[[Any], object]:
    return lambda holder: holder.__setitem__(name, value)


def renaming(old: str, new: str) -> Callable[[Any], object]:
    return lambda holder: holder.__setitem__(new, holder.pop(old))


BODY, INTENT, CUSTOMER = f"{SCHEMA}/properties", "intent/properties", "customer/properties"
TOKEN = {"in": "header", "name": "X-Token", "required": True, "schema": {"type": "string"}}


@pytest.mark.usefixtures("_in_step")
@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        ("/paths", renaming("/intents.json", "/v2/intents"), "wire.INTENTS_PATH"),
        ("/paths", renaming("/intents.json", "/v2/intents"), "it has POST /v2/intents"),
        ("/paths", dict.clear, "it has no path"),
        ("/servers/0", setting("url", "https://api.example.com/v2"), "settings.BASE_URL to it"),
        ("/servers", list.clear, "is nothing, and the client goes to"),
        (OPERATION, setting("security", [{"Key": []}]), "credentials at /paths/~1intents.json"),
        ("", setting("security", [{"Key": []}]), "credentials at /security"),
        (f"{OPERATION}/parameters", lambda found: found.append(TOKEN), "'X-Token'"),
        (f"{OPERATION}/parameters", list.reverse, "rules.SHOP_HEADER, and first"),
        (f"{OPERATION}/parameters/0/schema", setting("pattern", "^a$"), "let stoqapp.rules.shop"),
        (SCHEMA, lambda schema: (schema.clear(), schema.update({"$ref": "#/x"})), "['$ref']"),
        (SCHEMA, setting("additionalProperties", False), "the body has the keyword 'addit"),
        (SCHEMA, setting("required", ["intent"]), "REQUIRED_SECTIONS says ['intent', 'customer']"),
        (f"{BODY}/product", setting("minProperties", 1), "section 'product' has the keyword"),
        (BODY, setting("consent", {"type": "object"}), "a section 'consent', which is new"),
        (BODY, lambda found: found.pop("product"), "no section 'product' any more"),
        (f"{BODY}/{CUSTOMER}", setting("nick", {"type": "string"}), "customer.nick is new: add"),
        (f"{BODY}/{CUSTOMER}", renaming("locale", "language"), "customer.locale is gone: take"),
        (f"{BODY}/{CUSTOMER}", renaming("locale", "language"), "customer.language is new: add"),
        (
            f"{BODY}/{INTENT}/quantity",
            setting("type", "string"),
            'type of intent.quantity is "string" in openapi.json, and "integer" in stoqapp.rules',
        ),
        (f"{BODY}/{INTENT}/source", setting("enum", ["api", "app"]), "enum of intent.source is"),
        (f"{BODY}/{INTENT}/source", dict.clear, "enum of intent.source is nothing in"),
        (f"{BODY}/{CUSTOMER}/locale", setting("pattern", "^a$"), "pattern of customer.locale is"),
        (f"{BODY}/{CUSTOMER}/email", setting("format", "email"), "the keyword 'format'"),
        (f"{BODY}/intent/required", lambda found: found.append("x"), "intent.x is required, too"),
        (f"{BODY}/customer", setting("required", ["email"]), "customer.email is required now"),
        (f"{BODY}/intent/required", lambda found: found.remove("source"), "no longer required"),
        (f"{CHANNEL}/enum", lambda found: found.append("fax"), "the channel 'fax' is new: add it"),
        (f"{CHANNEL}/enum", lambda found: found.remove("push"), "the channel 'push' is gone: take"),
    ],
)
def test_what_the_vendor_changes_is_told(
    place: str, change: Callable[[Any], object], told: str
) -> None:
    """Of each change that the code has to follow, a sentence says where."""
    document = changed(place, change)
    sentences = [sentence for look in LOOKS for sentence in look(document)]
    assert any(told in sentence for sentence in sentences), sentences


@pytest.mark.usefixtures("_in_step")
@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("/info", setting("version", "1.1.0")),
        (f"{BODY}/intent", setting("description", "What is wanted")),
        (f"{BODY}/{CUSTOMER}/name", setting("description", "The name")),
        (f"{OPERATION}/responses", setting("404", {"description": "Not found"})),
    ],
)
def test_what_nobody_has_to_follow_is_passed_over(
    place: str, change: Callable[[Any], object]
) -> None:
    """A release number, a text that no rule quotes or another answer asks for nothing here."""
    document = changed(place, change)
    assert [] == [sentence for look in LOOKS for sentence in look(document)]
    looks = (quoted, sourced)
    assert [] == [told for rule in RULES for look in looks for told in look(rule, document)]


@pytest.mark.usefixtures("_in_step")
@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (
            f"{BODY}/{CUSTOMER}/phone",
            setting("description", "With '+' (required if channel is sms)"),
            "rule 'phone_digits' stands on",
        ),
        (
            f"{BODY}/{CUSTOMER}/phone",
            setting("description", "With '+' (required if channel is sms)"),
            "customer/properties/phone/description, where openapi.json does not state it",
        ),
        (f"{BODY}/{CUSTOMER}/locale", setting("pattern", "^a$"), "locale/pattern states rule"),
        (
            f"{BODY}/{CUSTOMER}/name",
            setting("description", "The name (required if channel is sms)"),
            "name/description states rule 'channel_contact', too",
        ),
        (f"{BODY}/intent/required", list.reverse, "intent/required/0, which said"),
        (f"{BODY}/{INTENT}", lambda found: found.pop("quantity"), "and says nothing: see whether"),
        (f"{OPERATION}/requestBody", setting("required", False), "said true and says false"),
    ],
)
def test_what_a_rule_stands_on_is_told(
    place: str, change: Callable[[Any], object], told: str
) -> None:
    """Where the vendor's words for a rule change, a sentence names the rule and the place."""
    document = changed(place, change)
    looks = (quoted, sourced)
    sentences = [said for rule in RULES for look in looks for said in look(rule, document)]
    assert any(told in sentence for sentence in sentences), sentences
