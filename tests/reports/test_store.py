"""The folder of results: what is published stays whole, and nothing leads out of the folder."""

from __future__ import annotations

import errno
import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.reports.store import (
    Form,
    ProfileRows,
    ReportFolder,
    ReportFolderError,
    Result,
    ResultFile,
    Run,
    RunnerStatus,
    RunProgress,
    RunResult,
    State,
)

STALE = ProfileRows("12", "DE", "EUR", "2026-10-01", "2026-10-30", 0, 0.0, stale=True)
STATUS = RunnerStatus(
    "sp-daily",
    State.RUNNING,
    20.0,
    "Waits for Amazon.",
    30.0,
    19.0,
    RunProgress(4, 2, 1),
    (Run("r0", 1.0, 2.0, RunResult.PARTIAL, 7, ("Profile 12: Amazon answered 500.",)),),
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    return ReportFolder(tmp_path / "reports")


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def published(folder: ReportFolder, run: str, text: str = "a\n") -> Result:
    """A result whose forms hold this text."""
    results = folder.adopt("sp-daily", "main") / "results"
    files = {}
    for form in Form:
        (results / f"{run}.{form}.gz").write_bytes(gzip.compress(text.encode()))
        files[form] = ResultFile(f"{run}.{form}.gz", len(text), "digest", 9)
    days = "2026-10-01", "2026-10-30"
    result = Result("sp-daily", run, "main", 5.0, ("date", "cost"), 1, *days, (STALE,), files, {"preset": "x"})
    folder.publish(result)
    return result


def test_what_was_published_is_read(folder: ReportFolder) -> None:
    result = published(folder, "r1")
    assert folder.result("sp-daily") == result
    assert result.stale == ("12",)
    assert (folder.names(), folder.account("sp-daily")) == (("sp-daily",), "main")


def test_a_status_is_read_as_it_was_told(folder: ReportFolder) -> None:
    folder.tell(STATUS)
    assert folder.status("sp-daily") == STATUS


def test_an_open_result_survives_the_next_one(folder: ReportFolder) -> None:
    """Its file is gone, and still readable; the next one has another version."""
    published(folder, "r1", "one\n")
    opened, version = folder.open("sp-daily", Form.CSV), folder.version("sp-daily")
    published(folder, "r2", "two\n")
    assert opened is not None
    with opened.file:
        assert gzip.decompress(opened.file.read()) == b"one\n"
    assert names_in(folder.path("sp-daily") / "results") == ["r2.csv.gz", "r2.jsonl.gz"]
    assert folder.version("sp-daily") != version


def test_an_overtaken_reader_gets_the_newer_result(folder: ReportFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the manifest and opening the file, another result is published."""
    old = published(folder, "r1")
    new = published(folder, "r2")
    answers = iter((old, new))
    monkeypatch.setattr(ReportFolder, "result", lambda *_: next(answers))
    opened = folder.open("sp-daily", Form.JSONL)
    assert opened is not None
    opened.file.close()
    assert opened.result == new


def test_rows_that_are_missing_are_reported(folder: ReportFolder) -> None:
    result = published(folder, "r1")
    (folder.path("sp-daily") / "results" / result.files[Form.CSV].name).unlink()
    with pytest.raises(ReportFolderError, match="run the report again"):
        folder.open("sp-daily", Form.CSV)


def test_nothing_is_readable_by_others(folder: ReportFolder) -> None:
    published(folder, "r1")
    folder.tell(STATUS)
    folder.ask_for_run("sp-daily")
    modes = {path: path.stat().st_mode & 0o777 for path in folder.directory.rglob("*")}
    written = {path for path in modes if path.parent.name != "results"}
    assert {modes[path] for path in written if path.is_dir()} == {0o700}
    assert {modes[path] for path in written if path.is_file()} == {0o600}


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\0b", "x" * 65])
def test_no_name_leads_out_of_the_folder(folder: ReportFolder, name: str) -> None:
    for ask in (folder.status, folder.result, folder.ask_for_run, folder.remove, folder.version):
        with pytest.raises(ValueError, match="is not the name of a report"):
            ask(name)


def test_a_link_in_the_place_of_a_folder_is_not_followed(folder: ReportFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.directory.mkdir()
    (folder.directory / "sp-daily").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReportFolderError, match="is not a folder of this user"):
        folder.ask_for_run("sp-daily")
    assert names_in(tmp_path / "elsewhere") == []


def test_a_folder_that_others_can_read_is_not_used(folder: ReportFolder) -> None:
    published(folder, "r1")
    folder.path("sp-daily").chmod(0o755)
    with pytest.raises(ReportFolderError, match="chmod 700"):
        folder.tell(STATUS)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"report": "sp-daily"}', "[" * 100_000])
def test_a_damaged_file_counts_as_missing(folder: ReportFolder, content: str) -> None:
    published(folder, "r1")
    for file in ("result.json", "status.json"):
        (folder.path("sp-daily") / file).write_text(content)
    assert (folder.result("sp-daily"), folder.status("sp-daily")) == (None, None)
    assert folder.open("sp-daily", Form.CSV) is None


def test_a_run_is_asked_for_once(folder: ReportFolder) -> None:
    folder.ask_for_run("sp-daily")
    folder.ask_for_run("sp-daily")
    assert folder.run_is_asked_for("sp-daily")
    assert [folder.take_request("sp-daily") for _ in range(2)] == [True, False]
    assert not folder.run_is_asked_for("sp-daily")


def test_a_run_is_asked_for_while_the_runner_sweeps(folder: ReportFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It removes what a killed program left half written, and cannot know that this one lives."""
    published(folder, "r1")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: folder.sweep("sp-daily"))
    folder.ask_for_run("sp-daily")
    assert folder.run_is_asked_for("sp-daily")


def test_another_account_gets_an_empty_folder(folder: ReportFolder) -> None:
    """An entry that was given another account must not serve the rows of the one before."""
    published(folder, "r1")
    folder.adopt("sp-daily", "other")
    assert (folder.result("sp-daily"), folder.account("sp-daily")) == (None, "other")


def test_data_of_an_account_that_cannot_be_read_is_removed(folder: ReportFolder) -> None:
    """It may be any account's."""
    published(folder, "r1")
    (folder.path("sp-daily") / "account").write_bytes(b"\xff")
    folder.adopt("sp-daily", "main")
    assert (folder.result("sp-daily"), folder.account("sp-daily")) == (None, "main")


def test_reports_without_an_entry_are_removed(folder: ReportFolder) -> None:
    """Only folders of ours: `account` is what tells them."""
    published(folder, "r1")
    (folder.directory / "mine").mkdir()
    assert folder.remove_others(["other"]) == ("sp-daily",)
    assert [path.name for path in folder.directory.iterdir()] == ["mine"]


@pytest.mark.parametrize("steps", range(7))
def test_a_removal_that_is_cut_off_leaves_no_data_without_its_account(
    steps: int, folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start finds it, and does not take it for another account's."""
    path = folder.path("daily")
    (path / "parts").mkdir(parents=True, mode=0o700)
    for name in ("kept.json", "parts/rows", "run", "account"):
        (path / name).write_text("one")
    left = [None] * steps

    def remove(real: Callable[..., None]) -> Callable[..., None]:
        def step(*given: object, **named: object) -> None:
            if not left:
                raise OSError(errno.EIO, "cut off")
            left.pop()
            real(*given, **named)

        return step

    with monkeypatch.context() as cut:
        cut.setattr(os, "unlink", remove(os.unlink))
        cut.setattr(os, "rmdir", remove(os.rmdir))
        with pytest.raises(ReportFolderError):
            folder.remove("daily")
    assert folder.names() == ("daily",) or not any(path.rglob("*"))
    folder.remove("daily")
    assert not path.exists()


def test_leftovers_of_a_killed_program_are_removed(folder: ReportFolder) -> None:
    published(folder, "r1")
    at = folder.path("sp-daily")
    (at / "results" / "r2.csv.gz").write_bytes(b"half")
    (at / ".new-1234").write_bytes(b"half")
    folder.sweep("sp-daily")
    assert names_in(at / "results") == ["r1.csv.gz", "r1.jsonl.gz"]
    assert not (at / ".new-1234").exists()


def test_an_old_result_goes_with_the_rows_it_was_made_of(folder: ReportFolder) -> None:
    published(folder, "r1")
    (folder.path("sp-daily") / "parts" / "x").write_bytes(b"rows")
    assert folder.size() > 0
    folder.drop_result("sp-daily")
    assert sorted(path.name for path in folder.path("sp-daily").rglob("*")) == ["account", "parts", "results"]


def test_a_disk_that_cannot_be_written_is_reported(folder: ReportFolder) -> None:
    folder.directory.write_text("a file")
    with pytest.raises(ReportFolderError, match=r"Results cannot be kept: .*reports\.keep\.dir"):
        folder.tell(replace(STATUS, history=()))
