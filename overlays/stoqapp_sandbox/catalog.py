"""Which shops, products and variants exist, where the sandbox was told."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stoqapp.errors import UnusableInputError
from stoqapp.readers import id_from, shop_from
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

# For each shop, by its host name in lower case, the product of each variant; None has every
# variant. Under the empty name, for all shops that are not named.
Catalog = Mapping[str, Mapping[int, int] | None]

_FORM: Final = (
    'must be like {"demo.myshopify.com": {"42": [4711, 4712]}}, with null for a shop that has every'
    " variant, or like a products.json: of products and variants with their ids, each variant in"
    " one product"
)


def catalog_from(given: Any) -> Catalog:
    """Return what the option of `Sandbox` describes, and raise as that does.

    The message says where, as a JSON pointer or line.
    """
    if given is None:
        return {"": None}
    source = "catalog"
    if isinstance(given, str | os.PathLike):
        source = f"catalog {os.fspath(given)}"
        given = _json_from(Path(given), source)
    if not isinstance(given, Mapping):
        raise UnusableOptionError(f"{source}: {_FORM}")
    if isinstance(given.get("products"), list):
        return {"": _variants(given["products"], f"{source}: /products")}
    catalog = {}
    for name, products in given.items():
        place = f"{source}: /{name}"
        try:
            shop = shop_from(name)
        except UnusableInputError:
            raise UnusableOptionError(f"{place}: must be a shop, like demo.myshopify.com") from None
        catalog[shop] = None if products is None else _variants(products, place)
    return catalog


def _json_from(path: Path, source: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SandboxError(f"{source}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UnusableOptionError(f"{source}: must be JSON in UTF-8 ({error})") from None


def _variants(listed: Any, place: str) -> dict[int, int]:
    """Return the product of each variant."""
    found: dict[int, int] = {}
    at = place
    try:
        if isinstance(listed, list):
            listed = {one["id"]: [variant["id"] for variant in one["variants"]] for one in listed}
        for given, variants in dict(listed).items():
            at = f"{place}/{given}"
            product = id_from(given, "Product")
            if not isinstance(variants, list | tuple):
                raise TypeError  # noqa: TRY301
            for index, variant in enumerate(variants):
                at = f"{place}/{given}/{index}"
                if found.setdefault(id_from(variant, "ProductVariant"), product) != product:
                    raise ValueError  # noqa: TRY301
    except (KeyError, TypeError, ValueError):
        raise UnusableOptionError(f"{at}: {_FORM}") from None
    return found
