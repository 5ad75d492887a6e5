"""What tells that a file changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import stamps_of
from proxy.config.reading.files import is_settled


def test_stamps_tell_replaced_touched_and_missing_files_apart(tmp_path: Path) -> None:
    """The cases: same size and time, but another file; the same file made readable; no file."""
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    before = stamps_of((file, other))
    assert set(before) == {file}
    file.chmod(0o600)
    touched = stamps_of((file, other))
    assert touched != before
    other.write_text("1")
    other.replace(file)
    assert stamps_of((file, other)) != touched


@pytest.mark.parametrize(
    ("written", "changed", "settled"), [(7.9, 7.9, True), (8.0, 7.9, False), (7.9, 8.0, False), (11.0, 7.9, False)]
)
def test_a_file_that_changed_a_moment_ago_may_change_again_unnoticed(
    written: float, changed: float, settled: bool
) -> None:
    """Within two seconds a file system may give the same time; nor does a time to come tell anything."""
    assert is_settled((int(written * 1e9), int(changed * 1e9), 1, 1, 1), 10.0) is settled
