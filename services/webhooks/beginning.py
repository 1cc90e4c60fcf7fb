"""The place in the feed at which a webhook begins that is switched on.

A transaction that is open at this moment has numbers for its events, but they happen when it commits. So a webhook
does not begin behind the newest event: it begins behind a number below which no transaction is open any more.
"""

import asyncio

from database import database
from services.events.watermark import watermark

# The longest wait for transactions that are open.
PATIENCE_SECONDS = 5.0
PAUSE_SECONDS = 0.02
# If they stay open, the webhook begins this many events before the newest one at most: an import may have as many.
MOST_BEFORE = 10_000


async def decided_event() -> int | None:
    """The number of an event: all events from now on have higher numbers. None on SQLite, where a write sees it itself.

    On Postgres this waits for the end of the transactions that are open, so that hardly any earlier event has a higher
    number.
    """
    if database.is_sqlite:
        return None
    until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    newest, decided, _ = await database.read_async(watermark.look_at)
    while decided < newest and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(PAUSE_SECONDS)
        decided = await database.read_async(watermark.look)
    return max(decided, newest - MOST_BEFORE)
