"""Instructions per request, counted by Valgrind's callgrind: what hardly depends on how busy the machine is.

The program serves under callgrind, which counts user-space instructions of every thread; one connection sends one
request after the other. The numbers that were recorded last are in instructions.json: a report, and never a failure.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.checkout import Worker, this_checkout
from benchmarks.load import send
from benchmarks.processes import BenchmarkError, Process, required, stopped_at_end
from benchmarks.scenarios import KEYED, NEW_BODIES, NEW_TARGETS, ONE_TARGET, TLS, Scenario
from benchmarks.upstream import Upstream, start_upstream

COUNTED = (ONE_TARGET, NEW_TARGETS, NEW_BODIES, KEYED, TLS)
RECORD = Path(__file__).parent / "instructions.json"
_READY_WITHIN = 120.0
_WARM_UP, _SECONDS = 5, 5
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)


def count(scenarios: tuple[Scenario, ...], *, record: bool) -> None:
    """Count and print each scenario next to the record; with `record`, write the record again."""
    python, recorded = _recorded()
    found: dict[str, int] = {}
    print(f"{'instructions per request':<30}{'now':>10}{'recorded':>10}   change")
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        for setting in dict.fromkeys(scenario.setting for scenario in scenarios):
            those = tuple(scenario for scenario in scenarios if scenario.setting == setting)
            for scenario, instructions in _count(those, upstream, work / f"micro-{len(found)}").items():
                found[scenario.name] = instructions
                print(_line(scenario.name, instructions, recorded.get(scenario.name)), flush=True)
    if python not in ("", platform.python_version()):
        print(f"recorded with Python {python}, counted with {platform.python_version()}")
    if record:
        kept = {**recorded, **found}
        RECORD.write_text(json.dumps({"python": platform.python_version(), "instructions": kept}, indent=2) + "\n")


def _recorded() -> tuple[str, dict[str, int]]:
    """The version of Python, and instructions by the scenario's name; empty before the first record."""
    if not RECORD.exists():
        return "", {}
    document = json.loads(RECORD.read_text())
    return str(document["python"]), {str(name): int(number) for name, number in document["instructions"].items()}


def _line(name: str, now: int, recorded: int | None) -> str:
    change = f"{now / recorded - 1:+.1%}" if recorded else ""
    return f"{name:<30}{now:>10,}{recorded or '-':>10{',' if recorded else ''}}   {change}"


def _count(scenarios: tuple[Scenario, ...], upstream: Upstream, work: Path) -> dict[Scenario, int]:
    counts = work / "callgrind"
    valgrind = [required("valgrind", "valgrind"), "--tool=callgrind", "--instr-atstart=no", "-q"]
    valgrind += [f"--callgrind-out-file={counts}"]
    # Hashes are the same each time, for how often they collide is a matter of chance.
    under = replace(this_checkout(), wrapper=tuple(valgrind), hash_seed="0", ready_within=_READY_WITHIN)
    found = {}
    worker = under.start(upstream, scenarios[0].setting, work)
    with stopped_at_end(worker.process):
        for scenario in scenarios:
            found[scenario] = _one(worker, scenario, counts, work)
    return found


def _one(worker: Worker, scenario: Scenario, counts: Path, work: Path) -> int:
    load = replace(scenario.load, connections=1)
    send(load, worker.port, _WARM_UP, work, worker.authorization)
    _control(worker.process, "-i", "on")
    outcome = send(load, worker.port, _SECONDS, work, worker.authorization)
    _control(worker.process, "-i", "off")
    before = set(counts.parent.glob("callgrind.*"))
    _control(worker.process, "-d")
    new = [path for path in counts.parent.glob("callgrind.*") if path not in before]
    totals = [int(total) for path in new for total in _TOTALS.findall(path.read_text())]
    if not totals:
        raise BenchmarkError(f"callgrind dumped nothing: {worker.process.last_words()}")
    return sum(totals) // outcome.requests


def _control(process: Process, *words: str) -> None:
    command = [required("callgrind_control", "valgrind"), *words, str(process.pid)]
    subprocess.run(command, check=True, capture_output=True)
