"""The page at ``/``: what the sandbox has seen, live, and a form that sends an intent.

The files beside this module are sent as they are, but for the path of the endpoint.
"""
