"""The command line: `python -m benchmarks` measures the proxy and its peers, `compare` the proxy and another
checkout."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import scenarios
from benchmarks.account_costs import measure as measure_account_costs
from benchmarks.account_costs import report as report_account_costs
from benchmarks.audit import measure as measure_audit
from benchmarks.audit import report as report_audit
from benchmarks.checkout import checkout, this_checkout
from benchmarks.compare import compare
from benchmarks.document import write
from benchmarks.hostile import measure_hostile
from benchmarks.many_accounts import measure as measure_accounts
from benchmarks.many_accounts import report as report_accounts
from benchmarks.many_profiles import measure as measure_profiles
from benchmarks.many_profiles import report as report_profiles
from benchmarks.micro import COUNTED, count
from benchmarks.processes import CACHE, LOAD_CORE, WORKER_CORE, BenchmarkError, end_what_is_left
from benchmarks.profile import PICTURES, profile
from benchmarks.profile import write as write_profiles
from benchmarks.progress import end
from benchmarks.report import markdown
from benchmarks.run import Extent, run
from benchmarks.spending import measure as measure_spending
from benchmarks.spending import report as report_spending
from benchmarks.start import compare_starts
from benchmarks.throttling import measure as measure_throttling
from benchmarks.tokens import measure as measure_tokens
from benchmarks.tokens import report as report_tokens
from benchmarks.tunnels import measure as measure_tunnels
from benchmarks.tunnels import report as report_tunnels


def main() -> None:
    """Do what the command line says."""
    parser = _parser()
    given = parser.parse_args()
    if given.command in (None, "profile") and given.write_docs and given.scenario:
        parser.error("--write-docs is for all that the document shows, without --scenario")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what was started is stopped, too
    # The benchmark's own work belongs to the load's core, and connections need open files, its programs' too.
    if not {WORKER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise BenchmarkError("two cores are needed: one for the worker, one for load and upstream")
    os.sched_setaffinity(0, {LOAD_CORE})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _COMMANDS[given.command](given)


def _run(given: argparse.Namespace) -> None:
    rounds, seconds = (2, 1) if given.quick else (given.rounds, given.seconds)
    extent = Extent(rounds, seconds, 0 if given.scenario else min(rounds, 3))
    chosen = scenarios.named(given.scenario) if given.scenario else scenarios.SCENARIOS
    findings = run(chosen, extent)
    text = markdown(findings)
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "findings.md").write_text(text)
    print(text)
    for path in write(findings) if given.write_docs else ():
        print(f"written: {path}", file=sys.stderr)
    end(findings.failures)


def _compare(given: argparse.Namespace) -> None:
    chosen = scenarios.named(given.scenario) if given.scenario else scenarios.COMPARED
    this = checkout(given.this) if given.this else this_checkout()
    other = checkout(given.checkout)
    if given.fast_path is not None:
        other = replace(other, fast_path=given.fast_path == "on")
    this, other = (replace(side, hash_seed="0") for side in (this, other))
    end(compare(this, other, chosen, given.rounds, given.seconds))


def _micro(given: argparse.Namespace) -> None:
    count(scenarios.named(given.scenario) if given.scenario else COUNTED, record=given.record)


def _profile(given: argparse.Namespace) -> None:
    chosen = (scenarios.ONE_TARGET,) if not given.scenario else scenarios.named(given.scenario)
    scenarios_to_show = PICTURES if given.write_docs else chosen
    found = [profile(scenario, given.seconds, given.output) for scenario in scenarios_to_show]
    for path in write_profiles(found) if given.write_docs else ():
        print(f"written: {path}", file=sys.stderr)


def _hostile(_: argparse.Namespace) -> None:
    measure_hostile()


def _throttling(given: argparse.Namespace) -> None:
    measure_throttling(given.seconds)


def _profiles(given: argparse.Namespace) -> None:
    print(report_profiles(measure_profiles(given.count)))


def _accounts(given: argparse.Namespace) -> None:
    print("\n".join(report_accounts(measure_accounts(given.count, given.rounds, given.seconds))))


def _account_costs(given: argparse.Namespace) -> None:
    print(report_account_costs(measure_account_costs(given.count)))


def _start(given: argparse.Namespace) -> None:
    compare_starts(this_checkout(), checkout(given.checkout), given.rounds)


def _tunnels(given: argparse.Namespace) -> None:
    print(report_tunnels(measure_tunnels(given.rounds, given.count)))


def _jwt(given: argparse.Namespace) -> None:
    print(report_tokens(measure_tokens(given.rounds, given.seconds)))


def _audit(given: argparse.Namespace) -> None:
    print(report_audit(measure_audit(given.rounds)))


def _spend(given: argparse.Namespace) -> None:
    print(report_spending(measure_spending(given.rounds, given.seconds, by_day=given.by_day)))


_COMMANDS = {
    None: _run,
    "account-costs": _account_costs,
    "audit": _audit,
    "accounts": _accounts,
    "compare": _compare,
    "hostile": _hostile,
    "micro": _micro,
    "profile": _profile,
    "profiles": _profiles,
    "spend": _spend,
    "jwt": _jwt,
    "start": _start,
    "throttling": _throttling,
    "tunnels": _tunnels,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast the proxy is.")
    parser.add_argument("--rounds", type=int, default=6, help="paired rounds (6)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of each measurement (2)")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: to see that it works")
    parser.add_argument("--scenario", action="append", help="only the speed in this one; may be given several times")
    parser.add_argument("--write-docs", action="store_true", help="put what was measured into docs/")
    commands = parser.add_subparsers(dest="command")
    _add_accounts(commands)
    comparing = commands.add_parser("compare", help="CPU per request beside another checkout of this program")
    comparing.add_argument("checkout", type=Path, help="such as a git worktree of an older commit")
    comparing.add_argument("--this", type=Path, help="what to compare with it instead of the checkout this runs from")
    comparing.add_argument(
        "--fast-path", choices=("on", "off"), help="write `fast_path` into the other checkout's configuration"
    )
    comparing.add_argument("--rounds", type=int, default=10, help="pairs of measurements (10)")
    comparing.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (1)")
    comparing.add_argument("--scenario", action="append", help="only this one; may be given several times")
    commands.add_parser("hostile", help="how long a tool waits while strangers send the costliest bytes there are")
    counting = commands.add_parser("micro", help="instructions per request, beside those recorded last")
    counting.add_argument("--scenario", action="append", help="only this one; may be given several times")
    counting.add_argument("--record", action="store_true", help="write benchmarks/instructions.json anew")
    profiling = commands.add_parser("profile", help="where the time of the worker goes under load")
    profiling.add_argument("--scenario", action="append", help="this one; may be given several times")
    profiling.add_argument("--seconds", type=int, default=10, help="seconds of sampling (10)")
    profiling.add_argument("--write-docs", action="store_true", help="into the picture and the table of docs/")
    profiling.add_argument("--output", type=Path, default=CACHE / "profiles", help="folder for what is written")
    directing = commands.add_parser("profiles", help="memory and time of a directory of very many profiles")
    directing.add_argument("--count", type=int, default=1_000_000, help="so many (1,000,000)")
    judging = commands.add_parser("spend", help="CPU of a write that spend limits judge, beside one without limits")
    judging.add_argument("--by-day", action="store_true", help="with limits of a day, which a ledger counts")
    judging.add_argument("--rounds", type=int, default=10, help="pairs of measurements (10)")
    judging.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (1)")
    recording = commands.add_parser(
        "audit", help="what it costs a write that its record is in the file before it leaves"
    )
    recording.add_argument("--rounds", type=int, default=100, help="rounds of 250 records (100)")
    identifying = commands.add_parser("jwt", help="CPU of a request with a remembered JWT, beside one with a key")
    identifying.add_argument("--rounds", type=int, default=20, help="pairs of measurements (20)")
    identifying.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (1)")
    starting = commands.add_parser("start", help="CPU of a start beside another checkout of this program")
    starting.add_argument("checkout", type=Path, help="such as a git worktree of an older commit")
    starting.add_argument("--rounds", type=int, default=15, help="pairs of starts (15)")
    limiting = commands.add_parser(
        "throttling", help="what clients get where Amazon limits, directly and through the proxy"
    )
    limiting.add_argument("--seconds", type=int, default=60, help="seconds of each measurement (60)")
    tunnelling = commands.add_parser("tunnels", help="CPU and memory of tunnels (CONNECT), and of requests inside")
    tunnelling.add_argument("--rounds", type=int, default=15, help="pairs of measurements (15)")
    tunnelling.add_argument("--count", type=int, default=1000, help="tunnels whose memory is measured (1,000)")
    return parser


def _add_accounts(commands: Any) -> None:
    """The commands about very many accounts; argparse has no name for what they are added to."""
    many = commands.add_parser(
        "accounts", help="start, reload, console, scrape, memory and p99 with very many accounts"
    )
    many.add_argument("--count", type=int, default=10_000, help="so many (10,000), each with ten profiles")
    many.add_argument("--rounds", type=int, default=5, help="pairs of measurements (5)")
    many.add_argument("--seconds", type=int, default=20, help="seconds of each measurement (20)")
    costing = commands.add_parser("account-costs", help="CPU of what is done for very many accounts")
    costing.add_argument("--count", type=int, default=10_000, help="so many (10,000)")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"benchmark: {error}")
    except KeyboardInterrupt:
        print("benchmark: stopped, and all that it started", file=sys.stderr)
        sys.exit(130)
    finally:
        end_what_is_left()
