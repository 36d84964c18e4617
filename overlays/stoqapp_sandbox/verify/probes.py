"""The requests of ``stoqapp verify``; their table is ``probes.toml``."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from stoqapp_sandbox.cassettes import STAND_INS

# The values of a run by name, like ``{"email": "ada@example.com"}``.
Values = Mapping[str, Any]

MADE_UP: Final[Values] = {
    "variant": STAND_INS["shopify_variant_id"],
    "product": STAND_INS["shopify_product_id"],
    "market": STAND_INS["shopify_market_id"],
    **{name: STAND_INS[name] for name in ("email", "phone", "customer_id")},
}
_NO_ID: Final = 999_999_000_000


@frozen
class Probe:
    """One request. ``probes.toml`` explains the attributes."""

    name: str
    asks: str
    leaves: str = "nothing"
    set: Values = field(factory=dict)
    drop: Sequence[str] = ()
    text: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    needs: str = ""

    def request(self, values: Values, usual: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
        """Return headers and content; *usual* are the headers of any request."""
        headers = {name: text for name, text in {**usual, **self.headers}.items() if text}
        if self.text:
            return headers, self.text.encode()
        named = {f"${name}": value for name, value in values.items()}
        named["$swapped_email"] = values["email"].swapcase()
        named["$made_up"] = _NO_ID + values["variant"] % 1000
        sections = [name for name in ("intent", "customer") if name not in self.drop]
        body: dict[str, dict[str, Any]] = {name: {} for name in sections}
        for path, value in {**PROBES[0].set, **self.set}.items():
            section, _, name = path.partition(".")
            if section in body and path not in self.drop:
                body[section][name] = named.get(value, value)
        return headers, json.dumps(body).encode()


_TABLE: Final = tomllib.loads(Path(__file__).with_name("probes.toml").read_text("utf-8"))
# Switches that no probe tells of, each with the reason.
NOT_ASKED: Final[dict[str, str]] = _TABLE.pop("not_asked")
PROBES: Final = tuple(Probe(name, **row) for name, row in _TABLE.items())
