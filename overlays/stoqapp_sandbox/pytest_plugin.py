"""The fixture `stoq_sandbox`, for the tests of projects with ``stoqapp[sandbox]``.

pytest finds it by itself. One server runs for a whole session, from the first test that asks
for it; each test finds it empty. A marker sets the options of `Sandbox.configure`::

    @pytest.mark.stoq_sandbox(assume={"duplicate": "409"})
    def test_signup(stoq_sandbox):
        ...  # a client with base_url=stoq_sandbox.base_url

Where a test, its class and its module have one each, the nearest counts alone.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stoqapp_sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "stoq_sandbox(rate_limit, assume, catalog, faults, allow_origin): options of the sandbox"
        " that the fixture stoq_sandbox gives",
    )


@pytest.fixture(scope="session")
def _stoq_sandbox_of_the_session() -> Iterator["Sandbox"]:
    from stoqapp_sandbox import Sandbox, SandboxError

    try:
        with Sandbox() as sandbox:
            yield sandbox
    except SandboxError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
def stoq_sandbox(
    request: pytest.FixtureRequest, _stoq_sandbox_of_the_session: "Sandbox"
) -> "Sandbox":
    """A running sandbox that holds nothing; the marker ``stoq_sandbox`` sets its options."""
    from stoqapp_sandbox import SandboxError

    marker = request.node.get_closest_marker("stoq_sandbox") or pytest.mark.stoq_sandbox.mark
    try:
        _stoq_sandbox_of_the_session.configure(*marker.args, **marker.kwargs)
    except (SandboxError, TypeError) as error:
        raise pytest.fail.Exception(f"marker stoq_sandbox: {error}", pytrace=False) from None
    return _stoq_sandbox_of_the_session
