"""Recorded HTTP that holds nobody's data.

A cassette shows a made-up request in place of the one that was sent, and of the answer only what
has a form that is known here: a field by its name and the form of its value, a header likewise,
a text where all of it is in `KNOWN_TEXTS`. Everything else is dropped, or replaced by a
placeholder that begins with `LEFT_OUT`; nothing is searched for and cut out, since what a person's
data looks like cannot be listed.

`scrubbed_answer` is pure and needs nothing. `recording` needs vcrpy, which the extra brings:
``pip install 'stoqapp[verify]'``.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

from attrs import define, field, frozen

from stoqapp.body import INTENTS_PATH
from stoqapp.errors import StoqError
from stoqapp.headers import seconds_from_http_date
from stoqapp.rules import CONTACT_OF_CHANNEL, SHOP_HEADER
from stoqapp.settings import BASE_URL

RecordedFrom = Literal["sandbox", "live"]

URL: Final = f"{BASE_URL}{INTENTS_PATH}"
SHOP: Final = "stoqapp-demo.myshopify.com"
LEFT_OUT: Final = "[left out"

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

# The texts that are written, each as a whole; "#" stands for a number of up to five digits. A
# sentence of the service's that names nobody can be added here, and is then recorded as it is.
KNOWN_TEXTS: Final = frozenset(
    {
        *_PHRASES.values(),
        "Not found",
        "No points left; try again in # seconds",
        "Rate limit exceeded",
        "Scripted by the sandbox",
        "Scripted by the sandbox; try again in # seconds",
        "customer: already waits for this variant in this market; nothing was created",
    }
)
TEXT_FIELDS: Final = frozenset({"errors", "error", "message"})

# Written in place of what was answered. The ids and moments of an intent lead to its customer
# for whoever can look into the shop.
STAND_INS: Final[Mapping[str, str | int]] = {
    "id": "1",
    "customer_id": "1",
    "email": "ada@example.com",
    "phone": "15550109999",
    "push": "push-token",
    "name": "Ada Example",
    "shopify_variant_id": 4711,
    "shopify_product_id": 42,
    "shopify_market_id": 7,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
    "notified_at": "2026-01-01T00:00:00.000Z",
    "unsubscribed_at": "2026-01-01T00:00:00.000Z",
    "blocked_at": "2026-01-01T00:00:00.000Z",
}

# Too short for a phone number or an id of Shopify's.
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_MOMENT: Final = re.compile(r"[0-9]{1,12}")
_DAY_SECONDS: Final = 86_400
_LARGEST_QUANTITY: Final = 999
_CONTENT_TYPES: Final = frozenset(
    f"{kind}{parameter}"
    for kind in ("application/json", "application/problem+json", "text/html", "text/plain")
    for parameter in ("", ";charset=utf-8", "; charset=utf-8")
)


def _is_content_type(said: str, _now: float) -> bool:
    return said.lower() in _CONTENT_TYPES


def _is_number(said: str, _now: float) -> bool:
    return bool(_NUMBER.fullmatch(said))


def _is_moment(said: str, now: float) -> bool:
    return bool(_MOMENT.fullmatch(said)) and abs(int(said) - now) <= _DAY_SECONDS


def _is_wait(said: str, now: float) -> bool:
    if _is_number(said, now):
        return True
    moment = seconds_from_http_date(said)
    if moment is None or abs(moment - now) > _DAY_SECONDS:
        return False
    return formatdate(moment, usegmt=True) == said


# The headers that are written, and what each value must look like (given our clock).
KEPT_HEADERS: Final[Mapping[str, Callable[[str, float], bool]]] = {
    "content-type": _is_content_type,
    "retry-after": _is_wait,
    "x-ratelimit-limit": _is_number,
    "x-ratelimit-remaining": _is_number,
    "x-ratelimit-reset": _is_moment,
}


def _is_quantity(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_QUANTITY


def _is_seconds(value: object) -> bool:
    return type(value) is int and 0 <= value <= _DAY_SECONDS


# The fields that are written as they are, and what each value must look like.
KEPT_FIELDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "channel": frozenset(CONTACT_OF_CHANNEL).__contains__,
    "quantity": _is_quantity,
    "source": frozenset({"api"}).__contains__,
    "type": frozenset({"back_in_stock"}).__contains__,
    "optin_confirmed": lambda value: isinstance(value, bool),
    "accepts_marketing": lambda value: isinstance(value, bool),
    "retry_after": _is_seconds,
}
_NAMES: Final = KEPT_FIELDS.keys() | STAND_INS.keys() | TEXT_FIELDS | {"intents"}


class RecorderNotInstalledError(StoqError, ImportError):
    """A package that only `recording` needs is not installed."""

    def __init__(self, missing: str | None) -> None:
        super().__init__(f"recording needs the package {missing!r}: pip install 'stoqapp[verify]'")


@frozen
class ShownRequest:
    """The request that a cassette shows. Nothing of the one that was sent is looked at.

    Attributes:
        body: Of made-up data.
        headers: Those that a replay may match, names in lower case.
    """

    body: bytes
    headers: Mapping[str, str] = field(
        default={"content-type": "application/json", SHOP_HEADER.lower(): SHOP}
    )


@define
class Recording:
    """Exchanges as they may be kept, in memory until they are saved.

    Attributes:
        content: The cassette, once the block that records is left.
    """

    content: bytes = field(default=b"", repr=False)

    @property
    def has_gaps(self) -> bool:
        """Whether a placeholder stands for something of a form that is not known."""
        return LEFT_OUT.encode() in self.content

    def save(self, path: Path) -> None:
        """Write the cassette to *path*, over what is there, with the folders that it needs.

        Raises:
            OSError: It cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)


@contextmanager
def recording(shown: ShownRequest, recorded_from: RecordedFrom) -> Iterator[Recording]:
    """Record what clients of this process exchange inside the block, each exchange scrubbed.

    Args:
        shown: Stands for every request that is sent.
        recorded_from: What the cassette says of itself under ``metadata``.

    Raises:
        RecorderNotInstalledError: The extra ``[verify]`` is not installed.
    """
    try:
        import vcr
        from vcr.persisters.filesystem import CassetteNotFoundError
        from vcr.record_mode import RecordMode
        from vcr.request import Request
        from vcr.serialize import serialize
    except ModuleNotFoundError as error:
        raise RecorderNotInstalledError(error.name) from error

    recorded = Recording()

    class InMemory:
        """What vcrpy loads cassettes from and saves them to."""

        @staticmethod
        def load_cassette(path: str, serializer: object) -> None:  # noqa: ARG004 - its names
            raise CassetteNotFoundError

        @staticmethod
        def save_cassette(path: str, content: Mapping[str, Any], serializer: object) -> None:  # noqa: ARG004
            recorded.content = serialize(content, serializer).encode()

    recorder = vcr.VCR(
        record_mode=RecordMode.ALL,
        before_record_request=lambda _sent: Request("POST", URL, shown.body, dict(shown.headers)),
        before_record_response=lambda answer: scrubbed_answer(answer, time.time()),
    )
    recorder.register_persister(InMemory)
    logger = logging.getLogger("vcr.cassette")
    # It logs each answer before it is scrubbed.
    logger.addFilter(_nothing)
    try:
        with recorder.use_cassette("in-memory") as cassette:
            cassette.get_metadata("recorded_from", recorded_from)
            yield recorded
    finally:
        logger.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def scrubbed_answer(answer: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return what may be kept of a recorded answer. Never raises.

    Args:
        answer: In vcrpy's form: ``{"status": {"code": 200, ...}, "headers": {"Name": ["value"]},
            "body": {"string": b"..."}}``.
        now: Our clock, Unix seconds; moments in headers are kept when they are within a day.

    Returns:
        The same form with nothing else in it: the usual reason phrase of the status (empty for
        one without), `KEPT_HEADERS` by their names in lower case, and a body that is JSON of
        known fields, a placeholder where it was no JSON, or empty where it was.
    """
    code = answer["status"]["code"]
    headers: dict[str, list[str]] = {}
    for name, values in answer["headers"].items():
        if is_known := KEPT_HEADERS.get(name.lower()):
            headers.setdefault(name.lower(), []).extend(
                value if is_known(value, now) else f"{LEFT_OUT}]" for value in values
            )
    return {
        "status": {"code": code, "message": _PHRASES.get(code, "")},
        "headers": headers,
        "body": {"string": _scrubbed_body(answer["body"]["string"])},
    }


def _scrubbed_body(body: bytes) -> bytes:
    if not body:
        return body
    try:
        content = _scrubbed("", json.loads(body), in_text=False)
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return f"{LEFT_OUT}: {len(body)} bytes that are no JSON]".encode()


def _scrubbed(name: str, value: Any, *, in_text: bool) -> Any:
    in_text = in_text or name in TEXT_FIELDS
    if isinstance(value, dict):
        return {
            key: _scrubbed(key, item, in_text=in_text)
            for key, item in value.items()
            if key in _NAMES
        }
    if isinstance(value, list):
        return [_scrubbed(name, item, in_text=in_text) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if in_text:
        return _scrubbed_text(value)
    if name in STAND_INS:
        return _stand_in(STAND_INS[name], value)
    return value if name in KEPT_FIELDS and KEPT_FIELDS[name](value) else f"{LEFT_OUT}]"


def _scrubbed_text(value: str | float) -> str:
    if not isinstance(value, str):
        return f"{LEFT_OUT}: a number]"
    if _NUMBER.sub("#", value) in KNOWN_TEXTS:
        return value
    return f"{LEFT_OUT}: {len(value)} characters]"


def _stand_in(stand_in: str | int, value: str | float) -> str | int:
    """Return *stand_in* in the type of *value*, so that a replay parses what the service sends."""
    if isinstance(value, str):
        return str(stand_in)
    if isinstance(value, int) and str(stand_in).isdigit():
        return int(stand_in)
    return f"{LEFT_OUT}: a number]"
