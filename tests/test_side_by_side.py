"""What tests in several processes tell, on pytest itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

PASSING = """
import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def shared():
    print("made")
    return os.getpid()


@pytest.mark.parametrize("number", range(3))
def test_it(number, shared, tmp_path):
    assert shared == os.getpid()
    (tmp_path / "file").write_text(str(os.getpid()))
    with pathlib.Path("pids").open("a") as pids:
        print(os.getpid(), file=pids)
"""
FAILING = """
def test_it():
    print("this was printed")
    raise ValueError
"""
WRITELESS = """
import os


def test_it(monkeypatch):
    monkeypatch.setattr(os, "write", None)
"""
SKIPPED = """
import pytest


def test_it():
    pytest.skip("a program is missing")
"""
ENDING = """
import os


def test_it():
    os._exit(3)


def test_another_one():
    pass
"""


def run(folder: Path, **files: str) -> tuple[int, str]:
    """The exit code and the output of pytest with these files, two at a time."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    options = ("-p", "tests.support.side_by_side", "--processes", "2", "-p", "no:cacheprovider", "-q")
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = (sys.executable, "-m", "pytest", *options, "--rootdir", folder, "-c", "/dev/null", "--junit-xml=it.xml")
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_each_test_runs_once_in_another_process(tmp_path: Path) -> None:
    """All tests of a file in the same one; what they share is made there, and their folders are apart."""
    code, said = run(tmp_path, **dict.fromkeys(("one", "two", "three", "four"), PASSING))
    assert (code, "12 passed" in said) == (0, True), said
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 12
    assert 1 <= len(set(pids)) <= 2
    assert (tmp_path / "it.xml").read_text().count("<testcase ") == 12


def test_a_failure_is_told_with_what_was_printed(tmp_path: Path) -> None:
    """By the process that collected the tests, whose exit code is that of a failure."""
    code, said = run(tmp_path, one=PASSING, two=FAILING)
    assert code == 1
    assert "1 failed, 3 passed" in said
    assert "this was printed" in said
    assert said.count("raise ValueError") == 1


def test_what_a_test_does_to_writes_keeps_nothing_from_being_told(tmp_path: Path) -> None:
    """What came of it is told before that is undone."""
    code, said = run(tmp_path, one=WRITELESS, two=WRITELESS)
    assert (code, "2 passed" in said) == (0, True), said


def test_a_skipped_test_is_told_with_its_reason(tmp_path: Path) -> None:
    """The tests behind it run, and the report for machines has it."""
    code, said = run(tmp_path, one=SKIPPED, two=PASSING)
    assert (code, "3 passed, 1 skipped" in said) == (0, True), said
    assert "a program is missing" in (tmp_path / "it.xml").read_text()


@pytest.mark.parametrize("files", [{"one": ENDING}, {"one": ENDING, "two": PASSING}])
def test_a_process_that_ends_fails_its_test(tmp_path: Path, files: dict[str, str]) -> None:
    """No test that did not run passes, and the others run."""
    code, said = run(tmp_path, **files)
    assert code == 1
    assert re.search(r"test_one.py::test_it - .*ended with 3", said), said
    assert ("3 passed" in said) == ("two" in files)
