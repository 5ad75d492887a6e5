"""Where the time of the worker goes under load: py-spy's samples, as a flame graph and as a table.

py-spy reads the worker's memory from outside, so what runs is the program as shipped; it needs root, or the right to
trace. Time in compiled code (the event loop, TLS, system calls) is that of the Python function that called it.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import this_checkout
from benchmarks.load import send
from benchmarks.processes import CACHE, LOAD_CORE, BenchmarkError, program, stopped_at_end
from benchmarks.scenarios import Scenario
from benchmarks.upstream import start_upstream

_RATE = 500
"""Samples a second."""
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Share:
    """A function's part of all samples: by itself, and with all that it called."""

    function: str
    own: float
    total: float


def profile(scenario: Scenario, seconds: int, folder: Path) -> None:
    """Write `NAME.svg` (a flame graph) and `NAME.folded` (for other tools) into the folder, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in scenario.name)
    folded, drawn = folder / f"{name}.folded", folder / f"{name}.svg"
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        worker = this_checkout().start(upstream, scenario.setting, work / "worker")
        stack.enter_context(stopped_at_end(worker.process))
        send(scenario.load, worker.port, 2, work, worker.authorization)
        for form, path in (("raw", folded), ("flamegraph", drawn)):
            spying = _spy(worker.process.pid, form, path, seconds)
            send(scenario.load, worker.port, seconds + 1, work, worker.authorization)
            if spying.wait(30):
                raise BenchmarkError(f"py-spy failed: {spying.stderr.read() if spying.stderr else ''}")
    print(table(shares(folded.read_text().splitlines())))
    print(f"\nwritten: {drawn}, {folded}")


def _spy(pid: int, form: str, path: Path, seconds: int) -> subprocess.Popen[str]:
    found = program("py-spy") or program(str(CACHE / "bin" / "py-spy"))
    if found is None:
        raise BenchmarkError("profiling needs py-spy: `make bench` installs it, and so does pip install py-spy")
    command = ["taskset", "-c", str(LOAD_CORE), found, "record", "--pid", str(pid), "--format", form]
    command += ["--rate", str(_RATE), "--duration", str(seconds), "--nonblocking", "--output", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def shares(folded: Iterable[str]) -> list[Share]:
    """From lines of `outermost;...;innermost COUNT`, the functions that took the most by themselves first."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in folded:
        stack, _, count = line.rpartition(" ")
        functions = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in stack.split(";")]
        own[functions[-1]] += int(count)
        total.update(dict.fromkeys(functions, int(count)))
    everything = sum(own.values()) or 1
    return [Share(name, own[name] / everything, total[name] / everything) for name, _ in own.most_common()]


def table(found: list[Share]) -> str:
    """The first forty, in per cent."""
    lines = [f"{'itself':>7}{'total':>8}  function"]
    lines += [f"{share.own:>7.1%}{share.total:>8.1%}  {share.function}" for share in found[:_SHOWN]]
    return "\n".join(lines)
