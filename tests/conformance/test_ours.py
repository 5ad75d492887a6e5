"""Every conformance case against this project's proxy, one started program for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.conformance.bench import Bench
from tests.conformance.case import Case, Observation
from tests.conformance.cases import CASES
from tests.conformance.judge import judge
from tests.conformance.targets import Target, start_target
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.conformance


class Rig:
    """A loop, a bench and the running program."""

    def __init__(self, runner: asyncio.Runner, bench: Bench, name: str = "ours") -> None:
        self._runner = runner
        self._bench = bench
        port = runner.run(self._bench.upstream.start())
        try:
            self.target: Target = runner.run(start_target(name, port))
        except BaseException:
            runner.run(self._bench.upstream.stop())
            raise

    def observe(self, case: Case) -> Observation:
        """Run one case."""
        return self._runner.run(self._bench.observe(case, self.target.port))

    def stop(self) -> None:
        """Stop the program and the upstream."""
        self._runner.run(self.target.stop())
        self._runner.run(self._bench.upstream.stop())


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """The proxy, started once for all cases."""
    with asyncio.Runner() as runner:
        running = Rig(runner, Bench(PATIENCE))
        yield running
        running.stop()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_case(rig: Rig, case: Case) -> None:
    """What the case requires happens when its bytes come first, and when they repeat a request that was decided."""
    for time in ("first", "second"):
        check(rig, case, time)


def check(rig: Rig, case: Case, time: str) -> None:
    """What the case requires happens."""
    seen = rig.observe(case)
    complaints = judge(case, seen, ours=True)
    got = f"sent {case.send!r:.600}", f"got {seen.received!r:.600}"
    assert not complaints, "\n".join((f"{time} time: {case.why}", *complaints, *got))
