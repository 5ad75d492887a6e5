"""A benchmark that is cut short leaves nothing running: not its peers, not the program, not the load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.programs import ROOT, do_without, require_program

pytestmark = [pytest.mark.integration, pytest.mark.nginx]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What is started heeds SIGINT, also where the test run itself is in a shell's background and does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def benchmark_run(interruptible: None, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m benchmarks` of one scenario, in the middle of warming up."""
    require_program("nginx")
    require_program("wrk")
    if not {0, 1} <= os.sched_getaffinity(0):
        do_without("two cores are not here")
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--rounds", "50", "--seconds", "1", "--scenario", "one target"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            assert run.stderr
            assert any("warming up" in line for line in run.stderr)
            yield run
        finally:
            run.terminate()  # and no SIGKILL, after which its children would go on


def those_at_work(place: Path) -> list[str]:
    """The command lines of the processes that work in the folder, or with files of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            if str(place) in f"{(process / 'cwd').readlink()} {command}":
                found.append(command)
        except OSError:  # it has ended meanwhile, or belongs to another user
            continue
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)], ids=["int", "term"])
def test_a_run_that_is_cut_short_stops_what_it_started(
    benchmark_run: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Whatever it waits for at that moment: a worker that is to be ready, or the end of the load. What it had to kill
    is gone a moment later."""
    assert those_at_work(tmp_path)
    benchmark_run.send_signal(number)
    _, said = benchmark_run.communicate(timeout=PATIENCE)
    assert benchmark_run.returncode == code
    assert "stopped" in said
    assert "Traceback" not in said
    until(lambda: not those_at_work(tmp_path), lambda: those_at_work(tmp_path))
