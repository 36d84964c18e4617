"""The fixture `stoq_sandbox` works in a project that knows of it only by the installed package."""

import os
import socket
import subprocess
import sys

import pytest

from stoqapp_sandbox import Sandbox

pytest_plugins = ["pytester"]

HANG_SECONDS = 120
PROJECT = """
import pytest
from stoqapp import AnswerError, Stoq

ports = set()

def statuses(sandbox):
    with Stoq("demo", base_url=sandbox.base_url, budget=None, max_retries=0) as stoq:
        for _ in range(3):
            try:
                created = stoq.subscribe(variant=4711, product=42, email="ada@example.com")
                yield created.answer.status
            except AnswerError as error:
                yield error.status

@pytest.mark.parametrize("run", range(2))
def test_signup(stoq_sandbox, run):
    assert [*statuses(stoq_sandbox)] == [201, 200, 200]
    assert [intent["email"] for intent in stoq_sandbox.intents] == ["ada@example.com"]
    ports.add(stoq_sandbox.port)

@pytest.mark.stoq_sandbox(assume={"duplicate": "409"}, rate_limit=(4, 86400))
class TestMarked:
    def test_of_the_class(self, stoq_sandbox):
        assert [*statuses(stoq_sandbox)] == [201, 409, 429]

    @pytest.mark.stoq_sandbox(assume={"duplicate": "422"})
    def test_nearest(self, stoq_sandbox):
        assert [*statuses(stoq_sandbox)] == [201, 422, 422]

@pytest.mark.stoq_sandbox(assume={"duplicate": "408"})
def test_unknown_choice(stoq_sandbox): ...

@pytest.mark.stoq_sandbox(rate_limits=(1, 2))
def test_unknown_option(stoq_sandbox): ...

@pytest.mark.stoq_sandbox({"duplicate": "409"})
def test_without_a_name(stoq_sandbox): ...

def test_marker_is_gone(stoq_sandbox):
    assert [*statuses(stoq_sandbox)] == [201, 200, 200]
    [port] = ports | {stoq_sandbox.port}
    print("all met port", port)
"""
SETTINGS = "[pytest]\nfilterwarnings = error\naddopts = -q --strict-markers -p no:schemathesis"


def test_a_fresh_project(pytester: pytest.Pytester) -> None:
    """One server runs for all tests; each finds it empty, and as its nearest marker says.

    A marker that makes no sense fails its test, in one line that says what can be given. With
    pytest-socket, this machine alone is enough. At the end of the session the server has ended.
    """
    # Modules in C, which the run below would load, cannot be loaded twice.
    Sandbox()
    pytester.makeini(SETTINGS)
    pytester.makepyfile(PROJECT)
    done = pytester.runpytest_inprocess("-rP", "--disable-socket", "--allow-hosts=127.0.0.1")
    done.assert_outcomes(passed=5, errors=3)
    said = done.stdout.str()
    for line in (
        "marker stoq_sandbox: assumption duplicate must be one of 200, 400, 409",
        "marker stoq_sandbox: Settings.__init__() got an unexpected keyword argument 'rate_limits'",
        "marker stoq_sandbox: Sandbox.configure() takes 1 positional argument but 2 were given",
    ):
        assert line in said
    assert "Traceback" not in said
    assert "During handling" not in said
    port = int(said.partition("all met port ")[2].split()[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_without_the_extra(pytester: pytest.Pytester) -> None:
    """A test that asks for the fixture is told what to install; any other imports nothing of it."""
    pytester.makeini(SETTINGS)
    pytester.makepyfile(
        """
        import sys

        def test_other():
            ours = {name for name in sys.modules if name.startswith("stoqapp")}
            assert ours == {"stoqapp_sandbox", "stoqapp_sandbox.pytest_plugin"}
            assert not {"httpx", "jsonschema_rs", "attrs"} & set(sys.modules)
            sys.modules["jsonschema_rs"] = None

        def test_signup(stoq_sandbox): ...
        """
    )
    # Plugins of the development environment import some of them.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "stoqapp_sandbox.pytest_plugin"],
        env={name: value for name, value in environment.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "needs the package 'jsonschema_rs': pip install 'stoqapp[sandbox]'" in done.stdout
    assert "During handling" not in done.stdout
    assert "ModuleNotFoundError" not in done.stdout
