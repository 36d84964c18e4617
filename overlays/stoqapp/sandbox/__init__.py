"""A stand-in for the STOQ API on this machine, for tests, demos and trying things out.

Needs the extra: ``pip install 'stoqapp[sandbox]'``. Without it this package still imports, and
`Sandbox` and `serve` raise `SandboxNotInstalledError` when they are called.
"""

from stoqapp.sandbox.assumptions import ASSUMPTIONS, Assumption
from stoqapp.sandbox.errors import (
    PortInUseError,
    SandboxError,
    SandboxNotInstalledError,
    UnusableFaultError,
)
from stoqapp.sandbox.server import Sandbox, serve

__all__ = [
    "ASSUMPTIONS",
    "Assumption",
    "PortInUseError",
    "Sandbox",
    "SandboxError",
    "SandboxNotInstalledError",
    "UnusableFaultError",
    "serve",
]
