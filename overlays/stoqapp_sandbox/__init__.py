"""A stand-in for the STOQ API on this machine, for tests, demos and trying things out.

Needs the extra: ``pip install 'stoqapp[sandbox]'``. Without it this package still imports, and
`Sandbox` and `serve` raise `SandboxNotInstalledError` when they are called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stoqapp_sandbox.assumptions import ASSUMPTIONS, Assumption, Assumptions, Bounds
    from stoqapp_sandbox.errors import (
        PortInUseError,
        SandboxError,
        SandboxNotInstalledError,
        UnusableFaultError,
        UnusableOptionError,
    )
    from stoqapp_sandbox.server import Sandbox, serve

# Every pytest run loads the plugin in this package, and most have no use for the rest.
_ROOM_OF: Final = {
    "ASSUMPTIONS": "assumptions",
    "Assumption": "assumptions",
    "Assumptions": "assumptions",
    "Bounds": "assumptions",
    "PortInUseError": "errors",
    "Sandbox": "server",
    "SandboxError": "errors",
    "SandboxNotInstalledError": "errors",
    "UnusableFaultError": "errors",
    "UnusableOptionError": "errors",
    "serve": "server",
}

__all__ = [
    "ASSUMPTIONS",
    "Assumption",
    "Assumptions",
    "Bounds",
    "PortInUseError",
    "Sandbox",
    "SandboxError",
    "SandboxNotInstalledError",
    "UnusableFaultError",
    "UnusableOptionError",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
