"""`make bench`: requests per second and latency of the proxy and its peers, one after the other, in turns.

Each program has one core to itself; wrk and the upstream share the other. Numbers of one machine mean little, their
ratios within one run mean something: the table is in multiples of nginx."""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.peers import Peer, free_port, peer_commands, program, running, upstream_command

PROXY_CORE, LOAD_CORE = 0, 1
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def measure(port: int, seconds: int, connections: int) -> tuple[float, float, float]:
    """Requests per second, and the median and 99th percentile of latency in seconds; nothing but 200 may come."""
    wrk = program("wrk")
    if wrk is None:
        raise SystemExit("the benchmark needs wrk: apt-get install wrk")
    command = ["taskset", "-c", str(LOAD_CORE), wrk, "--latency", "-t1", f"-c{connections}", f"-d{seconds}s"]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v2/profiles"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"port {port} did not answer every request:\n{said}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    return rate, _latency(said, "50%"), _latency(said, "99%")


def _latency(said: str, percentile: str) -> float:
    number, unit = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def run(rounds: int, seconds: int, connections: int = 16) -> None:
    """Measure all peers and print the table."""
    upstream = free_port()
    results: dict[Peer, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        stack.enter_context(running(upstream_command(Path(work), upstream), upstream, LOAD_CORE))
        commands = peer_commands(Path(work), upstream)
        for peer, command in commands:
            stack.enter_context(running(command, peer.port, PROXY_CORE))
        peers = [Peer("upstream itself", upstream), *(peer for peer, _ in commands)]
        for peer in peers:
            measure(peer.port, 1, connections)
        for _ in range(rounds):
            for peer in peers:
                results.setdefault(peer, []).append(measure(peer.port, seconds, connections))
    show(results)


def show(results: dict[Peer, list[tuple[float, float, float]]]) -> None:
    medians = {
        peer: [statistics.median(column) for column in zip(*rows, strict=True)] for peer, rows in results.items()
    }
    nginx = next((row[0] for peer, row in medians.items() if peer.name == "nginx"), None)
    print("| program | requests/s | of nginx | median ms | 99 % ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for peer, (rate, middle, slow) in medians.items():
        share = f"{rate / nginx:.2f}" if nginx else "-"
        print(f"| {peer.name} | {rate:,.0f} | {share} | {middle * 1000:.2f} | {slow * 1000:.2f} |")
