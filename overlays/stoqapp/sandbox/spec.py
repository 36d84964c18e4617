"""Where the vendor's ``openapi.json`` is, and the one operation that the sandbox reads in it."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from stoqapp.sandbox.errors import SandboxError
from stoqapp.wire import INTENTS_PATH

FILE_NAME: Final = "openapi.json"

_CHECKOUT: Final = Path(__file__).parents[3]


@frozen
class Operation:
    """What the spec says of creating an intent.

    Attributes:
        version: The OpenAPI version of the document, like ``"3.0.3"``.
        base_path: Path of the first server (``/api/v1``).
        path: Path of the operation below it.
        body_schema: JSON Schema of the request body.
        header_schemas: Schema of each header that is listed, by its name.
        required_headers: Those of them that must be there.
        components: What ``$ref`` in the schemas may point to.
    """

    version: str
    base_path: str
    path: str
    body_schema: Mapping[str, Any]
    header_schemas: Mapping[str, Mapping[str, Any]]
    required_headers: frozenset[str]
    components: Mapping[str, Any]


def spec() -> dict[str, Any]:
    """Return the vendor's OpenAPI document.

    It is beside this module in an installed wheel, and at the root of a checkout.

    Raises:
        SandboxError: It is in neither place.
    """
    shipped = files("stoqapp.sandbox").joinpath(FILE_NAME)
    for place in (shipped, _CHECKOUT / FILE_NAME):
        if place.is_file():
            document: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
            return document
    raise SandboxError(
        f"{FILE_NAME} is missing from the package: reinstall it with"
        " pip install --force-reinstall 'stoqapp[sandbox]'"
    )


def operation_from_spec(document: Mapping[str, Any]) -> Operation:
    """Find the operation that creates an intent in an OpenAPI document.

    Raises:
        SandboxError: The document has no such operation with a JSON body.
    """
    try:
        path_item = document["paths"][INTENTS_PATH]
        operation = path_item["post"]
        parameters = [
            parameter
            for parameter in (*path_item.get("parameters", ()), *operation.get("parameters", ()))
            if parameter["in"] == "header"
        ]
        return Operation(
            version=document["openapi"],
            base_path=urlsplit(document["servers"][0]["url"]).path.rstrip("/"),
            path=INTENTS_PATH,
            body_schema=operation["requestBody"]["content"]["application/json"]["schema"],
            header_schemas={header["name"]: header.get("schema", {}) for header in parameters},
            required_headers=frozenset(
                header["name"] for header in parameters if header.get("required")
            ),
            components=document.get("components", {}),
        )
    except (KeyError, IndexError) as missing:
        raise SandboxError(
            f"{FILE_NAME} does not describe POST {INTENTS_PATH} the way the sandbox reads it:"
            f" {missing} is missing"
        ) from missing
