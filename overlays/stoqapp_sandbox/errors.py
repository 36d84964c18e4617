"""Errors of the sandbox."""

from stoqapp.errors import StoqError


class SandboxError(StoqError):
    """The sandbox cannot do what it was asked; the message says why and what to do."""


class UnusableOptionError(SandboxError, ValueError):
    """An option or fault has an unusable value; the message says which, and what it can be."""
