"""A cache forgets everything before it holds too many values, or too many bytes."""

from __future__ import annotations

from proxy.bounded_cache import BoundedCache


def test_what_was_kept_is_found() -> None:
    """The cache is a dictionary that adds up the sizes."""
    cache: BoundedCache[str, int] = BoundedCache(3, 100)
    cache.keep("a", 1, 40)
    cache.keep("b", 2, 60)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), cache.bytes) == (1, 2, None, 100)


def test_one_value_too_many_empties_it() -> None:
    """The new value is the only one then."""
    cache: BoundedCache[int, int] = BoundedCache(3, 100)
    for number in range(4):
        cache.keep(number, number, 1)
    assert (dict(cache), cache.bytes) == ({3: 3}, 1)


def test_one_byte_too_many_empties_it() -> None:
    """However few values there are."""
    cache: BoundedCache[int, int] = BoundedCache(1000, 100)
    cache.keep(1, 1, 60)
    cache.keep(2, 2, 41)
    assert (dict(cache), cache.bytes) == ({2: 2}, 41)


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    """An entry that is too large drives nothing out."""
    cache: BoundedCache[int, int] = BoundedCache(1000, 100)
    cache.keep(1, 1, 60)
    cache.keep(2, 2, 101)
    assert (dict(cache), cache.bytes) == ({1: 1}, 60)


def test_it_can_be_emptied() -> None:
    """An emptied cache has room for everything again."""
    cache: BoundedCache[int, int] = BoundedCache(1000, 100)
    cache.keep(1, 1, 100)
    cache.clear()
    assert (dict(cache), cache.bytes, repr(cache)) == ({}, 0, "<BoundedCache: 0 entries, 0 of 100 bytes>")
