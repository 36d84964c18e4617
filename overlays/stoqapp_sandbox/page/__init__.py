"""The page at ``/``: the sandbox's journal, live, and a form for sending an intent.

The files beside this module are sent as they are, but for the path of the endpoint.
"""

from stoqapp_sandbox.page.guard import CONTROL, Guard, is_private
from stoqapp_sandbox.page.recorder import Recorder
from stoqapp_sandbox.page.routes import page_routes

__all__ = ["CONTROL", "Guard", "Recorder", "is_private", "page_routes"]
