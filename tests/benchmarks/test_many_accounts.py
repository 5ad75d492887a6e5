"""The benchmark of many accounts measures what it says: a small one, with the real program."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.account_costs import measure as measure_costs
from benchmarks.account_costs import report as report_costs
from benchmarks.many_accounts import Findings, Look, Stretches, Waited, report


def test_a_ratio_is_the_median_of_its_pairs() -> None:
    """A pair in which the machine was busy with something else does not move it."""
    quiet = tuple(Waited(0.001, p99, 0.1) for p99 in (0.002, 0.004, 0.002))
    busy = tuple(Waited(0.001, p99, 0.1) for p99 in (0.003, 0.004, 0.9))
    assert Stretches(quiet, busy).ratio == pytest.approx(1.5)


def test_the_report_has_each_number() -> None:
    """With its unit."""
    stretch = Stretches((Waited(0.001, 0.002, 0.01),), (Waited(0.001, 0.003, 0.05),))
    looks = {"/metrics": Look(0.1, 0.05, 2048)}
    lines = [*report(Findings(10, 1.5, 0.9, 2.0, 3.0, 1 << 20, looks, stretch, stretch, 0.5))]
    assert lines == [
        "10 accounts with 100 profiles",
        "start: listens after 1.5 s, 0.9 s of CPU",
        "start: has all tokens after 2 s, and all lists after 3 s",
        "memory: 1 MiB",
        "/metrics: 100 ms, 50 ms of CPU, 2 KiB",
        "console and scrape: p99 2.0 ms without, 3.0 ms with, ratio 1.50",
        "console and scrape: the longest that a request waited: 50 ms",
        "reload: p99 2.0 ms without, 3.0 ms with, ratio 1.50",
        "reload: the longest that a request waited: 50 ms",
        "a changed file is in force after 0.5 s",
    ]


def test_costs_are_measured_whole() -> None:
    """Each number is of something that was done."""
    found = measure_costs(100)
    assert all(getattr(found, each.name) > 0 for each in dataclasses.fields(found))
    assert len(report_costs(found).splitlines()) == 6
