"""What TLS and proxies come to: what does not come about sends nothing."""

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import faults
import pytest
import trustme
from calling import Caller, email_request
from faults import (
    FaultServer,
    Peer,
    Script,
    answers,
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    http,
    over_tls,
    trickles,
    tunnels,
)
from outcomes import (
    CUT,
    HURRIED,
    IMPATIENT,
    INTENT,
    NO,
    ONE,
    SLOW_CONNECT,
    Row,
    not_sent,
    outcome_of,
    refused,
    rows_of,
    unknown,
)

from record_cassettes import SHOP
from stoqapp import (
    ConfigurationError,
    HttpOptions,
    NotSentError,
    ProxyAuthenticationError,
    Stoq,
    UnprocessableIntentError,
)
from stoqapp_sandbox import Sandbox

AUTHORITY = trustme.CA()
CLIENT = ssl.create_default_context()
AUTHORITY.configure_trust(CLIENT)


def server_context(
    authority: trustme.CA = AUTHORITY, name: str = "127.0.0.1", until: datetime | None = None
) -> ssl.SSLContext:
    since = None if until is None else until - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=since, not_after=until).configure_cert(context)
    return context


RIGHT = server_context()
WRONG = {
    "other name": server_context(name="app.example"),
    "other authority": server_context(trustme.CA()),
    "expired": server_context(until=datetime(2020, 1, 1, tzinfo=UTC)),
}


def answers_to_the_first_bytes(*pieces: bytes) -> Script:
    """Wait for any bytes, send *pieces*, and close."""

    def script(peer: Peer) -> None:
        peer.wait_for_data()
        peer.send(*pieces)
        peer.close()

    return script


def breaks_the_records(peer: Peer) -> None:
    peer.read_request()
    # The descriptor's own bytes, past the TLS layer.
    with socket.socket(fileno=os.dup(peer.fileno())) as bare:
        bare.sendall(b"HTTP/1.1 201 Created\r\n\r\n")
    peer.wait_until_left()


PLAIN = http(400, b"<html>plain HTTP sent to a TLS port</html>")
SLOW_STATUS = trickles(b"", b"HTTP/1.1 201 " + b"O" * 2000)

TLS = rows_of(
    ("201", over_tls(RIGHT, answers(http(201, INTENT))), ONE),
    ("422", over_tls(RIGHT, answers(http(422, NO))), refused(UnprocessableIntentError, 422)),
    *[
        (name, over_tls(context, answers(http(201, INTENT))), not_sent)
        for name, context in WRONG.items()
    ],
    ("handshake cut", faults.closes_unread, not_sent),
    ("handshake reset", faults.resets_unread, not_sent),
    ("handshake never comes", faults.hangs, not_sent, SLOW_CONNECT),
    ("a closed connection", Peer.close, not_sent),
    ("plain HTTP", answers_to_the_first_bytes(PLAIN), not_sent),
    ("reset after the request", over_tls(RIGHT, answers_and_resets()), unknown),
    ("closed after the request", over_tls(RIGHT, answers_and_closes()), unknown),
    ("records broken after the request", over_tls(RIGHT, breaks_the_records), unknown),
    ("never answers", over_tls(RIGHT, answers_and_hangs()), unknown, IMPATIENT),
    ("head trickles", over_tls(RIGHT, SLOW_STATUS), unknown, HURRIED),
    ("body cut", over_tls(RIGHT, answers_and_resets(http(201, INTENT, length=500))), CUT),
    (
        "body trickles",
        over_tls(RIGHT, trickles(http(201, length=2000), b"x" * 2000)),
        CUT,
        HURRIED,
    ),
)


@pytest.mark.parametrize("row", TLS, ids=lambda row: row.name)
def test_every_fault_of_tls_has_its_outcome(row: Row, caller: Caller) -> None:
    """TLS that does not come about sends nothing; after it the rules are those of plain HTTP."""
    row.run(caller, scheme="https", http=HttpOptions(ssl_context=CLIENT))


def test_tls_where_none_is_spoken(caller: Caller, sandbox: Sandbox) -> None:
    """An https URL of a server of plain http is told as that, in OpenSSL's words for it."""
    url = sandbox.base_url.replace("http:", "https:")
    with pytest.raises(NotSentError, match=r"\(TLS: .*; what listens there may speak no TLS\)"):
        caller.create_intent(email_request(), base_url=url)


@pytest.mark.parametrize("way", ["ca_file", "ssl_context"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxied", [True, False])
def test_an_own_authority_is_trusted(
    caller: Caller, way: str, scheme: str, proxied: bool, tmp_path: Path
) -> None:
    """ca_file= and ssl_context= count for the service, and for an https proxy in front of it."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    options: dict[str, Any] = {way: CLIENT if way == "ssl_context" else tmp_path / "ca.pem"}
    answer = answers(http(201, INTENT))
    with FaultServer(over_tls(RIGHT, answer) if scheme == "https" else answer) as server:
        then = tunnels(onward_to(server.port)) if scheme == "https" else answer
        with FaultServer(over_tls(RIGHT, then)) as proxy:
            if proxied:
                options["proxy"] = f"https://127.0.0.1:{proxy.port}"
            http_options = HttpOptions(**options)
            outcome = caller.create_intent(
                email_request(), base_url=server.url(scheme), http=http_options
            )
    ONE.check(outcome)


def onward_to(port: int) -> Script:
    def script(peer: Peer) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            peer.pump(other)
        peer.close()

    return script


def through(then: Script, context: ssl.SSLContext = RIGHT) -> Script:
    return tunnels(over_tls(context, then))


def trickles_to_connect(peer: Peer) -> None:
    peer.read_head()
    peer.trickle(http(200, b"x" * 2000))


PROXIES = rows_of(
    ("201", through(answers(http(201, INTENT))), ONE),
    *[
        (f"denies with {status}", answers_to_the_first_bytes(http(status, NO)), not_sent)
        for status in [301, 403, 407, 429, 502]
    ],
    ("speaks garbage", answers_to_the_first_bytes(b"what?\r\n\r\n"), not_sent),
    ("closes", answers_to_the_first_bytes(), not_sent),
    ("resets", faults.resets_unread, not_sent),
    ("never answers", faults.hangs, not_sent, IMPATIENT),
    ("trickles", trickles_to_connect, not_sent, HURRIED),
    ("to the wrong server", through(answers(http(201)), WRONG["other name"]), not_sent),
    ("tunnel cut", tunnels(Peer.close), not_sent),
    ("tunnel silent", tunnels(faults.hangs), not_sent, SLOW_CONNECT),
    ("no answer", through(answers_and_closes()), unknown),
    ("head that trickles", through(SLOW_STATUS), unknown, HURRIED),
)
PLAIN_PROXIES = rows_of(
    ("201", http(201, INTENT), ONE),
    ("407", http(407, NO), refused(ProxyAuthenticationError, 407)),
    ("closes", answers_and_closes(), unknown),
)


@pytest.mark.parametrize("row", PROXIES, ids=lambda row: row.name)
def test_every_fault_of_a_tunnel_has_its_outcome(row: Row, caller: Caller) -> None:
    """A proxy that gives no way through sends nothing; after it the answer decides."""
    row.run_behind(caller, "https", ssl_context=CLIENT)


@pytest.mark.parametrize("row", PLAIN_PROXIES, ids=lambda row: row.name)
def test_every_answer_of_a_plain_proxy_has_its_outcome(row: Row, caller: Caller) -> None:
    """What comes through a proxy in front of plain http is an answer like any other."""
    head = row.run_behind(caller, "http")[0].head
    assert head.startswith(b"POST http://127.0.0.1:9/api/v1/intents.json ")
    assert b"\r\nProxy-Authorization: Basic " in head


def test_a_proxy_that_wants_a_password_is_told(caller: Caller) -> None:
    """A proxy's 407 is told as the proxy's, with what to do about it, and is not retried."""
    with FaultServer(answers_to_the_first_bytes(http(407, NO))) as proxy:
        options = HttpOptions(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(NotSentError, match=r"the proxy .*\(status 407\).* password") as caught:
            caller.create_intent(email_request(), http=options, max_retries=2)
    assert caught.value.attempts == 1


def test_a_proxy_that_is_down_sends_nothing(caller: Caller) -> None:
    """Where the proxy is not there, nothing is sent."""
    with faults.closed_port() as port:
        http_options = HttpOptions(proxy=f"http://127.0.0.1:{port}")
        not_sent.check(outcome_of(lambda: caller.create_intent(email_request(), http=http_options)))


UNUSABLE = [
    "gopher://user:secret@127.0.0.1:1",
    "http://user:secret@a:b",
    "127.0.0.1:1",
    "http://",
    "http://[::1",
    "",
    "proxy",
]


@pytest.mark.parametrize("proxy", UNUSABLE)
def test_a_proxy_that_is_none_is_refused(proxy: str) -> None:
    """A proxy URL that cannot be one is refused without its password."""
    with pytest.raises(ConfigurationError, match="the proxy of HttpOptions") as caught:
        HttpOptions(proxy=proxy)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("proxy", UNUSABLE[:2])
def test_a_proxy_of_the_environment_that_is_none(
    caller: Caller, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment that cannot be used is a ConfigurationError, too."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="the environment names"):
        caller.create_intent(email_request(), base_url="https://stoq.example.com")


@pytest.mark.parametrize("named", ["HTTPS_PROXY", "proxy"])
def test_socks_needs_a_package(caller: Caller, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SOCKS needs is named, wherever the proxy comes from."""
    options: dict[str, Any] = {"proxy": "socks5://127.0.0.1:1"} if named == "proxy" else {}
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"pip install 'httpx\[socks\]'"):
        caller.create_intent(email_request(), http=HttpOptions(**options))


IN_THE_WAY = "the proxy"
PAST_IT = "the host"


@pytest.mark.parametrize(
    ("no_proxy", "host", "way"),
    [
        ("", "stoq.example.com", IN_THE_WAY),
        ("fe80::/10, ::1/128, [::1], 10.0.0.0/8", "stoq.example.com", IN_THE_WAY),
        ("other.example.com, localhost", "stoq.example.com", IN_THE_WAY),
        ("ample.com", "stoq.example.com", IN_THE_WAY),
        ("example.com", "stoq.example.com", PAST_IT),
        (".example.com", "stoq.example.com", PAST_IT),
        ("localhost, stoq.example.com", "stoq.example.com", PAST_IT),
        ("stoq.example.com:8443", "stoq.example.com:8443", PAST_IT),
        ("stoq.example.com:8443", "stoq.example.com:9443", IN_THE_WAY),
        ("*", "stoq.example.com", PAST_IT),
        ("a, *", "stoq.example.com", PAST_IT),
        ("fd00::1", "[fd00::1]:8443", PAST_IT),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_the_environments_proxies_count(
    variable: str, no_proxy: str, host: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY names the hosts that no proxy is for; an entry of another kind is passed over."""

    def getaddrinfo(name: Any, *args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, IN_THE_WAY if name == "proxy.example.com" else PAST_IT)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv(variable, "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with pytest.raises(NotSentError, match=rf"\({way}\)"):
        Caller("sync").create_intent(email_request(), base_url=f"https://{host}")


def test_the_environments_proxies_are_not_for_this_machine(
    caller: Caller, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to a loopback address goes there directly, unless a proxy is given by hand."""
    with faults.closed_port() as port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        caller.create_intent(email_request(), base_url=sandbox.base_url)
        http_options = HttpOptions(proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(NotSentError):
            caller.create_intent(email_request(), base_url=sandbox.base_url, http=http_options)


def test_trust_env_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With trust_env=False the environment's proxies do not count."""
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(ConfigurationError):
        Stoq(SHOP)
    Stoq(SHOP, http=HttpOptions(trust_env=False)).close()
