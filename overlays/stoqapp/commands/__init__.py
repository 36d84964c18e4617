"""The commands that need the extra ``stoqapp[bulk]``; `stoqapp.cli` finds them."""

__all__: list[str] = []
