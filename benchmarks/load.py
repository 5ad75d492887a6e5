"""The load: wrk on its own core, with requests as a client sends them, and its counts."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.processes import LOAD_CORE, BenchmarkError, required

_SCRIPTS = Path(__file__).parent / "lua"
_MORE_SECONDS = 30


class Requests(StrEnum):
    """Which requests are sent: the name of a script in lua/."""

    FIXED = "fixed"
    NEW_TARGETS = "new_targets"
    NEW_BODIES = "new_bodies"
    CHUNKED = "chunked"
    MIX = "mix"
    JUDGED = "judged"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, over how many connections. `path` is where the script does not choose one."""

    requests: Requests = Requests.FIXED
    path: str = "/sd/campaigns/1"
    connections: int = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What wrk saw: times in seconds, `received` in bytes, `refused` the answers from 400 on."""

    requests: int
    seconds: float
    received: int
    refused: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def send(load: Load, port: int, seconds: int, work: Path, authorization: str = "") -> Outcome:
    """Send for this long. Broken connections are an error, and so are refusals that the load does not ask for."""
    script = work / f"{load.requests}.lua"
    if not script.exists():
        script.write_text("\n".join((_SCRIPTS / f"{name}.lua").read_text() for name in ("common", load.requests)))
    command = ["taskset", "-c", str(LOAD_CORE), required("wrk", "wrk"), "-t1", f"-c{load.connections}"]
    command += [f"-d{seconds}s", "--timeout", "20s", "-s", str(script), f"http://127.0.0.1:{port}{load.path}"]
    nonce = str(time.time_ns() // 1000 % 10**12)
    command += ["--", nonce, authorization]
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + _MORE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{load} on port {port}: wrk did not end within {error.timeout:.0f} s") from error
    outcome, broken = _read(said.stdout, said.stderr)
    wanted = outcome.requests / 20 if load.requests is Requests.MIX else 0
    if broken or abs(outcome.refused - wanted) > wanted / 2 + load.connections * bool(wanted):
        raise BenchmarkError(f"{load} on port {port}: {broken} broken, {outcome.refused} refused of {outcome.requests}")
    return outcome


def _read(text: str, errors: str) -> tuple[Outcome, int]:
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise BenchmarkError(f"wrk said nothing of use:\n{text}\n{errors}")
    found = json.loads(lines[-1])
    seconds = found["microseconds"] / 1e6
    p50, p99 = found["p50"] / 1e6, found["p99"] / 1e6
    outcome = Outcome(found["requests"], seconds, found["bytes"], found["refused"], p50, p99)
    if not outcome.requests:
        raise BenchmarkError(f"no request was answered:\n{text}")
    return outcome, found["broken"]
