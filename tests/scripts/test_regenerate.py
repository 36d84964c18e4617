"""scripts/regenerate.py: generated/ is what openapi.json gives, and every failure is harmless."""

import ast
import copy
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bench_regenerate
import regenerate
from regenerate import Exit

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "generated" / "stoq_public_api_client"
SPEC_BYTES = (ROOT / "openapi.json").read_bytes()
CORRECTIONS = json.loads((ROOT / "scripts" / "corrections.json").read_text("utf-8"))
OPERATION = "/paths/~1intents.json/post"

VALID = {
    "openapi": "3.0.3",
    "info": {"title": "Small", "version": "1"},
    "paths": {"/pings": {"get": {"responses": {"204": {"description": "Nothing to say"}}}}},
}


def spec() -> dict[str, Any]:
    """openapi.json, to be changed at will."""
    document: dict[str, Any] = json.loads(SPEC_BYTES)
    return document


def files_below(folder: Path) -> dict[str, bytes]:
    """Everything below `folder` but __pycache__: bytes of files, targets of links, folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.fsencode(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else b""
    return found


class Checkout:
    """A copy of what regenerate.py belongs to, to break at will."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec = root / "openapi.json"
        self.package = root / "generated" / "stoq_public_api_client"
        for name in ("openapi.json", "pyproject.toml"):
            shutil.copy(ROOT / name, root / name)
        (root / "scripts").mkdir()
        for name in ("regenerate.py", "corrections.json", "generator.yml"):
            shutil.copy(ROOT / "scripts" / name, root / "scripts" / name)
        shutil.copytree(ROOT / "scripts" / "pipeline", root / "scripts" / "pipeline")
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def command(self, *arguments: str) -> list[str]:
        """The script's command line."""
        return [sys.executable, str(self.root / "scripts" / "regenerate.py"), *arguments]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the script with `arguments`."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, **options
        )

    def change_spec(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Write the spec anew with `change` made to it."""
        document = spec()
        change(document)
        self.spec.write_text(json.dumps(document, indent=2), "utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in sync."""
    (tmp_path / "checkout").mkdir()
    return Checkout(tmp_path / "checkout")


def assert_refused(
    checkout: Checkout, code: Exit, named: str, *arguments: str, **options: Any
) -> None:
    """One line on stderr with `named` in it, exit `code`, and not a byte changed."""
    before = files_below(checkout.root)
    done = checkout.run(*arguments, **options)
    assert code == done.returncode, done.stderr
    assert 1 == done.stderr.count("\n"), done.stderr
    assert done.stderr.startswith("regenerate: ")
    assert named in done.stderr
    assert "" == done.stdout
    assert before == files_below(checkout.root)


# --- what is committed


def test_generated_is_in_sync(capfd: pytest.CaptureFixture[str]) -> None:
    """The committed package is what openapi.json gives, and --check writes nothing."""
    before = files_below(PACKAGE.parent)
    assert Exit.DONE == regenerate.main(["--check"]), capfd.readouterr().out
    assert before == files_below(PACKAGE.parent)


def test_spec_is_pretty_printed() -> None:
    """openapi.json is its own pretty-print: two spaces, UTF-8, a final newline."""
    pretty = json.dumps(json.loads(SPEC_BYTES), indent=2, ensure_ascii=False) + "\n"
    assert pretty.encode("utf-8") == SPEC_BYTES


def test_every_module_has_the_header() -> None:
    """Each module says that it is generated; one says by what release, and from what spec."""
    modules = {path.name: path.read_bytes() for path in PACKAGE.rglob("*.py")}
    assert len(modules) > 10
    assert all(module.startswith(regenerate.HEADER) for module in modules.values())
    release = importlib.metadata.version("openapi-python-client")
    for told in (release, hashlib.sha256(SPEC_BYTES).hexdigest()):
        assert ["typed_dicts.py"] == [
            name for name, module in modules.items() if told.encode() in module
        ]


def test_package_is_typed_and_has_no_caches() -> None:
    """py.typed is there and empty; nothing but modules is there beside it."""
    others = {path for path in files_below(PACKAGE) if not path.endswith(".py")}
    assert {"api", "api/intents", "models", "py.typed"} == others
    assert b"" == (PACKAGE / "py.typed").read_bytes()


def test_generated_imports_nothing_of_ours() -> None:
    """Generated modules import the standard library, attrs, httpx and each other."""
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).partition(".")[0])
    assert {"attrs", "httpx"} == imported - sys.stdlib_module_names


def test_generated_is_importable_on_its_own(tmp_path: Path) -> None:
    """With only the package on the path, users get the documented names and arguments."""
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    program = """
        import inspect, sys
        import stoq_public_api_client
        from stoq_public_api_client import Client
        from stoq_public_api_client.models import CreateIntentRequest, Customer, NewIntent, Product
        from stoq_public_api_client.models import CreatedIntent, IntentsCreated, ProcessedWithErrors
        from stoq_public_api_client.api.intents import create_intent
        assert stoq_public_api_client.__file__.startswith(sys.argv[1])
        assert "stoqapp" not in sys.modules
        for function in (create_intent.sync_detailed, create_intent.asyncio_detailed):
            arguments = list(inspect.signature(function).parameters)
            assert ["client", "body", "x_shopify_shop_domain"] == arguments, arguments
        intent = NewIntent(
            shopify_variant_id=1, shopify_product_id=2, channel="email", quantity=1, source="api"
        )
        request = CreateIntentRequest(intent=intent, customer=Customer(email="a@b.test"))
        assert request == CreateIntentRequest.from_dict(request.to_dict())
    """
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), str(tmp_path)]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)


# --- the same input gives the same bytes


@pytest.mark.parametrize(
    ("settings", "folder", "umask"),
    [
        ({"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONUTF8": "0"}, "/", 0o077),
        ({"PYTHONHASHSEED": "4711", "RUFF_LINE_LENGTH": "40", "COLUMNS": "20"}, ".", 0o002),
    ],
)
def test_same_bytes_everywhere(
    settings: dict[str, str], folder: str, umask: int, tmp_path: Path
) -> None:
    """Hash seed, locale, time zone, umask and working directory have no say in the bytes."""
    # A surrounding project with other ruff settings and a .gitignore that hides everything.
    (tmp_path / "ruff.toml").write_text("line-length = 40\n")
    (tmp_path / ".gitignore").write_text("*\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / "build").mkdir()
    output = tmp_path / "another_name"
    environment = {**os.environ, **settings, "TMPDIR": str(tmp_path / "build")}
    command = [sys.executable, str(ROOT / "scripts" / "regenerate.py"), "--output", str(output)]
    where = tmp_path if folder == "." else Path(folder)
    subprocess.run(
        command, env=environment, cwd=where, umask=umask, check=True, stdout=subprocess.DEVNULL
    )
    assert files_below(PACKAGE) == files_below(output)
    assert 0o777 & ~umask == stat.S_IMODE(output.stat().st_mode)
    assert {".git", ".gitignore", "another_name", "build", "ruff.toml"} == {
        path.name for path in tmp_path.iterdir()
    }
    assert [] == list((tmp_path / "build").iterdir())


def test_up_to_date_package_is_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that changes nothing says so and does not touch the package."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    package = tmp_path / "package"
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(package)]
    assert Exit.DONE == regenerate.main(arguments)
    assert f"{package}: written (10 files)\n" == capfd.readouterr().out
    before = package.stat()
    assert Exit.DONE == regenerate.main(arguments)
    assert f"{package}: up to date (10 files)\n" == capfd.readouterr().out
    assert (before.st_ino, before.st_mtime_ns) == (
        package.stat().st_ino,
        package.stat().st_mtime_ns,
    )


# --- check notices, and a run without --check puts right


def test_check_notices_every_difference(checkout: Checkout) -> None:
    """--check names what was edited, added and lost; writing puts all of it right."""
    synced = files_below(checkout.root)
    edited = checkout.package / "models" / "customer.py"
    edited.write_text(edited.read_text().replace("email", "e_mail", 1))
    (checkout.package / "models" / "product.py").unlink()
    (checkout.package / "by_hand.py").touch()
    (checkout.package / "__pycache__").mkdir()
    (checkout.package / "__pycache__" / "client.pyc").touch()
    (checkout.package / "__init__.py").write_text("")
    broken = files_below(checkout.root)

    done = checkout.run("--check")
    assert Exit.DIFFERS == done.returncode
    assert "" == done.stderr
    assert broken == files_below(checkout.root)
    lines = done.stdout.splitlines()
    named = [line for line in lines if line.startswith(("changed", "foreign", "missing"))]
    assert [
        "changed: __init__.py",
        "foreign: by_hand.py",
        "changed: models/customer.py",
        "missing: models/product.py",
    ] == named
    assert any("e_mail" in line for line in lines)

    assert Exit.DONE == checkout.run().returncode
    assert synced == files_below(checkout.root)
    assert not (checkout.package / "__pycache__").exists()


TREE = {"__init__.py": b"# made\n", "models/__init__.py": b"", "models/intent.py": b"x = 1\n"}


def write_tree(folder: Path, tree: dict[str, bytes]) -> None:
    """Write `tree` below `folder`."""
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def cached(folder: Path, name: str) -> None:
    """Put a file into the __pycache__ of `folder`."""
    write_tree(folder / "__pycache__", {name: b""})


def make_link(package: Path) -> None:
    """Put a link to the same bytes in the place of a file."""
    (package / "elsewhere").write_bytes(TREE["models/intent.py"])
    (package / "models" / "intent.py").unlink()
    (package / "models" / "intent.py").symlink_to(package / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda package: None, []),
        (lambda package: (package / "models" / "__pycache__").mkdir(), []),
        (lambda package: cached(package / "models", "intent.cpython-311.pyc"), []),
        (lambda package: cached(package / "models", "intent.cpython-311.pyc.139872"), []),
        (lambda package: cached(package / "models", "evil.py"), ["foreign"]),
        (lambda package: cached(package, "evil.so"), ["foreign"]),
        (lambda package: cached(package, "evil/a.pyc"), ["foreign"]),
        (lambda package: cached(package / "old", "a.pyc"), ["foreign"]),
        (lambda package: (package / "models" / "intent.pyc").touch(), ["foreign"]),
        (lambda package: (package / "models" / "intent.py").write_bytes(b""), ["changed"]),
        (lambda package: (package / "models" / "intent.py").chmod(0o755), ["changed"]),
        (lambda package: (package / "models" / "intent.py").unlink(), ["missing"]),
        (lambda package: shutil.rmtree(package / "models"), ["missing", "missing"]),
        (lambda package: (package / "empty").mkdir(), ["foreign"]),
        (lambda package: (package / "old" / "__pycache__").mkdir(parents=True), ["foreign"]),
        (lambda package: (package / ".hidden").touch(), ["foreign"]),
        (lambda package: (package / "bad\n\udc80name").touch(), ["foreign"]),
        (lambda package: (package / "__pycache__").symlink_to("models"), ["foreign"]),
        (lambda package: (package / "linked").symlink_to("models"), ["foreign"]),
        (lambda package: (package / "dangling").symlink_to("nowhere"), ["foreign"]),
        (lambda package: os.mkfifo(package / "pipe"), ["foreign"]),
        (make_link, ["foreign", "changed"]),
    ],
)
def test_differences(damage: Callable[[Path], object], said: list[str], tmp_path: Path) -> None:
    """Each kind of difference is named, and only what Python caches is passed over."""
    write_tree(tmp_path, TREE)
    damage(tmp_path)
    lines = regenerate.differences(TREE, regenerate.on_disk(tmp_path, TREE))
    assert said == [line.partition(":")[0] for line in lines if line[0] != " "]
    assert all(line.isprintable() for line in lines)


# --- every failure has its exit code and leaves everything as it was


@pytest.fixture
def lone_spec(tmp_path: Path) -> Iterator[Path]:
    """Where to put a spec; at the end, its package must not have come into being."""
    yield tmp_path / "spec.json"
    assert not (tmp_path / "package").exists()


def refusal(spec_file: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the one line on stderr for `spec_file`."""
    output = spec_file.parent / "package"
    code = regenerate.main(["--spec", str(spec_file), "--output", str(output)])
    captured = capfd.readouterr()
    assert captured.err.startswith("regenerate: ")
    assert 1 == captured.err.count("\n")
    assert len(captured.err) < 1300
    return code, captured.err


def with_schema(schema: object) -> str:
    """A spec whose one answer has `schema`."""
    document: dict[str, Any] = copy.deepcopy(VALID)
    document["paths"]["/pings"]["get"]["responses"]["200"] = {
        "description": "Something",
        "content": {"application/json": {"schema": schema}},
    }
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", Exit.NOT_JSON, "Expecting value"),
        ("openapi: 3.0.3\n", Exit.NOT_JSON, "convert YAML"),
        (json.dumps(VALID)[:-1], Exit.NOT_JSON, "Expecting"),
        ("\ufeff{}", Exit.NOT_JSON, "byte order mark"),
        (b"\xff{}", Exit.NOT_JSON, "UTF-8"),
        (json.dumps(VALID).encode("utf-16"), Exit.NOT_JSON, "UTF-8"),
        ('{"openapi": "3.0.3", "openapi": "3.1.0"}', Exit.NOT_JSON, "'openapi' twice"),
        ('{"openapi": NaN}', Exit.NOT_JSON, "NaN"),
        ('{"openapi": -Infinity}', Exit.NOT_JSON, "-Infinity"),
        (
            r'{"info": ["", "a \ud83d b"]}',
            Exit.NOT_JSON,
            r"at /info/1: '\ud83d' is half a character",
        ),
        (r'{"info": {"\uDE00": 1}}', Exit.NOT_JSON, r"at /info/\ude00: '\ude00' is half"),
        ("[" * 100_000, Exit.NOT_JSON, "nested too deeply"),
        ('{"openapi": ' + "1" * 5000 + "}", Exit.NOT_JSON, "digits"),
        ("[]", Exit.NOT_OPENAPI, "list"),
        ('"openapi"', Exit.NOT_OPENAPI, "str"),
        ("null", Exit.NOT_OPENAPI, "NoneType"),
        ("{}", Exit.NOT_OPENAPI, "openapi"),
        ('{"openapi": 3.0}', Exit.NOT_OPENAPI, "openapi"),
        ('{"openapi": "3.0.3"}', Exit.NOT_OPENAPI, "info"),
        ('{"openapi": "3.0.3", "info": 1, "paths": {}}', Exit.NOT_OPENAPI, "/info"),
        ('{"openapi": "3.1.0", "info": {}, "paths": {}}', Exit.NOT_OPENAPI, "title"),
        (json.dumps({**VALID, "paths": {"/a": {"get": {}}}}), Exit.NOT_OPENAPI, "/paths/~1a/get"),
        (json.dumps({**VALID, "paths": ["x" * 10**6]}), Exit.NOT_OPENAPI, "/paths"),
        (with_schema({"type": "text"}), Exit.NOT_OPENAPI, "text"),
        (with_schema({"$ref": "#/components/schemas/None"}), Exit.NOT_OPENAPI, "schemas/None"),
        (with_schema({"$ref": "http://127.0.0.1:9/a.json"}), Exit.NOT_OPENAPI, "leads out"),
        (with_schema({"$ref": "other.json#/a"}), Exit.NOT_OPENAPI, "leads out"),
        (with_schema({"$ref": "file:///etc/passwd"}), Exit.NOT_OPENAPI, "leads out"),
        (with_schema({"$id": "http://127.0.0.1:9/"}), Exit.NOT_OPENAPI, "leads out"),
        ('{"swagger": "2.0"}', Exit.VERSION, "'2.0'"),
        ('{"openapi": "2.0"}', Exit.VERSION, "'2.0'"),
        ('{"openapi": "3.2.0"}', Exit.VERSION, "'3.2.0'"),
        ('{"openapi": "3.0"}', Exit.VERSION, "'3.0'"),
        ('{"openapi": "3.0.3\\n"}', Exit.VERSION, "3.0.3"),
        ('{"openapi": ""}', Exit.VERSION, "''"),
    ],
)
def test_unusable_spec_is_refused(
    text: str | bytes, code: Exit, named: str, lone_spec: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is not JSON, not OpenAPI or of another version is refused before anything runs."""
    lone_spec.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    found_code, line = refusal(lone_spec, capfd)
    assert (code, True) == (found_code, named in line), line


FREE = {"$id": "abc", "$ref": "http://127.0.0.1:9/zzz", "in": [{"$dynamicRef": "#gone"}]}


def with_free_data(version: str) -> dict[str, Any]:
    """A spec with what looks like a reference wherever it holds data of any form."""
    schema = {
        "type": "object",
        "example": FREE,
        "default": FREE,
        "properties": {
            "default": {"type": "object", "default": {"$ref": "#/nowhere"}},
            "example": {"type": "string", "example": FREE},
            "examples": {"$ref": "#/components/schemas/value"},
            "properties": {"type": "object", "properties": {"enum": {"type": "string"}}},
        },
    }
    if version.startswith("3.1"):
        schema["examples"] = [FREE]
    document = json.loads(with_schema(schema))
    document["openapi"] = version
    answers = document["paths"]["/pings"]["get"]["responses"]
    answers["200"]["content"]["application/json"]["example"] = FREE
    answers["404"] = {"$ref": "#/components/responses/default"}
    document["components"] = {
        "schemas": {"value": {"type": "string", "example": FREE}},
        "examples": {"value": {"value": FREE}},
        "responses": {
            "default": {
                "description": "Not there",
                "content": {
                    "text/plain": {
                        "schema": {"$ref": "#/components/schemas/value"},
                        "examples": {
                            "value": {"$ref": "#/components/examples/value"},
                            "here": {"value": FREE},
                        },
                    }
                },
            }
        },
    }
    return document


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_examples_and_defaults_may_hold_anything(
    version: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What looks like a reference in an example or a default is data, and no fault."""
    document = with_free_data(version)
    before = copy.deepcopy(document)
    (tmp_path / "spec.json").write_text(json.dumps(document))
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(tmp_path / "package")]
    assert Exit.DONE == regenerate.main(arguments), capfd.readouterr().err
    regenerate.check_openapi(document, "spec.json")
    assert before == document


@pytest.mark.parametrize("value", [{"enum": [FREE]}, {"const": FREE}])
def test_constants_may_hold_anything(value: dict[str, Any]) -> None:
    """What looks like a reference in an enum or a const is data, and valid."""
    document = json.loads(with_schema(value))
    regenerate.check_openapi({**document, "openapi": "3.1.0"}, "spec.json")


@pytest.mark.parametrize(
    "place",
    [
        "/components/schemas/value",
        "/components/schemas/default",
        "/components/schemas/A/properties/default",
        "/components/schemas/A/properties/example",
        "/components/schemas/A/properties/enum/items",
        "/components/schemas/A/properties/const/properties/examples",
        "/components/schemas/A/properties/properties/properties/default",
        "/components/schemas/A/items/properties/value",
        "/components/schemas/A/allOf/0/properties/default",
        "/components/responses/default",
        "/components/headers/example",
        "/components/parameters/default",
        "/components/examples/default",
        "/components/links/default",
        "/components/callbacks/default",
        "/components/callbacks/default/example",
        "/components/requestBodies/default",
        "/components/securitySchemes/default",
        "/components/pathItems/default",
        "/components/schemas/A/patternProperties/default",
        "/components/schemas/A/dependentSchemas/default",
        "/components/schemas/A/$defs/default",
        "/components/schemas/A/definitions/default",
        "/webhooks/default",
        "/paths/default",
        "/paths/~1pings/get/responses/default",
        "/paths/~1pings/get/responses/200/content/default/schema",
        "/paths/~1pings/get/responses/200/content/default/encoding/default",
        "/paths/~1pings/get/responses/200/content/default/examples/value",
        "/paths/~1pings/get/responses/200/headers/default",
        "/paths/~1pings/get/parameters/0/examples/default",
    ],
)
def test_reference_at_a_name_like_a_keyword_is_refused(place: str) -> None:
    """What is only called default or example is no data: a reference out of it is refused."""
    document: dict[str, Any] = copy.deepcopy(VALID)
    value: Any = {"$ref": "http://127.0.0.1:9/a.json"}
    first, *parts = place.removeprefix("/").split("/")
    for part in reversed(parts):
        value = [value] if part == "0" else {part.replace("~1", "/"): value}
    with pytest.raises(regenerate.RunError, match="leads out") as stopped:
        regenerate.check_openapi({**document, first: value}, "spec.json")
    assert Exit.NOT_OPENAPI == stopped.value.exit_code
    assert f"at {place}/$ref: " in str(stopped.value)


def test_nothing_is_fetched_through_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to an example that refers elsewhere is a fault, and leads to no request."""
    # The validator opens its own schema, a file, the first time.
    regenerate.check_openapi(copy.deepcopy(VALID), "spec.json")
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *asked: fetched.append(asked))
    document = json.loads(with_schema({"$ref": "#/components/schemas/A/example"}))
    document["components"] = {"schemas": {"A": {"type": "object", "example": FREE}}}
    with pytest.raises(regenerate.RunError, match="/components/schemas/A/example"):
        regenerate.check_openapi(document, "spec.json")
    assert [] == fetched


def test_deeply_nested_spec_is_refused(lone_spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A spec that is JSON but nested beyond Python's stack is refused in one line."""
    lone_spec.write_text(with_schema("HERE").replace('"HERE"', '{"not":' * 300 + "{}" + "}" * 300))
    code, line = refusal(lone_spec, capfd)
    assert Exit.NOT_OPENAPI == code, line


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop"])
def test_unreadable_spec_is_refused(
    kind: str, lone_spec: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A spec that is not there, or is no file, is refused; a pipe is not waited for."""
    if kind == "folder":
        lone_spec.mkdir()
    elif kind == "pipe":
        os.mkfifo(lone_spec)
    elif kind == "loop":
        lone_spec.symlink_to(lone_spec)
    code, line = refusal(lone_spec, capfd)
    assert Exit.UNREADABLE == code
    assert str(lone_spec) in line


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"application/x-unheard-of": {"schema": {"type": "string"}}}, "application/x-unheard-of"),
        (
            {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "a": {"title": "Same", "type": "object"},
                            "b": {"title": "Same", "type": "object", "properties": {"c": {}}},
                        },
                    }
                }
            },
            "Same",
        ),
    ],
)
def test_generator_warning_stops_the_run(
    content: object, named: str, lone_spec: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the generator would leave out with a warning stops the run, in its words."""
    document = json.loads(with_schema({}))
    document["paths"]["/pings"]["get"]["responses"]["200"]["content"] = content
    lone_spec.write_text(json.dumps(document))
    code, line = refusal(lone_spec, capfd)
    assert Exit.GENERATOR == code, line
    assert "openapi-python-client: " in line
    assert "GET /pings" in line
    assert named in line
    assert " object at 0x" not in line


def test_generator_crash_is_one_line(lone_spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback of the generator is cut down to what it ends in."""
    document: dict[str, Any] = copy.deepcopy(VALID)
    document["paths"]["/pings"]["get"]["operationId"] = "too_long_for_a_file_name" * 20
    lone_spec.write_text(json.dumps(document))
    code, line = refusal(lone_spec, capfd)
    assert Exit.GENERATOR == code
    assert "it crashed: OSError" in line


def repin(checkout: Checkout, tool: str) -> None:
    """Let pyproject.toml pin another release of `tool`."""
    project = checkout.root / "pyproject.toml"
    release = importlib.metadata.version(tool)
    project.write_text(project.read_text().replace(f'"{tool}=={release}"', f'"{tool}==0.0.1"'))


@pytest.mark.parametrize("tool", ["openapi-python-client", "ruff"])
def test_other_release_is_refused(tool: str, checkout: Checkout) -> None:
    """A generator or ruff of a release that is not the pinned one is refused."""
    repin(checkout, tool)
    installed = importlib.metadata.version(tool)
    assert_refused(checkout, Exit.TOOL, f"{tool} {installed} is installed, but 0.0.1 is pinned")


def test_missing_tools_are_named(checkout: Checkout) -> None:
    """Without the tools the run says what is missing and what to run."""
    before = files_below(checkout.root)
    python, *arguments = checkout.command()
    # -S leaves out what is installed into the environment.
    done = subprocess.run(
        [python, "-I", "-S", *arguments], capture_output=True, text=True, check=False
    )
    assert Exit.TOOL == done.returncode
    assert done.stderr.startswith(
        "regenerate: openapi-python-client is not installed; run scripts/"
    )
    assert before == files_below(checkout.root)


@pytest.mark.parametrize("says", ["ruff 0.0.1", ""])
def test_other_ruff_binary_is_refused(says: str, checkout: Checkout, tmp_path: Path) -> None:
    """The ruff that runs is asked for its release, whatever is recorded as installed."""
    (tmp_path / "path" / "ruff").mkdir(parents=True)
    binary = tmp_path / "path" / "ruff.sh"
    binary.write_text(f"#!/bin/sh\necho {says}\n")
    binary.chmod(0o755)
    (tmp_path / "path" / "ruff" / "__init__.py").write_text(
        f"def find_ruff_bin():\n    return {str(binary)!r}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    assert_refused(checkout, Exit.TOOL, f"says it is {says!r}", env=environment)


def test_missing_pin_is_refused(checkout: Checkout) -> None:
    """A pyproject.toml that pins no release is refused."""
    (checkout.root / "pyproject.toml").write_text('[dependency-groups]\nregenerate = ["ruff"]\n')
    assert_refused(checkout, Exit.TOOL, "ruff==")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--spec", "other.json"], "--spec needs --output"),
        (["--chekc"], "--chekc"),
        (["--spec"], "expected one argument"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wrong arguments are told in one line."""
    assert Exit.USAGE == regenerate.main(arguments)
    line = capfd.readouterr().err
    assert named in line
    assert 1 == line.count("\n")


@pytest.mark.parametrize(
    "name", ["foo-bar", "1x", "a b", "class", "None", "a.b", "ﬁrst", "bad\nname", "/", "a-b/."]
)
def test_output_that_cannot_be_imported(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An output by whose name nothing can be imported is a usage error, and is not made."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(tmp_path / name)]
    assert Exit.USAGE == regenerate.main(arguments)
    line = capfd.readouterr().err
    assert "cannot be imported" in line
    assert 1 == line.count("\n")
    assert ["spec.json"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["client", "_x1", "match", "größe"])
def test_names_that_can_be_imported(name: str) -> None:
    """Soft keywords and letters of any alphabet are names of packages."""
    assert regenerate.is_importable(name)


def test_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """--help gives each exit code with its meaning."""
    with pytest.raises(SystemExit) as stopped:
        regenerate.main(["--help"])
    assert 0 == stopped.value.code
    text = capsys.readouterr().out
    assert [] == [code for code in Exit if f"{code.value:3}  {code.meaning}\n" not in text]


# --- where it writes


def in_a_file(base: Path) -> Path:
    (base / "file").touch()
    return base / "file" / "package"


def file(base: Path) -> Path:
    (base / "file").touch()
    return base / "file"


def full_folder(base: Path) -> Path:
    (base / "photos").mkdir()
    (base / "photos" / "cat.jpg").touch()
    return base / "photos"


def repository(base: Path) -> Path:
    shutil.copytree(PACKAGE, base / "client")
    (base / "client" / ".git").mkdir()
    return base / "client"


def inside_a_package(base: Path) -> Path:
    shutil.copytree(PACKAGE, base / "client")
    return base / "client" / "models"


def link_to_photos(base: Path) -> Path:
    (base / "link").symlink_to(full_folder(base))
    return base / "link"


def link_to_project(base: Path) -> Path:
    # The folder of a checkout may have a name that cannot be imported.
    (base / "link").symlink_to(ROOT)
    return base / "link"


def loop(base: Path) -> Path:
    (base / "loop").symlink_to(base / "loop")
    return base / "loop"


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda base: base, "holds the spec"),
        (link_to_project, "this project"),
        (lambda base: ROOT / "scripts", "this project"),
        (lambda base: ROOT / "tests", "not made it"),
        (file, "is a file"),
        (full_folder, "not made it"),
        (link_to_photos, "not made it"),
        (loop, "loop of symbolic links"),
        (repository, "git repository"),
        (inside_a_package, "lies in a generated package"),
    ],
)
def test_dangerous_output_is_refused(
    make: Callable[[Path], Path], named: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What this script has not made is never replaced."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    output = make(tmp_path)
    before = files_below(tmp_path)
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(output)]
    assert Exit.OUTPUT == regenerate.main(arguments)
    line = capfd.readouterr().err
    assert named in line
    assert 1 == line.count("\n")
    assert before == files_below(tmp_path)


@pytest.mark.parametrize("make", [file, loop])
def test_check_refuses_what_is_no_folder(
    make: Callable[[Path], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--check of what can be no package is an error, not a difference."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(make(tmp_path)), "--check"]
    assert Exit.OUTPUT == regenerate.main(arguments)
    assert "is refused" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("make", "listed", "kept"),
    [
        (lambda base: base, "foreign: spec.json", "holds the spec"),
        (full_folder, "foreign: cat.jpg", "not made it"),
        (repository, "foreign: .git/", "git repository"),
        (inside_a_package, "foreign: customer.py", "lies in a generated package"),
    ],
)
def test_check_looks_at_what_it_would_not_replace(
    make: Callable[[Path], Path],
    listed: str,
    kept: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """--check lists the differences of any folder, and says why it would not be replaced."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    output = make(tmp_path)
    before = files_below(tmp_path)
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(output), "--check"]
    assert Exit.DIFFERS == regenerate.main(arguments)
    *lines, advice = capfd.readouterr().out.splitlines()
    assert listed in lines
    assert "missing: __init__.py" in lines or "changed: __init__.py" in lines
    assert kept in advice
    assert "without --check" not in advice
    assert before == files_below(tmp_path)


@pytest.mark.parametrize("edited", [True, False])
def test_check_notices_a_lost_header(
    edited: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--check of another output names an __init__.py that is missing or has lost its header."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(tmp_path / "package")]
    assert Exit.DONE == regenerate.main(arguments)
    module = tmp_path / "package" / "__init__.py"
    module.unlink()
    if edited:
        module.write_text("")
    capfd.readouterr()
    assert Exit.DIFFERS == regenerate.main([*arguments, "--check"])
    said = capfd.readouterr().out.splitlines()
    assert ("changed" if edited else "missing") + ": __init__.py" == said[1]


def test_unwritable_output_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An output that cannot come into being is an error with a line of its own."""
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    output = in_a_file(tmp_path)
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(output)]
    assert Exit.OUTPUT == regenerate.main(arguments)
    assert capfd.readouterr().err.startswith("regenerate: cannot read or write: ")
    assert {"spec.json", "file"} == {path.name for path in tmp_path.iterdir()}


def test_full_disk_leaves_the_old_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a write fails half way, the old package stands and no rest lies beside it."""
    output = tmp_path / "package"
    write_tree(output, TREE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        regenerate.replace(output, {"__init__.py": b"new"})
    assert [output] == list(tmp_path.iterdir())
    assert TREE == {path: content for path, content in files_below(output).items() if content} | {
        "models/__init__.py": b""
    }


def test_another_spec_has_its_own_package(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--spec and --output build another spec's client, without our corrections, through a link."""
    spec_file = tmp_path / "large.json"
    spec_file.write_text(json.dumps(bench_regenerate.synthetic_spec(25)))
    (tmp_path / "not-a-name").mkdir()
    (tmp_path / "large_client").symlink_to(tmp_path / "not-a-name")
    arguments = ["--spec", str(spec_file), "--output", str(tmp_path / "large_client")]
    assert Exit.DONE == regenerate.main(arguments), capfd.readouterr().err
    assert (tmp_path / "large_client").is_symlink()
    modules = list((tmp_path / "not-a-name" / "api").rglob("put_order_*.py"))
    assert 25 == len(modules)
    program = "import large_client.api.group_1.put_order_24, large_client.models"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd="/", check=True)


def test_validator_is_kept_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """openapi-spec-validator takes the fast lists of schemas that it is given."""
    appended: list[int] = []
    monkeypatch.setattr(
        regenerate.SeenIds,
        "append",
        lambda self, item: (appended.append(item), self._ids.add(item)),
    )
    assert None is regenerate.first_fault(bench_regenerate.synthetic_spec(3), "3.0.3")
    assert len(appended) > 10


# --- corrections


def parent_and_key(document: Any, place: str) -> tuple[Any, Any]:
    """The container that `place` points into, and the key in it."""
    *parts, last = [part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:]]
    for part in parts:
        document = document[int(part) if isinstance(document, list) else part]
    return document, int(last) if isinstance(document, list) else last


def changes_at_guarded_places() -> Iterator[Any]:
    """For each operation of each correction: what the vendor might do at its place."""
    for correction in CORRECTIONS:
        for operation in correction["operations"]:
            place, kind = operation["path"], operation["op"]
            where = f"{correction['name']}-{place.rsplit('/', 1)[1]}"
            if kind in ("test", "remove"):
                yield pytest.param(correction, place, "gone", id=f"{where}-gone")
                yield pytest.param(correction, place, "other", id=f"{where}-other")
            if kind == "add":
                yield pytest.param(correction, place, "taken", id=f"{where}-taken")


@pytest.mark.parametrize(("correction", "place", "change"), list(changes_at_guarded_places()))
def test_guard_fires(correction: dict[str, Any], place: str, change: str) -> None:
    """A change by the vendor where a correction looks stops it, named, with what was found."""
    document = spec()
    container, key = parent_and_key(document, place)
    if change == "gone":
        del container[key]
    else:
        container[key] = "by the vendor"
    before = copy.deepcopy(document)
    with pytest.raises(regenerate.RunError) as stopped:
        regenerate.corrected(document, [correction], "openapi.json")
    assert Exit.CORRECTION == stopped.value.exit_code
    message = str(stopped.value)
    assert f"correction '{correction['name']}' does not fit openapi.json" in message
    assert correction["reason"] in message
    if change != "gone":
        assert "by the vendor" in message
    assert before == document


LONG = "The notification channel, one of those that the shop has turned on in its settings, " * 3


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        ("a", "b", ("", "a", "b")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 3}, ("/a", 1, 3)),
        ({"a": 1}, {"a": 1, "b": 2}, ("/b", regenerate.NOTHING, 2)),
        ({"a": 1, "b": None}, {"a": 1}, ("/b", None, regenerate.NOTHING)),
        ([1, 2], [1], ("/1", 2, regenerate.NOTHING)),
        ([1], [1, 2], ("/1", regenerate.NOTHING, 2)),
        ({"a/b": [{"c~d": 1}]}, {"a/b": [{"c~d": "1"}]}, ("/a~1b/0/c~0d", 1, "1")),
        ({"a": {}}, {"a": []}, ("/a", {}, [])),
        ({"a": 1}, regenerate.NOTHING, ("", {"a": 1}, regenerate.NOTHING)),
    ],
)
def test_first_difference(expected: Any, found: Any, told: tuple[str, Any, Any]) -> None:
    """Of two values the place is named where they first differ, with what each has there."""
    assert told == regenerate.first_difference(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (LONG + "a", LONG + "b"),
        (LONG + "a" + LONG, LONG + "b" + LONG),
        (LONG, LONG + "."),
        (LONG, LONG.replace("turned on", "turned  on")),
        (LONG, LONG.replace("turned on", "turned\u00a0on")),
        (LONG, LONG.replace("turned on", "turned\non")),
        ("a" + LONG, "b" + LONG),
        (LONG, regenerate.NOTHING),
    ],
)
def test_long_values_are_told_apart(expected: Any, found: Any) -> None:
    """However long two values are, the message shows them cut where they differ."""
    document = {"text": found}
    if found is regenerate.NOTHING:
        document = {"other": "text"}
    operation = {"op": "test", "path": "/text", "value": expected}
    correction = {"name": "a", "reason": "b.", "operations": [operation]}
    with pytest.raises(regenerate.RunError) as stopped:
        regenerate.corrected(document, [correction], "spec.json")
    message = regenerate.one_line(str(stopped.value), 1200)
    sides = message.partition(" it expects ")[2].partition(". Its reason was")[0]
    wanted, is_there = sides.split(" and finds ")
    assert wanted != is_there
    assert max(len(wanted), len(is_there)) <= 160


def append_parameter(parameters: list[Any]) -> None:
    parameters.append({"in": "query", "name": "dry_run", "schema": {"type": "boolean"}})


def insert_parameter(parameters: list[Any]) -> None:
    parameters.insert(0, {"in": "query", "name": "dry_run", "schema": {"type": "boolean"}})


@pytest.mark.parametrize(
    "change", [append_parameter, insert_parameter, list.reverse, list.pop, list.clear]
)
def test_guard_of_parameters_fires(change: Callable[[list[Any]], object]) -> None:
    """A parameter that is added, moved or taken away stops the removal of Content-Type."""
    document = spec()
    change(document["paths"]["/intents.json"]["post"]["parameters"])
    with pytest.raises(regenerate.RunError, match="'parameter-content-type' does not fit"):
        regenerate.corrected(document, CORRECTIONS, "openapi.json")


def test_a_guard_names_the_member_that_changed() -> None:
    """Of a long value that changed, the message names the one place in it, and both texts."""
    document = spec()
    shop = document["paths"]["/intents.json"]["post"]["parameters"][0]
    was, shop["description"] = shop["description"], "The shop, e.g. 'demo.myshopify.com'"
    with pytest.raises(regenerate.RunError) as stopped:
        regenerate.corrected(document, CORRECTIONS, "openapi.json")
    told = f'expects "{was}" and finds "{shop["description"]}". Its reason was'
    assert f"at {OPERATION}/parameters/0/description it {told}" in str(stopped.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda document: document.update(paths={"/v2/intents": {}}),
            "and finds nothing (/paths holds '/v2/intents'). Its",
        ),
        (
            lambda document: document["paths"]["/intents.json"].clear(),
            "and finds nothing (/paths/~1intents.json holds nothing). Its",
        ),
        (lambda document: document.clear(), "and finds nothing (the top holds nothing). Its"),
        (lambda document: document.update(paths=[]), "and finds nothing. Its"),
    ],
)
def test_a_guard_says_what_is_there_instead(change: Callable[[Any], object], told: str) -> None:
    """Where a guard's place is gone, the message says how far it leads and what is there."""
    document = spec()
    change(document)
    with pytest.raises(regenerate.RunError) as stopped:
        regenerate.corrected(document, CORRECTIONS, "openapi.json")
    assert f"at {OPERATION}/summary it expects" in str(stopped.value)
    assert told in str(stopped.value)


def test_every_correction_is_guarded_and_explained() -> None:
    """Each correction has a reason, and tests its place before it changes one thing there."""
    for correction in CORRECTIONS:
        *guards, change = correction["operations"]
        assert {"test"} == {guard["op"] for guard in guards}
        assert change["op"] in ("add", "remove")
        place = change["path"].rpartition("/")[0]
        assert any(guard["path"].startswith(place) for guard in guards)
        assert correction["reason"].endswith(".")


def test_correction_that_does_not_fit_changes_nothing(checkout: Checkout) -> None:
    """A vendor's change at a corrected place stops the run and leaves the package as it is."""

    def rename(document: dict[str, Any]) -> None:
        document["paths"]["/intents.json"]["post"]["operationId"] = "createIntent"

    checkout.change_spec(rename)
    named = f'at {OPERATION}/operationId it expects nothing and finds "createIntent"'
    assert_refused(checkout, Exit.CORRECTION, named)
    assert_refused(checkout, Exit.CORRECTION, named, "--check")


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "{}",
        "7",
        "[7]",
        '[{"name": "a"}]',
        '[{"name": "a", "reason": "b", "operations": []}]',
        '[{"name": "a", "reason": "b", "operations": [{"op": "remove", "path": "/info"}]}]',
        '[{"name": "a", "reason": "b", "operations": [{"op": "test", "path": "/openapi"}]}]',
        '[{"name": "a", "reason": "b", "operations": [{"op": "test", "path": 1}]}]',
        '[{"name": "a", "reason": "b", "operations": [{"op": "test", "path": "/x", "value": 1}]}]',
        '[{"name": "a", "reason": "b", "operations": [{"op": "test", "path": "x", "value": 1}]}]',
    ],
)
def test_unusable_corrections_are_refused(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Corrections that are no list of guarded patches, or do not fit, are refused."""
    (tmp_path / "corrections.json").write_text(text)
    (tmp_path / "spec.json").write_text(json.dumps(VALID))
    arguments = ["--spec", str(tmp_path / "spec.json"), "--output", str(tmp_path / "package")]
    arguments += ["--corrections", str(tmp_path / "corrections.json")]
    assert Exit.CORRECTION == regenerate.main(arguments)
    assert 1 == capfd.readouterr().err.count("\n")
    assert not (tmp_path / "package").exists()


# --- a kill at any moment

KILL_AT_EVERY_STEP = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import regenerate

    can_exchange = sys.argv[3] == "exchange"
    if not can_exchange:
        regenerate.exchange = lambda one, other: False
    output = Path(sys.argv[2]) / "package"
    old = {"__init__.py": b"old", "api/a.py": b"old", "api/b.py": b"same"}
    new = {"__init__.py": b"new", "api/b.py": b"same", "models/c.py": b"new"}

    def on_disk():
        paths = [path for path in output.rglob("*") if path.is_file()]
        return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}

    def killed_at(step):
        child = os.fork()
        if child == 0:
            passed = 0
            def count(event, arguments):
                nonlocal passed
                kinds = ("os.", "open", "shutil.", "ctypes.", "fcntl.")
                if event.startswith(kinds) and event != "os.kill":
                    passed += 1
                    if passed > step:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(count)
            regenerate.replace(output, new)
            os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    step = gaps = olds = news = 0
    regenerate.replace(output, old)
    assert old == on_disk()
    while killed_at(step):
        lying = on_disk()
        gaps += not lying
        olds += lying == old
        news += lying == new
        regenerate.clear_leftovers(output)
        assert on_disk() in (old, new), (step, on_disk())
        assert [output] == list(output.parent.iterdir()), step
        regenerate.replace(output, old)
        step += 1
    assert new == on_disk()
    assert [output] == list(output.parent.iterdir())
    assert olds + news + gaps == step, (olds, news, gaps, step)
    print(step, olds, news, gaps)
"""


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_kill_at_every_step_of_the_swap(way: str, tmp_path: Path) -> None:
    """A kill before any file operation leaves the old files or the new, and no mixture."""
    program = textwrap.dedent(KILL_AT_EVERY_STEP)
    command = [sys.executable, "-c", program, str(ROOT / "scripts"), str(tmp_path), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    steps, olds, news, gaps = map(int, done.stdout.split())
    assert steps > 20
    assert olds > 5
    assert news > 5
    if way == "exchange" and sys.platform == "linux":
        assert 0 == gaps
    assert gaps < 5


def test_killed_run_leaves_old_or_new(checkout: Checkout) -> None:
    """A run that is killed in any phase leaves a whole package, and the next run succeeds."""

    def add_field(document: dict[str, Any]) -> None:
        body = document["paths"]["/intents.json"]["post"]["requestBody"]
        customer = body["content"]["application/json"]["schema"]["properties"]["customer"]
        customer["properties"]["nickname"] = {"type": "string"}

    checkout.change_spec(add_field)
    old = files_below(checkout.package)
    left: list[dict[str, bytes]] = []
    for phase in ("validate", "generator", "compare"):
        process = subprocess.Popen(
            checkout.command("--timings"), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stderr is not None
        for line in process.stderr:
            if f" {phase} ".encode() in line:
                break
        time.sleep(0.002)
        process.kill()
        process.wait()
        process.stderr.close()
        left.append(files_below(checkout.package))
    assert Exit.DONE == checkout.run().returncode
    new = files_below(checkout.package)
    assert old != new
    assert b"nickname" in new["models/customer.py"]
    assert [True] * 3 == [tree in (old, new) for tree in left]
    assert [checkout.package] == list(checkout.package.parent.iterdir())


AS_STARTED = """
    import os, signal, sys
    signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
"""


def signalled(command: list[str], number: int, hangup: str, temporary: Path) -> tuple[int, str]:
    """Send a signal to `command`, which times itself, while the generator runs.

    It is started with SIGHUP at `hangup`. Returns its exit code, and what it says after that.
    """
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AS_STARTED), hangup, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " correct " in line:
            break
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_terminated_run_tidies_up(number: int, checkout: Checkout, tmp_path: Path) -> None:
    """A signal ends a run with one line and its exit code, and leaves no temporary folder."""
    before = files_below(checkout.root)
    ended = signalled(checkout.command("--timings"), number, "SIG_DFL", tmp_path / "temporary")
    assert (Exit.INTERRUPTED, "regenerate: stopped by a signal\n") == ended
    assert before == files_below(checkout.root)
    assert [] == list((tmp_path / "temporary").iterdir())


def test_nohup_is_obeyed(checkout: Checkout, tmp_path: Path) -> None:
    """A run that was started to ignore SIGHUP survives the end of its terminal."""
    command = checkout.command("--timings", "--check")
    code, _ = signalled(command, signal.SIGHUP, "SIG_IGN", tmp_path / "temporary")
    assert Exit.DONE == code


def test_runs_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    """Two runs that write at once leave one whole package and nothing beside it."""
    program = """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        import regenerate
        for turn in range(40):
            names = [f"{sys.argv[3]}_{turn}_{number}.py" for number in range(5)]
            regenerate.replace(Path(sys.argv[2]) / "package", dict.fromkeys(names, b""))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(ROOT / "scripts"), str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("one", "other")]
    assert [0, 0] == [writer.wait() for writer in writers]
    assert [tmp_path / "package"] == list(tmp_path.iterdir())
    names = {path.name.rsplit("_", 1)[0] for path in (tmp_path / "package").iterdir()}
    assert (1, 5) == (len(names), len(list((tmp_path / "package").iterdir())))


def test_reader_that_leaves_early_is_no_error() -> None:
    """`regenerate.py --check | head -1` ends without a traceback."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import regenerate; regenerate.say('x')"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", program, str(ROOT / "scripts")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (0, b"") == (done.returncode, done.stderr)


def test_exit_code_needs_no_stderr() -> None:
    """Where nobody takes the line about a failure, the exit code is the same."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "scripts" / "regenerate.py"), "--chekc"]
    for unbuffered in ("", "1"):
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stderr=writing, env=environment, check=False)
        assert Exit.USAGE == done.returncode
    os.close(writing)
