"""What writes the audit stream: records are taken at once, and chained and written by a thread, in their order.

Nothing waits for the disk, except a write that must be on record before it leaves: `begin` writes its line, and all
that wait before it, with the file's own call. The system has it then, and keeps it if this process is killed; the
thread syncs the disk afterwards. Only the thread that holds `_disk` chains and writes. A disk that fails or hangs lets
no write begin. While it takes nothing, other records wait in memory, up to a bound. Every lost record is counted, and
reported by another record, in the log and in a metric. What a record holds is for `audit`.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from proxy.audit.chain import LOST, OPENED, TORN, UNCLOSED, ChainHead, digest_of, seal
from proxy.audit.file import AuditFile, reason
from proxy.events import AuditFailed, AuditRecovered, DefectMet
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from proxy.events import Event

MAX_WAITING: Final = 10_000
"""Records that may wait for a disk that takes nothing."""
RESERVED: Final = 1_000
"""Further places, for records of what cannot be refused: sign-ins, reloads, keys."""
RETRY_SECONDS: Final = 1.0
BEGIN_SECONDS: Final = 1.0
"""For so long the event loop waits for a disk that hangs, once, before no write begins any more until it takes
something again."""
STALL_SECONDS: Final = 5.0
"""A disk that takes nothing for so long, and reports no error, is reported as if it had."""
BATCH_BYTES: Final = 1 << 18
MAX_RECENT: Final = 100
"""Records kept in memory for people to look at."""


@dataclass(frozen=True, slots=True)
class AuditOutputs:
    """Where the stream goes. `copy` takes each line as text; `tell` hears of failures, and is called by the thread;
    `make_note` makes the record that the stream writes of itself, of an action and what is to be said. `required` means
    that nothing may be written at Amazon without a record. `lost_lines` is how many lines the output behind `copy` has
    lost and not reported yet: it takes none then."""

    path: Path | None
    file: AuditFile | None
    copy: Callable[[str], None] | None
    tell: Callable[[Event], None]
    make_note: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
    required: bool = True
    lost_lines: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """`written` and `lost` since the start; `failing` tells that the disk takes nothing, or that the memory is full."""

    written: int
    lost: int
    failing: bool
    head: ChainHead


class AuditStream:
    """Takes records, from one thread, until it is closed."""

    def __init__(self, outputs: AuditOutputs) -> None:
        self._outputs = outputs
        self._file = outputs.file
        self._records: deque[Mapping[str, Any]] = deque()
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=MAX_RECENT)
        self._pending = bytearray()
        """What the file has not taken yet of its lines."""
        self._head = outputs.file.end.head if outputs.file is not None else ChainHead()
        self._written = self._unwritten = 0
        self._lost = self._unreported = self._unlogged = 0
        self._moved = monotonic()
        """When the disk last took something, or nothing waited for it."""
        self._syncing = 0.0
        """Since when the thread has the disk sync what was written; 0 while it does not."""
        self._failing = self._closing = self._mid_line = self._marked = self._hangs = self._unsynced = False
        self._ended = True
        """Whether no thread writes: not yet, or not any more."""
        self._wanted = threading.Condition()
        self._disk = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def __repr__(self) -> str:
        state = "failing" if self._failing else "writing"
        return f"<AuditStream: {state}, number {self._head.sequence}, {self._waiting} waiting, {self._lost} lost>"

    def counts(self) -> AuditCounts:
        """How it is; may be asked by any thread."""
        return AuditCounts(self._written, self._lost, self._failing, self._head)

    def recent(self) -> tuple[Mapping[str, Any], ...]:
        """The last records taken since the start, the oldest first, whether the disk has them yet or not."""
        return tuple(self._recent)

    @property
    def file(self) -> AuditFile | None:
        """Where it is written; None for standard output alone."""
        return self._file

    @property
    def is_required(self) -> bool:
        """Whether no write may leave without a record."""
        return self._outputs.required

    @property
    def _waiting(self) -> int:
        return len(self._records) + self._unwritten

    def start(self) -> None:
        """Begin to write, with a word of how the file was found."""
        if self._file is not None and self._file.end.torn and not self._file.end.ended:
            self._pending += b"\n"
        self._records.appendleft(self._outputs.make_note(OPENED, self._found()))
        self._ended = False
        self._thread.start()

    def takes_writes(self, unrecorded: int = 0) -> bool:
        """Whether one more write may leave for Amazon: its record is kept, or need not be. `unrecorded` counts writes
        that are over, and whose records are still to come."""
        return not self._outputs.required or (self._waiting + unrecorded < MAX_WAITING and self._thread.is_alive())

    def put(self, record: Mapping[str, Any], *, write: bool = False) -> None:
        """Take a record; it never waits. That of a `write` is kept for certain where records are required: no more of
        them can come than were under way when `takes_writes` became false."""
        self._recent.append(record)
        with self._wanted:
            if not self._waiting:
                self._moved = monotonic()
            if self._has_room(write):
                self._report_lost()
                self._records.append(record)
            else:
                self._lose()
            if self._waiting >= MAX_WAITING:
                then = "writes are refused" if self._outputs.required else "further records are lost"
                self._fail(f"{self._waiting} records wait for the disk, and {then} until it takes them")
            self._wanted.notify()

    def begin(self, line_of: Callable[[int, str], bytes]) -> bool:
        """Put the line of a write that is about to leave into the file; False if that is not possible, and the write
        must not leave. `line_of` gets the line's number and the digest of the line before."""
        syncs_too_long = self._syncing and monotonic() - self._syncing > STALL_SECONDS
        if self._failing or self._hangs or self._closing or self._ended or syncs_too_long:
            return False
        if not self._disk.acquire(timeout=BEGIN_SECONDS):
            self._hangs = True
            return False
        try:
            if not self._marked:
                self._mark_open()
            with self._wanted:
                self._chain()
                line = line_of(self._head.sequence + 1, self._head.digest)
                self._add(line, ChainHead(self._head.sequence + 1, digest_of(line[:-1])))
                self._unsynced = True
            self._write_pending()
        except OSError as error:
            self._fail(reason(error))
            with self._wanted:
                self._wanted.notify()  # the thread tries again
            return False
        finally:
            self._disk.release()
        return True

    def look(self) -> None:
        """Notice a disk that hangs, and have it sync what was only written. To be called every second or so."""
        with self._wanted:
            if self._unsynced:
                self._wanted.notify()
            if self._waiting and monotonic() - self._moved > STALL_SECONDS:
                self._fail(f"the disk has taken no record for {STALL_SECONDS:g} seconds")

    def close(self, timeout: float = 2.0) -> int:
        """Write what is left, waiting no longer than `timeout`; gives how many records could not be written."""
        if self._thread.ident is None and self._file is not None:  # never started
            self._file.close()
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return self._waiting

    # --- the thread

    def _run(self) -> None:
        try:
            while self._take():
                self._write()
        finally:
            self._ended = True
        self._write()
        if self._file is not None:
            self._end(self._file)

    def _end(self, file: AuditFile) -> None:
        """Mark that the stream is complete; if it is not, see that the next start reports it."""
        if not self._failing and not self._pending:
            with contextlib.suppress(OSError):
                file.settle(self._head, closed=True)
        elif not self._marked:
            file.drop_head()
        file.close()

    def _take(self) -> bool:
        """Wait for something to do. False where the end was asked for."""
        with self._wanted:
            if self._failing:
                self._wanted.wait_for(lambda: self._closing, RETRY_SECONDS)
            else:
                self._wanted.wait_for(lambda: self._records or self._unreported or self._unsynced or self._closing)
            return not self._closing

    def _chain(self) -> None:
        if self._outputs.path is None and self._outputs.lost_lines():
            return  # `_write` reports it; records wait as they do for a disk
        if not self._pending and not self._records:
            self._report_lost()
        while self._records:
            try:
                line, head = seal(self._records.popleft(), self._head)
            except (TypeError, ValueError):
                self._lose()
                self._outputs.tell(DefectMet("audit", traceback.format_exc()))
                continue
            self._add(line, head)

    def _add(self, line: bytes, head: ChainHead) -> None:
        """Take a line into the chain."""
        self._head = head
        if self._outputs.copy is not None:
            self._outputs.copy(line.decode("ascii"))
        if self._outputs.path is None:
            self._written += 1
        else:
            self._pending += line
            self._unwritten += 1

    def _write(self) -> None:
        """Append what is pending. What was not taken is gone on with later, at the very byte."""
        try:
            if self._outputs.path is None:
                with self._wanted:
                    self._chain()
            else:
                with self._disk:
                    head = self._append()
                self._sync(head)
        except OSError as error:
            self._fail(reason(error))
            return
        if self._outputs.path is None and self._outputs.lost_lines():
            with self._wanted:
                self._failing = False  # it is told each time: the first line that gets through shows that all is well
                self._fail("standard output takes no lines")
        elif self._failing:
            self._recovered()

    def _append(self) -> ChainHead:
        """Write all that waits. Returns the last line that the file has then."""
        with self._wanted:
            self._chain()
        self._reopen()
        self._mark_open()
        while self._pending:
            self._write_pending()
            with self._wanted:
                self._chain()
        self._hangs = self._unsynced = False
        return self._head

    def _write_pending(self) -> None:
        assert self._file is not None
        while self._pending:
            data = bytes(self._pending[:BATCH_BYTES])
            taken = self._file.write(data)
            whole = data.count(b"\n", 0, taken)
            with self._wanted:
                self._moved = monotonic()
                self._mid_line = data[taken - 1] != ord("\n")
                del self._pending[:taken]
                whole = min(whole, self._unwritten)
                self._unwritten -= whole
                self._written += whole

    def _sync(self, head: ChainHead) -> None:
        """Without `_disk`: the event loop may write meanwhile."""
        assert self._file is not None
        self._syncing = monotonic()
        try:
            self._file.settle(head)
        finally:
            self._syncing = 0.0

    def _mark_open(self) -> None:
        """Before the first record: the stream is not closed any longer."""
        assert self._file is not None
        if not self._marked:
            with contextlib.suppress(OSError):
                self._file.settle(self._file.end.head)
                self._marked = True

    def _reopen(self) -> None:
        """Follow a rotation: the chain goes on in the new file, once the line that was begun is whole."""
        path = self._outputs.path
        assert path is not None and self._file is not None
        if not self._mid_line and self._file.moved:
            fresh = AuditFile(path)
            self._file.sync()
            self._file.close()
            self._file = fresh

    def _recovered(self) -> None:
        with self._wanted:
            lost, self._unlogged, self._failing = self._unlogged, 0, False
        self._outputs.tell(AuditRecovered(lost))

    # --- either side, with the lock

    def _has_room(self, write: bool) -> bool:
        if write:
            return self._outputs.required or self._waiting < MAX_WAITING
        return self._waiting < MAX_WAITING + RESERVED

    def _lose(self) -> None:
        self._lost += 1
        self._unreported += 1
        self._unlogged += 1

    def _report_lost(self) -> None:
        """Put down, in the place of lost records, how many there were."""
        if self._unreported:
            self._records.append(self._outputs.make_note(LOST, {"lost": self._unreported}))
            self._unreported = 0

    def _fail(self, detail: str) -> None:
        """Tell it once, until all is written again."""
        with self._wanted:
            told, self._failing = self._failing, True
        if not told:
            self._outputs.tell(AuditFailed(detail, self._waiting))

    def _found(self) -> dict[str, Any]:
        """What the first record says of the file: a torn line that it follows, what was cut off, and whether the
        program before ended without closing it."""
        if self._file is None:
            return {}
        end = self._file.end
        torn = {TORN: digest_of(end.torn), "torn_bytes": len(end.torn)} if end.torn else {}
        unclosed = {UNCLOSED: True} if end.unclosed else {}
        return {**torn, **unclosed, **({"cut": end.cut} if end.cut else {})}
