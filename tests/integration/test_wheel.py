"""Our wheel in an environment of its own, and next to the distribution proxy.py, which has a package `proxy` as
well."""

from __future__ import annotations

import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy import __version__
from scripts.release_check import build
from tests.clients.environments import downloaded_wheel
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.integration
COMMANDS = ("ads-proxy", "amazon-ads-proxy")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist")).wheel


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has what we depend on."""

    place: Path

    def pip(self, *arguments: str | Path) -> None:
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
        command = [sys.executable, "-m", "pip", "--python", self.place / "bin" / "python", *arguments, *quiet]
        subprocess.run([str(part) for part in command], check=True, timeout=900)

    def install(self, wheel: Path, *more: str) -> None:
        self.pip("install", "--no-deps", "--no-index", "--no-compile", *more, wheel)

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.place / "bin" / name), *arguments]
        return subprocess.run(command, cwd=self.place, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, ours: Path) -> Environment:
    """With our wheel. The tests change it, one after the other."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=900)
    (packages,) = place.glob("lib/python3*/site-packages")
    for source in Path(site.getsitepackages()[0]).iterdir():
        if not source.name.startswith(("amazon_ads_proxy", "_editable", "_amazon")) and source.suffix != ".pth":
            (packages / source.name).symlink_to(source)
    made = Environment(place)
    made.install(ours)
    return made


@pytest.fixture(scope="module")
def overwritten(environment: Environment) -> Environment:
    """An environment with the other distribution, installed over ours."""
    environment.install(downloaded_wheel("proxy_py"))
    return environment


def test_the_wheel_alone_is_the_program(environment: Environment) -> None:
    """Both names of the command work outside the repository; everything that `init` and the console need is in the
    wheel."""
    for name in COMMANDS:
        result = environment.run(name, "version")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(f"ads-proxy {__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_package_that_was_installed_over_ours_is_named(overwritten: Environment, name: str) -> None:
    """One line that names the other distribution and says what to do; no traceback."""
    result = overwritten.run(name, "version")
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (1, "")
    assert "is not this program's, but that of proxy.py 2.4.10. Give each an environment of its own" in line


def test_what_the_other_took_away_is_missed_and_comes_back(overwritten: Environment, ours: Path) -> None:
    """Removed, it takes the shared files along; installed again, ours works."""
    overwritten.pip("uninstall", "--yes", "proxy.py")
    result = overwritten.run("ads-proxy", "version")
    assert result.returncode == 1
    assert result.stderr.startswith("ads-proxy: files of this program are missing in ")
    overwritten.install(ours, "--force-reinstall")
    assert overwritten.run("ads-proxy", "version").returncode == 0
