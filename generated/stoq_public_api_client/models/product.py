# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Product")


@_attrs_define
class Product:
    """Product data is only needed if you have optin confirmation or alerts to your shop set up

    Attributes:
        variant_count (int | Unset): The number of variants the Shopify Product has
        title (str | Unset): The title for the Shopify Product
        variant_title (str | Unset): The title for the Shopify Variant
        vendor (str | Unset): The vendor/brand of the product
        sku (str | Unset): The SKU of the variant
    """

    variant_count: int | Unset = UNSET
    title: str | Unset = UNSET
    variant_title: str | Unset = UNSET
    vendor: str | Unset = UNSET
    sku: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        variant_count = self.variant_count

        title = self.title

        variant_title = self.variant_title

        vendor = self.vendor

        sku = self.sku

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if variant_count is not UNSET:
            field_dict["variant_count"] = variant_count
        if title is not UNSET:
            field_dict["title"] = title
        if variant_title is not UNSET:
            field_dict["variant_title"] = variant_title
        if vendor is not UNSET:
            field_dict["vendor"] = vendor
        if sku is not UNSET:
            field_dict["sku"] = sku

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        variant_count = d.pop("variant_count", UNSET)

        title = d.pop("title", UNSET)

        variant_title = d.pop("variant_title", UNSET)

        vendor = d.pop("vendor", UNSET)

        sku = d.pop("sku", UNSET)

        product = cls(
            variant_count=variant_count,
            title=title,
            variant_title=variant_title,
            vendor=vendor,
            sku=sku,
        )

        product.additional_properties = d
        return product

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
