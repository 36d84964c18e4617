"""Read specs and the vendor's pages, refuse what is not OpenAPI, and merge pages into one spec."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from functools import reduce
from os.path import commonprefix
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen
from jsonpointer import JsonPointer, JsonPointerException, resolve_pointer
from markdown_it import MarkdownIt
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.exits import Exit, RunError, one_line

MOST_BYTES = 5_000_000
MOST_SECONDS = 30.0
OPENAPI_KEY = re.compile(r"(^|[{,])\s*[\"']?openapi[\"']?\s*:", re.MULTILINE)


@frozen
class Page:
    """A page: where it came from (URL or file name), its sha256, and the document in it."""

    source: str
    sha256: str
    document: dict[str, Any]


def read_page(source: str, client: httpx.Client | None = None) -> Page:
    """Read a saved page, a JSON or YAML file, or an https URL; stop if it has no valid OpenAPI."""
    name = source
    if source.startswith("https://"):
        content = _fetched(source, client or httpx.Client(timeout=10))
    elif "://" in source:
        raise RunError(f"{source} is neither a file nor an https URL", Exit.WRONG_ARGUMENTS)
    else:
        name = Path(source).name
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise RunError(f"cannot read {source}: {error.strerror}") from error
    document = find_openapi(content, name)
    check(document, name)
    return Page(name, hashlib.sha256(content).hexdigest(), document)


def _fetched(url: str, client: httpx.Client) -> bytes:
    content, ends_at = b"", time.monotonic() + MOST_SECONDS
    try:
        with client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES or time.monotonic() > ends_at:
                    limits = f"{MOST_BYTES:,} bytes or {MOST_SECONDS:.0f} s"
                    raise RunError(f"{url} takes more than {limits}")
    except httpx.HTTPError as error:
        raise RunError(f"cannot fetch {url}: {error or type(error).__name__}") from error
    return content


def find_openapi(content: bytes, name: str) -> dict[str, Any]:
    """Return the one OpenAPI document in a page, or in a file that is JSON or YAML as a whole."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunError(f"{name}: byte {error.start} is not UTF-8") from error
    tokens = [] if text.lstrip().startswith("{") else MarkdownIt().parse(text)
    blocks = {
        f"{name}, the block at line {(token.map or [0])[0] + 1}": token.content
        for token in tokens
        if token.type in ("fence", "code_block") and OPENAPI_KEY.search(token.content)
    }
    whole = {name: text} if OPENAPI_KEY.search(text) else {}
    read = {place: _parsed(part, place) for place, part in (blocks or whole).items()}
    documents = {place: each for place, each in read.items() if isinstance(each, dict)}
    found = {place: each for place, each in documents.items() if "openapi" in each}
    if not found:
        reason = f"{name} holds no OpenAPI document, nor does a code block in it"
        raise RunError(f"{reason}; save the page as Markdown (.md)")
    first, *others = found.values()
    if any(other != first for other in others):
        raise RunError(f"{' and '.join(found)} hold different documents; keep one")
    return first


def _parsed(text: str, place: str) -> Any:
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        # In JSON a date and the key of an object are strings.
        return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
    except (ValueError, TypeError, RecursionError, YAMLError) as error:
        raise RunError(f"{place} is not JSON or YAML: {one_line(error)}") from error


def merged(pages: list[Page]) -> dict[str, Any]:
    """Return one spec of all `pages`; a single page's document is returned as it is.

    Title and version are the first page's. Paths are rebased on the longest part that all servers
    begin with. A page's security goes to its own operations. What two pages name alike must be
    the same.
    """
    first = pages[0].document
    if len(pages) == 1:
        return first
    servers = [(page.document.get("servers") or [{"url": ""}])[0]["url"] for page in pages]
    urls = [server.rstrip("/") for server in servers]
    # Of lists, it compares the items.
    base = "/".join(commonprefix([url.split("/") for url in urls]))  # noqa: RUF071
    if "://" not in base:
        raise RunError(f"the pages have no server in common: {', '.join(urls)}")
    servers = [{**first["servers"][0], "url": base}, *first["servers"][1:]]
    spec: dict[str, Any] = {"openapi": first["openapi"], "info": first["info"]}
    spec |= {"servers": servers, "paths": {}}
    source_of: dict[tuple[str, ...], str] = {}
    for page, url in zip(pages, urls, strict=True):
        for place, part in _parts(page.document, url.removeprefix(base)):
            *above, name = place
            holder = reduce(lambda holder, step: holder.setdefault(step, {}), above, spec)
            source = source_of.setdefault(place, page.source)
            if holder.setdefault(name, part) != part:
                reason = f"{'/'.join(place)} differs between {source} and {page.source}"
                raise RunError(f"{reason}; make it one, or read one page")
    check(spec, " and ".join(page.source for page in pages))
    return spec


def _parts(document: dict[str, Any], above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what must not differ between pages, with its place: release, components, operations."""
    yield ("openapi",), document["openapi"]
    for section, components in document.get("components", {}).items():
        for name, component in components.items():
            yield ("components", section, name), component
    shared = {"security": document["security"]} if "security" in document else {}
    for path, item in document.get("paths", {}).items():
        for name, part in item.items():
            yield ("paths", above + path, name), shared | part if "responses" in part else part


def check(document: dict[str, Any], name: str) -> None:
    """Stop unless `document` is a valid OpenAPI 3.0 or 3.1 document that stands alone."""
    version = str(document["openapi"])
    if not re.fullmatch(r"3\.[01]\.[0-9]+", version):
        raise RunError(f"{name} is not OpenAPI 3.0.x or 3.1.x but {version}")
    if fault := next(_faults(document), None):
        raise RunError(f"{name} is not valid OpenAPI: {fault}")


def _faults(document: dict[str, Any]) -> Iterator[str]:
    for place, holder in _objects(document):
        if isinstance(target := holder.get("$ref"), str):
            try:
                resolve_pointer(document, target.removeprefix("#"))
            except JsonPointerException:
                yield f"{place}/$ref leads to {target!r}, which is not in this file"
    try:
        # It fetches nothing, since each reference leads into the file.
        validate(document)
    except OpenAPIValidationError as fault:
        while fault.context:
            # When none of several forms fits, the one that got furthest says most.
            fault = max(fault.context, key=lambda branch: len(branch.absolute_path))
        place = JsonPointer.from_parts(fault.absolute_path).path
        if "default" in fault.schema and not place:
            # The library does not say where a default stands that its schema does not allow.
            found = (at for at, holder in _objects(document) if holder == fault.schema)
            place = f"{next(found, '')}/default"
        yield f"{place or 'the top'}: {one_line(fault.message, 200)}"
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over is a fault
        yield one_line(f"{type(error).__name__}: {error}")


def _objects(value: Any, *place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object in `value`, with its JSON Pointer."""
    if isinstance(value, dict):
        yield JsonPointer.from_parts(place).path, value
    pairs = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else pairs:
        yield from _objects(item, *place, str(key))
