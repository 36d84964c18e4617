"""The HTTP layer: one request out, one answer in."""
