# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.new_intent_channel import NewIntentChannel, check_new_intent_channel
from ..models.new_intent_source import NewIntentSource, check_new_intent_source
from ..types import UNSET, Unset

T = TypeVar("T", bound="NewIntent")


@_attrs_define
class NewIntent:
    """
    Attributes:
        shopify_variant_id (int): The ID for the Shopify Variant
        shopify_product_id (int): The ID for the Shopify Product
        channel (NewIntentChannel): The notification channel (email requires customer.email, sms requires
            customer.phone, push requires customer.push)
        quantity (int): The quantity of the Variant they want
        source (NewIntentSource): Should be set to 'api'
        shopify_market_id (int | Unset): The ID for the Shopify Market (for multi-market stores)
    """

    shopify_variant_id: int
    shopify_product_id: int
    channel: NewIntentChannel
    quantity: int
    source: NewIntentSource
    shopify_market_id: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        shopify_variant_id = self.shopify_variant_id

        shopify_product_id = self.shopify_product_id

        channel: str = self.channel

        quantity = self.quantity

        source: str = self.source

        shopify_market_id = self.shopify_market_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "shopify_variant_id": shopify_variant_id,
                "shopify_product_id": shopify_product_id,
                "channel": channel,
                "quantity": quantity,
                "source": source,
            }
        )
        if shopify_market_id is not UNSET:
            field_dict["shopify_market_id"] = shopify_market_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        shopify_variant_id = d.pop("shopify_variant_id")

        shopify_product_id = d.pop("shopify_product_id")

        channel = check_new_intent_channel(d.pop("channel"))

        quantity = d.pop("quantity")

        source = check_new_intent_source(d.pop("source"))

        shopify_market_id = d.pop("shopify_market_id", UNSET)

        new_intent = cls(
            shopify_variant_id=shopify_variant_id,
            shopify_product_id=shopify_product_id,
            channel=channel,
            quantity=quantity,
            source=source,
            shopify_market_id=shopify_market_id,
        )

        new_intent.additional_properties = d
        return new_intent

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
