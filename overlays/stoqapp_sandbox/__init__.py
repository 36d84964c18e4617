"""A stand-in for the STOQ API on this machine, for tests, demos and trying things out.

Needs the extra: ``pip install 'stoqapp[sandbox]'``. Without it this package still imports, and
`Sandbox` and `serve` raise `SandboxError` when they are called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "ASSUMPTIONS",
    "Assumption",
    "Assumptions",
    "Sandbox",
    "SandboxError",
    "UnusableOptionError",
    "serve",
]

if TYPE_CHECKING:
    from stoqapp_sandbox.assumptions import ASSUMPTIONS, Assumption, Assumptions
    from stoqapp_sandbox.errors import SandboxError, UnusableOptionError
    from stoqapp_sandbox.server import Sandbox, serve
else:
    # Every pytest run loads the plugin in this package, and few runs need the rest.
    def __getattr__(name: str) -> Any:
        for module in ("assumptions", "errors", "server") if name in __all__ else ():
            found = vars(import_module(f"{__name__}.{module}"))
            if name in found:
                return found[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
