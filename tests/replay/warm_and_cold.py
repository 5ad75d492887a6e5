"""The same requests through two programs: a warm one, and one that remembers nothing.

What they answer, what reaches Amazon, the log, the audit and the metrics are compared. Ids, times and dates are masked.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.routing.operations import PUBLISHED
from tests.replay.player import session
from tests.replay.recording import differences
from tests.replay.repeats import Repeats

SEED = 20270115
COLD: dict[str, Any] = {"kind": "cold"}
WARM: dict[str, Any] = {"kind": "warm"}


@dataclass(slots=True)
class Played:
    """What came of a session: an entry for each request and each block of metrics; log lines and audit records, in no
    order."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    audit: Counter[str] = field(default_factory=Counter)


async def played(requests: int, seed: int = SEED, **program: Any) -> Played:
    """So many requests, played by this program."""
    corpus = Repeats(seed, tuple((row.method, row.template) for row in PUBLISHED))
    with tempfile.TemporaryDirectory(prefix="warm-and-cold-") as folder:
        async with session(Path(folder), echoes=True, **program) as player:
            recording = await player.play(corpus, requests)
            mask = player.masked
            lines, audit = player.request_lines(), player.audit_records()
    entries = [{**entry, "line": None, "audit": []} if "case" in entry else entry for entry in recording.entries()]
    return Played(entries, *(Counter(mask(json.dumps(each).encode()) for each in found) for found in (lines, audit)))


def compared(warm: Played, cold: Played) -> Iterator[str]:
    """One text for each difference."""
    yield from differences(cold.entries, warm.entries)
    for name in ("lines", "audit"):
        ours, theirs = getattr(warm, name), getattr(cold, name)
        yield from (f"{name}, {count} more when warm:\n  {text}" for text, count in (ours - theirs).items())
        yield from (f"{name}, {count} more when cold:\n  {text}" for text, count in (theirs - ours).items())


async def all_compared(requests: int, seed: int = SEED) -> list[str]:
    """The differences between the warm program and the cold one."""
    cold, warm = await asyncio.gather(*(played(requests, seed, **program) for program in (COLD, WARM)))
    return [*compared(warm, cold)]
