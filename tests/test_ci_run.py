"""`.ci/run` checks a copy of the project without the programs that tests use, and counts what became of each test."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import outcomes
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, require_program

SCRIPTS = (".ci/run", ".ci/fresh")
FOREIGN = ("git", "openssl", "curl", "jq", "redis-server", "nginx", "podman", "ps", "perl")
"""Programs that a fresh machine may not have."""
BEFORE = """<testsuites><testsuite>
<testcase classname="tests.a.test_x" name="test_one[a-b]"/>
<testcase classname="tests.a.test_x" name="test_two"><skipped message="no openssl"/></testcase>
<testcase classname="tests.a.test_x" name="test_three[c]"><skipped message="no openssl"/></testcase>
<testcase classname="tests.a.test_x" name="test_three[d]"><skipped message="no openssl"/></testcase>
<testcase classname="tests.a.test_x" name="test_six[NOTSET]"><skipped message="no collection"/></testcase>
<testcase classname="tests.a.test_x" name="test_four"><failure message="x"/></testcase>
<testcase classname="tests.a.test_x" name="test_five"/>
<testcase classname="tests.a.test_x" name="test_five"><error message="at its end"/></testcase>
</testsuite></testsuites>"""
AFTERWARDS = """<testsuites><testsuite>
<testcase classname="tests.a.test_x" name="test_two"/>
<testcase classname="tests.a.test_x" name="test_six[a.b]"/>
</testsuite></testsuites>"""


def test_ci_runs_the_checks_as_on_a_fresh_machine() -> None:
    """The step is unconditional, its result counts, and nothing else runs the checks."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines.count("make --keep-going test CHECK=check-fresh || result=$?") == 1
    assert lines[-1] == 'exit "$result"'
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\ncheck-fresh:")[2].partition("\n.PHONY")[0].splitlines()
    assert recipe.count("\t.ci/fresh make check || result=$$?") == 1
    assert [line for line in recipe if line][-1] == "\texit $$result"
    assert "\ntest: $(CHECK) integration " in makefile


def test_a_fresh_machine_has_no_programs_and_is_no_ci(tmp_path: Path) -> None:
    """In a copy of the work tree of its own, with the Makefile's programs; its exit code and results come back."""
    for name in ("git", "tar"):
        require_program(name)
    copied = tmp_path / "project"
    (copied / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "fresh", copied / ".ci")
    (copied / "new.txt").write_text("not committed")
    subprocess.run(["git", "init", "--quiet", copied], check=True)
    script = "; ".join(
        (
            f"for name in {shlex.join(FOREIGN)}; do command -v $name && echo found $name; done",
            'echo "${CI-no CI}" "$(cat new.txt)" "$PWD"',
            "mkdir .cache && echo it >.cache/junit-it.xml",
            "python3 -c 'import ssl, venv' && make --version >/dev/null && exit 7",
        )
    )
    command = (copied / ".ci" / "fresh", "bash", "-c", script)
    ran = subprocess.run(
        command, env={**os.environ, "CI": "true"}, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    said, _, folder = ran.stdout.strip().rpartition(" ")
    assert (ran.returncode, said, ran.stderr) == (7, "no CI not committed", "")
    assert not Path(folder).exists()
    assert (copied / ".cache" / "junit-it.xml").read_text() == "it\n"


def test_the_last_run_of_a_test_has_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Functions with skipped cases are told as pytest takes them, each test counts once, a missing file has failed."""
    before, afterwards, missing = (tmp_path / name for name in ("before.xml", "afterwards.xml", "missing.xml"))
    before.write_text(BEFORE)
    afterwards.write_text(AFTERWARDS)
    outcomes.main("skipped", str(before))
    assert capsys.readouterr().out == "".join(f"tests/a/test_x.py::test_{name}\n" for name in ("two", "three", "six"))
    outcomes.main("count", str(before), str(afterwards))
    assert capsys.readouterr().out == "3 passed, 2 failed, 2 skipped\n"
    outcomes.main("count", str(afterwards), str(missing))
    assert capsys.readouterr().out == "2 passed, 1 failed, 0 skipped\n"


def test_without_a_skipped_test_no_line_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line would be the name of a test."""
    path = tmp_path / "it.xml"
    path.write_text(AFTERWARDS)
    outcomes.main("skipped", str(path))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_scripts_are_clean(script: str) -> None:
    """shellcheck has nothing to say about them."""
    result = subprocess.run(
        [require_program("shellcheck"), script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")
