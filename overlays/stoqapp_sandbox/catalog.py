"""Which shops, products and variants exist, where the sandbox was told."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from attrs import field, frozen

from stoqapp.errors import UnusableInputError
from stoqapp.readers import Kind, id_from, shop_from
from stoqapp_sandbox.errors import SandboxError, UnusableOptionError

_FORM: Final = '{"demo.myshopify.com": {"42": [4711, 4712]}}'


@frozen
class Catalog:
    """What exists; everything where nothing is said.

    Attributes:
        shops: Host names of the shops in lower case; None for every host name.
        products: For each shop the product of each variant; under the empty name, for all other
            shops. Without an entry, every variant is there under every product.
    """

    shops: frozenset[str] | None = None
    products: Mapping[str, Mapping[int, int]] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, shops: object = None, catalog: object = None) -> Self:
        """Return the catalog that the options of a sandbox describe.

        Args:
            shops: Shops, as handles, host names or URLs: in an iterable, or in one str with
                commas between them.
            catalog: The variants of each product of each shop, like
                ``{"demo.myshopify.com": {"42": [4711, 4712]}}``; or a file with that in JSON,
                or with what a storefront answers to ``/products.json``, which then holds for
                every shop. Ids are integers, digits or global ids. A `Catalog` is returned as
                it is.

        Raises:
            UnusableOptionError: It makes no sense; the message says where, as a JSON pointer or
                line.
            SandboxError: The file cannot be read.
        """
        if isinstance(catalog, cls):
            return catalog
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
            return cls(named, {"": _products_from(_of_a_storefront(catalog, source), source)})
        products: dict[str, Mapping[int, int]] = {"": {}}
        for shop, listed in catalog.items():
            name = _shop_from(shop, f"{source}: {_pointer(shop)}")
            if name in products:
                raise UnusableOptionError(f"{source}: {_pointer(shop)}: is there twice, as {name}")
            products[name] = _products_from(_of_a_shop(shop, listed, source), source)
        known = frozenset(filter(None, products))
        if named is not None and (strange := sorted(known - named)):
            raise UnusableOptionError(
                f"{source}: has {strange[0]}, which is not among the shops given"
            )
        return cls(known if named is None else named, products)

    def has_shop(self, shop: str) -> bool:
        """Whether *shop*, in lower case, exists."""
        return self.shops is None or shop in self.shops

    def has_variant(self, shop: str, variant: object) -> bool:
        """Whether *shop* has that variant."""
        products = self._products_of(shop)
        return products is None or (type(variant) is int and variant in products)

    def is_of_product(self, shop: str, variant: Any, product: object) -> bool:
        """Whether the variant, which the shop has, belongs to that product."""
        products = self._products_of(shop)
        return products is None or products.get(variant) == product

    def _products_of(self, shop: str) -> Mapping[int, int] | None:
        return self.products.get(shop, self.products.get(""))


def _shops_from(given: object) -> Iterator[str]:
    shops = given.split(",") if isinstance(given, str) else given
    if not isinstance(shops, Iterable):
        raise UnusableOptionError("shops must be names of shops, like demo.myshopify.com")
    for number, shop in enumerate(shops, 1):
        yield _shop_from(shop, f"shops: number {number}")


def _shop_from(given: object, place: str) -> str:
    try:
        return shop_from(given).value.lower()
    except UnusableInputError:
        raise UnusableOptionError(f"{place}: must be a shop, like demo.myshopify.com") from None


def _json_from(path: Path, source: str) -> Any:
    def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in pairs:
            if name in made:
                raise UnusableOptionError(
                    f"{source}: {name!r} is there twice in the same object: write it once"
                )
            made[name] = value
        return made

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unrepeated)
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


# A variant and its product, each with its place in the catalog.
_Placed = tuple[str, object, str, object]


def _of_a_shop(shop: object, listed: object, source: str) -> Iterator[_Placed]:
    if not isinstance(listed, Mapping):
        raise UnusableOptionError(f"{source}: {_pointer(shop)}: must be an object like {_FORM}")
    for product, variants in listed.items():
        under = _pointer(shop, product)
        if not isinstance(variants, Sequence) or isinstance(variants, str | bytes):
            raise UnusableOptionError(f"{source}: {under}: must be a list of ids of variants")
        for index, variant in enumerate(variants):
            yield f"{under}/{index}", variant, under, product


def _of_a_storefront(catalog: Mapping[str, Any], source: str) -> Iterator[_Placed]:
    for index, product in enumerate(catalog["products"]):
        under = f"/products/{index}"
        try:
            for at, variant in enumerate(product["variants"]):
                yield f"{under}/variants/{at}/id", variant.get("id"), f"{under}/id", product["id"]
        except (KeyError, TypeError, AttributeError):
            raise UnusableOptionError(
                f"{source}: {under}: must be an object with id and variants"
            ) from None


def _products_from(placed: Iterable[_Placed], source: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for variant_at, variant, product_at, product in placed:
        id_ = _id(variant, "ProductVariant", f"{source}: {variant_at}")
        of_product = _id(product, "Product", f"{source}: {product_at}")
        if found.setdefault(id_, of_product) != of_product:
            raise UnusableOptionError(
                f"{source}: {variant_at}: the variant belongs to product {found[id_]} already"
            )
    return found


def _id(given: object, kind: Kind, place: str) -> int:
    try:
        return id_from(given, kind).value
    except UnusableInputError:
        raise UnusableOptionError(f"{place}: must be the id of a {kind}, like 4711") from None


def _pointer(*steps: object) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
