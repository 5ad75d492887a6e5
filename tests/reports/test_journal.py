"""How far a run is survives anything: torn lines, restarts, and files that cannot be read."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from proxy.reports.journal import (
    EMPTY,
    KeptProfile,
    KeptRows,
    OrderState,
    OrderStep,
    RunJournal,
    RunPlan,
    after,
    read_kept,
    write_kept,
)
from proxy.reports.store import ReportFolderError
from proxy.reports.templates import PlannedOrder
from tests.reports.reporting import DE, US

FIRST = PlannedOrder("11", "na", "2026-10-01", "2026-10-31")
SECOND = PlannedOrder("22", "eu", "2026-10-01", "2026-10-31")
PLAN = RunPlan("r1", 5.0, "digest", ("Europe/Berlin", ""), (US, DE), (FIRST, SECOND), ("11", "22"), ("99",))


def resumed(folder: Path) -> RunJournal:
    journal = RunJournal.resume(folder)
    assert journal is not None
    journal.close()
    return journal


def test_a_run_is_resumed_as_it_was(tmp_path: Path) -> None:
    journal = RunJournal.begin(tmp_path, PLAN)
    journal.note(FIRST, OrderStep.ASKED)
    journal.note(FIRST, OrderStep.ORDERED, id="abc", at=7.0)
    journal.note(SECOND, OrderStep.ASKED)
    journal.close()
    again = resumed(tmp_path)
    assert again.plan == PLAN
    assert again.state(FIRST) == journal.state(FIRST) == OrderState(OrderStep.ORDERED, "abc", 7.0)
    assert again.state(SECOND) == OrderState(OrderStep.ASKED)
    assert repr(again) == "<RunJournal of r1: 0 of 2 orders are over>"


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_line_that_was_cut_counts_as_not_written(tmp_path: Path, cut: int) -> None:
    """And what is written after it is read again."""
    journal = RunJournal.begin(tmp_path, PLAN)
    journal.note(FIRST, OrderStep.ASKED)
    journal.note(FIRST, OrderStep.ORDERED, id="abc", at=7.0)
    journal.close()
    path = tmp_path / "run"
    path.write_bytes(path.read_bytes()[:-cut])
    again = RunJournal.resume(tmp_path)
    assert again is not None
    assert again.state(FIRST) == OrderState(OrderStep.ASKED)
    again.note(SECOND, OrderStep.FAILED, error="refused")
    again.close()
    assert resumed(tmp_path).state(SECOND).error == "refused"


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"run": "r1"}\n', b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_run_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    assert RunJournal.resume(tmp_path) is None
    (tmp_path / "run").write_bytes(content)
    assert RunJournal.resume(tmp_path) is None


def test_a_run_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    """Whose orders name no ads account."""
    RunJournal.begin(tmp_path, PLAN).close()
    plan = json.loads((tmp_path / "run").read_text())
    for order in plan["orders"]:
        del order["ads_account"], order["country"]
    (tmp_path / "run").write_text(json.dumps(plan) + "\n")
    assert resumed(tmp_path).plan == PLAN


def test_a_run_that_ended_is_none(tmp_path: Path) -> None:
    journal = RunJournal.begin(tmp_path, PLAN)
    journal.end()
    journal.close()
    assert RunJournal.resume(tmp_path) is None


def test_the_steps_of_an_order() -> None:
    """An order that Amazon failed to make has no id any more."""
    state = OrderState()
    for entry in (
        {"step": "asked"},
        {"step": "ordered", "id": "abc", "at": 1.0},
        {"step": "rejected", "error": "Amazon failed."},
    ):
        state = after(state, entry)
    assert state == OrderState(OrderStep.REJECTED, "", 1.0, 1, error="Amazon failed.")
    assert not state.is_over
    kept = after(after(state, {"step": "ordered", "id": "def", "at": 2.0}), {"step": "kept", "rows": 3, "part": "p"})
    assert kept == OrderState(OrderStep.KEPT, "def", 2.0, 1, 3, "p", "Amazon failed.")
    assert kept.is_over


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    journal = RunJournal(Path("/dev/full"), PLAN, {})
    with pytest.raises(ReportFolderError, match="No space left"):
        journal.note(FIRST, OrderStep.ASKED)
    journal.close()
    with pytest.raises(ReportFolderError):
        RunJournal.begin(tmp_path / "missing", PLAN)


def test_a_step_of_which_the_disk_takes_a_part_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes the rest, or is full: no half line counts as a step."""
    journal, write = RunJournal.begin(tmp_path, PLAN), os.write
    taken = iter((20, 1000, 20))

    def take(descriptor: int, data: bytes) -> int:
        size = next(taken, None)
        if size is None:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:size])

    monkeypatch.setattr(os, "write", take)
    journal.note(FIRST, OrderStep.ASKED)
    with pytest.raises(ReportFolderError):
        journal.note(FIRST, OrderStep.ORDERED, id="id-1", at=1.0)
    journal.close()
    assert journal.state(FIRST) == resumed(tmp_path).state(FIRST) == OrderState(OrderStep.ASKED)


def test_nothing_is_written_behind_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full for a moment while several orders went on: what was noted before is read again."""
    journal, write = RunJournal.begin(tmp_path, PLAN), os.write
    journal.note(FIRST, OrderStep.ASKED)
    journal.note(FIRST, OrderStep.ORDERED, id="id-1", at=1.0)

    def take_half(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:-10])

    with monkeypatch.context() as full:
        full.setattr(os, "write", take_half)
        with pytest.raises(ReportFolderError):
            journal.note(SECOND, OrderStep.ASKED)
    with pytest.raises(ReportFolderError):
        journal.note(FIRST, OrderStep.KEPT, rows=1, part="part")
    journal.close()
    again = resumed(tmp_path)
    assert again.state(FIRST) == journal.state(FIRST) == OrderState(OrderStep.ORDERED, "id-1", 1.0)
    assert again.state(SECOND) == OrderState()


def test_rows_of_which_nothing_is_said_are_removed(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("old", "new"):
        (parts / name).write_bytes(b"rows")
    kept = KeptRows({"11": KeptProfile(US, "2026-10-01", "2026-10-31", 5, 8.0, stale=True, parts=("new",))}, {"": 5.0})
    write_kept(tmp_path, kept)
    assert read_kept(tmp_path) == kept
    assert [path.name for path in parts.iterdir()] == ["new"]


@pytest.mark.parametrize("content", ["", "[]", '{"profiles": {"11": {}}, "ran": {}}', '{"profiles": {}}'])
def test_what_cannot_be_read_keeps_nothing(tmp_path: Path, content: str) -> None:
    assert read_kept(tmp_path) is EMPTY
    (tmp_path / "kept.json").write_text(content)
    assert read_kept(tmp_path) is EMPTY
