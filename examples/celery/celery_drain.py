"""Empty an outbox with Celery: one short task for each shop, started each minute by beat.

A task for each intent would have to come back again and again until the rate budget has room; a
task that waits keeps a worker from other shops. This one sends what the budget allows for
`SECONDS`, and ends. A worker that is killed loses nothing: what was in flight is sent again by
the next task of the shop, once the lock has run out.

    celery -A celery_drain worker
    celery -A celery_drain beat
"""

import os

from celery import Celery
from redis import Redis

from stoqapp import AsyncStoq, Budget
from stoqapp.bulk.send import drain
from stoqapp.outbox import SqliteOutbox

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
OUTBOX = os.environ.get("OUTBOX", "outbox.sqlite")
EVERY = float(os.environ.get("DRAIN_EVERY", "60"))
SECONDS = EVERY * 0.8
# A call that is in flight when the time is over may take so long.
LONGEST_CALL = float(os.environ.get("LONGEST_CALL", "30"))

app = Celery("celery_drain", broker=REDIS_URL)
app.conf.beat_schedule = {"each minute": {"task": "celery_drain.drain_all", "schedule": EVERY}}
app.conf.broker_connection_retry_on_startup = True


@app.task(ignore_result=True, expires=EVERY)
def drain_all() -> None:
    """Start a task for each shop that has something to send."""
    for shop in SqliteOutbox(OUTBOX).left():
        drain_shop.apply_async((shop,), expires=EVERY)


@app.task(ignore_result=True, acks_late=True, reject_on_worker_lost=True)
def drain_shop(shop: str) -> None:
    """Send what the rate budget allows; do nothing where another worker is at this shop."""
    redis = Redis.from_url(REDIS_URL)
    lock = redis.lock(f"stoqapp:drain:{shop}", timeout=SECONDS + LONGEST_CALL)
    if not lock.acquire(blocking=False):
        return
    try:
        client = AsyncStoq(
            shop, budget=Budget.redis(REDIS_URL, share=0.9), total_timeout=LONGEST_CALL
        )
        drain(SqliteOutbox(OUTBOX), client, shop=shop, seconds=SECONDS)
    finally:
        lock.release()
