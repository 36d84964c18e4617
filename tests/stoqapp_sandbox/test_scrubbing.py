"""Nothing that a customer, a shop or the service says reaches a cassette, but what is known."""

import base64
import gzip
import json
import logging
import re
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import yaml
from attrs import field, frozen
from conftest import recorded_at
from faults import FaultServer, Script, answers, http
from hypothesis import given
from hypothesis import strategies as st

from record_cassettes import AS_IT_COMES, SCENARIOS, Scenario, main, record
from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent
from stoqapp import Stoq
from stoqapp.rules import FIELDS
from stoqapp_sandbox import Sandbox
from stoqapp_sandbox.cassettes import (
    KEPT_FIELDS,
    KEPT_HEADERS,
    LEFT_OUT,
    SHOP,
    STAND_INS,
    TEXT_FIELDS,
    URL,
    RecorderNotInstalledError,
    ShownRequest,
    recording,
    scrubbed_answer,
)

NOW = 1_800_000_000.0
DUPLICATE = next(scenario for scenario in SCENARIOS if scenario.name == "duplicate")

# What is looked for in a cassette, whatever the spelling: this word, and these digits.
WORD = "planted"
DIGITS = ("0107777", "986745", "132435")
EMAIL = "planted.email@example.org"
CUSTOMER = {
    "id": "planted-id",
    "name": "Planted Nameperson",
    "email": EMAIL,
    "phone": "15550107777",
    "push": "planted-push",
    "country_code": "planted-code",
    "country": "zz",
    "locale": "planted-locale",
    "shopify_customer_id": "planted-customer",
}
EVERY = list(CUSTOMER.values())


def sent_request() -> CreateIntentRequest:
    return CreateIntentRequest(
        intent=NewIntent(986745, 132435, "email", 1, "api"), customer=Customer(**CUSTOMER)
    )


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


def test_the_planted_fields_are_all_there_are() -> None:
    """Every text field of a customer is planted in the tests below."""
    assert set(CUSTOMER) == {
        f.name for f in FIELDS if f.section == "customer" and f.type == "string"
    }


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


@frozen
class Leak:
    """A way in which an answer can hold what the customer gave, or what is known of them."""

    name: str
    script: Script = field(repr=False)
    status: int = 200


def in_reason(reason: str, status: int = 200) -> Leak:
    return Leak(
        f"reason {reason} of {status}", answers(http(status, b"{}", reason=reason.encode())), status
    )


def in_header(*lines: str, status: int = 200) -> Leak:
    raw = [line.encode() for line in lines]
    return Leak(f"header {'; '.join(lines)}", answers(http(status, b"{}", *raw)), status)


def in_body(name: str, body: object, *headers: bytes, status: int = 200) -> Leak:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Leak(f"body {name}", answers(http(status, raw, *headers)), status)


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
FIELD_VALUES: dict[str, object] = {
    "text": "Planted Nameperson",
    "phone": "15550107777",
    "number": 15550107777,
    "negative number": -15550107777,
    "decimal": 15550107777.5,
    "list": [EVERY],
    "object of unknown names": {"planted": 1},
    "object of known names": {"name": EMAIL, "quantity": 15550107777},
}
LEAKS = [
    in_reason(f"OK {EMAIL}"),
    in_reason("Planted", 429),
    in_reason("Planted", 599),
    in_reason("15550107777", 404),
    *[
        in_header(f"{name}: {value}")
        for name in (*KEPT_HEADERS, *map(str.upper, KEPT_HEADERS))
        for value in (
            "planted",
            "15550107777",
            "5550107777",
            "986745",
            "-986745",
            "application/json; name=planted",
            "Mon, 23 Nov 2026 09:00:00 GMT (planted)",
            f"{formatdate(15550107777, usegmt=True)}, planted",
        )
    ],
    in_header("Retry-After: 5", "Retry-After: planted", "RETRY-AFTER: 15550107777"),
    in_header("X-RateLimit-Limit: 360", "x-ratelimit-limit: 360, planted"),
    in_header(f"Set-Cookie: who={EMAIL}", "Set-Cookie: phone=15550107777"),
    in_header("X-Customer: Planted Nameperson", "X-Planted-Nameperson: 1"),
    in_header(f"X-Request-Id: {EMAIL}", "Date: planted", "Server: planted", "ETag: 15550107777"),
    in_header(f"Location: https://shop.example.com/?email={EMAIL}&phone=15550107777", status=302),
    in_header("Location: https://planted-shop.myshopify.com/986745", status=307),
    *[
        in_body(f"{name} in {key} of {status}", {key: shape}, status=status)
        for name, text in TEXTS.items()
        for key, shape, status in (
            ("errors", [text], 200),
            ("errors", {"email": [text]}, 422),
            ("error", text, 404),
            ("message", text, 500),
        )
    ],
    *[
        in_body(f"{name} as {key}", {"intents": [{key: value}], key: value}, status=201)
        for key in (*KEPT_FIELDS, *STAND_INS, *sorted(TEXT_FIELDS), "intents", "note")
        for name, value in FIELD_VALUES.items()
    ],
    in_body("everything", {"intents": [CUSTOMER | {"customer": CUSTOMER}]}, status=201),
    in_body("keys", {"planted": 1, "errors": {EMAIL: ["is taken"]}, "intents": [{"986745": 1}]}),
    in_body("keys beside text", {"errors": [{"planted": "Not found"}, {"15550107777": None}]}),
    in_body("deep", {"errors": json.loads("[" * 60 + json.dumps(EVERY) + "]" * 60)}),
    in_body("too deep", b'{"errors":' + b"[" * 9000 + json.dumps(EVERY).encode() + b"]" * 9000),
    in_body("known names in known names", {"error": {"message": {"errors": [{"email": EVERY}]}}}),
    in_body("a list", EVERY),
    in_body("a text", EMAIL),
    in_body("a number", 15550107777),
    in_body("escapes", b'{"errors":["\\u0070lanted"],"\\u0065rror":"pl\\u0061nted"}'),
    in_body("half a surrogate pair", b'{"errors":["planted\\ud800"],"error":"\\udfffplanted"}'),
    in_body("names twice", b'{"error":"Not found","error":"planted"}'),
    in_body("byte order mark", b'\xef\xbb\xbf{"errors":["planted"]}'),
    in_body("utf-16", json.dumps({"errors": EVERY, "id": EMAIL}).encode("utf-16")),
    in_body("latin-1", '{"errors":["Plänted planted"]}'.encode("latin-1")),
    in_body("not a number", b'{"quantity":NaN,"retry_after":-Infinity,"errors":["planted"]}'),
    in_body("endless number", b'{"quantity":' + b"15550107777" * 500 + b"}"),
    in_body("html", f"<html><p>{EVERY}</html>".encode(), b"Content-Type: text/html", status=502),
    in_body("text", " ".join(EVERY).encode(), b"Content-Type: text/plain", status=503),
    in_body("form", b"email=planted.email%40example.org"),
    in_body("json and more", json.dumps({"error": "Not found"}).encode() + b" planted"),
    in_body("compressed", gzip.compress(json.dumps(EVERY).encode()), b"Content-Encoding: gzip"),
]


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_personal_data_never_reaches_a_cassette(leak: Leak, tmp_path: Path) -> None:
    """What was sent, and what the answer says of the customer or the shop, is not in the file."""
    path = tmp_path / "recorded.yaml"
    scenario = Scenario("recorded", DUPLICATE.request, leak.status)
    with (
        FaultServer(leak.script) as server,
        Stoq("planted-shop", base_url=server.url(), **AS_IT_COMES) as stoq,
    ):
        assert leak.status == record(scenario, stoq, sent_request(), "live", path)
        assert EMAIL.encode() in server.requests[0].body
    written = path.read_text("utf-8")
    assert [] == found_in(written)
    assert "recorded_from: live" in written
    assert f"code: {leak.status}" in written


def test_nothing_of_the_request_is_kept() -> None:
    """Query, path, headers, cookies and body of what was sent are not in the cassette."""
    with FaultServer(answers(http(200, b'{"errors":[]}'))) as server:
        with recording(ShownRequest(b'{"a":1}'), "live") as recorded:
            httpx.post(
                f"{server.url()}/planted",
                params={"email": EMAIL, "planted": "1"},
                headers={"X-Planted": "15550107777", "X-Shopify-Shop-Domain": "planted-shop"},
                cookies={"who": EMAIL},
                json=CUSTOMER,
            )
        assert b"who=planted.email" in server.requests[0].head
    assert {
        "method": "POST",
        "uri": URL,
        "body": '{"a":1}',
        "headers": {"content-type": ["application/json"], "x-shopify-shop-domain": [SHOP]},
    } == yaml.safe_load(recorded.content)["interactions"][0]["request"]


def test_no_log_of_the_recorder_tells_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """vcrpy, which logs what it records, logs nothing of the customer's while recording."""
    caplog.set_level(logging.DEBUG)
    said = json.dumps({"errors": EVERY}).encode()
    scenario = Scenario("recorded", DUPLICATE.request, 200)
    with (
        FaultServer(answers(http(200, said))) as server,
        Stoq("planted-shop", base_url=server.url(), **AS_IT_COMES) as stoq,
    ):
        record(scenario, stoq, sent_request(), "live", tmp_path / "recorded.yaml")
    told = [line for line in caplog.records if line.name.partition(".")[0] in ("vcr", "stoqapp")]
    assert told
    assert [] == [line.name for line in told if found_in(json.dumps(line.getMessage()))]
    logging.getLogger("vcr.cassette").info("heard again")
    assert "heard again" in caplog.text


def test_a_saved_cassette_keeps_nothing_of_the_one_before(tmp_path: Path) -> None:
    """An older cassette at the same place leaves neither exchanges nor metadata behind."""
    path = tmp_path / "folder" / "recorded.yaml"
    with FaultServer(answers(http(200, b"{}"))) as server:
        for recorded_from in ("sandbox", "live"):
            with recording(ShownRequest(b"{}"), recorded_from) as recorded:
                httpx.post(server.url())
            recorded.save(path)
    content = yaml.safe_load(path.read_text("utf-8"))
    assert {"recorded_from": "live"} == content["metadata"]
    assert 1 == len(content["interactions"])


def test_recording_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where vcrpy is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, "vcr", None)
    with (
        pytest.raises(RecorderNotInstalledError, match=r"pip install 'stoqapp\[verify\]'"),
        recording(ShownRequest(b""), "live"),
    ):
        pass


def test_scrubbing_needs_no_extra() -> None:
    """The module is imported, and scrubs, where vcrpy is missing."""
    program = """
import sys
sys.modules["vcr"] = None
from stoqapp_sandbox.cassettes import scrubbed_answer
answer = {"status": {"code": 200}, "headers": {}, "body": {"string": b'{"id":5}'}}
print(scrubbed_answer(answer, 0.0)["body"]["string"].decode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("", '{"id":1}\n') == (done.stderr, done.stdout)


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
    return scrubbed_answer(answer, NOW)


@pytest.mark.parametrize(
    ("code", "reason"), [(200, "OK"), (404, "Not Found"), (520, ""), (599, ""), (999, "")]
)
def test_the_reason_phrase_is_the_usual_one(code: int, reason: str) -> None:
    """The cassette holds the phrase that belongs to the status, whatever the service said."""
    assert {"code": code, "message": reason} == scrubbed(code=code)["status"]


OUT = f"{LEFT_OUT}]"


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
            ["0", "58", "99999", formatdate(NOW + 7, usegmt=True)],
            [
                "",
                "-1",
                "1.5",
                "100000",
                "58\n",
                "５",
                formatdate(NOW + 90_000, usegmt=True),
                formatdate(NOW + 7),
                formatdate(NOW + 7, usegmt=True).upper(),
            ],
        ),
        ("X-RateLimit-Limit", ["360", "0"], ["", "100000", "360, 360", "+360", " 360"]),
        ("X-RateLimit-Remaining", ["358"], ["358 of 360"]),
        (
            "X-RateLimit-Reset",
            [f"{NOW + 60:.0f}", f"{NOW - 60:.0f}"],
            ["", "60", f"{NOW + 90_000:.0f}", f"{NOW - 90_000:.0f}", f"{NOW:.1f}"],
        ),
    ],
)
def test_the_values_of_headers(name: str, kept: list[str], left_out: list[str]) -> None:
    """Of a listed header a value is written when it has the header's form, else a placeholder."""
    expected = {name.lower(): [*kept, *[OUT] * len(left_out)]}
    assert expected == scrubbed(headers={name: [*kept, *left_out]})["headers"]


def test_a_header_in_two_spellings_keeps_all_its_values() -> None:
    """Names in another case are the same header, and no other header is written."""
    headers = {"RETRY-AFTER": ["5"], "retry-after": ["x", "6"], "Date": ["x"], "Set-Cookie": ["x"]}
    assert {"retry-after": ["5", OUT, "6"]} == scrubbed(headers=headers)["headers"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"errors": ["Not found", ""]}, {"errors": ["Not found", ""]}),
        ({"errors": None, "error": False}, {"errors": None, "error": False}),
        ({"error": "not found"}, {"error": f"{LEFT_OUT}: 9 characters]"}),
        ({"error": "Too Many Requests"}, {"error": "Too Many Requests"}),
        (
            {"message": "No points left; try again in 24 seconds"},
            {"message": "No points left; try again in 24 seconds"},
        ),
        (
            {"message": "No points left; try again in 240000 seconds"},
            {"message": f"{LEFT_OUT}: 43 characters]"},
        ),
        (
            {"errors": {"email": ["x"], "x": 1}},
            {"errors": {"email": [f"{LEFT_OUT}: 1 characters]"]}},
        ),
        ({"errors": [5, 1.5]}, {"errors": [f"{LEFT_OUT}: a number]"] * 2}),
        ({"error": {"type": "api"}}, {"error": {"type": f"{LEFT_OUT}: 3 characters]"}}),
        ({"retry_after": 24}, {"retry_after": 24}),
        ({"retry_after": 86_401}, {"retry_after": OUT}),
        ({"retry_after": "24"}, {"retry_after": OUT}),
        ({"quantity": 999}, {"quantity": 999}),
        ({"quantity": 1000}, {"quantity": OUT}),
        ({"quantity": 1.0}, {"quantity": OUT}),
        ({"channel": "sms", "source": "api"}, {"channel": "sms", "source": "api"}),
        ({"channel": "fax", "source": "app"}, {"channel": OUT, "source": OUT}),
        ({"type": "back_in_stock"}, {"type": "back_in_stock"}),
        ({"optin_confirmed": True}, {"optin_confirmed": True}),
        ({"optin_confirmed": "true"}, {"optin_confirmed": OUT}),
        ({"id": "abc", "customer_id": 5}, {"id": "1", "customer_id": 1}),
        ({"id": 1.5}, {"id": f"{LEFT_OUT}: a number]"}),
        ({"shopify_variant_id": 5}, {"shopify_variant_id": 4711}),
        ({"shopify_variant_id": "5"}, {"shopify_variant_id": "4711"}),
        ({"email": "", "phone": None}, {"email": "", "phone": None}),
        ({"email": 5, "phone": 5}, {"email": f"{LEFT_OUT}: a number]", "phone": 15550109999}),
        ({"created_at": "today"}, {"created_at": "2026-01-01T00:00:00.000Z"}),
        ({"created_at": 5}, {"created_at": f"{LEFT_OUT}: a number]"}),
        ({"intents": [{"id": "5", "x": 1}, "x"]}, {"intents": [{"id": "1"}, OUT]}),
        ({"intents": None}, {"intents": None}),
        (["x", 5, None], [OUT, OUT, None]),
        ("x", OUT),
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
        (b"<html>", f"{LEFT_OUT}: 6 bytes that are no JSON]".encode()),
        (b"\xff", f"{LEFT_OUT}: 1 bytes that are no JSON]".encode()),
        (b"[" * 100_000, f"{LEFT_OUT}: 100000 bytes that are no JSON]".encode()),
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


@pytest.fixture
def live(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that record one scenario, from the sandbox in the place of the service."""
    monkeypatch.setattr("record_cassettes.CASSETTES", tmp_path)
    arguments = ["--live", "--yes", "--shop", "planted-shop", "--variant", "1", "--product", "2"]
    return [*arguments, "--email", EMAIL, "--base-url", sandbox.base_url, "created_by_email"]


def test_what_was_left_out_is_shown_on_request(
    live: list[str], sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal shows the service's words when asked to; the cassette holds none of them."""
    said = {"errors": [f"{EMAIL} is welcome\x1b[2J"]}
    sandbox.fail_next(201, body=said)
    assert main(live) == 0
    silent = capsys.readouterr()
    assert [] == found_in(json.dumps(silent.out + silent.err))
    assert "--show-answers" in silent.out
    sandbox.fail_next(201, body=said)
    assert main([*live, "--show-answers"]) == 0
    shown = capsys.readouterr().out
    assert f"{EMAIL} is welcome" in shown
    assert "\x1b" not in shown
    assert [] == found_in((tmp_path / "created_by_email.yaml").read_text("utf-8"))


def test_an_unexpected_answer_is_shown_on_request(
    live: list[str], sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that is not recorded, since it is another than expected, can be looked at."""
    sandbox.fail_next(418, body={"errors": ["is a teapot"]})
    assert main([*live, "--show-answers"]) == 1
    assert "is a teapot" in capsys.readouterr().out
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_the_sandbox_says_is_known(scenario: Scenario) -> None:
    """The committed cassettes have no gap: each sentence in them is one of the known."""
    assert LEFT_OUT not in recorded_at(scenario.path).read_text("utf-8")
