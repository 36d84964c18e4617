"""Read specs and the vendor's pages, refuse what is not OpenAPI, and merge pages into one spec."""

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from os.path import commonprefix
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen
from jsonpointer import JsonPointer, JsonPointerException, resolve_pointer
from markdown_it import MarkdownIt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.exits import Exit, RunError, one_line

# Both engines find the same faults; jsonschema-rs, where it is installed, words them otherwise.
os.environ["OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND"] = "jsonschema"
MOST_BYTES = 5_000_000
MOST_SECONDS = 30.0


@frozen
class Page:
    """A page: where it came from (URL or file name), its bytes, and the document in it."""

    source: str
    content: bytes
    document: dict[str, Any]

    @property
    def sha256(self) -> str:
        """The fingerprint of the page as it was read."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def server(self) -> str:
        """The URL of the first server, without a slash at the end."""
        return str((self.document.get("servers") or [{"url": ""}])[0]["url"]).rstrip("/")


def read_page(source: str, client: httpx.Client | None = None) -> Page:
    """Read a saved page, a JSON or YAML file, or an https URL; stop if it has no OpenAPI."""
    if source.startswith("https://"):
        content = _fetched(source, client or httpx.Client(follow_redirects=True, timeout=10))
        return Page(source, content, find_openapi(content, source))
    if "://" in source:
        raise RunError(Exit.USAGE, f"{source} is neither a file nor an https URL")
    content, name = read_file(Path(source)), Path(source).name
    return Page(name, content, find_openapi(content, name))


def read_file(path: Path) -> bytes:
    """Return what is in a file; stop where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(Exit.SPEC, f"cannot read {path}: {error.strerror}") from error


def _fetched(url: str, client: httpx.Client) -> bytes:
    content, ends_at = b"", time.monotonic() + MOST_SECONDS
    try:
        with client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            if answer.url.scheme != "https":
                raise RunError(Exit.SPEC, f"{url} leads to {answer.url}, which is not https")
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise RunError(Exit.SPEC, f"{url} is larger than {MOST_BYTES:,} bytes")
                if time.monotonic() > ends_at:
                    raise RunError(Exit.SPEC, f"{url} takes longer than {MOST_SECONDS:.0f} s")
    except httpx.HTTPError as error:
        raise RunError(Exit.SPEC, f"cannot fetch {url}: {error or type(error).__name__}") from error
    return content


def find_openapi(content: bytes, name: str) -> Any:
    """Return the one OpenAPI document in a page, or in a file that is JSON or YAML as a whole."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunError(Exit.SPEC, f"{name}: byte {error.start} is not UTF-8") from error
    if re.match(r"\s*(\{|(#.*\n|---\s*\n|\s)*(openapi|swagger):)", text):
        return _parsed(text, name)
    blocks = [token for token in MarkdownIt().parse(text) if token.type in ("fence", "code_block")]
    found: dict[str, Any] = {}
    for block in blocks:
        if re.search(r"(^|[{,])\s*[\"']?openapi[\"']?\s*:", block.content, re.MULTILINE):
            place = f"the block at line {(block.map or [0])[0] + 1}"
            document = _parsed(block.content, f"{name}, {place}")
            if isinstance(document, dict) and "openapi" in document:
                found[place] = document
    if not found:
        reason = f"none of its {len(blocks)} code blocks is an OpenAPI document"
        raise RunError(Exit.SPEC, f"{name}: {reason}; save the page as Markdown (.md)")
    first, *others = found.values()
    if any(other != first for other in others):
        reason = f"{name}: {' and '.join(found)} hold different OpenAPI documents; keep one"
        raise RunError(Exit.SPEC, reason)
    return first


def _parsed(text: str, place: str) -> Any:
    if text.lstrip()[:1] == "{":
        return parsed(text.encode(), place)
    try:
        # In JSON a date and the key of an object are strings.
        return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
    except YAMLError as error:
        raise RunError(Exit.SPEC, f"{place} is not YAML: {one_line(error)}") from error


def parsed(content: bytes, name: str) -> Any:
    """Return the JSON value in `content`; stop where it is none."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = f"not JSON: {error}"
        if found := re.search(rb"^(?:(```|~~~|#+ |> )|(?:openapi|info):)", content, re.MULTILINE):
            kind = "a page" if found[1] else "YAML"
            reason = f"{kind}, not JSON; run scripts/update_spec.py with it"
        raise RunError(Exit.SPEC, f"{name} is {reason}") from error


def merged(pages: list[Page]) -> dict[str, Any]:
    """Return one spec of all `pages`; a single page's document is returned as it is.

    Title and version are the first page's. Paths are rebased on the longest part that all servers
    begin with. A page's security goes to its own operations. What two pages name alike must be
    the same.
    """
    first, *others = pages
    if not others:
        return first.document
    # Of lists, it compares the items.
    base = "/".join(commonprefix([page.server.split("/") for page in pages]))  # noqa: RUF071
    server, *more = first.document.get("servers") or [{}]
    spec: dict[str, Any] = {key: first.document[key] for key in ("openapi", "info")}
    spec |= {"servers": [{**server, "url": base or "/"}, *more], "paths": {}}
    source_of: dict[tuple[str, str, str], str] = {}
    for page in pages:
        for what, was, is_now in (
            ("host", httpx.URL(first.server).host, httpx.URL(page.server).host),
            ("OpenAPI release", first.document.get("openapi"), page.document.get("openapi")),
        ):
            if was != is_now:
                reason = f"{first.source} has the {what} {was}, and {page.source} {is_now}"
                raise RunError(Exit.SPEC, f"{reason}: make them one")
        for place, part in _parts(page, page.server[len(base) :]):
            section, group, name = place
            held = spec.setdefault(section, {}).setdefault(group, {}).setdefault(name, part)
            source = source_of.setdefault(place, page.source)
            if held != part:
                reason = f"{'/'.join(place)} differs between {source} and {page.source}"
                raise RunError(Exit.SPEC, f"{reason}; rename it in one of them, or read one page")
    return spec


def _parts(page: Page, above: str) -> Iterator[tuple[tuple[str, str, str], Any]]:
    """Yield each component, and what there is at each path, with its place."""
    for section, components in page.document.get("components", {}).items():
        for name, component in components.items():
            yield ("components", section, name), component
    for path, item in page.document.get("paths", {}).items():
        for name, part in item.items():
            if "responses" in part and "security" in page.document:
                yield ("paths", above + path, name), {"security": page.document["security"]} | part
            else:
                yield ("paths", above + path, name), part


def check(document: Any, name: str) -> None:
    """Stop unless `document` is a valid OpenAPI 3.0 or 3.1 document that stands alone."""
    version = document.get("openapi") if isinstance(document, dict) else "not even an object"
    if not re.fullmatch(r"3\.[01]\.[0-9]+", str(version)):
        raise RunError(Exit.SPEC, f"{name} is not OpenAPI 3.0.x or 3.1.x but {version}")
    if fault := _dangling(document) or _invalid(document, str(version)):
        raise RunError(Exit.SPEC, f"{name} is not valid OpenAPI: {fault}")


def _objects(value: Any, *place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object in `value`, with its JSON Pointer."""
    if isinstance(value, dict):
        yield JsonPointer.from_parts(place).path, value
    pairs = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else pairs:
        yield from _objects(item, *place, str(key))


def _dangling(document: dict[str, Any]) -> str | None:
    for place, holder in _objects(document):
        if isinstance(target := holder.get("$ref"), str):
            try:
                resolve_pointer(document, target.removeprefix("#"))
            except JsonPointerException:
                return f"{place}/$ref leads to {target!r}, which is not in this file"
    return None


def _invalid(document: dict[str, Any], version: str) -> str | None:
    # Here, so that the choice of the engine above comes first.
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
    place = JsonPointer.from_parts(fault.absolute_path).path
    if "default" in fault.schema and not place:
        # The library does not say where a default stands that its schema does not allow.
        found = (at for at, holder in _objects(document) if holder == fault.schema)
        place = f"{next(found, '')}/default"
    return f"{place or 'the top'}: {one_line(fault.message, 200)}"
