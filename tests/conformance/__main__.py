"""`python -m tests.conformance --target NAME [--case PART]`: run the cases against a proxy and print a score."""

from __future__ import annotations

import argparse
import asyncio
import sys

from tests.conformance.bench import Bench
from tests.conformance.case import Case
from tests.conformance.cases import CASES
from tests.conformance.judge import judge
from tests.conformance.targets import TargetUnavailable, start_target
from tests.support.patience import PATIENCE

TARGETS = ("ours", "nginx", "haproxy", "aiohttp")


async def judge_target(name: str, cases: tuple[Case, ...], ours: bool) -> dict[str, list[str]]:
    """Complaints by case id, for a proxy that is started and stopped here."""
    bench = Bench(PATIENCE) if ours else Bench()
    target = await start_target(name, await bench.upstream.start())
    try:
        return {case.id: judge(case, await bench.observe(case, target.port), ours) for case in cases}
    finally:
        await target.stop()
        await bench.upstream.stop()


def report(name: str, cases: tuple[Case, ...], verdicts: dict[str, list[str]], quiet: bool) -> None:
    """Print each result and the score."""
    for case in cases:
        if verdicts[case.id]:
            print(f"FAIL {case.id} ({case.rfc}): {case.why}")
            for complaint in verdicts[case.id]:
                print(f"     {complaint}")
        elif not quiet:
            print(f"pass {case.id}")
    passed = sum(not verdicts[case.id] for case in cases)
    print(f"{name}: {passed} of {len(cases)}")


def main() -> int:
    """Parse the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--target", choices=TARGETS, default="ours")
    parser.add_argument("--case", default="", help="only cases whose id contains this")
    parser.add_argument("--quiet", action="store_true", help="print failures and the score only")
    options = parser.parse_args()
    ours = options.target.startswith("ours")
    cases = tuple(case for case in CASES if options.case in case.id and (ours or not case.strict))
    try:
        verdicts = asyncio.run(judge_target(options.target, cases, ours))
    except TargetUnavailable as reason:
        print(reason, file=sys.stderr)
        return 2
    report(options.target, cases, verdicts, options.quiet)
    return int(any(verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
