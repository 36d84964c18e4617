"""The variants of a shop: read from a file, and found by id, SKU or titles.

Read are the pages of a storefront's ``/products.json``, Shopify's bulk JSONL, Matrixify's CSV,
and a CSV of sku, variant id and product id.
"""

import difflib
import json
import re
import unicodedata
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen

from stoqapp.bulk.cells import UnusableCell, cleaned, destroyed, shopify_id
from stoqapp.bulk.mapping import plain_name
from stoqapp.bulk.read import ImportFileError, Line, Source, documents, open_source
from stoqapp.errors import NotSentError

Match = Literal["id", "sku", "title"]
_NO_IDS: Final = (
    "holds no ids: Shopify's product export has none. Run `stoqapp catalog --shop SHOP -o FILE`,"
    " or use Matrixify's export with Variant ID, or a bulk query of productVariants"
)
_COLUMNS: Final = {
    "variant_id": ("variant id", "variantid", "shopify variant id"),
    "product_id": ("product id", "productid", "shopify product id", "id"),
    "sku": ("sku", "variant sku"),
    "product_title": ("product title", "title", "product"),
    "variant_title": ("variant title", "variant", "option1 value"),
    "option2": ("option2 value",),
    "option3": ("option3 value",),
    "vendor": ("vendor",),
}
_FIELD_OF_COLUMN: Final = {name: target for target, names in _COLUMNS.items() for name in names}
_PAGE_SIZE: Final = 250
_LARGEST_PAGE: Final = 50_000_000
_LOCKED: Final = "the storefront has a password: take it off for a moment, or use another catalog"
_REMEDIES: Final[dict[int | None, str]] = {
    401: _LOCKED,
    403: _LOCKED,
    404: "is this a Shopify storefront?",
}


@frozen
class Variant:
    """One variant of one product.

    Attributes:
        id: Its Shopify id.
        product_id: That of its product.
        sku: Its SKU, "" where it has none.
        title: Its title, "" where the product has only one.
        product_title: That of its product.
        vendor: Of the product.
        available: Whether it is in stock now, None where the catalog does not say.
    """

    id: int
    product_id: int
    sku: str = ""
    title: str = ""
    product_title: str = ""
    vendor: str = ""
    available: bool | None = None


def _fold(text: str) -> str:
    """Return *text* as titles and SKUs are compared: without case and outer or double blanks."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _skeleton(text: str) -> str:
    """Return what is left of a SKU without marks and leading zeros, for near misses."""
    return re.sub(r"[^0-9a-z]", "", _fold(text)).lstrip("0")


class Catalog:
    """Variants, by id, SKU and titles."""

    def __init__(self, variants: Iterable[Variant]) -> None:
        self.by_id: dict[int, Variant] = {}
        self.by_product: dict[int, list[Variant]] = defaultdict(list)
        self._by_text: dict[tuple[str, str], list[Variant]] = defaultdict(list)
        for variant in variants:
            if variant.id in self.by_id:
                continue
            self.by_id[variant.id] = variant
            self.by_product[variant.product_id].append(variant)
            texts = {("title", _fold(variant.product_title))}
            if sku := variant.sku:
                texts |= {("sku", sku), ("folded", _fold(sku)), ("near", _skeleton(sku))}
            for text in texts:
                self._by_text[text].append(variant)
        titles = sorted({one.product_title for one in self.by_id.values()} - {""})[:5000]
        # Slow, and a title that is not known comes often.
        self._near_titles = lru_cache(maxsize=200)(
            lambda title: difflib.get_close_matches(title, titles, 2, 0.8)
        )

    def with_sku(self, sku: str) -> Sequence[Variant]:
        """Return the variants with this SKU: exactly, else but for case."""
        exactly = self._by_text.get(("sku", sku), ())
        return exactly or self._by_text.get(("folded", _fold(sku)), ())

    def find(self, row: Mapping[str, str], match: Match | None = None) -> Variant:
        """Return the variant that the fields of *row* name: by id, else by SKU, else by titles.

        Args:
            row: Texts of the fields ``variant`` (an id or a SKU), ``variant_id``, ``product_id``,
                ``sku``, ``product_title`` and ``variant_title``.
            match: Take only this one of the ways.

        Raises:
            UnusableCell: None is named, several are, or the product is another one's.
        """
        by_id = match in (None, "id")
        variant = row.get("variant_id", "") if by_id else ""
        sku = row.get("sku", "") if match in (None, "sku") else ""
        product = row.get("product_id", "") if by_id else ""
        if either := row.get("variant", ""):
            variant, sku = (either, sku) if self._is_id(either) else (variant, either)
        product_id = (
            shopify_id(product, "product_id") if product and not destroyed(product) else None
        )
        rounded = destroyed(variant)
        if variant and not rounded:
            found = self._with_id(shopify_id(variant, "variant_id"), sku, match)
        else:
            found = self._named(row, sku, product_id, rounded)
        if product_id not in (None, found.product_id):
            which = "another" if product_id in self.by_product else "one that the catalog lacks"
            raise UnusableCell(
                "product_mismatch",
                f"variant {found.id} is of product {found.product_id}, and the row says {which}",
            )
        return found

    def product_fields(self, variant: Variant) -> dict[str, Any]:
        """Return what the API's ``product`` section says of *variant*."""
        count = len(self.by_product[variant.product_id])
        titles = {"product_title": variant.product_title, "variant_title": variant.title}
        more = {"vendor": variant.vendor, "sku": variant.sku, "variant_count": count}
        return {name: value for name, value in (titles | more).items() if value}

    def _is_id(self, text: str) -> bool:
        """Whether *text* is an id, and not a SKU; a SKU of the catalog comes first."""
        try:
            number = shopify_id(text, "variant_id")
        except UnusableCell:
            number = 0
        if not self.with_sku(text):
            # Few digits that the catalog does not know are as likely a SKU that was changed.
            return bool(destroyed(text)) or number in self.by_id or (number > 0 and len(text) > 11)
        if number in self.by_id:
            raise UnusableCell("sku_ambiguous", "is a SKU, and also the id of a variant")
        return False

    def _with_id(self, number: int, sku: str, match: Match | None) -> Variant:
        found = self.by_id.get(number)
        same = self.with_sku(sku) if sku else ()
        if found is None:
            hint = "; its SKU is: use --match sku" if same else ""
            raise UnusableCell("variant_unknown", f"the catalog does not have the variant{hint}")
        if same and found not in same and match is None:
            raise UnusableCell(
                "variant_conflict", "id and SKU name two variants: add --match id or sku"
            )
        return found

    def _named(
        self,
        row: Mapping[str, str],
        sku: str,
        product_id: int | None,
        rounded: tuple[str, int] | None,
    ) -> Variant:
        """Return the one variant that a SKU or titles name; *rounded* leaves fewer of them."""
        title, variant_title = row.get("product_title", ""), row.get("variant_title", "")
        titled = self._by_text.get(("title", _fold(title)), ()) if title else ()
        found = self.with_sku(sku) if sku else ()
        by_sku = bool(found or (sku and not rounded))
        if by_sku and len(found) > 1 and product_id is not None:
            found = [one for one in found if one.product_id == product_id]
        if by_sku and len(found) > 1 and title:
            found = [one for one in _called(titled, variant_title) if one in found]
        if not by_sku:
            of_product = titled if product_id is None else self.by_product.get(product_id, ())
            found = _called(of_product, variant_title)
        if rounded:
            found = [one for one in found if _rounds_to(one.id, rounded)]
        if len(found) == 1:
            return found[0]
        if rounded:
            reason, advice = "id_destroyed", "a spreadsheet has rounded the id: export it as text"
        elif by_sku and not self.with_sku(sku):
            near = sorted({one.sku for one in self._by_text.get(("near", _skeleton(sku)), ())})
            reason, advice = "sku_unknown", f"the catalog does not have the SKU{_hint(near[:3])}"
        elif by_sku:
            reason, advice = "sku_ambiguous", "the SKU stands for several variants"
        elif not title and product_id is None:
            reason, advice = "no_product", "no variant id, no SKU and no titles"
        elif found:
            reason = "title_ambiguous" if variant_title else "no_product"
            advice = f"the titles stand for {len(found)} variants"
        else:
            hint = _hint(self._near_titles(title) if title else ())
            reason, advice = "title_unknown", f"the catalog has no such product or variant{hint}"
        raise UnusableCell(reason, advice)


def _called(found: Iterable[Variant], title: str) -> list[Variant]:
    """Return those of *found* with this title; all of them where it is empty."""
    wanted = _fold(_title(title))
    return [one for one in found if not wanted or _fold(one.title) == wanted]


def _hint(near: Sequence[str]) -> str:
    # Texts of the catalog, and none of the row's.
    return f"; near: {', '.join(near)}" if near else ""


def _rounds_to(number: int, rounded: tuple[str, int]) -> bool:
    """Whether a spreadsheet would show *number* as these first digits with this length."""
    digits, length = rounded
    text = str(number)
    shown = round(number / 10 ** (len(text) - len(digits)))
    return len(text) == length and str(shown) == digits


def catalog_from_file(path: Path) -> Catalog:
    """Return the catalog in *path*.

    Raises:
        ImportFileError: It holds no variants with ids, or a row of it cannot be used.
    """
    source = open_source(path, lambda names: len(_columns(names)))
    rows = _rows_of_json(path, source.encoding) if source.form == "json" else _rows(source)
    catalog = Catalog(_variants(path, rows))
    if not catalog.by_id:
        raise ImportFileError(f"the catalog {path.name} holds no variants")
    return catalog


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Return the column of each field."""
    fields = ((_FIELD_OF_COLUMN.get(plain_name(name)), name) for name in names)
    return {target: name for target, name in fields if target}


def _rows(source: Source) -> Iterator[tuple[Line, Any]]:
    """Yield the fields of each variant in a table."""
    columns = _columns(source.columns)
    if not {"variant_id", "product_id"} <= columns.keys():
        raise ImportFileError(f"the catalog {source.path.name} {_NO_IDS}")
    titles: dict[str, str] = {}
    for record in source:
        if record.fault:
            raise ImportFileError(f"line {record.line} of {source.path.name}: {record.fault}")
        row = {name: record.cells.get(column, "") for name, column in columns.items()}
        # The first row of a product may hold its title alone; rows of pictures hold no variant.
        product = row["product_id"]
        titles[product] = row.get("product_title") or titles.get(product, "")
        options = (row.get(name) for name in ("variant_title", "option2", "option3"))
        title = " / ".join(filter(None, options))
        if row["variant_id"]:
            yield record.line, row | {"variant_title": title, "product_title": titles[product]}


def _rows_of_json(path: Path, encoding: str) -> Iterator[tuple[Line, Any]]:
    """Yield the fields of each variant in pages of /products.json, or in Shopify's bulk JSONL."""
    products: dict[Any, Any] = {}
    for line, document in documents(path, encoding):
        try:
            for entry in document if isinstance(document, list) else [document]:
                for product in entry.get("products", ()):
                    for variant in product["variants"]:
                        yield line, _fields(variant, product["id"], product)
                if "ProductVariant" in entry.get("id", ""):
                    parent = entry.get("__parentId") or entry["product"]["id"]
                    product = products.get(parent) or entry.get("product", {})
                    yield line, _fields(entry, parent, product)
                elif "products" not in entry:
                    products[entry["id"]] = entry
        except (TypeError, KeyError, AttributeError):
            raise ImportFileError(
                f"line {line} of the catalog {path.name} is neither a page of /products.json nor a"
                " line of Shopify's bulk JSONL"
            ) from None


def _fields(variant: Any, product_id: Any, product: Any) -> dict[str, Any]:
    return {
        "variant_id": variant["id"],
        "product_id": product_id,
        "sku": variant.get("sku"),
        "variant_title": variant.get("title"),
        "product_title": product.get("title"),
        "vendor": product.get("vendor"),
        "available": variant.get("available", variant.get("availableForSale")),
    }


def _variants(path: Path, rows: Iterable[tuple[Line, Any]]) -> Iterator[Variant]:
    for line, row in rows:
        available = row.pop("available", None)
        texts = {name: cleaned(str(text or "")) for name, text in row.items()}
        try:
            yield Variant(
                id=shopify_id(texts["variant_id"], "variant_id"),
                product_id=shopify_id(texts["product_id"], "product_id"),
                sku=texts.get("sku", ""),
                title=_title(texts.get("variant_title", "")),
                product_title=texts.get("product_title", ""),
                vendor=texts.get("vendor", ""),
                available=available if isinstance(available, bool) else None,
            )
        except UnusableCell as fault:
            raise ImportFileError(
                f"line {line} of the catalog {path.name}: {fault.advice}"
            ) from None


def _title(text: str) -> str:
    return "" if text.strip().casefold() == "default title" else text


def pages_of_shop(storefront: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the products of each page of ``/products.json`` at *storefront*.

    Only products that are published to the online store are there.

    Raises:
        ImportFileError: What it answers is not such a page.
        NotSentError: It cannot be reached, or answers with an error.
    """
    for number in count(1):
        url = f"{storefront}/products.json?limit={_PAGE_SIZE}&page={number}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - https, or asked
                products = json.loads(answer.read(_LARGEST_PAGE))["products"]
            if not products:
                return
            yield [dict(product, variants=list(product["variants"])) for product in products]
        except OSError as error:
            status = getattr(error, "code", None)
            remedy = _REMEDIES.get(status, "try again later")
            reason = f"answered {status}" if status else getattr(error, "reason", error)
            raise NotSentError(f"page {number}: {reason}: {remedy}") from None
        except (ValueError, TypeError, KeyError):
            raise ImportFileError(
                f"page {number} holds no products: is this a Shopify storefront, without a"
                " password?"
            ) from None
