"""Read an OpenAPI document and refuse what the generator cannot work from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonpointer import JsonPointerException, resolve_pointer

from pipeline.exits import Exit, RunError, one_line, shown

# Both engines find the same faults; jsonschema-rs, where it is installed, words them otherwise.
os.environ["OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND"] = "jsonschema"


def read_document(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a JSON file, and the OpenAPI document in it, checked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(Exit.SPEC, f"cannot read {shown(path)}: {error.strerror}") from error
    document = parsed(content, shown(path))
    check(document, shown(path))
    return content, document


def parsed(content: bytes, name: str) -> Any:
    """Return the JSON value in `content`; refuse repeated keys, NaN and lone surrogates."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"an object has the key {twice!r} twice; remove one of them")
        return dict(pairs)

    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        reason = f"{name} is not JSON: {error}"
        if re.search(rb"^(```|~~~|#+ |> )", content, re.MULTILINE):
            reason = f"{name} is a page, not JSON; run scripts/update_spec.py with it"
        elif re.match(rb"\s*(openapi|swagger|info):", content):
            reason = f"{name} is YAML, not JSON; run scripts/update_spec.py with it"
        raise RunError(Exit.SPEC, reason) from error
    return value


def check(document: Any, name: str) -> None:
    """Stop unless `document` is a valid OpenAPI 3.0 or 3.1 document that stands alone."""
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"3\.[01]\.[0-9]+", version):
        found = "no object" if not isinstance(document, dict) else f'"openapi": {version!r}'
        raise RunError(Exit.SPEC, f"{name} is not OpenAPI 3.0.x or 3.1.x: it has {found}")
    if fault := _dangling(document) or _invalid(document, version):
        raise RunError(Exit.SPEC, f"{name} is not valid OpenAPI: {fault}")


def pointer(*parts: object) -> str:
    """Return the JSON Pointer made of `parts`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def objects(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `value`, if it is an object, and each object below it, with its JSON Pointer."""
    if isinstance(value, dict):
        yield place, value
    pairs = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else pairs:
        yield from objects(item, place + pointer(key))


def _dangling(document: dict[str, Any]) -> str | None:
    for place, holder in objects(document):
        if isinstance(target := holder.get("$ref"), str):
            try:
                resolve_pointer(document, target.removeprefix("#"))
            except JsonPointerException:
                return f"{place}/$ref leads to {target!r}, which is not in this file"
    return None


def _invalid(document: dict[str, Any], version: str) -> str | None:
    from jsonschema_path import SchemaPath
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    kind = OpenAPIV30SpecValidator if version.startswith("3.0.") else OpenAPIV31SpecValidator
    try:
        # Without handlers, nothing that a reference names is fetched.
        fault = next(kind(SchemaPath.from_dict(document, handlers={})).iter_errors(), None)
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over is a fault
        return one_line(f"{type(error).__name__}: {error}")
    if fault is None:
        return None
    while fault.context:
        # When none of several forms fits, the one that got furthest says most.
        fault = max(fault.context, key=lambda branch: len(branch.absolute_path))
    place = pointer(*fault.absolute_path)
    if "default" in fault.schema and not place:
        # The library does not say where a default stands that its schema does not allow.
        found = (at for at, holder in objects(document) if holder == fault.schema)
        place = f"{next(found, '')}/default"
    return f"{one_line(place, 200) or 'the top'}: {one_line(fault.message, 200)}"
