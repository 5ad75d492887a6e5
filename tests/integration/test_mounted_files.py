"""A running program follows files that Kubernetes mounts: ConfigMap and Secret change under it, and nothing restarts.

The kubelet never writes a mounted file. It fills a new directory, has the link `..data` name it in one step, and
removes the old one; the files are links through `..data`, made once. The same is done here by the same calls.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.running import Load, SimulatedAmazon, serving

pytestmark = pytest.mark.integration


class Mount:
    """A volume as the kubelet keeps it."""

    def __init__(self, path: Path, **files: str) -> None:
        self.path = path
        self._numbers = itertools.count(1)
        path.mkdir()
        self.fill(**files)
        for name in files:
            self.file(name).symlink_to(f"..data/{name}")

    def file(self, name: str) -> Path:
        return self.path / name

    def fill(self, **files: str) -> None:
        """What is mounted from now on, all at once."""
        link, new = self.path / "..data", self.path / f"..2026_11_25_{next(self._numbers)}"
        old = link.resolve() if link.is_symlink() else None
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8")
        (self.path / "..data_tmp").symlink_to(new.name)
        (self.path / "..data_tmp").rename(link)
        if old:
            shutil.rmtree(old)


def of_another_user(amazon: SimulatedAmazon) -> str:
    token: str = amazon.control("users", {"user": "second"})["refresh_token"]
    return token


def test_a_config_map_is_followed(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The configuration file itself is such a link: an account comes and goes by two swaps, in one process."""
    accounts = {"acme": amazon.account(), "globex": amazon.account(refresh_token=of_another_user(amazon))}
    one, two = amazon.configuration(), amazon.configuration(accounts=accounts)
    mount = Mount(tmp_path / "configuration", **{"proxy.yaml": yaml.safe_dump(one)})
    with serving(mount.file("proxy.yaml"), one) as running:
        running.until_ready()
        assert running.get("/@globex/v2/profiles")[0] == 404
        mount.fill(**{"proxy.yaml": yaml.safe_dump(two)})
        running.until(lambda: running.get("/@globex/v2/profiles")[0] == 200)
        mount.fill(**{"proxy.yaml": yaml.safe_dump(one)})
        running.until(lambda: running.get("/@globex/v2/profiles")[0] == 404)
        assert running.metric("config_reloads_total", result="failure") == 0


def test_a_rotated_secret_is_used_without_a_restart_or_a_failed_request(
    amazon: SimulatedAmazon, tmp_path: Path
) -> None:
    """A refresh token changes under load: a token of the new login serves within seconds, and no tool noticed."""
    mount = Mount(tmp_path / "secrets", **{"refresh-token": amazon.facts["refresh_token"]})
    account = amazon.account(refresh_token={"file": str(mount.file("refresh-token"))})
    with serving(tmp_path, amazon.configuration(accounts={"acme": account})) as running:
        running.until_ready()
        generation = running.account()["generation"]
        with Load(running) as load:
            running.until(lambda: load.total)
            mount.fill(**{"refresh-token": of_another_user(amazon)})
            running.until(lambda: running.account()["generation"] > generation)
        assert (set(load.statuses), load.failures) == ({200}, [])
        assert running.account()["state"] == "valid"
        running.told("config_reloaded")
        assert running.metric("config_reloads_total", result="success") == 1
