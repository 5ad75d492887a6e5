"""What very many accounts cost in CPU, one piece of work at a time: reading them, masking their secrets, a scrape.

`python -m benchmarks account-costs --count 10000`. In this process, without a network: seconds of CPU do not depend on
what else the machine does, as those of `accounts` do.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy import events
from proxy.admin.history import tally
from proxy.admin.scrape import GzipStream, runs_of
from proxy.config import load
from proxy.observability.metrics import Metrics
from proxy.observability.request_metrics import RequestLabels
from proxy.redaction import Redaction

CHANGED = 50
"""Accounts that get a new token between two scrapes: as many as of 10,000 in fifteen seconds."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of CPU, and bytes. `first` is the first scrape, `again` one after a few accounts changed; the same
    of compressing them."""

    accounts: int
    file: int
    reading: float
    masking: float
    first: float
    again: float
    text: int
    compressing: float
    compressing_again: float
    compressed: int
    tallies: float


def measure(count: int) -> Costs:
    """With so many accounts, each of which has had a request."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proxy.yaml"
        path.write_text("accounts:\n" + "".join(map(_entry, range(count))))
        size, before = path.stat().st_size, time.process_time()
        config = load(path, {"ADS_PROXY_STATE__URL": "memory:"})
        reading = time.process_time() - before
    masking = _seconds(lambda: Redaction().know(config.secrets()))
    metrics = Metrics("")
    metrics.accounts(config.accounts)
    for number, name in enumerate(config.accounts):
        _renew(metrics, name, number)
        for region in ("na", "eu", "fe"):
            metrics.observe(events.ProfilesListed(name, region, 10))
        labels = RequestLabels("anonymous", name, "na", "GET", "read", 200)
        metrics.requests.numbers(labels).add_forwarded(0.05, 0.049, 0.0001)
    pieces: list[bytes] = []
    first = _seconds(lambda: pieces.extend(metrics.scrape("")[0]))
    stream = GzipStream({})
    compressing = _seconds(lambda: asyncio.run(_compress(stream, pieces)))
    for number, name in zip(range(CHANGED), config.accounts, strict=False):
        _renew(metrics, name, count + number)
    pieces.clear()
    again = _seconds(lambda: pieces.extend(metrics.scrape("")[0]))
    stream = GzipStream(stream.blocks)
    compressing_again = _seconds(lambda: asyncio.run(_compress(stream, pieces)))
    text, compressed = sum(map(len, pieces)), sum(map(len, stream.blocks.values()))
    tallies = _seconds(lambda: asyncio.run(tally(metrics.series())))
    compression = compressing, compressing_again, compressed
    return Costs(count, size, reading, masking, first, again, text, *compression, tallies)


async def _compress(stream: GzipStream, pieces: list[bytes]) -> None:
    """Compress a text as an answer to a scraper is compressed."""
    async for run in runs_of(iter(pieces)):
        stream.add(run)


def _entry(number: int) -> str:
    return (
        f"  account-{number:05}:\n    client_id: amzn1.application-oa2-client.{number:032x}\n"
        f"    client_secret: amzn1.oa2-cs.v1.{number:064x}\n    refresh_token: Atzr|{number:0300x}\n"
    )


def _renew(metrics: Metrics, name: str, number: int) -> None:
    metrics.observe(events.TokenRefreshed(name, 1, 0.1, 1_790_000_000.0 + number * 0.37, events.RefreshCause.START))
    metrics.observe(events.CredentialStateChanged(name, "pending", "valid"))


def _seconds(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


def report(found: Costs) -> str:
    """The costs as lines for people."""
    return "\n".join(
        (
            f"{found.accounts} accounts in a file of {found.file / 2**20:.1f} MiB, read: {found.reading:.2f} s of CPU",
            f"their secrets made ready for masking: {found.masking:.2f} s",
            f"the first scrape: {found.first:.2f} s, {found.text / 2**20:.1f} MiB",
            f"a scrape after {CHANGED} accounts got a token: {found.again:.2f} s",
            f"the two compressed: {found.compressing:.2f} and {found.compressing_again:.3f} s, "
            f"{found.compressed / 2**20:.1f} MiB",
            f"requests added up by client and account for the console: {found.tallies:.2f} s",
        )
    )
