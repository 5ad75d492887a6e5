"""The first pages and files of a contributor are true: CONTRIBUTING.md, hooks, CI, templates, the editor's rules.

The linters and hooks themselves are not started here.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import ROOT, require_program
from tests.test_architecture import LINES_PER_FUNCTION

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
TABS = {"Makefile"}


def tracked() -> list[Path]:
    """The files that git has or would take."""
    command = [require_program("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


# --- CONTRIBUTING.md ----------------------------------------------------------------------------------------


def test_what_contributing_names_is_here() -> None:
    """Every path in it that begins with a folder of ours exists."""
    named = set(re.findall(r"`((?:proxy|tests|config|docs|scripts)/[\w./-]+)`", CONTRIBUTING))
    assert {"proxy/errors.py", "proxy/events.py", "proxy/app/program.py"} <= named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_contributing_states_the_sizes_that_are_held() -> None:
    """The numbers are those of the architecture test."""
    assert f"{LINES_PER_FUNCTION} lines for a function, five parameters" in CONTRIBUTING


# --- before a commit ----------------------------------------------------------------------------------------


def test_the_hooks_fetch_nothing() -> None:
    """Each hook is local, and runs a program of `.venv`, which the lock files fix."""
    hooks = [hook for repository in HOOKS for hook in repository["hooks"]]
    assert {repository["repo"] for repository in HOOKS} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_the_hooks_are_the_quick_half_of_the_gate() -> None:
    """The hooks are ruff, its formatter, mypy and the architecture test; each program is also in the Makefile's
    checks."""
    entries = [shlex.split(hook["entry"]) for hook in HOOKS[0]["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [entry[:2] for entry in entries] == [
        [".venv/bin/ruff", "check"],
        [".venv/bin/ruff", "format"],
        [".venv/bin/mypy", "--no-error-summary"],
        [".venv/bin/python", "-m"],
    ]
    assert entries[3][-1] == "tests/test_architecture.py"
    assert "--check" in entries[1]
    for command in ("$(BIN)/ruff check", "$(BIN)/ruff format --check", "$(BIN)/mypy --no-error-summary"):
        assert command in makefile


# --- CI -----------------------------------------------------------------------------------------------------


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_ci_runs_the_two_commands() -> None:
    """`make check` and `.ci/run`, each on the oldest and the newest Python that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [word.rpartition(" ")[2] for word in project["classifiers"] if re.search(r"Python :: 3\.\d", word)]
    for job, command in (("check", "make check"), ("everything", ".ci/run")):
        assert CI["jobs"][job]["strategy"]["matrix"]["python"] == [versions[0], versions[-1]]
        assert command in [step.get("run") for step in CI["jobs"][job]["steps"]]


def test_ci_installs_from_the_lock_files_every_week_with_an_old_pip() -> None:
    """A release on a package index can make an old pip refuse them, without a commit here."""
    triggers = {str(key): value for key, value in CI.items()}["True"]  # YAML reads `on` as true
    assert triggers["schedule"]
    job = CI["jobs"]["old-pip"]
    assert job["container"].startswith("python:3.11.0-"), "whose pip is 22.3"
    assert "make install-dev" in [step.get("run") for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_do_no_more_than_it_must(path: Path) -> None:
    """A workflow may read the repository, keeps no credential in it, and each action is one commit, with its version
    next to it."""
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]
    actions = re.findall(r"uses: (.*)", text)
    assert actions
    assert not [
        action for action in actions if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ]
    checkouts = [step for step in _steps(workflow) if "actions/checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_ci_leaves_out_is_here() -> None:
    """The file of tests that the workflow cannot run exists, so that its name is not a leftover."""
    options = shlex.split(CI["jobs"]["everything"]["env"]["PYTEST_ADDOPTS"])
    assert options
    assert all((ROOT / option.removeprefix("--ignore=")).is_file() for option in options)


# --- templates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bug.md", "feature.md"])
def test_an_issues_template_says_what_it_is_for(name: str) -> None:
    """The template's head has a name and a purpose, as the repository's host asks for them."""
    _, head, body = (ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8").split("---\n", 2)
    said = yaml.safe_load(head)
    assert said["name"]
    assert said["about"]
    assert "**" in body


def test_a_weakness_is_not_reported_in_public() -> None:
    """The policy asks for a private report, and the template for bugs sends people there."""
    assert "private vulnerability reporting" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "SECURITY.md" in (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.md").read_text(encoding="utf-8")


# --- the editor's rules -------------------------------------------------------------------------------------


def test_every_file_is_as_the_editor_is_told() -> None:
    """UTF-8, lines that end with LF and without blanks, a last line that ends, tabs in the Makefile and in Go alone."""
    wrong = []
    for path in (path for path in tracked() if path.suffix not in (".xz", ".png")):
        text = path.read_bytes().decode("utf-8")
        tabs = path.name not in TABS and path.suffix != ".go" and re.search(r"^\t", text, re.MULTILINE)
        if "\r" in text or re.search(r"[ \t]$", text, re.MULTILINE) or tabs or (text and not text.endswith("\n")):
            wrong.append(path.relative_to(ROOT).as_posix())
    assert not wrong
