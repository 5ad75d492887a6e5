"""`make` on a fresh machine: a clone without a virtual environment, python3 and make, and nothing else.

The clone is a copy of what git would commit; the work tree and its `.venv` are not touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.integration.containers import Answer, eventually, get
from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.programs import ROOT, require_program

pytestmark = pytest.mark.integration

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".cache", ".env", ".hypothesis", "__pycache__", "node_modules", "*.egg-info"
)


def _environ(**more: str) -> dict[str, str]:
    """This machine's environment without variables of an outer make or virtual environment."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VIRTUAL_ENV", "PYTHONPATH")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in outer and not name.startswith(("ADS_PROXY_", "AMAZON_ADS_"))
    }
    return {**kept, **more}


def _make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require_program("make"), *arguments],
        cwd=clone,
        env=_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@contextmanager
def _running(clone: Path, *arguments: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`make` in a process group of its own, which is interrupted as Ctrl-C does it."""
    with subprocess.Popen(
        [require_program("make"), *arguments],
        cwd=clone,
        env=_environ(**environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(PATIENCE)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the project, installed by `make install`."""
    place = tmp_path_factory.mktemp("fresh") / "clone"
    shutil.copytree(ROOT, place, ignore=NOT_COPIED)
    result = _make(place, "install")
    assert result.returncode == 0, result.stdout + result.stderr
    return place


def test_install_makes_the_program(clone: Path) -> None:
    """`.venv/bin/ads-proxy` is there and runs."""
    result = subprocess.run([clone / ".venv/bin/ads-proxy", "version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("ads-proxy ")


def test_install_has_exactly_what_the_lock_names(clone: Path) -> None:
    """The versions that are installed are those of requirements.lock."""
    result = subprocess.run(
        [clone / ".venv/bin/python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {entry["name"].lower().replace("_", "-"): entry["version"] for entry in json.loads(result.stdout)}
    lock = (clone / "requirements.lock").read_text(encoding="utf-8")
    named = (Requirement(line.rstrip("\\ ")) for line in lock.splitlines() if re.match(r"[a-z0-9]", line))
    locked = {each.name: str(each.specifier)[2:] for each in named if each.marker is None or each.marker.evaluate()}
    assert len(locked) > 20
    assert {name: installed.get(name) for name in locked} == locked


def test_a_second_install_does_nothing(clone: Path) -> None:
    """With everything up to date, make prints that and runs nothing."""
    result = _make(clone, "install")
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout


def test_a_changed_lock_is_installed_again(clone: Path) -> None:
    """make notices that a lock file is newer than the environment."""
    lock = clone / "requirements.lock"
    before = lock.stat()
    lock.touch()
    result = _make(clone, "--dry-run", "install")
    os.utime(lock, ns=(before.st_atime_ns, before.st_mtime_ns))  # the next test need not install it
    assert "--require-hashes" in result.stdout


def test_run_starts_the_demo(clone: Path) -> None:
    """`make run`, then a request without any login: profiles; Ctrl-C ends it with nothing left running."""
    port, admin_port = free_port(), free_port()
    environ = {"ADS_PROXY_LISTEN": f"127.0.0.1:{port}", "ADS_PROXY_ADMIN_LISTEN": f"127.0.0.1:{admin_port}"}

    def profiles() -> Answer | None:
        answer = get(f"http://127.0.0.1:{port}/v2/profiles")
        return answer if answer.status == 200 else None

    with _running(clone, "run", environ=environ) as process:
        answer = eventually(profiles, "an answer of the demo")
        assert process.poll() is None
    assert json.loads(answer.body)
    assert answer.headers["X-Ads-Proxy-Demo"]
    with pytest.raises(OSError, match="refused"):
        get(f"http://127.0.0.1:{port}/v2/profiles")


def test_run_with_a_configuration_serves_that(clone: Path, tmp_path: Path) -> None:
    """`make run CONFIG=FILE` is `serve --config FILE`: a faulty file is complained of by its path."""
    file = tmp_path / "proxy.yaml"
    file.write_text("listen: 127.0.0.1:0\naccounts: {acme: {region: us}}\n", encoding="utf-8")
    result = _make(clone, "run", f"CONFIG={file}")
    assert result.returncode == 2
    assert "accounts.acme.region: is not one of na, eu, fe" in result.stdout + result.stderr


def test_an_old_python_is_named(clone: Path, tmp_path: Path) -> None:
    """A python3 that is too old causes one line with its version, before anything is made."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$*" in *--version*) echo Python 3.9.2;; *) exit 1;; esac\n', encoding="utf-8")
    old.chmod(0o755)
    fresh = tmp_path / "clone"
    fresh.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-build.lock"):
        shutil.copy(clone / name, fresh)
    result = _make(fresh, "install", f"PYTHON={old}")
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr
    assert not (fresh / ".venv").exists()
