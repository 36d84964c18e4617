"""Which variant a row means: by its id, its SKU, or its titles."""

from collections.abc import Sequence
from typing import Any, Literal

from stoqapp.bulk import cells
from stoqapp.bulk.catalog import Catalog, Variant
from stoqapp.bulk.cells import UnusableCell, destroyed, masked

Match = Literal["id", "sku", "title"]


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
        match = self._match
        use_ids = match in (None, "id")
        variant_text = row.get("variant_id", "") if use_ids else ""
        product_text = row.get("product_id", "") if use_ids else ""
        sku = row.get("sku", "") if match in (None, "sku") else ""
        if either := row.get("variant", ""):
            variant_text, sku = self._either(either, variant_text, sku)
        if self._catalog is None:
            return self._without_catalog(row, variant_text, product_text)
        product = None
        if product_text and not destroyed(product_text):
            product = cells.shopify_id(product_text, "product_id")
        found = self._found(row, variant_text, sku, product)
        if product is not None and found.product_id != product:
            known = product in self._catalog.by_product
            raise UnusableCell(
                "product_mismatch",
                f"variant {found.id} is of product {found.product_id}, and the row says"
                f" {'another' if known else 'one that the catalog does not have'}",
            )
        return found.id, found.product_id, self._catalog.product_fields(found)

    def _either(self, text: str, variant_text: str, sku: str) -> tuple[str, str]:
        """Return *text* as an id or as a SKU; a SKU of the catalog comes first."""
        is_sku = self._catalog is not None and self._catalog.with_sku(text)
        try:
            number = cells.shopify_id(text, "variant_id")
        except UnusableCell:
            number = 0
        if is_sku and self._catalog and number in self._catalog.by_id:
            raise UnusableCell("sku_ambiguous", "is a SKU, and also the id of a variant")
        if is_sku or not (number or destroyed(text)):
            return variant_text, text
        # Digits that no catalog knows as an id are as likely a SKU that was changed.
        if self._catalog and number not in self._catalog.by_id and len(text) < 12:
            return variant_text, text
        return text, sku

    def _without_catalog(
        self, row: dict[str, str], variant_text: str, product_text: str
    ) -> tuple[int, int, dict[str, Any]]:
        if not (variant_text and product_text):
            raise UnusableCell(
                "no_product",
                "without --catalog a row needs the ids of variant and product; see stoqapp catalog",
            )
        names = ("product_title", "variant_title", "vendor", "sku")
        details: dict[str, Any] = {name: row[name] for name in names if name in row}
        return (
            cells.shopify_id(variant_text, "variant_id"),
            cells.shopify_id(product_text, "product_id"),
            details,
        )

    def _found(
        self, row: dict[str, str], variant_text: str, sku: str, product: int | None
    ) -> Variant:
        catalog = self._catalog
        assert catalog is not None  # noqa: S101 - for the type checker
        titles = row.get("product_title", ""), row.get("variant_title", "")
        if variant_text:
            if rounded := destroyed(variant_text):
                if sku and _rounds_to(
                    (one := self._by_sku(catalog, sku, titles, product)).id, *rounded
                ):
                    return one
                return self._by_titles(catalog, titles, product, rounded)
            number = cells.shopify_id(variant_text, "variant_id")
            found = catalog.by_id.get(number)
            same = catalog.with_sku(sku) if sku else ()
            if found is None:
                hint = "; its SKU is: use --match sku" if same else ""
                raise UnusableCell("variant_unknown", f"the catalog has no variant {number}{hint}")
            if same and found not in same and self._match is None:
                raise UnusableCell(
                    "variant_conflict", "id and SKU name two variants: add --match id or sku"
                )
            return found
        if sku:
            return self._by_sku(catalog, sku, titles, product)
        return self._by_titles(catalog, titles, product, None)

    def _by_sku(
        self, catalog: Catalog, sku: str, titles: tuple[str, str], product: int | None
    ) -> Variant:
        found: Sequence[Variant] = catalog.with_sku(sku)
        if not found:
            near = ", ".join(map(masked, catalog.near_skus(sku)))
            hint = f"; near: {near}" if near else ""
            raise UnusableCell("sku_unknown", f"the catalog has no SKU {masked(sku)}{hint}")
        if len(found) > 1 and product is not None:
            found = [one for one in found if one.product_id == product]
        if len(found) > 1 and titles[0]:
            named = catalog.with_titles(*titles)
            found = [one for one in found if one in named]
        if len(found) != 1:
            raise UnusableCell("sku_ambiguous", f"SKU {masked(sku)} stands for several variants")
        return found[0]

    def _by_titles(
        self,
        catalog: Catalog,
        titles: tuple[str, str],
        product: int | None,
        rounded: tuple[str, int] | None,
    ) -> Variant:
        if product is not None:
            found = catalog.called(catalog.by_product.get(product, ()), titles[1])
        else:
            found = catalog.with_titles(*titles)
        if rounded:
            found = [one for one in found if _rounds_to(one.id, *rounded)]
            if len(found) != 1:
                raise UnusableCell(
                    "id_destroyed", "a spreadsheet has rounded the id: export again, as text"
                )
        if len(found) == 1:
            return found[0]
        if not titles[0] and product is None:
            raise UnusableCell("no_product", "no variant id, no SKU and no titles")
        if found:
            reason = "title_ambiguous" if titles[1] else "no_product"
            raise UnusableCell(reason, f"the titles stand for {len(found)} variants")
        near = (
            ", ".join(map(repr, map(masked, catalog.near_titles(titles[0])))) if titles[0] else ""
        )
        raise UnusableCell(
            "title_unknown",
            f"the catalog has no such product or variant{f'; near: {near}' if near else ''}",
        )


def _rounds_to(number: int, digits: str, length: int) -> bool:
    """Whether a spreadsheet would show *number* as these first digits with this length."""
    text = str(number)
    shown = round(number / 10 ** (len(text) - len(digits)))
    return len(text) == length and str(shown) == digits
