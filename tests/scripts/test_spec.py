"""openapi.json and what the code takes from it: if they differ, a sentence says what to do."""

import re
from collections.abc import Iterator

import pytest

from stoqapp import RULES
from stoqapp.inputs import INPUTS
from stoqapp.rules import CHANNELS, Quote, Rule
from stoqapp.spec import ANNOTATIONS, CHECKED, SHOP_HEADER, SPEC, Schema


def schemas(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield the schema and each one below it, with its path."""
    yield path or "the request", schema
    for name, part in schema.properties.items():
        yield from schemas(part, f"{path}.{name}".removeprefix("."))
    if schema.items:
        yield from schemas(schema.items, f"{path}[]")


QUOTES = [(rule, quote) for rule in RULES for quote in rule.quotes]


@pytest.mark.parametrize(
    ("rule", "quote"), QUOTES, ids=[f"{rule.name}-{quote.place}" for rule, quote in QUOTES]
)
def test_each_rule_quotes_the_spec(rule: Rule, quote: Quote) -> None:
    """The words that a rule enforces stand in the file."""
    words = SPEC.words_at(quote.place)
    assert quote.words in words, (
        f"rule {rule.name!r} enforces {quote.words!r} of {quote.place}, where openapi.json now says"
        f" {words!r}: change stoqapp.rules.{rule.name} and its quote to what it says"
    )


def test_each_channel_is_listed_with_its_contact() -> None:
    """Each channel of the file has its line in CHANNELS, and its contact has an argument."""
    channel = SPEC.field("intent.channel")
    assert channel is not None
    assert {one.name for one in CHANNELS} == set(channel.enum), (
        "give each channel of intent.channel a line in stoqapp.rules.CHANNELS, with the field that"
        " it needs and the vendor's words for that"
    )
    assert {one.contact for one in CHANNELS} <= {row.path for row in INPUTS.values()}


def test_each_required_field_has_an_argument() -> None:
    """What the file requires can be given by an argument of its own, unless it has one value."""
    required = {path for path, schema in SPEC.required.items() if len(schema.enum) != 1}
    missing = required - {row.path for row in INPUTS.values()}
    assert not missing, f"give {sorted(missing)} a parameter in stoqapp.inputs.prepare"


def test_each_keyword_is_checked() -> None:
    """The request's schemas state nothing that `check` passes over, and no unusable pattern."""
    for path, schema in schemas(SPEC.request):
        passed_over = schema.keywords.keys() - CHECKED - ANNOTATIONS
        passed_over = {keyword for keyword in passed_over if not keyword.startswith("x-")}
        assert not passed_over, f"let stoqapp.spec check {passed_over} of {path}"
        assert schema.pattern is None or isinstance(schema.pattern, re.Pattern)


def test_the_client_sends_every_required_header() -> None:
    """The operation requires the shop's header, and no other that the client does not send."""
    required = {name for name, header in SPEC.headers.items() if header.get("required")}
    assert SHOP_HEADER in required
    assert required - {"Content-Type"} == {SHOP_HEADER}, (
        "send the other headers from stoqapp.settings"
    )


def test_the_operation_needs_no_credentials() -> None:
    """The client sends no key, and the operation asks for none."""
    asked = SPEC.operation.get("security", SPEC.document.get("security", ()))
    assert not any(asked), "give Stoq and AsyncStoq an argument for the credentials"
