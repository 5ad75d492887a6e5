"""What the program is to reach, each goal once, and whether a run reached it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from benchmarks.burdens import ACCOUNTS, IDLE_CONNECTIONS, PROFILES
from benchmarks.contenders import OURS
from benchmarks.findings import Findings
from benchmarks.footprint import Footprint
from benchmarks.measure import Sample
from benchmarks.peers import ENVOY, GO, NGINX
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import HUGE, KEYED, LARGE, NEW_BODIES, NEW_TARGETS, ONE_TARGET, TLS, Scenario

_MEGABYTE, _KIBIBYTE, _MILLISECOND = 1e6, 1024.0, 1e-3
Measured = Callable[[Findings], Ratio | None]
"""What a run says of a goal, in the goal's unit; None where it was not measured."""


class Verdict(StrEnum):
    """How what was measured stands to a goal; judged by the median, unrounded."""

    MET = "met"
    MISSED = "missed, and may land"
    TOO_FAR = "missed"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """`worst` is the worst that may land. Both are an "at most", or an "at least" if the worst is the lesser."""

    name: str
    goal: float
    worst: float
    measured: Measured
    unit: str = ""

    def verdict(self, found: Ratio | None) -> Verdict:
        """The verdict on a run that measured this goal."""
        if found is None:
            return Verdict.UNKNOWN
        sign = 1 if self.worst >= self.goal else -1
        if sign * found.middle <= sign * self.goal:
            return Verdict.MET
        return Verdict.MISSED if sign * found.middle <= sign * self.worst else Verdict.TOO_FAR

    def row(self, found: Ratio | None) -> tuple[str, str, str, str, str]:
        """The goal's cells in the table."""
        bound = "at most" if self.worst >= self.goal else "at least"
        digits = ".1f" if self.unit else ".3f"
        shown = f"{found:{digits}}{self.unit}" if found else ""
        worst = f"{self.worst:g}{self.unit}"
        return self.name, f"{bound} {self.goal:g}{self.unit}", worst, shown, self.verdict(found)


def _speed(scenario: Scenario, peer: str, value: str = "cpu") -> Measured:
    get: Callable[[Sample], float] = attrgetter(value)
    return lambda findings: findings.ratio(scenario.name, OURS, peer, get)


def _added(value: str) -> Measured:
    get: Callable[[Sample], float] = attrgetter(value)
    return lambda findings: findings.added_ratio(OURS, NGINX.name, get)


def _footprint(value: str, unit: float) -> Measured:
    get: Callable[[Footprint], float] = attrgetter(value)

    def measured(findings: Findings) -> Ratio | None:
        found = [get(footprint) for footprint in findings.footprints.get(OURS, ())]
        return paired(found, [unit] * len(found)) if found else None

    return measured


def _burden(name: str) -> Measured:
    return lambda findings: findings.burdens.get(name)


GOALS = (
    Goal("CPU per request to nginx, one target", 1.2, 1.4, _speed(ONE_TARGET, NGINX.name)),
    Goal("CPU per request to nginx, TLS upstream", 1.2, 1.4, _speed(TLS, NGINX.name)),
    Goal("CPU per request to Go, one target", 0.55, 0.7, _speed(ONE_TARGET, GO.name)),
    Goal("CPU per request to Go, TLS upstream", 0.55, 0.7, _speed(TLS, GO.name)),
    Goal("CPU per request to Envoy, one target", 0.55, 0.7, _speed(ONE_TARGET, ENVOY.name)),
    Goal("CPU per request to Envoy, TLS upstream", 0.55, 0.7, _speed(TLS, ENVOY.name)),
    Goal("throughput of one worker to Go, one target", 1.5, 1.3, _speed(ONE_TARGET, GO.name, "rate")),
    Goal("throughput of one worker to Go, TLS upstream", 1.5, 1.3, _speed(TLS, GO.name, "rate")),
    Goal("CPU per request to nginx, new targets", 1.4, 1.6, _speed(NEW_TARGETS, NGINX.name)),
    Goal("CPU per request to nginx, POST 512", 1.3, 1.5, _speed(NEW_BODIES, NGINX.name)),
    Goal("CPU per request to nginx, key and policy", 1.3, 1.5, _speed(KEYED, NGINX.name)),
    Goal("added latency to nginx, one connection, p50", 1, 1.2, _added("p50")),
    Goal("added latency to nginx, one connection, p99", 1.1, 1.5, _added("p99")),
    Goal("CPU per request to nginx, 64 KiB", 0.8, 1, _speed(LARGE, NGINX.name)),
    Goal("throughput to nginx, 20 MB", 0.8, 0.6, _speed(HUGE, NGINX.name, "rate")),
    Goal("memory with 16 x 20 MB in flight", 70, 100, _footprint("in_flight", _MEGABYTE), " MB"),
    Goal("memory of one idle connection", 3, 4, _footprint("per_idle", _KIBIBYTE), " KiB"),
    Goal("ready after", 300, 600, _footprint("ready", _MILLISECOND), " ms"),
    Goal("CPU per request with 10,000 profiles, to without", 1.04, 1.08, _burden(PROFILES)),
    Goal("CPU per request with 2,000 idle connections, to without", 1.03, 1.06, _burden(IDLE_CONNECTIONS)),
    Goal("CPU per request with 1,000 accounts, to without", 1.04, 1.08, _burden(ACCOUNTS)),
)


def judged(findings: Findings) -> list[tuple[str, str, str, str, str]]:
    """A row for each goal: what it is, how much, the worst that may land, what was measured, and how that stands."""
    return [goal.row(goal.measured(findings)) for goal in GOALS]
