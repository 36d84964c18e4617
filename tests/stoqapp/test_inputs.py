"""The inputs of subscribe: the request that is made of them, and what the signature shows."""

import inspect
from typing import Any, Literal, get_args

import pytest
from attrs import frozen

from stoq_public_api_client.models.new_intent_channel import NewIntentChannel
from stoqapp import AsyncStoq, Change, InvalidIntentError, Stoq, check
from stoqapp.inputs import INPUTS, prepare
from stoqapp.readers import country_from
from stoqapp.rules import fields_of
from stoqapp.spec import SPEC

# Argument, what is given, the field, and what is sent; None for what is sent as it is.
EVERY_FIELD: list[tuple[str, Any, str, Any]] = [
    ("variant", "gid://shopify/ProductVariant/4711", "intent.shopify_variant_id", 4711),
    ("product", "42", "intent.shopify_product_id", 42),
    ("email", "ada@example.com", "customer.email", None),
    # It may be of another country than the customer.
    ("phone", "07911 123456", "customer.phone", "447911123456"),
    ("push", "push-token", "customer.push", None),
    ("channel", "sms", "intent.channel", None),
    ("quantity", 2, "intent.quantity", None),
    ("market", "gid://shopify/Market/7", "intent.shopify_market_id", 7),
    ("name", "Ada Example", "customer.name", None),
    ("country", "US", "customer.country", country_from("us")),
    ("country_code", "44", "customer.country_code", None),
    ("accepts_marketing", False, "customer.accepts_marketing", None),
    ("locale", "en", "customer.locale", None),
    ("customer_id", "1", "customer.id", None),
    ("customer_market", 8, "customer.shopify_market_id", None),
    ("shopify_customer_id", "gid://shopify/Customer/815", "customer.shopify_customer_id", "815"),
    ("product_title", "Lamp", "product.title", None),
    ("variant_title", "Blue", "product.variant_title", None),
    ("variant_count", 3, "product.variant_count", None),
    ("vendor", "Example", "product.vendor", None),
    ("sku", "LAMP-BLUE", "product.sku", None),
]


def prepared_body(**fields: Any) -> Any:
    return prepare(**{"variant": 1, "product": 2} | fields).body


def violations(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidIntentError) as caught:
        prepared_body(**fields)
    return [(violation.rule, violation.path) for violation in caught.value.violations]


def test_every_argument_arrives_in_its_field() -> None:
    """Each argument arrives in its field of the request, as long as the spec has the field."""
    rows = [row for row in EVERY_FIELD if row[2] in SPEC.fields]
    body = prepared_body(**{name: given for name, given, _, _ in rows})
    expected = {path: given if sent is None else sent for _, given, path, sent in rows}
    fields = fields_of(body)
    assert expected == {path: fields[path] for path in expected}
    assert fields.keys() - expected == {*body, "intent.source"}
    assert {name for name, *_ in EVERY_FIELD} <= set(INPUTS)


def test_no_product_is_sent_when_none_is_described() -> None:
    """The product is left out unless one of its fields is given; the customer is sent."""
    body = prepared_body(push="token", sku=" ")
    assert {"push": "token"} == body["customer"]
    assert {"intent", "customer"} == set(body)


EMAIL, PHONE = {"email": "ada@example.com"}, {"phone": "+15550109999"}
PUSH = {"push": "push-token"}


@pytest.mark.parametrize(
    ("given", "channel"),
    [
        (EMAIL, "email"),
        (PHONE, "sms"),
        (PUSH, "push"),
        (EMAIL | {"phone": "", "push": "\u200b"}, "email"),
        (EMAIL | PHONE | {"channel": "sms"}, "sms"),
        (EMAIL | {"channel": " EMAIL "}, "email"),
        ({}, None),
        ({"email": " "}, None),
        (EMAIL | PHONE, None),
        (PHONE | PUSH, None),
    ],
)
def test_channel(given: dict[str, Any], channel: str | None) -> None:
    """The channel is what was said, or that of the only contact; else it must be given."""
    if channel is None:
        assert [("usable_input", "intent.channel")] == violations(**given)
    else:
        body = prepared_body(**given)
        assert (channel, []) == (body["intent"]["channel"], check(body))


class Missing:
    """Answers a comparison with itself, as pandas' NA does."""

    def __ne__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("nothing", [None, "", " ", "\u200b\n", float("nan"), Missing()])
def test_nothing_stands_for_not_given(nothing: Any) -> None:
    """Every input but the ids may be missing, and the request is that without the input."""
    optional = {name: nothing for name, row in INPUTS.items() if not row.required}
    given: dict[str, Any] = {"variant": 1, "product": 2, "push": "token"}
    assert prepare(**given) == prepare(**(optional | given))


@frozen
class Scalar:
    """A value of another library's type, as NumPy has them."""

    value: object
    dtype = "any"

    def item(self) -> object:
        return self.value


class Index:
    """An integer of another library's type."""

    def __index__(self) -> int:
        return 3


def test_numbers_of_other_libraries() -> None:
    """Integers and booleans of other types are sent as Python's."""
    body = prepared_body(
        variant=Scalar(4711),
        product=Index(),
        quantity=Scalar(2),
        variant_count=Index(),
        accepts_marketing=Scalar(False),
        shopify_customer_id=Scalar(815),
        push=Scalar("token"),
        locale=Scalar(float("nan")),
    )
    expected = {"push": "token", "shopify_customer_id": "815", "accepts_marketing": False}
    assert (expected, {"variant_count": 3}) == (body["customer"], body["product"])
    expected = {"shopify_variant_id": 4711, "shopify_product_id": 3, "quantity": 2}
    assert expected.items() <= body["intent"].items()


def test_more() -> None:
    """Fields can be given by their path, and are sent as they are."""
    body = prepared_body(
        push="token", channel="push", more={"customer.email": " EN ", "product.sku": "LAMP"}
    )
    assert {"push": "token", "email": " EN "} == body["customer"]
    assert {"sku": "LAMP"} == body["product"]


@pytest.mark.parametrize(
    ("more", "path", "reason"),
    [
        ({"customer.emial": "en"}, "more", "did you mean 'customer.email'"),
        ({5: "en"}, "more", "that the API does not have"),
        ({"customer": {}}, "more", "that the API does not have"),
        ({"customer.push": "other"}, "customer.push", "given twice"),
        (["customer.locale"], "more", "must map paths of fields to values, not list"),
    ],
)
def test_more_that_is_unusable(more: Any, path: str, reason: str) -> None:
    """What is not a field, or is an argument already, is refused."""
    with pytest.raises(InvalidIntentError, match=reason) as caught:
        prepared_body(push="token", more=more)
    [violation] = caught.value.violations
    assert ("usable_input", path) == (violation.rule, violation.path)


def test_everything_wrong_is_reported_at_once() -> None:
    """Unusable inputs and the rules that the rest breaks come in one error, each path once."""
    wrong: dict[str, Any] = {"variant": "LAMP", "product": 0, "phone": "12", "country": "USA"}
    wrong |= {"quantity": 0, "accepts_marketing": "yes", "country_code": "e\u200bn"}
    assert violations(**wrong) == [
        ("usable_input", "intent.shopify_variant_id"),
        ("usable_input", "customer.phone"),
        ("usable_input", "customer.country"),
        ("type", "customer.accepts_marketing"),
        ("positive_id", "intent.shopify_product_id"),
        ("positive_quantity", "intent.quantity"),
        ("characters", "customer.country_code"),
    ]


def test_changes() -> None:
    """What was changed is listed by path, without the values; what was not is not listed."""
    prepared = prepare(
        variant="gid://shopify/ProductVariant/1",
        product=2,
        email=" ada@example.com ",
        phone="+1 555 010 9999",
        channel="Email",
        locale="en\u200b",
        market="3",
        shopify_customer_id="4",
    )
    assert prepared.changes == (
        Change("intent.shopify_variant_id", "brought into the API's form"),
        Change("customer.email", "surrounding space removed"),
        Change("customer.phone", "brought into the API's form"),
        Change("intent.channel", "lower-cased"),
        Change("customer.locale", "surrounding invisible characters removed"),
    )
    assert "ada@" not in repr(prepared)
    [inferred] = prepare(variant=1, product=2, push="token").changes
    assert Change("intent.channel", "inferred from the only contact given") == inferred


@pytest.mark.parametrize("method", [Stoq.subscribe, AsyncStoq.subscribe])
def test_the_signature_and_its_help(method: Any) -> None:
    """Both clients show every input with its type, its default and its help."""
    parameters = inspect.signature(method).parameters
    assert [*parameters] == ["self", *INPUTS, "more", "timeout", "total_timeout"]
    assert all(
        (row.type, row.help.split()[0] in inspect.getdoc(method))
        == (parameters[name].annotation, True)
        for name, row in INPUTS.items()
    )
    assert "\n\nArgs:\n" in (inspect.getdoc(method) or "")
    assert Literal[get_args(NewIntentChannel)] | None == parameters["channel"].annotation
    assert 1 == parameters["quantity"].default
    with pytest.raises(TypeError, match=r"subscribe.*'emial'"):
        prepare(variant=1, product=2, emial="ada@example.com")  # type: ignore[call-arg]
