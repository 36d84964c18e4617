"""The fixture `stoq_sandbox`, for the tests of whoever installed ``stoqapp[sandbox]``.

pytest finds it by itself. One server runs for a whole session, from the first test that asks
for it; each test finds it empty. A marker sets the options of `Sandbox.configure`::

    @pytest.mark.stoq_sandbox(assume={"duplicate": "409"})
    def test_signup(stoq_sandbox):
        ...  # a client with base_url=stoq_sandbox.base_url

Where a test, its class and its module have one each, the nearest decides an option, and an entry
of ``assume``.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stoqapp_sandbox import Sandbox

_MARKER = "stoq_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(rate_limit, assume, shops, catalog, faults, allow_origin): options of the"
        " sandbox that the fixture stoq_sandbox gives",
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

    options: dict[str, Any] = {}
    # The farthest first: the module's, its class's, the test's own.
    for marker in reversed(list(request.node.iter_markers(_MARKER))):
        if marker.args:
            pytest.fail(f"give the options of the marker {_MARKER} by name", pytrace=False)
        assumed = [options.get("assume"), marker.kwargs.get("assume")]
        options |= marker.kwargs
        if all(isinstance(one, Mapping) for one in assumed):
            options["assume"] = {**assumed[0], **assumed[1]}
    try:
        _stoq_sandbox_of_the_session.configure(**options)
    except (SandboxError, TypeError) as error:
        raise pytest.fail.Exception(f"marker {_MARKER}: {error}", pytrace=False) from None
    return _stoq_sandbox_of_the_session
