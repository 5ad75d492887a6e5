"""PEM gets a path for as long as a library reads it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.net.pem import as_file

PEM = b"-----BEGIN CERTIFICATE-----\n" * 100_000


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_was_read_has_a_path_and_loses_it(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory where the system can; elsewhere in a file that only this user reads. Nothing is left behind."""
    if not in_memory:
        monkeypatch.setattr(sys, "platform", "darwin")
    with as_file(PEM) as path:
        assert Path(path).read_bytes() == PEM
        assert path.startswith("/proc/") == (in_memory and sys.platform == "linux")
        assert in_memory or Path(path).stat().st_mode & 0o077 == 0
    assert not Path(path).exists()
