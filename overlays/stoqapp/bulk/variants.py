"""Which variant a row means: by its id, its SKU, or its titles."""

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from stoqapp.bulk import cells
from stoqapp.bulk.catalog import Catalog, Variant
from stoqapp.bulk.cells import UnusableCell, destroyed, masked

Match = Literal["id", "sku", "title"]
_DETAILS = ("product_title", "variant_title", "vendor", "sku")


@frozen
class _Named:
    """What a row says of its variant; each text may be empty."""

    variant: str
    sku: str
    product: int | None
    title: str
    variant_title: str


class Variants:
    """Finds variants in a catalog; without one, takes the ids as they are.

    Args:
        catalog: The shop's variants, None where there is no catalog.
        match: What says which variant; None takes the id, else the SKU, else the titles.
    """

    def __init__(self, catalog: Catalog | None, match: Match | None) -> None:
        self._catalog = catalog
        self._match = match

    def ids(self, row: dict[str, str]) -> tuple[int, int, dict[str, Any]]:
        """Return the ids of variant and product, and what is known of the product."""
        by_id = self._match in (None, "id")
        variant = row.get("variant_id", "") if by_id else ""
        product = row.get("product_id", "") if by_id else ""
        sku = row.get("sku", "") if self._match in (None, "sku") else ""
        if either := row.get("variant", ""):
            variant, sku = (either, sku) if self._is_id(either) else (variant, either)
        if self._catalog is None:
            if not (variant and product):
                raise UnusableCell(
                    "no_product",
                    "without --catalog a row needs the ids of variant and product; see stoqapp"
                    " catalog",
                )
            details = {name: row[name] for name in _DETAILS if name in row}
            variant_id = cells.shopify_id(variant, "variant_id")
            return variant_id, cells.shopify_id(product, "product_id"), details
        known = product and not destroyed(product)
        named = _Named(
            variant,
            sku,
            cells.shopify_id(product, "product_id") if known else None,
            row.get("product_title", ""),
            row.get("variant_title", ""),
        )
        found = self._found(self._catalog, named)
        if named.product not in (None, found.product_id):
            is_known = named.product in self._catalog.by_product
            raise UnusableCell(
                "product_mismatch",
                f"variant {found.id} is of product {found.product_id}, and the row says"
                f" {'another' if is_known else 'one that the catalog does not have'}",
            )
        return found.id, found.product_id, self._catalog.product_fields(found)

    def _is_id(self, text: str) -> bool:
        """Whether *text* is an id, and not a SKU; a SKU of the catalog comes first."""
        try:
            number = cells.shopify_id(text, "variant_id")
        except UnusableCell:
            number = 0
        known = self._catalog is not None and number in self._catalog.by_id
        if self._catalog and self._catalog.with_sku(text):
            if known:
                raise UnusableCell("sku_ambiguous", "is a SKU, and also the id of a variant")
            return False
        # Few digits that no catalog knows as an id are as likely a SKU that was changed.
        is_short = self._catalog is not None and not known and len(text) < 12
        return bool(destroyed(text)) or (number > 0 and not is_short)

    def _found(self, catalog: Catalog, named: _Named) -> Variant:
        if not named.variant:
            return _by_sku(catalog, named) if named.sku else _by_titles(catalog, named)
        if rounded := destroyed(named.variant):
            if named.sku and _rounds_to((one := _by_sku(catalog, named)).id, rounded):
                return one
            return _by_titles(catalog, named, rounded)
        number = cells.shopify_id(named.variant, "variant_id")
        found = catalog.by_id.get(number)
        same = catalog.with_sku(named.sku) if named.sku else ()
        if found is None:
            hint = "; its SKU is: use --match sku" if same else ""
            raise UnusableCell("variant_unknown", f"the catalog has no variant {number}{hint}")
        if same and found not in same and self._match is None:
            raise UnusableCell(
                "variant_conflict", "id and SKU name two variants: add --match id or sku"
            )
        return found


def _by_sku(catalog: Catalog, named: _Named) -> Variant:
    found = catalog.with_sku(named.sku)
    if not found:
        hint = _hint(catalog.near_skus(named.sku))
        raise UnusableCell("sku_unknown", f"the catalog has no SKU {masked(named.sku)}{hint}")
    if len(found) > 1 and named.product is not None:
        found = [one for one in found if one.product_id == named.product]
    if len(found) > 1 and named.title:
        titled = catalog.with_titles(named.title, named.variant_title)
        found = [one for one in found if one in titled]
    if len(found) != 1:
        raise UnusableCell("sku_ambiguous", f"SKU {masked(named.sku)} stands for several variants")
    return found[0]


def _by_titles(catalog: Catalog, named: _Named, rounded: tuple[str, int] | None = None) -> Variant:
    if named.product is not None:
        found = catalog.called(catalog.by_product.get(named.product, ()), named.variant_title)
    else:
        found = catalog.with_titles(named.title, named.variant_title)
    if rounded:
        found = [one for one in found if _rounds_to(one.id, rounded)]
    if len(found) == 1:
        return found[0]
    if rounded:
        raise UnusableCell(
            "id_destroyed", "a spreadsheet has rounded the id: export again, as text"
        )
    if not named.title and named.product is None:
        raise UnusableCell("no_product", "no variant id, no SKU and no titles")
    if found:
        reason = "title_ambiguous" if named.variant_title else "no_product"
        raise UnusableCell(reason, f"the titles stand for {len(found)} variants")
    hint = _hint(catalog.near_titles(named.title) if named.title else ())
    raise UnusableCell("title_unknown", f"the catalog has no such product or variant{hint}")


def _hint(near: Sequence[str]) -> str:
    return f"; near: {', '.join(map(masked, near))}" if near else ""


def _rounds_to(number: int, rounded: tuple[str, int]) -> bool:
    """Whether a spreadsheet would show *number* as these first digits with this length."""
    digits, length = rounded
    text = str(number)
    shown = round(number / 10 ** (len(text) - len(digits)))
    return len(text) == length and str(shown) == digits
