"""Which shops, products and variants exist, where the sandbox was told."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from attrs import field, frozen

from stoqapp.errors import UnusableInputError
from stoqapp.readers import Kind, id_from, shop_from
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_FORM: Final = 'an object like {"demo.myshopify.com": {"42": [4711, 4712]}}'


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
            raise UnusableOptionError(f"{source}: must be {_FORM}, or a products.json")
        if isinstance(catalog.get("products"), list):
            listed = _of_a_storefront(catalog["products"], source)
            return cls(named, {"": _of_a_shop(listed, f"{source}: /products")})
        products: dict[str, dict[int, int]] = {"": {}}
        for shop, listed in catalog.items():
            place = f"{source}: /{shop}"
            name = _shop(shop, place)
            if named is not None and name not in named:
                raise UnusableOptionError(f"{place}: is not among the shops; add it to them")
            products.setdefault(name, {}).update(_of_a_shop(listed, place))
        return cls(frozenset(products) - {""} if named is None else named, products)

    def has_shop(self, shop: str) -> bool:
        """Whether *shop*, in lower case, exists."""
        return self.shops is None or shop in self.shops

    def has_variant(self, shop: str, variant: Any) -> bool:
        """Whether *shop* has that variant."""
        products = self._products_of(shop)
        return products is None or (type(variant) is int and variant in products)

    def is_of_product(self, shop: str, variant: Any, product: object) -> bool:
        """Whether the variant, which the shop has, belongs to that product."""
        products = self._products_of(shop)
        return products is None or products.get(variant) == product

    def _products_of(self, shop: str) -> Mapping[int, int] | None:
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


def _of_a_storefront(products: list[Any], source: str) -> dict[Any, list[Any]]:
    try:
        return {one["id"]: [variant["id"] for variant in one["variants"]] for one in products}
    except (KeyError, TypeError):
        raise UnusableOptionError(
            f"{source}: /products: each must have an id, and variants that have one"
        ) from None


def _of_a_shop(listed: Any, place: str) -> dict[int, int]:
    """Return the product of each variant."""
    if not isinstance(listed, Mapping):
        raise UnusableOptionError(f"{place}: must be {_FORM}")
    found: dict[int, int] = {}
    for given, variants in listed.items():
        product = _id(given, "Product", f"{place}/{given}")
        if not isinstance(variants, list | tuple):
            raise UnusableOptionError(f"{place}/{given}: must be a list of ids of variants")
        for index, one in enumerate(variants):
            at = f"{place}/{given}/{index}"
            variant = _id(one, "ProductVariant", at)
            if found.setdefault(variant, product) != product:
                known = found[variant]
                raise UnusableOptionError(f"{at}: the variant belongs to product {known} already")
    return found


def _shop(given: object, place: str) -> str:
    try:
        return shop_from(given).value.lower()
    except UnusableInputError:
        raise UnusableOptionError(f"{place}: must be a shop, like demo.myshopify.com") from None


def _id(given: object, kind: Kind, place: str) -> int:
    try:
        return id_from(given, kind).value
    except UnusableInputError:
        raise UnusableOptionError(f"{place}: must be the id of a {kind}, like 4711") from None
