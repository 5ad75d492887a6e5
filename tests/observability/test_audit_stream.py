"""The writer of the audit stream: in order, off the path, through full disks, rotations and restarts."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.events import Event
from proxy.observability import audit_stream
from proxy.observability.audit_chain import ChainHead, Examination
from proxy.observability.audit_events import AuditFailed, AuditRecovered
from proxy.observability.audit_file import AuditFile, NotedHead, head_path, read_head
from proxy.observability.audit_stream import AuditOutputs, AuditStream

WAIT = 10.0


class Heard:
    """What the stream told, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, kind: type[Event]) -> Event:
        with self._changed:
            assert self._changed.wait_for(lambda: any(isinstance(each, kind) for each in self.events), WAIT)
            return next(each for each in self.events if isinstance(each, kind))


def note(action: str, said: Mapping[str, Any]) -> dict[str, Any]:
    return {"event": {"action": action}, "ads_proxy": dict(said)}


def record(number: int) -> dict[str, Any]:
    return {"event": {"action": "write"}, "n": number}


def stream_to(
    path: Path | None,
    heard: Heard | None = None,
    copied: list[str] | None = None,
    file: AuditFile | None = None,
    *,
    required: bool = True,
) -> AuditStream:
    file = file or (AuditFile(path) if path is not None else None)
    copy = None if copied is None else copied.append
    stream = AuditStream(AuditOutputs(path, file, copy, heard or Heard(), note, required))
    stream.start()
    return stream


def actions(*paths: Path, gaps: tuple[str, ...] = ()) -> list[str]:
    """What the records say, after the chain was found whole but for these gaps."""
    found = Examination()
    lines = []
    for path in paths:
        content = path.read_bytes().splitlines(keepends=True)
        found.feed(path.name, content)
        lines += content
    assert tuple(each.text for each in found.breaks) == gaps
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            assert found.torn
    return [f"{each['n']}" if "n" in each else each["event"]["action"] for each in records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_records_are_written_in_order(path: Path) -> None:
    """Each once, behind a word of the stream's own; what the last was is noted beside the file."""
    stream = stream_to(path)
    for number in range(200):
        stream.put(record(number))
    assert stream.close() == 0
    assert actions(path) == ["audit-opened", *map(str, range(200))]
    counts = stream.counts()
    assert (counts.written, counts.lost, counts.failing) == (201, 0, False)
    assert read_head(path) == NotedHead(counts.head, closed=True)
    assert repr(stream) == "<AuditStream: writing, number 201, 0 waiting, 0 lost>"


def test_a_restart_goes_on_with_the_chain(path: Path) -> None:
    """The next record follows the last line of the file."""
    for number in range(3):
        stream = stream_to(path)
        stream.put(record(number))
        stream.close()
    assert actions(path) == ["audit-opened", "0", "audit-opened", "1", "audit-opened", "2"]


def test_a_torn_last_line_is_ended_and_told(path: Path) -> None:
    """As a crash leaves it: nothing is taken out of the file, and the next record says what is no record."""
    stream = stream_to(path)
    stream.put(record(1))
    stream.close()
    with path.open("ab") as file:
        file.write(b'{"@timestamp":"2026')
    stream = stream_to(path)
    stream.put(record(2))
    stream.close()
    lines = path.read_bytes().splitlines()
    assert lines[2] == b'{"@timestamp":"2026'
    assert json.loads(lines[3])["ads_proxy"]["torn_bytes"] == 19
    assert actions(path) == ["audit-opened", "1", "audit-opened", "2"]


def test_a_second_crash_right_behind_the_first_breaks_no_chain(path: Path) -> None:
    """The torn line got its end, and the record that tells of it did not get out."""
    stream = stream_to(path)
    stream.put(record(1))
    stream.close()
    with path.open("ab") as file:
        file.write(b'{"@timestamp":"2026\n')
    stream = stream_to(path)
    stream.put(record(2))
    stream.close()
    assert path.read_bytes().count(b"\n\n") == 0
    assert actions(path) == ["audit-opened", "1", "audit-opened", "2"]


def test_a_cut_before_a_restart_stays_to_be_seen(path: Path) -> None:
    """The first record after it says so, and its number leaves the gap."""
    stream = stream_to(path)
    for number in range(5):
        stream.put(record(number))
    stream.close()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    stream_to(path).close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[3])["ads_proxy"]["cut"] == "it ends with number 3, and 6 was written"
    found = Examination()
    found.feed("audit.jsonl", lines)
    assert [(each.line, each.text) for each in found.breaks] == [(4, "is number 7 after 3: 3 before it are missing")]


def test_a_start_after_a_kill_is_recorded(path: Path) -> None:
    """The stream was not closed, so the last records of the program before may be missing; the next start is quiet."""
    stream = stream_to(path)
    stream.put(record(1))
    stream.close()
    head = json.loads(head_path(path).read_text())
    head_path(path).write_text(json.dumps({**head, "closed": False}))
    stream_to(path).close()
    stream_to(path).close()
    opened = [json.loads(line)["ads_proxy"] for line in path.read_bytes().splitlines()[2:]]
    assert [each.get("unclosed", False) for each in opened] == [True, False]
    assert actions(path) == ["audit-opened", "1", "audit-opened", "audit-opened"]


def test_a_rotation_is_followed(path: Path) -> None:
    """The chain goes from the old file to the new one, which is private too; also across a restart."""
    heard = Heard()
    stream = stream_to(path, heard)
    stream.put(record(1))
    stream.close()
    old = path.with_suffix(".1")
    path.rename(old)
    stream = stream_to(path)
    stream.put(record(2))
    stream.close()
    assert actions(old, path) == ["audit-opened", "1", "audit-opened", "2"]
    assert path.stat().st_mode & 0o777 == 0o600


class WatchedFile(AuditFile):
    """Tells when something was written and is held."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.settled = threading.Semaphore(0)

    def settle(self, head: ChainHead, *, closed: bool = False) -> None:
        super().settle(head, closed=closed)
        self.settled.release()


def test_a_rotation_while_it_runs_is_followed(path: Path) -> None:
    """Without a signal: the next record finds the path leading elsewhere."""
    file, old = WatchedFile(path), path.with_suffix(".1")
    stream = stream_to(path, file=file)
    for _ in ("marked as open", "written"):
        assert file.settled.acquire(timeout=WAIT)
    path.rename(old)
    stream.put(record(1))
    stream.close()
    assert actions(old, path) == ["audit-opened", "1"]


class FullDisk(AuditFile):
    """Takes no more than `room` bytes until there is some more."""

    room = 0

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(data[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_loses_nothing_that_fits_into_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once; what was begun is ended at the very byte when there is room again."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    disk, heard = FullDisk(path), Heard()
    disk.room = 333
    stream = stream_to(path, heard, file=disk)
    for number in range(20):
        stream.put(record(number))
    failed = heard.wait_for(AuditFailed)
    assert isinstance(failed, AuditFailed) and failed.detail == "No space left on device"
    assert stream.counts().failing
    disk.room = 1 << 20
    recovered = heard.wait_for(AuditRecovered)
    assert recovered == AuditRecovered(0)
    stream.close()
    assert actions(path) == ["audit-opened", *map(str, range(20))]
    assert [type(each) for each in heard.events] == [AuditFailed, AuditRecovered]


def test_what_does_not_fit_is_counted_and_told_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in the place of those that a full disk cost says how many they were, and the log does."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(audit_stream, "MAX_WAITING", 5)
    disk, heard = FullDisk(path), Heard()
    stream = stream_to(path, heard, file=disk, required=False)
    heard.wait_for(AuditFailed)
    for number in range(9):
        stream.put(record(number), write=True)
    assert stream.counts().lost == 5
    disk.room = 1 << 20
    assert heard.wait_for(AuditRecovered) == AuditRecovered(5)
    stream.put(record(9), write=True)
    stream.close()
    gaps = ("reports 5 lost records before it",)
    assert actions(path, gaps=gaps) == ["audit-opened", "0", "1", "2", "3", "audit-lost", "9"]


class StalledDisk(AuditFile):
    """Takes nothing and reports nothing until it is released, as a disk that hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked, self.released = threading.Event(), threading.Event()

    def write(self, data: bytes) -> int:
        self.asked.set()
        assert self.released.wait(WAIT)
        return super().write(data)


@pytest.fixture
def stalled(path: Path, monkeypatch: pytest.MonkeyPatch) -> StalledDisk:
    """A disk that hangs, with room for five records to wait for it, and for two that are not of writes."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(audit_stream, "MAX_WAITING", 5)
    monkeypatch.setattr(audit_stream, "RESERVED", 2)
    return StalledDisk(path)


def test_records_that_a_stalled_disk_costs_are_reported(path: Path, stalled: StalledDisk) -> None:
    """In the log when the memory is full and when all is written, and by a record in their place."""
    heard = Heard()
    stream = stream_to(path, heard, file=stalled, required=False)
    assert stalled.asked.wait(WAIT)
    for number in range(9):
        stream.put(record(number), write=True)
    failed = heard.wait_for(AuditFailed)
    assert isinstance(failed, AuditFailed)
    assert failed.detail == "5 records wait for the disk, and further records are lost until it takes them"
    assert (stream.counts().lost, stream.counts().failing) == (5, True)
    stalled.released.set()
    assert heard.wait_for(AuditRecovered) == AuditRecovered(5)
    stream.close()
    gaps = ("reports 5 lost records before it",)
    assert actions(path, gaps=gaps) == ["audit-opened", "0", "1", "2", "3", "audit-lost"]


def test_required_records_of_writes_are_never_lost(path: Path, stalled: StalledDisk) -> None:
    """No further write may leave once the memory is full; those under way have their record kept."""
    heard = Heard()
    stream = stream_to(path, heard, file=stalled)
    assert stalled.asked.wait(WAIT)
    for number in range(4):
        assert stream.takes_writes()
        stream.put(record(number), write=True)
    assert not stream.takes_writes()
    for number in range(4, 8):
        stream.put(record(number), write=True)
    assert stream.counts().lost == 0
    stalled.released.set()
    heard.wait_for(AuditRecovered)
    assert stream.takes_writes()
    stream.close()
    assert actions(path) == ["audit-opened", *map(str, range(8))]


def test_writes_go_on_where_records_are_not_required(path: Path, stalled: StalledDisk) -> None:
    """`audit.required: false`: a full memory refuses nothing."""
    stream = stream_to(path, file=stalled, required=False)
    for number in range(9):
        stream.put(record(number), write=True)
    assert stream.takes_writes()
    stalled.released.set()
    stream.close()


def test_records_of_what_cannot_be_refused_have_places_of_their_own(path: Path, stalled: StalledDisk) -> None:
    """A sign-in is recorded while writes are refused; beyond these places it is lost and reported."""
    stream = stream_to(path, file=stalled)
    for number in range(4):
        stream.put(record(number), write=True)
    for number in range(4, 7):
        stream.put(record(number))
    stalled.released.set()
    stream.close()
    gaps = ("reports 1 lost records before it",)
    assert actions(path, gaps=gaps) == ["audit-opened", *map(str, range(6)), "audit-lost"]


def test_a_disk_that_hangs_is_reported(path: Path, stalled: StalledDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one record that waits, long before the memory is full; `audit_failing` is set until it is written."""
    monkeypatch.setattr(audit_stream, "STALL_SECONDS", 0.0)
    heard = Heard()
    stream = stream_to(path, heard, file=stalled)
    assert stalled.asked.wait(WAIT)
    stream.look()
    failed = heard.wait_for(AuditFailed)
    assert isinstance(failed, AuditFailed) and failed.detail == "the disk has taken no record for 0 seconds"
    assert stream.counts().failing
    stalled.released.set()
    heard.wait_for(AuditRecovered)
    stream.look()
    stream.close()
    assert [type(each) for each in heard.events] == [AuditFailed, AuditRecovered]


def test_an_end_with_records_that_could_not_be_written_is_no_close(path: Path) -> None:
    """The next start reports it."""
    stream = stream_to(path, file=FullDisk(path))
    stream.put(record(1))
    assert stream.close(WAIT) == 2
    stream_to(path).close()
    (opened,) = path.read_bytes().splitlines()
    assert json.loads(opened)["ads_proxy"]["unclosed"] is True


class NoSpace(FullDisk):
    """A disk without room for `FILE.head` either."""

    def settle(self, head: ChainHead, *, closed: bool = False) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_was_full_from_the_start_is_reported_by_the_next_start(path: Path) -> None:
    """`FILE.head` says that the stream was closed, and cannot be written: it is removed."""
    stream_to(path).close()
    stream = stream_to(path, file=NoSpace(path))
    stream.put(record(1))
    assert stream.close(WAIT) == 2
    stream_to(path).close()
    opened = json.loads(path.read_bytes().splitlines()[-1])["ads_proxy"]
    assert opened["cut"].startswith("there is no audit.jsonl.head")


def test_an_end_on_a_full_disk_says_how_much_was_lost(path: Path) -> None:
    """Nobody waits for it for ever."""
    stream = stream_to(path, file=FullDisk(path))
    stream.put(record(1))
    assert stream.close(WAIT) == 2


def test_lines_are_copied_as_they_are(path: Path) -> None:
    """Standard output has the very lines of the file."""
    copied: list[str] = []
    stream = stream_to(path, copied=copied)
    stream.put(record(1))
    stream.close()
    assert "".join(copied).encode() == path.read_bytes()


def test_standard_output_alone_has_a_chain_of_its_own(tmp_path: Path) -> None:
    """It begins anew with the program, as there is nothing to go on with."""
    copied: list[str] = []
    stream = stream_to(None, copied=copied)
    stream.put(record(1))
    assert stream.close() == 0
    found = Examination()
    found.feed("output", [line.encode() for line in copied])
    assert (found.records, found.breaks) == (2, [])
    assert list(tmp_path.iterdir()) == []


class Output:
    """Standard output, and how many lines it has lost lately."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost = 0


def test_records_wait_for_a_standard_output_that_loses_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are handed over when it takes lines again; without a file they would be nowhere."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(audit_stream, "MAX_WAITING", 3)
    heard, output = Heard(), Output()
    output.lost = 7
    outputs = AuditOutputs(None, None, output.lines.append, heard, note, lost_lines=lambda: output.lost)
    stream = AuditStream(outputs)
    stream.start()
    failed = heard.wait_for(AuditFailed)
    assert isinstance(failed, AuditFailed) and failed.detail == "standard output takes no lines"
    assert stream.takes_writes()
    for number in range(2):
        stream.put(record(number), write=True)
    assert not stream.takes_writes()
    output.lost = 0
    assert heard.wait_for(AuditRecovered) == AuditRecovered(0)
    assert stream.close() == 0
    found = Examination()
    found.feed("output", [line.encode() for line in output.lines])
    assert (found.records, found.breaks) == (3, [])


def test_a_head_that_cannot_be_noted_is_told(path: Path) -> None:
    """The records are written nevertheless."""
    heard = Heard()
    head_path(path).mkdir()
    stream = stream_to(path, heard)
    stream.put(record(1))
    heard.wait_for(AuditFailed)
    assert stream.close() == 0
    assert actions(path) == ["audit-opened", "1"]


def test_a_defect_is_told(path: Path) -> None:
    """A record that cannot be written as JSON is lost, and no other."""
    heard = Heard()
    stream = stream_to(path, heard)
    stream.put({"event": {"action": object()}})
    stream.put(record(1))
    assert stream.close() == 0
    assert [type(each).__name__ for each in heard.events] == ["DefectMet"]
    assert stream.counts().lost == 1
    gaps = ("reports 1 lost records before it",)
    assert sorted(actions(path, gaps=gaps)) == ["1", "audit-lost", "audit-opened"]
