"""What TLS and proxies come to: what does not come about sends nothing."""

import select
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
    answers_and_closes,
    answers_and_hangs,
    answers_and_resets,
    answers_unread,
    http,
    over_tls,
    trickles,
)
from outcomes import (
    CUT,
    HURRIED,
    IMPATIENT,
    INTENT,
    NO,
    ONE,
    SLOW_CONNECT,
    YES,
    Row,
    answered,
    not_sent,
    refused,
    rows_of,
    side_by_side,
    unknown,
)

from record_cassettes import SHOP
from stoqapp import ConfigurationError, HttpOptions, NotSentError, Stoq
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
WRONG_NAME = server_context(name="app.example")


PLAIN = http(400, b"<html>plain HTTP sent to a TLS port</html>")
EXPIRED = server_context(until=datetime(2020, 1, 1, tzinfo=UTC))

TLS = rows_of(
    ("201", over_tls(RIGHT, YES), ONE),
    ("422", over_tls(RIGHT, answered(422, NO)), refused(422)),
    ("other name", over_tls(WRONG_NAME, YES), not_sent),
    ("other authority", over_tls(server_context(trustme.CA()), YES), not_sent),
    ("expired", over_tls(EXPIRED, YES), not_sent),
    ("handshake cut", faults.closes_unread, not_sent),
    ("handshake reset", faults.resets_unread, not_sent),
    ("handshake never comes", faults.hangs, not_sent, SLOW_CONNECT),
    ("a closed connection", Peer.close, not_sent),
    ("plain HTTP", answers_unread(PLAIN), not_sent),
    ("reset after the request", over_tls(RIGHT, answers_and_resets()), unknown),
    ("closed after the request", over_tls(RIGHT, answers_and_closes()), unknown),
    ("never answers", over_tls(RIGHT, answers_and_hangs()), unknown, IMPATIENT),
    ("body cut", over_tls(RIGHT, answers_and_resets(http(201, INTENT, length=500))), CUT),
)


TRUSTING = HttpOptions(ssl_context=CLIENT)


@pytest.mark.parametrize("row", TLS, ids=lambda row: row.name)
def test_every_fault_of_tls_has_its_outcome(row: Row, caller: Caller) -> None:
    """TLS that does not come about sends nothing; after it the rules are those of plain HTTP."""
    row.run(caller, "https", http=TRUSTING)


def test_tls_where_none_is_spoken(caller: Caller, sandbox: Sandbox) -> None:
    """An https URL of a server of plain http is told as that, in OpenSSL's words for it."""
    url = sandbox.base_url.replace("http:", "https:")
    with pytest.raises(NotSentError, match=r"\(TLS: .*; the server may not speak TLS\)"):
        caller.create_intent(email_request(), base_url=url)


def tunnels(then: Script) -> Script:
    """Grant a CONNECT, and go on with *then*."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        then(peer)

    return script


def onward_to(port: int) -> Script:
    """Hand on what comes from either side to the other, until one of them closes."""

    def script(peer: Peer) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            onward = {peer.sock: other, other: peer.sock}
            while True:
                for sock in select.select(list(onward), [], [])[0]:
                    data = sock.recv(65536)
                    while getattr(sock, "pending", int)():
                        data += sock.recv(65536)
                    if not data:
                        return peer.close()
                    onward[sock].sendall(data)

    return script


@pytest.mark.parametrize("way", ["ca_file", "ssl_context"])
@pytest.mark.parametrize("proxied", [True, False])
def test_an_own_authority_is_trusted(
    caller: Caller, way: str, proxied: bool, tmp_path: Path
) -> None:
    """ca_file= and ssl_context= count for the service, and for an https proxy in front of it."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    options: dict[str, Any] = {way: CLIENT if way == "ssl_context" else tmp_path / "ca.pem"}
    with (
        FaultServer(over_tls(RIGHT, YES)) as server,
        FaultServer(over_tls(RIGHT, tunnels(onward_to(server.port)))) as proxy,
    ):
        if proxied:
            options["proxy"] = f"https://127.0.0.1:{proxy.port}"
        outcome = caller.outcome(server.url("https"), http=HttpOptions(**options))
        assert proxy.connections == proxied
    ONE.check(outcome)


def through(then: Script, context: ssl.SSLContext = RIGHT) -> Script:
    return tunnels(over_tls(context, then))


TUNNELS = rows_of(
    ("201", through(YES), ONE),
    *[
        (f"denies with {status}", answers_unread(http(status, NO)), not_sent)
        for status in [301, 403, 502]
    ],
    ("speaks garbage", answers_unread(b"what?\r\n\r\n"), not_sent),
    ("closes", faults.closes_unread, not_sent),
    ("resets", faults.resets_unread, not_sent),
    ("never answers", faults.hangs, not_sent, IMPATIENT),
    ("to the wrong server", through(YES, WRONG_NAME), not_sent),
    ("tunnel cut", tunnels(Peer.close), not_sent),
    ("tunnel silent", tunnels(faults.hangs), not_sent, SLOW_CONNECT),
    ("no answer", through(answers_and_closes()), unknown),
)
PLAIN_PROXIES = rows_of(
    ("201", http(201, INTENT), ONE),
    ("407", http(407, NO), refused(407)),
    ("closes", answers_and_closes(), unknown),
)


@pytest.mark.parametrize("row", TUNNELS, ids=lambda row: row.name)
def test_every_fault_of_a_tunnel_has_its_outcome(row: Row, caller: Caller) -> None:
    """A proxy that gives no way through sends nothing; after it the answer decides."""
    row.run(caller, "https", is_proxy=True, http=TRUSTING)


def test_what_is_too_slow_ends_with_the_deadline() -> None:
    """Neither a head over TLS that trickles nor a proxy's answer outlasts total_timeout."""

    def trickles_to_connect(peer: Peer) -> None:
        peer.read_head()
        peer.trickle(http(200, b"x" * 2000))

    status = over_tls(RIGHT, trickles(b"", b"HTTP/1.1 201 " + b"O" * 2000))
    head = Row("head", status, unknown, HURRIED)
    proxy = Row("proxy", trickles_to_connect, not_sent, HURRIED)
    side_by_side(
        lambda caller: head.run(caller, "https", http=TRUSTING),
        lambda caller: proxy.run(caller, "https", is_proxy=True, http=TRUSTING),
    )


@pytest.mark.parametrize("row", PLAIN_PROXIES, ids=lambda row: row.name)
def test_every_answer_of_a_plain_proxy_has_its_outcome(row: Row, caller: Caller) -> None:
    """What comes through a proxy in front of plain http is an answer like any other."""
    [(head, _)] = row.run(caller, is_proxy=True)
    assert head.startswith(b"POST http://127.0.0.1:9/api/v1/intents.json ")
    assert b"\r\nProxy-Authorization: Basic " in head


def test_a_proxy_that_wants_a_password_is_told(caller: Caller) -> None:
    """A proxy's 407 is told as the proxy's, with what to do about it, and is not retried."""
    with FaultServer(answers_unread(http(407, NO))) as proxy:
        options = HttpOptions(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(NotSentError, match=r"the proxy .*\(status 407\).* password") as caught:
            caller.create_intent(email_request(), http=options, max_retries=2)
    assert caught.value.attempts == 1


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("gopher://user:secret@127.0.0.1:1", "like http://host:3128"),
        ("http://user:secret@a:b", "like http://host:3128"),
        ("socks5://127.0.0.1:1", r"pip install 'httpx\[socks\]'"),
    ],
)
def test_a_proxy_that_cannot_be_used(
    proxy: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused without its password; the environment's counts unless trust_env is off."""
    with pytest.raises(ConfigurationError, match=f"the proxy of HttpOptions .*{said}") as caught:
        Stoq(SHOP, http=HttpOptions(proxy=proxy))
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigurationError, match=f"the environment names .*{said}") as other:
        Stoq(SHOP)
    for error in (caught.value, other.value):
        assert "secret" not in f"{error} {error.__cause__}"
    Stoq(SHOP, http=HttpOptions(trust_env=False)).close()


def test_a_text_that_is_no_proxy() -> None:
    """A proxy needs a scheme and a host, and is refused as soon as it is given."""
    for proxy in ("127.0.0.1:1", "http://", "http://[::1", "", "proxy"):
        with pytest.raises(ConfigurationError, match="the proxy of HttpOptions"):
            HttpOptions(proxy=proxy)


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_proxied"),
    [
        ("", "stoq.example.com", True),
        ("fe80::/10, ::1/128, [::1], 10.0.0.0/8", "stoq.example.com", True),
        ("other.example.com, localhost, ample.com", "stoq.example.com", True),
        ("example.com", "stoq.example.com", False),
        ("a, .example.com", "stoq.example.com", False),
        ("stoq.example.com:8443", "stoq.example.com:8443", False),
        ("stoq.example.com:8443", "stoq.example.com:9443", True),
        ("a, *", "stoq.example.com", False),
        ("fd00::1", "[fd00::1]:8443", False),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_the_environments_proxies_count(
    variable: str, no_proxy: str, host: str, is_proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY names the hosts that no proxy is for; an entry of another kind is passed over."""

    def getaddrinfo(name: Any, *args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "the proxy" if name == "proxy.example.com" else "the host")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setenv(variable, "proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    outcome = Caller("sync").outcome(f"https://{host}")
    assert ("(the proxy)" if is_proxied else "(the host)") in str(outcome)


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
