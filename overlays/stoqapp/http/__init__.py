"""The HTTP layer: one request out, one answer in."""

__all__: list[str] = []
