"""What people type, and what is read from it."""

from collections.abc import Callable
from typing import Any

import pytest
from calling import rests_on

from stoqapp import UnusableInputError, check_shop
from stoqapp.readers import (
    country_from,
    email_from,
    id_from,
    shop_from,
    shopify_customer_id,
    stoq_customer_id,
    text_from,
)


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (123, "ProductVariant", 123),
        ("123", "ProductVariant", 123),
        (" 123\n", "Product", 123),
        ("gid://shopify/ProductVariant/123", "ProductVariant", 123),
        ("gid://shopify/Customer/5?shop=demo", "Customer", 5),
        (-1, "Product", -1),
    ],
)
def test_id_from(given: object, kind: Any, expected: int) -> None:
    """An id is read from a number, from digits and from a global id of its kind."""
    assert expected == id_from(given, kind)


def variant_from(given: object) -> Any:
    return id_from(given, "ProductVariant")


SHOPS_OF_FOO = """
    foo foo.myshopify.com Foo.MyShopify.com foo.myshopify.com. foo.myshopify.com/
    foo.myshopify.com:443 https://foo.myshopify.com/admin http://foo.myshopify.com:80
    HTTPS://foo.myshopify.com/products/lamp?variant=1#top admin.shopify.com/store/foo
    https://admin.shopify.com/store/foo https://admin.shopify.com/store/foo/products/1?x=2
"""


def test_shop_from() -> None:
    """A shop is read from its handle, its host name and its URLs, and fits the header."""
    given = [*SHOPS_OF_FOO.split(), " foo.myshopify.com\n", "\ufefffoo.myshopify.com"]
    expected = dict.fromkeys(given, "foo.myshopify.com")
    expected["https://shop.example.com/"] = "shop.example.com"
    for text, shop in expected.items():
        assert shop == shop_from(text)
        assert [] == check_shop(shop)


@rests_on("customer.country", pattern="^[a-z]{2}$")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("us", "us"),
        ("xk", "xk"),
        (" Sa ", "sa"),
        ("us\u200b", "us"),
        ("UK", "gb"),
    ],
)
def test_country_from(given: str, expected: str) -> None:
    """A country code may come in any case, and ``uk`` is a name for ``gb``."""
    assert expected == country_from(given)


ADDRESSES = """
    ada@example.com Ada.Lovelace+stoq@mail.example.co.uk o'hara_1@example.com who?@example.com
    ada@xn--bcher-kva.example zoë@bücher.example 用户@例子.广告 अजय@डाटा.भारत θσερ@εχαμπλε.ψομ
    ada@例え。テスト
"""


def test_email_from() -> None:
    """An address is sent as it is, and it may be international."""
    for given in (*ADDRESSES.split(), "ada@نامه\u200cای.example", f"{'a' * 64}@example.com"):
        assert given == email_from(given)


@pytest.mark.parametrize("read", [text_from, email_from, stoq_customer_id])
def test_what_is_around_a_text_is_removed(read: Callable[[Any], Any]) -> None:
    """Space, invisible and control characters around a text are removed."""
    for around in (" ", "\n", "\u200b", "\ufeff", "\u00ad", "\u2060", "\x01", "\u200f"):
        for given in (f"{around}a@b.example", f"a@b.example{around}{around}"):
            assert "a@b.example" == read(given)


def test_what_is_inside_a_text_stays() -> None:
    """Characters within a text, and those that an emoji is made of, are not removed."""
    for given in ("Ada \U0001f3f4\U000e0067\U000e0062\U000e007f", "Ada ❤\ufe0f", "A\u200bda"):
        assert given == text_from(given)


def test_shopify_customer_id() -> None:
    """A customer's id at Shopify is sent as digits."""
    for given in (5, "5", " gid://shopify/Customer/5"):
        assert "5" == shopify_customer_id(given)


NO_IDS = """
    gid://shopify/Product/123 gid://shopify/ada@example.com/123 gid://shopify/ProductVariant/
    gid://shopify/ProductVariant/12x gid://other/ProductVariant/12 gid://shopify/ProductVariant/0007
    １２ 12.0 -1 LAMP-BLUE 0007 0 12345678901234567890
"""
NO_SHOPS = """
    foo_bar -foo dëmo.myshopify.com https://user:secret@foo.myshopify.com 127.0.0.1 https://[::1
    https://foo.myshopify.com:8443 https://foo.myshopify.com:x https:// ftp://foo.myshopify.com
    mailto:ada@example.com ada@example.com https://admin.shopify.com/ www.demo.myshopify.com
    https://admin.shopify.com/stores/foo myshopify.com https://myshopify.com/foo demo.myshopify
    shopify.com/demo https://www.shopify.com/ apps.shopify.com/demo
    https://partners.shopify.com/1/stores/2
"""
NO_ADDRESSES = """
    ada @example.com ada@ ada@localhost ada@example.com. ada@.example.com ada@example..com
    .ada@example.com ada.@example.com a..da@example.com ada@example.com?subject=hi
    mailto:ada@example.com ada@-example.com ada@example-.com ada@exa_mple.com ada@example.c
    ada@192.0.2.1 ada@[192.0.2.1] ada@example.com;bob@example.com ada@bob@example.com
    ada＠example.com "ada"@example.com ada(work)@example.com ada@example。。com
"""
SPACED_SHOPS = ["", "foo bar", "a\r\nX-Evil: 1", "https://foo.my\tshopify.com", None, 5, b"foo"]
SPACED_ADDRESSES = [
    *("ada@example.com\x00", "ada@example.com, bob@example.com", "ada@example.com bob@example.com"),
    *("Ada <ada@example.com>", "a b@example.com", "a\u00a0b@example.com", "ada@exa mple.com"),
]
LONG = [f"{'a' * 65}@example.com", f"ada@{'a' * 64}.com", f"ada@{'.'.join(['a' * 60] * 5)}.com"]


@pytest.mark.parametrize(
    ("read", "wrong", "advice"),
    [
        (
            variant_from,
            [*NO_IDS.split(), "1\u200b2", True, 12.0, b"12", ["12"]],
            "gid://shopify/ProductVariant/123",
        ),
        (shop_from, [*NO_SHOPS.split(), *SPACED_SHOPS], "demo.myshopify.com"),
        (
            country_from,
            ["USA", "u", "", "u1", "ſs", "ＵＳ", "u\u200bs", "zz", "eu", None, 1],
            "two-letter code",
        ),
        (
            email_from,
            [*NO_ADDRESSES.split(), *SPACED_ADDRESSES, *LONG],
            "give one address alone, like ada@example.com",
        ),
        (shopify_customer_id, [0, -5, 2**63, "-5", "gid://shopify/Product/5", "ada"], ""),
        (stoq_customer_id, [" GID://shopify/Customer/5 "], "as shopify_customer_id"),
    ],
)
def test_something_else(read: Callable[[Any], Any], wrong: list[object], advice: str) -> None:
    """What is not one of its kind is refused, with advice, and not repeated."""
    for given in wrong:
        with pytest.raises(UnusableInputError) as caught:
            read(given)
        said = str(caught.value)
        assert advice in said
        if isinstance(given, str) and len(given) > 4:
            assert given not in said.replace(advice, "")
