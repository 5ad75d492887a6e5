"""What the program does with each case of the conformance suite, written down as the rest of the session is."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.bench import Bench
from tests.conformance.case import Broken, Case, HalfClose, Observation, Reset
from tests.conformance.cases import CASES
from tests.conformance.targets import start_target


def depends_on_the_moment(case: Case) -> bool:
    """Whether how far a side came before the other one left, how a body is cut into chunks, or how many of too many
    fields had come when they were counted, is for chance to say."""
    leaves = any(isinstance(step, HalfClose | Reset) for step in case.send)
    breaks = any(isinstance(outcome, Broken) for outcome in (*case.allowed, *case.promised))
    return leaves or breaks or case.id in {"frame-byte-by-byte", "limit-fields"}


async def entries() -> list[dict[str, Any]]:
    """One JSON object for each case, in the order of the suite."""
    bench = Bench()
    target = await start_target("ours", await bench.upstream.start())
    try:
        return [
            _entry(case.id, await bench.observe(case, target.port)) for case in CASES if not depends_on_the_moment(case)
        ]
    finally:
        await target.stop()
        await bench.upstream.stop()


def _entry(name: str, seen: Observation) -> dict[str, Any]:
    received = re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: (now)", seen.received)
    received = re.sub(rb"\b[0-9a-f]{12}-[0-9a-f]+\b", b"(new id)", received)
    requests = [
        re.sub(rb"127\.0\.0\.1:[0-9]+", b"(amazon)", request.head.raw) + request.body.content
        for request in seen.requests
    ]
    return {
        "conformance": name,
        "got": received.decode("latin-1"),
        "sent": [request.decode("latin-1") for request in requests],
        "ended": seen.ended,
    }
