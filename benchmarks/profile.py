"""Where the time of the worker goes under load: py-spy's samples, as a flame graph and as a table.

py-spy reads the worker's memory from outside, so what runs is the program as shipped; it needs root, or the right to
trace. Time in compiled code (the event loop, TLS, system calls) is that of the Python function that called it: to see
frames of compiled code py-spy stops the worker for each sample, and what it then sees is mostly where it was stopped.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import ROOT, commit, this_checkout
from benchmarks.document import DETAILS, with_profile
from benchmarks.flame_graph import drawn
from benchmarks.load import send
from benchmarks.measure import measure
from benchmarks.processes import CACHE, LOAD_CORE, BenchmarkError, program, stopped_at_end
from benchmarks.scenarios import ONE_TARGET, Scenario
from benchmarks.stacks import Share, Stacks, read, rooms, shares
from benchmarks.upstream import start_upstream

_RATE = 500
"""Samples a second."""
_SHOWN = 40
_LEAST = 0.001


PICTURES = {ONE_TARGET: ROOT / "docs" / "development" / "flame.svg"}
"""What docs/development/benchmarks.md shows."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What was sampled in a scenario, and where its picture is."""

    scenario: Scenario
    stacks: Stacks
    picture: Path
    caption: str


def profile(scenario: Scenario, seconds: int, folder: Path) -> Profile:
    """Print the table; write `NAME.folded` (for other tools) into the folder, and `NAME.svg`, a flame graph."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() else "-" for letter in scenario.name)
    folded, picture = folder / f"{name}.folded", folder / f"{name}.svg"
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        worker = this_checkout().start(upstream, scenario.setting, work / "worker")
        stack.enter_context(stopped_at_end(worker.process))
        send(scenario.load, worker.port, 2, work, worker.authorization)
        with _spy(worker.process.pid, folded, seconds) as spying:
            busy = measure(worker, scenario.load, seconds + 1, work).busy
            _, said = spying.communicate(timeout=30)
            if spying.returncode:
                raise BenchmarkError(f"py-spy failed: {said}")
    stacks = read(folded.read_text().splitlines())
    caption = _caption(scenario, stacks.total(), busy)
    picture.write_text(drawn(stacks, caption))
    print(table(shares(stacks)))
    print(f"\nwritten: {picture}, {folded}")
    return Profile(scenario, stacks, picture, caption)


def write(found: Sequence[Profile]) -> tuple[Path, ...]:
    """Put the pictures where the document shows them, and the rooms' parts into it; says where."""
    for each in found:
        shutil.copyfile(each.picture, PICTURES[each.scenario])
    table = rooms_table({each.scenario.name: each.stacks for each in found})
    captions = "\n".join(f"- {each.caption}" for each in found)
    DETAILS.write_text(with_profile(DETAILS.read_text(), f"{captions}\n\n{table}"))
    return (*(PICTURES[each.scenario] for each in found), DETAILS)


def rooms_table(found: Mapping[str, Stacks]) -> str:
    """The table as Markdown: a row for each room that takes a thousandth of any column."""
    parts = {name: rooms(stacks) for name, stacks in found.items()}
    names = dict.fromkeys(name for each in parts.values() for name in each)
    lines = ["| room | " + " | ".join(parts) + " |", "| --- |" + " ---: |" * len(parts)]
    for name in names:
        row = [each.get(name, 0.0) for each in parts.values()]
        if max(row) >= _LEAST:
            lines.append(f"| {name} | " + " | ".join(f"{part:.1%}" for part in row) + " |")
    return "\n".join(lines)


def _caption(scenario: Scenario, samples: int, busy: float) -> str:
    """An idle worker's samples are those of an event loop that waits: hence what part of the time it ran."""
    date = f"{datetime.datetime.now(datetime.UTC):%d %B %Y}"
    return f"{scenario.name}: {samples:,} samples, worker busy {busy:.0%} of the time; {commit()}, {date}"


@contextlib.contextmanager
def _spy(pid: int, path: Path, seconds: int) -> Iterator[subprocess.Popen[str]]:
    found = program("py-spy") or program(str(CACHE / "bin" / "py-spy"))
    if found is None:
        raise BenchmarkError("profiling needs py-spy: `make bench` installs it, and so does pip install py-spy")
    command = ["taskset", "-c", str(LOAD_CORE), found, "record", "--pid", str(pid), "--format", "raw"]
    command += ["--rate", str(_RATE), "--duration", str(seconds), "--nonblocking", "--output", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as spying:
        try:
            yield spying
        finally:
            spying.terminate()


def table(found: list[Share]) -> str:
    """The first forty, in per cent."""
    lines = [f"{'itself':>7}{'total':>8}  function"]
    lines += [f"{share.own:>7.1%}{share.total:>8.1%}  {share.function}" for share in found[:_SHOWN]]
    return "\n".join(lines)
