"""Read the vendor's pages, find the OpenAPI block in each, and merge them into one spec."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import time
from os.path import commonprefix
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen
from markdown_it import MarkdownIt
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

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

    @property
    def server(self) -> str:
        """The URL of the first server, without a slash at the end."""
        return str((self.document.get("servers") or [{"url": ""}])[0]["url"]).rstrip("/")


def read_page(source: str, client: httpx.Client | None = None) -> Page:
    """Read a saved page, a JSON or YAML file, or an https URL; stop if it has no OpenAPI."""
    name = source
    if source.startswith("https://"):
        content = _fetched(source, client or httpx.Client(follow_redirects=True, timeout=10))
    elif "://" in source:
        raise RunError(Exit.USAGE, f"{source} is neither a file nor an https URL")
    else:
        name = Path(source).name
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            raise RunError(Exit.SPEC, f"cannot read {source}: {error.strerror}") from error
    return Page(name, content, find_openapi(content, name))


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
    for page in others:
        # "https:", "" and the host.
        if page.server.split("/")[:3] != first.server.split("/")[:3]:
            reason = f"{first.source} is served by {first.server}"
            raise RunError(Exit.SPEC, f"{reason}, and {page.source} by {page.server}")
        if (version := page.document.get("openapi")) != first.document.get("openapi"):
            reason = f"{first.source} is OpenAPI {first.document.get('openapi')}"
            raise RunError(Exit.SPEC, f"{reason}, and {page.source} is {version}: make them one")
    server, *more = first.document.get("servers") or [{}]
    spec: dict[str, Any] = {key: first.document[key] for key in ("openapi", "info")}
    spec |= {"servers": [{**server, "url": base or "/"}, *more], "paths": {}}
    origin: dict[str, str] = {}

    def put(holder: dict[str, Any], name: str, value: Any, what: str) -> None:
        source = origin.setdefault(what, page.source)
        if holder.setdefault(name, value) != value:
            reason = f"{what} differs between {source} and {page.source}"
            raise RunError(Exit.SPEC, f"{reason}; rename it in one of them, or read one page")

    for page in pages:
        document = copy.deepcopy(page.document)
        for section, components in document.get("components", {}).items():
            held = spec.setdefault("components", {}).setdefault(section, {})
            for name, value in components.items():
                put(held, name, value, f"components/{section}/{name}")
        for path, item in document.get("paths", {}).items():
            rebased = page.server[len(base) :] + path
            for key, value in item.items():
                if "responses" in value and "security" in document:
                    value.setdefault("security", document["security"])
                held = spec["paths"].setdefault(rebased, {})
                put(held, key, value, f"{key.upper()} {rebased}")
    return spec
