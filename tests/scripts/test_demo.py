"""The demo: what it shows, and that it leaves nothing behind."""

import re
import signal
import socket
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo"


@pytest.fixture(scope="module")
def shown() -> str:
    """What the demo prints, run from a folder that is not the project's."""
    ran = subprocess.run([DEMO], cwd="/", capture_output=True, text=True, check=True, timeout=120)
    return ran.stdout


def test_it_shows_what_went_out_and_what_came_back(shown: str) -> None:
    """One intent per channel is created, one is refused by a rule, one is a duplicate."""
    assert re.findall(r"^(->|<- \d+|--)", shown, re.MULTILINE) == [
        *["->", "<- 201"] * 3,
        *["->", "--"],
        *["->", "<- 200"],
    ]
    assert re.findall(r'^-> .*"channel": "(\w+)"', shown, re.MULTILINE) == [
        "email",
        "sms",
        "push",
        "sms",
        "email",
    ]
    assert "nothing was sent: customer.phone is needed by channel 'sms'" in shown
    assert "read 10 = sent 6 + already there 0 + rejected 4" in shown
    assert "On the waitlist of the sandbox: 9 intents." in shown


def test_it_leaves_no_process_behind(shown: str) -> None:
    """When the demo has ended, nothing listens where its sandbox was, and no link leads there."""
    port = re.search(r"listens on http://127\.0\.0\.1:(\d+)/", shown)
    assert port is not None
    assert f":{port[1]}/ " not in shown
    socket.create_server(("127.0.0.1", int(port[1]))).close()


def test_keep_leaves_the_sandbox_open() -> None:
    """With --keep the page is named, is there after the tour, and Ctrl-C ends it without a word."""
    with subprocess.Popen(
        [DEMO, "--keep"],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal has it; in a background job the interrupt would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stdout is not None
        named = next(line for line in running.stdout if line.startswith("See it as it comes in: "))
        open_at = next(line for line in running.stdout if line.startswith("Still open: "))
        assert open_at.split()[2] in named
        with urlopen(open_at.split()[2]) as page:
            assert page.status == 200
            assert b"stoqapp sandbox" in page.read()
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=60)

    assert (said, running.returncode) == ("", 0)
    assert "Traceback" not in complained


def test_a_reader_who_has_seen_enough() -> None:
    """Who reads one line, like `head -1`, ends the demo without a traceback, also with --keep."""
    with subprocess.Popen(
        [DEMO, "--keep"], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        complained = running.stderr.read()
        assert running.wait(timeout=120) == 0
    assert "Traceback" not in complained
    assert "Exception ignored" not in complained
