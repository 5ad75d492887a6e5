"""The newest result of a report, for those who read it: read from the disk once for each publication."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proxy.reports.overview import NamedReports
from proxy.reports.store import Form, ReportFolder, ReportFolderError
from tests.support.named_reports import publish


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    return ReportFolder(tmp_path / "reports")


def test_a_result_is_read_once_for_each_publication(folder: ReportFolder) -> None:
    """Another one is seen at once; one that was removed is gone."""
    reports = NamedReports(folder, {"sp-daily": "default"}, 900.0)
    assert reports.newest("sp-daily") is None
    publish(folder, "sp-daily")
    first = reports.newest("sp-daily")
    assert first is not None
    assert reports.newest("sp-daily") is first
    publish(folder, "sp-daily", "r2")
    second = reports.newest("sp-daily")
    assert second is not None
    assert second.run == "r2"
    folder.drop_result("sp-daily")
    assert reports.newest("sp-daily") is None


def test_a_result_that_goes_while_it_is_opened_gives_the_next_one(
    folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remembered one has no file any more; only what is of the configured account is opened."""
    reports = NamedReports(folder, {"sp-daily": "default"}, 900.0)
    old = publish(folder, "sp-daily")
    monkeypatch.setattr(NamedReports, "newest", lambda self, name: old)
    publish(folder, "sp-daily", "r2")
    opened = reports.open("sp-daily", Form.CSV)
    assert opened is not None
    with opened.file:
        assert opened.result.run == "r2"
    publish(folder, "sp-daily", "r3", account="former")
    assert reports.open("sp-daily", Form.CSV) is None


def test_rows_that_are_missing_are_an_error(folder: ReportFolder) -> None:
    reports = NamedReports(folder, {"sp-daily": "default"}, 900.0)
    result = publish(folder, "sp-daily")
    (folder.path("sp-daily") / "results" / result.files[Form.CSV].name).unlink()
    with pytest.raises(ReportFolderError, match="missing"):
        reports.open("sp-daily", Form.CSV)


def test_a_result_that_could_not_be_read_for_a_moment_is_read_again(
    folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the process has no file descriptor left: without a newer result nothing else would read it."""
    reports = NamedReports(folder, {"sp-daily": "default"}, 900.0)
    publish(folder, "sp-daily")
    with monkeypatch.context() as failing:
        failing.setattr(Path, "read_bytes", _has_no_descriptor)
        assert reports.newest("sp-daily") is None
    assert reports.newest("sp-daily") is not None


def _has_no_descriptor(path: Path) -> bytes:
    raise OSError(errno.EMFILE, "Too many open files", str(path))
