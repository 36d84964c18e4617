"""The page at ``/``: what the sandbox was sent and what it answered, live."""
