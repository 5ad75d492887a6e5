"""What `make release-check` says: the changelog, the version's other places, and both archives, which are built here.

The image's labels are tried where the image is built, in tests/integration.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from proxy import __version__
from scripts.release_check import (
    LINKS,
    Built,
    archive_problems,
    build,
    changelog_problems,
    link_problems,
    naming_problems,
    same_wheel_problems,
    tag_problems,
    tracked,
    version,
    wheel_problems,
)
from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

READY = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-30

### Added

- A thing.

## [1.1.0] - 2026-01-02

- It.
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Wheel and source archive of the work tree."""
    return build(tmp_path_factory.mktemp("dist"))


# --- the archives -------------------------------------------------------------------------------------------


BUILT = pytest.mark.integration
"""Wheel and archive take seconds to build."""


@BUILT
def test_the_wheel_holds_the_program_and_nothing_else(built: Built) -> None:
    """Every file under proxy/ is in it, tables, pages and py.typed too; and it says what pyproject.toml says."""
    assert wheel_problems(built.wheel, __version__, tracked()) == []
    names = set(zipfile.ZipFile(built.wheel).namelist())
    assert {"proxy/py.typed", "proxy/simulator/operations.jsonl"} <= names
    assert any(name.startswith("proxy/admin/static/") for name in names)


@BUILT
def test_the_source_archive_holds_the_repository(built: Built) -> None:
    """A reader who unpacks the archive has the tests, the examples of the configuration, the locks and the pages."""
    assert archive_problems(built.archive, tracked()) == []
    with tarfile.open(built.archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"config/proxy.yaml", "docs/README.md", "requirements.lock", "tests/test_release.py", "Makefile"} <= names


@BUILT
def test_the_source_archive_builds_the_same_wheel(built: Built) -> None:
    """Byte for byte, so that either can be checked against the other."""
    assert same_wheel_problems(built) == []


@BUILT
def test_a_wheel_that_lacks_something_is_found(built: Built, tmp_path: Path) -> None:
    """A missing file, one too many, another version: each is a line of its own."""
    changed = tmp_path / built.wheel.name
    with zipfile.ZipFile(built.wheel) as whole, zipfile.ZipFile(changed, "w") as partial:
        for name in whole.namelist():
            if name != "proxy/py.typed":
                partial.writestr(name, whole.read(name))
        partial.writestr("tests/test_release.py", "")
    assert wheel_problems(changed, "9.9.9", tracked()) == [
        "the wheel: proxy/py.typed is missing",
        "the wheel: tests/test_release.py does not belong in it",
        f"the wheel: Version is {__version__} instead of 9.9.9",
    ]


@BUILT
def test_an_archive_that_lacks_something_is_found(built: Built) -> None:
    """A file that git has and the archive has not."""
    assert archive_problems(built.archive, tracked() | {"config/more.yaml"}) == [
        "the archive: config/more.yaml is missing"
    ]


@BUILT
def test_a_thousand_differences_are_not_a_thousand_lines(built: Built) -> None:
    """Ten are named, the rest counted."""
    problems = archive_problems(built.archive, tracked() | {f"missing/{number}" for number in range(1000)})
    assert len(problems) == 11
    assert problems[-1] == "the archive: 990 more such files"


# --- the changelog and the version --------------------------------------------------------------------------


def test_a_changelog_that_is_ready_has_no_problem() -> None:
    """A section with a day and an entry; nothing waits under Unreleased."""
    assert changelog_problems(READY, "1.2.0") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## [1.2.0] - 2026-11-30", "## [1.3.0] - 2026-11-30", "there is no section [1.2.0]"),
        ("## [1.2.0] - 2026-11-30", "## [1.2.0]", "has no day"),
        ("- A thing.", "Nothing.", "has no entry"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- Another thing.\n", "entries stand under [Unreleased]"),
    ],
)
def test_what_the_changelog_lacks_is_said(old: str, new: str, said: str) -> None:
    """One line, with what to do."""
    assert old in READY
    [problem] = changelog_problems(READY.replace(old, new), "1.2.0")
    assert said in problem


def test_the_changelog_is_read_as_it_is_written() -> None:
    """Ours has no problem but the section that its next release will need."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.sub(r"^## \[Unreleased\]", f"## [{__version__}] - 2026-11-30", changelog, flags=re.MULTILINE)
    assert changelog_problems(released, __version__) == []


def test_every_other_place_names_the_same_version(tmp_path: Path) -> None:
    """The Kubernetes examples do; another version there is found."""
    assert naming_problems(__version__) == []
    shutil.copytree(ROOT / "config", tmp_path / "config")
    assert naming_problems("9.9.9", tmp_path) == [
        f"config/kubernetes/base/{kind}/deployment.yaml: says {__version__} instead of 9.9.9"
        for kind in ("sidecar", "shared")
    ]


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ({}, []),
        (dict.fromkeys(LINKS, "https://example.com/ads-proxy"), []),
        (dict.fromkeys(LINKS[:3], "https://example.com/"), ["pyproject.toml: [project.urls] has no Issues"]),
        (
            {**dict.fromkeys(LINKS, "https://example.com/"), "Source": "docs/README.md"},
            ["pyproject.toml: [project.urls] Source is not an https:// address"],
        ),
    ],
)
def test_the_projects_links_are_whole_or_not_there(urls: dict[str, str], said: list[str]) -> None:
    """Each of the four links is an address that leads somewhere from outside; without an address there is none."""
    assert link_problems(urls) == said


def test_a_tag_of_another_version_is_found() -> None:
    """Tags that are no versions are ignored here."""
    assert tag_problems(["v1.2.0", "nightly"], "1.2.0") == []
    assert tag_problems(["v1.2.1"], "1.2.0") == ["this commit has the tag v1.2.1, and the version is 1.2.0"]


def test_the_version_is_read_without_importing_the_program() -> None:
    """The script sees what the package says."""
    assert version() == __version__


def test_the_image_is_labelled_with_the_version() -> None:
    """`make image` gives the builder the version and the commit; no second place states them."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nimage:")[2]
    assert "--label org.opencontainers.image.version=$(VERSION)" in recipe
    assert "--label org.opencontainers.image.revision=$(REVISION)" in recipe
    assert __version__ not in (ROOT / "Dockerfile").read_text(encoding="utf-8")
