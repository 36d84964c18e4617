"""What TLS and proxies come to: what does not come about sends nothing."""

import os
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import faults
import pytest
import trustme
from attrs import frozen
from conftest import Caller, email_request
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
    Expected,
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
    ServerError,
    Stoq,
    UnprocessableIntentError,
)
from stoqapp_sandbox import Sandbox


@frozen
class Trust:
    """Certificates of an authority that the client trusts, and of others."""

    authority: trustme.CA
    client: ssl.SSLContext
    right: ssl.SSLContext
    other_name: ssl.SSLContext
    expired: ssl.SSLContext
    other_authority: ssl.SSLContext


def server_context(
    authority: trustme.CA, name: str = "127.0.0.1", until: datetime | None = None
) -> ssl.SSLContext:
    since = None if until is None else until - timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=since, not_after=until).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trust() -> Trust:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Trust(
        authority,
        client=context,
        right=server_context(authority),
        other_name=server_context(authority, "app.example"),
        expired=server_context(authority, until=datetime(2020, 1, 1, tzinfo=UTC)),
        other_authority=server_context(trustme.CA()),
    )


FromTrust = Callable[[Trust], Script]


def with_tls(then: Script, context: str = "right") -> FromTrust:
    return lambda trust: over_tls(getattr(trust, context), then)


def plainly(then: Script) -> FromTrust:
    return lambda trust: then


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
    ("201", with_tls(answers(http(201, INTENT))), ONE),
    ("422", with_tls(answers(http(422, NO))), refused(UnprocessableIntentError, 422)),
    *[
        (context, with_tls(answers(http(201, INTENT)), context), not_sent)
        for context in ("other_name", "other_authority", "expired")
    ],
    ("handshake cut", plainly(faults.closes_unread), not_sent),
    ("handshake reset", plainly(faults.resets_unread), not_sent),
    ("handshake never comes", plainly(faults.hangs), not_sent, SLOW_CONNECT),
    ("a closed connection", plainly(Peer.close), not_sent),
    ("plain HTTP", plainly(answers_to_the_first_bytes(PLAIN)), not_sent),
    ("reset after the request", with_tls(answers_and_resets()), unknown),
    ("closed after the request", with_tls(answers_and_closes()), unknown),
    ("records broken after the request", with_tls(breaks_the_records), unknown),
    ("never answers", with_tls(answers_and_hangs()), unknown, IMPATIENT),
    ("head trickles", with_tls(SLOW_STATUS), unknown, HURRIED),
    ("body cut", with_tls(answers_and_resets(http(201, INTENT, length=500))), CUT),
    ("body trickles", with_tls(trickles(http(201, length=2000), b"x" * 2000)), CUT, HURRIED),
)


@pytest.mark.parametrize("row", TLS, ids=lambda row: row.name)
def test_every_fault_of_tls_has_its_outcome(row: Row, caller: Caller, trust: Trust) -> None:
    """TLS that does not come about sends nothing; after it the rules are those of plain HTTP."""
    script: Any = row.script
    with FaultServer(script(trust)) as server:
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url=server.url("https"),
                http=HttpOptions(ssl_context=trust.client),
                **row.client,
            )
        )
    row.expected.check(outcome)
    assert (server.requests == []) is (row.expected is not_sent)


def test_tls_where_none_is_spoken(caller: Caller, sandbox: Sandbox) -> None:
    """An https URL of a server of plain http is told as that, in OpenSSL's words for it."""
    url = sandbox.base_url.replace("http:", "https:")
    with pytest.raises(NotSentError, match=r"\(TLS: .*; what listens there may speak no TLS\)"):
        caller.create_intent(email_request(), base_url=url)


@pytest.fixture(params=["ca_file", "ssl_context"])
def trusting(
    request: pytest.FixtureRequest, trust: Trust, tmp_path: Path
) -> Callable[..., HttpOptions]:
    """HttpOptions that trust the authority in one of the two ways."""
    if request.param == "ssl_context":
        return lambda **more: HttpOptions(ssl_context=trust.client, **more)
    trust.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return lambda **more: HttpOptions(ca_file=tmp_path / "ca.pem", **more)


def test_an_authority_of_ones_own_is_trusted(
    caller: Caller, trust: Trust, trusting: Callable[..., HttpOptions]
) -> None:
    """ca_file= and ssl_context= each make a private authority trusted."""
    with FaultServer(over_tls(trust.right, answers(http(201, INTENT)))) as server:
        outcome = caller.create_intent(
            email_request(), base_url=server.url("https"), http=trusting()
        )
    ONE.check(outcome)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_https_proxy_of_an_own_authority_is_trusted(
    caller: Caller, trust: Trust, trusting: Callable[..., HttpOptions], scheme: str
) -> None:
    """ca_file= and ssl_context= count for an https proxy, too, in front of either scheme."""
    answer = answers(http(201, INTENT))
    with FaultServer(over_tls(trust.right, answer) if scheme == "https" else answer) as server:
        then = tunnels(onward_to(server.port)) if scheme == "https" else answer
        with FaultServer(over_tls(trust.right, then)) as proxy:
            outcome = caller.create_intent(
                email_request(),
                base_url=server.url(scheme),
                http=trusting(proxy=f"https://127.0.0.1:{proxy.port}"),
            )
    ONE.check(outcome)


def onward_to(port: int) -> Script:
    def script(peer: Peer) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            peer.pump(other)
        peer.close()

    return script


def denies(*pieces: bytes) -> FromTrust:
    return plainly(answers_to_the_first_bytes(*pieces))


def through(then: Script, context: str = "right") -> FromTrust:
    return lambda trust: tunnels(over_tls(getattr(trust, context), then))


def trickles_to_connect(peer: Peer) -> None:
    peer.read_head()
    peer.trickle(http(200, b"x" * 2000))


DENIALS = [301, 400, 403, 407, 429, 500, 502, 503, 504]
PROXIES = rows_of(
    ("201", through(answers(http(201, INTENT))), ONE),
    *[(f"denies with {status}", denies(http(status, NO)), not_sent) for status in DENIALS],
    ("speaks garbage", denies(b"what?\r\n\r\n"), not_sent),
    ("closes", denies(), not_sent),
    ("resets", plainly(faults.resets_unread), not_sent),
    ("never answers", plainly(faults.hangs), not_sent, IMPATIENT),
    ("trickles", plainly(trickles_to_connect), not_sent, HURRIED),
    ("to the wrong server", through(answers(http(201)), "other_name"), not_sent),
    ("tunnel cut", plainly(tunnels(Peer.close)), not_sent),
    ("tunnel silent", plainly(tunnels(faults.hangs)), not_sent, SLOW_CONNECT),
    ("no answer", through(answers_and_closes()), unknown),
    ("head that trickles", through(SLOW_STATUS), unknown, HURRIED),
)
PLAIN_PROXIES = rows_of(
    ("201", http(201, INTENT), ONE),
    ("407", http(407, NO), refused(ProxyAuthenticationError, 407)),
    ("502", http(502, NO), Expected(ServerError, None, 502)),
    ("closes", answers_and_closes(), unknown),
)


@pytest.mark.parametrize("row", PROXIES, ids=lambda row: row.name)
def test_every_fault_of_a_tunnel_has_its_outcome(row: Row, caller: Caller, trust: Trust) -> None:
    """A proxy that gives no way through sends nothing; after it the answer decides."""
    script: Any = row.script
    with FaultServer(script(trust)) as proxy:
        http_options = HttpOptions(
            proxy=f"http://user:secret@127.0.0.1:{proxy.port}", ssl_context=trust.client
        )
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url="https://127.0.0.1:9/api/v1",
                http=http_options,
                **row.client,
            )
        )
    row.expected.check(outcome)


@pytest.mark.parametrize("row", PLAIN_PROXIES, ids=lambda row: row.name)
def test_every_answer_of_a_plain_proxy_has_its_outcome(row: Row, caller: Caller) -> None:
    """What comes through a proxy in front of plain http is an answer like any other."""
    with FaultServer(answers(row.script) if isinstance(row.script, bytes) else row.script) as proxy:
        outcome = outcome_of(
            lambda: caller.create_intent(
                email_request(),
                base_url="http://127.0.0.1:9/api/v1",
                http=HttpOptions(proxy=f"http://user:secret@127.0.0.1:{proxy.port}"),
                **row.client,
            )
        )
        assert proxy.requests[0].head.startswith(b"POST http://127.0.0.1:9/api/v1/intents.json ")
        assert b"\r\nProxy-Authorization: Basic " in proxy.requests[0].head
    row.expected.check(outcome)


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
