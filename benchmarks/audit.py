"""What it costs a write that it is on record before it leaves: its line in the file of the audit stream.

`python -m benchmarks audit`. In this process, with a real file in the directory for temporary files; the thread of the
stream syncs it now and then, as it does in the program.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from proxy.app.audit import open_audit
from proxy.audit.begun import BegunWrites
from proxy.config.model.sections import AuditSection
from proxy.observability.sink import Sink
from proxy.redaction import Redaction
from proxy.secret import Secret

WRITES = 250
"""Writes of a round; the stream is looked at once in it, as it is each second."""
GOAL = 10e-6
"""Seconds that a record may cost a write."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a write: of CPU in the thread of the event loop, and that passed."""

    cpu: float
    passed: float


def measure(rounds: int) -> Cost:
    """Those of the fastest of so many rounds: whatever else the machine does only adds to it."""
    redaction = Redaction()
    redaction.know([Secret("a-client-secret-of-some-length"), Secret("another-secret-of-some-length")])
    with tempfile.TemporaryDirectory() as folder:
        section = AuditSection(file=Path(folder) / "audit.jsonl")
        stream = open_audit(section, Sink(None, str), lambda event: None)
        assert stream is not None
        stream.start()
        begun, context = BegunWrites(stream, redaction.clean, time.time), _context()
        costs = []
        for _ in range(rounds + 1):
            cpu, passed = time.thread_time(), time.perf_counter()
            for _ in range(WRITES):
                if not begun.begin(context):
                    raise RuntimeError("the disk does not take the records")
            stream.look()
            costs.append(Cost((time.thread_time() - cpu) / WRITES, (time.perf_counter() - passed) / WRITES))
        stream.close()
    return min(costs[1:], key=lambda each: each.cpu)


def _context() -> Any:
    """What a record is made of: the part of a `RequestContext` that it reads."""
    operation = SimpleNamespace(name="UpdateSponsoredProductsCampaigns")
    route = SimpleNamespace(account="acme", region="na", profile=b"1234567890", ads_account=b"", operation=operation)
    decision = SimpleNamespace(
        client="agent", identity=SimpleNamespace(subject=""), asked=SimpleNamespace(method=b"PUT"), route=route
    )
    return SimpleNamespace(decision=decision, effect="write", path="/sp/campaigns", request_id="0f8c1b2a3d4e-2a")


def report(cost: Cost) -> str:
    """What was measured, in one sentence."""
    return (
        f"A record before a write costs {cost.cpu * 1e6:.1f} us of CPU in the event loop, {cost.passed * 1e6:.1f} us "
        f"in all; the goal is {GOAL * 1e6:.0f} us."
    )
