"""Read the vendor's pages, find the OpenAPI block in each, and merge them into one spec."""

from __future__ import annotations

import copy
import hashlib
import io
import re
import time
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from pipeline.document import parsed
from pipeline.exits import Exit, RunError, one_line

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


def read_page(source: str, client: httpx.Client | None = None) -> Page:
    """Read a saved page, a JSON or YAML file, or an https URL; stop if it has no OpenAPI."""
    if source.startswith("https://"):
        content = _fetched(source, client or httpx.Client(follow_redirects=True, timeout=10))
        return Page(source, content, find_openapi(content, source))
    if "://" in source:
        raise RunError(Exit.USAGE, f"{source} is neither a file nor an https URL")
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise RunError(Exit.SPEC, f"cannot read {source}: {error.strerror}") from error
    return Page(Path(source).name, content, find_openapi(content, Path(source).name))


def _fetched(url: str, client: httpx.Client) -> bytes:
    content = b""
    ends_at = time.monotonic() + MOST_SECONDS
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
    if text.lstrip()[:1] == "{" or re.match(r"\s*(#.*\n|---\s*\n)*\s*(openapi|swagger):", text):
        return _parsed(text, name)

    from markdown_it import MarkdownIt

    blocks = [token for token in MarkdownIt().parse(text) if token.type in ("fence", "code_block")]
    found: list[tuple[str, dict[str, Any]]] = []
    for block in blocks:
        if re.search(r"(^|[{,])\s*[\"']?openapi[\"']?\s*:", block.content, re.MULTILINE):
            place = f"{name}, the block at line {(block.map or [0])[0] + 1}"
            document = _parsed(block.content, place)
            if isinstance(document, dict) and "openapi" in document:
                found.append((place, document))
    if not found:
        reason = f"none of its {len(blocks)} code blocks is an OpenAPI document"
        raise RunError(Exit.SPEC, f"{name}: {reason}; save the page as Markdown (.md)")
    for place, document in found[1:]:
        if document != found[0][1]:
            both = f"{found[0][0]} and {place.removeprefix(f'{name}, ')}"
            raise RunError(Exit.SPEC, f"{both} hold different OpenAPI documents; keep one")
    return found[0][1]


def _parsed(text: str, place: str) -> Any:
    if text.lstrip()[:1] == "{":
        return parsed(text.encode(), place)

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    # In JSON a date is a string.
    yaml.constructor.add_constructor(
        "tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node)
    )
    try:
        return yaml.load(io.StringIO(text))
    except YAMLError as error:
        raise RunError(Exit.SPEC, f"{place} is not YAML: {one_line(error)}") from error


def merged(pages: list[Page]) -> dict[str, Any]:
    """Return one spec of all `pages`; a single page's document is returned as it is.

    Title and version are the first page's. Paths are rebased on the longest part that all servers
    begin with. A page's security goes to its own operations. What two pages name alike must be
    the same.
    """
    if len(pages) == 1:
        return pages[0].document
    base = _common_server(pages)
    first = pages[0].document
    spec: dict[str, Any] = {key: first[key] for key in ("openapi", "info") if key in first}
    spec |= {"servers": _servers(first, base), "paths": {}}
    origin: dict[str, str] = {}

    def put(holder: dict[str, Any], name: str, value: Any, what: str, page: Page) -> None:
        if holder.setdefault(name, value) != value:
            reason = f"{what} differs between {origin[what]} and {page.source}"
            raise RunError(Exit.SPEC, f"{reason}; rename it in one of them, or read one page")
        origin.setdefault(what, page.source)

    for page in pages:
        document = copy.deepcopy(page.document)
        if document.get("openapi") != spec["openapi"]:
            reason = f"{pages[0].source} is OpenAPI {spec['openapi']}"
            raise RunError(
                Exit.SPEC,
                f"{reason}, and {page.source} is {document.get('openapi')}: read them"
                " as one version",
            )
        for section, components in document.get("components", {}).items():
            held = spec.setdefault("components", {}).setdefault(section, {})
            for name, value in components.items():
                put(held, name, value, f"components/{section}/{name}", page)
        for path, item in document.get("paths", {}).items():
            path = _server(page)[len(base) :] + path
            for key, value in item.items():
                if isinstance(value, dict) and "responses" in value and "security" in document:
                    value.setdefault("security", document["security"])
                put(spec["paths"].setdefault(path, {}), key, value, f"{key.upper()} {path}", page)
    return spec


def _server(page: Page) -> str:
    servers = page.document.get("servers") or [{"url": "/"}]
    return str(servers[0]["url"]).rstrip("/")


def _servers(document: dict[str, Any], base: str) -> list[dict[str, Any]]:
    return [{**document["servers"][0], "url": base}, *document["servers"][1:]]


def _common_server(pages: list[Page]) -> str:
    urls = [_server(page).split("/") for page in pages]
    common = []
    for parts in zip(*urls, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    # "https:", "" and the host.
    if len(common) < 3:
        other = next(page for page in pages if _server(page).split("/")[:3] != urls[0][:3])
        reason = f"{pages[0].source} is served by {_server(pages[0])}"
        raise RunError(Exit.SPEC, f"{reason}, and {other.source} by {_server(other)}")
    return "/".join(common)
