"""What a call costs, in counts that come out the same on every machine and under every load.

Instructions are those of Python's bytecode, calls those of functions and methods, built-in ones included. What other
threads do meanwhile does not count.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call, calls below it included."""

    instructions: int
    calls: int


def cost_of(call: Callable[[], object]) -> Cost:
    """What this call costs the thread that makes it. A first call may cost more, so make it before."""
    instructions = calls = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal instructions
        if event == "call":
            frame.f_trace_opcodes = True
        elif event == "opcode":
            instructions += 1
        return trace

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracing, profiling = sys.gettrace(), sys.getprofile()
    sys.setprofile(note)
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(tracing)
        sys.setprofile(profiling)
    return Cost(instructions, calls)
