"""Nothing that a customer, a shop or the service says reaches a cassette, but what is known."""

import base64
import gzip
import json
import re
import subprocess
import sys
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stoqapp import Answer
from stoqapp.spec import SPEC
from stoqapp_sandbox.cassettes import (
    KEPT_FIELDS,
    KEPT_HEADERS,
    LEFT_OUT,
    SHOP,
    SHOWN_HEADERS,
    STAND_INS,
    TEXT_FIELDS,
    URL,
    RecorderNotInstalledError,
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
} | {
    "name": "Planted Nameperson",
    "email": EMAIL,
    "phone": "15550107777",
    "country": "zz",
}
EVERY = list(CUSTOMER.values())


def found_in(text: str) -> list[str]:
    """Return what of the planted data is in a cassette, also encoded, spaced or spelt otherwise."""
    loaded = json.dumps(yaml.safe_load(text), ensure_ascii=False)
    readings = [text, loaded, unquote(loaded), unquote(unquote(loaded))]
    for word in re.findall(r"[\w+/=-]{16,}", loaded):
        whole = word[: len(word) // 4 * 4]
        readings.append(base64.b64decode(whole, altchars=b"-_").decode("latin-1"))
    told = " ".join(readings)
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
    return kept


@pytest.mark.parametrize(
    "text",
    [
        "Planted Nameperson",
        "p l a n t e d",
        "planted%40example",
        "%2570lanted",
        "555/010/7777",
        "٥٥٥٠١٠٧٧٧٧",
        base64.b64encode(EMAIL.encode()).decode(),
        "1.5550107777e10",
        "a: 986745",
    ],
)
def test_planted_data_is_recognised(text: str) -> None:
    """The search that the tests below rest on finds the planted data in each spelling."""
    assert found_in(json.dumps({"body": text})) != []


TEXTS = {
    "whole address": f"{EMAIL} is taken",
    "local part": "planted.email is taken",
    "host part": "somebody at planted.example.org is taken",
    "capitals": f"<{EMAIL.upper()}>",
    "url-encoded": "planted.email%40example.org is taken",
    "url-encoded twice": "planted.email%2540example.org",
    "base64": base64.b64encode(EMAIL.encode()).decode(),
    "name that was not sent": "Planted Toservice has subscribed already",
    "shop": "planted-shop.myshopify.com is on the free plan",
    "phone with slashes": "555/010/7777 is taken",
    "phone with dots": "(555).010.7777",
    "phone in parts": "1-555 010 - 7777",
    "phone in other digits": "٥٥٥٠١٠٧٧٧٧",
    "ids": "variant 986745 of 132435",
    "after a known sentence": "Not found: planted.email",
    "before a known sentence": "planted: Not found",
    "on the next line": "Not found\nplanted",
    "in a known sentence": "Scripted by the sandbox; try again in 15550107777 seconds",
}
RAW = {
    "everything": json.dumps({"intents": [CUSTOMER | {"customer": CUSTOMER}], "error": EVERY}),
    "keys": '{"planted": 1, "errors": {"planted.email@example.org": ["is taken"]}}',
    "deep": '{"errors":' + "[" * 60 + json.dumps(EVERY) + "]" * 60 + "}",
    "too deep": '{"errors":' + "[" * 9000 + json.dumps(EVERY) + "]" * 9000 + "}",
    "escapes": '{"errors":["\\u0070lanted"],"\\u0065rror":"pl\\u0061nted"}',
    "half a surrogate pair": '{"errors":["planted\\ud800"],"error":"\\udfffplanted"}',
    "names twice": '{"error":"Not found","error":"planted"}',
    "byte order mark": '\ufeff{"errors":["planted"]}',
    "not a number": '{"quantity":NaN,"retry_after":-Infinity,"errors":["planted"]}',
    "endless number": '{"quantity":' + "15550107777" * 500 + "}",
    "html": f"<html><p>{EVERY}</html>",
    "form": "email=planted.email%40example.org",
    "json and more": json.dumps({"error": "Not found"}) + " planted",
}
BYTES = {
    **{name: text.encode("utf-8", "surrogatepass") for name, text in RAW.items()},
    "utf-16": json.dumps({"errors": EVERY, "id": EMAIL}).encode("utf-16"),
    "latin-1": '{"errors":["Plänted planted"]}'.encode("latin-1"),
    "compressed": gzip.compress(json.dumps(EVERY).encode()),
}


@pytest.mark.parametrize("body", BYTES.values(), ids=BYTES)
def test_no_body_of_planted_data_leaves_any(body: bytes) -> None:
    """However a body is written, none of the planted data is in what may be kept of it."""
    assert [] == found_in(json.dumps(scrubbed(body)["body"]["string"].decode()))


def test_no_header_of_planted_data_leaves_any() -> None:
    """Neither known headers nor others keep what is planted in their names and values."""
    values = ["planted", "15550107777", "5550107777", "986745", f"{formatdate(15550107777)}"]
    names = [*KEPT_HEADERS, *map(str.upper, KEPT_HEADERS), "Set-Cookie", "Location", EMAIL]
    assert [] == found_in(json.dumps(scrubbed({}, dict.fromkeys(names, values))["headers"]))


def test_personal_data_never_reaches_a_cassette() -> None:
    """What an answer says of the customer or the shop is not in the text of a cassette."""
    headers = {"set-cookie": EMAIL, "retry-after": "5", "x-planted": "1"}
    said = [Answer(422, headers, body) for body in BYTES.values()]
    text = cassette_of([(SHOWN_HEADERS, b'{"a":1}', answer) for answer in said], "live")
    content = yaml.safe_load(text)
    assert [] == found_in(text)
    assert ({"recorded_from": "live"}, len(BYTES)) == (
        content["metadata"],
        len(content["interactions"]),
    )
    assert {
        "method": "POST",
        "uri": URL,
        "body": '{"a":1}',
        "headers": {"content-type": ["application/json"], "x-shopify-shop-domain": [SHOP]},
    } == content["interactions"][0]["request"]


def test_a_cassette_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vcrpy, the error says what to install."""
    monkeypatch.setitem(sys.modules, "vcr.request", None)
    with pytest.raises(RecorderNotInstalledError, match=r"pip install 'stoqapp\[verify\]'"):
        cassette_of([], "live")


def test_scrubbing_needs_no_extra() -> None:
    """The module is imported, and scrubs, where vcrpy is missing."""
    program = """
import sys
sys.modules["vcr"] = None
from stoqapp_sandbox.cassettes import scrubbed_answer
answer = {"status": {"code": 200}, "headers": {}, "body": {"string": b'{"id":5}'}}
print(scrubbed_answer(answer)["body"]["string"].decode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("", '{"id":1}\n') == (done.stderr, done.stdout)


@pytest.mark.parametrize(
    ("code", "reason"), [(200, "OK"), (404, "Not Found"), (520, ""), (599, ""), (999, "")]
)
def test_the_reason_phrase_is_the_usual_one(code: int, reason: str) -> None:
    """The cassette holds the phrase that belongs to the status, whatever the service said."""
    assert {"code": code, "message": reason} == scrubbed(code=code)["status"]


@pytest.mark.parametrize(
    ("name", "kept", "left_out"),
    [
        (
            "Content-Type",
            ["application/json", "application/json; charset=utf-8", "TEXT/HTML;charset=UTF-8"],
            ["", "application/x-planted", "application/json; boundary=1", "application/json\n"],
        ),
        (
            "Retry-After",
            ["0", "58", "99999"],
            ["", "-1", "1.5", "100000", "58\n", "５", "Mon, 23 Nov 2026 09:00:00 GMT"],
        ),
        ("X-RateLimit-Limit", ["360", "0"], ["", "100000", "360, 360", "+360", " 360"]),
        ("X-RateLimit-Remaining", ["358"], ["358 of 360"]),
    ],
)
def test_the_values_of_headers(name: str, kept: list[str], left_out: list[str]) -> None:
    """Of a listed header a value is written when it has the header's form, else a placeholder."""
    expected = {name.lower(): [*kept, *[LEFT_OUT] * len(left_out)]}
    assert expected == scrubbed(headers={name: [*kept, *left_out]})["headers"]


def test_a_header_in_two_spellings_keeps_all_its_values() -> None:
    """Names in another case are the same header, and no other header is written."""
    headers = {"RETRY-AFTER": ["5"], "retry-after": ["x", "6"], "Date": ["x"], "Set-Cookie": ["x"]}
    assert {"retry-after": ["5", LEFT_OUT, "6"]} == scrubbed(headers=headers)["headers"]


def test_the_end_of_a_window_is_replaced() -> None:
    """The moment in X-RateLimit-Reset, whatever it says, is a fixed one in a cassette."""
    headers = {"X-RateLimit-Reset": ["1795420620"]}
    assert {"x-ratelimit-reset": ["1767225660"]} == scrubbed(headers=headers)["headers"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"errors": ["Not found", ""]}, {"errors": ["Not found", ""]}),
        ({"errors": None, "error": False}, {"errors": None, "error": False}),
        ({"error": "not found"}, {"error": LEFT_OUT}),
        ({"error": "Too Many Requests"}, {"error": "Too Many Requests"}),
        (
            {"message": "No points left; try again in 24 seconds"},
            {"message": "No points left; try again in 24 seconds"},
        ),
        (
            {"message": "No points left; try again in 240000 seconds"},
            {"message": LEFT_OUT},
        ),
        (
            {"errors": {"email": ["x"], "x": 1}},
            {"errors": {"email": [LEFT_OUT]}},
        ),
        ({"errors": [5, 1.5]}, {"errors": [LEFT_OUT] * 2}),
        ({"error": {"type": "api"}}, {"error": {"type": LEFT_OUT}}),
        ({"retry_after": 24}, {"retry_after": 24}),
        ({"retry_after": 100_000}, {"retry_after": LEFT_OUT}),
        ({"retry_after": "24"}, {"retry_after": LEFT_OUT}),
        ({"quantity": 999}, {"quantity": 999}),
        ({"quantity": 1000}, {"quantity": LEFT_OUT}),
        ({"quantity": 1.0}, {"quantity": LEFT_OUT}),
        ({"channel": "sms", "source": "api"}, {"channel": "sms", "source": "api"}),
        ({"channel": "fax", "source": "app"}, {"channel": LEFT_OUT, "source": LEFT_OUT}),
        ({"type": "back_in_stock"}, {"type": "back_in_stock"}),
        ({"optin_confirmed": True}, {"optin_confirmed": True}),
        ({"optin_confirmed": "true"}, {"optin_confirmed": LEFT_OUT}),
        ({"id": "abc", "customer_id": 5}, {"id": "1", "customer_id": 1}),
        ({"id": 1.5}, {"id": 1}),
        ({"shopify_variant_id": 5}, {"shopify_variant_id": 4711}),
        ({"shopify_variant_id": "5"}, {"shopify_variant_id": "4711"}),
        ({"email": "", "phone": None}, {"email": "", "phone": None}),
        ({"email": 5, "phone": 5}, {"email": "ada@example.com", "phone": 15550109999}),
        ({"created_at": "today"}, {"created_at": "2026-01-01T00:00:00.000Z"}),
        ({"created_at": 5}, {"created_at": "2026-01-01T00:00:00.000Z"}),
        ({"intents": [{"id": "5", "x": 1}, "x"]}, {"intents": [{"id": "1"}, LEFT_OUT]}),
        ({"intents": None}, {"intents": None}),
        (["x", 5, None], [LEFT_OUT, LEFT_OUT, None]),
        ("x", LEFT_OUT),
        (None, None),
    ],
)
def test_the_fields_of_a_body(said: object, kept: object) -> None:
    """A field is written as it is, replaced in its type, left out, or dropped."""
    assert kept == json.loads(scrubbed(said)["body"]["string"])


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", b""),
        (b"<html>", LEFT_OUT.encode()),
        (b"\xff", LEFT_OUT.encode()),
        (b"[" * 100_000, LEFT_OUT.encode()),
    ],
)
def test_a_body_that_is_no_json(body: bytes, kept: bytes) -> None:
    """Of anything but JSON the length is written."""
    assert kept == scrubbed(body)["body"]["string"]


LOUD = st.sampled_from([*EVERY, *TEXTS.values(), "planted", 15550107777, 1.5550107777, 986745])
NAMES = st.sampled_from([*KEPT_FIELDS, *STAND_INS, *sorted(TEXT_FIELDS), "intents", *EVERY, "x"])
BODIES = st.recursive(
    LOUD | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=30,
)
HEADERS = st.dictionaries(
    st.sampled_from([*KEPT_HEADERS, "Retry-After", "Set-Cookie", EMAIL]),
    st.lists(LOUD.map(str), max_size=3),
)


@given(body=BODIES, headers=HEADERS, code=st.integers(100, 999))
def test_no_answer_of_planted_data_leaves_any(
    body: object, headers: dict[str, list[str]], code: int
) -> None:
    """Whatever the answer is built of, none of the planted data is in what may be kept of it."""
    kept = scrubbed(body, headers, code)
    kept["body"]["string"] = kept["body"]["string"].decode()
    assert [] == found_in(json.dumps(kept))


@given(body=st.binary(), value=st.text(), code=st.integers(100, 999))
def test_scrubbing_never_fails(body: bytes, value: str, code: int) -> None:
    """Any bytes as a body and any text as a header come to an answer that can be written."""
    kept = scrubbed(body, {name: [value] for name in KEPT_HEADERS}, code)
    assert {"status", "headers", "body"} == set(kept)
    assert kept["body"]["string"].decode() is not None
