"""Whether a run reached its goals is told as it is: met, missed, or not measured."""

from __future__ import annotations

import pytest

from benchmarks.findings import Findings
from benchmarks.footprint import Footprint
from benchmarks.goals import GOALS, Goal, Verdict, judged
from benchmarks.measure import Sample
from benchmarks.ratios import Ratio
from benchmarks.report import markdown, missed_goals, summary
from benchmarks.speed import UPSTREAM, Samples

NOTHING = Findings((), {}, {}, {})


def goal(most: float, worst: float) -> Goal:
    return Goal("g", most, worst, lambda _: None)


def sample(cpu: float = 1.0, rate: float = 1.0, p50: float = 2.0, p99: float = 3.0) -> Sample:
    return Sample(cpu, rate, 1.0, p50, p99)


@pytest.mark.parametrize(
    ("middle", "verdict"),
    [(1.2, Verdict.MET), (1.2004, Verdict.MISSED), (1.4, Verdict.MISSED), (1.4001, Verdict.TOO_FAR)],
)
def test_a_goal_at_most_is_met_up_to_it(middle: float, verdict: Verdict) -> None:
    """The median decides, not rounded, whatever the spread."""
    assert goal(1.2, 1.4).verdict(Ratio(middle, 0.1, 9.0)) is verdict


@pytest.mark.parametrize(
    ("middle", "verdict"),
    [(1.5, Verdict.MET), (1.4999, Verdict.MISSED), (1.3, Verdict.MISSED), (1.2999, Verdict.TOO_FAR)],
)
def test_a_goal_whose_worst_is_less_is_one_at_least(middle: float, verdict: Verdict) -> None:
    """Throughput is such a goal."""
    assert goal(1.5, 1.3).verdict(Ratio(middle, 0.1, 9.0)) is verdict


def test_what_was_not_measured_is_not_met() -> None:
    """Each goal has its row nevertheless."""
    assert [row[3:] for row in judged(NOTHING)] == [("", Verdict.UNKNOWN)] * len(GOALS)


def test_a_row_says_all_that_the_verdict_is_made_of() -> None:
    """Goal, worst, median with its spread, in the goal's unit."""
    memory = Goal("memory", 70, 100, lambda _: None, " MB")
    assert memory.row(Ratio(91.3, 90, 92)) == (
        "memory",
        "at most 70 MB",
        "100 MB",
        "91.3 (90.0 to 92.0) MB",
        "missed, and may land",
    )
    assert goal(1.5, 1.3).row(Ratio(1.6, 1.5, 1.7)) == ("g", "at least 1.5", "1.3", "1.600 (1.500 to 1.700)", "met")


OURS = {
    "one target": sample(cpu=1.1, rate=1.6),
    "TLS upstream": sample(cpu=1.15, rate=1.45),
    "new targets": sample(cpu=1.55),
    "POST 512": sample(cpu=1.25),
    "key and policy": sample(cpu=1.45),
    "64 KiB": sample(cpu=0.5),
    "20 MB": sample(rate=2.3),
    "1 connection": sample(p50=2.1, p99=3.4),
}
PEERS = {"nginx": sample(), "Go ReverseProxy": sample(cpu=2.0), "Envoy": sample(cpu=4.0)}
BURDENS = {"10,000 profiles known": 1.01, "2,000 idle connections": 1.05, "1,000 accounts": 1.09}
EXPECTED = {
    "CPU per request to nginx, one target": (1.1, "met"),
    "CPU per request to nginx, TLS upstream": (1.15, "met"),
    "CPU per request to Go, one target": (0.55, "met"),
    "CPU per request to Go, TLS upstream": (0.575, "missed, and may land"),
    "CPU per request to Envoy, one target": (0.275, "met"),
    "CPU per request to Envoy, TLS upstream": (0.287, "met"),
    "throughput of one worker to Go, one target": (1.6, "met"),
    "throughput of one worker to Go, TLS upstream": (1.45, "missed, and may land"),
    "CPU per request to nginx, new targets": (1.55, "missed, and may land"),
    "CPU per request to nginx, POST 512": (1.25, "met"),
    "CPU per request to nginx, key and policy": (1.45, "missed, and may land"),
    "added latency to nginx, one connection, p50": (1.1, "missed, and may land"),
    "added latency to nginx, one connection, p99": (1.2, "missed, and may land"),
    "CPU per request to nginx, 64 KiB": (0.5, "met"),
    "throughput to nginx, 20 MB": (2.3, "met"),
    "memory with 16 x 20 MB in flight": (91.0, "missed, and may land"),
    "memory of one idle connection": (2.5, "met"),
    "ready after": (580.0, "missed, and may land"),
    "CPU per request with 10,000 profiles, to without": (1.01, "met"),
    "CPU per request with 2,000 idle connections, to without": (1.05, "missed, and may land"),
    "CPU per request with 1,000 accounts, to without": (1.09, "missed"),
}


def test_each_goal_is_measured_where_its_name_says() -> None:
    """In one run with numbers that differ, each of them is in the row of its own goal."""
    samples: Samples = {(scenario, "ads-proxy"): [found] for scenario, found in OURS.items()}
    samples |= {(scenario, peer): [found] for scenario in OURS for peer, found in PEERS.items()}
    samples["1 connection", UPSTREAM] = [sample(p50=1.0, p99=1.0)]
    footprints = {"ads-proxy": [Footprint(0.0, 91e6, 2.5 * 1024, 0.58)]}
    burdens = {name: Ratio(middle, middle, middle) for name, middle in BURDENS.items()}
    rows = judged(Findings((), samples, footprints, burdens))
    assert {name: (float(shown.split()[0]), verdict) for name, _, _, shown, verdict in rows} == EXPECTED


def test_a_scenario_without_nginx_costs_no_other_table() -> None:
    """Who failed has no samples; the rest is told, and the failure with it."""
    samples: Samples = {("one target", "ads-proxy"): [sample()], ("one target", "Envoy"): [sample(cpu=2.0)]}
    text = markdown(Findings(("a day",), samples, {}, {}, ("nginx in 'one target' failed: x",)))
    assert "- nginx in 'one target' failed: x" in text
    assert "| Envoy | 0.50 (0.50 to 0.50) |" in text
    assert "| CPU per request to nginx, one target | at most 1.2 | 1.4 |  | not measured |" in text


def test_noise_that_leaves_no_latency_is_no_ratio() -> None:
    """Where nginx added less than nothing, there is nothing to divide by."""
    samples: Samples = {
        ("1 connection", name): [sample(p50=value)]
        for name, value in (("ads-proxy", 3.0), ("nginx", 1.0), (UPSTREAM, 2.0))
    }
    assert "| ads-proxy | 1000000 |  | 0 |  |" in markdown(Findings((), samples, {}, {}))


def test_the_page_shows_medians_and_leaves_out_variants_of_nginx() -> None:
    """The spreads stay in the run's own findings."""
    samples: Samples = {
        ("one target", name): [sample(cpu=cpu * factor) for factor in (1.0, 1.5)]
        for name, cpu in (("nginx", 1e-6), ("nginx, log unbuffered", 2e-6), ("ads-proxy", 3e-6))
    }
    footprints = {name: [Footprint(2**20, 2**21, 3 * 2**10, 0.5)] for name in ("nginx, log unbuffered", "ads-proxy")}
    text = summary(Findings(("a day",), samples, footprints, {}))
    assert "| one target | 1.2 | 3.00 |" in text
    assert "| ads-proxy |  | 1 | 2 | 3.0 | 500 |" in text
    assert "unbuffered" not in text


def test_goals_that_were_not_met_are_listed() -> None:
    """With the number of all goals, so that none is forgotten."""
    samples: Samples = {("one target", name): [sample(cpu=cpu)] for name, cpu in (("nginx", 1.0), ("ads-proxy", 1.1))}
    text = missed_goals(Findings((), samples, {}, {}))
    assert text.startswith(f"Of {len(GOALS)} goals 1 are met.")
    assert "| CPU per request to nginx, TLS upstream | at most 1.2 |  | not measured |" in text
    assert "one target | at most 1.2" not in text
