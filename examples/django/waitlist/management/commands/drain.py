"""Send what waits in the outbox. Run it each minute, and never two at a time.

    flock -n drain.lock python -m django drain

It leaves a tenth of the rate budget to the visitors who wait for an answer.
"""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from waitlist.models import ModelOutbox

from stoqapp import AsyncStoq, Budget
from stoqapp.bulk.send import drain

SECONDS = 50


class Command(BaseCommand):
    help = "Send what waits in the outbox and the rate budget allows."

    def handle(self, **options: Any) -> None:
        client = AsyncStoq(budget=Budget.sqlite(settings.STOQ_BUDGET, share=0.9))
        drained = drain(ModelOutbox(), client, seconds=SECONDS)
        self.stdout.write(f"{dict(drained.counts)}, left: {sum(drained.left.values())}")
