"""Where the command line begins: `serve` read without the library for command lines means what it means with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.commands.cli import load_command
from proxy.commands.entry import SERVE_OPTIONS, read_plain_serve
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT
from tests.support.ready_program import run_ready


def test_a_plain_serve_is_read_at_once() -> None:
    """Each option with its value, in any order; none at all is plain, too."""
    given = ["serve", "--listen", "127.0.0.1:1", "-c", "a.yaml", "--env-file", ".env", "--admin-listen", "127.0.0.1:2"]
    expected = {"listen": "127.0.0.1:1", "config": "a.yaml", "env_file": ".env", "admin_listen": "127.0.0.1:2"}
    assert read_plain_serve(given) == expected
    assert read_plain_serve(["serve"]) == {}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "check",
        "--version",
        "serve --help",
        "serve --config",
        "serve --config=a.yaml",
        "serve -c a.yaml --config b.yaml",
        "serve --config --listen",
        "serve --unknown 1",
        "serve a.yaml b.yaml",
        "demo --listen 127.0.0.1:1",
    ],
)
def test_any_other_line_is_left_to_the_library(line: str) -> None:
    """Help, mistakes, other ways to write an option, and all other commands."""
    assert read_plain_serve(line.split()) is None


def test_the_options_are_those_that_are_declared() -> None:
    """Every name of every option of `serve`, each taking one value, and no other."""
    declared = {name: option for option in load_command("serve").params for name in option.opts}
    assert {name: option.name for name, option in declared.items()} == SERVE_OPTIONS
    assert {(option.nargs, option.is_flag) for option in declared.values()} == {(1, False)}


def ended(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A Python with no variables of ours."""
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    given = [sys.executable, *command]
    return subprocess.run(given, cwd=folder, env=needed, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_mistake_is_told_alike_both_ways(tmp_path: Path) -> None:
    """Lines and exit code are the same, whether the program or its fast entry reads the command line."""
    plain, other = (run_ready(tmp_path, ("serve", *line), {}) for line in (("--config", "gone"), ("--config=gone",)))
    assert plain.returncode == 2
    assert plain.stderr.startswith("ads-proxy: --config: ")
    assert (plain.returncode, plain.stdout, plain.stderr) == (other.returncode, other.stdout, other.stderr)


def test_ctrl_c_before_it_serves_is_130(tmp_path: Path) -> None:
    """Without a traceback."""
    script = "import sys; from proxy.commands import entry\n"
    script += "def interrupted(asked):\n    raise KeyboardInterrupt\n"
    script += "entry.serve_as_asked = interrupted; sys.argv = ['ads-proxy', 'serve']; entry.main()"
    result = ended(tmp_path, "-c", script)
    assert (result.returncode, result.stderr) == (130, "")
