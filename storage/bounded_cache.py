"""A cache with a limit, whose entries are valid at one version only."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Keeps the most recently used entries, as many as fit.

    `limit` is the number of entries, or with `weigh` the sum of their weights (bytes, rows). The newest entry is
    kept even if it alone is over the limit. Reads take no lock.
    """

    def __init__(self, limit: int, weigh: Callable[[V], int] | None = None) -> None:
        self._limit, self._weigh = limit, weigh
        self._entries: OrderedDict[K, tuple[Any, V, int]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()
        self.hits = self.misses = 0
        _all.add(self)

    def get(self, key: K, version: Any = None) -> V | None:
        """The value of the key, if the cache holds it at this version."""
        entry = self._entries.get(key)
        if entry is None or entry[0] != version:
            self.misses += 1
            return None
        self.hits += 1
        # Another thread may have removed the entry just now; its value is still right.
        with suppress(KeyError):
            self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: K, value: V, version: Any = None) -> None:
        """Keep a value, and drop the entries that were used longest ago beyond the limit."""
        weight = 1 if self._weigh is None else self._weigh(value)
        with self._lock:
            self._remove(key)
            self._entries[key] = (version, value, weight)
            self._weight += weight
            while self._weight > self._limit and len(self._entries) > 1:
                # Reads move entries meanwhile, so this is one call: an iterator would fail.
                _, (_, _, dropped) = self._entries.popitem(last=False)
                self._weight -= dropped

    def drop(self, key: K) -> None:
        """Forget a key."""
        with self._lock:
            self._remove(key)

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self._entries.clear()
            self._weight = 0

    def _remove(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry[2]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight(self) -> int:
        """The sum of the weights of all entries."""
        return self._weight


_all: WeakSet[BoundedCache[Any, Any]] = WeakSet()


def clear_all() -> None:
    """Forget all entries of all caches, because the versions of another database mean other rows."""
    for each in list(_all):
        each.clear()
