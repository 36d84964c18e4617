"""The outbox in the database, which `stoqapp.bulk.send.drain` empties; see `stoqapp.outbox`."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import DatabaseError, close_old_connections, connection, models, transaction
from django.utils import timezone
from waitlist.models import WaitingIntent

from stoqapp.outbox import Item, OutboxError, Outcome


@contextmanager
def step() -> Iterator[models.QuerySet[WaitingIntent]]:
    """Commit what is done in here, durably, or nothing of it."""
    try:
        with transaction.atomic(durable=True):
            yield WaitingIntent.objects.filter(ended=None)
    except DatabaseError as error:
        raise OutboxError("the table of waiting intents cannot be used; drain again") from error
    finally:
        # A drain works in threads, which Django does not tidy up after.
        close_old_connections()


class ModelOutbox:
    def __init__(self) -> None:
        # Tells what this drain claimed from what one that was killed has left in flight.
        self.owner = uuid.uuid4()

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        rows: list[WaitingIntent] = []
        with step() as waiting:
            for shop, count in counts.items():
                free = waiting.filter(shop=shop).exclude(owner=self.owner).order_by("id")
                skip_locked = connection.features.has_select_for_update_skip_locked
                rows += free.select_for_update(skip_locked=skip_locked)[:count]
            claimed = waiting.filter(pk__in=[row.pk for row in rows])
            claimed.update(state="in flight", owner=self.owner)
        return [Item(row.pk, row.shop, row.body) for row in rows]

    def store(self, outcomes: Sequence[Outcome]) -> None:
        with step() as waiting:
            for one in outcomes:
                # What is unknown waits again; what is settled loses its body.
                settled = {} if one.state == "unknown" else {"ended": timezone.now(), "body": None}
                waiting.filter(pk=one.key).update(
                    state=one.state, status=one.status, error=one.error, owner=None, **settled
                )

    def release(self, items: Sequence[Item]) -> None:
        with step() as waiting:
            keys = [item.key for item in items]
            waiting.filter(pk__in=keys).update(state="waiting", owner=None)

    def left(self) -> dict[str, int]:
        with step() as waiting:
            return dict(waiting.values_list("shop").annotate(models.Count("pk")))
