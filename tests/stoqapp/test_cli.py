"""The command line: arguments in, exit code out, and no personal data in its messages."""

import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from faults import FaultServer, Peer
from outcomes import on_signal

from stoqapp import Stoq, __version__
from stoqapp.cli import main
from stoqapp.inputs import INPUTS
from stoqapp.readers import country_from
from stoqapp_sandbox import Sandbox

Capture = pytest.CaptureFixture[str]
FIELDS = ["--shop", "demo", "--variant", "4711", "--product", "42"]
EMAIL = ["--email", "ada@example.com"]
ONCE = ["--max-retries", "0"]
COMMANDS = ["create", *sorted(point.name for point in entry_points(group="stoqapp.commands"))]


def create(sandbox: Sandbox, *words: str) -> int:
    return main(["create", "--base-url", sandbox.base_url, *FIELDS, *words])


def help_of(capsys: Capture, *command: str, option: str = "--help") -> str:
    with pytest.raises(SystemExit) as caught:
        main([*command, option])
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_created(sandbox: Sandbox, capsys: Capture) -> None:
    """A created intent ends with 0; its id and what was changed are printed, or one JSON object."""
    assert create(sandbox, "--email", " ada@example.com") == 0
    assert capsys.readouterr().out.splitlines() == [
        "created: intent 1",
        "  --email: surrounding space removed",
        "  --channel: inferred from the only contact given",
    ]
    assert create(sandbox, "--email", "grace@example.com ", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["carried_out"], report["status"]) == ("created", True, 201)
    assert report["intents"][0]["email"] == "grace@example.com"
    assert report["changes"][0]["path"] == "customer.email"


def test_fields_arrive(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of every type arrive, --more sends any field as JSON, and - is a line of input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(" ada@example.com\ntoken\nother\n"))
    words = ["--email", "-", "--push", "-", "--phone", "(555) 010-9999", "--country", "US"]
    words += ["--channel", "SMS", "--quantity", "2", "--market", "gid://shopify/Market/7"]
    words += ["--no-accepts-marketing", "--sku", "LAMP", "--more", 'customer.name="Ada"']
    assert create(sandbox, *words) == 0
    assert sandbox.intents[0]["request"] == {
        "intent": {
            "shopify_variant_id": 4711,
            "shopify_product_id": 42,
            "channel": "sms",
            "quantity": 2,
            "shopify_market_id": 7,
            "source": "api",
        },
        "customer": {
            "email": "ada@example.com",
            "push": "token",
            "phone": "15550109999",
            "country": country_from("us"),
            "accepts_marketing": False,
            "name": "Ada",
        },
        "product": {"sku": "LAMP"},
    }


@pytest.mark.parametrize(
    ("status", "headers", "code", "outcome", "carried_out"),
    [
        (404, {}, 3, "refused", False),
        (429, {}, 6, "refused for now", False),
        (500, {}, 5, "unknown", None),
        (503, {"Retry-After": "7"}, 6, "refused for now", False),
    ],
)
def test_other_answers(
    sandbox: Sandbox,
    capsys: Capture,
    status: int,
    headers: dict[str, str],
    code: int,
    outcome: str,
    carried_out: bool | None,
) -> None:
    """Each kind of answer has its exit code; what the service said is shown when asked for."""
    body = {"errors": ["words\x1b[2J of the service"]}
    for words in ([], ["--show-words"], ["--json"]):
        sandbox.fail_next(status, body=body, headers=headers)
        assert create(sandbox, *EMAIL, *ONCE, *words) == code
        said = capsys.readouterr()
        assert f"stoqapp create: STOQ answered {status}" in said.err
        assert (r"'words\x1b[2J of the service'" in said.err) is ("--show-words" in words)
        assert ("--show-words prints" in said.err) is ("--show-words" not in words)
    report = json.loads(said.out)
    assert (report["outcome"], report["carried_out"]) == (outcome, carried_out)
    assert (report["status"], report["messages"]) == (status, body["errors"])


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--total-timeout", "x"], 2, "stoqapp create: --total-timeout must be"),
        (["--timeout", "soon"], 2, "stoqapp create: --timeout must be"),
        (["--max-retries", "-1"], 2, "stoqapp create: --max-retries must be"),
        (["--base-url", "http://example.com"], 2, "stoqapp create: --base-url must be"),
        (
            ["--base-url", "http://127.0.0.1:1", *ONCE],
            4,
            "nothing was sent to 127.0.0.1:1: the host",
        ),
        ([*EMAIL], 3, "the customer is on the list already.\n  --show-words"),
        (["--more", 'customer.email="x"'], 2, "--email is given twice"),
    ],
)
def test_messages_name_options_and_hosts(
    sandbox: Sandbox, capsys: Capture, words: list[str], code: int, says: str
) -> None:
    """Where an error names a Python argument, the command names its option; and the host."""
    assert create(sandbox, *EMAIL) == 0
    assert create(sandbox, *EMAIL, *words) == code
    said = capsys.readouterr().err
    assert says in said
    arguments = {*inspect.signature(Stoq).parameters, *inspect.signature(Stoq.subscribe).parameters}
    assert not any(name in said for name in arguments if "_" in name)
    assert " .messages" not in said


def test_a_created_intent_that_is_hard_to_print(sandbox: Sandbox, capsys: Capture) -> None:
    """Whatever a 201 holds, the intent is created, and what is printed can be read."""
    intent = r'{"id": "\u001b[2J\ud800", "x": NaN, "y": ' + "[" * 900 + "]" * 900 + "}"
    for words in ([], ["--json"]):
        sandbox.fail_next(201, body='{"intents": [' + intent + "]}")
        assert create(sandbox, *EMAIL, *words) == 0
    said, report = capsys.readouterr().out.split("\n", 1)
    assert said == r"created: intent \x1b[2J\ud800"
    report = json.loads(report.partition("\n")[2], parse_constant=pytest.fail)
    assert ("created", True) == (report["outcome"], report["carried_out"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "stoqapp: give a command: "),
        (["secret@example.com"], "stoqapp: unknown command: give create"),
        (["sandbx"], "unknown command (did you mean sandbox?)"),
        (["create", "--shop", "demo", *EMAIL], "\n  --variant is required: set it"),
        (["verify", "--product", "2"], "are required: --variant, --email; see stoqapp verify"),
        (["create", *FIELDS, "--email"], "--email needs a value"),
        (["create", *FIELDS, "--name", "-secret"], "as --name=VALUE"),
        (["create", *FIELDS, "--secret@example.com"], "unknown option;"),
        (["create", *FIELDS, "--product-titel", "secret"], "(did you mean --product-title?)"),
        (["create", *FIELDS, "secret@example.com"], "unexpected argument"),
        (["create", *FIELDS, "--accepts-marketing=secret"], "takes no value"),
        (["create", *FIELDS, "--channel", "emial"], "(did you mean email?);"),
        (["create", *FIELDS, "--quantity", "secret@example.com"], "--quantity must be a whole"),
        (["create", *FIELDS, "--quantity", "0", *EMAIL], "\n  --quantity must be at least 1"),
        (["create", *FIELDS, "--more", "secret"], "--more must be the path of a field"),
        (["create", *FIELDS, *EMAIL, "--more", "customer.phne=1"], "'customer.phone'"),
        (["create", *FIELDS, "--email", "-"], "--email needs a line on standard input"),
        (["create", *FIELDS], "give email, phone or push"),
        (["create", *FIELDS, "--phone", "5550109999"], "--phone does not say its country"),
        (["create", "--variant", "1", "--product", "2", *EMAIL], "--shop is missing"),
        (["--print-completion", "bahs"], "zsh or fish (did you mean bash?); see stoqapp --help"),
    ],
)
def test_usage_and_broken_rules(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    """What cannot be sent ends with 2, says why, and does not repeat what was typed."""
    monkeypatch.setattr("sys.stdin", None)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert "secret" not in said.err
    assert "ada@" not in said.err


def test_the_json_of_what_was_not_sent(capsys: Capture) -> None:
    """With --json, errors of usage have the form and the stream of all others."""
    wrong = {"UsageError": ["--quantity", "secret"], "InvalidIntentError": ["--name", "secret"]}
    for error, words in wrong.items():
        assert main(["create", *FIELDS, "--json", *words]) == 2
        said = capsys.readouterr()
        report = json.loads(said.out)
        assert ("invalid", False) == (report["outcome"], report["carried_out"])
        assert (error, 0) == (report["error"], report["attempts"])
        assert report["message"]
        assert "secret" not in said.out + said.err


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help(command: list[str], capsys: Capture) -> None:
    """--help of every command shows examples that name it, and each exit code once."""
    text = help_of(capsys, *command)
    examples = re.split(r"\nexamples?:\n", text)[1].partition("\n\n")[0]
    assert "stoqapp " + " ".join(command) in examples
    codes = re.findall(r"^  (\d+) +\w", text, re.MULTILINE)
    assert codes[:3] == ["0", "1", "2"]
    assert len(codes) == len(set(codes))
    if command == ["create"]:
        assert codes == ["0", "1", "2", "3", "4", "5", "6", "130"]
        assert all(f"--{name.replace('_', '-')}" in text for name in INPUTS)
    if not command:
        assert set(COMMANDS) <= set(re.findall(r"^    ([a-z]+) ", text, re.MULTILINE))
        assert help_of(capsys, option="--version") == f"stoqapp {__version__}\n"


def test_completion(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """--print-completion prints a script that bash can read and that knows commands and options."""
    assert main(["--print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in [*COMMANDS, "--email", "--accepts-marketing", "sms"])
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    assert "pip install 'stoqapp[completion]'" in capsys.readouterr().err


def test_a_package_that_is_missing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose package is missing says so in one line; others work."""
    broken = EntryPoint("broken", "is_missing:add_to", "stoqapp.commands")
    monkeypatch.setattr("stoqapp.cli.entry_points", lambda group: [broken])
    assert main(["broken"]) == 1
    assert capsys.readouterr().err == "stoqapp broken: needs the package 'is_missing'\n"
    assert "--email" in help_of(capsys, "create")


def test_a_termination(capsys: Capture) -> None:
    """SIGTERM during a call, like Ctrl-C, says that the intent may be on the list."""

    def terminates(peer: Peer) -> None:
        peer.read_request()
        terminate()
        peer.wait_until_left()

    with (
        on_signal(signal.SIGTERM, lambda *_: pytest.fail("not handled")) as terminate,
        FaultServer(terminates) as server,
    ):
        words = [*FIELDS, *EMAIL, "--json", "--base-url", server.url()]
        assert main(["create", *words]) == 130
    said = capsys.readouterr()
    assert said.err == "stoqapp create: interrupted; the intent may be on the list\n"
    report = json.loads(said.out)
    assert (report["outcome"], report["carried_out"]) == ("interrupted", None)


@pytest.mark.parametrize("deaf", [None, "/dev/full"], ids=["closed", "full"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_exit_code_tells_the_outcome_whoever_reads(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, deaf: str | None
) -> None:
    """Output that cannot be written changes no exit code; the other stream still gets its lines."""
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr" if name == "stdout" else "stdout", other)
    with Path(deaf).open("w") if deaf else nullcontext() as stream:
        monkeypatch.setattr(sys, name, stream)
        assert create(sandbox, *EMAIL, "--json") == 0
        if name == "stderr":
            assert json.loads(other.getvalue())["outcome"] == "created"
        sandbox.fail_next(404, body={"error": "words"})
        assert create(sandbox, *EMAIL, "--show-words") == 3


def test_it_runs_as_a_module() -> None:
    """``python -m stoqapp`` is the same command, STOQ_LOG asks for its log.

    Also at the end of the interpreter, a pipe that is not read any more is not a failure.
    """
    command = [sys.executable, "-m", "stoqapp", "create", *FIELDS, *EMAIL, *ONCE, "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [*command, "--base-url", "http://127.0.0.1:1"],
        env=os.environ | {"STOQ_LOG": "Debug"},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert ran.returncode == 4
    assert "stoqapp DEBUG attempt 1 to 127.0.0.1: " in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "BrokenPipe" not in ran.stderr
