"""How a sandbox is given its options, starts, is reached, and ends."""

import inspect
import json
import logging
import re
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from sending import (
    HANG_SECONDS,
    HEADERS,
    PATH,
    SHOP,
    VALID,
    body,
    get,
    head_of,
    received,
    send,
    sent_raw,
    started,
    wait_until,
)

from stoqapp.cli import main
from stoqapp_sandbox import Sandbox, SandboxError, UnusableOptionError
from stoqapp_sandbox.options import Options


def test_the_same_options_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constructor, configure and command know the same options, and the command passes them on."""
    own = set(inspect.signature(Sandbox).parameters) - {"options"}
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given))
    words = "--host ::1 --port 8321 --rate-limit 7/2.5 --state s"
    words += " --catalog c.json --fault garbage --fault slow-bytes=1 --assume duplicate=409"
    words += " --allow-origin http://localhost:3000"
    assert [main(["sandbox", *words.split()]), main(["sandbox"])] == [0, 0]
    assert told[0] == {
        "host": "::1",
        "port": 8321,
        "rate_limit": ["7", "2.5"],
        "assume": {"duplicate": "409"},
        "state": "s",
        "catalog": "c.json",
        "faults": ["garbage", "slow-bytes=1"],
        "allow_origin": "http://localhost:3000",
    }
    assert told[1] == {}
    assert set(told[0]) == own | set(Options.__annotations__)
    documented = re.findall(r"^ {4}(\w+): ", inspect.getdoc(Sandbox) or "", re.MULTILINE)
    assert set(told[0]) <= set(documented)


@pytest.mark.parametrize(
    "options",
    [
        *({"host": host} for host in ("a" * 70, "m\u00fcnchen..de")),
        *({"port": port} for port in (65536, -1)),
        *({"faults": faults} for faults in (5, "garbage", ["rset"])),
        {"catalog": 7},
        *({"rate_limit": limit} for limit in ((0, 60), (1.5, 60), (360, 0), (360,), 360)),
        *({"rate_limit": limit} for limit in ("360/60", (360, float("nan")))),
        {"rate_limit": (360, 60), "assume": {"rate_points": 90}},
        *({"allow_origin": origin} for origin in ("localhost:3000", "http://a/b", "*", 5)),
    ],
    ids=str,
)
def test_what_no_option_can_be(options: dict[str, Any]) -> None:
    """Each is an error of one kind that names the option."""
    with pytest.raises(UnusableOptionError) as caught, Sandbox(**options):
        pass
    name = next(iter(options))
    assert name.replace("_", " ").removesuffix("s") in str(caught.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host"], "--host needs a value"),
        (["--rate-limit", "x"], "rate limit must be whole points, at least 1, and seconds"),
        (["--assume", "duplicate"], "assumption duplicate must be one of 200, 400"),
        (["--fault", "nonsense"], "'nonsense' is not a fault"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    """What cannot be used ends with 2 and one line that says what can."""
    assert main(["sandbox", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_configure_starts_over(sandbox: Sandbox) -> None:
    """Nothing is left of what was stored or set before; an unusable option changes nothing."""
    address = sandbox.url
    sandbox.configure(assume={"duplicate": "409"})
    assert [send(sandbox).status_code for _ in range(2)] == [201, 409]
    for options in ({"assume": {"x": "y"}}, {"catalog": 7}, {"faults": ["x"]}):
        with pytest.raises(SandboxError):
            sandbox.configure(**options)
    assert (send(sandbox).status_code, len(sandbox.intents)) == (409, 1)
    sandbox.fail_next(503)
    sandbox.configure()
    assert sandbox.intents == []
    assert [send(sandbox).status_code for _ in range(2)] == [201, 200]
    assert address == sandbox.url


CATALOG = {"demo": {"gid://shopify/Product/22": ["11", 12]}, "other.myshopify.com": None}


def test_only_what_the_catalog_has(sandbox: Sandbox, tmp_path: Path) -> None:
    """Shops and variants are those of the catalog, and a variant is under its product alone."""

    def status(shop: str, variant: int, product: int) -> int:
        sent = body(intent__shopify_variant_id=variant, intent__shopify_product_id=product)
        return send(sandbox, sent, X_Shopify_Shop_Domain=shop).status_code

    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(CATALOG), encoding="utf-8-sig")
    for catalog in (CATALOG, file):
        sandbox.configure(catalog=catalog)
        assert [201, 201] == [status("DEMO.myshopify.com", 11, 22), status(SHOP, 12, 22)]
        assert [404, 404] == [status(SHOP, 13, 22), status(SHOP, 11, 5)]
        # A shop that has every variant, and one that is not there.
        assert [201, 404] == [status(f"{one}.myshopify.com", 6, 5) for one in ("other", "x")]
    # As a storefront answers to /products.json: it holds for every shop.
    file.write_text(json.dumps({"products": [{"id": 22, "title": "x", "variants": [{"id": 11}]}]}))
    sandbox.configure(catalog=str(file))
    assert [201, 404] == [status("any.myshopify.com", 11, 22), status(SHOP, 12, 22)]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"[]", "{file}: must be like"),
        (b'{"a b": {}}', "{file}: /a b: must be a shop"),
        (b'{"demo": 5}', "{file}: /demo: must be like"),
        (b'{"demo": {"22": 11}}', "{file}: /demo/22: must be like"),
        (b'{"demo": {"22": ["x"]}}', "{file}: /demo/22/0: must be like"),
        (b'{"demo": {"22": [1], "23": [1]}}', "{file}: /demo/23/0: must be like"),
        (b'{"products": [{"id": 1, "variants": [{}]}]}', "{file}: /products: must be like"),
        (None, "{file}: cannot be read (No such file"),
        (b'{"a":\n', "{file}: must be JSON in UTF-8 (Expecting value: line 2 column 1"),
        (b"\xff", "{file}: must be JSON in UTF-8"),
    ],
)
def test_a_catalog_that_makes_no_sense(tmp_path: Path, raw: bytes | None, says: str) -> None:
    """The error names the file and the place in it, as a JSON pointer or as line and column."""
    file = tmp_path / "catalog.json"
    if raw is not None:
        file.write_bytes(raw)
    with pytest.raises(SandboxError) as caught:
        Sandbox(catalog=file)
    assert says.replace("{file}", str(file)) in str(caught.value)


def test_address_of_a_sandbox() -> None:
    """The URL, the client's base URL and the port agree; before the start there are none."""
    sandbox = Sandbox()
    with pytest.raises(SandboxError, match="no address yet"):
        _ = sandbox.url
    with sandbox:
        assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"
        assert f"{sandbox.base_url}/intents.json" == sandbox.url + PATH
        with pytest.raises(SandboxError, match="running already"):
            sandbox.__enter__()
        taken = rf"{sandbox.port} \(Address already in use\): .* port 0 takes any free"
        with pytest.raises(SandboxError, match=taken), Sandbox(port=sandbox.port):
            pass
    with pytest.raises(SandboxError, match="cannot listen on"), Sandbox(host="192.0.2.1"):
        pass


@pytest.mark.parametrize(
    ("host", "address", "warnings"),
    [("localhost", "localhost", 0), ("0.0.0.0", "127.0.0.1", 1), ("::", "[::1]", 1)],
)
def test_a_sandbox_that_is_open_to_the_network(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    address: str,
    warnings: int,
) -> None:
    """The command warns of an address that others can reach, and names one to connect to."""
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("NO IPV6 HERE")
    monkeypatch.setattr("signal.signal", lambda number, handler: handler(number, None))
    assert main(["sandbox", "--host", host]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"stoqapp sandbox on http://{address}:")
    assert warnings == said.err.count("stoqapp sandbox: open to the network: ")
    assert warnings == said.err.count("\n")


def test_end_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """On exit the thread has ended and the port is closed, whoever still sends, reads or waits."""
    before = set(threading.enumerate())
    page = b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Sandbox(faults=["slow-bytes=3600:times=1", "latency=3600:after=1"]) as sandbox:
        sandbox.fail_next(500, body="x" * 20_000_000)
        said = (None, None, None, page, b"POST /api", head_of() + b"{")
        callers = [sent_raw(sandbox, one) for one in said]
        slow, large, _, looking, *_ = callers
        assert all(caller.recv(20) for caller in (slow, large, looking))
        wait_until(lambda: len(get(sandbox, "/_sandbox/requests")) == 3)
    assert before == set(threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port))
    for caller in callers:
        caller.close()
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\r\n\r\n",
        head_of().replace(b"Content-Length: ", b"Content-Length: many"),
        head_of(Connection="close").replace(b"Host: x\r\n", b""),
        head_of().replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nX: ") + b"zz\r\n",
        head_of(**{"X-Long": "x" * 10_000_000}),
    ],
    ids=["noise", "length", "host", "chunk", "long"],
)
def test_bytes_that_are_no_http(sandbox: Sandbox, raw: bytes) -> None:
    """What is not HTTP is refused, the connection ends, and the sandbox goes on."""
    assert re.match(rb"HTTP/1\.1 4\d\d ", received(sandbox, raw))
    assert sandbox.intents == []
    assert send(sandbox).status_code == 201


def test_sandbox_can_be_entered_again() -> None:
    """What a sandbox holds can be read after its end, and stays for the next start."""
    sandbox = Sandbox()
    for status in (201, 200):
        with sandbox:
            assert status == send(sandbox).status_code
    assert len(sandbox.intents) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(number: signal.Signals) -> None:
    """Whoever is still connected, or waits: status 0, and only the line with the URL."""
    with started("--fault", "latency=3600:after=1") as (running, url):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with httpx.Client(base_url=url, timeout=HANG_SECONDS) as idle:
            assert 201 == idle.post(PATH, content=VALID, headers=HEADERS).status_code
            with socket.create_connection(address) as late:
                late.sendall(head_of() + VALID)
                wait_until(lambda: len(idle.get("/_sandbox/requests").json()) == 2)
                running.send_signal(number)
                assert ("", "") == running.communicate(timeout=HANG_SECONDS)
    assert 0 == running.returncode
