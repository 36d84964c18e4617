"""Import a waitlist: read a file, plan what to send, keep a ledger, send.

Needs the extra ``stoqapp[bulk]``. The modules: `read` (a file becomes records), `mapping`
(which column is which field), `catalog` (variants of a shop), `cells` (texts become values),
`plan` (records become verdicts), `ledger` (what became of each intent), `send` (an outbox is
emptied within the rate budget), `preview` and `report` (what people see before and after).
"""

__all__: list[str] = []
