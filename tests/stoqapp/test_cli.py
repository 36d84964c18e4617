"""The command line: arguments in, exit code out, and nobody's data in its messages."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stoqapp import Stoq, __version__
from stoqapp.cli import main
from stoqapp.inputs import INPUTS
from stoqapp_sandbox import Sandbox

README = Path(__file__).parents[2] / "README.md"
FIELDS = ["--shop", "demo", "--variant", "4711", "--product", "42"]
EMAIL = ["--email", "ada@example.com"]


def create(sandbox: Sandbox, *words: str) -> int:
    return main(["create", "--base-url", sandbox.base_url, *FIELDS, *words])


def test_created(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A created intent ends with 0 and names the intent."""
    assert create(sandbox, *EMAIL) == 0
    assert capsys.readouterr().out.splitlines()[0] == "created: intent 1"
    assert len(sandbox.intents) == 1


def test_every_field_can_be_given(sandbox: Sandbox) -> None:
    """Each argument of subscribe has its option, and its value arrives."""
    words = {
        "phone": "(555) 010-9999",
        "push": "push-token",
        "channel": "sms",
        "quantity": "2",
        "market": "gid://shopify/Market/7",
        "name": "Ada",
        "country": "US",
        "country-code": "1",
        "locale": "en",
        "customer-id": "1",
        "customer-market": "8",
        "shopify-customer-id": "815",
        "product-title": "Lamp",
        "variant-title": "Blue",
        "variant-count": "3",
        "vendor": "Example",
        "sku": "LAMP-BLUE",
    }
    given = [word for name, value in words.items() for word in (f"--{name}", value)]
    assert create(sandbox, *EMAIL, *given, "--no-accepts-marketing") == 0
    assert sandbox.intents[0]["request"] == {
        "intent": {
            "shopify_variant_id": 4711,
            "shopify_product_id": 42,
            "shopify_market_id": 7,
            "channel": "sms",
            "quantity": 2,
            "source": "api",
        },
        "customer": {
            "id": "1",
            "name": "Ada",
            "email": "ada@example.com",
            "phone": "15550109999",
            "push": "push-token",
            "country_code": "1",
            "country": "us",
            "accepts_marketing": False,
            "locale": "en",
            "shopify_market_id": 8,
            "shopify_customer_id": "815",
        },
        "product": {
            "variant_count": 3,
            "title": "Lamp",
            "variant_title": "Blue",
            "vendor": "Example",
            "sku": "LAMP-BLUE",
        },
    }
    options = {name.replace("-", "_") for name in words} | {"variant", "product", "email"}
    assert options | {"accepts_marketing"} == set(INPUTS)


def test_the_json_of_a_created_intent(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object that tells the whole outcome."""
    assert create(sandbox, *EMAIL, "--country", "US", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["carried_out"], report["status"]) == ("created", True, 201)
    assert report["intents"][0]["email"] == "ada@example.com"
    assert {"path": "customer.country", "description": "lower-cased"} in report["changes"]


@pytest.mark.parametrize(
    ("status", "code", "outcome", "carried_out"),
    [
        (200, 3, "refused", False),
        (400, 3, "refused", False),
        (401, 3, "refused", False),
        (404, 3, "refused", False),
        (429, 6, "turned away", False),
        (500, 5, "unknown", None),
        (503, 5, "unknown", None),
        (302, 5, "unknown", None),
    ],
)
def test_other_answers(
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    status: int,
    code: int,
    outcome: str,
    carried_out: bool | None,
) -> None:
    """Each kind of answer has its exit code; what the service said is in the JSON alone."""
    sandbox.fail_next(status, body={"errors": ["words of the service"]})
    assert create(sandbox, *EMAIL, "--max-retries", "0", "--json") == code
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["outcome"], report["carried_out"]) == (outcome, carried_out)
    assert (report["status"], report["messages"]) == (status, ["words of the service"])
    assert f"STOQ answered {status}" in said.err
    assert "words of the service" not in said.err


def test_texts_name_what_the_command_line_has(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an error names something of the Python API, the command names what it has itself."""
    assert create(sandbox, *EMAIL) == 0
    assert create(sandbox, *EMAIL) == 3
    assert "messages in --json holds what the service said" in capsys.readouterr().err
    assert create(sandbox, *EMAIL, "--total-timeout", "x") == 2
    assert capsys.readouterr().err.startswith("stoqapp create: --total-timeout must be")
    assert main(["create", *FIELDS, *EMAIL, "--base-url", sandbox.url]) == 3
    assert "--base-url is the API's" in capsys.readouterr().err


def test_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a connection the exit code says that nothing was sent."""
    words = ["create", *FIELDS, *EMAIL, "--base-url", "http://127.0.0.1:1", "--json"]
    words += ["--max-retries", "0"]
    assert main(words) == 4
    said = capsys.readouterr()
    assert json.loads(said.out)["outcome"] == "not sent"
    assert said.err.startswith("stoqapp create: nothing was sent")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "stoqapp: give a command: create, sandbox or verify; see stoqapp --help"),
        (["secret@example.com"], "no such command: give create, sandbox or verify"),
        (["create"], "stoqapp create: required: --variant, --product; see stoqapp create --help"),
        (["create", *FIELDS, "--email"], "--email: needs a value"),
        (["create", *FIELDS, "--name", "-secret"], "given as --name=VALUE"),
        (["create", *FIELDS, "-esecret@example.com"], "unknown option;"),
        (["create", *FIELDS, "--secret@example.com"], "unknown option;"),
        (["create", *FIELDS, "--product-titel", "secret"], "(--product-title?)"),
        (["create", *FIELDS, "secret@example.com"], "stray argument"),
        (
            ["create", *FIELDS, "--emial", "secret@example.com"],
            "unknown option --emial (--email?);",
        ),
        (["create", *FIELDS, "--emial=secret@example.com"], "unknown option --emial (--email?);"),
        (["create", *FIELDS, "--accepts-marketing=secret"], "takes no value"),
        (["create", *FIELDS, "--quantity", "secret@example.com"], "--quantity: must be a whole"),
        (["create", *FIELDS, "--quantity", "1.5"], "--quantity: must be a whole"),
        (["create", *FIELDS, "--quantity", "9" * 5000], "--quantity: must be a whole"),
        (["create", *FIELDS, "--quantity", "0", *EMAIL], "\n  --quantity must be at least 1"),
        (["create", *FIELDS], "give email, phone or push"),
        (["create", *FIELDS, *EMAIL, "--channel", "sms"], "--phone is needed"),
        (["create", *FIELDS, "--phone", "5550109999"], "--phone does not say whose"),
        (["create", *FIELDS, *EMAIL, "--timeout", "soon"], "timeout must be"),
        (["create", *FIELDS, *EMAIL, "--base-url", "http://example.com"], "must be https"),
        (["create", "--variant", "1", "--product", "2", *EMAIL], "no shop"),
        (["sandbox", "--port", "secret@example.com"], "--port: must be a whole"),
        (["sandbox", "--port", "70000"], "--port: must be a whole number from 0 to 65535"),
        (["sandbox", "--rate-limit", "secret@example.com/60"], "points and seconds, like 360/60"),
        (["sandbox", "--rate-limit", "360/secret@example.com"], "points and seconds, like 360/60"),
        (["sandbox", "--rate-limit", "7"], "points and seconds, like 360/60"),
    ],
)
def test_usage_and_broken_rules(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    """What cannot be sent ends with 2, says why, and does not repeat what was typed."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert "secret" not in said.err
    assert "ada@" not in said.err


@pytest.mark.parametrize("value", ["e", "a", "option", "-", "must be a whole number", "secret"])
@pytest.mark.parametrize("option", ["--quantity", "--json=", "--emial", "--max-retries"])
def test_usage_is_told_in_whole_words(
    capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """What was typed changes nothing about the words of the complaint."""
    words = [option + value] if option.endswith("=") else [option, value]
    assert main(["create", *FIELDS, *words]) == 2
    other = [f"{option}zz"] if option.endswith("=") else [option, "zz"]
    said = capsys.readouterr().err
    assert main(["create", *FIELDS, *other]) == 2
    assert said == capsys.readouterr().err or value == "-"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["create", "--json"], "UsageError"),
        (["create", *FIELDS, "--json", "--quantity", "secret"], "UsageError"),
        (["create", *FIELDS, "--json", "--nmae=secret"], "UsageError"),
        (["create", *FIELDS, *EMAIL, "--json", "--timeout", "secret"], "ConfigurationError"),
        (["create", *FIELDS, "--json"], "InvalidIntentError"),
    ],
)
def test_the_json_of_what_was_not_sent(
    capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    """With --json, errors of usage have the form and the stream of all others."""
    assert main(words) == 2
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert ("invalid", False, error) == (report["outcome"], report["carried_out"], report["error"])
    assert report["message"]
    assert report["attempts"] == 0
    assert "secret" not in said.out + said.err


def test_turned_away_for_now(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A 503 that says when to come back was not carried out, which its exit code tells."""
    sandbox.fail_next(503, headers={"Retry-After": "7"})
    assert create(sandbox, *EMAIL, "--max-retries", "0", "--json") == 6
    report = json.loads(capsys.readouterr().out)
    assert ("turned away", False, 7) == (
        report["outcome"],
        report["carried_out"],
        report["retry_after_seconds"],
    )


@pytest.mark.parametrize(
    "intents", ['[{"id": 1, "x": NaN}]', '[{"id": 1, "x": ' + "[" * 900 + "]" * 900 + "}]"]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_created_intent_that_cannot_be_printed(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], intents: str, form: list[str]
) -> None:
    """Whatever a 201 holds, the intent is created, and what is printed can be read."""
    sandbox.fail_next(201, body='{"intents": ' + intents + "}")
    assert create(sandbox, *EMAIL, *form) == 0
    said = capsys.readouterr().out
    if form:
        report = json.loads(said, parse_constant=pytest.fail)
        assert ("created", True) == (report["outcome"], report["carried_out"])
    else:
        assert said.startswith("created")


def test_an_id_that_no_terminal_can_show(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id is printed in ASCII, so that it can neither fail nor steer the terminal."""
    sandbox.fail_next(201, body=r'{"intents": [{"id": "\u001b[2J\ud800"}]}')
    assert create(sandbox, *EMAIL) == 0
    assert capsys.readouterr().out.startswith(r"created: intent \x1b[2J\ud800")


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "2> /dev/full", "> /dev/full 2>&1", None]
)
@pytest.mark.parametrize(("status", "code"), [(201, 0), (404, 3)])
def test_the_exit_code_tells_the_outcome_whoever_listens(
    sandbox: Sandbox, status: int, code: int, streams: str | None, form: list[str]
) -> None:
    """Output that nobody takes changes neither the exit code, nor does it end in a traceback."""
    if status != 201:
        sandbox.fail_next(status)
    command = [sys.executable, "-m", "stoqapp", "create", "--base-url", sandbox.base_url]
    command += [*FIELDS, *EMAIL, *form]
    if streams is None:
        reader, writer = os.pipe()
        os.close(reader)
        ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
    else:
        command = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    if form and streams == "2>&-":
        assert json.loads(ran.stdout)["outcome"] == ("created" if code == 0 else "refused")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["create", "--help"], 0),
        (["create"], 2),
        (["sandbox", "--assume", "list"], 0),
        (["sandbox", "--assume", "x"], 2),
        (["sandbox", "--fault", "x"], 2),
        (["verify", "--only", "list"], 0),
        (["verify"], 2),
    ],
    ids=str,
)
def test_other_output_that_nobody_takes(words: list[str], code: int) -> None:
    """Neither a listing nor a complaint fails when the other end of the pipe is gone."""
    command = [sys.executable, "-m", "stoqapp", *words]
    reader, writer = os.pipe()
    os.close(reader)
    for unbuffered in ("", "1"):
        settings: dict[str, Any] = {"env": os.environ | {"PYTHONUNBUFFERED": unbuffered}}
        ran = subprocess.run(command, stdout=writer, stderr=writer, check=False, **settings)
        assert ran.returncode == code
        ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, **settings)
        assert (ran.returncode, "Traceback" in ran.stderr) == (code, False)
    os.close(writer)


@pytest.mark.parametrize(
    "words",
    [
        ["create", *FIELDS],
        ["sandbox", "--assume", "x"],
        ["sandbox", "--fault", "x"],
        ["verify", "--shop", "demo"],
        ["verify", "--shop", "demo", "--json"],
    ],
    ids=" ".join,
)
def test_complaints_with_standard_error_closed(words: list[str]) -> None:
    """What belongs on standard error goes nowhere when it is closed, not to standard output."""
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "stoqapp", *words],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (2, "") == (ran.returncode, ran.stdout)


@pytest.mark.parametrize(
    ("words", "limit"), [([], None), (["--rate-limit", "360/2.5"], (360, 2.5))]
)
def test_the_rate_limit_of_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, words: list[str], limit: tuple[int, float] | None
) -> None:
    """The sandbox is told the limit as points and seconds, and none where none is given."""
    told: list[Any] = []
    monkeypatch.setattr("stoqapp_sandbox.serve", lambda **given: told.append(given["rate_limit"]))
    assert main(["sandbox", *words]) == 0
    assert told == [limit]


@pytest.mark.parametrize("limit", ["0/60", "360/0", "360/nan", "360/inf"])
def test_a_rate_limit_that_is_none(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    """A limit that makes no sense ends with 2 and one line."""
    assert main(["sandbox", "--rate-limit", limit]) == 2
    assert re.fullmatch("stoqapp sandbox: rate limit must be [^\n]*\n", capsys.readouterr().err)


def test_a_sandbox_that_cannot_start(capsys: pytest.CaptureFixture[str], sandbox: Sandbox) -> None:
    """A port that cannot be had ends with 1 and one line."""
    assert main(["sandbox", "--port", str(sandbox.port)]) == 1
    assert re.fullmatch("stoqapp sandbox: [^\n]*port[^\n]*\n", capsys.readouterr().err)


def test_an_interrupted_call(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C during a call says that the intent may be on the list."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stoq, "subscribe", interrupted)
    assert create(sandbox, *EMAIL, "--json") == 130
    said = capsys.readouterr()
    assert "may be on the list" in said.err
    assert json.loads(said.out)["carried_out"] is None


def test_an_interrupt_while_arguments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before a command has begun ends it without a traceback."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stoqapp.cli._arguments_from", interrupted)
    assert main(["sandbox"]) == 130


ALL_CODES = ["0", "1", "2", "3", "4", "5", "6", "130"]


@pytest.mark.parametrize(
    ("command", "codes"),
    [([], ALL_CODES), (["create"], ALL_CODES), (["sandbox"], ["0", "1", "2"])],
)
def test_help_documents_the_exit_codes(
    command: list[str], codes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """--help of every command lists each exit code."""
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    listed = re.findall(r"^  (\d+) +\w", capsys.readouterr().out, re.MULTILINE)
    assert listed == codes


@pytest.mark.parametrize(
    ("word", "says"),
    [
        (None, ""),
        ("", ""),
        (" ", ""),
        ("warning", ""),
        ("error", ""),
        ("Debug", "stoqapp DEBUG attempt 1: POST 127.0.0.1: 201 in"),
        ("bogus", "WARNING STOQ_LOG must be one of debug, info, warning, error; using warning"),
        ("notset", "WARNING STOQ_LOG must be one of debug, info, warning, error; using warning"),
    ],
)
def test_the_log_that_the_environment_asks_for(
    sandbox: Sandbox, word: str | None, says: str
) -> None:
    """STOQ_LOG names a level; a word that is none is told, and costs nobody a sign-up."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "stoqapp",
            "create",
            "--base-url",
            sandbox.base_url,
            *FIELDS,
            *EMAIL,
        ],
        env={name: value for name, value in os.environ.items() if name != "STOQ_LOG"}
        | ({} if word is None else {"STOQ_LOG": word}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert (says in ran.stderr) if says else (ran.stderr == "")
    assert ran.stderr.count("\n") == (1 if says else 0)


def test_it_runs_as_a_module() -> None:
    """``python -m stoqapp`` is the same command."""
    ran = subprocess.run(
        [sys.executable, "-m", "stoqapp", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"stoqapp {__version__}\n"
