"""Record HTTP without personal data, as cassettes of vcrpy.

Recording works by an allow-list, ``cassettes.toml``. A cassette shows a made-up request in place of
the one that was sent. Of the answer it keeps the headers and fields that are listed. Ids, contacts
and dates become the stand-ins there; any other value stays if it is true, false, null, a short
number or a listed text, and else becomes `LEFT_OUT`.

`scrubbed_answer` needs nothing. `cassette_of` needs vcrpy: ``pip install 'stoqapp[verify]'``.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final, Literal

from stoqapp.errors import Answer, ConfigurationError
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.spec import BASE_URL, INTENTS_PATH, SHOP_HEADER
from stoqapp_sandbox.answers import PHRASES

RecordedFrom = Literal["sandbox", "live"]

URL: Final = f"{BASE_URL}{INTENTS_PATH}"
SHOP: Final = "stoqapp-demo.myshopify.com"
SHOWN_HEADERS: Final = {"content-type": "application/json", SHOP_HEADER.lower(): SHOP}
LEFT_OUT: Final = "[left out]"

_TABLE: Final = tomllib.loads(
    files("stoqapp_sandbox").joinpath("cassettes.toml").read_text("utf-8")
)
STAND_INS: Final[Mapping[str, str | int]] = _TABLE["stand_ins"]
KEPT_NAMES: Final = STAND_INS.keys() | {*_TABLE["names"]}
_TEXTS: Final = {*_TABLE["texts"], *PHRASES.values(), *CONTACT_OF_CHANNEL}


def cassette_of(
    exchanges: Iterable[tuple[Mapping[str, str], bytes, Answer]], recorded_from: RecordedFrom
) -> str:
    """Return the text of a cassette, each answer scrubbed.

    *exchanges* are headers and body of a made-up request, and the answer that a replay gives to
    it. Raises ConfigurationError where the extra ``[verify]`` is not installed.
    """
    try:
        from vcr.request import Request
        from vcr.serialize import serialize
        from vcr.serializers import yamlserializer
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"recording needs the package {missing.name!r}: pip install 'stoqapp[verify]'"
        ) from missing
    content: dict[str, Any] = {"requests": [], "responses": []}
    for headers, body, answer in exchanges:
        content["requests"].append(Request("POST", URL, body, dict(headers)))
        in_vcr_form = {
            "status": {"code": answer.status},
            "headers": {name: [value] for name, value in answer.headers.items()},
            "body": {"string": answer.body},
        }
        content["responses"].append(scrubbed_answer(in_vcr_form))
    return str(serialize(content | {"metadata": {"recorded_from": recorded_from}}, yamlserializer))


def scrubbed_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be kept of a recorded answer. Never raises; scrubbing twice changes nothing.

    Takes and returns vcrpy's form: ``{"status": {"code": 200, ...}, "headers": {"Name":
    ["value"]}, "body": {"string": b"..."}}``. Kept are the listed headers, with names in lower
    case, and the listed fields of a JSON body; one that is not JSON becomes `LEFT_OUT`.
    """
    code, body = answer["status"]["code"], answer["body"]["string"]
    content = scrubbed_json(body)
    text = LEFT_OUT if content == LEFT_OUT else _text(content)
    headers: dict[str, list[str]] = {}
    for spelling, values in answer["headers"].items():
        name = spelling.lower()
        if name in KEPT_NAMES:
            headers.setdefault(name, []).extend(_kept(name, value) for value in values)
    return {
        "status": {"code": code, "message": PHRASES.get(code, "")},
        "headers": headers,
        "body": {"string": text.encode() if body else b""},
    }


def scrubbed_json(body: bytes) -> Any:
    """Return what may be kept of the JSON in a body; `LEFT_OUT` for what is not JSON."""
    try:
        return _kept("", json.loads(body))
    except (ValueError, RecursionError):
        return LEFT_OUT


def _kept(name: str, value: Any) -> Any:
    """Return what may be kept of the value of a header or field."""
    if isinstance(value, dict):
        return {key: _kept(key, item) for key, item in value.items() if key in KEPT_NAMES}
    if isinstance(value, list):
        # Items are not what the name says: errors may be listed under the name of a field.
        return [_kept("", item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    stand_in = STAND_INS.get(name)
    if stand_in is not None:
        # In the type that was answered, so that a replay reads the same types.
        is_number = not isinstance(value, str) and str(stand_in).isdigit()
        return int(stand_in) if is_number else str(stand_in)
    text = value if isinstance(value, str) else _text(value)
    # A number of five digits is shorter than any phone number or Shopify id.
    return value if re.sub("[0-9]{1,5}", "#", text) in _TEXTS else LEFT_OUT


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
