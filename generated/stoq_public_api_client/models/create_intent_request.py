# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.customer import Customer
    from ..models.new_intent import NewIntent
    from ..models.product import Product


T = TypeVar("T", bound="CreateIntentRequest")


@_attrs_define
class CreateIntentRequest:
    """
    Attributes:
        intent (NewIntent):
        customer (Customer):
        product (Product | Unset): Product data is only needed if you have optin confirmation or alerts to your shop set
            up
    """

    intent: NewIntent
    customer: Customer
    product: Product | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        intent = self.intent.to_dict()

        customer = self.customer.to_dict()

        product: dict[str, Any] | Unset = UNSET
        if not isinstance(self.product, Unset):
            product = self.product.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "intent": intent,
                "customer": customer,
            }
        )
        if product is not UNSET:
            field_dict["product"] = product

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.customer import Customer
        from ..models.new_intent import NewIntent
        from ..models.product import Product

        d = dict(src_dict)
        intent = NewIntent.from_dict(d.pop("intent"))

        customer = Customer.from_dict(d.pop("customer"))

        _product = d.pop("product", UNSET)
        product: Product | Unset
        if isinstance(_product, Unset):
            product = UNSET
        else:
            product = Product.from_dict(_product)

        create_intent_request = cls(
            intent=intent,
            customer=customer,
            product=product,
        )

        create_intent_request.additional_properties = d
        return create_intent_request

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
