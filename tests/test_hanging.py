"""A test that hangs, on pytest itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

HANGING = """
import threading


def test_another_one():
    pass


def test_that_waits_for_ever():
    threading.Event().wait()
"""


@pytest.mark.long
def test_a_test_that_hangs_ends_the_run(tmp_path: Path) -> None:
    """The error names the line at which it stood."""
    file = tmp_path / "test_it.py"
    file.write_text(HANGING)
    options = ("-p", "tests.support.hanging", "-p", "no:cacheprovider", "-q", "-o", "faulthandler_timeout=1")
    command = (sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, "-c", "/dev/null", file)
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert run.returncode == 1
    assert "Timeout (0:00:01)!" in run.stderr
    assert f'File "{file}", line 10 in test_that_waits_for_ever' in run.stderr
