"""Numbers that one process counts and another reads: what is found there, and what a killed process leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import events
from proxy.admin.pauses import Pauses
from proxy.observability import request_metrics
from proxy.observability.metrics import Metrics
from proxy.observability.number_memory import (
    Key,
    NumberMemories,
    NumberMemory,
    NumberReader,
    Numbers,
    SharedBuckets,
    SharedCell,
    SharedValues,
    add_up,
    make_memory_file,
)
from proxy.observability.request_metrics import MOMENTS, RequestLabels, RequestMetrics
from tests.observability.test_metrics import finished
from tests.support.scraping import scraped

LABELS = RequestLabels("tool", "acme", "na", "GET", "read", 200)
COUNTER = """
import os, signal, sys
from proxy.observability import request_metrics
from proxy.observability.number_memory import NumberMemory
memory = NumberMemory(int(sys.argv[1]))
for number in range(1000):
    memory.block("requests_total", (str(number % 10),), 1)[0] += 1
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make_memory_file()
    yield made
    os.close(made)


def newest(reader: NumberReader) -> dict[Key, Numbers]:
    """All blocks, as they are now."""
    list(reader.changed())
    return {key: reader.numbers(key) for key in reader.blocks()}


def memories_of(*descriptors: int) -> NumberMemories:
    """The memories, as the supervisor opens them."""
    memories = NumberMemories(MOMENTS)
    for key, descriptor in enumerate(descriptors):
        memories.begin(key, NumberReader(descriptor))
    return memories


def exposition(metrics: Metrics) -> list[str]:
    return scraped(metrics, "").decode().splitlines()


def test_a_block_is_found_by_a_reader_and_grows_meanwhile(descriptor: int) -> None:
    """A name, its labels and its numbers come out as they went in, also those made after the first look."""
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    memory.block("one", ("a", "b"), 2)[1] += 2.5
    assert newest(reader) == {("one", ("a", "b")): (0.0, 2.5)}
    memory.block("two", (), 1)[0] = 7
    memory.block("one", ("a", "b"), 2)[0] += 1
    assert newest(reader) == {("one", ("a", "b")): (1.0, 2.5), ("two", ()): (7.0,)}


@given(st.lists(st.lists(st.integers(0, 199), max_size=8), max_size=6))
def test_a_look_finds_what_changed_since_the_last_one(looks: list[list[int]]) -> None:
    """All of the blocks that were counted in meanwhile, those that are new, and no others."""
    descriptor = make_memory_file()
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    os.close(descriptor)
    made = set[int]()
    for counted in looks:
        for number in counted:
            memory.block("one", (str(number),), 1 + number % 3)[number % 3] += 1
        made |= set(counted)
        assert set(reader.changed()) == {("one", (str(number),)) for number in counted}
        assert set(reader.blocks()) == {("one", (str(number),)) for number in made}
    reader.close()


def test_a_block_that_is_read_while_it_is_written_is_read_again(descriptor: int) -> None:
    """The writer counts before it adds to the sum: a look between the two is followed by another one that finds the
    sum."""
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    block = memory.block("one", (), 2)
    block[0] = 1
    assert newest(reader) == {("one", ()): (1.0, 0.0)}
    block[1] = 0.5
    assert list(reader.changed()) == [("one", ())]
    assert reader.numbers(("one", ())) == (1.0, 0.5)
    assert not list(reader.changed())


def test_numbers_outlive_the_process_that_counted(descriptor: int) -> None:
    """A process that is killed without warning leaves every number that it had counted."""
    ended = subprocess.run([sys.executable, "-c", COUNTER, str(descriptor)], pass_fds=(descriptor,), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert newest(NumberReader(descriptor)) == {("requests_total", (str(number),)): (100.0,) for number in range(10)}


def test_a_full_memory_counts_for_nobody_and_breaks_nothing(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place a block is a private one; what was made before goes on."""
    monkeypatch.setattr("proxy.observability.number_memory.NAMES_BYTES", 60)
    memory = NumberMemory(descriptor)
    memory.block("first", (), 1)[0] += 1
    assert not memory.overflow_is_news()
    memory.block("second" * 10, (), 1)[0] += 1
    assert [memory.overflow_is_news(), memory.overflow_is_news()] == [True, False]
    assert (memory.overflowed, repr(memory)) == (1, "<NumberMemory: 2 blocks, 1 without a place>")
    assert memory.block("second" * 10, (), 1)[0] == 1
    assert memory.block("first", (), 1)[0] == 1


def test_blocks_are_added_number_by_number() -> None:
    """Moments count by the latest, and a block in one memory alone stays as it was."""
    parts = [(1.0, 100.0, 2.0), (10.0, 300.0, 20.0), (5.0, 200.0, 0.5)]
    assert add_up(parts) == (16.0, 600.0, 22.5)
    assert add_up(parts, moment=1) == (16.0, 300.0, 22.5)
    assert add_up(parts[:1], moment=1) == parts[0]


def two_memories() -> tuple[list[NumberMemory], NumberMemories]:
    """Two that are counted in, and both together, in which the second number of "a" is a moment."""
    descriptors = [make_memory_file(), make_memory_file()]
    memories, together = [NumberMemory(each) for each in descriptors], NumberMemories({"a": 1})
    for key, each in enumerate(descriptors):
        together.begin(key, NumberReader(each))
        os.close(each)
    return memories, together


def test_what_has_ended_stays_in_the_sum() -> None:
    """A memory without a writer is released, and its numbers are not."""
    memories, together = two_memories()
    memories[0].block("a", (), 2)[0] = 3
    memories[1].block("a", (), 2)[0] = 4
    together.end(0)
    memories[1].block("a", (), 2)[0] += 1
    assert list(together.changes()) == [("a", (), (8.0, 0.0))]
    assert repr(together) == "<NumberMemories: 1 being counted in, 1 ended>"
    together.end(0)
    assert not list(together.changes())
    memories[1].block("a", (), 2)[0] += 1
    together.end(1)
    assert list(together.changes()) == [("a", (), (9.0, 0.0))]
    assert not list(together.changes())


def test_only_what_changed_is_added_up_again() -> None:
    """A block that one of the memories counted in comes with the numbers of both; others do not come."""
    memories, together = two_memories()
    for number, memory in enumerate(memories):
        for labels in ("x",), ("y",):
            memory.block("a", labels, 3)[:] = array("d", (1, 100 + number, 0.5))
    assert {(name, labels): numbers for name, labels, numbers in together.changes()} == {
        ("a", ("x",)): (2.0, 101.0, 1.0),
        ("a", ("y",)): (2.0, 101.0, 1.0),
    }
    assert not list(together.changes())
    memories[0].block("a", ("y",), 3)[:2] = array("d", (2, 300))
    assert list(together.changes()) == [("a", ("y",), (3.0, 300.0, 1.0))]


def test_memory_that_nobody_counts_in_is_given_back(descriptor: int) -> None:
    """The memory is given back at once, even while a reader is held: a program whose workers end often does not run out
    of open files."""
    reader, memories = NumberReader(descriptor), NumberMemories()
    memories.begin(0, reader)
    memories.end(0)
    with pytest.raises(ValueError, match="released"):
        _ = reader.header[0]
    reader.close()


def test_cells_and_buckets_are_counted_in_place(descriptor: int) -> None:
    """Code counts as with plain ones; buckets are visible once they are written."""
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    cell = SharedCell(memory.block("cell", (), 1))
    cell.value += 2
    buckets = SharedBuckets((1.0, 2.0), memory.block("buckets", (), 4))
    buckets.add(1.5)
    buckets.add(9.0)
    buckets.write()
    values = SharedValues(memory, "table")
    values["a",] = 0.0
    values["b",] = values.get(("b",)) + 1
    assert newest(reader) == {
        ("cell", ()): (2.0,),
        ("buckets", ()): (10.5, 0.0, 1.0, 1.0),
        ("table", ("b",)): (1.0,),
    }


def test_a_scrape_adds_what_workers_counted(descriptor: int) -> None:
    """Counters and histograms of requests, and other counters, are the sum of both; so is the gauge of what runs."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    shown.accounts(["acme"])
    shown.requests.add_elsewhere(memories_of(descriptor).changes, lambda: 3)
    for metrics in (worker, shown):
        numbers = metrics.requests.numbers(LABELS)
        numbers.add_forwarded(0.02, 0.01, 0.0001)
        numbers.seen = 5.0
    worker.requests.numbers(LABELS).add_answered(0.3)
    found = exposition(shown)
    labels = 'account="acme",client="tool",code="200",method="GET",operation_class="read",region="na"'
    assert f"ads_proxy_requests_total{{{labels}}} 3.0" in found
    assert 'ads_proxy_request_duration_seconds_count{region="na"} 3.0' in found
    assert 'ads_proxy_request_duration_seconds_bucket{le="0.025",region="na"} 2.0' in found
    assert 'ads_proxy_upstream_duration_seconds_count{region="na"} 2.0' in found
    assert "ads_proxy_overhead_seconds_count 2.0" in found
    assert "ads_proxy_requests_in_flight 3.0" in found
    totals = asyncio.run(shown.totals(Pauses()))
    assert (totals.requests, totals.forwarded) == (3, 2)
    assert [numbers.count for _, numbers in shown.series()] == [1, 2]


def test_a_scrape_goes_on_from_the_one_before(descriptor: int) -> None:
    """What workers counted after a scrape is in the next one, and what they counted before is in it still."""
    second = make_memory_file()
    workers = [Metrics("1", memory=NumberMemory(each)) for each in (descriptor, second)]
    shown = Metrics("1")
    shown.accounts(["acme", "other"])
    shown.requests.add_elsewhere(memories_of(descriptor, second).changes, int)
    os.close(second)
    for worker, account in ((workers[0], "acme"), (workers[1], "acme"), (workers[1], "other"), (workers[0], "acme")):
        worker.requests.numbers(LABELS._replace(account=account)).add_forwarded(0.02, 0.01, 0.0001)
        worker.count_write("tool", account, "success")
        exposition(shown)
    found = exposition(shown)
    alike = 'client="tool",code="200",method="GET",operation_class="read",region="na"'
    assert f'ads_proxy_requests_total{{account="acme",{alike}}} 3.0' in found
    assert f'ads_proxy_requests_total{{account="other",{alike}}} 1.0' in found
    assert 'ads_proxy_write_outcomes_total{account="acme",client="tool",outcome="success"} 3.0' in found
    assert 'ads_proxy_request_duration_seconds_count{region="na"} 4.0' in found
    assert "ads_proxy_overhead_seconds_count 4.0" in found


def test_judged_writes_of_workers_are_added_up(descriptor: int) -> None:
    """By client, mode and verdict, and their violations by rule."""
    second = make_memory_file()
    workers = [Metrics("1", memory=NumberMemory(each)) for each in (descriptor, second)]
    shown = Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor, second).changes, int)
    os.close(second)
    violation = events.SpendViolation(events.SpendRule.BID, "bid", "3", "USD", "2.50")
    judged = events.SpendJudgement(events.SpendMode.ENFORCE, events.SpendVerdict.OVER, (violation,))
    for worker in workers:
        worker.observe(finished(client="agent", spend=judged))
    found = exposition(shown)
    assert 'ads_proxy_spend_judged_total{client="agent",mode="enforce",verdict="over"} 2.0' in found
    assert 'ads_proxy_spend_violations_total{client="agent",rule="bid"} 2.0' in found


def test_the_last_request_of_several_workers_is_the_latest(descriptor: int) -> None:
    """Counts are added up; the moments at which requests were over are not."""
    second = make_memory_file()
    shown = Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor, second).changes, int)
    for number, each in enumerate((descriptor, second)):
        numbers = Metrics("1", memory=NumberMemory(each)).requests.numbers(LABELS)
        numbers.seen = 1_800_000_000.0 - number
        numbers.add_answered(0.1)
    os.close(second)
    assert [(numbers.count, numbers.seen) for _, numbers in shown.series()] == [(2, 1_800_000_000.0)]


def test_the_console_reads_what_workers_counted_once_for_all_its_tables(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within half a second; a scrape is exact each time."""
    now = 100.0
    monkeypatch.setattr(request_metrics, "monotonic", lambda: now)
    shown, read = Metrics("1"), list[float]()

    def changes() -> tuple[()]:
        read.append(now)
        return ()

    shown.requests.add_elsewhere(changes, int)
    for _ in range(3):
        assert not list(shown.series())
        asyncio.run(shown.totals(Pauses()))
    assert read == [100.0]
    now = 100.5
    assert not list(shown.series())
    exposition(shown)
    exposition(shown)
    assert read == [100.0, 100.5, 100.5, 100.5]


def test_the_series_of_a_worker_end_with_the_account(descriptor: int) -> None:
    """What a worker counted for an account that has left the configuration is shown no longer; its durations are."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor).changes, int)
    shown.accounts(["acme"])
    worker.requests.numbers(LABELS).add_forwarded(0.02, 0.01, 0.0001)
    assert any("requests_total{" in line for line in exposition(shown))
    shown.accounts([])
    assert not any("requests_total{" in line for line in exposition(shown))
    assert 'ads_proxy_request_duration_seconds_count{region="na"} 1.0' in exposition(shown)


def test_the_series_of_a_worker_return_with_the_account(descriptor: int) -> None:
    """Where its file was away for a while: all that workers ever counted for it, also before any further request."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor).changes, int)
    shown.accounts(["acme"])
    worker.requests.numbers(LABELS).add_forwarded(0.02, 0.01, 0.0001)
    (before,) = [line for line in exposition(shown) if "requests_total{" in line]
    shown.accounts([])
    exposition(shown)
    shown.accounts(["acme"])
    assert before in exposition(shown)


def test_a_scrape_that_is_not_read_to_its_end_loses_nothing(descriptor: int) -> None:
    """The scraper disconnected after the first pieces; the next one gets everything."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor).changes, int)
    for number in range(5):
        worker.requests.numbers(LABELS._replace(account=f"acct-{number}")).add_answered(0.1)
    pieces, _ = shown.scrape("")
    next(pieces)
    next(pieces)
    counted = [line for line in exposition(shown) if line.startswith("ads_proxy_requests_total{")]
    assert len(counted) == 5


def test_durations_of_many_looks_are_those_of_one(descriptor: int) -> None:
    """What grew is added, look by look; the sum of a histogram never falls."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    shown.requests.add_elsewhere(memories_of(descriptor).changes, int)
    late = Metrics("1")
    late.requests.add_elsewhere(memories_of(descriptor).changes, int)
    sums: list[float] = []
    for number in range(50):
        labels = LABELS._replace(account=f"acct-{number % 3}", region=("na", "eu")[number % 2])
        worker.requests.numbers(labels).add_forwarded(0.001 * number, 0.0005, 0.0001)
        (line,) = [each for each in exposition(shown) if 'request_duration_seconds_sum{region="na"}' in each]
        sums.append(float(line.rpartition(" ")[2]))
    assert sums == sorted(sums)
    wanted = [line for line in exposition(late) if "request_duration_seconds_" in line and "_sum" not in line]
    assert [line for line in exposition(shown) if line in wanted] == wanted
    assert sums[-1] == pytest.approx(sum(0.001 * number for number in range(0, 50, 2)))


def test_what_is_added_is_there_for_others_once_it_is_written(descriptor: int) -> None:
    """All of it, in whichever buckets, those of requests between which others were added as well."""
    requests, reader = RequestMetrics(NumberMemory(descriptor)), NumberReader(descriptor)
    one, other = requests.numbers(LABELS), requests.numbers(LABELS._replace(status=404))
    for duration, upstream, overhead in ((0.5, 0.375, 0.125), (8.0, 7.0, 1.0), (0.5, 0.375, 0.125)):
        one.add_forwarded(duration, upstream, overhead)
        other.add_forwarded(duration, upstream, overhead)
    for numbers in (one, other):
        numbers.seen = 9.0
        numbers.write()
    found = newest(reader)
    written = [numbers for (name, _), numbers in found.items() if name == "requests_total"]
    assert [numbers[:3] for numbers in written] == [(3.0, 9.0, 9.0)] * 2
    assert [sum(numbers[3:]) for numbers in written] == [3.0, 3.0]
    plain = RequestMetrics().numbers(LABELS)
    for duration, upstream, overhead in ((0.5, 0.375, 0.125), (8.0, 7.0, 1.0), (0.5, 0.375, 0.125)) * 2:
        plain.add_forwarded(duration, upstream, overhead)
    assert plain.upstreams is not None
    assert found["upstream_duration_seconds", ("na",)] == (plain.upstreams.total, *plain.upstreams.counts)
    assert found["overhead_seconds", ()] == (plain.overheads.total, *plain.overheads.counts)


def test_a_worker_s_numbers_go_on_where_an_account_leaves_and_returns(descriptor: int) -> None:
    """What is written once is never written smaller: the one who reads decides what is shown."""
    requests, reader = RequestMetrics(NumberMemory(descriptor)), NumberReader(descriptor)
    before = requests.numbers(LABELS)
    before.add_forwarded(0.5, 0.375, 0.125)
    requests.end("acme")
    requests.numbers(LABELS).add_forwarded(0.5, 0.375, 0.125)
    requests.begin("acme")
    before.add_forwarded(0.5, 0.375, 0.125)
    requests.numbers(LABELS).add_answered(0.5)
    (numbers,) = (numbers for (name, _), numbers in newest(reader).items() if name == "requests_total")
    assert (numbers[0], numbers[2], sum(numbers[3:])) == (4.0, 2.0, 4.0)
