"""The page at ``/``: what the sandbox was sent and what it answered, live."""

from stoqapp_sandbox.page.guard import CONTROL, HEADERS, is_private, refusal
from stoqapp_sandbox.page.views import detail, page_files, view

__all__ = ["CONTROL", "HEADERS", "detail", "is_private", "page_files", "refusal", "view"]
