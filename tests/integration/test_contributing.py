"""The diffs of CONTRIBUTING.md are whole: applied to a copy of the checkout, nothing else has to be touched.

One copy gets all six, since each start of the linters takes seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.support.recipes import changed_files, diffs

pytestmark = [pytest.mark.integration, pytest.mark.no_cover]  # runs linters on another checkout

SIZES = {
    "To add a configuration key": (2, 3),
    "To add a metric": (2, 3),
    "To add a header that the proxy sends to Amazon": (1, 1),
    "To add a command": (1, 12),
    "To add an error": (2, 7),
    "To add a capability": (4, 60),
}
"""By section, how many files its diff touches, and how many lines it adds, imports apart."""
GENERATED = {
    "docs/reference/configuration.md": "| `watch_interval` | `ADS_PROXY_WATCH_INTERVAL` | `2` |",
    "config/proxy.schema.json": '"watch_interval": {',
    "config/proxy.yaml": "#watch_interval: 2",
    "docs/reference/metrics.md": "| `throttle_waits_total` | counter | region |",
    "docs/reference/cli.md": "| `ads-proxy regions` |",
    "docs/reference/errors.md": "| `asterisk-target` | 400 | no |",
}
TESTS = (
    "tests/test_reference.py",
    "tests/config/test_reference.py",
    "tests/test_errors.py",
    "tests/observability/test_metrics.py::test_each_counter_that_is_told_by_name_is_declared",
    "tests/observability/test_metrics.py::test_every_family_of_the_contract_is_there_from_the_start",
    "tests/observability/test_docs.py::test_every_metric_is_documented_and_no_other",
    "tests/commands/test_cli.py::test_each_file_that_declares_a_command_is_one",
    "tests/commands/test_cli.py::test_every_command_explains_itself[regions]",
    "tests/test_words.py",
    "tests/test_architecture.py",
    "tests/test_architecture_page.py",
    "tests/local/test_dry_runs.py",
)
IN_FORCE = """
import pytest

from proxy.access.admission import admit
from proxy.config import load
from proxy.errors import AsteriskTarget
from proxy.forwarding.injection import REQUEST_FIELDS, account_lines
from tests.support.deciding import fields, request

variables = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "ADS_PROXY_WATCH_INTERVAL": "5"}
assert load(None, variables).watch_interval == 5
assert account_lines("token", "id").endswith(b"Amazon-Ads-Integrator: ads-proxy\\r\\n")
assert b"amazon-ads-integrator" in REQUEST_FIELDS.dropped
with pytest.raises(AsteriskTarget):
    admit(request(b"OPTIONS", b"*", fields()), None)
"""


def apply(diff: str, folder: Path) -> list[str]:
    """Change the files as the diff says; which files it was."""
    changed = changed_files(diff, folder)
    for name, text in changed.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(changed)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the checkout with all diffs applied and `make reference` run, and the files of the diffs."""
    copy = tmp_path_factory.mktemp("contributing") / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "replay", "benchmarks"))
    shutil.copytree(ROOT / "tests" / "replay", copy / "tests" / "replay", ignore=shutil.ignore_patterns("*.xz", "*.gz"))
    known_types = ROOT / ".cache" / "mypy"
    if known_types.exists():  # it saves mypy most of its time
        shutil.copytree(known_types, copy / ".cache" / "mypy")
    touched = [name for diff in diffs().values() for name in apply(diff, copy)]
    run(copy, "-m", "scripts.make_reference")
    return copy, touched


def run(folder: Path, *arguments: str) -> None:
    """A Python in that folder, whose modules are those of the folder; what it says is shown where it fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    command = [sys.executable, *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def size_of(diff: str) -> tuple[int, int]:
    """How many files it touches, and how many lines it adds, imports apart."""
    files = re.findall(r"^\+\+\+ ", diff, re.MULTILINE)
    return len(files), len(re.findall(r"^\+(?!\+\+ )(?!from )(?!    \w+,$)", diff, re.MULTILINE))


def test_each_addition_is_as_small_as_promised() -> None:
    """One declaration and one call, the model and the place that uses it, one place, one file."""
    assert {title: size_of(diff) for title, diff in diffs().items()} == SIZES


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_what_describes_it_is_made_from_it(changed: tuple[Path, list[str]], name: str) -> None:
    """By `make reference`, from the declaration alone."""
    assert GENERATED[name] in (changed[0] / name).read_text(encoding="utf-8")


def test_linter_and_types_find_nothing(changed: tuple[Path, list[str]]) -> None:
    """In the files that the diffs touch, and in what these import."""
    copy, touched = changed
    modules = [name for name in touched if name.endswith(".py")]
    run(copy, "-m", "ruff", "check", "--quiet", *modules)
    run(copy, "-m", "ruff", "format", "--check", "--quiet", *modules)
    run(copy, "-m", "mypy", "--no-error-summary", *modules)


def test_the_tests_that_notice_a_missing_piece_pass(changed: tuple[Path, list[str]]) -> None:
    """The tests of words, layers, pages, model, metrics and command line pass, and each addition is in force."""
    run(changed[0], "-c", IN_FORCE)
    run(changed[0], "-m", "pytest", "--quiet", "--override-ini", "cache_dir=.cache/pytest", *TESTS)
