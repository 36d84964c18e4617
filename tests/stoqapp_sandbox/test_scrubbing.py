"""Nothing that a customer, a shop or the service says reaches a cassette, but what is known."""

import gzip
import json
import sys
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stoqapp import Answer, ConfigurationError
from stoqapp.spec import SPEC
from stoqapp_sandbox.cassettes import (
    KEPT_NAMES,
    LEFT_OUT,
    SHOP,
    SHOWN_HEADERS,
    URL,
    cassette_of,
    scrubbed_answer,
)

# What is looked for in a cassette, whatever the spelling: this word, and these digits.
WORD = "planted"
DIGITS = ("0107777", "986745", "132435")
EMAIL = "planted.email@example.org"
CUSTOMER = {
    name: f"planted-{name}"
    for name, schema in SPEC.request.properties["customer"].properties.items()
    if "string" in schema.types
} | {"name": "Planted Nameperson", "email": EMAIL, "phone": "15550107777"}
EVERY = list(CUSTOMER.values())


def found_in(text: str) -> list[str]:
    """Return what of the planted data is in a cassette, also spaced or spelt otherwise."""
    told = text + unquote(json.dumps(yaml.safe_load(text), ensure_ascii=False))
    letters = "".join(filter(str.isalpha, told)).lower()
    numbers = "".join(str(int(digit)) for digit in told if digit.isdecimal())
    return [WORD] * (WORD in letters) + [digits for digits in DIGITS if digits in numbers]


def scrubbed(
    body: object = None, headers: dict[str, list[str]] | None = None, code: int = 200
) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = {
        "status": {"code": code, "message": "planted"},
        "headers": headers or {},
        "body": {"string": raw},
        "planted": "planted",
    }
    kept = scrubbed_answer(answer)
    assert kept == scrubbed_answer(kept), "scrubbing it again changes it"
    kept["body"]["string"] = kept["body"]["string"].decode()
    return kept


TEXTS = [
    "p l a n t e d",
    f"<{EMAIL.upper()}>",
    "%70lanted.email%40example.org is taken",
    "planted-shop.myshopify.com is on the free plan",
    "1-555 010 - 7777",
    "٥٥٥٠١٠٧٧٧٧",
    "1.5550107777e10",
    "variant 986745 of 132435",
    "Not found\nplanted",
    "Scripted by the sandbox; try again in 15550107777 seconds",
]


def test_planted_data_is_recognised() -> None:
    """The search that the tests below rest on finds the planted data in each spelling."""
    assert [] == [text for text in TEXTS if not found_in(json.dumps({"body": text}))]


BYTES = [
    json.dumps({"intents": [CUSTOMER | {"customer": CUSTOMER}], "error": EVERY}).encode(),
    b'{"planted": 1, "errors": {"planted.email@example.org": ["is taken"]}}',
    b'{"errors":' + b"[" * 9000 + json.dumps(EVERY).encode() + b"]" * 9000 + b"}",
    b'{"errors":["planted\\ud800"],"error":"\\udfffplanted"}',
    b'{"error":"Not found","error":"planted"}',
    b'{"quantity":' + b"15550107777" * 500 + b"}",
    f"<html><p>{EVERY}</html>".encode(),
    json.dumps({"errors": EVERY, "id": EMAIL}).encode("utf-16"),
    gzip.compress(json.dumps(EVERY).encode()),
]
LOUD = st.sampled_from([*EVERY, *TEXTS, 15550107777, 1.5550107777, 986745])
NAMES = st.sampled_from([*sorted(KEPT_NAMES), *EVERY, "RETRY-AFTER", "Set-Cookie"])
BODIES = st.binary() | st.recursive(
    LOUD | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=30,
)


@given(
    body=BODIES,
    headers=st.dictionaries(NAMES, st.lists(LOUD.map(str), max_size=3)),
    code=st.integers(100, 999),
)
def test_no_answer_of_planted_data_leaves_any(
    body: object, headers: dict[str, list[str]], code: int
) -> None:
    """Whatever the answer is built of, it can be written, and none of the planted data is in it."""
    assert [] == found_in(json.dumps(scrubbed(body, headers, code)))


def test_personal_data_never_reaches_a_cassette() -> None:
    """What an answer says of the customer or the shop is not in the text of a cassette."""
    headers = {"set-cookie": EMAIL, "retry-after": "5", "x-planted": "1"}
    said = [Answer(422, headers, body) for body in BYTES]
    text = cassette_of([(SHOWN_HEADERS, b'{"a":1}', answer) for answer in said], "live")
    content = yaml.safe_load(text)
    assert [] == found_in(text)
    assert {"recorded_from": "live"} == content["metadata"]
    assert len(BYTES) == len(content["interactions"])
    assert {
        "method": "POST",
        "uri": URL,
        "body": '{"a":1}',
        "headers": {"content-type": ["application/json"], "x-shopify-shop-domain": [SHOP]},
    } == content["interactions"][0]["request"]


def test_a_cassette_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vcrpy, the error says what to install; scrubbing goes on."""
    for name in ("vcr", "vcr.request"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'stoqapp\[verify\]'"):
        cassette_of([], "live")
    assert '{"id":1}' == scrubbed({"id": 5})["body"]["string"]


def test_the_reason_phrase_is_the_usual_one() -> None:
    """The cassette holds the phrase that belongs to the status, whatever the service said."""
    phrases = {code: scrubbed(code=code)["status"]["message"] for code in (200, 404, 520)}
    assert {200: "OK", 404: "Not Found", 520: ""} == phrases


@pytest.mark.parametrize(
    ("name", "kept", "left_out"),
    [
        ("Content-Type", ["application/json; charset=utf-8"], ["application/x-planted"]),
        ("Retry-After", ["0", "99999"], ["-1", "1.5", "100000", "58\n", "５", "Mon, 23 Nov"]),
        ("RETRY-AFTER", ["58"], []),
        ("X-RateLimit-Limit", ["360"], ["360, 360", " 360", "358 of 360"]),
    ],
)
def test_the_values_of_headers(name: str, kept: list[str], left_out: list[str]) -> None:
    """Of a listed header a value is written when it is known, else a placeholder."""
    headers = {"Date": ["planted"], name: [*kept, *left_out]}
    expected = {name.lower(): [*kept, *[LEFT_OUT] * len(left_out)]}
    assert expected == scrubbed(headers=headers)["headers"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"errors": ["Not found"], "error": False}, {"errors": ["Not found"], "error": False}),
        ({"error": "not found"}, {"error": LEFT_OUT}),
        (
            {"errors": {"email": ["x", "Not found"], "x": 1}},
            {"errors": {"email": [LEFT_OUT, "Not found"]}},
        ),
        ({"retry_after": 24, "quantity": 100_000}, {"retry_after": 24, "quantity": LEFT_OUT}),
        ({"channel": "sms", "source": "app"}, {"channel": "sms", "source": LEFT_OUT}),
        ({"id": "abc", "customer_id": 5}, {"id": "1", "customer_id": 1}),
        ({"email": "", "phone": None}, {"email": "", "phone": None}),
        ({"email": 5, "phone": 5}, {"email": "ada@example.com", "phone": 15550109999}),
        ({"intents": [{"id": "5", "x": 1}, "x"]}, {"intents": [{"id": "1"}, LEFT_OUT]}),
        (["x", 5, None], [LEFT_OUT, 5, None]),
    ],
)
def test_the_fields_of_a_body(said: object, kept: object) -> None:
    """A field is written as it is, replaced in its type, left out, or dropped."""
    assert kept == json.loads(scrubbed(said)["body"]["string"])


@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"", ""), (b"<html>", LEFT_OUT), (b"\xff", LEFT_OUT), (b'"Not found"', '"Not found"')],
)
def test_a_body_that_is_not_an_object(body: bytes, kept: str) -> None:
    """What is not JSON is left out; an empty body stays empty."""
    assert kept == scrubbed(body)["body"]["string"]
