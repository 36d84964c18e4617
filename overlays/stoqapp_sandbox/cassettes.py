"""Record HTTP without personal data, as cassettes of vcrpy.

Recording works by an allow-list. A cassette shows a made-up request in place of the one that was
sent. Of the answer it keeps the headers in `KEPT_HEADERS`, the fields in `KEPT_FIELDS` and the
sentences in `KNOWN_TEXTS`, each only in its known form. Ids, contacts and dates are replaced by
`STAND_INS`. Any other value of a known name becomes `LEFT_OUT`, and any other name is dropped.

`scrubbed_answer` needs nothing. `cassette_of` needs vcrpy: ``pip install 'stoqapp[verify]'``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from stoqapp.errors import Answer, StoqError
from stoqapp.rules import CONTACT_OF_CHANNEL
from stoqapp.spec import BASE_URL, INTENTS_PATH, SHOP_HEADER

RecordedFrom = Literal["sandbox", "live"]

URL: Final = f"{BASE_URL}{INTENTS_PATH}"
SHOP: Final = "stoqapp-demo.myshopify.com"
SHOWN_HEADERS: Final = {"content-type": "application/json", SHOP_HEADER.lower(): SHOP}
LEFT_OUT: Final = "[left out]"

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

# Sentences that are kept, each as a whole; "#" stands for a number of up to five digits. Add a
# sentence of the service here if it names no person: it is then recorded as it is.
KNOWN_TEXTS: Final = frozenset(
    {
        *_PHRASES.values(),
        LEFT_OUT,
        "Not found",
        "No points left; try again in # seconds",
        "Rate limit exceeded",
        "Scripted by the sandbox",
        "Scripted by the sandbox; try again in # seconds",
        "customer: already waits for this variant in this market; nothing was created",
    }
)
TEXT_FIELDS: Final = frozenset({"errors", "error", "message"})

# A number of five digits is shorter than any phone number or Shopify id.
_NUMBER: Final = "[0-9]{1,5}"

# Headers and fields that are kept, each with the pattern that the whole value must match. The
# value of a field is matched as JSON.
KEPT_HEADERS: Final[Mapping[str, str]] = {
    "content-type": r"(application/(problem\+)?json|text/(html|plain))(; ?charset=utf-8)?",
    "retry-after": _NUMBER,
    "x-ratelimit-limit": _NUMBER,
    "x-ratelimit-remaining": _NUMBER,
}
KEPT_FIELDS: Final[Mapping[str, str]] = {
    "channel": f'"({"|".join(CONTACT_OF_CHANNEL)})"',
    "quantity": "[0-9]{1,3}",
    "source": '"api"',
    "type": '"back_in_stock"',
    "optin_confirmed": "true|false",
    "accepts_marketing": "true|false",
    "retry_after": _NUMBER,
}

# Headers and fields that are replaced. A shop's owner could find a customer by the ids and dates
# of an intent.
_MOMENT: Final = "2026-01-01T00:00:00.000Z"
STAND_INS: Final[Mapping[str, str | int]] = {
    "x-ratelimit-reset": 1767225660,
    "id": "1",
    "customer_id": "1",
    "email": "ada@example.com",
    "phone": "15550109999",
    "push": "push-token",
    "name": "Ada Example",
    "shopify_variant_id": 4711,
    "shopify_product_id": 42,
    "shopify_market_id": 7,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
    "notified_at": _MOMENT,
    "unsubscribed_at": _MOMENT,
    "blocked_at": _MOMENT,
}
_FIELDS: Final = KEPT_FIELDS.keys() | STAND_INS.keys() | TEXT_FIELDS | {"intents"}


class RecorderNotInstalledError(StoqError, ImportError):
    """`cassette_of` needs a package that is not installed."""

    def __init__(self, missing: str | None) -> None:
        super().__init__(f"recording needs the package {missing!r}: pip install 'stoqapp[verify]'")


def cassette_of(
    exchanges: Iterable[tuple[Mapping[str, str], bytes, Answer]], recorded_from: RecordedFrom
) -> str:
    """Return the text of a cassette, each answer scrubbed.

    Args:
        exchanges: Headers and body of a made-up request, and the answer that a replay gives to it.
        recorded_from: What the cassette says of its origin, under ``metadata``.

    Raises:
        RecorderNotInstalledError: The extra ``[verify]`` is not installed.
    """
    try:
        from vcr.request import Request
        from vcr.serialize import serialize
        from vcr.serializers import yamlserializer
    except ModuleNotFoundError as error:
        raise RecorderNotInstalledError(error.name) from error
    shown = list(exchanges)
    content = {
        "requests": [Request("POST", URL, body, dict(headers)) for headers, body, _ in shown],
        "responses": [scrubbed_answer(in_vcr_form(answer)) for _, _, answer in shown],
        "metadata": {"recorded_from": recorded_from},
    }
    return str(serialize(content, yamlserializer))


def in_vcr_form(answer: Answer) -> dict[str, Any]:
    """Return *answer* as vcrpy writes one."""
    return {
        "status": {"code": answer.status},
        "headers": {name: [value] for name, value in answer.headers.items()},
        "body": {"string": answer.body},
    }


def scrubbed_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be kept of a recorded answer. Never raises; scrubbing twice changes nothing.

    Args:
        answer: In vcrpy's form: ``{"status": {"code": 200, ...}, "headers": {"Name": ["value"]},
            "body": {"string": b"..."}}``.

    Returns:
        The same form: the standard reason phrase (empty for a status without one), the known
        headers with names in lower case, and a body of known fields as JSON. A body that is not
        JSON becomes `LEFT_OUT`; an empty one stays empty.
    """
    code = answer["status"]["code"]
    headers: dict[str, list[str]] = {}
    for spelling, values in answer["headers"].items():
        name = spelling.lower()
        if pattern := KEPT_HEADERS.get(name):
            kept = [value if _matches(pattern, value.lower()) else LEFT_OUT for value in values]
        elif name == "x-ratelimit-reset":
            kept = [str(STAND_INS[name])] * len(values)
        else:
            continue
        headers.setdefault(name, []).extend(kept)
    return {
        "status": {"code": code, "message": _PHRASES.get(code, "")},
        "headers": headers,
        "body": {"string": _scrubbed_body(answer["body"]["string"])},
    }


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _scrubbed_body(body: bytes) -> bytes:
    if not body:
        return body
    try:
        content = _scrubbed("", json.loads(body), in_text=False)
        return json.dumps(content, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return LEFT_OUT.encode()


def _scrubbed(name: str, value: Any, *, in_text: bool) -> Any:
    in_text = in_text or name in TEXT_FIELDS
    if isinstance(value, dict):
        return {
            key: _scrubbed(key, item, in_text=in_text)
            for key, item in value.items()
            if key in _FIELDS
        }
    if isinstance(value, list):
        return [_scrubbed(name, item, in_text=in_text) for item in value]
    if value is None or isinstance(value, bool) or value in ("", LEFT_OUT):
        return value
    if in_text:
        is_known = isinstance(value, str) and re.sub(_NUMBER, "#", value) in KNOWN_TEXTS
        return value if is_known else LEFT_OUT
    if name in STAND_INS:
        return _stand_in(STAND_INS[name], is_text=isinstance(value, str))
    pattern = KEPT_FIELDS.get(name)
    return value if pattern and _matches(pattern, json.dumps(value)) else LEFT_OUT


def _stand_in(stand_in: str | int, *, is_text: bool) -> str | int:
    """Return *stand_in* in the type that was answered, so that a replay reads the same types."""
    return int(stand_in) if not is_text and str(stand_in).isdigit() else str(stand_in)
