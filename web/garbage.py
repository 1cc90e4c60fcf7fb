"""Rare garbage collections. `main.py` imports this file first, because its other imports make most objects of a process."""

import gc
from functools import cache


def collect_rarely() -> None:
    """Collect after every 50,000th new object.

    Python does so after every 700th, which takes a fifth of the time of the imports. A batch of 1,000 tasks makes some
    30,000 objects, which would be scanned several times although all of them are in use.
    """
    gc.set_threshold(50_000, 20, 20)


@cache
def exempt_the_start() -> None:
    """Exempt the objects that there are now from all further collections.

    Scanning the objects of the start took a tenth of the time of a request.
    """
    gc.collect()
    gc.freeze()


collect_rarely()
