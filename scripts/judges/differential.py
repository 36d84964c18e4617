"""Ask Prism's mock and the sandbox about the same requests, and compare what they say.

Each request is a sound one with nothing, one thing or several things changed. What can be changed
is read off the schema in openapi.json: every property missing, null, of each other type, outside
of its enum or pattern, or fine but unusual; every object with properties that it does not list;
and the headers. Each change is sent by itself first; then random heaps, up to the number asked for,
of those changes on which the judges agreed.

Compared is what the schema can say: whether the request is accepted, and if not, which places
break which keyword. The sandbox's answers about prose (200 with errors, 404 for an unknown
shop) count as accepted, since the schema says nothing there. differential_explained.toml lists the
changes on which the judges differ for a reason; any other, a heap on which they differ, and
an entry without a difference, is a failure.
"""

import argparse
import asyncio
import copy
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import field, frozen

from judges.explanations import explanations_from_toml
from judges.prism import SPEC, prism
from stoqapp_sandbox import Sandbox

LIST: Final = Path(__file__).with_name("differential_explained.toml")
SHOP_HEADER: Final = "X-Shopify-Shop-Domain"
CONNECTIONS: Final = 8

Finding = tuple[str, str]


@frozen
class Change:
    """One thing done to a sound request.

    Attributes:
        kind: What is done, like ``null``.
        place: Where, as a path into the body, a header's name, or ``body``.
        value: What is put there; unused where something is taken out.
    """

    kind: str
    place: str
    value: Any = None


@frozen
class Literal:
    """JSON with a spelling that json.dumps would not choose."""

    text: str


@frozen
class Verdict:
    """What a judge says of a request.

    Attributes:
        accepted: Whether the schema allows the request; None where the judge itself failed.
        findings: Each place that breaks the schema, with the keyword that it breaks.
        said: Status and words, for a report.
    """

    accepted: bool | None
    findings: frozenset[Finding]
    said: str = field(eq=False)


SAMPLES: Final[dict[str, list[Any]]] = {
    "integer": [1, 0, -1, 2**31, 2**53, -(2**53)],
    "string": [
        "x",
        "",
        " ",
        "null",
        "1",
        "true",
        "Zoë ☂ 😀",
        "\u0000",
        "\u2028",
        "<script>",
        "é" * 3000,
    ],
    "boolean": [True, False],
    "null": [None],
    "fraction": [1.5, -0.1, 1e-7],
    "array": [[], [1], ["email"], [{}], [None]],
    "object": [{}, {"a": 1}, {"email": "email"}],
}
NEAR_MISSES: Final = ("{0} ", " {0}", "{0}\n", "\n{0}", "{0}\u0000", "{0}{0}", "")
HARMLESS: Final = ("fine", "optional missing", "extra property", "header unusual")
COUNTRIES: Final = {
    "fine": ["aa", "zz", "us"],
    "pattern": [
        "",
        "u",
        "usa",
        "US",
        "uS",
        "us\n",
        "\nus",
        " us",
        "u1",
        "ùs",
        "\uff55\uff53",
        "\u017fs",
    ],
}
SPELLINGS: Final = {
    "integer with a fraction of zero": ["1.0", "-7.00"],
    "integer with an exponent": ["1e2", "1E+2"],
    "minus zero": ["-0"],
    "integer beyond 64 bits": [str(2**63), str(10**30)],
    "integer beyond a double": ["1" + "0" * 400],
    "number beyond a double": ["1e999"],
}
ODD_JSON: Final = (
    Change("name twice, the last one fine", "intent.quantity", Literal('"x", "quantity": 1')),
    Change("name twice, the last one wrong", "intent.quantity", Literal('1, "quantity": "x"')),
    Change("escapes", "customer.name", Literal(r'"\ud83d\ude00 \u0041\/"')),
    Change("half of a surrogate pair", "customer.name", Literal(r'"\ud800"')),
    Change("unlisted number beyond a double", "product.extra", Literal("1e999")),
    Change("nested 90 deep", "product.extra", Literal("[" * 90 + "]" * 90)),
    Change("nested 200 deep", "product.extra", Literal("[" * 200 + "]" * 200)),
    Change("integer of 5000 digits", "product.extra", Literal("1" * 5000)),
)
EXTRAS: Final[list[Any]] = [None, 1, "x", [], {"a": {"b": [None, {}]}}]
EXTRA_NAMES: Final = ("extra", "", "Intent", "__proto__", "constructor", "toString", "id ", "ï☂")
HEADERS: Final[dict[str, dict[str, list[str | None]]]] = {
    "header missing": {SHOP_HEADER: [None], "Content-Type": [None]},
    "header empty": {SHOP_HEADER: [""], "Content-Type": [""]},
    "header unusual": {SHOP_HEADER: ["demo", "DEMO.myshopify.com", "https://x", "1", "null"]},
    "media type wrong": {
        "Content-Type": [
            *("text/plain", "application/xml", "application/x-www-form-urlencoded"),
            *("multipart/form-data", "application/problem+json", "*/*"),
        ]
    },
    "media type malformed": {"Content-Type": ["json"]},
    "media type with parameters": {
        "Content-Type": ["application/json; charset=utf-8", "application/json;charset=UTF-8"]
    },
    "media type in other letters": {"Content-Type": ["Application/JSON"]},
}
TEXTS: Final = {
    "body empty": [b""],
    "body no JSON": [b"{", b"{]", b"nonsense", b'{"intent":}', b"'x'", b"\x00", b'{"a":1}}'],
    "body of no UTF-8": [b"\xff\xfe"],
    "body with a string of no UTF-8": [b'{"intent": "\xe9"}'],
    "body of another type": [b"[]", b"1", b'"x"', b"true", b"1.5"],
    "body null": [b"null"],
    "body NaN": [b'{"extra": NaN}', b'{"extra": Infinity}'],
}


def _properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, bool]]:
    for name, part in schema.get("properties", {}).items():
        place = f"{path}.{name}".lstrip(".")
        yield place, part, name in schema.get("required", [])
        yield from _properties(part, place)


def _fitting(part: Mapping[str, Any]) -> list[Any]:
    if "enum" in part:
        return list(part["enum"])
    if "pattern" in part:
        return COUNTRIES["fine"]
    return [] if part["type"] == "object" else SAMPLES[part["type"]]


def changes_from_schema(schema: Mapping[str, Any]) -> list[Change]:
    """Return every change of the module's docstring, each kind at each place that it fits."""
    changes = []
    for place, part, required in _properties(schema):
        changes.append(Change("required missing" if required else "optional missing", place))
        changes += [Change("fine", place, value) for value in _fitting(part)]
        for other, values in SAMPLES.items():
            if other != part["type"]:
                kind = "null" if other == "null" else f"{part['type']} as {other}"
                changes += [Change(kind, place, value) for value in values]
        if "enum" in part:
            near = {form.format(value) for value in part["enum"] for form in NEAR_MISSES}
            near |= {value.upper() for value in part["enum"]} | {"fax"}
            changes += [Change("enum", place, v) for v in sorted(near - set(part["enum"]))]
        if "pattern" in part:
            changes += [Change("pattern", place, value) for value in COUNTRIES["pattern"]]
        if part["type"] == "integer":
            changes += [
                Change(kind, place, Literal(text))
                for kind, texts in SPELLINGS.items()
                for text in texts
            ]
    objects = ["", *(place for place, part, _ in _properties(schema) if part["type"] == "object")]
    for place in objects:
        for name in EXTRA_NAMES:
            changes += [Change("extra property", f"{place}.{name}".lstrip("."), v) for v in EXTRAS]
    for kind, by_name in HEADERS.items():
        changes += [Change(kind, name, v) for name, values in by_name.items() for v in values]
    changes += [Change(kind, "body", text) for kind, texts in TEXTS.items() for text in texts]
    sound = json.dumps(sound_body(schema, 0))
    changes += [
        Change("body among white space", "body", f"\r\n\t {sound}\n".encode()),
        Change("body with a byte order mark", "body", b"\xef\xbb\xbf" + sound.encode()),
        Change("body in UTF-16", "body", sound.encode("utf-16")),
    ]
    return [*changes, *ODD_JSON]


def sound_body(schema: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a body with every property; *number* makes its customer one of a kind."""
    body: dict[str, Any] = {}
    for place, part, _ in _properties(schema):
        *sections, name = place.split(".")
        inside = body
        for section in sections:
            inside = inside[section]
        inside[name] = {} if part["type"] == "object" else _fitting(part)[0]
    body["customer"] |= {"email": f"c{number}@example.com", "phone": f"1555{number:07}"}
    return body


@frozen
class Request:
    """What is sent to both judges."""

    changes: tuple[Change, ...]
    raw: bytes
    headers: Mapping[str, str]


def request_with(changes: tuple[Change, ...], schema: Mapping[str, Any], number: int) -> Request:
    """Return the sound request *number* with *changes* made to it, in their order."""
    body: Any = sound_body(schema, number)
    headers = {SHOP_HEADER: "demo.myshopify.com", "Content-Type": "application/json"}
    raw: bytes | None = None
    literals: dict[str, str] = {}
    made = []
    for change in changes:
        if change.place in headers:
            if change.value is None:
                del headers[change.place]
            else:
                headers[change.place] = change.value
        elif change.place == "body":
            raw = change.value
        else:
            *sections, name = change.place.split(".")
            inside = body
            for section in sections:
                inside = inside.get(section) if isinstance(inside, dict) else None
            if not isinstance(inside, dict):
                continue
            if change.kind.endswith("missing"):
                inside.pop(name, None)
            elif isinstance(change.value, Literal):
                stand_in = f"literal-{len(literals)}"
                literals[f'"{stand_in}"'] = change.value.text
                inside[name] = stand_in
            else:
                inside[name] = copy.deepcopy(change.value)
        made.append(change)
    if raw is None:
        text = json.dumps(body, ensure_ascii=False)
        for stand_in, literal in literals.items():
            text = text.replace(stand_in, literal)
        raw = text.encode()
    return Request(tuple(made), raw, headers)


def heaps(changes: list[Change], count: int, seed: int) -> list[tuple[Change, ...]]:
    """Return *count* random heaps of changes, half of them of harmless changes alone."""
    chosen = random.Random(seed)  # noqa: S311 - repeatable, not secret
    by_kind: dict[str, list[Change]] = {}
    for change in changes:
        by_kind.setdefault(change.kind, []).append(change)
    made = []
    for number in range(count):
        among = HARMLESS if number % 2 else tuple(sorted(by_kind))
        size = chosen.randint(2, 8 if among is HARMLESS else 4)
        drawn = [chosen.choice(by_kind[chosen.choice(among)]) for _ in range(size)]
        # One change for each place: a later one would hide the earlier.
        heap = {change.place: change for change in drawn}
        if "Content-Type" in heap:
            # Of two reasons not to look into a body, the judges name different ones.
            heap.pop("body", None)
        made.append(tuple(heap.values()))
    return made


@frozen
class Comparison:
    """A request and what the two judges say of it."""

    request: Request
    judged: Verdict
    ours: Verdict

    @property
    def difference(self) -> str:
        """How they differ: in whether, or in where and what; empty where they agree."""
        if self.judged.accepted is None:
            return "prism fails"
        if self.judged.accepted != self.ours.accepted:
            return f"prism {'accepts' if self.judged.accepted else 'refuses'}"
        findings, others = self.judged.findings, self.ours.findings
        if any(place == _MEDIA_TYPE for place, _ in findings):
            # Prism looks into no body of another media type, the sandbox into each.
            findings, others = _of_headers(findings), _of_headers(others)
        return "" if findings == others else "findings differ"

    @property
    def name(self) -> str:
        """The difference and what was changed."""
        changed = "; ".join(f"{c.kind} at {c.place}" for c in self.request.changes) or "nothing"
        return f"{self.difference}: {changed}"


_KEYWORDS: Final = {
    "is required": "required",
    "is required as a header": "required",
    "must be of type": "type",
    "must be '": "enum",
    "must match": "pattern",
    "must ": "json",
}
_MEDIA_TYPE: Final = "header content-type"
_NAMED: Final = re.compile(r"required property '(.*)'$", re.DOTALL)


def _of_headers(findings: frozenset[Finding]) -> frozenset[Finding]:
    return frozenset(finding for finding in findings if finding[0].startswith("header "))


def sandbox_verdict(status: int, text: str) -> Verdict:
    """Return what an answer of the sandbox says of the request."""
    said = f"{status} {text[:300]}"
    if status != 400:
        if status not in {200, 201, 404}:
            raise SystemExit(f"differential: the sandbox answered {said}")
        return Verdict(True, frozenset(), said)
    findings = set()
    for error in json.loads(text)["errors"]:
        place, _, message = error.partition(": ")
        keyword = next(word for start, word in _KEYWORDS.items() if message.startswith(start))
        header = place if place in (SHOP_HEADER, "Content-Type") else ""
        findings.add((f"header {header.lower()}" if header else place, keyword))
    return Verdict(False, frozenset(findings), said)


def prism_verdict(status: int, text: str, violations: str) -> Verdict:
    """Return what an answer of Prism's mock says of the request."""
    said = f"{status} {violations or text}"[:500]
    if status < 300:
        return Verdict(True, frozenset(), said)
    if status >= 500:
        return Verdict(None, frozenset(), said)
    if not violations:
        if json.loads(text)["error"]["code"] != "invalid_json":
            raise SystemExit(f"differential: Prism answered {said}")
        return Verdict(False, frozenset([("body", "json")]), said)
    findings = set()
    for violation in json.loads(violations):
        where, keyword = violation["location"][1:], violation.get("code")
        named = _NAMED.search(violation["message"])
        if keyword == 415:
            continue
        if keyword == "required" and named:
            where = [*where, named[1]]
        if where[:1] == ["header"]:
            findings.add((f"header {where[1]}", keyword))
        else:
            findings.add((".".join(map(str, where[1:])) or "body", keyword))
    return Verdict(False, frozenset(findings), said)


async def compared(asked: list[Request], mock: str, base_url: str) -> list[Comparison]:
    """Ask both judges about each request; return what they said, in order."""
    made: dict[int, Comparison] = {}
    left = iter(enumerate(asked))
    # aiohttp would name a content type of its own where the request is to have none.
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:

        async def one_after_the_other() -> None:
            for number, request in left:
                sent: dict[str, Any] = {"data": request.raw, "headers": request.headers}
                async with session.post(f"{mock}/intents.json", **sent) as answer:
                    said = answer.headers.get("sl-violations", "")
                    judged = prism_verdict(answer.status, await answer.text(), said)
                async with session.post(f"{base_url}/intents.json", **sent) as answer:
                    ours = sandbox_verdict(answer.status, await answer.text())
                made[number] = Comparison(request, judged, ours)

        await asyncio.gather(*(one_after_the_other() for _ in range(CONNECTIONS)))
    return [made[number] for number in range(len(asked))]


def _print_counts(comparisons: list[Comparison]) -> None:
    sent, alone, refused, agreed = (Counter[str]() for _ in range(4))
    outcomes = Counter[str]()
    for comparison in comparisons:
        changes, ours = comparison.request.changes, comparison.ours
        kinds = {change.kind for change in changes} or {"nothing"}
        sent.update(kinds)
        if len(changes) < 2:
            alone.update(kinds)
            refused.update(kinds if not ours.accepted else ())
        if not comparison.difference:
            agreed.update(kinds)
            outcomes["accepted by both" if ours.accepted else "refused by both"] += 1
        else:
            outcomes[comparison.difference] += 1
    width = max(map(len, sent))
    print(f"{'what was changed':{width}}  requests  agreed  alone  of these refused")
    for kind in sorted(sent):
        print(
            f"{kind:{width}}  {sent[kind]:8}  {agreed[kind]:6}  {alone[kind]:5}  {refused[kind]:7}"
        )
    counts = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    print(f"{len(comparisons)} requests: {counts}")


def main() -> int:
    """Compare, print the counts, and return 1 where something differs without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000, help="how many (default: 5000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random heaps (default: 1)")
    arguments = parser.parse_args()
    document = json.loads(SPEC.read_text("utf-8"))
    operation = document["paths"]["/intents.json"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    explanations = explanations_from_toml(LIST)
    changes = changes_from_schema(schema)
    asked = [(), *((change,) for change in changes)]
    began = time.monotonic()
    with prism("mock") as mock, Sandbox() as sandbox:

        def compare(what: list[tuple[Change, ...]], first: int) -> list[Comparison]:
            made = [request_with(heap, schema, first + n) for n, heap in enumerate(what)]
            return asyncio.run(compared(made, mock, sandbox.base_url))

        singles = compare(asked, 0)
        agreeing = [c.request.changes[0] for c in singles[1:] if not c.difference]
        more = max(0, arguments.requests - len(singles))
        comparisons = singles + compare(heaps(agreeing, more, arguments.seed), len(singles))
    seconds = time.monotonic() - began
    unexplained = {
        comparison.name: comparison
        for comparison in comparisons
        if comparison.difference
        and (len(comparison.request.changes) != 1 or explanations.unexplained([comparison.name]))
    }
    _print_counts(comparisons)
    print(
        f"{len(changes)} changes by themselves, {len(agreeing)} of them agreed on; {seconds:.0f} s"
    )
    print(f"explained in {LIST.name}:\n{explanations.report()}")
    for name, comparison in unexplained.items():
        request = comparison.request
        print(f"DIFFERENCE: {name}\n  {request.raw[:300]!r}\n  {dict(request.headers)}")
        print(f"  prism:   {comparison.judged.said}\n  sandbox: {comparison.ours.said}")
    for pattern in explanations.stale():
        print(f"STALE, explains nothing any more: {pattern}")
    print(f"changes on which they differ without a reason: {len(unexplained)}")
    return 1 if unexplained or explanations.stale() else 0


if __name__ == "__main__":
    sys.exit(main())
