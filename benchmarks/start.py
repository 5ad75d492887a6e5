"""CPU of a start of two checkouts of this program, in pairs: until clients can connect, and until all is started."""

from __future__ import annotations

import contextlib
import socket
import statistics
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.checkout import Checkout
from benchmarks.processes import BenchmarkError, Process, free_port, stopped_at_end
from benchmarks.ratios import paired

COMMANDS = ("serve", "demo")
MARKS = ("clients can connect", "admin listener answers")
_WITHIN = 60.0
_NOBODY = "http://127.0.0.1:9"
"""Amazon's address for `serve`: a start waits for nothing from there."""


def compare_starts(this: Checkout, other: Checkout, rounds: int) -> None:
    """Measure and print: one start of each checkout in each round, the next round the other way about."""
    with tempfile.TemporaryDirectory() as temporary:
        for command in COMMANDS:
            spent = _measure((this, other), command, rounds, Path(temporary) / command)
            for number, mark in enumerate(MARKS):
                these, those = ([start[number] for start in side] for side in spent)
                medians = f"{statistics.median(these):.3f} s of CPU, other {statistics.median(those):.3f} s"
                print(f"{command}, {mark}: {medians}; ratio {paired(these, those):.3f}, {rounds} pairs")


def _measure(
    sides: tuple[Checkout, Checkout], command: str, rounds: int, work: Path
) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    spent: tuple[list[tuple[float, ...]], list[tuple[float, ...]]] = ([], [])
    for number in range(rounds + 1):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            found = _start(sides[side], command, work / f"{number}-{side}")
            if number:  # the first start of a checkout compiles its files
                spent[side].append(found)
    return spent


def _start(checkout: Checkout, command: str, work: Path) -> tuple[float, ...]:
    """Seconds of CPU of the program and what it started, at each of `MARKS`."""
    work.mkdir(parents=True)
    port, admin = free_port(), free_port()
    options = ["--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"]
    if command == "serve":
        (work / "proxy.yaml").write_text(yaml.safe_dump(_configuration(work / "state")))
        options += ["--config", str(work / "proxy.yaml")]
    arguments = [checkout.python, "-m", "proxy", command, *options]
    with stopped_at_end(Process(arguments, work / "output.log", env=checkout.environment())) as process:
        _wait(process, port)
        connected = process.cpu()
        _wait(process, admin, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return connected, process.cpu()


def _wait(process: Process, port: int, request: bytes = b"") -> None:
    """Wait until a port accepts a connection, and answers the request if there is one."""
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_WITHIN) as client:
            client.sendall(request)
            if not request or client.recv(64):
                return
        time.sleep(0.002)
    raise BenchmarkError(f"nothing answers on port {port}:\n{process.last_words()}")


def _configuration(state: Path) -> dict[str, object]:
    """One account; the state is kept in files, as it is unless said otherwise."""
    account = {"client_id": "amzn1.application-oa2-client.x", "client_secret": "secret", "refresh_token": "Atzr|x"}
    return {
        "state": {"url": f"file:{state}"},
        "accounts": {"acme": {**account, "region": "na"}},
        "regions": {"na": {"api_url": _NOBODY, "token_url": f"{_NOBODY}/auth/o2/token"}},
    }
