"""What the benchmark works out is right: ratios and their spread, its part of the document."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.document import DETAILS, DOCUMENT, with_findings, with_goals, with_profile
from benchmarks.many_profiles import LISTED
from benchmarks.many_profiles import measure as measure_profiles
from benchmarks.many_profiles import report as report_profiles
from benchmarks.processes import BenchmarkError
from benchmarks.ratios import Ratio, paired
from benchmarks.throttling import HEAD, Clients, Result


def test_a_ratio_is_taken_within_each_round() -> None:
    """A machine that is half as fast in the second round does not move it."""
    assert paired([2, 4], [1, 2]) == Ratio(2, 2, 2)


def test_the_middle_is_the_median_of_the_rounds() -> None:
    """One round in which something else ran does not move it."""
    assert paired([1, 1.1, 9], [1, 1, 1]).middle == 1.1


@pytest.mark.parametrize(
    ("rounds", "aside"),
    [(1, 0), (2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (12, 2), (20, 5), (100, 39)],
)
def test_the_spread_covers_the_median_with_95_percent(rounds: int, aside: int) -> None:
    """The spread leaves out as many rounds at each end as tables of the sign test do; of five or fewer, none."""
    values = list(range(1, rounds + 1))
    found = paired(values, [1] * rounds)
    assert (found.low, found.high) == (values[aside], values[-1 - aside])


def test_findings_are_written_between_the_markers() -> None:
    """What stood there is gone, and all around it stays."""
    before = "A\n<!-- measured: x -->\nold\n<!-- end of what was measured -->\nB\n"
    assert with_findings(before, "new") == "A\n<!-- measured: x -->\n\nnew\n\n<!-- end of what was measured -->\nB\n"
    with pytest.raises(BenchmarkError):
        with_findings("A\nB\n", "new")


@pytest.mark.parametrize(("page", "write"), [(DOCUMENT, with_findings), (DETAILS, with_goals), (DETAILS, with_profile)])
def test_the_pages_have_the_markers(page: Path, write: Callable[[str, str], str]) -> None:
    """`--write-docs` finds its place, and writing the same twice changes nothing."""
    once = write(page.read_text(encoding="utf-8"), "new")
    assert write(once, "new") == once != page.read_text(encoding="utf-8")


def test_a_trial_of_throttling_is_a_row_of_what_each_client_got() -> None:
    """All good responses, the polite client's, the greedy clients' least and most, and refusals for each good one."""
    served = Counter({"polite-0": 30, "greedy-0": 20, "greedy-1": 25})
    result = Result(Clients("2 greedy, 1 polite", 1, 2), 10.0, served, granted=80, refused=20)
    assert result.row == "| 2 greedy, 1 polite | `retry_wait: 10` | 75 | 30 | 20 to 25 | 0.25 |"
    assert HEAD.count("|", 0, HEAD.index("\n")) == result.row.count("|")


def test_a_direct_trial_of_throttling_is_named_so() -> None:
    """Without the proxy, and without greedy clients."""
    result = Result(Clients("1 polite", 1, 0), None, Counter({"polite-0": 40}), granted=40, refused=10)
    assert result.row == "| 1 polite | direct | 40 | 40 |  | 0.25 |"


def test_many_profiles_are_measured_whole() -> None:
    """Two lists: each number is of something that was done."""
    found = measure_profiles(2 * LISTED)
    assert found.profiles == 10_000
    assert all(getattr(found, each.name) > 0 for each in dataclasses.fields(found) if each.name != "memory")
    assert len(report_profiles(found).splitlines()) == 5
