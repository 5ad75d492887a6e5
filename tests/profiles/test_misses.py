"""Early listings after an id that nobody knows: each account by its own ten seconds, each id once for long."""

from __future__ import annotations

from proxy.profiles.misses import MAX_MISSES, MISS_INTERVAL, MISS_MEMORY, Misses


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_account_is_listed_at_most_every_ten_seconds() -> None:
    """Whatever is asked for; another account has its own ten seconds."""
    clock = Clock()
    misses = Misses(clock)
    assert misses.take("1", ["acme"]) == {"acme"}
    assert misses.take("2", ["acme"]) == frozenset()
    assert misses.take("2", ["acme", "zeta"]) == {"zeta"}
    clock.now += MISS_INTERVAL - 1
    assert misses.take("3", ["acme"]) == frozenset()
    clock.now += 1
    assert misses.take("3", ["acme", "zeta"]) == {"acme", "zeta"}


def test_an_id_that_an_account_does_not_have_is_not_asked_of_it_again_for_long() -> None:
    """But of an account that could not be asked the first time, it is."""
    clock = Clock()
    misses = Misses(clock)
    misses.take("1", ["acme"])
    assert misses.take("9", ["acme", "zeta"]) == {"zeta"}
    clock.now += MISS_INTERVAL
    assert misses.take("9", ["acme", "zeta"]) == {"acme"}
    clock.now += MISS_INTERVAL
    assert misses.take("9", ["acme", "zeta"]) == frozenset()
    clock.now += MISS_MEMORY
    assert misses.take("9", ["acme", "zeta"]) == {"acme", "zeta"}


def test_what_is_remembered_is_bounded() -> None:
    """Ids that make no listing leave nothing behind; of the others, so many; of accounts, those that there are."""
    clock = Clock()
    misses = Misses(clock)
    for number in range(MAX_MISSES):
        misses.take(str(number), ["acme"])
    assert repr(misses) == "<Misses: 1 ids, 1 accounts>"
    for number in range(MAX_MISSES + 1):
        misses.take(str(number), [f"account{number}"])
    assert repr(misses) == f"<Misses: {MAX_MISSES} ids, {MAX_MISSES + 2} accounts>"
    misses.keep(["acme"])
    assert repr(misses) == f"<Misses: {MAX_MISSES} ids, 1 accounts>"
