"""Intents that wait to be sent, in the shop's own database; see outbox.py."""

from django.db import models


class WaitingIntent(models.Model):
    """A request for one shop. Its body, which names a person, goes once it is settled."""

    shop = models.CharField(max_length=255)
    body = models.JSONField(null=True)
    state = models.CharField(max_length=16, default="waiting")
    owner = models.UUIDField(null=True)
    status = models.IntegerField(null=True)
    error = models.CharField(max_length=64, null=True)
    added = models.DateTimeField(auto_now_add=True)
    ended = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index("shop", "id", name="open", condition=models.Q(ended=None))]
