"""Only the shops, products and variants exist that a sandbox was told of."""

import json
from pathlib import Path
from typing import Any

import pytest

from stoqapp import Stoq
from stoqapp.errors import NotFoundError
from stoqapp_sandbox import Sandbox, SandboxError, UnusableOptionError
from stoqapp_sandbox.catalog import Catalog

CATALOG = {"demo": {"42": [4711, "4712"]}, "other.myshopify.com": {43: [5000]}}
STOREFRONT = {"products": [{"id": 42, "title": "Lamp", "variants": [{"id": 4711, "sku": "L"}]}]}


def is_known(sandbox: Sandbox, shop: str, variant: int, product: int = 42) -> bool:
    with Stoq(shop, base_url=sandbox.base_url, budget=None, max_retries=0) as stoq:
        try:
            stoq.subscribe(variant=variant, product=product, email="ada@example.com")
        except NotFoundError as error:
            return error.messages != ("Not found",)
        return True


@pytest.mark.parametrize(
    "shops", ["demo, other.myshopify.com", ["demo.myshopify.com", "https://OTHER.myshopify.com/"]]
)
def test_only_these_shops(sandbox: Sandbox, shops: Any) -> None:
    """A shop that is not among them is answered the 404 that was observed, the others are not."""
    sandbox.configure(shops=shops)
    known = [is_known(sandbox, shop, 1) for shop in ("demo", "other", "third")]
    assert known == [True, True, False]


@pytest.mark.parametrize("in_a_file", [False, True])
def test_only_these_variants(sandbox: Sandbox, tmp_path: Path, in_a_file: bool) -> None:
    """Shops and variants are those of the catalog, and a variant is under its product alone."""
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(CATALOG), "utf-8-sig")
    sandbox.configure(catalog=file if in_a_file else CATALOG)
    known = [
        is_known(sandbox, shop, variant, product)
        for shop, variant, product in [
            *(("demo", 4711, 42), ("demo", 4712, 42), ("other", 5000, 43)),
            *(("demo", 4713, 42), ("demo", 5000, 43), ("other", 5000, 42), ("third", 4711, 42)),
        ]
    ]
    assert known == [True] * 3 + [False] * 4


@pytest.mark.parametrize("variant", [None, "4711", 4711.0, [4711], True])
def test_what_is_no_id_is_no_variant(variant: Any) -> None:
    """Where a changed spec lets something else than an integer pass, no shop has that variant."""
    catalog = Catalog.of(None, {"demo": {"42": [4711, 1]}})
    assert not catalog.has_variant("demo.myshopify.com", variant)
    assert catalog.has_variant("demo.myshopify.com", 4711)


def test_a_storefronts_products(sandbox: Sandbox, tmp_path: Path) -> None:
    """What /products.json of a storefront says holds for every shop, or for those given."""
    file = tmp_path / "products.json"
    file.write_text(json.dumps(STOREFRONT))
    sandbox.configure(catalog=str(file))
    assert [is_known(sandbox, "any", variant) for variant in (4711, 4712)] == [True, False]
    sandbox.configure(catalog=file, shops="demo")
    assert [is_known(sandbox, shop, 4711) for shop in ("demo", "any")] == [True, False]


def test_a_shop_without_products(sandbox: Sandbox) -> None:
    """A shop that is given but is not in the catalog exists, and has nothing."""
    sandbox.configure(shops=["demo", "other", "bare"], catalog=CATALOG)
    assert [is_known(sandbox, shop, 4711) for shop in ("demo", "bare")] == [True, False]


@pytest.mark.parametrize(
    ("catalog", "says"),
    [
        ([], "catalog: must be an object like"),
        ({"a b": {}}, "catalog: /a b: must be a shop, like"),
        ({"a~b/c d": {}}, "catalog: /a~0b~1c d: must be a shop"),
        ({"demo": [1]}, "catalog: /demo: must be an object like"),
        ({"demo": {"lamp": [1]}}, "catalog: /demo/lamp: must be the id of a Product"),
        ({"demo": {"42": 4711}}, "catalog: /demo/42: must be a list of ids of variants"),
        ({"demo": {"42": "4711"}}, "catalog: /demo/42: must be a list of ids of variants"),
        ({"demo": {"42": [4711, 1.5]}}, "catalog: /demo/42/1: must be the id of a ProductVariant"),
        ({"demo": {"42": [1], "43": [1]}}, "/demo/43/0: the variant belongs to product 42 already"),
        ({"demo": {}, "DEMO.myshopify.com": {}}, "is there twice, as demo.myshopify.com"),
        ({"products": [7]}, "catalog: /products/0: must be an object with id and variants"),
        ({"products": [{"variants": []}]}, "catalog: /products/0/id: must be the id of a Product"),
        (
            {"products": [{"id": 1, "variants": [{}]}]},
            "catalog: /products/0/variants/0/id: must be the id of a ProductVariant",
        ),
    ],
)
def test_a_catalog_that_makes_no_sense(tmp_path: Path, catalog: Any, says: str) -> None:
    """The error says where in the catalog, as a JSON pointer; in a file, it names that, too."""
    with pytest.raises(SandboxError) as caught:
        Sandbox(catalog=catalog)
    assert says in str(caught.value)

    file = tmp_path / "shop.json"
    file.write_text(json.dumps(catalog))
    with pytest.raises(SandboxError) as caught:
        Sandbox(catalog=file)
    assert says.removeprefix("catalog") in str(caught.value)
    assert str(caught.value).startswith(f"catalog {file}: ")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{\n "demo": {,\n}', "line 2 column 11: is not JSON"),
        (b"\xff", "must be JSON in UTF-8"),
        (b"[" * 100_000, "must be JSON in UTF-8"),
        (None, r"cannot be read \(No such file or directory\)"),
        (
            b'{"demo": {"42": [1]}, "other": {}, "demo": {"43": [2]}}',
            "'demo' is there twice in the same object",
        ),
        (
            b'{"demo": {"42": [1], "42": [2]}}',
            "'42' is there twice in the same object: write it once",
        ),
        (b'{"products": [{"id": 1, "id": 2, "variants": []}]}', "'id' is there twice"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_file_that_is_no_catalog(tmp_path: Path, raw: bytes | None, says: str) -> None:
    """The error names the file, and the line where JSON ends to be JSON."""
    file = tmp_path / "shop.json"
    if raw is not None:
        file.write_bytes(raw)
    with pytest.raises(SandboxError, match=rf"^catalog .*shop\.json: {says}") as caught:
        Sandbox(catalog=file)
    assert isinstance(caught.value, UnusableOptionError) == (raw is not None)


@pytest.mark.parametrize("shops", [7, ["a b"], "demo,", [None], ""])
def test_shops_that_are_none(shops: Any) -> None:
    """A name that is no shop's is an error that says what one looks like."""
    with pytest.raises(SandboxError, match=r"shop.*like demo\.myshopify\.com"):
        Sandbox(shops=shops)


def test_a_catalog_of_another_shop() -> None:
    """A catalog that has a shop which was not given contradicts what was."""
    with pytest.raises(SandboxError, match=r"has other\.myshopify\.com, which is not among"):
        Sandbox(shops="demo", catalog=CATALOG)
