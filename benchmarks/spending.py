"""What it costs to judge a write by the spend limits of its client.

`python -m benchmarks spend`. The same write is sent by two clients of one process that are configured alike, but only
one of them has limits; each measurement with them is paired with one without.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.checkout import Setting, Worker, configuration, this_checkout
from benchmarks.load import Load, Requests
from benchmarks.measure import measure as measure_load
from benchmarks.processes import WORKER_CORE, Process, free_port, stopped_at_end
from benchmarks.upstream import start_upstream

KEYS = {name: f"adsproxy_{name}" + "benchmark0" * 4 for name in ("unlimited", "limited")}
LIMITS = {
    "budget": {"USD": 100},
    "bid": {"USD": 2.5},
    "bid_adjustment": 50,
    "states": ["paused"],
}
DAY_LIMITS = {"new_per_day": 1_000_000, "budget_per_day": {"USD": 1_000_000_000}}
_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class JudgedWrite:
    """A write of so many campaigns, with names of so many letters. `goal` is the most that its judgement may cost, in
    seconds."""

    name: str
    items: int
    letters: int
    goal: float


WRITES = (
    JudgedWrite("1 KiB, 5 campaigns", 4, 130, 60e-6),
    JudgedWrite("100 KB, 1,000 campaigns", 999, 12, 15e-3),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU per request, medians of the rounds; `added` is the median of the pairs' differences."""

    write: JudgedWrite
    unlimited: float
    limited: float
    added: float


def measure(rounds: int, seconds: int, *, by_day: bool) -> list[Cost]:
    """Measure this checkout; `by_day` tells whether the client has limits of a day, too, which a ledger counts."""
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        source, port = this_checkout(), free_port()
        config = configuration(upstream, Setting(), port, free_port())
        config["clients"] = _clients(LIMITS | (DAY_LIMITS if by_day else {}))
        (work / "proxy.yaml").write_text(yaml.safe_dump(config))
        command = [source.python, "-m", "proxy", "serve", "--config", str(work / "proxy.yaml")]
        process = Process(command, work / "output.log", core=WORKER_CORE, env=source.environment())
        stack.enter_context(stopped_at_end(process))
        process.wait_ready(port, headers=f"Authorization: Bearer {KEYS['unlimited']}\r\n")
        workers = {name: Worker(process, port, f"Bearer {key}") for name, key in KEYS.items()}
        return [_measure(write, workers, work, rounds, seconds) for write in WRITES]


def _clients(limits: dict[str, object]) -> list[dict[str, object]]:
    clients: list[dict[str, object]] = [
        {"name": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in KEYS.items()
    ]
    return [clients[0], {**clients[1], "spend": limits}]


def _measure(write: JudgedWrite, workers: dict[str, Worker], work: Path, rounds: int, seconds: int) -> Cost:
    load = Load(Requests.JUDGED, f"/sp/campaigns?items={write.items}&letters={write.letters}", _CONNECTIONS)
    spent: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(rounds + 1):
        for name in sorted(workers, reverse=bool(number % 2)):
            spent[name].append(measure_load(workers[name], load, seconds, work).cpu)
    unlimited, limited = spent["unlimited"][1:], spent["limited"][1:]
    added = statistics.median(mine - other for mine, other in zip(limited, unlimited, strict=True))
    return Cost(write, statistics.median(unlimited), statistics.median(limited), added)


def report(costs: list[Cost]) -> str:
    """A table of what was measured."""
    lines = [
        "| PUT /sp/campaigns | without limits | with limits | added | goal |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for cost in costs:
        numbers = (cost.unlimited, cost.limited, cost.added, cost.write.goal)
        lines.append(" | ".join((f"| {cost.write.name}", *(f"{number * 1e6:,.0f} us" for number in numbers))) + " |")
    return "\n".join(lines)
