"""Intents that wait in the shop's own database, and the outbox that `drain` empties."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import close_old_connections, models, transaction

from stoqapp.outbox import Item, Outcome


class WaitingIntent(models.Model):
    """A request for one shop. Its body, which names a person, is deleted with the outcome."""

    shop = models.CharField(max_length=255)
    body = models.JSONField(null=True)
    state = models.CharField(max_length=16, default="waiting")
    status = models.IntegerField(null=True)
    error = models.CharField(max_length=64, null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "shop", "id"])]


@contextmanager
def step() -> Iterator[models.QuerySet[WaitingIntent]]:
    """Commit what is done in here, durably, or nothing of it."""
    try:
        with transaction.atomic(durable=True):
            yield WaitingIntent.objects.all()
    finally:
        # A drain works in threads, which Django does not tidy up after.
        close_old_connections()


class ModelOutbox:
    """The table as an outbox, for one drain at a time; see `stoqapp.outbox`."""

    def __init__(self) -> None:
        with step() as rows:
            # A drain that was killed left these.
            rows.filter(state="in flight").update(state="waiting")

    def claim(self, counts: Mapping[str, int]) -> list[Item]:
        claimed: list[WaitingIntent] = []
        with step() as rows:
            for shop, count in counts.items():
                claimed += rows.filter(state="waiting", shop=shop).order_by("id")[:count]
            rows.filter(pk__in=[row.pk for row in claimed]).update(state="in flight")
        return [Item(row.pk, row.shop, row.body) for row in claimed]

    def store(self, outcomes: Sequence[Outcome]) -> None:
        with step() as rows:
            for one in outcomes:
                # What is unknown is sent again.
                known = {"state": "waiting"}
                if one.state != "unknown":
                    known = {"state": one.state, "body": None}
                rows.filter(pk=one.key).update(status=one.status, error=one.error, **known)

    def release(self, items: Sequence[Item]) -> None:
        with step() as rows:
            rows.filter(pk__in=[item.key for item in items]).update(state="waiting")

    def left(self) -> dict[str, int]:
        with step() as rows:
            waiting = rows.filter(state="waiting").values_list("shop")
            return dict(waiting.annotate(models.Count("pk")))
