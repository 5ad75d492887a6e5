"""The writer of the audit stream: in order, off the path, through full disks, rotations and restarts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.audit import stream as audit_stream
from proxy.audit.chain import ChainHead, Examination, digest_of
from proxy.audit.file import AuditFile, SavedHead, head_path, read_head
from proxy.audit.stream import MAX_RECENT, AuditOutputs, AuditStream
from proxy.events import AuditFailed, AuditRecovered, Event
from tests.support.patience import PATIENCE

WAIT = PATIENCE


class ReportedLines:
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
    heard: ReportedLines | None = None,
    copied: list[str] | None = None,
    file: AuditFile | None = None,
    *,
    required: bool = True,
) -> AuditStream:
    file = file or (AuditFile(path) if path is not None else None)
    copy = None if copied is None else copied.append
    stream = AuditStream(AuditOutputs(path, file, copy, heard or ReportedLines(), note, required))
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
    assert read_head(path) == SavedHead(counts.head, closed=True)
    assert repr(stream) == "<AuditStream: writing, number 201, 0 waiting, 0 lost>"


def test_the_last_records_stay_in_memory(path: Path) -> None:
    """So many and no more, as they were taken, whether they are written or not."""
    stream = stream_to(path)
    for number in range(MAX_RECENT + 5):
        stream.put(record(number))
    assert stream.recent() == tuple(record(number) for number in range(5, MAX_RECENT + 5))
    stream.close()


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
    heard = ReportedLines()
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


def begun(number: int) -> Callable[[int, str], bytes]:
    """The line of a write that is about to leave."""

    def line_of(sequence: int, previous: str) -> bytes:
        record = {"event": {"sequence": sequence, "action": "begun"}, "n": number, "ads_proxy": {"previous": previous}}
        return json.dumps(record).encode() + b"\n"

    return line_of


def test_a_write_that_begins_is_in_the_file_at_once(path: Path) -> None:
    """Behind all that came before it, and before the thread has done anything about it."""
    stream = stream_to(path)
    for number in range(0, 300, 3):
        stream.put(record(number))
        stream.put(record(number + 1))
        assert stream.begin(begun(number + 2))
        assert json.loads(path.read_bytes().splitlines()[-1])["n"] == number + 2
    assert actions(path) == ["audit-opened", *map(str, range(300))]
    assert stream.close() == 0
    assert stream.counts().written == 301
    assert read_head(path) == SavedHead(stream.counts().head, closed=True)
    assert not stream.begin(begun(300))
    assert len(path.read_bytes().splitlines()) == 301


def test_a_write_that_only_began_is_synced_by_the_next_look(path: Path) -> None:
    """`FILE.head` names it then."""
    file = WatchedFile(path)
    stream = stream_to(path, file=file)
    for _ in ("marked as open", "written"):
        assert file.settled.acquire(timeout=WAIT)
    assert stream.begin(begun(1))
    stream.look()
    assert file.settled.acquire(timeout=WAIT)
    assert read_head(path) == SavedHead(ChainHead(2, digest_of(path.read_bytes().splitlines()[-1])), closed=False)
    stream.close()


def test_a_rotation_after_a_write_began_is_followed(path: Path) -> None:
    """Its line stays in the old file, and what became of it is in the new one."""
    old, stream = path.with_suffix(".1"), stream_to(path)
    assert stream.begin(begun(1))
    path.rename(old)
    assert stream.begin(begun(2))
    stream.put(record(3))
    stream.close()
    assert actions(old, path) == ["audit-opened", "1", "2", "3"]


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
    heard, output = ReportedLines(), Output()
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
    heard = ReportedLines()
    head_path(path).mkdir()
    stream = stream_to(path, heard)
    stream.put(record(1))
    heard.wait_for(AuditFailed)
    assert stream.close() == 0
    assert actions(path) == ["audit-opened", "1"]


def test_a_defect_is_told(path: Path) -> None:
    """A record that cannot be written as JSON is lost, and no other."""
    heard = ReportedLines()
    stream = stream_to(path, heard)
    stream.put({"event": {"action": object()}})
    stream.put(record(1))
    assert stream.close() == 0
    assert [type(each).__name__ for each in heard.events] == ["DefectMet"]
    assert stream.counts().lost == 1
    gaps = ("reports 1 lost records before it",)
    assert sorted(actions(path, gaps=gaps)) == ["1", "audit-lost", "audit-opened"]
