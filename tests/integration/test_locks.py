"""The locks name every extra that a locked package requires, by the metadata of those packages.

Without it, an old pip refuses a lock on the day that a newer release of the package appears.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.support.locks import locked_extras, missing_extras
from tests.support.programs import ROOT

pytestmark = pytest.mark.integration

INSTALLED = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
# The oldest Python that each lock is made for. specifications.lock and mutants.lock are installed with --no-deps.
NOT_INSTALLED = {
    "benchmarks/requirements.lock": "3.11",
    "benchmarks/mitmproxy.lock": "3.12",
    "scripts/audit.lock": "3.11",
}


@pytest.mark.parametrize("lock", INSTALLED)
def test_a_lock_that_is_installed_names_the_extras_that_its_packages_require(lock: str) -> None:
    """Read from the metadata of what is installed here: it is the file that the package registry would serve."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    installed = {
        distribution.name: distribution.requires or []
        for distribution in importlib.metadata.distributions()
        if canonicalize_name(distribution.name) in locked_extras(text)
    }
    assert len(installed) > len(locked_extras(text)) * 0.8
    assert missing_extras(text, installed) == []


@pytest.mark.parametrize("lock", NOT_INSTALLED)
def test_a_lock_names_the_extras_that_its_packages_require(lock: str, tmp_path: Path) -> None:
    """Read from the metadata that the package registry serves for each package, without installing one."""
    report = tmp_path / "report.json"
    answer = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--quiet",
                "--dry-run",
            ),
            *("--ignore-installed", "--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"),
            *("--python-version", NOT_INSTALLED[lock], "--target", str(tmp_path / "nowhere")),
            *("--report", str(report), "-r", str(ROOT / lock)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    metadata = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert metadata
    assert {entry["name"].lower().replace("_", "-").replace(".", "-") for entry in metadata} <= locked_extras(
        text
    ).keys()
    assert missing_extras(text, {entry["name"]: entry.get("requires_dist", []) for entry in metadata}) == []
