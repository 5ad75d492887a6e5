"""What a peer is: a program that can be put in the proxy's place, in front of the same upstream."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checkout import Worker
from benchmarks.processes import BenchmarkError, Process, free_port
from benchmarks.upstream import Upstream

FIELDS = {
    "Authorization": "Bearer Atza|benchmark",
    "Amazon-Advertising-API-ClientId": "amzn1.application-oa2-client.one",
    "Amazon-Ads-ClientId": "amzn1.application-oa2-client.one",
}
"""What every peer sets on a request, for that is the least of what the proxy does."""


class PeerMissing(BenchmarkError):
    """This machine cannot run the peer; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer is put. `work` is its own folder; what it logs belongs into `log`, with a line per request."""

    upstream: Upstream
    tls: bool
    port: int
    work: Path

    @property
    def log(self) -> Path:
        return self.work / "output.log"

    @property
    def upstream_port(self) -> int:
        return self.upstream.tls if self.tls else self.upstream.plain

    @property
    def address(self) -> str:
        return self.upstream.address(tls=self.tls)


@dataclass(frozen=True, slots=True)
class Peer:
    """`command` writes the configuration and gives the command line; `version` raises `PeerMissing` where it is not."""

    name: str
    command: Callable[[Place], list[str]]
    version: Callable[[], str]
    only: tuple[str, ...] = ()
    """The scenarios that it is measured in, where it is not all of them."""

    def start(self, upstream: Upstream, work: Path, *, tls: bool) -> Worker:
        """Start it in the new folder `work`, and wait until it serves."""
        work.mkdir(parents=True)
        place = Place(upstream, tls, free_port(), work)
        process = Process(self.command(place), place.log)
        try:
            ready_after = process.wait_ready(place.port)
        except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
            process.stop()
            raise
        return Worker(process, place.port, ready_after=ready_after)


def version_of(command: list[str], pattern: str) -> str:
    """What the program says of itself."""
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(pattern, said.stdout + said.stderr)
    return found[1] if found else "of unknown version"
