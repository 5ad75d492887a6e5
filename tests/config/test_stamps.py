"""What tells that a file changed."""

from __future__ import annotations

from pathlib import Path

from proxy.config import stamps_of


def test_stamps_tell_replaced_touched_and_missing_files_apart(tmp_path: Path) -> None:
    """Same size and time, but another file; or the same file made readable; or none."""
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
