"""The command line: `python -m benchmarks` measures the proxy beside its peers, `compare` beside another checkout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import scenarios
from benchmarks.checkout import checkout, this_checkout
from benchmarks.compare import compare
from benchmarks.micro import COUNTED, count
from benchmarks.processes import CACHE, BenchmarkError
from benchmarks.profile import profile
from benchmarks.run import run


def main() -> None:
    """Do what the command line says."""
    given = _parser().parse_args()
    if given.command in ("micro", "profile"):
        _micro(given) if given.command == "micro" else _profile(given)
        return
    if given.command != "compare":
        run(given.rounds, given.seconds)
        return
    chosen = scenarios.named(given.scenario) if given.scenario else scenarios.COMPARED
    this = checkout(given.this) if given.this else this_checkout()
    other = checkout(given.checkout)
    compare(this, other, chosen, given.rounds, given.seconds)


def _micro(given: argparse.Namespace) -> None:
    count(scenarios.named(given.scenario) if given.scenario else COUNTED, record=given.record)


def _profile(given: argparse.Namespace) -> None:
    for scenario in scenarios.named(given.scenario) if given.scenario else (scenarios.ONE_TARGET,):
        profile(scenario, given.seconds, given.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast the proxy is.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each peer is measured (3)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of each measurement (4)")
    commands = parser.add_subparsers(dest="command")
    comparing = commands.add_parser("compare", help="CPU per request beside another checkout of this program")
    comparing.add_argument("checkout", type=Path, help="such as a git worktree of an older commit")
    comparing.add_argument("--this", type=Path, help="what to compare with it instead of the checkout this runs from")
    comparing.add_argument("--rounds", type=int, default=10, help="pairs of measurements (10)")
    comparing.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (1)")
    comparing.add_argument("--scenario", action="append", help="only this one; may be given several times")
    counting = commands.add_parser("micro", help="instructions per request, beside those recorded last")
    counting.add_argument("--scenario", action="append", help="only this one; may be given several times")
    counting.add_argument("--record", action="store_true", help="write benchmarks/instructions.json anew")
    profiling = commands.add_parser("profile", help="where the time of the worker goes under load")
    profiling.add_argument("--scenario", action="append", help="this one; may be given several times")
    profiling.add_argument("--seconds", type=int, default=10, help="seconds of sampling (10)")
    profiling.add_argument("--output", type=Path, default=CACHE / "profiles", help="folder for what is written")
    return parser


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"benchmark: {error}")
