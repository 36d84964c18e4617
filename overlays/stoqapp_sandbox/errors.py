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
    """The wanted port is taken; the message names it."""


class SandboxNotInstalledError(SandboxError, ImportError):
    """A package that only the sandbox needs is not installed; the message says how to."""


class UnusableOptionError(SandboxError, ValueError):
    """An option or fault has an unusable value; the message says which, and what it can be."""
