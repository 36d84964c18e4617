# Generated, do not edit: made by openapi-python-client.
# To change it, change the spec or its corrections, and run scripts/regenerate.py.

from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.create_intent_request import CreateIntentRequest
from ...models.intents_created import IntentsCreated
from ...models.processed_with_errors import ProcessedWithErrors
from ...types import Response


def _get_kwargs(
    *,
    body: CreateIntentRequest,
    x_shopify_shop_domain: str,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    headers["X-Shopify-Shop-Domain"] = x_shopify_shop_domain

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/intents.json",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | IntentsCreated | ProcessedWithErrors | None:
    if response.status_code == 200:
        response_200 = ProcessedWithErrors.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = IntentsCreated.from_dict(response.json())

        return response_201

    if response.status_code == 400:
        response_400 = cast(Any, None)
        return response_400

    if response.status_code == 401:
        response_401 = cast(Any, None)
        return response_401

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Any | IntentsCreated | ProcessedWithErrors]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateIntentRequest,
    x_shopify_shop_domain: str,
) -> Response[Any | IntentsCreated | ProcessedWithErrors]:
    """Create Customer Intent to Buy Product

     Create a new intent for a customer to be notified when a product is back in stock. Unlike other API
    endpoints for Back in Stock, this API endpoint does not require an API Key.

    Args:
        x_shopify_shop_domain (str):
        body (CreateIntentRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | IntentsCreated | ProcessedWithErrors]
    """

    kwargs = _get_kwargs(
        body=body,
        x_shopify_shop_domain=x_shopify_shop_domain,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: CreateIntentRequest,
    x_shopify_shop_domain: str,
) -> Any | IntentsCreated | ProcessedWithErrors | None:
    """Create Customer Intent to Buy Product

     Create a new intent for a customer to be notified when a product is back in stock. Unlike other API
    endpoints for Back in Stock, this API endpoint does not require an API Key.

    Args:
        x_shopify_shop_domain (str):
        body (CreateIntentRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | IntentsCreated | ProcessedWithErrors
    """

    return sync_detailed(
        client=client,
        body=body,
        x_shopify_shop_domain=x_shopify_shop_domain,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: CreateIntentRequest,
    x_shopify_shop_domain: str,
) -> Response[Any | IntentsCreated | ProcessedWithErrors]:
    """Create Customer Intent to Buy Product

     Create a new intent for a customer to be notified when a product is back in stock. Unlike other API
    endpoints for Back in Stock, this API endpoint does not require an API Key.

    Args:
        x_shopify_shop_domain (str):
        body (CreateIntentRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | IntentsCreated | ProcessedWithErrors]
    """

    kwargs = _get_kwargs(
        body=body,
        x_shopify_shop_domain=x_shopify_shop_domain,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: CreateIntentRequest,
    x_shopify_shop_domain: str,
) -> Any | IntentsCreated | ProcessedWithErrors | None:
    """Create Customer Intent to Buy Product

     Create a new intent for a customer to be notified when a product is back in stock. Unlike other API
    endpoints for Back in Stock, this API endpoint does not require an API Key.

    Args:
        x_shopify_shop_domain (str):
        body (CreateIntentRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | IntentsCreated | ProcessedWithErrors
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            x_shopify_shop_domain=x_shopify_shop_domain,
        )
    ).parsed
