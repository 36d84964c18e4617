"""Where the vendor's ``openapi.json`` is, and the one operation that the sandbox reads in it."""

import json
from collections.abc import Mapping
from functools import reduce
from importlib.resources import files
from operator import getitem
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

from stoqapp.spec import INTENTS_PATH
from stoqapp_sandbox.errors import SandboxError

FILE_NAME: Final = "openapi.json"

_JSON_TYPE: Final = "application/json"
_CHECKOUT: Final = Path(__file__).parents[2]


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

    It is in the package stoqapp in an installed wheel, and at the root of a checkout.

    Raises:
        SandboxError: It is in neither place, or is no object of JSON.
    """
    shipped = files("stoqapp").joinpath(FILE_NAME)
    for place in (shipped, _CHECKOUT / FILE_NAME):
        if place.is_file():
            try:
                document = json.loads(place.read_text(encoding="utf-8-sig"))
            except (ValueError, RecursionError):
                document = None
            if not isinstance(document, dict):
                raise SandboxError(f"{place} must be an OpenAPI document: a JSON object in UTF-8")
            return document
    raise SandboxError(
        f"{FILE_NAME} is missing from the package: reinstall it with"
        " pip install --force-reinstall 'stoqapp[sandbox]'"
    )


def operation_from_spec(document: Mapping[str, Any]) -> Operation:
    """Find the operation that creates an intent in an OpenAPI document.

    Raises:
        SandboxError: The document has no such operation with a JSON body, or it is not as
            OpenAPI has it.
    """
    try:
        path_item = document["paths"][INTENTS_PATH]
        operation = path_item["post"]
        listed = [
            _resolved(document, parameter)
            for part in (path_item, operation)
            for parameter in part.get("parameters") or ()
        ]
        # The operation's come last, and win over those of the path.
        headers = {one["name"]: one for one in listed if one["in"] == "header"}
        content = _resolved(document, operation["requestBody"])["content"]
        return Operation(
            version=str(document["openapi"]),
            base_path=urlsplit(document["servers"][0]["url"]).path.rstrip("/"),
            path=INTENTS_PATH,
            body_schema=_of_json(content)["schema"],
            header_schemas={name: header.get("schema", {}) for name, header in headers.items()},
            required_headers=frozenset(
                name for name, header in headers.items() if header.get("required")
            ),
            components=document.get("components", {}),
        )
    except KeyError as missing:
        reason = f"{missing} is missing"
    except IndexError:
        reason = "a server is missing"
    except (TypeError, AttributeError, ValueError):
        reason = "a part is not of the type that OpenAPI gives it"
    raise SandboxError(
        f"{FILE_NAME} does not describe POST {INTENTS_PATH} the way the sandbox reads it: {reason}"
    )


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a ``$ref`` within the document leads to, or *part* where there is none."""
    seen = set()
    while "$ref" in part:
        reference = part["$ref"]
        if not reference.startswith("#/") or reference in seen:
            raise SandboxError(f"{FILE_NAME}: {reference} leads to no part of the document")
        seen.add(reference)
        steps = unquote(reference.removeprefix("#/")).split("/")
        part = reduce(
            getitem, (step.replace("~1", "/").replace("~0", "~") for step in steps), document
        )
    return part


def _of_json(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a request body's content says of JSON, whatever its parameters."""
    for media_type, described in content.items():
        if media_type.partition(";")[0].strip().lower() == _JSON_TYPE:
            found: Mapping[str, Any] = described
            return found
    raise KeyError(_JSON_TYPE)
