"""The cache bounded by number, weight and version."""

import sys
import threading

from storage.bounded_cache import BoundedCache


def test_a_value_is_worth_something_at_its_version_only() -> None:
    cache: BoundedCache[str, int] = BoundedCache(10)
    cache.put("a", 1, version=3)
    assert (cache.get("a", 3), cache.get("a", 4), cache.get("b", 3)) == (1, None, None)
    assert (cache.hits, cache.misses) == (1, 2)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_a_limit_by_weight_holds_after_replacing_and_dropping() -> None:
    cache: BoundedCache[int, str] = BoundedCache(100, len)
    for number in range(1000):
        cache.put(number % 7, "x" * (number % 60))
        assert cache.weight <= 100
        if number % 5 == 0:
            cache.drop(number % 3)
    assert cache.weight == sum(len(cache.get(key) or "") for key in range(7))
    cache.clear()
    assert (len(cache), cache.weight) == (0, 0)


def test_the_newest_entry_is_kept_whatever_it_weighs() -> None:
    cache: BoundedCache[int, str] = BoundedCache(10, len)
    cache.put(1, "x")
    cache.put(2, "x" * 1000)
    assert cache.get(1) is None
    assert len(cache.get(2) or "") == 1000


def test_reads_in_other_threads_disturb_no_put() -> None:
    """Reads take no lock, and move entries while another thread drops the one that was used longest ago."""
    cache: BoundedCache[int, int] = BoundedCache(10)
    ended = threading.Event()
    newest = 0

    def read() -> None:
        while not ended.is_set():
            for key in range(newest - 10, newest):
                cache.get(key)

    readers = [threading.Thread(target=read) for _ in range(2)]
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for reader in readers:
            reader.start()
        for newest in range(20_000):
            cache.put(newest, newest)
    finally:
        ended.set()
        sys.setswitchinterval(switch_interval)
        for reader in readers:
            reader.join()
    assert (len(cache), cache.get(newest)) == (10, newest)
