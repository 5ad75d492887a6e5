"""What fails in a run takes nothing else along, and is told at the end."""

from __future__ import annotations

import pytest

from benchmarks.checkout import this_checkout
from benchmarks.contenders import Contender
from benchmarks.measure import Sample
from benchmarks.processes import BenchmarkError
from benchmarks.progress import Progress, end
from benchmarks.scenarios import ONE_CONNECTION, ONE_TARGET, TLS, Scenario
from benchmarks.speed import UPSTREAM, measure_speed

ONE, OTHER = (Contender(name, this_checkout()) for name in ("one", "other"))
PAIRS: list[tuple[Scenario, tuple[Contender, ...]]] = [(scenario, (ONE, OTHER)) for scenario in (ONE_TARGET, TLS)]


class Fleet:
    """Counts what it is asked for, and fails from the named measurement on: (contender, scenario, how often before)."""

    def __init__(self, *failing: tuple[str, str, int]) -> None:
        self.asked: list[tuple[str, str]] = []
        self._failing = failing

    def __repr__(self) -> str:
        return f"<Fleet asked={len(self.asked)}>"

    def measure(self, contender: Contender | None, scenario: Scenario, seconds: int) -> Sample:
        key = (contender.name if contender else UPSTREAM, scenario.name)
        self.asked.append(key)
        if any(key == failing[:2] and self.asked.count(key) > failing[2] for failing in self._failing):
            raise BenchmarkError("3 broken\nmore of it")
        return Sample(seconds, 1.0, 1.0, 1.0, 1.0)


def test_each_contender_is_measured_in_each_round() -> None:
    """The round before the first is a second of warming up, and does not count."""
    found = measure_speed(Fleet(), PAIRS, (2, 5), Progress())
    assert {key: [sample.cpu for sample in samples] for key, samples in found.items()} == {
        (scenario, who): [5, 5] for scenario in ("one target", "TLS upstream") for who in ("one", "other")
    }


def test_who_fails_in_the_middle_of_a_scenario_is_out_of_it_alone() -> None:
    """Others have all their rounds, and so has the one who failed, elsewhere."""
    fleet, progress = Fleet(("other", "one target", 2)), Progress()
    found = measure_speed(fleet, PAIRS, (3, 1), progress)
    assert {key: len(samples) for key, samples in found.items()} == {
        ("one target", "one"): 3,
        ("TLS upstream", "one"): 3,
        ("TLS upstream", "other"): 3,
    }
    assert fleet.asked.count(("other", "one target")) == 3
    assert progress.failures == ["other in 'one target' failed: 3 broken"]


def test_the_bare_upstream_is_asked_after_one_connection_alone() -> None:
    """The upstream is asked once a round."""
    fleet = Fleet()
    measure_speed(fleet, [(ONE_CONNECTION, (ONE,)), (TLS, (ONE,))], (2, 1), Progress())
    assert [key for key in fleet.asked if key[0] == UPSTREAM] == [(UPSTREAM, "1 connection")] * 3


@pytest.mark.parametrize("error", [BenchmarkError("x"), ConnectionResetError("x")])
def test_a_failure_is_said_at_once(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """With all that is known of it."""

    def fail() -> int:
        raise error

    assert Progress().tried("this", fail) is None
    assert "FAILED: this: x" in capsys.readouterr().err


def test_a_defect_is_no_failure_of_a_measurement() -> None:
    """A defect ends the run, as a defect should."""

    def defect() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Progress().tried("this", defect)


def test_failures_are_an_exit_code() -> None:
    """A run without failures ends with 0."""
    end([])
    with pytest.raises(SystemExit, match="1 failed, and the others went on\nother failed: 3 broken"):
        end(["other failed: 3 broken"])
