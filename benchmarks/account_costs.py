"""What very many accounts cost in CPU, one piece of work at a time: reading them, masking their secrets, a scrape.

`python -m benchmarks account-costs --count 10000`. In this process, without a network: seconds of CPU do not depend on
what else the machine does, as those of `accounts` do.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy import events
from proxy.admin.history import tally
from proxy.config import load
from proxy.observability.metrics import Metrics
from proxy.observability.redaction import Redaction
from proxy.observability.request_metrics import RequestLabels

CHANGED = 50
"""Accounts that get a new token between two scrapes: as many as of 10,000 in fifteen seconds."""
_GZIP = 31


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of CPU, and bytes. `first` is the first scrape, `again` one after a few accounts changed."""

    accounts: int
    file: int
    reading: float
    masking: float
    first: float
    again: float
    text: int
    compressing: float
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
    first = _seconds(lambda: b"".join(metrics.scrape("")[0]))
    for number, name in zip(range(CHANGED), config.accounts, strict=False):
        _renew(metrics, name, count + number)
    again = _seconds(lambda: b"".join(metrics.scrape("")[0]))
    text = b"".join(metrics.scrape("")[0])
    compress = zlib.compressobj(1, wbits=_GZIP)
    before = time.process_time()
    compressed = len(compress.compress(text) + compress.flush())
    compressing = time.process_time() - before
    tallies = _seconds(lambda: asyncio.run(tally(metrics.series())))
    return Costs(count, size, reading, masking, first, again, len(text), compressing, compressed, tallies)


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
    """As lines for people."""
    return "\n".join(
        (
            f"{found.accounts} accounts in a file of {found.file / 2**20:.1f} MiB, read: {found.reading:.2f} s of CPU",
            f"their secrets made ready for masking: {found.masking:.2f} s",
            f"the first scrape: {found.first:.2f} s, {found.text / 2**20:.1f} MiB",
            f"a scrape after {CHANGED} accounts got a token: {found.again:.2f} s",
            f"compressed, in a thread: {found.compressing:.2f} s, {found.compressed / 2**20:.1f} MiB",
            f"requests added up by client and account for the console: {found.tallies:.2f} s",
        )
    )
