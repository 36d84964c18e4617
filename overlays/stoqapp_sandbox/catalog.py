"""Which shops, products and variants exist, where the sandbox was told."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import field, frozen

from stoqapp.errors import UnusableInputError
from stoqapp.readers import id_from, shop_from
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_FORM: Final = (
    'must be like {"demo.myshopify.com": {"42": [4711, 4712]}}, or like a products.json: of'
    " products and variants with their ids, each variant in one product"
)


@frozen
class Catalog:
    """What exists; everything where nothing is said.

    *shops* are host names in lower case; None has every host name. *products* has, for each shop,
    the product of each variant; under the empty name, for all other shops.
    """

    shops: frozenset[str] | None = None
    products: Mapping[str, Mapping[int, int]] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, shops: Any = None, catalog: Any = None) -> Self:
        """Return what these options of `Sandbox` describe, and raise as that does.

        The message says where, as a JSON pointer or line.
        """
        named = None
        if shops is not None:
            listed = shops.split(",") if isinstance(shops, str) else shops
            if not isinstance(listed, Iterable):
                raise UnusableOptionError("shops must be names of shops, like demo.myshopify.com")
            named = frozenset(_shop(one, f"shops: number {n}") for n, one in enumerate(listed, 1))
        if catalog is None:
            return cls(named)
        source = "catalog"
        if isinstance(catalog, str | os.PathLike):
            source = f"catalog {os.fspath(catalog)}"
            catalog = _json_from(Path(catalog), source)
        if not isinstance(catalog, Mapping):
            raise UnusableOptionError(f"{source}: {_FORM}")
        if isinstance(catalog.get("products"), list):
            return cls(named, {"": _variants(catalog["products"], f"{source}: /products")})
        products: dict[str, dict[int, int]] = {"": {}}
        for shop, listed in catalog.items():
            place = f"{source}: /{shop}"
            name = _shop(shop, place)
            if named is not None and name not in named:
                raise UnusableOptionError(f"{place}: is not among the shops; add it to them")
            products.setdefault(name, {}).update(_variants(listed, place))
        return cls(frozenset(products) - {""} if named is None else named, products)

    def has_shop(self, shop: str) -> bool:
        """Whether *shop*, in lower case, exists."""
        return self.shops is None or shop in self.shops

    def products_of(self, shop: str) -> Mapping[int, int] | None:
        """Return the product of each variant that *shop* has; None where it has all."""
        return self.products.get(shop, self.products.get(""))


def _json_from(path: Path, source: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SandboxError(f"{source}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UnusableOptionError(f"{source}: {place}: is not JSON ({error.msg})") from None
    except (ValueError, RecursionError):
        raise UnusableOptionError(f"{source}: must be JSON in UTF-8") from None


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


def _shop(given: object, place: str) -> str:
    try:
        return shop_from(given).lower()
    except UnusableInputError:
        raise UnusableOptionError(f"{place}: must be a shop, like demo.myshopify.com") from None
