"""The first step of the commands: our package is known by its first words, and nothing of another one is imported."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import amazon_ads_proxy
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The module as a console script calls it, where `folder` comes before everything that is installed."""
    code = f"import sys; sys.path[:0] = [{str(folder)!r}]; import amazon_ads_proxy; amazon_ads_proxy.main()"
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_our_own_package_is_started() -> None:
    """The package's docstring opens with the expected words."""
    assert amazon_ads_proxy.find_problem() == ""
    assert (ROOT / "proxy" / "__init__.py").read_text(encoding="utf-8").startswith(amazon_ads_proxy.OPENING)


def test_another_package_is_never_imported(tmp_path: Path) -> None:
    """One line that says where it lies and what to do, exit code 1, and not a line of it is run."""
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text('"""Another."""\nraise SystemExit("it was run")\n')
    result = started(tmp_path, "version")
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (1, "")
    assert line.startswith(f"ads-proxy: the package `proxy` in {tmp_path}/proxy is not this program's, but ")
    assert "`pipx install amazon-ads-proxy`" in line


def test_files_that_are_gone_are_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without `__init__.py` what is left would pass for a package; without anything there is none."""
    (tmp_path / "proxy" / "commands").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "editable" not in repr(finder)])
    monkeypatch.delitem(sys.modules, "proxy")
    assert f"files of this program are missing in {tmp_path}/proxy: " in amazon_ads_proxy.find_problem()
    monkeypatch.setattr(sys, "path", [])
    assert "files of this program are missing: " in amazon_ads_proxy.find_problem()


def test_both_names_of_the_command_begin_here() -> None:
    """`ads-proxy`, and the distribution's own name, which tools that run a distribution look for."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == dict.fromkeys(("ads-proxy", "amazon-ads-proxy"), "amazon_ads_proxy:main")
