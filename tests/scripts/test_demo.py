"""The demo: what it shows, and how it ends."""

import re
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

DEMO = Path(__file__).parents[2] / "scripts" / "demo"


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start the demo from a folder that is not the project's."""
    return subprocess.Popen(
        [DEMO, *arguments],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal has it; in a background job the interrupt would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_it_shows_what_went_out_and_what_came_back() -> None:
    """One intent per channel is created, one is refused by a rule, one is a duplicate; a file is
    imported; no link is shown that leads nowhere afterwards."""
    with started() as running:
        shown = running.communicate(timeout=120)[0]
    assert 0 == running.returncode
    assert [
        ("email", "<- 201"),
        ("sms", "<- 201"),
        ("push", "<- 201"),
        ("sms", "--"),
        ("email", "<- 200"),
    ] == re.findall(r'^-> .*"channel": "(\w+)".*\n(<- \d+|--)', shown, re.MULTILINE)
    assert "nothing was sent: customer.phone is needed by channel 'sms'" in shown
    assert "read 10 = sent 6 + already there 0 + rejected 4" in shown
    assert "On the waitlist of the sandbox: 9 intents." in shown
    assert not re.search(r"http://[\d.:]+/ ", shown)


def test_keep_leaves_the_sandbox_open() -> None:
    """With --keep the page is named, is there after the tour, and Ctrl-C ends it without a word."""
    with started("--keep") as running:
        assert running.stdout is not None
        named = next(line for line in running.stdout if line.startswith("See it as it comes in: "))
        open_at = next(line for line in running.stdout if line.startswith("Still open: "))
        assert open_at.split()[2] in named
        with urlopen(open_at.split()[2]) as page:
            assert b"stoqapp sandbox" in page.read()
        running.send_signal(signal.SIGINT)
        said, complained = running.communicate(timeout=60)
    assert ("", 0) == (said, running.returncode)
    assert "Traceback" not in complained


def test_a_reader_who_has_seen_enough() -> None:
    """A reader that goes away, like `head -1`, ends the demo without a traceback."""
    with started("--keep") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        complained = running.stderr.read()
    assert 0 == running.returncode
    assert not re.search("Traceback|Exception ignored", complained)
