"""Whether a request fits the schemas of the spec, judged by jsonschema-rs."""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from stoqapp.spec import Spec
from stoqapp_sandbox.errors import SandboxError

# OpenAPI 3.0 builds on a draft that fell between 4 and 6; 4 shares its integers (1.0 is
# none) and its boolean exclusiveMinimum.
_DRAFTS: Final = {"3.0": jsonschema_rs.Draft4Validator, "3.1": jsonschema_rs.Draft202012Validator}
_MESSAGES: Final = {
    "required": "is required",
    "type": "must be of type {}",
    "enum": "must be {}",
    "pattern": "must match the pattern {}",
}


class Judge:
    """The schema of a request's body and headers, compiled once.

    Raises:
        SandboxError: A schema of the spec is none, or its OpenAPI version is unknown.
    """

    def __init__(self, spec: Spec) -> None:
        version = ".".join(str(spec.document["openapi"]).split(".")[:2])
        if version not in _DRAFTS:
            known = " and ".join(_DRAFTS)
            raise SandboxError(f"openapi.json is OpenAPI {version}; the sandbox reads {known}")
        headers = {
            "properties": {name: row.get("schema", {}) for name, row in spec.headers.items()},
            "required": [name for name, row in spec.headers.items() if row.get("required")],
        }
        document = {
            "properties": {"body": spec.request.keywords, "headers": headers},
            "components": spec.document.get("components", {}),
        }
        try:
            self._request = _DRAFTS[version](_without_nullable(document), validate_formats=True)
        except jsonschema_rs.ValidationError as error:
            place = "/".join(map(str, error.instance_path))
            raise SandboxError(f"openapi.json: {place} is not a schema: {error.message}") from None
        self._names = [*spec.headers]

    def faults(self, headers: Mapping[str, str], body: Any) -> list[str]:
        """Return what is wrong with *headers* (names in lower case) and *body*.

        Each as ``path: message``, without the value; empty when both fit. Raises ValueError for a
        body that is nested too deeply.
        """
        given = {}
        for name in self._names:
            if value := headers.get(name.lower(), "").strip():
                is_type = name.lower() == "content-type"
                given[name] = value.partition(";")[0].rstrip().lower() if is_type else value
        try:
            errors = self._request.iter_errors({"body": body, "headers": given})
        except ValueError:
            # jsonschema-rs reads 255 levels, Python some 1,000.
            raise ValueError("body: must be JSON without deep nesting") from None
        return [f"{_path(error)}: {_message(error)}" for error in errors]


def _path(error: jsonschema_rs.ValidationError) -> str:
    names = [str(step) for step in error.instance_path[1:]]
    if error.kind.name == "required":
        names.append(error.kind.value)
    return ".".join(names) or "body"


def _message(error: jsonschema_rs.ValidationError) -> str:
    keyword, stated = error.kind.name, error.kind.value
    if keyword in ("type", "enum"):
        stated = " or ".join(map(str if keyword == "type" else repr, stated))
    return _MESSAGES.get(keyword, f"breaks {keyword!r} of its schema").format(stated)


def _without_nullable(schema: Any) -> Any:
    """Say in JSON Schema what OpenAPI 3.0 says with ``nullable``, which JSON Schema lacks."""
    if isinstance(schema, list):
        return [_without_nullable(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    translated = {key: _without_nullable(part) for key, part in schema.items()}
    if translated.get("nullable") is True and isinstance(translated.get("type"), str):
        translated["type"] = [translated["type"], "null"]
    return translated
