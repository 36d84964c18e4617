"""Which shops, products and variants there are, where the sandbox was told."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeGuard

from attrs import field, frozen

from stoqapp.errors import UnusableInputError
from stoqapp.readers import Kind, id_from, shop_from
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_FORM: Final = '{"demo.myshopify.com": {"42": [4711, 4712]}}'

_Products = Mapping[int, int]


@frozen
class Catalog:
    """What there is; all of it where nothing is said.

    Attributes:
        shops: Host names of the shops in lower case; None for every host name.
        products: For each shop the product of each variant.
        products_of_all: The product of each variant, for shops that are not in *products*;
            None for every variant under every product.
    """

    shops: frozenset[str] | None = None
    products: Mapping[str, _Products] = field(factory=dict, repr=False)
    products_of_all: _Products | None = field(default=None, repr=False)

    @classmethod
    def of(cls, shops: object = None, catalog: object = None) -> Self:
        """Return the catalog that the options of a sandbox describe.

        Args:
            shops: Shops, as handles, host names or URLs: in an iterable, or in one str with
                commas between them.
            catalog: The variants of each product of each shop, like
                ``{"demo.myshopify.com": {"42": [4711, 4712]}}``; or a file with that in JSON,
                or with what a storefront answers to ``/products.json``, which then holds for
                every shop. Ids are integers, digits or global ids.

        Raises:
            UnusableOptionError: It cannot be made sense of; the message says where, in a file
                by line or JSON pointer.
            SandboxError: The file cannot be read.
        """
        named = None if shops is None else frozenset(_shops_from(shops))
        if catalog is None:
            return cls(named)
        source = "catalog"
        if isinstance(catalog, str | os.PathLike):
            source = f"catalog {os.fspath(catalog)}"
            catalog = _json_from(Path(catalog), source)
        if not isinstance(catalog, Mapping):
            raise UnusableOptionError(
                f"{source}: must be an object like {_FORM}, or a products.json"
            )
        if isinstance(catalog.get("products"), Sequence):
            return cls(named, products_of_all=_products_from_storefront(catalog, source))
        products = dict(_products_by_shop(catalog, source))
        if named is None:
            return cls(frozenset(products), products, {})
        if strange := sorted(products.keys() - named):
            raise UnusableOptionError(
                f"{source}: has {strange[0]}, which is not among the shops given"
            )
        return cls(named, products, {})

    def has_shop(self, shop: str) -> bool:
        """Whether *shop* is one."""
        return self.shops is None or shop.lower() in self.shops

    def has_variant(self, shop: str, variant: object) -> bool:
        """Whether *shop* has that variant; what is no id is none."""
        products = self._products_of(shop)
        return products is None or (type(variant) is int and variant in products)

    def is_of_product(self, shop: str, variant: object, product: object) -> bool:
        """Whether the variant, which the shop has, belongs to that product."""
        products = self._products_of(shop)
        return products is None or (type(variant) is int and products.get(variant) == product)

    def _products_of(self, shop: str) -> _Products | None:
        return self.products.get(shop.lower(), self.products_of_all)


def _shops_from(given: object) -> Iterator[str]:
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, Iterable):
        raise UnusableOptionError("shops must be names of shops, like demo.myshopify.com")
    for number, shop in enumerate(given, 1):
        try:
            yield shop_from(shop).value.lower()
        except UnusableInputError:
            raise UnusableOptionError(
                f"shops: number {number} must be a shop, like demo.myshopify.com"
            ) from None


def _json_from(path: Path, source: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=partial(_object_from, source))
    except UnusableOptionError:
        # It is a ValueError, too, and says more than the one below.
        raise
    except OSError as error:
        raise SandboxError(f"{source}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise UnusableOptionError(
            f"{source}: line {error.lineno} column {error.colno}: is not JSON ({error.msg})"
        ) from None
    except (ValueError, RecursionError):
        raise UnusableOptionError(f"{source}: must be JSON in UTF-8") from None


def _object_from(source: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, of which Python's reader would keep the last of two names."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise UnusableOptionError(
            f"{source}: {twice!r} is there twice in the same object: write it once, with all that"
            " belongs to it"
        )
    return made


def _products_by_shop(
    catalog: Mapping[Any, Any], source: str
) -> Iterator[tuple[str, dict[int, int]]]:
    seen = set()
    for shop, products in catalog.items():
        place = _pointer(shop)
        try:
            name = shop_from(shop).value.lower()
        except UnusableInputError:
            raise UnusableOptionError(
                f"{source}: {place}: must be a shop, like demo.myshopify.com"
            ) from None
        if name in seen:
            raise UnusableOptionError(f"{source}: {place}: is there twice, as {name}")
        seen.add(name)
        if not isinstance(products, Mapping):
            raise UnusableOptionError(f"{source}: {place}: must be an object like {_FORM}")
        found: dict[int, int] = {}
        for product, variants in products.items():
            under = place + _pointer(product)
            if not _is_list(variants):
                raise UnusableOptionError(f"{source}: {under}: must be a list of ids of variants")
            listed = ((under + _pointer(index), variant) for index, variant in enumerate(variants))
            _add(found, _id(product, "Product", under, source), listed, source)
        yield name, found


def _products_from_storefront(catalog: Mapping[Any, Any], source: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for index, product in enumerate(catalog["products"]):
        under = f"/products/{index}"
        variants = product.get("variants") if isinstance(product, Mapping) else None
        if not _is_list(variants) or not all(isinstance(one, Mapping) for one in variants):
            raise UnusableOptionError(f"{source}: {under}: must be an object with id and variants")
        listed = ((f"{under}/variants/{at}/id", one.get("id")) for at, one in enumerate(variants))
        _add(found, _id(product.get("id"), "Product", f"{under}/id", source), listed, source)
    return found


def _add(
    found: dict[int, int], product: int, variants: Iterable[tuple[str, object]], source: str
) -> None:
    for place, given in variants:
        variant = _id(given, "ProductVariant", place, source)
        if found.setdefault(variant, product) != product:
            raise UnusableOptionError(
                f"{source}: {place}: the variant belongs to product {found[variant]} already"
            )


def _id(given: object, kind: Kind, place: str, source: str) -> int:
    try:
        return id_from(given, kind).value
    except UnusableInputError:
        raise UnusableOptionError(
            f"{source}: {place}: must be the id of a {kind}, like 4711"
        ) from None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _pointer(step: object) -> str:
    return "/" + str(step).replace("~", "~0").replace("/", "~1")
