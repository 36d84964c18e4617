"""Address, latency and seed of the sandbox, and how it ends."""

import inspect
import json
import os
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from stoqapp import Stoq
from stoqapp.cli import main
from stoqapp_sandbox import Sandbox, SandboxError, UnusableFaultError, UnusableOptionError, serve
from stoqapp_sandbox.latency import Latency

STOQAPP = Path(sysconfig.get_path("scripts")) / "stoqapp"
HANG_SECONDS = 30
HEADERS = {"X-Shopify-Shop-Domain": "demo.myshopify.com", "Content-Type": "application/json"}


def post(url: str, email: str = "ada@example.com", timeout: float = HANG_SECONDS) -> httpx.Response:
    wanted = {"shopify_variant_id": 11, "shopify_product_id": 22, "channel": "email"}
    sent = {"intent": wanted | {"quantity": 1, "source": "api"}, "customer": {"email": email}}
    return httpx.post(
        f"{url}/api/v1/intents.json", content=json.dumps(sent), headers=HEADERS, timeout=timeout
    )


def started(*words: str) -> tuple[subprocess.Popen[str], str]:
    running = subprocess.Popen(
        [STOQAPP, "sandbox", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line.startswith("stoqapp sandbox on "), running.communicate(timeout=HANG_SECONDS)
    return running, line.split()[3]


def test_the_same_options_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constructor, serve, command and configure know the same options with the same defaults."""
    wanted = dict(inspect.signature(Sandbox).parameters)
    assert wanted == dict(inspect.signature(serve).parameters)
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given))
    assert main(["sandbox"]) == 0
    defaults = {name: parameter.default for name, parameter in wanted.items()}
    assert defaults | {"assume": {}} == told[0]
    for name in ("host", "port", "state"):
        del wanted[name]
    configure = dict(inspect.signature(Sandbox.configure).parameters)
    del configure["self"]
    assert configure == wanted


def test_the_command_passes_on_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option of the command reaches the server in the form that it takes."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given))
    words = "--host ::1 --port 8321 --rate-limit 7/2.5 --state s --shops a,b --shops c"
    words += " --catalog c.json --latency 0.1-2 --seed 5 --fault garbage --fault slow-bytes=1"
    assert main(["sandbox", *words.split()]) == 0
    assert told == [
        {
            "host": "::1",
            "port": 8321,
            "rate_limit": (7, 2.5),
            "assume": {},
            "state": "s",
            "shops": "a,b,c",
            "catalog": "c.json",
            "latency": (0.1, 2.0),
            "seed": 5,
            "faults": ("garbage", "slow-bytes=1"),
        }
    ]


# -- address -------------------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("0", "127.0.0.1")])
def test_a_host_that_is_open_to_the_network(host: str, reached: str) -> None:
    """It must be asked for, and is warned of; the address that is printed leads to it."""
    running, url = started("--host", host)
    try:
        assert url.startswith(f"http://{reached}:")
        assert post(url).status_code == 201
        assert httpx.get(f"{url}/", timeout=HANG_SECONDS).status_code == 200
        with Stoq("demo", base_url=f"{url}/api/v1") as stoq:
            stoq.subscribe(variant=4711, product=42, push="token")
    finally:
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=HANG_SECONDS)
    assert said[0] == ""
    assert "warning: listening on 0.0.0.0, which is open to the network" in said[1]


@pytest.mark.skipif(not has_ipv6(), reason="NO IPV6 HERE")
def test_a_host_that_is_open_to_the_network_in_ipv6() -> None:
    """The address of a sandbox on every IPv6 address is one to connect to."""
    with Sandbox(host="::") as sandbox:
        assert sandbox.url == f"http://[::1]:{sandbox.port}"


@pytest.mark.parametrize(
    "options",
    [
        {"host": 5},
        {"host": None},
        {"host": ""},
        {"port": "8321"},
        {"port": None},
        {"port": True},
        {"port": 1.0},
        {"port": 70000},
        {"faults": 5},
        {"faults": None},
        {"faults": "garbage"},
        {"shops": ""},
        {"catalog": 7},
        {"seed": "x"},
        {"latency": "x"},
        {"assume": {"x": "y"}},
        {"assume": {"duplicate": "x"}},
        {"assume": 5},
        {"rate_limit": (0, 60)},
        {"state": 5},
    ],
    ids=str,
)
def test_what_no_option_can_be(options: dict[str, Any]) -> None:
    """Each is an error of one kind that names the option."""
    with pytest.raises(UnusableOptionError) as caught:
        Sandbox(**options)
    [name] = options
    said = str(caught.value).replace("rate limit", "rate_limit").replace("assumption", "assume")
    assert name in said
    assert isinstance(caught.value, UnusableFaultError) == (name == "faults")


@pytest.mark.parametrize("host", ["a" * 70, "m\u00fcnchen..de", "\ud800"])
def test_a_host_that_is_no_name(host: str) -> None:
    """What cannot be a host name is an error of the option, whoever finds it out."""
    with pytest.raises(UnusableOptionError, match="host must be"), Sandbox(host=host):
        pass


def test_a_state_file_below_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path that leads nowhere is told as that."""
    here = tmp_path / "gone"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    with pytest.raises(SandboxError, match=r"state names a file below the current folder"):
        Sandbox(state="state.sqlite")


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_sandbox_that_is_open_to_the_network(
    host: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In Python the warning goes to the log, and the default listens to this machine alone."""
    with Sandbox(host=host):
        pass
    assert warned == ("open to the network" in caplog.text)


# -- latency -------------------------------------------------------------------------------------


def test_latency(sandbox: Sandbox) -> None:
    """Each answer of the API waits so long, and those of the control endpoints do not."""
    sandbox.configure(latency=0.3)
    began = time.monotonic()
    assert post(sandbox.url).status_code == 201
    assert time.monotonic() - began >= 0.3

    sandbox.configure(latency=3600)
    answer = httpx.get(f"{sandbox.url}/_sandbox/intents", timeout=HANG_SECONDS)
    assert answer.json() == []


@pytest.mark.parametrize(
    ("method", "path", "assume", "content", "status"),
    [
        ("POST", "/api/v1/intents.json", {}, b"{", 400),
        ("POST", "/api/v1/intents.json", {"body_limit": 1024}, b" " * 1025, 413),
        ("GET", "/api/v1/intents.json", {}, b"", 405),
        ("POST", "/api/v1/other.json", {}, b"{}", 404),
        (
            "POST",
            "/api/v1/intents.json",
            {"rate_points": 1, "rate_enforced": "yes"},
            b"{}",
            429,
        ),
    ],
)
def test_refusals_wait_too(
    sandbox: Sandbox, method: str, path: str, assume: dict[str, Any], content: bytes, status: int
) -> None:
    """Whatever the API answers comes no earlier than the latency."""
    sandbox.configure(latency=0.2, assume=assume)
    began = time.monotonic()
    answer = httpx.request(method, f"{sandbox.url}{path}", content=content, headers=HEADERS)
    assert status == answer.status_code
    assert time.monotonic() - began >= 0.2


def test_a_caller_who_does_not_wait_is_on_the_list(sandbox: Sandbox) -> None:
    """The work is done before the wait, as a service does it whose answer comes too late."""
    sandbox.configure(latency=3600)
    with pytest.raises(httpx.ReadTimeout):
        post(sandbox.url, timeout=0.5)
    assert len(sandbox.intents) == 1


def test_latencies_of_a_seed() -> None:
    """The same seed draws the same waits within the bounds, also after it begins anew."""
    latency = Latency.of((0.1, 2), 7)
    drawn = [latency.next_seconds() for _ in range(50)]
    assert all(0.1 <= seconds <= 2 for seconds in drawn)
    assert len(set(drawn)) == 50
    latency.begin_anew()
    assert drawn == [latency.next_seconds() for _ in range(50)]
    assert Latency.of((0.1, 2), 8).next_seconds() != drawn[0]


@pytest.mark.parametrize(
    "latency", [-1, float("nan"), float("inf"), "1", True, (2, 1), (1, 2, 3), (1,), None, 3601]
)
def test_a_latency_that_cannot_be(latency: Any) -> None:
    """What is no time to wait is an error that shows one."""
    with pytest.raises(SandboxError, match=r"latency must be seconds, like 0\.5, or"):
        Sandbox(latency=latency)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--latency", "soon"], "--latency: must be seconds, like 0.5 or 0.1-2"),
        (["--latency", "1-soon"], "--latency: must be seconds"),
        (["--latency=-1"], "--latency: must be seconds"),
        (["--seed", "x"], "--seed: must be a whole number"),
        (["--host"], "--host: needs a value"),
        (["--host", "a" * 70], "host must be an address"),
        (["--host", ""], "host must be an address to listen on, like 127.0.0.1"),
        (["--host", " "], "host must be an address"),
        (["--rate-limit", "x"], "--rate-limit: must be points and seconds, like 360/60"),
        (["--rate-limit", "0/60"], "rate limit must be whole points, at least 1, and seconds"),
        (["--latency", "nan"], "latency must be seconds"),
        (["--latency", "2-1"], "latency must be seconds"),
        (["--assume", "nonsense=1"], "'nonsense' is no assumption: there are refused_status"),
        (["--assume", "nonsense"], "--assume must be like duplicate=409"),
        (["--shops", ""], "shops: number 1 must be a shop"),
        (["--state", ""], "state must be the path of a file"),
        (["--fault", "nonsense"], "--fault: 'nonsense': "),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    """What cannot be used ends with 2 and says what can, in no language but the reader's."""
    assert main(["sandbox", *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "(" not in said.partition("; see ")[0]
    assert said.count("\n") == 1


# -- seed ----------------------------------------------------------------------------------------


def answers(sandbox: Sandbox) -> list[Any]:
    return [post(sandbox.url, f"{name}@example.com").json() for name in ("ada", "alan", "ada")]


def test_the_same_seed_gives_the_same_answers(sandbox: Sandbox) -> None:
    """Bodies are the same to the letter, after a reset too; another seed gives others."""
    sandbox.configure(seed=7)
    first = answers(sandbox)
    sandbox.reset()
    assert first == answers(sandbox)
    sandbox.configure(seed=8)
    assert first[0] != answers(sandbox)[0]

    intents = [intent for answer in first for intent in answer.get("intents", [])]
    assert [intent["created_at"] for intent in intents] == [
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:01.000Z",
    ]
    ids = [int(intent[name]) for intent in intents for name in ("id", "customer_id")]
    assert len(set(ids)) == 4
    assert min(ids) >= 1_000_000


@pytest.mark.parametrize("seed", [1.5, "7", True])
def test_a_seed_that_cannot_be(seed: Any) -> None:
    """A seed is a whole number."""
    with pytest.raises(SandboxError, match="seed must be a whole number"):
        Sandbox(seed=seed)


# -- configure -----------------------------------------------------------------------------------


@pytest.mark.parametrize("in_a_file", [False, True])
@pytest.mark.parametrize("variant", [11, None])
@pytest.mark.parametrize(
    "begin_anew",
    [
        lambda sandbox: sandbox.configure(assume={"refused_status": "422"}),
        Sandbox.reset,
        lambda sandbox: httpx.post(f"{sandbox.url}/_sandbox/reset").raise_for_status(),
    ],
    ids=["configure", "reset", "reset-by-http"],
)
def test_what_is_on_its_way_is_forgotten(
    tmp_path: Path, in_a_file: bool, variant: int | None, begin_anew: Callable[[Sandbox], object]
) -> None:
    """A request that crosses a new beginning leaves nothing behind; the page goes on."""
    wanted = {"shopify_variant_id": variant, "shopify_product_id": 22, "channel": "email"}
    intent = wanted | {"quantity": 1, "source": "api"}
    raw = json.dumps({"intent": intent, "customer": {"email": "ada@example.com"}}).encode()
    lines = [
        "POST /api/v1/intents.json HTTP/1.1",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
        *("Host: 127.0.0.1", "Connection: close", "Expect: 100-continue"),
        f"Content-Length: {len(raw)}",
    ]
    state = tmp_path / "state.sqlite" if in_a_file else None
    with (
        Sandbox(state=state) as sandbox,
        socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as crossing,
        crossing.makefile("rb") as answer,
    ):
        journal = sandbox._service.journal
        crossing.sendall("\r\n".join([*lines, "", ""]).encode())
        # Sent once somebody waits for the body.
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        begin_anew(sandbox)
        sandbox.fail_next(503)
        crossing.sendall(raw)
        status = b"201" if variant else b"400"
        assert status in answer.read()

        assert sandbox.intents == []
        assert sandbox._service.journal is journal
        shown = journal.view()
        assert (shown["stored"], shown["refused"], shown["budgets"]) == (0, 0, [])
        assert [post(sandbox.url).status_code for _ in range(2)] == [503, 201]
        assert (len(sandbox.intents), journal.view()["stored"]) == (1, 1)
    with Sandbox(state=state) as again:
        assert len(again.intents) == int(in_a_file)


def test_an_answer_that_waits_during_a_reset(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused before a reset, and is answered after it, is not on the page."""
    waits = threading.Event()

    def half_a_second(_latency: Latency) -> float:
        waits.set()
        return 0.5

    monkeypatch.setattr(Latency, "next_seconds", half_a_second)
    with socket.create_connection(("127.0.0.1", sandbox.port), HANG_SECONDS) as crossing:
        crossing.sendall(
            b"POST /api/v1/intents.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"X-Shopify-Shop-Domain: late\r\nContent-Length: 2\r\n\r\n{}"
        )
        assert waits.wait(HANG_SECONDS)
        sandbox.reset()
        assert b" 400 " in crossing.makefile("rb").read()

    # Noted after what was answered before it.
    assert post(sandbox.url).status_code == 201
    shown = sandbox._service.journal.view()
    assert (1, 0) == (shown["stored"], shown["refused"])
    assert "late" not in [budget["shop"] for budget in shown["budgets"]]


def test_configure_begins_anew(sandbox: Sandbox) -> None:
    """Nothing is left of what was stored or set before, and the address stays."""
    address = sandbox.url
    sandbox.configure(assume={"duplicate": "409"})
    assert [post(address).status_code for _ in range(2)] == [201, 409]
    sandbox.fail_next(503)
    sandbox.configure()
    assert sandbox.intents == []
    assert [post(address).status_code for _ in range(2)] == [201, 200]
    assert address == sandbox.url


def test_options_that_cannot_be_change_nothing(sandbox: Sandbox) -> None:
    """An unusable option is an error, and what was stored and set stays."""
    sandbox.configure(assume={"duplicate": "409"})
    post(sandbox.url)
    for options in ({"seed": "x"}, {"assume": {"x": "y"}}, {"catalog": 7}, {"latency": -1}):
        with pytest.raises(SandboxError):
            sandbox.configure(**options)
    assert len(sandbox.intents) == 1
    assert post(sandbox.url).status_code == 409


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_while_answers_wait(number: signal.Signals) -> None:
    """A signal ends it cleanly with a request in latency and a connection kept open."""
    running, url = started("--latency", "3600")
    try:
        host, port = url.removeprefix("http://").split(":")
        with (
            httpx.Client(base_url=url) as idle,
            socket.create_connection((host, int(port)), HANG_SECONDS) as waiting,
        ):
            idle.get("/_sandbox/intents").raise_for_status()
            raw = b'{"intent": {}, "customer": {}}'
            waiting.sendall(
                b"POST /api/v1/intents.json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
                b"\r\nX-Shopify-Shop-Domain: demo.myshopify.com\r\nContent-Length: %d\r\n\r\n"
                % len(raw)
                + raw
            )
            post_is_in = httpx.get(f"{url}/_sandbox/intents", timeout=HANG_SECONDS)
            assert post_is_in.json() == []
            began = time.monotonic()
            running.send_signal(number)
            said = running.communicate(timeout=HANG_SECONDS)
            took = time.monotonic() - began
    finally:
        running.kill()
    assert (running.returncode, said) == (0, ("", ""))
    # Far below uvicorn's last resort, which would leave a line in the log as well.
    assert took < 1.9


def test_it_ends_at_once_while_a_page_is_open() -> None:
    """The stream of a page ends by itself, with its last byte, so that nothing is hung up on."""
    running, url = started()
    try:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), HANG_SECONDS) as page:
            page.sendall(b"GET /_sandbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = page.makefile("rb")
            assert any(line.startswith(b"data: ") for line in answer)
            running.send_signal(signal.SIGTERM)
            assert answer.read().endswith(b"0\r\n\r\n")
        said = running.communicate(timeout=HANG_SECONDS)
    finally:
        running.kill()
    assert (running.returncode, said) == (0, ("", ""))


@pytest.mark.parametrize("stream", ["closed", "full", "unread"])
def test_a_line_that_nobody_takes(stream: str) -> None:
    """Where its line cannot be written, the sandbox serves all the same and ends well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(STOQAPP), "sandbox", "--port", str(port)]
    reader, writer = os.pipe()
    os.close(reader)
    if stream != "unread":
        where = ">&-" if stream == "closed" else "> /dev/full"
        command = ["sh", "-c", f'exec "$@" {where}', "sh", *command]
    running = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    try:
        url = f"http://127.0.0.1:{port}"
        ends = time.monotonic() + HANG_SECONDS
        while True:
            try:
                assert post(url).status_code == 201
            except httpx.ConnectError:
                assert running.poll() is None
                assert time.monotonic() < ends
                time.sleep(0.05)
            else:
                break
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=HANG_SECONDS)
    finally:
        running.kill()
    assert (running.returncode, said[1]) == (0, "")


def test_the_command_line_is_one_line() -> None:
    """Nothing but the line with the URL is printed, whatever callers send."""
    running, url = started("--port", "0", "--seed", "1")
    try:
        assert post(url).status_code == 201
        websocket = {"Upgrade": "websocket", "Connection": "Upgrade"}
        assert httpx.get(f"{url}/", headers=websocket).status_code == 200
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), HANG_SECONDS) as caller:
            caller.sendall(b"this is no HTTP\r\n\r\n")
            assert caller.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    finally:
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=HANG_SECONDS)
    assert (running.returncode, said) == (0, ("", ""))
