"""Connections from one address, which several processes count together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.app.workers import shared_counts as module
from proxy.app.workers.shared_counts import SharedAddressCounts, SharedCounts
from tests.support.patience import PATIENCE

HERE, THERE = "192.0.2.7", "2001:db8::7"

COUNTER = """
import sys
from proxy.app.workers.shared_counts import SharedAddressCounts
from proxy.app.workers.shared_counts import open_addresses
addresses = SharedAddressCounts(open_addresses(int(sys.argv[1]), 3), int(sys.argv[2]))
seen = [addresses.enter("192.0.2.7") for _ in range(2000)]
for number in range(2000):
    addresses.enter(f"10.{sys.argv[2]}.{number // 250}.{number % 250}")
    addresses.leave(f"10.{sys.argv[2]}.{number // 250}.{number % 250}")
print(*seen)
"""


@pytest.fixture
def counts() -> Iterator[SharedCounts]:
    made = SharedCounts.make(3)
    yield made
    made.close()


def two(counts: SharedCounts) -> tuple[SharedAddressCounts, SharedAddressCounts]:
    """Two workers of three."""
    return SharedAddressCounts(counts.addresses, 0), SharedAddressCounts(counts.addresses, 2)


def test_each_sees_what_all_have(counts: SharedCounts) -> None:
    """One after another, and of each address for itself."""
    first, second = two(counts)
    assert [first.enter(HERE), second.enter(HERE), first.enter(HERE), first.enter(THERE)] == [1, 2, 3, 1]
    second.leave(HERE)
    assert (first.enter(HERE), second.enter(HERE), second.enter(THERE)) == (3, 4, 2)
    assert repr(first) == "<SharedAddressCounts: 2 connected here, 0 without a row>"


def test_one_that_has_left_is_forgotten(counts: SharedCounts) -> None:
    """By whom it was counted, and in the memory, where its row is the next one's."""
    first, second = two(counts)
    for addresses in (first, second):
        addresses.enter(HERE)
        addresses.leave(HERE)
    assert repr(first) == repr(second) == "<SharedAddressCounts: 0 connected here, 0 without a row>"
    assert second.enter(HERE) == 1


def test_a_worker_that_ended_has_no_connections(counts: SharedCounts) -> None:
    """Only the worker's own are gone, and its successor begins with none."""
    first, second = two(counts)
    for _ in range(3):
        first.enter(HERE)
        second.enter(HERE)
    counts.forget(0)
    assert second.enter(HERE) == 4
    assert SharedAddressCounts(counts.addresses, 0).enter(HERE) == 5


@pytest.mark.long
def test_processes_at_once_miss_none_and_count_none_twice(counts: SharedCounts) -> None:
    """Three with two thousand connections each see every number up to six thousand once, while rows come and go."""
    command = [sys.executable, "-c", COUNTER, str(counts.descriptor)]
    started = [
        subprocess.Popen([*command, str(n)], pass_fds=(counts.descriptor,), stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    seen = [int(number) for process in started for number in process.communicate(timeout=PATIENCE)[0].split()]
    assert sorted(seen) == list(range(1, 6001))


def test_addresses_without_room_are_counted_by_each_alone(
    counts: SharedCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all rows that they may have are taken; one that finds room later is counted by all from then on."""
    monkeypatch.setattr(module, "BUCKETS", 1)
    first, second = two(counts)
    for number in range(16):
        assert first.enter(f"10.0.0.{number}") == 1
    assert [first.enter(HERE), first.enter(HERE), second.enter(HERE)] == [1, 2, 1]
    assert repr(first) == "<SharedAddressCounts: 17 connected here, 1 without a row>"
    first.leave("10.0.0.3")
    assert (first.enter(HERE), second.enter(HERE)) == (3, 5)
    for _ in range(3):
        first.leave(HERE)
    assert second.enter(HERE) == 3


def test_the_rows_of_an_address_cannot_be_foreseen() -> None:
    """Another program, another digest."""
    digests = set()
    for _ in range(2):
        counts = SharedCounts.make(1)
        digests.add(counts.addresses.digest(HERE))
        counts.close()
    assert len(digests) == 2
    assert 0 not in digests
