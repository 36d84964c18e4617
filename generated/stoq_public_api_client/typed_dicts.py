# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

"""The request bodies as plain dicts, and what the package was made from."""

from typing import Literal, NotRequired, TypedDict


class NewIntentDict(TypedDict):
    shopify_variant_id: int
    """The ID for the Shopify Variant"""
    shopify_product_id: int
    """The ID for the Shopify Product"""
    shopify_market_id: NotRequired[int]
    """The ID for the Shopify Market (for multi-market stores)"""
    channel: Literal["email", "sms", "push"]
    """The notification channel (email requires customer.email, sms requires customer.phone, push requires customer.push)"""
    quantity: int
    """The quantity of the Variant they want"""
    source: Literal["api"]
    """Should be set to 'api'"""


class CustomerDict(TypedDict):
    id: NotRequired[str]
    """Optional customer id from previous API call response"""
    name: NotRequired[str]
    """Customer's name (Shop must be on standard plan or above)"""
    email: NotRequired[str]
    """Customer email address (required if channel is email)"""
    phone: NotRequired[str]
    """Customer phone number with country code but without '+' (required if channel is sms)"""
    push: NotRequired[str]
    """Push notification token (required if channel is push)"""
    country_code: NotRequired[str]
    """Country code for the customer phone number"""
    country: NotRequired[str]
    """Country in two letter code for the customer (improves phone number validation)"""
    accepts_marketing: NotRequired[bool]
    """Whether the customer has agreed to receive email content from your online store"""
    locale: NotRequired[str]
    """Customer locale"""
    shopify_market_id: NotRequired[int]
    """Customer's Shopify Market ID for multi-market stores"""
    shopify_customer_id: NotRequired[str]
    """Customer's Shopify ID"""


class ProductDict(TypedDict):
    """Product data is only needed if you have optin confirmation or alerts to your shop set up"""

    variant_count: NotRequired[int]
    """The number of variants the Shopify Product has"""
    title: NotRequired[str]
    """The title for the Shopify Product"""
    variant_title: NotRequired[str]
    """The title for the Shopify Variant"""
    vendor: NotRequired[str]
    """The vendor/brand of the product"""
    sku: NotRequired[str]
    """The SKU of the variant"""


class CreateIntentRequestDict(TypedDict):
    intent: NewIntentDict
    customer: CustomerDict
    product: NotRequired[ProductDict]
    """Product data is only needed if you have optin confirmation or alerts to your shop set up"""


GENERATOR = "openapi-python-client 0.29.1"
SPEC_SHA256 = "5c330b0c2d0f59392e3a72353017b44e9e7268ec752af76e91a19be304c46bcc"
