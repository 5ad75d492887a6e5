"""Who takes part in a run: the peers that are installed, and the program."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import Checkout, Setting, Worker, this_checkout
from benchmarks.measure import Sample, measure
from benchmarks.peers import PEERS, Peer, PeerMissing
from benchmarks.processes import BenchmarkError, stopped_at_end
from benchmarks.scenarios import Scenario
from benchmarks.upstream import Upstream

OURS = "ads-proxy"


@dataclass(frozen=True, slots=True)
class Contender:
    """A name for the tables and what is started for it: a peer, or this program."""

    name: str
    program: Peer | Checkout
    version: str = ""

    def setting(self, setting: Setting) -> Setting:
        """What this one makes of a scenario's setting; two scenarios with one of these share a worker."""
        if isinstance(self.program, Peer):
            return Setting(tls=setting.tls)
        return setting

    def takes_part(self, scenario: Scenario) -> bool:
        only = self.program.only if isinstance(self.program, Peer) else ()
        return not only or scenario.name in only

    def start(self, upstream: Upstream, setting: Setting, work: Path) -> Worker:
        """Start a worker in the new folder `work`."""
        if isinstance(self.program, Peer):
            return self.program.start(upstream, work, tls=setting.tls)
        return self.program.start(upstream, self.setting(setting), work)


def contenders() -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """All contenders that can be measured here, and a line for each peer that cannot."""
    found, missing = [], []
    for peer in PEERS:
        try:
            found.append(Contender(peer.name, peer, peer.version()))
        except PeerMissing as error:
            missing.append(f"{peer.name} is not here: {error}")
    return (*found[:1], Contender(OURS, this_checkout()), *found[1:]), tuple(missing)


class Fleet:
    """The workers of a run: started when first needed, stopped together at the end of the block."""

    def __init__(self, upstream: Upstream, work: Path) -> None:
        self._upstream = upstream
        self._work = work
        self._numbers = itertools.count()  # of all that were to be started: one that failed has left a folder
        self._workers: dict[tuple[str, Setting], Worker] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, contender: Contender, setting: Setting) -> Worker:
        """The one of this contender in this setting."""
        key = (contender.name, contender.setting(setting))
        if key not in self._workers:
            worker = contender.start(self._upstream, setting, self._work / f"worker-{next(self._numbers)}")
            self._stack.enter_context(stopped_at_end(worker.process))
            self._workers[key] = worker
        return self._workers[key]

    def measure(self, contender: Contender | None, scenario: Scenario, seconds: int) -> Sample:
        """A stretch of the scenario's load; on the bare upstream where there is no contender."""
        if contender:
            worker = self.worker(contender, scenario.setting)
        else:
            worker = Worker(self._upstream.process, self._upstream.plain)
        try:
            return measure(worker, scenario.load, seconds, worker.process.log.parent)
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{error}\n{worker.process.last_words()}") from error
