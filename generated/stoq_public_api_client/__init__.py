# Generated, do not edit: made by openapi-python-client 0.29.1
# from openapi.json sha256 5c330b0c2d0f59392e3a72353017b44e9e7268ec752af76e91a19be304c46bcc.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

"""A client library for accessing STOQ Public API"""

from .client import AuthenticatedClient, Client

__all__ = (
    "AuthenticatedClient",
    "Client",
)
