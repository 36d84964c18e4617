# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.created_intent import CreatedIntent


T = TypeVar("T", bound="IntentsCreated")


@_attrs_define
class IntentsCreated:
    """
    Attributes:
        intents (list[CreatedIntent] | Unset):
        errors (list[str] | Unset):
    """

    intents: list[CreatedIntent] | Unset = UNSET
    errors: list[str] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        intents: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.intents, Unset):
            intents = []
            for intents_item_data in self.intents:
                intents_item = intents_item_data.to_dict()
                intents.append(intents_item)

        errors: list[str] | Unset = UNSET
        if not isinstance(self.errors, Unset):
            errors = self.errors

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if intents is not UNSET:
            field_dict["intents"] = intents
        if errors is not UNSET:
            field_dict["errors"] = errors

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.created_intent import CreatedIntent

        d = dict(src_dict)
        _intents = d.pop("intents", UNSET)
        intents: list[CreatedIntent] | Unset = UNSET
        if _intents is not UNSET:
            intents = []
            for intents_item_data in _intents:
                intents_item = CreatedIntent.from_dict(intents_item_data)

                intents.append(intents_item)

        errors = cast(list[str], d.pop("errors", UNSET))

        intents_created = cls(
            intents=intents,
            errors=errors,
        )

        intents_created.additional_properties = d
        return intents_created

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
