"""Asks the real service what the sandbox takes for granted about it: ``stoqapp verify``.

`probes` says what is sent, and of which assumptions each answer tells. `worlds` predicts the
answers: the same requests go to sandboxes in this process, one for each combination of choices,
and those that answer otherwise than the service are dropped. `run` sends, `report` says what is
left, `command` is the command line.
"""

__all__: list[str] = []
