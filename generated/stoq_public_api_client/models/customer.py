# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Customer")


@_attrs_define
class Customer:
    """
    Attributes:
        id (str | Unset): Optional customer id from previous API call response
        name (str | Unset): Customer's name (Shop must be on standard plan or above)
        email (str | Unset): Customer email address (required if channel is email)
        phone (str | Unset): Customer phone number with country code but without '+' (required if channel is sms)
        push (str | Unset): Push notification token (required if channel is push)
        country_code (str | Unset): Country code for the customer phone number
        country (str | Unset): Country in two letter code for the customer (improves phone number validation)
        accepts_marketing (bool | Unset): Whether the customer has agreed to receive email content from your online
            store
        locale (str | Unset): Customer locale
        shopify_market_id (int | Unset): Customer's Shopify Market ID for multi-market stores
        shopify_customer_id (str | Unset): Customer's Shopify ID
    """

    id: str | Unset = UNSET
    name: str | Unset = UNSET
    email: str | Unset = UNSET
    phone: str | Unset = UNSET
    push: str | Unset = UNSET
    country_code: str | Unset = UNSET
    country: str | Unset = UNSET
    accepts_marketing: bool | Unset = UNSET
    locale: str | Unset = UNSET
    shopify_market_id: int | Unset = UNSET
    shopify_customer_id: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        name = self.name

        email = self.email

        phone = self.phone

        push = self.push

        country_code = self.country_code

        country = self.country

        accepts_marketing = self.accepts_marketing

        locale = self.locale

        shopify_market_id = self.shopify_market_id

        shopify_customer_id = self.shopify_customer_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if name is not UNSET:
            field_dict["name"] = name
        if email is not UNSET:
            field_dict["email"] = email
        if phone is not UNSET:
            field_dict["phone"] = phone
        if push is not UNSET:
            field_dict["push"] = push
        if country_code is not UNSET:
            field_dict["country_code"] = country_code
        if country is not UNSET:
            field_dict["country"] = country
        if accepts_marketing is not UNSET:
            field_dict["accepts_marketing"] = accepts_marketing
        if locale is not UNSET:
            field_dict["locale"] = locale
        if shopify_market_id is not UNSET:
            field_dict["shopify_market_id"] = shopify_market_id
        if shopify_customer_id is not UNSET:
            field_dict["shopify_customer_id"] = shopify_customer_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id", UNSET)

        name = d.pop("name", UNSET)

        email = d.pop("email", UNSET)

        phone = d.pop("phone", UNSET)

        push = d.pop("push", UNSET)

        country_code = d.pop("country_code", UNSET)

        country = d.pop("country", UNSET)

        accepts_marketing = d.pop("accepts_marketing", UNSET)

        locale = d.pop("locale", UNSET)

        shopify_market_id = d.pop("shopify_market_id", UNSET)

        shopify_customer_id = d.pop("shopify_customer_id", UNSET)

        customer = cls(
            id=id,
            name=name,
            email=email,
            phone=phone,
            push=push,
            country_code=country_code,
            country=country,
            accepts_marketing=accepts_marketing,
            locale=locale,
            shopify_market_id=shopify_market_id,
            shopify_customer_id=shopify_customer_id,
        )

        customer.additional_properties = d
        return customer

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
