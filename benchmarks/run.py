"""The whole benchmark in one run: speed, memory and start-up of each contender that is here."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.burdens import measure_burdens
from benchmarks.checkout import commit
from benchmarks.contenders import Contender, Fleet, contenders
from benchmarks.findings import Findings
from benchmarks.footprint import Footprint, measure_footprints
from benchmarks.processes import LOAD_CORE, WORKER_CORE, stopped_at_end
from benchmarks.progress import Progress
from benchmarks.ratios import Ratio
from benchmarks.scenarios import Scenario
from benchmarks.speed import measure_speed
from benchmarks.upstream import start_upstream

_LOUD = 0.3
"""A load average from which on the machine does other things, too."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Paired rounds of so many seconds for speed; rounds for memory and start-up (0: neither, and no burdens)."""

    rounds: int
    seconds: int
    footprint_rounds: int


def run(scenarios: tuple[Scenario, ...], extent: Extent) -> Findings:
    """Measure; what happens meanwhile is said on standard error, and what fails is left out."""
    progress = Progress()
    those, missing = contenders()
    circumstances = (*_circumstances(those, extent), *missing)
    for sentence in circumstances:
        progress.say(sentence)
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        pairs = [(scenario, tuple(who for who in those if who.takes_part(scenario))) for scenario in scenarios]
        speed = (extent.rounds, extent.seconds)
        with Fleet(upstream, work) as fleet:
            samples = measure_speed(fleet, pairs, speed, progress)
        burdens: dict[str, Ratio] = {}
        footprints: dict[str, list[Footprint]] = {}
        if extent.footprint_rounds:
            progress.say("burdens")
            burdens = progress.tried("burdens", partial(measure_burdens, upstream, work, speed)) or {}
            progress.say("memory and start-up")
            footprints = measure_footprints(those, upstream, work, extent.footprint_rounds, progress)
    return Findings(circumstances, samples, footprints, burdens, tuple(progress.failures))


def _circumstances(those: tuple[Contender, ...], extent: Extent) -> tuple[str, ...]:
    cpu = next((line.split(": ")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "CPU")
    load = os.getloadavg()[0]
    quiet = "the machine was otherwise idle" if load < _LOUD else f"the machine was NOT idle (load {load:.1f} before)"
    versions = ", ".join(dict.fromkeys(f"{who.name.split(',')[0]} {who.version}" for who in those if who.version))
    return (
        f"{datetime.datetime.now(datetime.UTC):%d %B %Y}, {cpu.strip()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}; {quiet}.",
        f"`{' '.join(['python -m benchmarks', *sys.argv[1:]])}`: {extent.rounds} paired rounds of {extent.seconds} s; "
        f"each worker alone on core {WORKER_CORE}, load and upstream on core {LOAD_CORE}.",
        f"ads-proxy at {commit()} with Python {platform.python_version()}; {versions}.",
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
