"""Build what a release consists of, and say what is wrong with it: `make release-check`.

    python scripts/release_check.py [--into dist]

The wheel and the source archive are built from the work tree by the locked backend, without reaching anything. What is
looked at: the changelog's section, the files that name the version, what both archives hold, that the archive builds
the same wheel, and the tag of this commit if it has one. docs/development/releasing.md says what comes before and
after. Nothing is uploaded, and nothing outside the folder is written.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?.*$", re.MULTILINE)
ENTRY = re.compile(r"^- ", re.MULTILINE)
ENTRY_POINT = "amazon_ads_proxy.py"
"""The module next to the package, where the console scripts begin."""
LINKS = ("Documentation", "Source", "Changelog", "Issues")
"""What an index shows next to the wheel, if the project has addresses."""
NAMING_THE_VERSION = {
    "config/kubernetes/base/sidecar/deployment.yaml": r"image: ads-proxy:(\S+)",
    "config/kubernetes/base/shared/deployment.yaml": r"image: ads-proxy:(\S+)",
}
"""Files next to proxy/__init__.py that hold a version, and where."""


@dataclass(frozen=True, slots=True)
class Built:
    """The two archives of one version."""

    wheel: Path
    archive: Path


def version() -> str:
    """The version that proxy/__init__.py says: its only home."""
    text = (ROOT / "proxy" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("proxy/__init__.py says no version")
    return found[1]


def tracked() -> set[str]:
    """The paths that git has or would take."""
    return {name for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0") if name}


def changelog_problems(changelog: str, wanted: str) -> list[str]:
    """What keeps this version from being released: no section, no day, nothing in it, or entries that are in none."""
    headings = [*HEADING.finditer(changelog)]
    ends = [*(heading.start() for heading in headings[1:]), len(changelog)]
    texts = {found["name"]: changelog[found.end() : end] for found, end in zip(headings, ends, strict=True)}
    days = {found["name"]: found["day"] for found in headings}
    problems = []
    if ENTRY.search(texts.get("Unreleased", "")):
        problems.append(f"CHANGELOG.md: entries stand under [Unreleased]; move them under [{wanted}]")
    if wanted not in texts:
        return [*problems, f"CHANGELOG.md: there is no section [{wanted}]"]
    if days[wanted] is None:
        problems.append(f"CHANGELOG.md: the section [{wanted}] has no day: ## [{wanted}] - YYYY-MM-DD")
    if not ENTRY.search(texts[wanted]):
        problems.append(f"CHANGELOG.md: the section [{wanted}] has no entry")
    return problems


def naming_problems(wanted: str, root: Path = ROOT) -> list[str]:
    """Files that say another version."""
    problems = []
    for name, pattern in NAMING_THE_VERSION.items():
        said = set(re.findall(pattern, (root / name).read_text(encoding="utf-8")))
        if said != {wanted}:
            problems.append(f"{name}: says {', '.join(sorted(said)) or 'no version'} instead of {wanted}")
    return problems


def link_problems(urls: dict[str, str]) -> list[str]:
    """Links of the wheel's metadata that are missing or lead nowhere; a project without an address has none at all."""
    missing = [f"pyproject.toml: [project.urls] has no {name}" for name in LINKS if urls and name not in urls]
    return missing + [
        f"pyproject.toml: [project.urls] {name} is not an https:// address"
        for name, address in urls.items()
        if not re.fullmatch(r"https://[^/\s]+\.[^/\s]+(/\S*)?", address)
    ]


def tag_problems(tags: list[str], wanted: str) -> list[str]:
    """A tag of this commit that is a version, and another one than this."""
    return [
        f"this commit has the tag {tag}, and the version is {wanted}"
        for tag in tags
        if tag.startswith("v") and tag != f"v{wanted}"
    ]


def build(into: Path, source: Path = ROOT) -> Built:
    """Wheel and source archive of `source`, in `into`."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the build failed:\n{done.stdout}{done.stderr}")
    [wheel], [archive] = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, archive)


def wheel_problems(wheel: Path, wanted: str, files: set[str]) -> list[str]:
    """The wheel holds the program whole, nothing else, and says of itself what pyproject.toml says."""
    project = _project()
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        [about] = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = email.message_from_bytes(opened.read(about))
        entry_points = opened.read(about.replace("METADATA", "entry_points.txt")).decode()
        licences = [name for name in names if name.endswith("licenses/LICENSE")]
    program = {name for name in files if name.startswith("proxy/") or name == ENTRY_POINT}
    problems = _compare("the wheel", {name for name in names if ".dist-info/" not in name}, program)
    claims = {
        "Name": project["name"],
        "Version": wanted,
        "Requires-Python": project["requires-python"],
        "License-Expression": project["license"],
    }
    problems += [
        f"the wheel: {key} is {said[key]} instead of {value}" for key, value in claims.items() if said[key] != value
    ]
    asked = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    if len(said.get_all("Requires-Dist") or []) != sum(map(len, asked)):
        problems.append("the wheel: its dependencies are not those of pyproject.toml")
    if not all(f"{name} = {target}" in entry_points for name, target in project["scripts"].items()):
        problems.append("the wheel: it has no command ads-proxy")
    return problems if licences else [*problems, "the wheel: it has no licence"]


def archive_problems(archive: Path, files: set[str]) -> list[str]:
    """The archive holds every file of the repository, and nothing else."""
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    return _compare("the archive", names - {"PKG-INFO"}, files)


def same_wheel_problems(built: Built) -> list[str]:
    """The wheel made from the unpacked archive is the wheel, byte for byte."""
    with tempfile.TemporaryDirectory() as place, tarfile.open(built.archive) as opened:
        opened.extractall(place, filter="data")
        [source] = Path(place).iterdir()
        again = build(Path(place) / "again", source)
        same = again.wheel.read_bytes() == built.wheel.read_bytes()
    return [] if same else ["the archive builds another wheel than the work tree"]


def _compare(what: str, has: set[str], wants: set[str]) -> list[str]:
    """A line for each difference, up to ten, and how many more there are."""
    lines = [f"{what}: {name} is missing" for name in sorted(wants - has)]
    lines += [f"{what}: {name} does not belong in it" for name in sorted(has - wants)]
    return lines[:10] + ([f"{what}: {len(lines) - 10} more such files"] if len(lines) > 10 else [])


def _project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Build, look, and print each problem as one line; 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, default=ROOT / "dist", help="the folder for both archives; emptied of others"
    )
    into: Path = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    for old in (*into.glob("*.whl"), *into.glob("*.tar.gz")):
        old.unlink()
    wanted, files = version(), tracked()
    links: dict[str, str] = _project().get("urls", {})
    built = build(into)
    archive = archive_problems(built.archive, files)
    problems = [
        *changelog_problems((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), wanted),
        *naming_problems(wanted),
        *link_problems(links),
        *tag_problems(_git("tag", "--points-at", "HEAD").split(), wanted),
        *(["there are changes that are not committed"] if _git("status", "--porcelain") else []),
        *wheel_problems(built.wheel, wanted, files),
        *archive,
        *([] if archive else same_wheel_problems(built)),
    ]
    if not links:
        print("note: pyproject.toml has no [project.urls]: the wheel says nowhere where it is from", file=sys.stderr)
    for problem in problems:
        print(problem, file=sys.stderr)
    for path in (built.wheel, built.archive):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
