"""The audit stream on a disk that is full or hangs: what waits, what is refused, what is lost and where that shows."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path

import pytest

from proxy.audit import stream as audit_stream
from proxy.audit.chain import ChainHead
from proxy.audit.file import AuditFile
from proxy.events import AuditFailed, AuditRecovered
from tests.audit.test_stream import WAIT, ReportedLines, actions, begun, record, stream_to
from tests.support.processes import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


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
    disk, heard = FullDisk(path), ReportedLines()
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
    disk, heard = FullDisk(path), ReportedLines()
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
    heard = ReportedLines()
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
    heard = ReportedLines()
    stream = stream_to(path, heard, file=stalled)
    assert stalled.asked.wait(WAIT)
    for number in range(4):
        assert stream.takes_writes(unrecorded=3 - number)
        assert not stream.takes_writes(unrecorded=4 - number)
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
    heard = ReportedLines()
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


def test_no_write_begins_on_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one that meets it may leave its line, which is ended once there is room; the next ones leave none."""
    monkeypatch.setattr(audit_stream, "RETRY_SECONDS", 0.001)
    disk, heard = FullDisk(path), ReportedLines()
    disk.room = 1 << 20
    stream = stream_to(path, heard, file=disk)
    assert stream.begin(begun(1))
    disk.room = 20
    assert not stream.begin(begun(2))
    heard.wait_for(AuditFailed)
    assert not stream.begin(begun(3))
    disk.room = 1 << 20
    heard.wait_for(AuditRecovered)
    assert stream.begin(begun(4))
    stream.close()
    assert actions(path) == ["audit-opened", "1", "2", "4"]


def test_no_write_begins_on_a_disk_that_hangs(
    path: Path, stalled: StalledDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop waits for it once; later writes are refused without that."""
    monkeypatch.setattr(audit_stream, "BEGIN_SECONDS", 0.0)
    stream = stream_to(path, ReportedLines(), file=stalled)
    assert stalled.asked.wait(WAIT)
    assert not stream.begin(begun(1))
    monkeypatch.setattr(audit_stream, "BEGIN_SECONDS", 10 * WAIT)
    assert not stream.begin(begun(2))
    stalled.released.set()
    until(lambda: stream.begin(begun(3)))
    stream.close()
    assert actions(path) == ["audit-opened", "3"]


class SlowSync(AuditFile):
    """Takes lines, and hangs when it is to sync them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked, self.released = threading.Event(), threading.Event()

    def settle(self, head: ChainHead, *, closed: bool = False) -> None:
        if head.sequence:
            self.asked.set()
            assert self.released.wait(WAIT)
        super().settle(head, closed=closed)


def test_a_write_begins_while_the_disk_syncs_but_not_if_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file takes its line meanwhile; a disk that syncs nothing for seconds is one that hangs."""
    file = SlowSync(path)
    stream = stream_to(path, file=file)
    assert file.asked.wait(WAIT)
    assert stream.begin(begun(1))
    monkeypatch.setattr(audit_stream, "STALL_SECONDS", 0.0)
    assert not stream.begin(begun(2))
    file.released.set()
    stream.close()
    assert actions(path) == ["audit-opened", "1"]


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
