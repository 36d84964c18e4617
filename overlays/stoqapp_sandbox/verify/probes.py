"""The requests of ``stoqapp verify``; their table is ``probes.toml``."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
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

    def lacks(self, values: Values) -> bool:
        """Whether the option that it needs was not given."""
        return bool(self.needs) and values[self.needs] is None

    def request(self, values: Values, usual: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
        """Return headers and content; *usual* are the headers of any request."""
        headers = {name: text for name, text in {**usual, **self.headers}.items() if text}
        if self.text:
            return headers, self.text.encode()
        body: dict[str, dict[str, Any]] = {"intent": {}, "customer": {}}
        more = {
            "swapped_email": values["email"].swapcase(),
            "made_up": _NO_ID + values["variant"] % 1000,
        }
        for path, value in {**PROBES[0].set, **self.set}.items():
            section, _, name = path.partition(".")
            is_named = isinstance(value, str) and value.startswith("$")
            body[section][name] = {**values, **more}[value[1:]] if is_named else value
        for path in self.drop:
            section, _, name = path.partition(".")
            del (body[section] if name else body)[name or section]
        return headers, json.dumps(body).encode()


_TABLE: Final = tomllib.loads(
    files("stoqapp_sandbox.verify").joinpath("probes.toml").read_text("utf-8")
)
# Switches that no probe tells of, each with the reason.
NOT_ASKED: Final[Mapping[str, str]] = _TABLE.pop("not_asked")
PROBES: Final = tuple(Probe(name, **row) for name, row in _TABLE.items())
