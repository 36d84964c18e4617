"""The command line ``stoqapp``: arguments in, exit code out."""

from stoqapp.cli.run import main

__all__ = ["main"]
