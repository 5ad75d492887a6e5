"""Numbers that one process counts and another reads: what is found there, and what a killed process leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.admin.pauses import Pauses
from proxy.observability import request_metrics
from proxy.observability.metrics import Metrics
from proxy.observability.number_memory import (
    NumberMemories,
    NumberMemory,
    NumberReader,
    SharedBuckets,
    SharedCell,
    SharedValues,
    Sums,
    add_up,
    make_memory_file,
)
from proxy.observability.request_metrics import RequestLabels, RequestMetrics
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


def exposition(metrics: Metrics) -> list[str]:
    return scraped(metrics, "").decode().splitlines()


def test_a_block_is_found_by_whoever_reads_and_grows_under_its_eyes(descriptor: int) -> None:
    """A name, its labels and its numbers come out as they went in, also those made after the first look."""
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    memory.block("one", ("a", "b"), 2)[1] += 2.5
    assert list(reader.blocks()) == [("one", ("a", "b"), (0.0, 2.5))]
    memory.block("two", (), 1)[0] = 7
    memory.block("one", ("a", "b"), 2)[0] += 1
    assert list(reader.blocks()) == [("one", ("a", "b"), (1.0, 2.5)), ("two", (), (7.0,))]


def test_numbers_outlive_the_process_that_counted(descriptor: int) -> None:
    """A process that is killed without warning leaves every number that it had counted."""
    ended = subprocess.run([sys.executable, "-c", COUNTER, str(descriptor)], pass_fds=(descriptor,), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert {labels: numbers for _, labels, numbers in NumberReader(descriptor).blocks()} == {
        (str(number),): (100.0,) for number in range(10)
    }


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


def test_sums_are_by_name_and_labels() -> None:
    """Each number of a block is added to its like in another memory."""
    parts = [("a", ("x",), (1.0, 2.0)), ("a", ("x",), (10.0, 20.0)), ("a", ("y",), (5.0,)), ("b", ("x",), (7.0,))]
    assert add_up(parts) == {"a": {("x",): (11.0, 22.0), ("y",): (5.0,)}, "b": {("x",): (7.0,)}}


def test_what_has_ended_stays_in_the_sum() -> None:
    """A memory that nobody counts in any longer is let go of, and its numbers are not."""
    descriptors = [make_memory_file(), make_memory_file()]
    memories, all_of_them = [NumberMemory(each) for each in descriptors], NumberMemories()
    for key, each in enumerate(descriptors):
        all_of_them.begin(key, NumberReader(each))
        os.close(each)
    memories[0].block("a", (), 1)[0] = 3
    memories[1].block("a", (), 1)[0] = 4
    all_of_them.end(0)
    memories[1].block("a", (), 1)[0] += 1
    assert all_of_them.sums() == {"a": {(): (8.0,)}}
    assert repr(all_of_them) == "<NumberMemories: 1 being counted in, 1 ended>"
    all_of_them.end(0)
    assert all_of_them.sums() == {"a": {(): (8.0,)}}


def test_memory_that_nobody_counts_in_is_given_back(descriptor: int) -> None:
    """At once, whoever still holds the reader: a program whose workers end often does not run out of open files."""
    reader, memories = NumberReader(descriptor), NumberMemories()
    memories.begin(0, reader)
    memories.end(0)
    with pytest.raises(ValueError, match="released"):
        _ = reader.header[0]
    reader.close()


def test_cells_and_buckets_are_counted_in_place(descriptor: int) -> None:
    """Whoever counts does it as with plain ones."""
    memory, reader = NumberMemory(descriptor), NumberReader(descriptor)
    cell = SharedCell(memory.block("cell", (), 1))
    cell.value += 2
    buckets = SharedBuckets((1.0, 2.0), memory.block("buckets", (), 4))
    buckets.add(1.5)
    buckets.add(9.0)
    values = SharedValues(memory, "table")
    values["a",] = 0.0
    values["b",] = values.get(("b",)) + 1
    assert list(reader.blocks()) == [
        ("cell", (), (2.0,)),
        ("buckets", (), (10.5, 0.0, 1.0, 1.0)),
        ("table", ("b",), (1.0,)),
    ]


def test_a_scrape_adds_what_workers_counted(descriptor: int) -> None:
    """Counters and histograms of requests, and other counters, are the sum of both; so is the gauge of what runs."""
    worker, shown = Metrics("1", memory=NumberMemory(descriptor)), Metrics("1")
    reader = NumberReader(descriptor)
    shown.accounts(["acme"])
    shown.requests.add_elsewhere(lambda: add_up(reader.blocks()), lambda: 3)
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
    assert [numbers.count.value for _, numbers in shown.series()] == [1, 2]


def test_the_console_reads_what_workers_counted_once_for_all_its_tables(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading ten thousand accounts takes a tenth of a second; a scrape is exact each time."""
    now = 100.0
    monkeypatch.setattr(request_metrics, "monotonic", lambda: now)
    shown, read = Metrics("1"), list[float]()

    def sums() -> Sums:
        read.append(now)
        return {}

    shown.requests.add_elsewhere(sums, int)
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
    reader = NumberReader(descriptor)
    shown.requests.add_elsewhere(lambda: add_up(reader.blocks()), int)
    shown.accounts(["acme"])
    worker.requests.numbers(LABELS).add_forwarded(0.02, 0.01, 0.0001)
    assert any("requests_total{" in line for line in exposition(shown))
    shown.accounts([])
    assert not any("requests_total{" in line for line in exposition(shown))
    assert 'ads_proxy_request_duration_seconds_count{region="na"} 1.0' in exposition(shown)


def test_what_is_noted_is_there_for_others_once_it_is_written(descriptor: int) -> None:
    """All of it, in whichever buckets, those of requests that others were noted between as well."""
    requests, reader = RequestMetrics(NumberMemory(descriptor)), NumberReader(descriptor)
    one, other = requests.numbers(LABELS), requests.numbers(LABELS._replace(status=404))
    for duration, upstream, overhead in ((0.5, 0.375, 0.125), (8.0, 7.0, 1.0), (0.5, 0.375, 0.125)):
        one.note_forwarded(duration, upstream, overhead)
        other.note_forwarded(duration, upstream, overhead)
    for numbers in (one, other):
        numbers.seen = 9.0
        numbers.write()
    found = add_up(reader.blocks())
    assert [numbers[:3] for numbers in found["requests_total"].values()] == [(3.0, 9.0, 9.0)] * 2
    assert [sum(numbers[3:]) for numbers in found["requests_total"].values()] == [3.0, 3.0]
    plain = RequestMetrics().numbers(LABELS)
    for duration, upstream, overhead in ((0.5, 0.375, 0.125), (8.0, 7.0, 1.0), (0.5, 0.375, 0.125)) * 2:
        plain.add_forwarded(duration, upstream, overhead)
    assert plain.upstreams is not None
    assert found["upstream_duration_seconds"] == {("na",): (plain.upstreams.total, *plain.upstreams.counts)}
    assert found["overhead_seconds"] == {(): (plain.overheads.total, *plain.overheads.counts)}


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
    (numbers,) = add_up(reader.blocks())["requests_total"].values()
    assert (numbers[0], numbers[2], sum(numbers[3:])) == (4.0, 2.0, 4.0)
