"""Errors of the sandbox.

::

    SandboxError                  root; a StoqError
    ├── PortInUseError            another program listens there
    ├── SandboxNotInstalledError  the extra [sandbox] is missing (also an ImportError)
    └── UnusableOptionError       an option or fault has an unusable value (also a ValueError)
"""

from stoqapp.errors import StoqError


class SandboxError(StoqError):
    """The sandbox cannot do what it was asked; the message says why and what to do."""


class PortInUseError(SandboxError):
    """The wanted port is taken.

    Attributes:
        host: The address that was asked for.
        port: The port that was asked for.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use: end the program that listens there,"
            " or choose another port (0 takes any free one)"
        )
        self.host = host
        self.port = port


class SandboxNotInstalledError(SandboxError, ImportError):
    """A package that only the sandbox needs is not installed."""

    def __init__(self, missing: str | None) -> None:
        super().__init__(
            f"the sandbox needs the package {missing!r}: pip install 'stoqapp[sandbox]'"
        )


class UnusableOptionError(SandboxError, ValueError):
    """An option or fault has an unusable value; the message says which, and what it can be."""
