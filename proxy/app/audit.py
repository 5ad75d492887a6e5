"""The audit stream of a configuration: opened at the start, and watched for a disk that hangs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TextIO

from proxy.audit.begun import BegunWrites
from proxy.audit.file import AuditFile, open_at_start
from proxy.audit.records import dated, note
from proxy.audit.stream import AuditOutputs, AuditStream
from proxy.events import AuditFailed, AuditOpened
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config import AuditSection
    from proxy.events import Event, Observer
    from proxy.forwarding.write_gate import WriteGate
    from proxy.observability.sink import Sink

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RunOutputs:
    """Where the records of a run go: `log`, and the audit's file, None if the audit has none."""

    log: TextIO
    audit: AuditFile | None = None


def open_audit(
    section: AuditSection, output: Sink, tell: Callable[[Event], None], opened: AuditFile | None = None
) -> AuditStream | None:
    """The stream, not yet writing; None where none is configured. `output` takes the lines for standard output, and
    `opened` is the section's file, if it is open already.

    Raises `StartupError`.
    """
    if section.file is None and not section.stdout:
        return None
    file = opened or (None if section.file is None else open_at_start(section.file))
    copy = output.put if section.stdout else None
    outputs = AuditOutputs(section.file, file, copy, tell, _make_note, section.required, lambda: output.lost)
    return AuditStream(outputs)


def begin_audit(
    stream: AuditStream, gate: WriteGate, observer: Observer, clean: Callable[[str], str]
) -> asyncio.Task[None]:
    """Begin to write, report how the file was found, and let no write pass the gate that the stream cannot record. If
    records are required, each write is in the file before it leaves; `clean` masks secrets in its record. The
    task notices a disk that hangs; cancel it to stop."""
    stream.start()
    if stream.file is not None and stream.is_required:
        gate.begins = BegunWrites(stream, clean, time.time).begin
    gate.takes_writes = lambda: stream.takes_writes(gate.unrecorded)
    if stream.file is not None:
        observer.observe(_opened(stream.file))
    return asyncio.get_running_loop().create_task(_watch(stream))


def close_audit(stream: AuditStream, observer: Observer) -> None:
    """Write what waits; what could not be written is reported."""
    unwritten = stream.close()
    if unwritten:
        observer.observe(AuditFailed("the program stops", unwritten))


async def _watch(stream: AuditStream) -> None:
    """Have the stream notice a disk that hangs, for ever."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        stream.look()


def _opened(file: AuditFile) -> AuditOpened:
    """How the file was found."""
    end = file.end
    torn = "its last line was torn by a crash" if end.torn else ""
    unclosed = "the program before ended without closing it, so that its last records may be missing"
    problem = end.cut, torn, unclosed if end.unclosed else ""
    return AuditOpened(end.head.sequence, end.head.digest, "; ".join(filter(None, problem)))


def _make_note(action: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    return dated(note(action, said), time.time())
